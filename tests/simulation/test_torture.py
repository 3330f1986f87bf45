"""Each kind of fault at some operations of the simulated world; ``make torture`` has it at all of them."""

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.report.journal import Journal
from tests.simulation import torture
from tests.simulation.world import HOUR, Incident, World, forget_the_dead

SOME = 3


class TortureTests(SynchronousTestCase):
    """Nothing is lost, and the service gets over it by itself."""

    def tearDown(self) -> None:
        """The failures that a dead process leaves behind are expected."""
        forget_the_dead()
        self.flushLoggedErrors()

    def get_over(self, *faults: str) -> None:
        """Have these faults at some operations, from the first to the last."""
        operations = torture.undisturbed().operations
        for number, fault in enumerate(faults):
            row = torture.torture(fault, range(1 + 30 * number, operations, operations // SOME))
            self.assertEqual((fault, row.violations), (fault, {}))
            self.assertGreaterEqual(row.plays, SOME)

    def test_every_fault_is_named_here(self) -> None:
        """The list of faults is the one that these tests go through."""
        once_and_long = [
            f"{name} {how}" for name in ("ENOSPC", "EIO", "EMFILE", "EACCES") for how in ("once", "for a stretch")
        ]
        clocks = ["clock an hour ahead", "clock an hour back", "name servers gone for an hour"]
        self.assertEqual(list(torture.FAULTS), ["process killed", "power cut", *once_and_long, *clocks])

    def test_process_killed(self) -> None:
        """The process dies."""
        self.get_over("process killed")

    def test_power_cut(self) -> None:
        """The machine dies, and what was not synced may be gone."""
        self.get_over("power cut")

    def test_no_space_left(self) -> None:
        """The disk is full, for one operation and for twenty."""
        self.get_over("ENOSPC once", "ENOSPC for a stretch")

    def test_disk_fails(self) -> None:
        """The disk fails, for one operation and for twenty."""
        self.get_over("EIO once", "EIO for a stretch")

    def test_no_descriptors_left(self) -> None:
        """The process may open nothing more, for one operation and for twenty."""
        self.get_over("EMFILE once", "EMFILE for a stretch")

    def test_permission_denied(self) -> None:
        """Somebody has taken the permissions away, for one operation and for twenty."""
        self.get_over("EACCES once", "EACCES for a stretch")

    def test_clock_an_hour_ahead(self) -> None:
        """The clock is set forward by an hour."""
        self.get_over("clock an hour ahead")

    def test_clock_an_hour_back(self) -> None:
        """The clock is set back by an hour."""
        self.get_over("clock an hour back")

    def test_name_servers_gone_for_an_hour(self) -> None:
        """No name server answers for an hour."""
        self.get_over("name servers gone for an hour")


class IncidentTests(SynchronousTestCase):
    """The faults themselves happen."""

    def tearDown(self) -> None:
        """As above."""
        forget_the_dead()
        self.flushLoggedErrors()

    def test_clock(self) -> None:
        """A world whose clock was set ends an hour later, or earlier, than its timers ran."""
        for step in (HOUR, -HOUR):
            world = World(torture.SEED, torture.MESSAGES, Incident(0))
            before = world.reactor.now
            world._befall(Incident(1, clock_step=step), 1)
            world.reactor.step()
            self.assertEqual(world.reactor.now - before, step)

    def test_name_servers(self) -> None:
        """Datagrams are lost for an hour, and then as often as before."""
        world = World(torture.SEED, torture.MESSAGES, Incident(0))
        before = world.weather.drop
        world._befall(Incident(1, no_names_for=HOUR), 1)
        world.reactor.advance(HOUR - 1)
        gone = world.weather.drop
        world.reactor.advance(2)
        self.assertEqual((gone, world.weather.drop), (1.0, before))

    def test_an_order_that_loses_mail_is_found(self) -> None:
        """A record that is not written, though it is said to be, loses who has failed."""

        async def append(*_: object) -> None:
            return

        self.patch(Journal, "append", append)
        row = torture.torture("process killed", range(30, 300, 90))
        self.assertTrue(any("lost:" in words for found in row.violations.values() for words in found))
