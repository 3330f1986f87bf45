"""Tests for :mod:`smtpclient.report.bounce`."""

import errno

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from smtpclient.interfaces import IBounceService
from smtpclient.report.bounce import QueueBounces
from tests.report.world import Content, World, bounced, envelope, groups


class Bounces(SynchronousTestCase):
    """The queue's own bounce service."""

    def setUp(self) -> None:
        self.world = World(self.mktemp())
        self.service = QueueBounces(self.world.journal, self.world.notification)

    def test_interface(self) -> None:
        """It is a bounce service."""
        verifyObject(IBounceService, self.service)

    def test_from_record_to_report(self) -> None:
        """What was recorded is reported, all at once, and forgotten."""
        for address in ("a@example.com", "b@example.com"):
            self.successResultOf(self.service.append(envelope(), bounced(address)))
        self.assertEqual(self.world.submitted, [])
        self.successResultOf(self.service.flush(envelope(), Content()))
        (report,) = self.world.submitted
        self.assertEqual(
            [(group["Final-Recipient"], group["Action"]) for group in groups(report)[1:]],
            [("rfc822; a@example.com", "failed"), ("rfc822; b@example.com", "failed")],
        )
        self.assertIsNone(self.world.journal_text("bounce"))

    def test_nothing_recorded(self) -> None:
        """Where nobody failed, nothing is sent and nothing is left."""
        self.successResultOf(self.service.flush(envelope(), Content()))
        self.assertEqual((self.world.submitted, self.world.lines), ([], []))

    def test_report_first(self) -> None:
        """While the report is not queued, the record stays; the next flush sends it."""
        self.successResultOf(self.service.append(envelope(), bounced()))
        self.world.refusals = [OSError(errno.ENOSPC, "No space left on device")]
        self.failureResultOf(self.service.flush(envelope(), Content()), OSError)
        self.assertIsNotNone(self.world.journal_text("bounce"))
        self.successResultOf(self.service.flush(envelope(), Content()))
        self.assertEqual((len(self.world.submitted), self.world.journal_text("bounce")), (1, None))

    def test_recorded_again_after_a_crash(self) -> None:
        """A recipient that was recorded, not marked, and tried again is in the report once."""
        for _ in range(2):
            self.successResultOf(self.service.append(envelope(), bounced()))
        self.successResultOf(self.service.flush(envelope(), Content()))
        self.assertEqual(len(groups(self.world.submitted[0])), 2)

    def test_disk_failure(self) -> None:
        """A recipient that cannot be recorded is an error, so that it stays queued."""
        self.world.files.failing = OSError(errno.EIO, "Input/output error")
        self.failureResultOf(self.service.append(envelope(), bounced()), OSError)
        self.world.files.failing = None
        self.successResultOf(self.service.flush(envelope(), Content()))
        self.assertEqual(self.world.submitted, [])
