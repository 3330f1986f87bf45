"""Tests for :mod:`smtpclient.report.trace`."""

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from smtpclient.interfaces import ITraceService
from smtpclient.mail.envelope import Notify
from smtpclient.report.trace import QueueTraces
from tests.report.world import Content, World, envelope, groups, part_bytes, sent


class Traces(SynchronousTestCase):
    """The queue's own trace service."""

    def setUp(self) -> None:
        self.world = World(self.mktemp())
        self.service = QueueTraces(self.world.journal, self.world.notification)

    def test_interface(self) -> None:
        """It is a trace service."""
        verifyObject(ITraceService, self.service)

    def test_from_record_to_report(self) -> None:
        """What was asked for is reported with the server that took it, and forgotten."""
        self.successResultOf(self.service.append(envelope(), sent()))
        self.assertIn(
            b"\naction=relayed\n",
            self.world.journal_text("trace") or b"",
        )
        self.successResultOf(self.service.flush(envelope(), Content()))
        (report,) = self.world.submitted
        self.assertEqual(groups(report)[1]["Diagnostic-Code"], "smtp; 250 2.0.0 Ok: queued as 1")
        text = part_bytes(report, 0).replace(b"\n    ", b" ")
        self.assertIn(b"<friend@example.com>: delivery via mx.example.com[192.0.2.1]:25: 250 2.0.0 Ok", text)
        self.assertIsNone(self.world.journal_text("trace"))

    def test_not_asked_for(self) -> None:
        """Of a recipient without NOTIFY=SUCCESS nothing is recorded."""
        for notify in (Notify(0), Notify.FAILURE | Notify.DELAY, Notify.NEVER):
            self.successResultOf(self.service.append(envelope(), sent(notify=notify)))
        self.assertIsNone(self.world.journal_text("trace"))

    def test_next_server_reports(self) -> None:
        """Where the next server has taken over the reporting, nothing is recorded."""
        self.successResultOf(self.service.append(envelope(), sent(relayed_dsn=True)))
        self.assertIsNone(self.world.journal_text("trace"))

    def test_no_server(self) -> None:
        """A delivery without a server is told without one."""
        self.successResultOf(self.service.append(envelope(), sent(peer=None, reply="", reason="discarded")))
        self.assertIn(b"\nreason=discarded\n", self.world.journal_text("trace") or b"")
