"""A second queue manager on the directory is noticed."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.observe.maillog import MailLog
from smtpclient.queue.takeover import INTERVAL, TakeoverWatch


class TakeoverWatchTests(SynchronousTestCase):
    """What the watch does."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.lines: list[str] = []
        self.stops: list[float] = []
        self.taken_over = False
        maillog = MailLog(self.clock.seconds)
        maillog.publisher.addObserver(lambda event: self.lines.append(event["mail_line"]))
        stop = lambda: self.stops.append(self.clock.seconds())  # noqa: E731
        self.watch = TakeoverWatch(lambda: self.taken_over, stop, self.clock, maillog)
        self.watch.startService()
        self.addCleanup(self.watch.stopService)

    def test_alone(self) -> None:
        """As long as nobody comes nothing is said or stopped."""
        self.clock.pump([INTERVAL] * 5)
        self.assertEqual((self.lines, self.stops), ([], []))

    def test_taken_over(self) -> None:
        """When somebody has come it is said, and delivery is stopped, once."""
        self.clock.advance(INTERVAL)
        self.taken_over = True
        self.clock.pump([INTERVAL] * 5)
        self.assertEqual(self.stops, [2 * INTERVAL])
        self.assertEqual(len(self.lines), 1)
        self.assertIn("another queue manager has taken over public/qmgr", self.lines[0])
