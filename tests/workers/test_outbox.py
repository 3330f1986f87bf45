"""What is said in one turn of the reactor goes out together, at once, and in order."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.workers import wire
from smtpclient.workers.message import Cancel, Message, Queued, Refused
from smtpclient.workers.outbox import Outbox
from smtpclient.workers.wire import Reader


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
