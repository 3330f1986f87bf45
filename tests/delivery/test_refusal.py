"""Transports that contact nobody."""

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.delivery import refusal
from smtpclient.mail.outcome import Delays
from smtpclient.mail.request import DeliveryRequest
from tests.mail.messages import MemoryContent, envelope, recipients


def request(transport: str, next_hop: str) -> DeliveryRequest:
    """A request for two recipients."""
    whom = recipients("a@x.example", "b@x.example")
    return DeliveryRequest(envelope(arrival=10.0), whom, transport, next_hop, MemoryContent(), 12.0)


class Refusals(SynchronousTestCase):
    """What the next hop says."""

    maxDiff = None

    def test_table(self) -> None:
        """Disposition, status and reason of each transport, with and without code and text."""
        table = {
            ("error", "5.7.1 we do not write there"): ("bounced", "5.7.1", "we do not write there"),
            ("error", "user unknown"): ("bounced", "5.0.0", "user unknown"),
            ("error", "4.7.1 wrong class"): ("bounced", "5.0.0", "wrong class"),
            ("error", "5.7.1"): ("bounced", "5.7.1", "the error transport"),
            ("error", ""): ("bounced", "5.0.0", "the error transport"),
            ("error", " 5.1.1  blanks "): ("bounced", "5.1.1", "blanks"),
            ("error", "5.7.1000 no code"): ("bounced", "5.0.0", "5.7.1000 no code"),
            ("error", "5.7.1no blank"): ("bounced", "5.0.0", "5.7.1no blank"),
            ("retry", "4.3.2 closed for repairs"): ("deferred", "4.3.2", "closed for repairs"),
            ("retry", "5.7.1 wrong class"): ("deferred", "4.0.0", "wrong class"),
            ("retry", "later"): ("deferred", "4.0.0", "later"),
            ("discard", ""): ("sent", "2.0.0", "the discard transport"),
            ("discard", "2.7.0 silently"): ("sent", "2.7.0", "silently"),
        }
        found = {}
        for transport, next_hop in table:
            outcome = refusal.outcomes(request(transport, next_hop), 15.0)[0]
            found[transport, next_hop] = (outcome.disposition.value, outcome.status, outcome.reason)
        self.assertEqual(found, table)

    def test_every_recipient(self) -> None:
        """Every recipient has its outcome, with no server in it and the time that it waited."""
        outcomes = refusal.outcomes(request("error", "5.7.1 no"), 15.0)
        self.assertEqual([outcome.recipient.address for outcome in outcomes], ["a@x.example", "b@x.example"])
        self.assertEqual({(outcome.relay, outcome.delays) for outcome in outcomes}, {("none", Delays(2.0, 3.0))})

    def test_clock_that_goes_back(self) -> None:
        """No delay is negative."""
        self.assertEqual(refusal.outcomes(request("retry", ""), 0.0)[0].delays, Delays(2.0, 0.0))
