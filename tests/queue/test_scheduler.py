"""The scheduler: from messages to requests, and back to messages."""

from collections import Counter
from itertools import pairwise
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.parameters import Parameters
from smtpclient.delivery.routing import Route
from smtpclient.mail.envelope import Notify, QueuedMessage, Recipient
from smtpclient.mail.outcome import SiteFailure
from smtpclient.mail.request import DeliveryRequest, DeliveryResult
from smtpclient.queue.concurrency import ConcurrencyLimits
from smtpclient.queue.destination_queue import LOCAL, TransportSettings
from smtpclient.queue.dispatch import STARTS
from smtpclient.queue.record import CorruptQueueFile
from smtpclient.queue.scheduler_settings import SchedulerSettings
from tests.queue.scheduling import DOWN, NOW, Scene, bounced, deferred, message, outcomes, sent, unreachable


def windows(initial: int = 5, limit: int = 20, **options: float) -> SchedulerSettings:
    """Settings by which every transport has this window."""
    settings = TransportSettings(
        ConcurrencyLimits(initial, limit),
        recipient_limit=int(options.pop("recipient_limit", 50)),
        rate_delay=options.pop("rate_delay", 0.0),
    )
    return SchedulerSettings(
        transports=lambda name: settings if name == "smtp" else LOCAL, **{k: int(v) for k, v in options.items()}
    )


def addresses(request: DeliveryRequest) -> list[str]:
    """The recipients of a request."""
    return [recipient.address for recipient in request.recipients]


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
        scene = Scene(route=lambda recipient, sender: Route("smtp", recipient.domain[0]))
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
        scene = Scene(route=lambda recipient, sender: Route(recipient.domain, texts[recipient.domain]))
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

        def route(recipient: Recipient, sender: str) -> Route:
            if recipient.domain == "odd.example":
                raise LookupError("table is broken")
            return Route("smtp", recipient.domain)

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


class Fairness(SynchronousTestCase):
    """Who waits for whom."""

    def test_no_more_deliveries_than_the_window(self) -> None:
        """Five at first; each that ends makes room for more."""
        scene = Scene()
        for number in range(20):
            scene.accept(f"A{number}", "x@dest.example")
        self.assertEqual(len(scene.agent.pending), 5)
        scene.agent.finish(sent)
        self.assertEqual(len(scene.agent.pending), 6)  # the window has grown by one

    def test_a_limit_of_one_is_one_session_also_with_one_recipient_per_message(self) -> None:
        """smtp_destination_concurrency_limit = 1 and smtp_destination_recipient_limit = 1 together."""
        scene = Scene(windows(limit=1, recipient_limit=1))
        scene.accept("A", "x@dest.example", "y@dest.example")
        scene.accept("B", "z@dest.example")
        order = []
        while scene.agent.pending:
            self.assertEqual(len(scene.agent.pending), 1)
            order += addresses(scene.agent.pending[0][0])
            scene.agent.finish(sent)
        self.assertEqual(order, ["x@dest.example", "y@dest.example", "z@dest.example"])

    def test_fifty_thousand_recipients_do_not_hold_up_one(self) -> None:
        """The small message waits for the request under way and one more of the big one."""
        scene = Scene(windows(limit=1, recipient_limit=50))
        scene.accept("BIG", *(f"u{number}@dest.example" for number in range(50_000)))
        scene.turns()
        scene.accept("SMALL", "x@dest.example")
        scene.agent.finish(sent)
        scene.agent.finish(sent)
        self.assertEqual(scene.agent.running, ["SMALL"])

    def test_a_big_message_is_activated_over_many_turns_of_the_reactor(self) -> None:
        """Other work goes on meanwhile; at the end everybody has a request."""
        scene = Scene(windows(limit=0, recipient_limit=0), lambda recipient, sender: Route("smtp", recipient.domain))
        scene.accept("BIG", *(f"x@d{number}.example" for number in range(1000)))
        scene.agent.answer = sent
        started = []
        while "BIG" in scene.scheduler:
            started.append(len(scene.agent.started))
            scene.turn()
        steps = [after - before for before, after in pairwise(started)]
        self.assertEqual((started[:4], max(steps) <= 2 * STARTS), ([0, 0, 0, STARTS], True))
        self.assertEqual(scene.ends.tallies["BIG"].sent, 1000)

    def test_deliveries_that_end_at_once_are_spread_over_turns_of_the_reactor(self) -> None:
        """And do not pile up on the stack."""
        scene = Scene(windows(limit=1))
        scene.accept("FIRST", "x@dest.example")
        for number in range(5 * STARTS):
            scene.accept(f"A{number}", "x@dest.example")
        scene.agent.answer = sent
        scene.agent.finish(sent)
        self.assertEqual(len(scene.agent.started), 1 + STARTS)
        scene.turn()
        self.assertEqual(len(scene.agent.started), 1 + 2 * STARTS)
        scene.turns()
        self.assertEqual(len(scene.ends.tallies), 1 + 5 * STARTS)

    def test_a_rate_delay_keeps_deliveries_apart(self) -> None:
        """From the end of one to the beginning of the next."""
        scene = Scene(windows(limit=1, rate_delay=3.0))
        scene.accept("A", "x@dest.example")
        scene.accept("B", "x@dest.example")
        scene.clock.advance(10)
        scene.agent.finish(sent)
        scene.clock.advance(2.9)
        self.assertEqual(scene.agent.running, [])
        scene.clock.advance(0.1)
        self.assertEqual(scene.agent.running, ["B"])


