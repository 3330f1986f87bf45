"""Work that can wait gets what time others leave."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.queue.spare_time import BATCH, LONGEST_REST, SLICE, SpareTime

PIECE = 1 / 1024
"""How long a piece of work takes, seconds; six of them fill a batch."""


class Batches(SynchronousTestCase):
    """How much is begun at once, and how long the rest is."""

    def setUp(self) -> None:
        """Nothing was done yet."""
        self.clock = Clock()
        self.woken: list[float] = []
        self.time = SpareTime(self.clock, lambda: self.woken.append(self.clock.seconds()))

    def work(self, seconds: float) -> int:
        """Do one piece of work after the other, each of so many seconds, for as long as it is spare time."""
        count = 0
        while self.time.is_now:
            self.time.begin()
            self.clock.rightNow += seconds
            self.time.end()
            count += 1
        return count

    def rest(self) -> float:
        """How long the rest under way takes in all, seconds."""
        (call,) = self.clock.getDelayedCalls()
        return call.getTime() - self.clock.seconds()

    def test_a_batch_ends_with_its_count_or_with_its_time(self) -> None:
        """What costs nothing goes by number, what takes a while by the clock."""
        self.assertEqual(self.work(0.0), BATCH)
        self.clock.advance(0)
        self.assertEqual(self.work(SLICE / 2), 2)

    def test_others_have_a_turn_after_each_batch_and_no_more_when_there_are_none(self) -> None:
        """The rest is one turn of the reactor."""
        self.work(PIECE)
        self.assertEqual(self.rest(), 0.0)
        self.clock.advance(0)
        self.assertEqual(len(self.woken), 1)

    def test_beside_others_that_take_all_the_time_it_gets_a_thirteenth(self) -> None:
        """Others that are as dear have filled the time since the last batch."""
        self.work(PIECE)
        self.clock.advance(0.5)
        self.time.others += 500
        self.assertEqual(self.work(PIECE), 6)
        self.assertAlmostEqual(self.rest(), 12 * 6 * PIECE)

    def test_the_rest_shrinks_with_what_others_do(self) -> None:
        """Ten others in a second leave nearly all the time."""
        self.work(PIECE)
        self.clock.advance(1 - 6 * PIECE)
        self.time.others += 10
        self.work(PIECE)
        self.assertAlmostEqual(self.rest(), 12 * 6 * PIECE * 2 * 10 * PIECE)

    def test_no_rest_is_longer_than_its_bound(self) -> None:
        """Work that takes an age, beside others."""
        self.time.others += 100
        self.work(10.0)
        self.assertEqual(self.rest(), LONGEST_REST)

    def test_what_waits_for_something_is_waited_for(self) -> None:
        """Work under way is part of its batch: the next one begins when all of it has ended."""
        for _ in range(BATCH):
            self.time.begin()
        self.assertFalse(self.time.is_now)
        self.clock.advance(1)
        for _ in range(BATCH):
            self.assertEqual(self.clock.getDelayedCalls(), [])
            self.time.end()
        self.clock.advance(0)
        self.assertTrue(self.time.is_now)

    def test_it_goes_on_after_it_was_cleared(self) -> None:
        """No timer is left; what was under way ends without harm."""
        self.work(PIECE)
        self.time.clear()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.time.begin()
        self.time.clear()
        self.time.end()
        self.assertTrue(self.time.is_now)
