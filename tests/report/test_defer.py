"""Tests for :mod:`smtpclient.report.defer`."""

import errno

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from smtpclient.interfaces import IDeferService
from smtpclient.report.defer import QueueDeferrals
from tests.report.world import Content, World, deferred, envelope, groups, parsed


class Deferrals(SynchronousTestCase):
    """The queue's own defer service."""

    def setUp(self) -> None:
        self.world = World(self.mktemp())
        self.service = QueueDeferrals(self.world.journal, self.world.notification)
        self.successResultOf(self.service.append(envelope(), deferred()))

    def test_interface(self) -> None:
        """It is a defer service."""
        verifyObject(IDeferService, self.service)

    def test_warning(self) -> None:
        """The sender is warned, and the record is kept for what comes."""
        self.successResultOf(self.service.warn(envelope(), Content()))
        (report,) = self.world.submitted
        self.assertEqual(parsed(report)["Subject"], "Delayed Mail (still being retried)")
        self.assertIsNotNone(self.world.journal_text("defer"))

    def test_expiry(self) -> None:
        """An expired message is reported as failed, with the status that it was last deferred with."""
        self.successResultOf(self.service.flush(envelope(), Content()))
        (report,) = self.world.submitted
        self.assertEqual(parsed(report)["Subject"], "Undelivered Mail Returned to Sender")
        self.assertEqual(
            groups(report)[1],
            {
                "Final-Recipient": "rfc822; slow@example.com",
                "Action": "failed",
                "Status": "4.4.1",
                "Diagnostic-Code": "X-Postfix; connect to mx.example.com[192.0.2.1]:25: Connection refused",
            },
        )
        self.assertIsNone(self.world.journal_text("defer"))

    def test_report_first(self) -> None:
        """While the report is not queued, the record stays."""
        self.world.refusals = [OSError(errno.ENOSPC, "No space left on device")]
        self.failureResultOf(self.service.flush(envelope(), Content()), OSError)
        self.assertIsNotNone(self.world.journal_text("defer"))

    def test_new_attempt(self) -> None:
        """When a new attempt begins, earlier reasons are gone; of who was delivered meanwhile, nobody hears."""
        self.successResultOf(self.service.forget("ABCDE1234"))
        self.successResultOf(self.service.flush(envelope(), Content()))
        self.assertEqual(self.world.submitted, [])
