"""Work that can wait gets what time others leave."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.queue.spare_time import BATCH, LONGEST_REST, REST_PER_WORK, SLICE, SpareTime
from tests.queue.scheduling import turn

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

    def others(self, seconds: float) -> None:
        """Have others take so much of the two turns of the reactor behind a batch."""
        turn(self.clock)
        self.clock.rightNow += seconds
        turn(self.clock)

    def rest(self) -> float:
        """How long the rest under way takes, seconds; 0: there is none."""
        return sum(call.getTime() - self.clock.seconds() for call in self.clock.getDelayedCalls())

    def test_a_batch_ends_with_its_count_or_with_its_time(self) -> None:
        """What costs nothing goes by number, what takes a while by the clock."""
        self.assertEqual(self.work(0.0), BATCH)
        self.others(0)
        self.assertEqual(self.work(SLICE / 2), 2)

    def test_where_others_do_nothing_there_is_no_rest(self) -> None:
        """Only two turns of the reactor, which take a moment."""
        self.work(PIECE)
        self.assertEqual(self.woken, [])
        self.others(0.001)
        self.assertEqual((self.rest(), len(self.woken), self.time.is_now), (0.0, 1, True))

    def test_where_others_take_all_the_time_the_rest_is_a_hundred_times_the_work(self) -> None:
        """They had more to do than the batch was long."""
        self.assertEqual(self.work(PIECE), 6)
        self.others(0.1)
        self.assertAlmostEqual(self.rest(), REST_PER_WORK * 6 * PIECE)
        self.assertFalse(self.time.is_now)
        self.clock.advance(REST_PER_WORK * 6 * PIECE)
        self.assertEqual(len(self.woken), 1)

    def test_the_rest_shrinks_with_what_others_do(self) -> None:
        """They took two milliseconds, of which one is nobody's."""
        self.work(PIECE)
        self.others(0.002)
        self.assertAlmostEqual(self.rest(), REST_PER_WORK * 0.001)

    def test_no_rest_is_longer_than_its_bound(self) -> None:
        """Work that took an age, beside others."""
        self.work(10.0)
        self.others(10.0)
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
        self.others(0)
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
