"""Which worker a request goes to."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.workers.placement import SLACK, Placement

KEY, OTHER = ("smtp", "there.example"), ("smtp", "elsewhere.example")


class PlacementTests(SynchronousTestCase):
    """Even loads, and sessions that are used again."""

    def setUp(self) -> None:
        self.placement: Placement[str] = Placement(2.0)

    def test_the_one_with_the_least_to_do(self) -> None:
        """Without sessions, the smallest load counts."""
        self.assertEqual("b", self.placement.choose(KEY, [(3, "a"), (1, "b"), (2, "c")], 0.0))

    def test_a_session_is_worth_a_little_more_load(self) -> None:
        """Who has parked a session for the destination gets its next request, as long as his load allows it."""
        self.placement.note(KEY, "a", 0.0)
        self.placement.note(KEY, "a", 0.0)
        self.assertEqual("b", self.placement.choose(OTHER, [(SLACK, "a"), (0, "b")], 1.0))
        self.assertEqual("a", self.placement.choose(KEY, [(SLACK, "a"), (0, "b")], 1.0))
        self.assertEqual("b", self.placement.choose(KEY, [(SLACK + 1, "a"), (0, "b")], 1.0))
        self.assertEqual("a", self.placement.choose(KEY, [(20 + 5 + SLACK, "a"), (20, "b")], 1.0))

    def test_a_session_is_used_once(self) -> None:
        """Two requests for one parked session: the second one goes where there is less to do."""
        self.placement.note(KEY, "a", 0.0)
        loads = [(1, "a"), (0, "b")]
        self.assertEqual(["a", "b"], [self.placement.choose(KEY, loads, 1.0) for _ in range(2)])

    def test_a_session_does_not_wait_for_ever(self) -> None:
        """After the time that a session is kept, and after the end of its worker, it counts no more."""
        self.placement.note(KEY, "a", 0.0)
        self.assertEqual("b", self.placement.choose(KEY, [(1, "a"), (0, "b")], 2.1))
        self.placement.note(KEY, "a", 3.0)
        self.placement.note(KEY, "b", 3.0)
        self.placement.forget("a")
        self.assertEqual("b", self.placement.choose(KEY, [(0, "a"), (1, "b")], 3.0))
        self.placement.note(KEY, "a", 3.0)
        self.placement.forget("a")
        self.assertEqual(0, len(self.placement))

    def test_memory_is_bounded_by_time(self) -> None:
        """Destinations that nobody asks for again are forgotten as others come."""
        for number in range(10_000):
            self.placement.note(("smtp", f"d{number}.example"), "a", number / 100)
        self.assertLessEqual(len(self.placement), 2.0 * 100 + 1)

    @settings(max_examples=100, deadline=None, derandomize=True, database=None)
    @given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 3), st.booleans()), max_size=60))
    def test_the_load_stays_near_even(self, steps: list[tuple[int, int, bool]]) -> None:
        """Whatever is parked where, the chosen one's load is at most a quarter and ``SLACK`` above the least."""
        placement: Placement[int] = Placement(2.0)
        loads = [0, 0, 0, 0]
        for moment, (_, destination, parks) in enumerate(steps):
            key = ("smtp", f"d{destination}")
            chosen = placement.choose(key, [(load, worker) for worker, load in enumerate(loads)], moment / 50)
            self.assertLessEqual(loads[chosen], min(loads) + min(loads) // 4 + SLACK)
            loads[chosen] += 1
            if parks:
                placement.note(key, chosen, moment / 50)
