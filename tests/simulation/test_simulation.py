"""The simulation itself: that it passes, that it repeats itself, and that it would notice."""

from collections.abc import Sequence
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.delivery.settlement import Settlement
from smtpclient.mail.outcome import Disposition, Outcome
from smtpclient.mail.request import DeliveryRequest
from tests.queue.disk import OPERATIONS
from tests.simulation.disk import SimulatedFiles
from tests.simulation.world import World, forget_the_dead


class SimulationTests(SynchronousTestCase):
    """Random worlds."""

    def tearDown(self) -> None:
        """The failures that power cuts leave behind are expected."""
        forget_the_dead()
        self.flushLoggedErrors()

    def test_invariants_hold(self) -> None:
        """In twenty random worlds with faults, nothing is lost, doubled, early, or left behind."""
        violations = {seed: World(seed, messages=15).run() for seed in range(20)}
        self.assertEqual({}, {seed: words for seed, words in violations.items() if words})

    def test_one_seed_is_one_story(self) -> None:
        """Two runs of a seed give the same mail log, to the microsecond."""
        first, second = World(4, messages=15), World(4, messages=15)
        first.run()
        second.run()
        self.assertEqual(first.trace, second.trace)
        self.assertGreater(len(first.trace), 100)

    def test_the_real_disk_is_out_of_reach(self) -> None:
        """Every operation on files has its counterpart on the simulated disk: none is left to the real one."""
        self.assertEqual(set(), set(OPERATIONS) - set(vars(SimulatedFiles)))

    def test_a_mark_before_the_record_is_found(self) -> None:
        """A settlement that marks a failed recipient as done before it has recorded it loses mail, and is caught."""
        settle = Settlement.settle

        async def hasty(self: Settlement, request: DeliveryRequest, outcomes: Sequence[Outcome]) -> Any:
            done = [each.recipient.offset for each in outcomes if each.disposition is not Disposition.DEFERRED]
            self._mark_done(request.envelope, done)
            return await settle(self, request, outcomes)

        self.patch(Settlement, "settle", hasty)
        for seed in range(200):
            words = World(seed, messages=20).run()
            if any("lost:" in each for each in words):
                return
        self.fail("two hundred worlds did not notice")
