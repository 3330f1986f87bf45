"""Deliveries over real sockets: time limits, back pressure, memory, and ends that the network makes."""

import tracemalloc
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from smtpclient.delivery.means import WalkSettings
from smtpclient.interfaces import IContentReader, IMessageContent
from tests.delivery.memory_network import short
from tests.delivery.socket_world import SocketWorld
from tests.mail.messages import TEXT
from tests.ports import free_port
from tests.smtp.scripted_server import PIPELINING, Script

BLOCK = b"0123456789abcdef" * 4 * 1023 + b"\n"
MANY = 320  # blocks: 20 MB


@implementer(IMessageContent)
class LargeContent:
    """
    So many blocks, made when they are asked for.

    :ivar given: how many bytes have been handed out.
    """

    def __init__(self, blocks: int = MANY) -> None:
        self._blocks = blocks
        self.given = 0

    def open(self) -> "LargeReader":
        """A new reading."""
        return LargeReader(self, self._blocks)


@implementer(IContentReader)
class LargeReader:
    """One reading of it."""

    def __init__(self, content: LargeContent, left: int) -> None:
        self._content = content
        self._left = left

    async def next_block(self) -> bytes:
        """The next block, a new one each time."""
        if not self._left:
            return b""
        self._left -= 1
        self._content.given += len(BLOCK)
        return bytes(bytearray(BLOCK))

    def close(self) -> None:
        """Nothing to give back."""


class SocketTestCase(TestCase):
    """A world that is closed behind each test; the reactor must be clean then."""

    timeout = 120

    async def deliver_to(self, script: Script, *addresses: str, content: Any = None, **limits: Any) -> list[str]:
        """One delivery to one server: disposition, status and reason of each recipient."""
        world = SocketWorld({"a": script}, **limits)
        try:
            result = await world.deliver(*addresses, content=content)
        finally:
            await world.close()
        self.world = world
        return [f"{told.disposition.value} {told.status} {told.reason}" for told in result.outcomes]


class Limits(SocketTestCase):
    """Every timed stage at a small limit."""

    def late(self, doing: str) -> list[str]:
        """The outcome of a time-out."""
        return [f"deferred 4.4.2 conversation with mx-a.example[127.0.1.1] timed out while {doing}"]

    async def test_stages(self) -> None:
        """A server that falls silent at any stage is given up after that stage's limit, and no later."""
        stages = {
            "connect": ("helo", "receiving the initial server greeting"),
            "ehlo": ("helo", "performing the EHLO handshake"),
            "mail": ("mail", "sending MAIL FROM"),
            "rcpt": ("rcpt", "sending RCPT TO"),
            "data": ("data_init", "sending DATA command"),
            "eod": ("data_done", "sending end of data -- message may be sent more than once"),
        }
        # All at once, with a limit that leaves a busy machine time to reach the stage: EHLO has what the greeting left.
        found = await gatherResults(
            Deferred.fromCoroutine(self.deliver_to(Script({event: "!hang"}, ehlo), **{limit: 3.0}))
            for event, (limit, _) in stages.items()
            for ehlo in (PIPELINING, ())
        )
        self.assertEqual(found, [self.late(doing) for _, doing in stages.values() for _ in (PIPELINING, ())])

    async def test_helo(self) -> None:
        """HELO has the same limit as EHLO."""
        found = await self.deliver_to(Script({"helo": "!hang"}, None), helo=2.0)
        self.assertEqual(found, self.late("performing the HELO handshake"))

    async def test_content(self) -> None:
        """A server that stops reading in the middle of a large message is dropped after smtp_data_xfer_timeout."""
        content = LargeContent()
        found = await self.deliver_to(Script({"content": "!noread"}), content=content, data_xfer=0.3)
        self.assertEqual(found, self.late("sending message body"))
        self.assertLess(content.given, MANY * len(BLOCK))

    async def test_quit_and_reset(self) -> None:
        """Silence at RSET and QUIT costs their limits, and no mail."""
        found = await self.deliver_to(Script({"quit": "!hang"}), quit=0.1)
        self.assertEqual(found, ["sent 2.0.0 250 2.0.0 Ok: queued"])
        found = await self.deliver_to(Script({"rcpt": "550 5.1.1 no", "rset": "!hang"}), rset=0.1)
        self.assertEqual([words[:13] for words in found], ["bounced 5.1.1"])

    async def test_drip(self) -> None:
        """A greeting whose lines each come in time is waited for."""
        steps = ["220-one", "!sleep 1", "220-two", "!sleep 1", "220-three", "!sleep 1", "220 four"]
        found = await self.deliver_to(Script({"connect": steps}), helo=2.5)
        self.assertEqual(found, ["sent 2.0.0 250 2.0.0 Ok: queued"])

    async def test_a_byte_at_a_time(self) -> None:
        """One that comes byte by byte and never ends is not."""
        steps = ["!raw 2", *(["!sleep 0.05", "!raw 2"] * 40)]
        found = await self.deliver_to(Script({"connect": steps}), helo=0.3)
        self.assertEqual(found, self.late("receiving the initial server greeting"))


