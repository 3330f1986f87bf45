"""A message whose last recipients have just been delivered is removed at once, and nothing else is."""

import os
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.mail.envelope import Notify, Recipient
from smtpclient.mail.request import DeliveryRequest, DeliveryResult
from smtpclient.queue.dispatch import Deliver
from tests.queue.polling import Scene
from tests.queue.scheduling import Scene as SchedulerScene
from tests.queue.scheduling import bounced, deferred, message, sent


class EarlyRemoval(SynchronousTestCase):
    """What the scheduler says when it is told of deliveries before their request has ended."""

    def removed(self, scene: SchedulerScene, delivered: int) -> tuple[bool, list[str]]:
        """The answer, and what was removed for it."""
        gone: list[str] = []
        scene.ends.remove_early = lambda queue_id: not gone.append(queue_id)  # type: ignore[attr-defined,func-returns-value]
        return scene.scheduler.conclude("A1", delivered), gone

    def test_the_last_recipients(self) -> None:
        """All that the message has were delivered."""
        scene = SchedulerScene()
        scene.accept("A1", "x@dest.example", "y@dest.example")
        self.assertEqual(self.removed(scene, 2), (True, ["A1"]))
        scene.agent.finish(sent)
        self.assertEqual((scene.ends.removals, scene.ends.tallies, len(scene.scheduler)), (["A1"], {}, 0))

    def test_not_while_somebody_is_left(self) -> None:
        """One of two."""
        scene = SchedulerScene()
        scene.accept("A1", "x@dest.example", "y@dest.example")
        self.assertEqual(self.removed(scene, 1), (False, []))

    def test_the_last_after_others(self) -> None:
        """What earlier requests have delivered counts; what they have not does too."""
        for answer, wanted in ((sent, (True, ["A1"])), (bounced, (False, [])), (deferred, (False, []))):
            scene = SchedulerScene()
            scene.accept("A1", "x@one.example", "y@two.example")
            scene.agent.finish(answer)
            self.assertEqual(self.removed(scene, 1), wanted)

    def test_not_what_has_a_past(self) -> None:
        """There may be reports to send whose records are from before the start."""
        scene = SchedulerScene()
        scene.accept("A1", "x@dest.example", fresh=False)
        self.assertEqual(self.removed(scene, 1), (False, []))

    def test_not_what_is_to_be_reported(self) -> None:
        """NOTIFY=SUCCESS of a recipient before, and sendmail -v: the report needs the content."""
        scene = SchedulerScene()
        read = message("A1", "x@one.example", "y@two.example")
        wishes = (Recipient("x@one.example", offset=1, notify=Notify.SUCCESS), read.recipients[1])
        read = read._replace(recipients=wishes)
        scene.scheduler.accept(read, fresh=True)
        scene.agent.finish(sent)
        self.assertEqual(self.removed(scene, 1), (False, []))
        scene = SchedulerScene()
        read = message("A1", "x@one.example")
        read = read._replace(envelope=read.envelope._replace(attributes={"trace_flags": "1"}))
        scene.scheduler.accept(read, fresh=True)
        self.assertEqual(self.removed(scene, 1), (False, []))

    def test_not_what_is_unknown(self) -> None:
        """A message that is not active, or not any more."""
        self.assertEqual(self.removed(SchedulerScene(), 1), (False, []))


class EarlyRemovalOfFiles(SynchronousTestCase):
    """The same with a real queue directory and completion."""

    def setUp(self) -> None:
        """A queue in which deliveries conclude their message, as settlement does."""
        self.scene = Scene(self.mktemp())
        self.concluded: list[bool] = []

        async def deliver(request: DeliveryRequest) -> DeliveryResult:
            self.concluded.append(self.scene.scheduler.conclude(request.envelope.queue_id, 1))
            return sent(request)

        self.scene.scheduler._dispatch._deliver = self._typed(deliver)

    @staticmethod
    def _typed(deliver: Any) -> Deliver:
        found: Deliver = deliver
        return found

    def tearDown(self) -> None:
        """No timer is left behind."""
        self.scene.poller.stopService()
        self.scene.spool.close()

    def test_the_file_goes_and_the_log_says_so(self) -> None:
        """One line, ``removed``, as ever; no report is asked for."""
        queue_id = self.scene.put()
        self.scene.start()
        self.assertEqual((self.concluded, self.scene.queues, self.scene.reports), ([True], {}, []))
        self.assertEqual(self.scene.log.lines[-1], f"{queue_id}: removed")

    def test_a_file_that_cannot_be_removed_is_still_to_be_marked(self) -> None:
        """The answer is no, and completion tries again."""
        self.scene.put()
        refused: list[str] = []
        remove = self.scene.spool.remove

        def refuse_once(queue_id: str, queue: str = "active") -> bool:
            if not refused:
                refused.append(queue_id)
                raise PermissionError(1, os.strerror(1))
            return remove(queue_id, queue)

        self.patch(self.scene.spool, "remove", refuse_once)
        self.scene.start()
        self.assertEqual((self.concluded, self.scene.queues), ([False], {}))
