"""The account of a message in the active queue."""

from typing import cast

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.interfaces import IMessageContent
from smtpclient.mail.envelope import QueuedMessage, Recipient
from smtpclient.mail.outcome import Disposition, Outcome
from smtpclient.queue.active_message import ActiveMessage, Tally
from tests.report.world import envelope

RECIPIENTS = (Recipient("a@dest.test", offset=1), Recipient("b@dest.test", offset=2))


def tried(trace_flags: str, *dispositions: Disposition) -> Tally:
    """What a fresh message has come to with these outcomes."""
    attributes = {"trace_flags": trace_flags} if trace_flags else {}
    message = QueuedMessage(envelope(attributes=attributes), RECIPIENTS)
    active = ActiveMessage(message, cast(IMessageContent, None), 0.0, True, False)
    active.settle(
        Outcome(recipient, disposition, "4.0.0", "said so")
        for recipient, disposition in zip(RECIPIENTS, dispositions, strict=False)
    )
    return active.tally()


class TallyTests(SynchronousTestCase):
    """What a message has come to."""

    def test_deferred(self) -> None:
        """A deferred recipient remains."""
        self.assertEqual(tried("", Disposition.SENT, Disposition.DEFERRED).remaining, 1)

    def test_probe(self) -> None:
        """A probe is over with its first answer, be that a deferral; one without an answer remains."""
        self.assertEqual([tried(flags, Disposition.DEFERRED).remaining for flags in ("256", "512", "1024")], [1, 1, 2])

    def test_traced(self) -> None:
        """Who asked to hear of every attempt hears of one that only failed, too; what is no number asks for nothing."""
        failed = Disposition.BOUNCED, Disposition.DEFERRED
        self.assertEqual(
            {flags: tried(flags, *failed).success_wanted for flags in ("", "512", "1024", "x", "7" * 5000)},
            {"": False, "512": True, "1024": True, "x": False, "7" * 5000: False},
        )
