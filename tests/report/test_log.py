"""Tests for :mod:`smtpclient.report.log`."""

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.report.event import Event
from smtpclient.report.log import LogListener
from tests.report.world import NOW, World, entry, envelope


class Log(SynchronousTestCase):
    """The service that only logs."""

    def test_line(self) -> None:
        """Each event is one line, under the message's queue id, whatever the reason contains."""
        world = World(self.mktemp())
        listener = LogListener(world.maillog)
        self.successResultOf(listener.tell(Event("bounced", envelope(), entry("a b@example.com", "it\nfailed"), NOW)))
        self.successResultOf(listener.close())
        self.assertEqual(world.lines, ['bounce: ABCDE1234: recipient <"a b"@example.com> bounced: 5.0.0 (it?failed)'])
