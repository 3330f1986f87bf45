"""The queues of destinations, and whose turn it is."""

from math import inf
from typing import cast

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.parameters import Parameters
from smtpclient.interfaces import IMessageContent
from smtpclient.mail.envelope import Recipient
from smtpclient.mail.outcome import SiteFailure
from smtpclient.queue.active_message import ActiveMessage
from smtpclient.queue.concurrency import ConcurrencyLimits, Feedback, Per
from smtpclient.queue.destination_queue import (
    LOCAL,
    SUSPENDED_WIDTH,
    Destination,
    DestinationState,
    TransportSettings,
)
from smtpclient.queue.destinations import Destinations
from smtpclient.queue.spare_time import BATCH
from tests.queue.scheduling import DOWN, NOW, message

ONE = TransportSettings(ConcurrencyLimits(1, 1))


def active(queue_id: str, count: int = 1) -> tuple[ActiveMessage, list[Recipient]]:
    """An active message and its recipients."""
    read = message(queue_id, *(f"u{number}@dest.example" for number in range(count)))
    return ActiveMessage(read, cast(IMessageContent, None), NOW, True, False), list(read.recipients)


def mail(destinations: Destinations, next_hop: str, count: int) -> Destination:
    """Have so many messages wait for a destination."""
    destination = destinations.find("smtp", next_hop)
    for number in range(count):
        destination.add(*active(f"{next_hop}{number}"))
    destinations.update(destination)
    return destination


class Queue(SynchronousTestCase):
    """One destination."""

    def taken(self, destination: Destination, count: int) -> list[tuple[str, int]]:
        """The queue id and the number of recipients of the next requests."""
        requests = [destination.take() for _ in range(count)]
        return [(message.queue_id, len(recipients)) for message, recipients in requests]

    def test_messages_go_in_the_order_in_which_they_came(self) -> None:
        """First in, first out."""
        destination = Destination("smtp", "dest.example", TransportSettings(), NOW)
        for queue_id in "ABC":
            destination.add(*active(queue_id))
        self.assertEqual(self.taken(destination, 3), [("A", 1), ("B", 1), ("C", 1)])

    def test_a_big_message_does_not_hold_up_a_small_one(self) -> None:
        """After each request it is the next message's turn."""
        destination = Destination("smtp", "dest.example", TransportSettings(recipient_limit=2), NOW)
        destination.add(*active("BIG", 5))
        destination.add(*active("SMALL"))
        self.assertEqual(self.taken(destination, 4), [("BIG", 2), ("SMALL", 1), ("BIG", 2), ("BIG", 1)])
        self.assertEqual((destination.waiting, len(destination.jobs)), (0, 0))

    def test_a_recipient_limit_of_zero_is_none(self) -> None:
        """Everybody in one request."""
        destination = Destination("smtp", "dest.example", TransportSettings(recipient_limit=0), NOW)
        destination.add(*active("A", 1000))
        self.assertEqual(self.taken(destination, 1), [("A", 1000)])

    def test_no_more_requests_than_the_window(self) -> None:
        """Also when more mail waits."""
        destination = Destination("smtp", "dest.example", ONE, NOW)
        destination.add(*active("A"))
        destination.add(*active("B"))
        destination.take()
        self.assertFalse(destination.may_start())
        destination.ended()
        self.assertTrue(destination.may_start())

    def test_death_keeps_the_reason_and_makes_its_status_a_temporary_one(self) -> None:
        """Mail is deferred with it, so a permanent code would contradict itself."""
        destination = Destination("smtp", "dest.example", ONE, NOW)
        self.assertTrue(destination.failed(SiteFailure("5.4.1", "went away"), NOW + 300))
        self.assertEqual(destination.suspension, SiteFailure("4.4.1", "delivery temporarily suspended: went away"))

    def test_a_failure_without_words_is_an_unknown_error(self) -> None:
        """The reason of a deferral is never empty."""
        destination = Destination("smtp", "dest.example", ONE, NOW)
        destination.failed(SiteFailure("", ""), NOW + 300)
        self.assertEqual(destination.suspension, SiteFailure("4.0.0", "delivery temporarily suspended: unknown error"))

    def test_a_dead_destination_defers_several_messages_at_once(self) -> None:
        """Its window says how often it may be contacted, and it is not."""
        destination = Destination("smtp", "dest.example", ONE, NOW)
        destination.failed(DOWN, NOW + 300)
        for number in range(SUSPENDED_WIDTH + 1):
            destination.add(*active(f"M{number}"))
        started = 0
        while destination.may_start():
            destination.take()
            started += 1
        self.assertEqual(started, SUSPENDED_WIDTH)

    def test_the_pace_is_what_was_seen_lately(self) -> None:
        """Ten messages wait and two a second go: five go in two and a half seconds; old times count for less."""
        destination = Destination("smtp", "dest.example", TransportSettings(), NOW)
        for number in range(10):
            destination.add(*active(f"M{number}"))
        self.assertEqual(destination.time_to_halve(NOW + 10), inf)
        for _ in range(20):
            destination.running += 1
            destination.ended()
        self.assertEqual(destination.time_to_halve(NOW + 10), 2.5)
        destination.time_to_halve(NOW + 1000)  # now 10 in 500 seconds
        for _ in range(490):
            destination.running += 1
            destination.ended()
        self.assertEqual(destination.time_to_halve(NOW + 1000), 5.0)

    def test_the_operator_sees_why_mail_is_still_here(self) -> None:
        """The snapshot of a dead destination names the reason and the time of the next attempt."""
        destination = Destination("smtp", "dest.example", ONE, NOW)
        destination.add(*active("A", 3))
        destination.failed(DOWN, NOW + 300)
        self.assertEqual(
            destination.state(),
            DestinationState(
                "smtp", "dest.example", 1, 3, 0, 1, f"delivery temporarily suspended: {DOWN.reason}", NOW + 300
            ),
        )


