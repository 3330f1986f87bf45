"""Tests for :mod:`smtpclient.tls.chores`."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.tls.chores import Chore


class Rounds(SynchronousTestCase):
    """Work that comes round."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.waiting: list[Deferred[None]] = []
        self.cancelled: list[object] = []
        self.prepared = 0
        self.chore = Chore(self.work, 10.0, self.clock, self.prepare)
        self.chore.startService()
        self.addCleanup(lambda: self.chore.stopService() if self.chore.running else None)

    def prepare(self) -> None:
        """Count."""
        self.prepared += 1

    async def work(self) -> None:
        """Wait for the test."""
        self.waiting.append(Deferred(self.cancelled.append))
        await self.waiting[-1]

    def test_one_at_a_time(self) -> None:
        """A round that takes longer than the pause delays the next one."""
        self.clock.pump([5.0] * 8)
        self.assertEqual((self.prepared, len(self.waiting)), (1, 1))
        self.waiting[0].callback(None)
        self.clock.advance(10)
        self.assertEqual(len(self.waiting), 2)

    def test_failure(self) -> None:
        """It is logged, and the next round comes."""
        self.clock.advance(10)
        self.waiting[0].errback(ZeroDivisionError())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.clock.advance(10)
        self.assertEqual(len(self.waiting), 2)

    def test_end(self) -> None:
        """The end of the service ends the round, and there is no other."""
        self.clock.advance(10)
        self.chore.stopService()
        self.clock.advance(100)
        self.assertEqual((len(self.cancelled), len(self.waiting), self.clock.getDelayedCalls()), (1, 1, []))
