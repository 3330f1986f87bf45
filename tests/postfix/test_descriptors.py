"""The descriptors that master leaves to a service, with a master in this process."""

import os
import socket
import struct
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from smtpclient.postfix.descriptors import ListeningSocket, NoMaster, StatusChannel, adopt, keep_to_ourselves

REACTOR: Any = reactor


class StatusTests(TestCase):
    """The status channel."""

    def setUp(self) -> None:
        self.master, ours = socket.socketpair()
        self.gone: Deferred[None] = Deferred()
        self.channel = StatusChannel(REACTOR, ours.detach(), 20, lambda: self.gone.callback(None))
        self.channel.start()
        self.addCleanup(REACTOR.removeReader, self.channel)
        self.addCleanup(self.master.close)

    def test_what_master_reads(self) -> None:
        """A status is twelve bytes: process, generation, availability, as the machine has them."""
        self.channel.taken()
        self.channel.available()
        wanted = [struct.pack("@iIi", os.getpid(), 20, available) for available in (0, 1)]
        self.assertEqual([self.master.recv(12), self.master.recv(12)], wanted)

    async def test_master_goes(self) -> None:
        """It is told once, and what is said afterwards goes nowhere."""
        self.master.close()
        await self.gone
        self.channel.taken()
        await deferLater(REACTOR, 0.05)
        self.assertTrue(self.gone.called)

    def test_master_does_not_read(self) -> None:
        """A channel that is full is not waited for."""
        for _ in range(100_000):
            self.channel.taken()
        self.assertEqual(len(self.master.recv(12)), 12)

    def test_interface(self) -> None:
        """The reactor can have it."""
        self.assertTrue(verifyObject(IReadDescriptor, self.channel))


class ListeningTests(TestCase):
    """A listening socket that others share."""

    def setUp(self) -> None:
        # The path of a UNIX socket must not be long.
        folder = Path(os.path.relpath(self.mktemp()))
        folder.mkdir(parents=True)
        self.path = str(folder / "s")
        self.others = socket.socket(socket.AF_UNIX)
        self.others.bind(self.path)
        self.others.listen(10)
        self.others.setblocking(False)
        self.addCleanup(self.others.close)
        self.taken: list[socket.socket] = []
        self.listening = ListeningSocket(REACTOR, os.dup(self.others.fileno()), self._take)
        self.addCleanup(self.listening.pause)

    def _take(self, connection: socket.socket) -> None:
        self.taken.append(connection)
        self.addCleanup(connection.close)

    def connect(self) -> socket.socket:
        """A client."""
        client = socket.socket(socket.AF_UNIX)
        self.addCleanup(client.close)
        client.connect(self.path)
        return client

    async def test_accepting(self) -> None:
        """Who connects is accepted; after a pause nobody is."""
        self.listening.listen()
        self.connect()
        self.connect()
        while len(self.taken) < 2:
            await deferLater(REACTOR, 0.01)
        self.listening.pause()
        self.connect()
        await deferLater(REACTOR, 0.05)
        self.assertEqual(len(self.taken), 2)

    async def test_the_end_leaves_the_socket_to_others(self) -> None:
        """When this process listens no more the socket has its name, and others accept at it."""
        self.listening.listen()
        await deferLater(REACTOR, 0.01)
        self.listening.pause()
        os.close(os.dup(self.listening.fileno()))
        self.connect()
        self.assertTrue(self.others.accept()[0].fileno() > 0)

    async def test_somebody_else_was_faster(self) -> None:
        """That is nothing to speak of."""
        self.listening.doRead()
        self.assertEqual((self.taken, self.flushLoggedErrors()), ([], []))

    async def test_adopted(self) -> None:
        """The reactor talks over what was accepted."""
        talking: Deferred[bytes] = Deferred()

        class Hello(Protocol):
            """Says hello."""

            def connectionMade(self) -> None:
                """Say it."""
                assert self.transport is not None
                self.transport.write(b"hello")

            def connectionLost(self, reason: object = None) -> None:
                """Note the end."""
                talking.callback(b"")

        client = self.connect()
        adopt(REACTOR, self.others.accept()[0], Factory.forProtocol(Hello))
        self.assertEqual(await deferToThread(client.recv, 10), b"hello")
        client.close()
        await talking

    def test_interface(self) -> None:
        """The reactor can have it."""
        self.assertTrue(verifyObject(IReadDescriptor, self.listening))


class MasterTests(TestCase):
    """Whether there is a master at all."""

    def test_no_descriptors(self) -> None:
        """A program that somebody starts by hand is told what it is for."""
        self.assertRaises(NoMaster, keep_to_ourselves, 100_000)