class LargeMessages(SocketTestCase):
    """Twenty megabytes."""

    async def test_memory(self) -> None:
        """What a message costs in memory does not grow with its size, also where the server is slow to read it."""
        script = Script({"content": ["!pause 0.1", "!read 1", "!pause 0.1"]}, PIPELINING, keep_content=False)
        await self.deliver_to(script)
        tracemalloc.start()
        try:
            found = await self.deliver_to(script, content=LargeContent())
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        self.assertEqual(found, ["sent 2.0.0 250 2.0.0 Ok: queued"])
        # The block that is sent, the one read ahead, their encodings, and as much in the server of this process.
        self.assertLess(peak, 3 * 2**20)

    async def test_back_pressure(self) -> None:
        """While the server does not read, no more is read from the disk than the system's buffers take."""
        content = LargeContent()
        world = SocketWorld({"a": Script({"content": "!noread"})}, data_xfer=30.0)
        delivering = Deferred.fromCoroutine(world.deliver(content=content))
        given = -1
        while given != content.given or not given:
            given = content.given
            await deferLater(reactor, 0.2)
        self.assertLess(given, 8 * 2**20)
        delivering.cancel()
        self.failureResultOf(delivering, CancelledError)
        await world.close()

    async def test_arrives_whole(self) -> None:
        """What arrives is what was sent."""
        await self.deliver_to(Script(), content=LargeContent(32))
        [received] = self.world.sessions("a")[0].contents
        self.assertEqual(received.replace(b"\r\n ", b""), BLOCK.replace(b"\n", b"\r\n") * 32 + b".\r\n")


class Ends(SocketTestCase):
    """How the network ends a session in the middle of the content."""

    LOST = "deferred 4.4.2 lost connection with mx-a.example[127.0.1.1] while sending message body"

    async def test_close(self) -> None:
        """A server that closes has not taken the message; nothing is in doubt."""
        for ehlo in (PIPELINING, ()):
            script = Script({"content": ["!read 2000", "!close"]}, ehlo)
            self.assertEqual(await self.deliver_to(script, content=LargeContent()), [self.LOST])

    async def test_reset(self) -> None:
        """The same with a reset."""
        script = Script({"content": ["!read 2000", "!reset"]})
        self.assertEqual(await self.deliver_to(script, content=LargeContent()), [self.LOST])

    async def test_refusal_and_silence(self) -> None:
        """A server that refuses and then reads no more is heard at once."""
        script = Script({"content": ["!read 2000", "552 5.3.4 too big", "!noread"]})
        found = await self.deliver_to(script, content=LargeContent(), data_xfer=30.0)
        words = "host mx-a.example[127.0.1.1] said: 552 5.3.4 too big (in reply to end of DATA command)"
        self.assertEqual(found, ["bounced 5.3.4 " + words])

    async def test_refusal_and_close(self) -> None:
        """A server that says why and hangs up is heard."""
        script = Script({"content": ["!read 2000", "452 4.3.1 disk full", "!sleep 1", "!close"]})
        found = await self.deliver_to(script, content=LargeContent())
        words = "host mx-a.example[127.0.1.1] said: 452 4.3.1 disk full (in reply to end of DATA command)"
        self.assertEqual(found, ["deferred 4.3.1 " + words])

    async def test_at_the_dot(self) -> None:
        """A reset after the dot leaves doubt."""
        [words] = await self.deliver_to(Script({"eod": "!reset"}))
        self.assertTrue(words.endswith("while sending end of data -- message may be sent more than once"), words)


class Hostile(SocketTestCase):
    """Servers that send what no client should listen to."""

    async def test_endless_replies(self) -> None:
        """A reply without end is cut off, defers, and costs no memory, whatever it is made of."""
        pieces = {
            "one line": "!fill 4000 " + "x" * 1000,
            "lines": "!fill 40000 250-" + "x" * 60 + "\\r\\n",
            "garbage": "!fill 40000 what is this\\r\\n",
            "NUL": "!fill 4000000 \\0",
        }
        for name, piece in pieces.items():
            tracemalloc.start()
            [words] = await self.deliver_to(Script({"mail": piece}))
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            self.assertEqual(
                words,
                "deferred 4.5.0 host mx-a.example[127.0.1.1] sent a reply without end while sending MAIL FROM",
                name,
            )
            self.assertLess(peak, 24 * 2**20, name)  # the server's own 4 MB, three times, among them

    async def test_flood(self) -> None:
        """Replies that nobody asked for end the session."""
        [words] = await self.deliver_to(Script({"data": ["!fill 100000 250 what\\r\\n"]}, ()))
        self.assertEqual(words[:30], "bounced 5.5.0 Protocol error: ")


