"""How long a process serves, and what master hears of it."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.postfix.tenure import DRAIN, Tenure


class TenureTests(SynchronousTestCase):
    """One process, of which every step is noted in ``self.steps``."""

    def tenure(self, most: int = 10, max_use: int = 0) -> Tenure:
        """A process that has begun."""
        self.clock, self.steps = Clock(), []
        tenure = Tenure(
            self.clock,
            self,
            self,
            most=most,
            max_idle=100.0,
            max_use=max_use,
            interrupt=lambda: self.steps.append("interrupt"),
            leave=lambda: self.steps.append("leave"),
        )
        tenure.begin()
        return tenure

    def listen(self) -> None:
        """Note it."""
        self.steps.append("listen")

    def pause(self) -> None:
        """Note it."""
        self.steps.append("pause")

    def taken(self) -> None:
        """Note it."""
        self.steps.append("taken")

    def available(self) -> None:
        """Note it."""
        self.steps.append("available")

    def test_nobody_comes(self) -> None:
        """After max_idle it ends."""
        self.tenure()
        self.clock.advance(99)
        self.assertEqual(self.steps, ["listen"])
        self.clock.advance(1)
        self.assertEqual(self.steps, ["listen", "pause", "leave"])

    def test_idle_time_counts_from_the_last(self) -> None:
        """Whoever comes has it begin anew when he has left; while he is there, it does not count."""
        tenure = self.tenure()
        self.clock.advance(60)
        tenure.arrived()
        self.clock.advance(600)
        tenure.left()
        self.clock.advance(99)
        self.assertNotIn("leave", self.steps)
        self.clock.advance(1)
        self.assertEqual(self.steps[-1], "leave")

    def test_the_first_connection_is_told(self) -> None:
        """Master is told once that the process works, so that a later death does not pass for a bad start."""
        tenure = self.tenure()
        tenure.arrived()
        self.assertEqual(self.steps, ["listen", "taken", "available"])
        tenure.left()
        tenure.arrived()
        self.assertEqual(self.steps, ["listen", "taken", "available"])

    def test_full(self) -> None:
        """A process that has as many as it takes says so and accepts nobody, until one of them has left."""
        tenure = self.tenure(most=2)
        tenure.arrived()
        tenure.arrived()
        self.assertEqual(self.steps[3:], ["pause", "taken"])
        tenure.left()
        self.assertEqual(self.steps[5:], ["available", "listen"])

    def test_max_use(self) -> None:
        """After so many it ends at the first moment in which there is nothing to do."""
        tenure = self.tenure(max_use=2)
        for _ in range(3):
            tenure.arrived()
        tenure.left()
        tenure.left()
        self.assertNotIn("leave", self.steps)
        tenure.left()
        self.assertEqual(self.steps[-2:], ["pause", "leave"])

    def test_reload_with_nothing_to_do(self) -> None:
        """It ends at once, and only once."""
        tenure = self.tenure()
        tenure.master_gone()
        self.clock.advance(1000)
        tenure.master_gone()
        self.assertEqual([step for step in self.steps if step == "leave"], ["leave"])

    def test_reload_lets_deliveries_end(self) -> None:
        """It takes nobody any more, tells master nothing, and ends with the last delivery."""
        tenure = self.tenure()
        tenure.arrived()
        tenure.arrived()
        tenure.master_gone()
        tenure.left()
        self.assertEqual(self.steps[3:], ["pause"])
        tenure.left()
        self.assertEqual(self.steps[3:], ["pause", "pause", "leave"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_reload_interrupts_what_takes_too_long(self) -> None:
        """What is under way after the grace is interrupted, for new mail waits behind it."""
        tenure = self.tenure()
        tenure.arrived()
        tenure.master_gone()
        self.clock.advance(DRAIN)
        self.assertEqual(self.steps[-1], "interrupt")
        tenure.left()
        self.assertEqual(self.steps[-1], "leave")
