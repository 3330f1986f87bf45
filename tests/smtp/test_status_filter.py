"""Statuses that a table replaces."""

from twisted.logger import LogEvent
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.tables import Tables
from smtpclient.mail.envelope import Recipient
from smtpclient.mail.outcome import Disposition, Outcome
from smtpclient.observe.maillog import MailLog
from smtpclient.smtp.status_filter import StatusFilter
from tests.delivery.memory_network import World
from tests.smtp.scripted_server import Script


class Filtering(SynchronousTestCase):
    """One outcome in, one out."""

    def setUp(self) -> None:
        self.lines: list[str] = []
        self.maillog = MailLog(lambda: 0.0)
        self.maillog.publisher.addObserver(self.note)

    def note(self, event: LogEvent) -> None:
        """Remember a line of the log."""
        self.lines.append(event["mail_line"])

    def become(self, disposition: Disposition, status: str, answer: str) -> str:
        """What becomes of an outcome with the reason ``why`` by a table with this answer."""
        tables = Tables(f"inline:{{{{{status} why = {answer}}}}}")
        found = StatusFilter(tables, self.maillog).outcome(Outcome(Recipient("a@b"), disposition, status, "why"))
        return f"{found.disposition.value} {found.status} {found.reason}"

    def test_replaced(self) -> None:
        """Status, reason and disposition come from the table; a failure may become a deferral and back."""
        sent, deferred, bounced = Disposition.SENT, Disposition.DEFERRED, Disposition.BOUNCED
        self.assertEqual(self.become(bounced, "5.1.1", "5.2.0 other"), "bounced 5.2.0 other")
        self.assertEqual(self.become(bounced, "5.1.1", "4.2.0 later"), "deferred 4.2.0 later")
        self.assertEqual(self.become(deferred, "4.1.1", "5.2.0 never"), "bounced 5.2.0 never")
        self.assertEqual(self.become(sent, "2.0.0", "2.1.5 fine"), "sent 2.1.5 fine")
        self.assertEqual(self.lines, [])

    def test_left_alone(self) -> None:
        """What would make a success of a failure, or the reverse, or is no status, is warned of."""
        wrong = {
            (Disposition.BOUNCED, "5.1.1", "2.0.0 fine"): "bounced 5.1.1 why",
            (Disposition.SENT, "2.0.0", "5.0.0 no"): "sent 2.0.0 why",
            (Disposition.SENT, "2.0.0", "4.0.0 no"): "sent 2.0.0 why",
            (Disposition.DEFERRED, "4.0.0", "nonsense"): "deferred 4.0.0 why",
        }
        self.assertEqual({case: self.become(*case) for case in wrong}, wrong)
        self.assertEqual(len(self.lines), 4)
        self.assertIn("smtp_delivery_status_filter: 5.1.1 why: cannot become 2.0.0 fine", self.lines[0])

    def test_unknown(self) -> None:
        """What no table knows stays as it is."""
        outcome = Outcome(Recipient("a@b"), Disposition.SENT, "2.0.0", "other")
        self.assertIs(StatusFilter(Tables("inline:{a=b}"), self.maillog).outcome(outcome), outcome)

    def test_in_a_delivery(self) -> None:
        """It is settled, not only shown: a refusal that becomes a deferral keeps the recipient."""
        world = World({"a": Script({"rcpt": "550 5.1.1 unknown"})})
        said = "host mx-a.example[192.0.2.1] said: 550 5.1.1 unknown (in reply to RCPT TO command)"
        tables = Tables(f"inline:{{{{5.1.1 {said} = 4.2.0 perhaps}}}}")
        object.__setattr__(world.means, "status_filter", StatusFilter(tables, self.maillog))
        [outcome] = world.deliver().outcomes
        self.assertEqual((outcome.disposition, outcome.status), (Disposition.DEFERRED, "4.2.0"))
