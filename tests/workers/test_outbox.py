"""What is said in one turn of the reactor goes out together, at once, and in order."""

import os
from typing import Any

from twisted.internet import reactor
from twisted.internet.process import ProcessWriter
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase

from smtpclient.workers import wire
from smtpclient.workers.message import Cancel, Message, Queued, Refused
from smtpclient.workers.outbox import Outbox, prompt
from smtpclient.workers.wire import Reader

REACTOR: Any = reactor


class OutboxTests(SynchronousTestCase):
    """When what is sent."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.frames: list[bytes] = []
        self.refused: list[Message] = []
        self.outbox = Outbox(self.clock, self.frames.append, lambda message, _why: self.refused.append(message))

    def sent(self) -> list[list[Message]]:
        """The messages in each frame."""
        return [list(Reader().feed(frame)) for frame in self.frames]

    def test_what_is_said_in_one_turn_is_one_frame(self) -> None:
        """Nothing goes out before the turn is over, and no timer is left behind."""
        self.outbox.say(Cancel(1))
        self.outbox.say(Cancel(2))
        self.assertEqual([], self.frames)
        self.clock.advance(0)
        self.assertEqual([[Cancel(1), Cancel(2)]], self.sent())
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_what_cannot_wait_takes_along_what_was_said_before(self) -> None:
        """The order stays."""
        self.outbox.say(Cancel(1))
        self.outbox.say_now(Cancel(2))
        self.assertEqual([[Cancel(1), Cancel(2)]], self.sent())
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_who_will_flush_needs_no_timer(self) -> None:
        """While it is held, what is said waits; later it is as before."""
        self.outbox.hold()
        self.outbox.say(Cancel(1))
        self.assertEqual([], self.clock.getDelayedCalls())
        self.outbox.flush()
        self.outbox.say(Cancel(2))
        self.clock.advance(0)
        self.assertEqual([[Cancel(1)], [Cancel(2)]], self.sent())

    def test_what_is_too_long_together_goes_out_one_by_one(self) -> None:
        """One that no frame can hold is given back; the others are sent."""
        self.patch(wire, "LONGEST", 100)
        small = [Queued("A" * 60), Queued("B" * 60)]
        for message in (small[0], Refused("x" * 200), small[1]):
            self.outbox.say(message)
        self.clock.advance(0)
        self.assertEqual([[small[0]], [small[1]]], self.sent())
        self.assertEqual([Refused("x" * 200)], self.refused)


class Ends:
    """What a pipe of Twisted's tells about itself."""

    def childConnectionLost(self, name: str, reason: object) -> None:
        return


class PromptTests(TestCase):
    """A real pipe."""

    def setUp(self) -> None:
        self.read_end, write_end = os.pipe()
        os.set_blocking(self.read_end, False)
        self.addCleanup(os.close, self.read_end)
        self.writer = ProcessWriter(REACTOR, Ends(), "write", write_end)
        self.addCleanup(self.close)
        self.write = prompt(self.writer)

    async def close(self) -> None:
        """Close the pipe."""
        self.writer.loseConnection()
        await deferLater(REACTOR, 0.01)

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
            await deferLater(REACTOR, 0)
            try:
                got += os.read(self.read_end, 65536)
            except BlockingIOError:
                continue
        self.assertEqual(b"".join(pieces), got)
        await deferLater(REACTOR, 0.01)
        self.write(b"hello")
        self.assertEqual(b"hello", os.read(self.read_end, 100))

    def test_what_is_no_such_pipe_is_written_to_as_ever(self) -> None:
        """Anything that has ``write``."""
        written: list[bytes] = []
        prompt(type("Other", (), {"write": staticmethod(written.append)}))(b"x")
        self.assertEqual([b"x"], written)
