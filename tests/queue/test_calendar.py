"""When the files of deferred/ are due, in twelve bytes or so for each."""

import sys

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.queue.calendar import WIDTH, Calendar


def popped(calendar: Calendar, now: float) -> set[str]:
    """Everything that is given out at a time."""
    found = set()
    while (queue_id := calendar.pop(now)) is not None:
        found.add(queue_id)
    return found


class CalendarTests(SynchronousTestCase):
    """What was written down is given out in its time."""

    @settings(max_examples=100, deadline=None, derandomize=True)
    @given(st.lists(st.floats(0, 300)), st.floats(0, 400))
    def test_never_early_and_not_much_late(self, dues: list[float], now: float) -> None:
        """A name comes after its time, and within the width of a bucket."""
        calendar = Calendar()
        for number, due in enumerate(dues):
            calendar.add(f"A{number}", due)
        found = popped(calendar, now)
        self.assertLessEqual(found, {f"A{number}" for number, due in enumerate(dues) if due <= now})
        self.assertGreaterEqual(found, {f"A{number}" for number, due in enumerate(dues) if due <= now - WIDTH})

    def test_it_says_when_to_come_again(self) -> None:
        """``due`` is when the next name is given out; none, when there is nothing."""
        calendar = Calendar()
        self.assertIsNone(calendar.due)
        calendar.add("A1", 55.0)
        calendar.add("A2", 155.0)
        self.assertEqual((calendar.due, calendar.pop(59.9), calendar.pop(60.0)), (60.0, None, "A1"))
        self.assertEqual(calendar.due, 160.0)

    def test_a_bucket_is_emptied_in_several_turns(self) -> None:
        """Between two names of a bucket others may be written down; both come."""
        calendar = Calendar()
        calendar.add("A1", 5.0)
        calendar.add("A2", 5.0)
        first = calendar.pop(10.0)
        calendar.add("A3", 5.0)
        self.assertEqual(calendar.due, 0.0)
        self.assertEqual({first} | popped(calendar, 10.0), {"A1", "A2", "A3"})

    def test_a_walk_makes_it_anew(self) -> None:
        """What a walk did not meet is forgotten at its end; what was added meanwhile is not."""
        calendar = Calendar()
        calendar.add("GONE", 5.0)
        calendar.begin_walk()
        calendar.see("MET", 5.0)
        calendar.add("PUT", 5.0)
        calendar.end_walk()
        self.assertEqual(popped(calendar, 10.0), {"MET", "PUT"})

    def test_during_a_walk_both_are_asked(self) -> None:
        """What the old walk saw and what the new one sees comes in its time, before the walk has ended."""
        calendar = Calendar()
        calendar.add("OLD", 5.0)
        calendar.begin_walk()
        calendar.see("NEW", 25.0)
        self.assertEqual((calendar.due, popped(calendar, 10.0)), (10.0, {"OLD"}))
        self.assertEqual((calendar.due, popped(calendar, 30.0)), (30.0, {"NEW"}))

    def test_a_walk_that_was_given_up_costs_nothing(self) -> None:
        """The next walk begins anew; what was known is known."""
        calendar = Calendar()
        calendar.add("A1", 5.0)
        calendar.begin_walk()
        calendar.begin_walk()
        calendar.see("A1", 5.0)
        calendar.end_walk()
        self.assertEqual([calendar.pop(10.0), calendar.pop(10.0)], ["A1", None])

    def test_clear(self) -> None:
        """Nothing is left."""
        calendar = Calendar()
        calendar.add("A1", 5.0)
        calendar.add("A2", 5.0)
        calendar.pop(10.0)
        calendar.clear()
        self.assertEqual((calendar.due, calendar.pop(100.0)), (None, None))

    def test_a_name_costs_little_more_than_its_letters(self) -> None:
        """A hundred thousand names are below two megabytes."""
        calendar = Calendar()
        for number in range(100_000):
            calendar.add(f"{number:011X}", number % 4000)
        size = sum(sys.getsizeof(bucket) for bucket in calendar._pages._buckets.values())
        self.assertLess(size, 2_000_000)
