"""The scheduler: from messages to requests, and back to messages."""

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.parameters import Parameters
from smtpclient.delivery.routing import Route
from smtpclient.mail.address import domain_of
from smtpclient.mail.envelope import Notify, QueuedMessage, Recipient
from smtpclient.mail.outcome import SiteFailure
from smtpclient.mail.request import DeliveryResult
from smtpclient.queue.destination_queue import LOCAL, TransportSettings
from smtpclient.queue.scheduler_settings import SchedulerSettings
from tests.queue.scheduling import (
    NOW,
    Scene,
    addresses,
    bounced,
    deferred,
    message,
    outcomes,
    sent,
    unreachable,
    windows,
)


class OneMessage(SynchronousTestCase):
    """What becomes of one message."""

    def test_a_request_says_everything_the_agent_needs(self) -> None:
        """Envelope, recipients, transport, next hop, content, and when the message became active."""
        scene = Scene()
        scene.accept("A1", "x@dest.example")
        request = scene.agent.started[0]
        self.assertEqual(
            (request.envelope.queue_id, addresses(request), request.transport, request.next_hop, request.activated),
            ("A1", ["x@dest.example"], "smtp", "dest.example", NOW),
        )

    def test_activation_is_logged_as_qmgr_does(self) -> None:
        """Sender in its external form, size, and all recipients, those that are finished too."""
        scene = Scene()
        read = message("A1", "x@dest.example", sender="a b@sender.example", size=321, finished=2)
        scene.scheduler.accept(read, fresh=True)
        self.assertEqual(scene.log.lines, ['A1: from=<"a b"@sender.example>, size=321, nrcpt=3 (queue active)'])

    def test_recipients_are_grouped_by_destination_and_sorted_by_domain_then_local_part(self) -> None:
        """A next hop may serve several domains; duplicates stay, for each is marked on its own."""
        scene = Scene(route=lambda recipient, sender: Route("smtp", domain_of(recipient)[0]))
        scene.accept("A1", "b@a2.example", "z@A1.example", "a@a1.example", "b@a2.example", "q@b.example")
        self.assertEqual(
            {request.next_hop: addresses(request) for request in scene.agent.started},
            {"a": ["a@a1.example", "z@A1.example", "b@a2.example", "b@a2.example"], "b": ["q@b.example"]},
        )

    def test_requests_have_no_more_recipients_than_the_transport_allows(self) -> None:
        """The rest goes in further requests, at the same time as far as the window allows."""
        scene = Scene(windows(recipient_limit=2))
        scene.accept("A1", *(f"u{number}@dest.example" for number in range(5)))
        self.assertEqual([len(request.recipients) for request in scene.agent.started], [2, 2, 1])

    def test_a_message_ends_when_its_last_request_has_ended(self) -> None:
        """With the sum of what became of its recipients."""
        scene = Scene()
        scene.accept("A1", "x@one.example", "y@two.example", "z@three.example", "q@three.example")
        scene.agent.finish(sent)
        scene.agent.finish(bounced)
        self.assertEqual(scene.ends.tallies, {})
        scene.agent.finish(deferred)
        tally = scene.ends.tallies["A1"]
        self.assertEqual((tally.sent, tally.bounced, tally.deferred, tally.remaining), (1, 1, 2, 2))
        self.assertTrue(tally.all_recorded)
        self.assertEqual((len(scene.scheduler), scene.scheduler.recipients, scene.scheduler.running), (0, 0, 0))

    def test_a_message_without_recipients_goes_straight_to_its_end(self) -> None:
        """What is left of it is a report that could not be sent."""
        scene = Scene()
        scene.scheduler.accept(message("A1", finished=2))
        self.assertEqual(scene.ends.tallies["A1"].remaining, 0)
        self.assertIn("nrcpt=2 (queue active)", scene.log.lines[0])

    def test_a_message_with_a_past_has_its_reasons_forgotten_before_it_is_tried(self) -> None:
        """New reasons must not be deleted with the old ones."""
        scene = Scene()
        scene.ends.begin_waits = Deferred()
        scene.accept("A1", "x@dest.example", fresh=False)
        self.assertEqual((scene.ends.begun, scene.agent.started), (["A1"], []))
        scene.ends.begin_waits.callback(None)
        self.assertEqual(len(scene.agent.started), 1)

    def test_a_fresh_message_has_no_reasons_to_forget(self) -> None:
        """New mail does not pay for what cannot be."""
        scene = Scene()
        scene.accept("A1", "x@dest.example")
        self.assertEqual(scene.ends.begun, [])

    def test_one_message_is_never_active_twice(self) -> None:
        """A second time is refused."""
        scene = Scene()
        scene.accept("A1", "x@dest.example")
        self.assertIn("A1", scene.scheduler)
        self.assertRaises(ValueError, scene.accept, "A1", "x@dest.example")

    def test_it_stays_active_while_its_reports_are_sent(self) -> None:
        """Nobody may claim it meanwhile."""
        scene = Scene()
        scene.ends.finish_waits = Deferred()
        scene.accept("A1", "x@dest.example")
        scene.agent.finish(bounced)
        self.assertIn("A1", scene.scheduler)
        scene.ends.finish_waits.callback(None)
        self.assertNotIn("A1", scene.scheduler)

    def test_success_is_reported_where_somebody_asked(self) -> None:
        """NOTIFY=SUCCESS of a recipient that was delivered, or the trace flags of sendmail -v."""
        scene = Scene()
        scene.agent.answer = sent
        plain = message("PLAIN", "x@dest.example")
        traced = message("TRACED", "x@dest.example", attributes={"trace_flags": "1024"})
        asked = QueuedMessage(
            message("ASKED").envelope, (Recipient("x@dest.example", offset=1, notify=Notify.SUCCESS),)
        )
        for read in (plain, traced, asked):
            scene.scheduler.accept(read, fresh=True)
        self.assertEqual(
            {queue_id: tally.success_wanted for queue_id, tally in scene.ends.tallies.items()},
            {"PLAIN": False, "TRACED": True, "ASKED": True},
        )

    def test_what_the_operator_wants_expired_is_not_tried(self) -> None:
        """Its recipients are deferred with that reason, and the message expires."""
        scene = Scene()
        scene.accept("A1", "x@one.example", "y@two.example", expire=True)
        self.assertEqual(scene.agent.started, [])
        request, failure = scene.agent.suspended[0]
        self.assertEqual(
            (failure, len(request.recipients)), (SiteFailure("4.7.0", "message is administratively expired"), 2)
        )
        self.assertTrue(scene.ends.tallies["A1"].expire)

    def test_completion_that_raises_costs_that_message_alone(self) -> None:
        """It stays in active/, where it is found again; the log says so."""
        scene = Scene()
        scene.ends.error = RuntimeError("boom")
        scene.agent.answer = sent
        scene.accept("A1", "x@dest.example")
        self.assertNotIn("A1", scene.scheduler)
        self.assertIn("A1: error: the message stays in active/ for now: boom", scene.log.lines)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_a_recipient_whose_outcome_is_missing_stays_queued(self) -> None:
        """And its message cannot expire, for nobody would be told of it."""
        scene = Scene()
        scene.accept("A1", "x@dest.example", "y@dest.example")
        scene.agent.finish(lambda request: DeliveryResult(outcomes(request)[:1]))
        tally = scene.ends.tallies["A1"]
        self.assertEqual((tally.remaining, tally.all_recorded), (1, False))