class Settings(SynchronousTestCase):
    """What the configuration says of a transport."""

    def test_each_transport_has_its_own_with_the_common_defaults(self) -> None:
        """smtp is set apart, lmtp has what default_ says."""
        parameters = Parameters.from_values(
            {
                "smtp_destination_concurrency_limit": "7",
                "smtp_initial_destination_concurrency": "2",
                "smtp_destination_recipient_limit": "9",
                "smtp_destination_concurrency_failed_cohort_limit": "3",
                "smtp_destination_concurrency_positive_feedback": "1/concurrency",
                "default_destination_concurrency_negative_feedback": "0.5",
            }
        )
        self.assertEqual(
            {name: TransportSettings.from_parameters(parameters, name) for name in ("smtp", "lmtp")},
            {
                "smtp": TransportSettings(
                    ConcurrencyLimits(2, 7, Feedback(1.0, Per.CONCURRENCY), Feedback(0.5), 3), recipient_limit=9
                ),
                "lmtp": TransportSettings(ConcurrencyLimits(5, 20, Feedback(1.0), Feedback(0.5), 1)),
            },
        )

    def test_a_rate_delay_makes_deliveries_follow_each_other(self) -> None:
        """Whatever the concurrency limit says."""
        settings = TransportSettings.from_parameters(
            Parameters.from_values({"smtp_destination_rate_delay": "2s"}), "smtp"
        )
        self.assertEqual((settings.rate_delay, settings.concurrency.window().size), (2.0, 1))

    def test_a_feedback_out_of_range_is_named_with_its_source(self) -> None:
        """The operator has to find it."""
        parameters = Parameters.from_values(
            {"smtp_destination_concurrency_negative_feedback": "2"},
            sources={"smtp_destination_concurrency_negative_feedback": "main.cf:7"},
        )
        error = self.assertRaises(ValueError, TransportSettings.from_parameters, parameters, "smtp")
        self.assertIn("main.cf:7: smtp_destination_concurrency_negative_feedback: '2': expected", str(error))


