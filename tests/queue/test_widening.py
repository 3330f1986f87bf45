"""Destinations open wider where that gains something."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.queue.concurrency import ConcurrencyLimits
from smtpclient.queue.destination_queue import Destination, TransportSettings
from smtpclient.queue.destinations import Destinations
from smtpclient.queue.widening import AT_ONCE, QUICK
from tests.queue.scheduling import DOWN, NOW, turn
from tests.queue.test_destinations import mail

BUSY = 0.005
"""How long a turn takes in which others have had much to do, seconds."""


class Widening(SynchronousTestCase):
    """Who may have one more request under way, by how long turns and deliveries take."""

    def setUp(self) -> None:
        """A clock that only goes on while somebody works."""
        self.clock = Clock()
        self.clock.advance(NOW)
        settings = TransportSettings(ConcurrencyLimits(5, 20))
        self.destinations = Destinations(lambda transport: settings, 1000, self.clock, lambda: None)
        self.widening = self.destinations.widening

    def mail(self, next_hop: str, count: int) -> Destination:
        """Have mail wait for a destination."""
        return mail(self.destinations, next_hop, count)

    def start(self) -> list[str]:
        """The destinations of all requests that may begin now."""
        started = []
        while (destination := self.destinations.next()) is not None:
            self.widening.begins(destination)
            destination.take()
            self.destinations.running += 1
            self.destinations.update(destination)
            started.append(destination.next_hop)
        return started

    def end(self, destination: Destination, begun: int) -> None:
        """A delivery that was begun in that turn has gone well."""
        self.destinations.succeeded(destination, begun)
        destination.ended()
        self.destinations.running -= 1
        self.destinations.update(destination)

    def turns(self, count: int = 1, seconds: float = BUSY) -> None:
        """So many turns of the reactor, each so long."""
        for _ in range(count):
            self.clock.rightNow += seconds
            turn(self.clock)

    def strain(self) -> None:
        """Have a turn seen that was long."""
        self.mail("others", 2)
        self.start()
        self.turns()

    def test_with_time_to_spare_a_destination_fills_its_window_at_once(self) -> None:
        """As many sessions as are allowed, without waiting to see how fast the server is."""
        self.mail("a", 9)
        self.assertEqual(self.start(), ["a"] * 5)

    def test_without_time_a_destination_goes_on_with_what_it_has(self) -> None:
        """One request of each; what was held has a turn as soon as nothing of it is under way."""
        self.strain()
        destination = self.mail("a", 3)
        self.assertEqual(self.start(), ["a"])
        self.turns(3)
        self.assertEqual(self.start(), [])
        self.end(destination, self.widening.turn - 2)
        self.assertEqual(self.start(), ["a"])

    def test_a_server_that_lets_us_wait_is_not_held(self) -> None:
        """Its destination widens though others leave no time: it is not this process that is slow."""
        self.strain()
        self.mail("a", 9)
        self.assertEqual(self.start(), ["a"])
        self.turns(QUICK - 1)
        self.assertEqual(self.start(), [])
        self.turns()
        self.assertEqual(self.start(), ["a"] * 4)

    def test_a_delivery_that_took_long_lets_others_begin_when_it_ends(self) -> None:
        """The next one is as slow."""
        self.strain()
        destination = self.mail("a", 9)
        begun = self.widening.turn
        self.start()
        self.turns(QUICK)
        self.turns()
        self.end(destination, begun)
        self.assertEqual(self.start(), ["a"] * 6)  # the window is one wider

    def test_quick_deliveries_keep_it_held(self) -> None:
        """Each that ends soon is a reason to wait for the next."""
        self.strain()
        destination = self.mail("a", 9)
        self.start()
        for _ in range(3):
            self.turns(QUICK - 1)
            destination.take()
            self.end(destination, self.widening.turn - 1)
            self.assertEqual(self.start(), [])

    def test_one_that_fails_is_not_quick(self) -> None:
        """To find out that nobody is there takes as many failures as ever."""
        self.strain()
        destination = self.mail("a", 9)
        self.start()
        self.destinations.failed(destination, DOWN, 300.0)
        self.destinations.update(destination)
        self.assertEqual(self.start(), ["a"] * 3)  # the window is one narrower

    def test_a_turn_with_time_to_spare_lets_a_few_begin(self) -> None:
        """Of all destinations that wait; then it is seen again how long a turn takes."""
        self.strain()
        for number in range(AT_ONCE):
            self.mail(f"d{number}", 3)
        self.assertEqual(len(self.start()), AT_ONCE)
        self.turns(1, 0.0)
        self.assertEqual(len(self.start()), AT_ONCE)
        self.turns()
        self.assertEqual(self.start(), [])
        self.turns(1, 0.0)
        self.assertEqual(len(self.start()), AT_ONCE)

    def test_where_nothing_waits_turns_are_not_watched(self) -> None:
        """An idle process sleeps."""
        self.strain()
        self.turns(2, 0.0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.mail("a", 5)
        self.assertEqual(self.start(), ["a"] * 5)

    def test_a_clock_that_is_set_back_is_no_time_to_spare(self) -> None:
        """Nor a reason to stop."""
        self.strain()
        self.mail("a", 2)
        self.start()
        self.turns(1, -3600.0)
        self.assertEqual(self.start(), [])
        self.clock.rightNow += 3600.0
        turn(self.clock)
        turn(self.clock)
        self.assertEqual(self.start(), ["a"])

    def test_nothing_is_left_when_all_is_forgotten(self) -> None:
        """No timer, and nobody who waits; it begins again with time to spare."""
        self.strain()
        self.mail("a", 2)
        self.start()
        self.destinations.clear()
        self.assertEqual((self.clock.getDelayedCalls(), len(self.widening.held)), ([], 0))
