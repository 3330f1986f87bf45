"""Tests for :mod:`smtpclient.report.probe`: the three services of the queue's own, and a message that is a probe."""

import errno

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.mail.envelope import Envelope, Notify
from smtpclient.mail.outcome import Outcome
from smtpclient.report.bounce import QueueBounces
from smtpclient.report.defer import QueueDeferrals
from smtpclient.report.trace import QueueTraces
from tests.report.world import UNSAID, Content, World, bounced, deferred, envelope, groups, parsed, part_bytes, sent

PROBE = {"trace_flags": "512"}
VERIFY = {"trace_flags": "256"}


class ProbeTests(SynchronousTestCase):
    """Somebody asks what would become of mail for three recipients."""

    def setUp(self) -> None:
        self.world = World(self.mktemp())
        told = self.world.journal, self.world.notification
        self.bounces, self.deferrals, self.traces = QueueBounces(*told), QueueDeferrals(*told), QueueTraces(*told)

    def answer(self, about: Envelope, wish: Notify = UNSAID) -> None:
        """One would be delivered, one refused, and one would have to wait."""
        answers: list[tuple[QueueBounces | QueueDeferrals | QueueTraces, Outcome]] = [
            (self.traces, sent(notify=wish)),
            (self.bounces, bounced(notify=wish)),
            (self.deferrals, deferred(notify=wish)),
        ]
        for service, outcome in answers:
            self.successResultOf(service.append(about, outcome))

    def test_one_report_of_all(self) -> None:
        """All answers are in one report to the sender, as what they are, and nothing is left on record."""
        self.answer(envelope(attributes=PROBE))
        for service in (self.bounces, self.traces):
            self.successResultOf(service.flush(envelope(attributes=PROBE), Content()))
        (report,) = self.world.submitted
        self.assertEqual((report.sender, [one.address for one in report.recipients]), ("", ["author@example.org"]))
        self.assertEqual(parsed(report)["Subject"], "Mail Delivery Status Report")
        self.assertEqual(
            {group["Final-Recipient"]: (group["Action"], group["Status"]) for group in groups(report)[1:]},
            {
                "rfc822; friend@example.com": ("deliverable", "2.0.0"),
                "rfc822; nobody@example.com": ("undeliverable", "5.1.1"),
                "rfc822; slow@example.com": ("undeliverable", "4.4.1"),
            },
        )
        text = part_bytes(report, 0).replace(b"\n    ", b" ")
        self.assertIn(b"Nothing was sent to them.", text)
        self.assertIn(b"<friend@example.com>: delivery via mx.example.com[192.0.2.1]:25: 250 2.0.0 Ok", text)
        self.assertEqual([self.world.journal_text(kind) for kind in ("bounce", "defer", "trace")], [None] * 3)
        self.assertEqual(self.world.lines, ["bounce: ABCDE1234: sender delivery status notification: NEW1"])

    def test_whatever_notify_says(self) -> None:
        """Who asks gets an answer, though the recipients' NOTIFY speaks of something else."""
        self.answer(envelope(attributes=PROBE), Notify.DELAY)
        self.successResultOf(self.traces.flush(envelope(attributes=PROBE), Content()))
        self.assertEqual(len(groups(self.world.submitted[0])), 4)

    def test_nobody_asked(self) -> None:
        """What Postfix's verify(8) would be told is told to nobody here."""
        self.answer(envelope(attributes=VERIFY))
        for service in (self.bounces, self.traces):
            self.successResultOf(service.flush(envelope(attributes=VERIFY), Content()))
        self.assertEqual((self.world.submitted, self.world.journal_text("trace")), ([], None))

    def test_null_sender(self) -> None:
        """A report about a probe of the null sender would go to nobody."""
        self.answer(envelope("", attributes=PROBE))
        self.successResultOf(self.traces.flush(envelope("", attributes=PROBE), Content()))
        self.assertEqual(self.world.submitted, [])

    def test_disk_failure(self) -> None:
        """An answer that cannot be recorded is an error, so that the recipient stays queued."""
        self.world.files.failing = OSError(errno.EIO, "Input/output error")
        for service, outcome in ((self.traces, sent()), (self.bounces, bounced()), (self.deferrals, deferred())):
            self.failureResultOf(service.append(envelope(attributes=PROBE), outcome), OSError)
        self.assertFalse(self.world.journal_text("trace"))
