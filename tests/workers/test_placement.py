"""Which worker a request goes to."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.workers.placement import SLACK, choose

HOPS = [f"d{number}.example" for number in range(200)]


def one_of(worker: str) -> str:
    """A destination that belongs to one of ``a`` and ``b``."""
    return next(hop for hop in HOPS if choose(hop, [(0, "a"), (0, "b")]) == worker)


class PlacementTests(SynchronousTestCase):
    """Even loads, and mail for one destination kept together."""

    def test_destinations_are_spread(self) -> None:
        """Each of three workers has about a third of two hundred destinations."""
        chosen = [choose(hop, [(0, worker) for worker in "abc"]) for hop in HOPS]
        self.assertEqual(sorted("abc"), sorted(set(chosen)))
        self.assertLess(max(map(chosen.count, "abc")), 100)

    def test_a_destination_is_kept_together_at_the_cost_of_a_little_load(self) -> None:
        """Its mail goes to its own worker, as long as that one's load allows it, and to the next one else."""
        hop = one_of("a")
        self.assertEqual("a", choose(hop, [(SLACK, "a"), (0, "b")]))
        self.assertEqual("b", choose(hop, [(SLACK + 1, "a"), (0, "b")]))
        self.assertEqual("a", choose(hop, [(20 + 5 + SLACK, "a"), (20, "b")]))
        self.assertEqual("b", choose(one_of("b"), [(0, "a"), (SLACK, "b")]))

    def test_the_place_of_one_that_has_ended_is_taken_by_the_next(self) -> None:
        """When it is free again in a full house, a request goes where the last one was: there is its session."""
        hop = one_of("a")
        load = {"a": 0, "b": 0}
        for _ in range(20):
            load[choose(hop, [(load[worker], worker) for worker in "ab"])] += 1
        for ended in "ab" * 10:
            load[ended] -= 1
            chosen = choose(hop, [(load[worker], worker) for worker in "ab"])
            self.assertEqual(ended, chosen)
            load[chosen] += 1

    @settings(max_examples=100, deadline=None, derandomize=True, database=None)
    @given(st.lists(st.integers(0, 1000), min_size=1, max_size=16), st.sampled_from(HOPS))
    def test_the_load_stays_near_even(self, loads: list[int], hop: str) -> None:
        """Whatever the loads are, the chosen one's is at most a quarter and ``SLACK`` above the least."""
        chosen = choose(hop, list(zip(loads, range(len(loads)), strict=True)))
        self.assertLessEqual(loads[chosen], min(loads) + min(loads) // 4 + SLACK)
