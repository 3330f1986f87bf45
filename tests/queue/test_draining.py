"""How the scheduler stops."""

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.mail.request import DeliveryRequest, DeliveryResult
from smtpclient.queue.dispatch import STARTS
from tests.queue.scheduling import Scene, bounced, sent, windows


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

    def test_an_activation_that_takes_too_long_is_broken_off(self) -> None:
        """The defer service does not answer; the message is left for the next start, without noise."""
        scene = Scene()
        scene.ends.begin_waits = Deferred()
        scene.accept("A", "x@dest.example", fresh=False)
        drained = self.drain(scene, 10.0)
        scene.clock.advance(10)
        self.successResultOf(drained)
        self.assertEqual((len(scene.scheduler), scene.ends.tallies), (0, {}))

    def test_a_task_that_fails_is_logged(self) -> None:
        """It would be a defect; nobody should have to wait for the garbage collector to hear of it."""

        async def fail_at_once() -> None:
            raise ZeroDivisionError

        async def fail_later(trigger: "Deferred[None]") -> None:
            await trigger
            raise ZeroDivisionError

        scene = Scene()
        trigger: Deferred[None] = Deferred()
        scene.scheduler._dispatch.spawn(fail_at_once())
        scene.scheduler._dispatch.spawn(fail_later(trigger))
        trigger.callback(None)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_two_may_wait_for_the_end(self) -> None:
        """Each is told."""
        scene = Scene()
        scene.accept("A", "x@dest.example")
        first, second = self.drain(scene), self.drain(scene)
        scene.agent.finish(sent)
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertEqual(scene.clock.getDelayedCalls(), [])

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