class DeadDestinations(SynchronousTestCase):
    """What happens when nobody answers."""

    def test_one_failure_does_not_suspend_a_destination_with_the_default_window(self) -> None:
        """The next message is tried."""
        scene = Scene()
        scene.accept("A", "x@dest.example")
        scene.accept("B", "x@dest.example")
        scene.agent.finish(unreachable)
        scene.accept("C", "x@dest.example")
        self.assertEqual(scene.agent.running, ["B", "C"])

    def test_mail_for_a_dead_destination_is_deferred_with_its_reason(self) -> None:
        """What waits, and what comes later; nobody is contacted."""
        scene = Scene(windows(initial=1))
        for queue_id in "ABC":
            scene.accept(queue_id, "x@dest.example")
        scene.agent.finish(unreachable)
        scene.accept("D", "x@dest.example")
        words = SiteFailure("4.4.1", f"delivery temporarily suspended: {DOWN.reason}")
        self.assertEqual(
            [(request.envelope.queue_id, failure) for request, failure in scene.agent.suspended],
            [("B", words), ("C", words), ("D", words)],
        )
        self.assertEqual((len(scene.agent.started), sorted(scene.ends.tallies)), (1, ["A", "B", "C", "D"]))

    def test_it_is_tried_again_after_the_backoff_time(self) -> None:
        """By the mail that comes then."""
        scene = Scene(windows(initial=1))
        scene.accept("A", "x@dest.example")
        scene.agent.finish(unreachable)
        scene.clock.advance(299)
        scene.accept("B", "x@dest.example")
        scene.clock.advance(1)
        scene.accept("C", "x@dest.example")
        self.assertEqual([request.envelope.queue_id for request in scene.agent.started], ["A", "C"])

    def test_it_is_tried_again_when_the_operator_says_so(self) -> None:
        """F at the door bell."""
        scene = Scene(windows(initial=1))
        scene.accept("A", "x@dest.example")
        scene.agent.finish(unreachable)
        scene.scheduler.forget_dead()
        scene.accept("B", "x@dest.example")
        self.assertEqual(scene.agent.running, ["B"])

    def test_a_deferred_recipient_of_a_site_that_answers_is_no_failure(self) -> None:
        """A greylisting server is not dead."""
        scene = Scene(windows(initial=1))
        scene.agent.answer = deferred
        for number in range(10):
            scene.accept(f"A{number}", "x@dest.example")
        self.assertEqual((len(scene.agent.started), scene.agent.suspended), (10, []))

    def test_other_destinations_do_not_notice(self) -> None:
        """The same transport, another next hop."""
        scene = Scene(windows(initial=1))
        scene.accept("A", "x@dead.example")
        scene.agent.finish(unreachable)
        scene.accept("B", "x@alive.example")
        self.assertEqual(scene.agent.running, ["B"])

    def test_a_snapshot_says_why_mail_waits(self) -> None:
        """For the operator's page."""
        scene = Scene(windows(initial=1))
        scene.accept("A", "x@dead.example")
        scene.agent.finish(unreachable)
        states = list(scene.scheduler.destinations())
        self.assertEqual(
            [(state.next_hop, state.suspended, state.until) for state in states],
            [("dead.example", f"delivery temporarily suspended: {DOWN.reason}", NOW + 300)],
        )


