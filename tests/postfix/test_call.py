"""One question to one daemon, over real sockets."""

import os
import socket
import tempfile

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import TestCase

from smtpclient.postfix.attributes import Fields, encode
from smtpclient.postfix.call import AT_ONCE, Caller, Unanswered
from tests.postfix.scripted_daemon import DONE, GREETING, ScriptedDaemon

PROTOCOL = "delivery_status_protocol"
QUESTION = encode([("nrequest", 0)])


class Case(TestCase):
    """A caller, and a folder for sockets whose path is short enough."""

    timeout = 120

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="daemon-")
        self.addCleanup(folder.cleanup)
        self.path = folder.name + "/bounce"
        self.caller = Caller(reactor, reactor, folder.name, patience=30)

    def ask(self, caller: Caller | None = None) -> Deferred[Fields]:
        """Put the question."""
        return Deferred.fromCoroutine((caller or self.caller).ask("bounce", PROTOCOL, QUESTION))

    async def refusal(self, caller: Caller | None = None) -> str:
        """Why there is no answer."""
        return str(await self.assertFailure(self.ask(caller), Unanswered))


class AnswerTests(Case):
    """There is an answer."""

    async def test_answer(self) -> None:
        """The question goes out after the greeting, and the answer comes back."""
        daemon = ScriptedDaemon()
        daemon.listen(self, reactor, self.path)
        fields = await self.ask()
        self.assertEqual((fields.integer("status"), daemon.lists[0].integer("nrequest")), (0, 0))

    async def test_greeting_and_answer_in_pieces(self) -> None:
        """It does not matter in how many pieces the greeting arrives."""
        daemon = ScriptedDaemon(greeting=GREETING[:10])
        daemon.listen(self, reactor, self.path)
        asking = self.ask()
        while not daemon.connections:
            await deferLater(reactor, 0.01)
        await deferLater(reactor, 0.05)  # the caller should have seen the first piece alone
        daemon.connections[0].say(GREETING[10:])
        self.assertEqual((await asking).integer("status"), 0)

    async def test_turns(self) -> None:
        """More questions than may be under way wait for their turn, and all are answered."""
        enough: Deferred[None] = Deferred()

        def hold(fields: Fields) -> bytes:
            if len(daemon.lists) == AT_ONCE:
                enough.callback(None)
            return b""

        daemon = ScriptedDaemon(hold)
        daemon.listen(self, reactor, self.path)
        asking = gatherResults([self.ask() for _ in range(3 * AT_ONCE)])
        await enough
        self.assertEqual((len(daemon.connections), len(daemon.lists)), (AT_ONCE, AT_ONCE))
        daemon.answer = lambda fields: DONE
        for connection in daemon.connections:
            connection.say(DONE)
        self.assertEqual([fields.integer("status") for fields in await asking], [0] * 3 * AT_ONCE)

    async def test_full_backlog(self) -> None:
        """A daemon that has no room for another connection is tried again until it has."""
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(self.path)
        listener.listen(0)
        listener.setblocking(False)
        first = socket.socket(socket.AF_UNIX)
        self.addCleanup(first.close)
        first.connect(self.path)

        asking = self.ask()
        await deferLater(reactor, 0.2)
        self.addCleanup(listener.accept()[0].close)
        while True:
            try:
                second = listener.accept()[0]
            except BlockingIOError:
                await deferLater(reactor, 0.02)
            else:
                break
        self.addCleanup(second.close)
        second.sendall(GREETING + DONE)
        self.assertEqual((await asking).integer("status"), 0)


class NoAnswerTests(Case):
    """There is none."""

    async def test_nobody_listens(self) -> None:
        """A socket that nobody listens on is named with the system's words."""
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.path)
        listener.close()
        self.assertEqual(await self.refusal(), "bounce: Connection refused")

    async def test_no_socket(self) -> None:
        """So is one that is not there."""
        self.assertEqual(await self.refusal(), "bounce: No such file or directory")

    async def test_long_path(self) -> None:
        """A path that no socket can have is refused in words."""
        caller = Caller(reactor, reactor, "/" + "x" * 120)
        self.assertEqual(await self.refusal(caller), "bounce: the path of the socket is too long")

    async def test_other_protocol(self) -> None:
        """A daemon that greets with another protocol is asked nothing."""
        daemon = ScriptedDaemon(greeting=encode([("protocol", "cleanup_protocol"), ("queue_id", "A")]))
        daemon.listen(self, reactor, self.path)
        self.assertEqual(await self.refusal(), f"bounce: expected {PROTOCOL}, not cleanup_protocol")
        self.assertEqual(daemon.lists, [])

    async def test_no_attributes(self) -> None:
        """What is no attribute list ends the conversation."""
        ScriptedDaemon(greeting=b"220 mx ESMTP\r\n\0").listen(self, reactor, self.path)
        self.assertIn("bounce: expected the name of an attribute, not ", await self.refusal())

    async def test_hang_up(self) -> None:
        """A daemon that hangs up without an answer has not answered."""
        ScriptedDaemon(lambda fields: None).listen(self, reactor, self.path)
        self.assertEqual(await self.refusal(), "bounce: the connection was lost before the answer")

    async def test_silence(self) -> None:
        """A daemon that says nothing is given up when the time is over, and the connection is closed."""
        clock = Clock()
        caller = Caller(reactor, clock, os.path.dirname(self.path), patience=30)
        said: Deferred[None] = Deferred()
        daemon = ScriptedDaemon(lambda fields: said.callback(None) or b"")
        daemon.listen(self, reactor, self.path)
        asking = self.ask(caller)
        await said
        clock.advance(30)
        failure = await self.assertFailure(asking, Unanswered)
        self.assertEqual(str(failure), "bounce: no answer within 30 seconds")

    async def test_silence_frees_the_turn(self) -> None:
        """Who waits for a turn behind silent ones has the same time, not theirs and then its own."""
        clock = Clock()
        caller = Caller(reactor, clock, os.path.dirname(self.path), patience=30)
        ScriptedDaemon(lambda fields: b"").listen(self, reactor, self.path)
        asking = [self.ask(caller) for _ in range(AT_ONCE + 1)]
        clock.advance(30)
        for each in asking:
            await self.assertFailure(each, Unanswered)
