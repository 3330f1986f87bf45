"""Writes that go out at once, over real sockets and pipes."""

import os
import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTCP
from twisted.internet.process import ProcessWriter
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from smtpclient.smtp.prompt import prompt

ANYTHING: Any = reactor

MUCH = 8 * 1024 * 1024  # bytes; more than the system takes from one side before the other reads


class _Client(Protocol):
    """Says when it stands, and when it has ended."""

    def __init__(self) -> None:
        self.stands: Deferred[None] = Deferred()
        self.ended: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.stands.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.callback(None)


class PromptTests(TestCase):
    """A prompt connection to a socket that reads when the test does."""

    async def _connected(self) -> tuple[_Client, socket.socket]:
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        client = _Client()
        factory = ClientFactory.forProtocol(lambda: client)  # type: ignore[arg-type]
        factory.noisy = False
        IReactorTCP(reactor).connectTCP("127.0.0.1", listener.getsockname()[1], factory)
        await client.stands
        server, _ = listener.accept()
        self.addCleanup(server.close)
        server.settimeout(60)
        return client, server

    async def _end(self, client: _Client) -> None:
        transport: Any = client.transport
        transport.abortConnection()
        await client.ended

    async def test_now(self) -> None:
        """What is written has arrived before the reactor has had another turn, and is watched by nobody."""
        client, server = await self._connected()
        prompt(client.transport).write(b"MAIL FROM:<a@b.example>\r\n")
        self.assertEqual(server.recv(100), b"MAIL FROM:<a@b.example>\r\n")
        self.assertNotIn(client.transport, reactor.getWriters())  # type: ignore[attr-defined]
        await self._end(client)

    async def test_order(self) -> None:
        """What the system does not take at once goes out later, and nothing that is written meanwhile overtakes it."""
        client, server = await self._connected()
        write = prompt(client.transport).write
        sent = b"".join(b"%07d\n" % number for number in range(MUCH // 8))
        write(sent)
        self.assertIn(client.transport, reactor.getWriters())  # type: ignore[attr-defined]
        write(b"and the rest")
        server.setblocking(False)
        got = bytearray()
        while not got.endswith(b"rest"):
            try:
                got += server.recv(1 << 20)
            except BlockingIOError:
                await deferLater(reactor, 0.001)  # type: ignore[arg-type]
        self.assertEqual(bytes(got), sent + b"and the rest")
        self.assertNotIn(client.transport, reactor.getWriters())  # type: ignore[attr-defined]
        await self._end(client)

    async def test_close(self) -> None:
        """A connection that is closed in the same breath still says its last words."""
        client, server = await self._connected()
        prompt(client.transport).write(b"QUIT\r\n")
        transport: Any = client.transport
        transport.loseConnection()
        await client.ended
        self.assertEqual(server.recv(100), b"QUIT\r\n")
        self.assertEqual(server.recv(100), b"")

    async def test_error(self) -> None:
        """Writing into a connection that the other end has reset raises nothing, and ends it in the reactor's time."""
        client, server = await self._connected()
        write = prompt(client.transport).write
        server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        server.close()
        write(b"NOOP\r\n")
        write(b"NOOP\r\n")
        self.assertFalse(client.ended.called)
        await client.ended

    def test_in_memory(self) -> None:
        """A transport that is no socket is written to as it is."""
        transport = StringTransport()
        prompt(transport).write(b"NOOP\r\n")
        self.assertEqual(transport.value(), b"NOOP\r\n")


class Ends:
    """What a pipe of Twisted's tells about itself."""

    def __init__(self) -> None:
        self.lost: Deferred[None] = Deferred()

    def childConnectionLost(self, name: str, reason: object) -> None:
        self.lost.callback(None)


class PipeTests(TestCase):
    """A prompt pipe that is read when the test does."""

    def setUp(self) -> None:
        self.read_end, write_end = os.pipe()
        os.set_blocking(self.read_end, False)
        self.ends = Ends()
        self.writer = ProcessWriter(ANYTHING, self.ends, "write", write_end)
        self.addCleanup(self.close)
        self.write = prompt(self.writer).write

    async def close(self) -> None:
        """Close the pipe."""
        self.writer.loseConnection()
        await self.ends.lost
        os.close(self.read_end)

    async def test_a_little_goes_out_at_once(self) -> None:
        """Nobody has to go round in the reactor first."""
        self.write(b"hello")
        self.assertEqual(b"hello", os.read(self.read_end, 100))

    async def test_what_a_full_pipe_does_not_take_follows_in_order(self) -> None:
        """Whatever is written meanwhile comes behind it; when all has gone out it is prompt again."""
        pieces = [bytes([number]) * 50_000 for number in range(1, 6)]
        for piece in pieces:
            self.write(piece)
        got = b""
        while len(got) < 250_000:
            await deferLater(ANYTHING, 0)
            try:
                got += os.read(self.read_end, 65536)
            except BlockingIOError:
                continue
        self.assertEqual(b"".join(pieces), got)
        await deferLater(ANYTHING, 0.01)
        self.write(b"hello")
        self.assertEqual(b"hello", os.read(self.read_end, 100))

    async def test_nobody_listens(self) -> None:
        """Writing into a pipe that nobody reads any more raises nothing, and ends it in the reactor's time."""
        listener, self.read_end = self.read_end, os.open(os.devnull, os.O_RDONLY)
        os.close(listener)
        self.write(b"hello")
        self.assertFalse(self.ends.lost.called)
        await self.ends.lost