class Routing(SynchronousTestCase):
    """Where mail goes."""

    def test_transports_without_a_server_are_requests_like_others(self) -> None:
        """error, retry and discard go to the agent, with their text."""
        texts = {"error": "5.1.1 unknown", "retry": "4.3.0 later", "discard": "quietly"}
        scene = Scene(route=lambda recipient, sender: Route(domain_of(recipient), texts[domain_of(recipient)]))
        scene.agent.answer = sent
        scene.accept("A1", *(f"x@{name}" for name in texts))
        self.assertEqual({request.transport: request.next_hop for request in scene.agent.started}, texts)

    def test_they_learn_nothing_from_failure(self) -> None:
        """There is no site that could be dead."""
        scene = Scene(route=lambda recipient, sender: Route("retry", "4.3.0 later"))
        scene.agent.answer = unreachable
        for number in range(30):
            scene.accept(f"A{number}", "x@dest.example")
        self.assertEqual((len(scene.agent.started), scene.agent.suspended), (30, []))

    def test_a_recipient_that_cannot_be_routed_is_deferred(self) -> None:
        """The others go their way; the operator is told."""

        def route(recipient: str, sender: str) -> Route:
            if domain_of(recipient) == "odd.example":
                raise LookupError("table is broken")
            return Route("smtp", domain_of(recipient))

        scene = Scene(route=route)
        scene.accept("A1", "x@odd.example", "y@good.example")
        self.assertEqual([request.next_hop for request in scene.agent.started], ["good.example"])
        self.assertEqual(scene.agent.suspended[0][1], SiteFailure("4.3.0", "address resolver failure"))
        self.assertIn("A1: warning: cannot route <x@odd.example>: table is broken", scene.log.lines)

    def test_the_sender_has_a_say(self) -> None:
        """The route is asked for with the envelope sender."""
        seen = []
        scene = Scene(route=lambda recipient, sender: seen.append(sender) or Route("smtp", "x"))  # type: ignore[func-returns-value]
        scene.scheduler.accept(message("A1", "x@dest.example", sender="me@sender.example"), fresh=True)
        self.assertEqual(seen, ["me@sender.example"])


