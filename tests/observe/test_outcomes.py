"""Subscribers to outcomes."""

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.mail.envelope import Envelope, Recipient
from smtpclient.mail.outcome import Disposition, Outcome
from smtpclient.observe.outcomes import Outcomes
from tests.mail.messages import envelope

OUTCOME = Outcome(Recipient("a@b.example"), Disposition.SENT, "2.0.0", "250 Ok")


class Subscribers(SynchronousTestCase):
    """Who is told."""

    def setUp(self) -> None:
        self.outcomes = Outcomes()
        self.told: list[str] = []

    def subscriber(self, name: str) -> None:
        """Notes that it was called."""

        def note(message: Envelope, outcome: Outcome) -> None:
            self.told.append(f"{name} {message.queue_id} {outcome.status}")

        self.outcomes.subscribe(note)

    def test_everyone_in_order(self) -> None:
        """All are told, in the order in which they came."""
        self.subscriber("first")
        self.subscriber("second")
        self.outcomes.publish(envelope(queue_id="A1"), OUTCOME)
        self.assertEqual(self.told, ["first A1 2.0.0", "second A1 2.0.0"])

    def test_nobody(self) -> None:
        """Without subscribers nothing happens."""
        self.outcomes.publish(envelope(), OUTCOME)

    def test_unsubscribe(self) -> None:
        """Who has left is not told; to leave twice does no harm."""
        unsubscribe = self.outcomes.subscribe(lambda message, outcome: self.told.append("left"))
        self.subscriber("stayed")
        unsubscribe()
        unsubscribe()
        self.outcomes.publish(envelope(), OUTCOME)
        self.assertEqual(self.told, ["stayed 3A66D21A822 2.0.0"])

    def test_leaving_while_told(self) -> None:
        """Who leaves while it is told keeps nobody else from hearing."""

        def leave(message: Envelope, outcome: Outcome) -> None:
            self.told.append("leaving")
            unsubscribe()

        unsubscribe = self.outcomes.subscribe(leave)
        self.subscriber("other")
        for _ in range(2):
            self.outcomes.publish(envelope(), OUTCOME)
        self.assertEqual(self.told, ["leaving", *["other 3A66D21A822 2.0.0"] * 2])

    def test_one_that_raises(self) -> None:
        """Who raises is logged and stays subscribed; the others are told all the same."""

        def fail(message: Envelope, outcome: Outcome) -> None:
            raise RuntimeError("broken")

        self.outcomes.subscribe(fail)
        self.subscriber("other")
        for _ in range(2):
            self.outcomes.publish(envelope(), OUTCOME)
        self.assertEqual(len(self.told), 2)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)