class Turns(SynchronousTestCase):
    """Whose turn it is."""

    def setUp(self) -> None:
        """No destination yet; ten slots."""
        self.clock = Clock()
        self.clock.advance(NOW)
        self.woken = 0
        self.settings = TransportSettings()
        self.destinations = Destinations(lambda transport: self.settings, 10, self.clock, self._wake)

    def _wake(self) -> None:
        self.woken += 1

    def mail(self, next_hop: str, count: int) -> Destination:
        """Have mail wait for a destination."""
        return mail(self.destinations, next_hop, count)

    def start(self, count: int) -> list[str]:
        """The destinations of the next requests."""
        started = []
        for _ in range(count):
            destination = self.destinations.next()
            if destination is None:
                break
            destination.take()
            self.destinations.running += 1
            self.destinations.update(destination)
            started.append(destination.next_hop)
        return started

    def end(self, destination: Destination) -> None:
        """End a request of a destination."""
        destination.ended()
        self.destinations.running -= 1
        self.destinations.update(destination)

    def test_destinations_take_turns(self) -> None:
        """However much mail waits for the first."""
        self.mail("a", 5)
        self.mail("b", 2)
        self.mail("c", 1)
        self.assertEqual(self.start(8), ["a", "b", "c", "a", "b", "a", "a", "a"])

    def test_one_that_has_nothing_under_way_comes_first(self) -> None:
        """New mail does not wait for the others' windows to fill."""
        self.mail("a", 5)
        self.start(2)
        self.mail("new", 2)
        self.assertEqual(self.start(3), ["new", "a", "new"])

    def test_slots_are_kept_for_those_that_have_nothing_under_way(self) -> None:
        """Eight of ten slots at most for second requests; the last two still start something new."""
        self.settings = TransportSettings(ConcurrencyLimits(20, 20))
        self.mail("slow", 20)
        self.assertEqual(len(self.start(20)), 8)
        for name in ("x", "y", "z"):
            self.mail(name, 2)
        self.assertEqual(self.start(20), ["x", "y"])

    def test_a_destination_that_is_at_its_window_has_no_turn_until_a_request_ends(self) -> None:
        """Then it has one again."""
        self.settings = ONE
        destination = self.mail("a", 2)
        self.assertEqual(self.start(5), ["a"])
        self.end(destination)
        self.assertEqual(self.start(5), ["a"])

    def test_an_idle_destination_is_forgotten(self) -> None:
        """With all that its window has learnt."""
        destination = self.mail("a", 1)
        self.start(1)
        self.destinations.succeeded(destination, 0)
        self.end(destination)
        self.assertEqual(len(self.destinations), 0)

    def test_sessions_are_worth_keeping_where_mail_follows_mail(self) -> None:
        """What comes within a second after the last makes a destination a frequent one; what comes later does not."""
        frequent = []
        for pause in (0.0, 1.0, 1.1):
            self.clock.advance(pause)
            destination = self.mail("a", 1)
            self.start(1)
            frequent.append(bool(destination.backlog()))
            self.end(destination)
        self.assertEqual(frequent, [False, True, False])

    def test_a_frequent_destination_is_forgotten_too(self) -> None:
        """After a second, when another one is done."""
        for name in ("a", "b", "c"):
            destination = self.mail(name, 1)
            self.start(1)
            self.end(destination)
            self.clock.advance(0.6)
        self.assertEqual((len(self.destinations), len(self.destinations._done)), (0, 2))

    def test_a_dead_destination_is_remembered_until_its_time_is_over(self) -> None:
        """Also when no mail waits for it."""
        self.settings = ONE
        destination = self.mail("a", 1)
        self.start(1)
        self.assertTrue(self.destinations.failed(destination, DOWN, 300.0))
        self.end(destination)
        self.clock.advance(299)
        self.assertIs(self.destinations.find("smtp", "a"), destination)
        self.clock.advance(1)
        self.assertIsNone(self.destinations.find("smtp", "other").suspension)
        self.assertIsNot(self.destinations.find("smtp", "a"), destination)

    def test_one_that_dies_for_a_shorter_time_behind_another_revives_when_its_mail_comes(self) -> None:
        """The dead are looked through in the order of their deaths."""
        self.settings = ONE
        long, short = self.mail("long", 1), self.mail("short", 1)
        self.start(2)
        self.destinations.failed(long, DOWN, 300.0)
        self.destinations.failed(short, DOWN, 60.0)
        self.end(long)
        self.end(short)
        self.clock.advance(100)
        self.assertIsNone(self.destinations.find("smtp", "short").suspension)
        self.assertIsNotNone(self.destinations.find("smtp", "long").suspension)

    def test_its_mail_does_not_wait_for_spare_time_any_more(self) -> None:
        """What waited already when more came is delivered at once, in the turn of a destination like others."""
        self.settings = ONE
        long, short = self.mail("long", 1), self.mail("short", 2)
        self.start(2)
        for destination, time in ((long, 300.0), (short, 60.0)):
            self.destinations.failed(destination, DOWN, time)
            self.end(destination)
        self.clock.advance(100)
        self.destinations.find("smtp", "short")
        for _ in range(BATCH):
            self.destinations.spare_time.begin()
        self.assertEqual(self.start(5), ["short"])

    def test_mail_that_waits_when_the_time_is_over_is_delivered(self) -> None:
        """A destination revives at its turn, too; then its window holds again."""
        self.settings = ONE
        destination = self.mail("a", 3)
        self.start(1)
        self.destinations.failed(destination, DOWN, 300.0)
        self.destinations.update(destination)
        self.clock.advance(300)
        self.assertEqual(self.start(5), [])  # one delivery is still under way
        self.assertIsNone(destination.suspension)
        self.end(destination)
        self.assertEqual(self.start(5), ["a"])

    def test_a_delivery_that_gets_through_revives_the_dead(self) -> None:
        """It was under way when the others failed."""
        self.settings = ONE
        destination = self.mail("a", 1)
        self.start(1)
        self.destinations.failed(destination, DOWN, 300.0)
        self.destinations.succeeded(destination, 0)
        self.end(destination)
        self.assertEqual(len(self.destinations), 0)

    def test_the_dead_are_forgotten_on_request(self) -> None:
        """As after F at the door bell."""
        self.settings = ONE
        destination = self.mail("a", 1)
        self.start(1)
        self.destinations.failed(destination, DOWN, 300.0)
        self.end(destination)
        self.destinations.forget_dead()
        self.assertEqual(len(self.destinations), 0)

    def test_a_pause_keeps_deliveries_apart(self) -> None:
        """Then the scheduler is woken."""
        self.settings = TransportSettings(ConcurrencyLimits(1, 1), rate_delay=2.0)
        destination = self.mail("a", 2)
        self.start(1)
        self.destinations.pause(destination)
        self.end(destination)
        self.clock.advance(1.9)
        self.assertEqual((self.start(1), self.woken), ([], 0))
        self.clock.advance(0.1)
        self.assertEqual((self.start(1), self.woken), (["a"], 1))

    def test_a_pause_is_kept_also_when_no_mail_waits(self) -> None:
        """The next message must not go out too early."""
        self.settings = TransportSettings(ConcurrencyLimits(1, 1), rate_delay=2.0)
        destination = self.mail("a", 1)
        self.start(1)
        self.destinations.pause(destination)
        self.end(destination)
        self.mail("a", 1)
        self.assertEqual(self.start(1), [])
        self.clock.advance(2)
        self.assertEqual(self.start(1), ["a"])

    def test_one_that_refuses_is_forgotten_when_its_mail_is_deferred(self) -> None:
        """And never contacted, however much time passes."""
        failure = SiteFailure("4.3.0", "address resolver failure")
        destination = self.destinations.refusing(failure)
        self.assertIs(self.destinations.refusing(failure), destination)
        destination.add(*active("A"))
        self.destinations.update(destination)
        self.clock.advance(1e6)
        self.start(1)
        self.assertEqual(destination.suspension, failure)
        self.end(destination)
        self.assertEqual(len(self.destinations), 0)

    def test_one_that_refuses_is_not_the_one_of_the_same_words(self) -> None:
        """A transport table may say retry: with the very text of a refusal."""
        refusing = self.destinations.refusing(SiteFailure("4.3.0", "closed"))
        self.assertIsNot(self.destinations.find("retry", "4.3.0 closed"), refusing)

    def test_clearing_leaves_no_timer_and_nobody_waiting(self) -> None:
        """A request under way ends as if nothing had happened, and does no harm to who has its place."""
        self.settings = TransportSettings(ConcurrencyLimits(1, 1), rate_delay=2.0)
        paused, old = self.mail("paused", 2), self.mail("a", 2)
        self.start(2)
        self.destinations.pause(paused)
        self.destinations.clear()
        self.assertEqual((self.clock.getDelayedCalls(), self.start(5)), ([], []))
        new = self.mail("a", 1)
        self.end(old)
        self.assertIs(self.destinations.find("smtp", "a"), new)

    def test_states_are_those_of_all_destinations(self) -> None:
        """For the operator."""
        self.mail("a", 1)
        self.mail("b", 2)
        self.assertEqual([(s.next_hop, s.messages) for s in self.destinations.states()], [("a", 1), ("b", 2)])

    def test_local_transports_learn_nothing(self) -> None:
        """There is nobody who could be overloaded or dead."""
        window = LOCAL.concurrency.window()
        for _ in range(200):
            window = window.failed()
        self.assertEqual((window.size, window.dead), (100, False))