class Room(SynchronousTestCase):
    """How much is in memory."""

    def test_room_is_what_the_active_limit_leaves(self) -> None:
        """And it comes back when messages leave."""
        scene = Scene(SchedulerSettings(active_limit=3))
        scene.accept("A", "x@one.example")
        scene.accept("B", "x@two.example")
        self.assertEqual(scene.scheduler.room, 1)
        scene.agent.finish(sent)
        self.assertEqual(scene.scheduler.room, 2)

    def test_whoever_waits_for_room_is_told(self) -> None:
        """Each time a message has left."""
        scene = Scene()
        rooms: list[int] = []
        scene.scheduler.observe(lambda: rooms.append(scene.scheduler.room), lambda queue_id, due: None)
        scene.accept("A", "x@one.example")
        scene.agent.finish(sent)
        self.assertEqual(rooms, [20000])

    def test_one_destination_gets_four_fifths_of_the_places(self) -> None:
        """The next message for it is held back; one for another destination is taken."""
        scene = Scene(windows(limit=1, active_limit=100))
        postponed: list[tuple[str, float]] = []
        scene.scheduler.observe(lambda: None, lambda queue_id, due: postponed.append((queue_id, due)))
        for number in range(90):
            scene.accept(f"HOG{number}", "x@hog.example")
        self.assertEqual(len(scene.scheduler), 80)
        self.assertEqual(len(postponed), 10)
        self.assertEqual(scene.ends.postponed, dict(postponed))
        scene.accept("OTHER", "x@other.example")
        self.assertIn("OTHER", scene.agent.running)

    def test_two_slow_destinations_leave_a_ninth_of_the_places(self) -> None:
        """The share shrinks with what is free."""
        scene = Scene(windows(limit=1, active_limit=900))
        for number in range(1000):
            scene.accept(f"A{number}", "x@a.example")
            scene.accept(f"B{number}", "x@b.example")
        waiting = {state.next_hop: state.messages for state in scene.scheduler.destinations()}
        self.assertEqual((waiting, scene.scheduler.room), ({"a.example": 399, "b.example": 399}, 100))

    def test_an_active_limit_of_one_still_works(self) -> None:
        """The share is never nothing."""
        scene = Scene(SchedulerSettings(active_limit=1))
        scene.agent.answer = sent
        scene.accept("A", "x@dest.example")
        scene.accept("B", "x@dest.example")
        self.assertEqual(sorted(scene.ends.tallies), ["A", "B"])

    def test_held_back_mail_is_due_when_half_of_what_waits_is_gone(self) -> None:
        """At the pace seen so far: one a second, 79 wait, so in 39 and a half seconds."""
        scene = Scene(windows(limit=1, active_limit=100))
        for number in range(80):
            scene.accept(f"HOG{number}", "x@hog.example")
        for number in range(50):
            scene.clock.advance(1)
            scene.agent.finish(sent)
            scene.accept(f"MORE{number}", "x@hog.example")
        scene.accept("LATE", "x@hog.example")
        self.assertEqual(scene.ends.postponed["LATE"], NOW + 50 + 39.5)

    def test_without_any_pace_it_is_due_after_the_backoff_time(self) -> None:
        """Nothing is known of when it will go."""
        scene = Scene(windows(limit=1, active_limit=5))
        for number in range(5):
            scene.accept(f"HOG{number}", "x@hog.example")
        self.assertEqual(scene.ends.postponed, {"HOG4": NOW + 300})

    def test_a_clogged_queue_is_warned_of_now_and_then(self) -> None:
        """Once in qmgr_clog_warn_time for a destination."""
        scene = Scene(windows(limit=1, active_limit=5))
        for number in range(10):
            scene.accept(f"HOG{number}", "x@hog.example")
        scene.clock.advance(300)
        scene.accept("LATE", "x@hog.example")
        words = "warning: mail for hog.example is using up 4 of 5 active queue entries"
        self.assertEqual(
            [line for line in scene.log.lines if "warning" in line],
            [words + "; more of it has to wait"] * 2,
        )

    def test_recipients_of_other_destinations_are_not_held_back(self) -> None:
        """The message is tried for them, and deferred for the rest."""
        scene = Scene(windows(limit=1, active_limit=5))
        for number in range(4):
            scene.accept(f"HOG{number}", "x@hog.example")
        scene.accept("BOTH", "x@hog.example", "y@other.example")
        self.assertEqual(addresses(scene.agent.pending[-1][0]), ["y@other.example"])
        scene.agent.finish(sent, -1)
        tally = scene.ends.tallies["BOTH"]
        self.assertEqual((tally.sent, tally.remaining, tally.held_back_until), (1, 1, NOW + 300))
        self.assertFalse(tally.all_recorded)

    def test_what_is_put_back_keeps_its_reasons_and_is_not_logged_as_active(self) -> None:
        """Nothing has happened to it."""
        scene = Scene(windows(limit=1, active_limit=5))
        for number in range(4):
            scene.accept(f"HOG{number}", "x@hog.example")
        scene.accept("OLD", "x@hog.example", fresh=False)
        self.assertEqual((scene.ends.begun, [line for line in scene.log.lines if line.startswith("OLD")]), ([], []))

    def test_big_messages_wait_for_memory_small_ones_do_not(self) -> None:
        """More than ten recipients are taken only while there is room for recipients."""
        scene = Scene(SchedulerSettings(recipient_limit=100))
        many = [f"u{number}@big.example" for number in range(100)]
        scene.accept("BIG", *many)
        scene.accept("MANY", *(f"u{number}@many.example" for number in range(11)))
        scene.accept("FEW", *(f"u{number}@few.example" for number in range(10)))
        self.assertEqual((list(scene.ends.postponed), "FEW" in scene.scheduler), (["MANY"], True))

    def test_a_message_beyond_the_limit_is_taken_when_it_is_alone(self) -> None:
        """It would wait for ever else."""
        scene = Scene(SchedulerSettings(recipient_limit=100))
        scene.accept("HUGE", *(f"u{number}@big.example" for number in range(200)))
        self.assertEqual((scene.ends.postponed, scene.scheduler.recipients), ({}, 200))

    def test_recipients_leave_memory_with_their_requests(self) -> None:
        """Not only with the last of their message."""
        scene = Scene()
        scene.accept("A", "x@one.example", "y@two.example")
        scene.agent.finish(sent)
        self.assertEqual(scene.scheduler.recipients, 1)

    def test_one_destination_does_not_get_all_the_recipients_either(self) -> None:
        """Big messages for another one are taken."""
        scene = Scene(SchedulerSettings(transports=windows(limit=1).transports, recipient_limit=100))
        for number in range(10):
            scene.accept(f"HOG{number}", *(f"u{i}@hog.example" for i in range(12)))
        scene.accept("OTHER", *(f"u{i}@other.example" for i in range(12)))
        self.assertIn("HOG9", scene.ends.postponed)
        self.assertIn("OTHER", scene.scheduler)