class BrokenDeliveries(SynchronousTestCase):
    """Deliveries that raise."""

    def test_the_service_goes_on_and_the_recipients_stay_queued(self) -> None:
        """The operator gets a warning and the traceback, the recipients a reason in the defer journal."""
        read = message("A", "x@dest.example")
        scene = Scene(read=lambda queue_id: read)
        scene.accept("A", "x@dest.example")
        scene.accept("B", "x@dest.example")
        scene.agent.fail(RuntimeError("boom"))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertIn(
            "A: warning: delivery via smtp:dest.example failed: boom; its recipients stay queued", scene.log.lines
        )
        self.assertEqual(scene.agent.suspended[0][1], SiteFailure("4.3.0", "unknown mail transport error"))
        tally = scene.ends.tallies["A"]
        self.assertEqual((tally.remaining, tally.all_recorded), (1, True))
        scene.agent.finish(sent)
        self.assertEqual(scene.ends.tallies["B"].sent, 1)

    def test_it_is_negative_feedback_for_a_shorter_time(self) -> None:
        """transport_retry_time, not minimal_backoff_time."""
        scene = Scene(windows(initial=1), read=lambda queue_id: message(queue_id, "x@dest.example"))
        scene.accept("A", "x@dest.example")
        scene.agent.fail(RuntimeError("boom"))
        scene.accept("B", "x@dest.example")
        scene.clock.advance(60)
        scene.accept("C", "x@dest.example")
        self.assertEqual([request.envelope.queue_id for request in scene.agent.started], ["A", "C"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_recipients_that_were_settled_before_are_not_deferred(self) -> None:
        """The queue file knows: only those still to be done get a reason; reports are asked for to be sure."""
        left = message("A", "x@dest.example", "y@dest.example").recipients[1:]
        scene = Scene(read=lambda queue_id: QueuedMessage(message(queue_id).envelope, left, finished=1))
        scene.accept("A", "x@dest.example", "y@dest.example")
        scene.agent.fail(RuntimeError("boom"))
        self.assertEqual([addresses(request) for request, _ in scene.agent.suspended], [["y@dest.example"]])
        tally = scene.ends.tallies["A"]
        self.assertEqual((tally.remaining, tally.fresh, tally.all_recorded), (1, False, True))
        self.flushLoggedErrors(RuntimeError)

    def test_when_all_were_settled_nothing_is_deferred(self) -> None:
        """The message ends like any other."""
        scene = Scene(read=lambda queue_id: message(queue_id, finished=1))
        scene.accept("A", "x@dest.example")
        scene.agent.fail(RuntimeError("boom"))
        self.assertEqual((scene.agent.suspended, scene.ends.tallies["A"].remaining), ([], 0))
        self.flushLoggedErrors(RuntimeError)

    def test_a_message_that_was_taken_away_is_no_failure(self) -> None:
        """The operator has deleted it: no warning, no feedback."""
        scene = Scene(windows(initial=1))
        scene.accept("A", "x@dest.example")
        scene.agent.fail(FileNotFoundError(2, "No such file or directory"))
        self.assertEqual([line for line in scene.log.lines if "warning" in line], [])
        scene.accept("B", "x@dest.example")
        self.assertEqual(scene.agent.running, ["B"])

    def test_when_the_file_cannot_be_read_again_the_message_cannot_expire(self) -> None:
        """Nothing is known, so nothing is given up."""

        def read(queue_id: str) -> QueuedMessage:
            raise OSError(5, "Input/output error")

        scene = Scene(read=read)
        scene.accept("A", "x@dest.example")
        scene.agent.fail(RuntimeError("boom"))
        tally = scene.ends.tallies["A"]
        self.assertEqual((tally.remaining, tally.all_recorded), (1, False))
        self.assertIn("A: warning: cannot read the queue file again: [Errno 5] Input/output error", scene.log.lines)
        self.flushLoggedErrors(RuntimeError)

    def test_when_deferring_fails_too_the_message_cannot_expire(self) -> None:
        """The defer service is broken as well: the recipient simply stays queued."""
        scene = Scene(read=lambda queue_id: message(queue_id, "x@dest.example"))
        scene.agent.suspensions_wait = True
        scene.accept("A", "x@dest.example")
        scene.agent.fail(RuntimeError("boom"))
        scene.agent.fail(RuntimeError("again"))
        tally = scene.ends.tallies["A"]
        self.assertEqual((tally.remaining, tally.all_recorded), (1, False))
        self.assertIn("A: warning: cannot defer 1 recipients: again; they stay queued all the same", scene.log.lines)
        self.flushLoggedErrors(RuntimeError)

    def test_a_damaged_file_is_reported_to_completion(self) -> None:
        """And says nothing about the destination."""
        scene = Scene(windows(initial=1))
        scene.accept("A", "x@dest.example")
        scene.agent.fail(CorruptQueueFile("/spool/active/A", 7, "no record"))
        self.assertEqual(scene.ends.tallies["A"].corrupt, "/spool/active/A: offset 7: no record")
        scene.accept("B", "x@dest.example")
        self.assertEqual(scene.agent.running, ["B"])


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
            [words + "; more of it has to wait in deferred/"] * 2,
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


class Anything(SynchronousTestCase):
    """Whatever the mail, the windows, the outcomes and their order."""

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(seed=st.integers(0, 2**32), limit=st.integers(1, 4), recipients=st.integers(0, 3), slots=st.integers(1, 9))
    def test_every_recipient_is_in_one_request_and_every_message_ends(
        self, seed: int, limit: int, recipients: int, slots: int
    ) -> None:
        """No destination has more than its window, all together not more than the slots, nothing is left over."""
        random = Random(seed)
        read = windows(initial=2, limit=limit, recipient_limit=recipients, delivery_limit=slots)
        mail = {
            f"M{number}": [f"u{random.randrange(9)}@d{random.randrange(4)}.example" for _ in range(random.randrange(6))]
            for number in range(25)
        }
        scene = Scene(read, read=lambda queue_id: message(queue_id, *mail[queue_id]))
        scene.agent.suspensions_wait = True
        waiting = list(mail)
        while waiting or scene.agent.pending or scene.clock.getDelayedCalls():
            if waiting and random.random() < 0.4:
                queue_id = waiting.pop()
                scene.accept(queue_id, *mail[queue_id], fresh=random.random() < 0.5)
            elif scene.agent.pending:
                which = random.randrange(len(scene.agent.pending))
                put_off = {id(request) for request, _ in scene.agent.suspended}
                if random.random() < 0.1 and id(scene.agent.pending[which][0]) not in put_off:
                    scene.agent.fail(RuntimeError("boom"), which)
                else:
                    scene.agent.finish(random.choice([sent, bounced, deferred, unreachable]), which)
            scene.clock.advance(random.choice([0, 0, 1, 100]))
            put_off = {id(request) for request, _ in scene.agent.suspended}
            running = Counter(r.next_hop for r, _ in scene.agent.pending if id(r) not in put_off)
            self.assertLessEqual(max(running.values(), default=0), limit)
            self.assertLessEqual(scene.scheduler.running, slots)
        self.flushLoggedErrors(RuntimeError)
        tried = Counter(
            (request.envelope.queue_id, recipient.offset)
            for request in [*scene.agent.started, *(r for r, f in scene.agent.suspended if "suspended" in f.reason)]
            for recipient in request.recipients
        )
        self.assertEqual(
            tried, Counter((queue_id, 100 + number) for queue_id in mail for number in range(len(mail[queue_id])))
        )
        self.assertEqual(sorted(scene.ends.tallies), sorted(mail))
        self.assertEqual((len(scene.scheduler), scene.scheduler.recipients, scene.scheduler.running), (0, 0, 0))
        for tally in scene.ends.tallies.values():
            self.assertEqual(tally.sent + tally.bounced + tally.deferred, len(tally.message.recipients))


class Draining(SynchronousTestCase):
    """How the scheduler stops."""

    def drain(self, scene: Scene, timeout: float = 30.0) -> "Deferred[None]":
        """Begin to stop."""
        return Deferred.fromCoroutine(scene.scheduler.drain(timeout))

    def test_an_idle_scheduler_stops_at_once(self) -> None:
        """There is nothing to wait for."""
        self.successResultOf(self.drain(Scene()))

    def test_deliveries_under_way_end_and_nothing_new_is_started(self) -> None:
        """The message that waits is left in active/, without completion."""
        scene = Scene(windows(limit=1))
        scene.accept("A", "x@dest.example")
        scene.accept("B", "x@dest.example")
        drained = self.drain(scene)
        self.assertNotIn("B", scene.scheduler)
        self.assertEqual(scene.scheduler.room, 0)
        self.assertNoResult(drained)
        scene.agent.finish(sent)
        self.successResultOf(drained)
        self.assertEqual((list(scene.ends.tallies), len(scene.agent.started)), (["A"], 1))
        self.assertEqual(scene.clock.getDelayedCalls(), [])

    def test_a_message_that_is_half_done_is_left_for_the_next_start(self) -> None:
        """Its file knows who is done."""
        scene = Scene(windows(limit=1, recipient_limit=1))
        scene.accept("A", "x@dest.example", "y@dest.example")
        drained = self.drain(scene)
        scene.agent.finish(sent)
        self.successResultOf(drained)
        self.assertEqual(scene.ends.tallies, {})

    def test_reports_under_way_are_waited_for(self) -> None:
        """A bounce is as important as a delivery."""
        scene = Scene()
        scene.ends.finish_waits = Deferred()
        scene.accept("A", "x@dest.example")
        scene.agent.finish(bounced)
        drained = self.drain(scene)
        self.assertNoResult(drained)
        scene.ends.finish_waits.callback(None)
        self.successResultOf(drained)

    def test_what_takes_too_long_is_broken_off(self) -> None:
        """No failure, no feedback, no completion: the recipients stay queued."""
        scene = Scene()
        scene.accept("A", "x@dest.example")
        drained = self.drain(scene, 10.0)
        scene.clock.advance(10)
        self.successResultOf(drained)
        self.assertEqual((scene.ends.tallies, len(scene.scheduler), scene.scheduler.running), ({}, 0, 0))
        self.assertEqual([line for line in scene.log.lines if "warning" in line], [])

    def test_a_delivery_that_cannot_be_broken_off_does_not_keep_the_service(self) -> None:
        """When it ends after all, nobody minds."""
        scene = Scene()
        stubborn: Deferred[None] = Deferred(lambda d: None)
        never: Deferred[DeliveryResult] = Deferred()

        async def deliver(request: DeliveryRequest) -> DeliveryResult:
            try:
                return await never
            except CancelledError:
                await stubborn
                return sent(request)

        scene.scheduler._dispatch._deliver = deliver
        scene.accept("A", "x@dest.example")
        drained = self.drain(scene, 10.0)
        scene.clock.advance(10)
        self.successResultOf(drained)
        stubborn.callback(None)
        self.assertEqual((scene.ends.tallies, scene.scheduler.recipients), ({}, 0))

    def test_a_big_message_that_is_being_activated_is_left(self) -> None:
        """Whatever had been started of it ends."""
        scene = Scene(windows(limit=0, recipient_limit=0))
        scene.accept("BIG", *(f"x@d{number}.example" for number in range(1000)))
        for _ in range(3):
            scene.turn()
        self.assertEqual(len(scene.agent.started), STARTS)
        drained = self.drain(scene)
        scene.turns()
        self.assertNoResult(drained)
        while scene.agent.pending:
            scene.agent.finish(sent)
        self.successResultOf(drained)
        self.assertEqual((len(scene.agent.started), scene.ends.tallies), (STARTS, {}))

    def test_no_turn_and_no_pause_is_left_behind(self) -> None:
        """A clock without calls."""
        scene = Scene(windows(limit=1, rate_delay=5.0))
        scene.accept("A", "x@dest.example")
        scene.accept("B", "x@dest.example")
        scene.agent.finish(sent)
        self.successResultOf(self.drain(scene))
        self.assertEqual(scene.clock.getDelayedCalls(), [])

    def test_a_planned_turn_is_cancelled(self) -> None:
        """What would have been started then stays queued."""
        scene = Scene(windows(limit=1))
        scene.accept("FIRST", "x@dest.example")
        for number in range(2 * STARTS):
            scene.accept(f"A{number}", "x@dest.example")
        scene.agent.answer = sent
        scene.agent.finish(sent)
        self.successResultOf(self.drain(scene))
        scene.turns()
        self.assertEqual(len(scene.agent.started), 1 + STARTS)

    def test_a_service_that_is_started_again_works_again(self) -> None:
        """With a clean slate."""
        scene = Scene(windows(limit=1))
        scene.accept("A", "x@dest.example")
        scene.accept("B", "x@dest.example")
        drained = self.drain(scene)
        scene.agent.finish(sent)
        self.successResultOf(drained)
        scene.scheduler.resume()
        scene.accept("B", "x@dest.example")
        self.assertEqual(scene.agent.running, ["B"])


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