class Sessions(SocketTestCase):
    """Reuse over real connections."""

    async def test_reuse(self) -> None:
        """Five messages over one connection, and QUIT at the end of the agent."""
        world = SocketWorld({"a": Script(ehlo=PIPELINING)})
        uses = [
            (await world.deliver(f"u{number}@x", backlog=lambda: True)).outcomes[0].session_uses for number in range(5)
        ]
        await world.agent.close()
        [session] = world.sessions("a")
        await session.until("")
        await world.close()
        self.assertEqual((uses, session.verbs[-1]), ([1, 2, 3, 4, 5], "QUIT"))
        self.assertEqual([len(content) for content in session.contents], [len(TEXT) + TEXT.count(b"\n") + 3] * 5)

    async def test_dead_session(self) -> None:
        """A server that closed the parked connection gets the next message over a new one."""
        for goodbye in ("", "421 4.4.2 idle"):
            world = SocketWorld({"a": Script()})
            await world.deliver(backlog=lambda: True)
            [session] = world.sessions("a")
            if goodbye:
                session.say(goodbye)
            session.transport.loseConnection()
            await session.until("")
            result = await world.deliver(backlog=lambda: True)
            self.assertEqual((short(result), len(world.sessions("a"))), (["sent 2.0.0"], 2))
            await world.close()

    async def test_server_that_closes_at_the_next_message(self) -> None:
        """One that closes when the next MAIL comes is no reason to defer."""
        world = SocketWorld({"a": Script({"mail": ("!default", "!reset")}, PIPELINING)})
        for _ in range(3):
            self.assertEqual(short(await world.deliver(backlog=lambda: True)), ["sent 2.0.0"])
        self.assertEqual(len(world.sessions("a")), 3)
        await world.close()

    async def test_idle_session_hears_quit(self) -> None:
        """A parked session that nobody needs any more hears QUIT when its time is up."""
        world = SocketWorld({"a": Script()})
        object.__setattr__(world.means.pool._settings, "idle", 0.1)
        await world.deliver(backlog=lambda: True)
        [session] = world.sessions("a")
        await session.until("")
        self.assertEqual(session.verbs[-1], "QUIT")
        await world.close()


class Walk(SocketTestCase):
    """Several servers."""

    async def test_refused_silent_good(self) -> None:
        """One that refuses, one that says nothing, one that is good."""
        world = SocketWorld({"a": free_port(), "b": Script({"connect": "!hang"}), "c": Script()}, helo=2.0)
        result = await world.deliver()
        self.assertEqual((short(result), result.outcomes[0].relay[:12]), (["sent 2.0.0"], "mx-c.example"))
        self.assertEqual(len(world.lines), 2)
        await world.close()

    async def test_left_recipients_go_on(self) -> None:
        """With two sessions a request, who was deferred goes on to the next."""
        servers = {"a": Script({"rcpt": {"u2@": "450 4.2.1 busy"}}, PIPELINING), "b": Script(ehlo=PIPELINING)}
        world = SocketWorld(servers, walk=WalkSettings(session_limit=2))
        self.assertEqual(short(await world.deliver("u1@x", "u2@x")), ["sent 2.0.0", "sent 2.0.0"])
        self.assertIn("RCPT TO:<u2@x>", world.sessions("b")[0].commands)
        self.assertNotIn("RCPT TO:<u1@x>", world.sessions("b")[0].commands)
        await world.close()

    async def test_cancelled_everywhere(self) -> None:
        """A delivery that is cancelled while any stage waits leaves the reactor clean."""
        for event in ("connect", "ehlo", "mail", "rcpt", "data", "eod", "quit"):
            world = SocketWorld({"a": Script({event: "!hang"})})
            delivering = Deferred.fromCoroutine(world.deliver())
            while not world.sessions("a"):
                await deferLater(reactor, 0.01)
            if event != "connect":
                await world.sessions("a")[0].until("." if event == "eod" else event.upper())
            await deferLater(reactor, 0.01)
            delivering.cancel()
            self.failureResultOf(delivering, CancelledError)
            await world.sessions("a")[0].until("")
            await world.close()