class Settings(SynchronousTestCase):
    """What the configuration says."""

    def test_settings_come_from_the_parameters(self) -> None:
        """Those of the queue manager; a transport's when it is asked for."""
        settings = SchedulerSettings.from_parameters(
            Parameters.from_values(
                {
                    "qmgr_message_active_limit": "7",
                    "qmgr_message_recipient_limit": "8",
                    "minimal_backoff_time": "9s",
                    "transport_retry_time": "10s",
                    "slow_destination_concurrency_limit": "1",
                    "transport_maps": "inline:{x=slow:}",
                }
            )
        )
        self.assertEqual(
            (settings.active_limit, settings.recipient_limit, settings.suspension, settings.transport_suspension),
            (7, 8, 9.0, 10.0),
        )
        self.assertEqual(settings.transports("slow").concurrency.limit, 1)
        self.assertEqual(settings.transports("smtp"), TransportSettings())
        self.assertIs(settings.transports("error"), LOCAL)

    def test_defaults_are_those_of_the_parameters(self) -> None:
        """Without a configuration the settings are what an empty one gives."""
        given, default = SchedulerSettings.from_parameters(Parameters.from_values()), SchedulerSettings()
        for name in ("active_limit", "recipient_limit", "recipient_minimum", "suspension", "clog_warn_time"):
            self.assertEqual(getattr(given, name), getattr(default, name), name)
        self.assertEqual(default.transports("smtp"), given.transports("smtp"))
        self.assertIs(default.transports("discard"), LOCAL)

    def test_a_wrong_feedback_of_any_transport_stops_the_start(self) -> None:
        """Not the first mail for that transport."""
        parameters = Parameters.from_values(
            {"slow_destination_concurrency_positive_feedback": "7"},
            sources={"slow_destination_concurrency_positive_feedback": "main.cf:3"},
        )
        error = self.assertRaises(ValueError, SchedulerSettings.from_parameters, parameters)
        self.assertIn("main.cf:3: slow_destination_concurrency_positive_feedback", str(error))
