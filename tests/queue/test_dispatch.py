"""Requests: who waits for whom, and what is learnt from how they end."""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.delivery.routing import Route
from smtpclient.mail.address import domain_of
from smtpclient.mail.envelope import Envelope, QueuedMessage, Recipient
from smtpclient.mail.outcome import SiteFailure
from smtpclient.mail.request import DeliveryInterrupted, DeliveryRequest
from smtpclient.queue.destination_queue import SUSPENDED_WIDTH
from smtpclient.queue.dispatch import STARTS
from smtpclient.queue.record import CorruptQueueFile
from tests.queue.scheduling import (
    DOWN,
    NOW,
    Scene,
    addresses,
    bounced,
    deferred,
    message,
    sent,
    unreachable,
    windows,
)


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
        scene = Scene(
            windows(limit=0, recipient_limit=0), lambda recipient, sender: Route("smtp", domain_of(recipient))
        )
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


class Following(SynchronousTestCase):
    """Requests that begin in the place of one that is nearly over."""

    def scene(self) -> Scene:
        """A destination with four messages and a window of two."""
        scene = Scene(windows(initial=2, limit=2))
        for number in range(4):
            scene.accept(f"A{number}", "x@dest.example")
        return scene

    def test_the_next_one_takes_the_place(self) -> None:
        """It begins, with what it is given along, and no other begins when the one in front ends."""
        scene = self.scene()
        request = scene.agent.pending[0][0]
        self.assertTrue(request.follow(lambda envelope, recipients: True, "behind A0"))
        self.assertEqual(scene.agent.running, ["A0", "A1", "A2"])
        self.assertEqual([request.behind for request in scene.agent.started], [None, None, "behind A0"])
        self.assertEqual(scene.scheduler.running, 2)
        scene.agent.finish(sent)
        self.assertEqual((scene.agent.running, scene.scheduler.running), (["A1", "A2"], 2))
        scene.agent.finish(sent)
        self.assertEqual(scene.agent.running, ["A2", "A3"])
        scene.agent.finish(sent)
        scene.agent.finish(sent)
        self.assertEqual((len(scene.scheduler), scene.scheduler.running), (0, 0))
        self.assertEqual(list(scene.scheduler.destinations()), [])

    def test_mail_of_a_destination_that_does_not_widen_now_follows(self) -> None:
        """That is what it waits for; others of the same kind are not in its way."""
        scene = Scene(route=lambda recipient, sender: Route("smtp", domain_of(recipient)))
        for number in range(2):
            scene.accept(f"X{number}", "x@other.example")
        scene.clock.rightNow += 0.005  # a turn with no time to spare
        scene.turn()
        for number in range(2):
            scene.accept(f"A{number}", "x@a.example")
            scene.accept(f"B{number}", "x@b.example")
        self.assertEqual(scene.agent.running, ["X0", "X1", "A0", "B0"])
        request = next(request for request, _ in scene.agent.pending if request.envelope.queue_id == "A0")
        self.assertTrue(request.follow(lambda envelope, recipients: True, "behind A0"))
        self.assertEqual(scene.agent.running, ["X0", "X1", "A0", "B0", "A1"])
        for _ in range(6):
            scene.agent.finish(sent)
        self.assertEqual((len(scene.scheduler), scene.scheduler.running), (0, 0))

    def test_it_begins_when_it_is_told_to(self) -> None:
        """Where whoever is in front says when, the place is taken at once all the same."""
        scene = self.scene()
        begins: list[Callable[[], None]] = []
        queue_ids: list[str] = []

        def later(request: DeliveryRequest, begin: Callable[[], None]) -> None:
            queue_ids.append(request.envelope.queue_id)
            begins.append(begin)

        self.assertTrue(scene.agent.pending[0][0].follow(lambda envelope, recipients: True, "behind A0", later))
        self.assertEqual((queue_ids, scene.agent.running), (["A2"], ["A0", "A1"]))
        begins[0]()
        scene.agent.finish(sent)
        self.assertEqual((scene.agent.running, scene.scheduler.running), (["A1", "A2"], 2))

    def test_it_begins_though_its_destination_has_died(self) -> None:
        """What stands behind another message has a session already, and is not deferred with the rest."""
        scene = Scene(windows(initial=1, limit=1))
        for number in range(3):
            scene.accept(f"A{number}", "x@dest.example")
        begins: list[Callable[[], None]] = []
        request = scene.agent.pending[0][0]
        request.follow(lambda envelope, recipients: True, "", lambda request, begin: begins.append(begin))
        scene.agent.finish(unreachable)
        begins[0]()
        self.assertEqual(scene.agent.running, ["A1"])

    def test_broken_off_before_it_has_begun(self) -> None:
        """What begins when deliveries are broken off is broken off, too, and stays queued."""
        scene = self.scene()
        begins: list[Callable[[], None]] = []
        request = scene.agent.pending[0][0]
        request.follow(lambda envelope, recipients: True, "", lambda request, begin: begins.append(begin))
        drained = Deferred.fromCoroutine(scene.scheduler.drain(10.0))
        scene.clock.advance(10.0)
        begins[0]()
        self.assertEqual([request.envelope.queue_id for request in scene.agent.started], ["A0", "A1"])
        self.assertEqual((len(scene.scheduler), scene.scheduler.running), (0, 0))
        self.successResultOf(drained)

    def test_the_one_behind_may_end_first(self) -> None:
        """Its place is free then, and the one in front has none to give back."""
        scene = self.scene()
        scene.agent.pending[0][0].follow(lambda envelope, recipients: True, "")
        scene.agent.finish(sent, 2)
        self.assertEqual((scene.agent.running, scene.scheduler.running), (["A0", "A1", "A3"], 2))
        for _ in range(3):
            scene.agent.finish(sent)
        self.assertEqual((len(scene.scheduler), scene.scheduler.running), (0, 0))

    def test_one_only(self) -> None:
        """A place can be given on once."""
        scene = self.scene()
        request = scene.agent.pending[0][0]
        asked = [request.follow(lambda envelope, recipients: True, "") for _ in range(2)]
        self.assertEqual((asked, scene.scheduler.running), ([True, False], 2))

    def test_it_has_to_fit(self) -> None:
        """Who is in front sees envelope and recipients; a message that it does not want waits as ever."""
        scene = self.scene()
        seen = []

        def fits(envelope: Envelope, recipients: Sequence[Recipient]) -> bool:
            seen.append((envelope.queue_id, [recipient.address for recipient in recipients]))
            return False

        self.assertFalse(scene.agent.pending[0][0].follow(fits, ""))
        self.assertEqual((seen, scene.agent.running), ([("A2", ["x@dest.example"])], ["A0", "A1"]))

    def test_when_nobody_follows(self) -> None:
        """Not where nobody waits, where the next one will start anyway, or where deliveries are kept apart."""
        for count, windows_of in (
            (2, windows(initial=2, limit=2)),
            (1, windows(initial=2, limit=2)),
            (2, windows(limit=1, rate_delay=1.0)),
        ):
            scene = Scene(windows_of)
            for number in range(count):
                scene.accept(f"A{number}", "x@dest.example")
            self.assertFalse(scene.agent.pending[0][0].follow(lambda envelope, recipients: True, ""))

    def test_not_where_the_window_has_shrunk(self) -> None:
        """A place that is one too many is not given on."""
        scene = Scene(windows(initial=3, limit=3))
        for number in range(6):
            scene.accept(f"A{number}", "x@dest.example")
        asked = [scene.agent.pending[0][0].follow(lambda envelope, recipients: True, "")]
        scene.agent.finish(unreachable)
        (state,) = scene.scheduler.destinations()
        self.assertEqual((3, 2), (state.running, state.window))
        asked.append(scene.agent.pending[0][0].follow(lambda envelope, recipients: True, ""))
        self.assertEqual([True, False], asked)

    def test_others_come_first(self) -> None:
        """A place that another destination waits for is not given on inside this one."""
        scene = Scene(windows(initial=2, limit=2, delivery_limit=2))
        for number in range(4):
            scene.accept(f"A{number}", "x@dest.example")
        scene.accept("B", "x@other.example")
        self.assertEqual(scene.agent.running, ["A0", "A1"])
        self.assertFalse(scene.agent.pending[0][0].follow(lambda envelope, recipients: True, ""))
        scene.agent.finish(sent)
        self.assertEqual(scene.agent.running, ["A1", "B"])

    def test_not_while_the_service_stops(self) -> None:
        """What has not begun stays queued."""
        scene = self.scene()
        Deferred.fromCoroutine(scene.scheduler.drain(10.0))
        self.assertFalse(scene.agent.pending[0][0].follow(lambda envelope, recipients: True, ""))


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

    def test_live_destinations_come_before_the_deferrals_of_dead_ones(self) -> None:
        """Of a hundred messages for a dead host twenty are deferred, then what can be delivered is begun."""
        scene = Scene(windows(initial=1))
        scene.accept("A", "x@dead.example")
        for number in range(100):
            scene.accept(f"DEAD{number}", "x@dead.example")
        scene.agent.finish(unreachable)
        self.assertEqual(len(scene.agent.suspended), SUSPENDED_WIDTH)
        scene.accept("LIVE", "x@live.example")
        self.assertEqual((scene.agent.running, len(scene.agent.suspended)), (["LIVE"], SUSPENDED_WIDTH))
        scene.turns()
        self.assertEqual(len(scene.agent.suspended), 100)

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

    def test_an_interruption_is_not_the_destinations_fault(self) -> None:
        """The recipients are deferred; the destination is not, and there is no traceback for what is no mistake."""
        scene = Scene(windows(initial=1), read=lambda queue_id: message(queue_id, "x@dest.example"))
        scene.accept("A", "x@dest.example")
        scene.agent.fail(DeliveryInterrupted("the worker has ended"))
        self.assertIn(
            "A: warning: delivery via smtp:dest.example failed: the worker has ended; its recipients stay queued",
            scene.log.lines,
        )
        scene.accept("B", "x@dest.example")
        self.assertEqual([request.envelope.queue_id for request in scene.agent.started], ["A", "B"])
        self.assertEqual(scene.ends.tallies["A"].deferred, 1)

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
