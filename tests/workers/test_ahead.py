"""Requests that are sent ahead: the service's side of it."""

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.mail.envelope import Envelope, Recipient
from smtpclient.mail.outcome import SiteFailure
from smtpclient.mail.request import DeliveryInterrupted, DeliveryRequest, DeliveryResult, Fits
from smtpclient.queue.content import SpoolContent
from smtpclient.workers import wire
from smtpclient.workers.member import DEPTH, DeliveryFailed
from smtpclient.workers.message import Broken, Removed
from tests.workers.test_crew import FIRST, Process, Scene, sent


class Mail:
    """Mail for one destination, which may have so much under way; the rest waits."""

    def __init__(self, scene: Scene, window: int, *queue_ids: str) -> None:
        self.scene = scene
        self.waiting = list(queue_ids)
        self.results: dict[str, Deferred[DeliveryResult]] = {}
        for _ in range(window):
            self.start()
        scene.machine.advance(0)

    def start(self, behind: object = None) -> None:
        """The next one begins."""
        queue_id, given_on = self.waiting.pop(0), False

        def follow(fits: Fits, told: object) -> bool:
            nonlocal given_on
            if given_on or not self.waiting:
                return False
            given_on = True
            self.start(told)
            return True

        request = DeliveryRequest(
            Envelope(queue_id, "me@x", 1.0, 1.0, 10, 100),
            (Recipient(f"{queue_id}@x"),),
            "smtp",
            FIRST,
            SpoolContent(None, "", 0),  # type: ignore[arg-type]
            2.0,
            lambda: len(self.waiting),
            follow,
            behind,
        )
        self.results[queue_id] = ensureDeferred(self.scene.crew.deliver(request))


def asked(process: Process) -> list[tuple[str, int]]:
    """What a process was asked to deliver: queue ids, and the numbers of those in whose place."""
    return [(request.envelope.queue_id, request.behind) for request in process.requests()]


class AheadTests(SynchronousTestCase):
    """What is sent ahead, and what becomes of it."""

    def scene(self, **more: Any) -> tuple[Scene, Process, Process]:
        """Two workers; the mail is for one that belongs to the first."""
        scene = Scene(2, **more)
        first, second = scene.start()
        return scene, first, second

    def test_a_request_is_at_hand_when_another_one_ends(self) -> None:
        """One for each that is under way at first, more with every answer."""
        scene, first, _ = self.scene()
        mail = Mail(scene, 2, *(f"A{number}" for number in range(20)))
        self.assertEqual([("A0", 0), ("A1", 1), ("A2", 0), ("A3", 2)], asked(first))
        first.say(sent(first.requests()[0]))
        self.successResultOf(mail.results["A0"])
        self.assertEqual([("A4", 3), ("A5", 4), ("A6", 5)], asked(first)[4:])
        for number in range(1, 4):
            first.say(sent(first.requests()[number]))
        self.assertEqual(4 + 2 + 2 * DEPTH, len(asked(first)))

    def test_a_site_that_fails_gets_nothing_ahead(self) -> None:
        """Until it has answered again."""
        scene, first, _ = self.scene()
        Mail(scene, 1, *(f"A{number}" for number in range(5)))
        first.say(sent(first.requests()[0], site_failure=SiteFailure("4.4.1", "gone")))
        self.assertEqual([("A0", 0), ("A1", 1)], asked(first))
        first.say(sent(first.requests()[1]))
        self.assertEqual(2, len(asked(first)))

    def test_what_had_not_begun_when_a_worker_ended_goes_to_another_one(self) -> None:
        """In the same order, each in its place; what was under way is interrupted."""
        scene, first, second = self.scene()
        mail = Mail(scene, 1, *(f"A{number}" for number in range(9)))
        first.say(sent(first.requests()[0]))  # A1 is under way now
        self.assertEqual([("A2", 2), ("A3", 3)], asked(first)[2:])
        first.end()
        scene.machine.advance(0)
        self.failureResultOf(mail.results["A1"], DeliveryInterrupted)
        self.assertEqual([("A2", 0), ("A3", 1)], asked(second)[:2])
        second.say(*(sent(request) for request in second.requests()[:2]))
        for queue_id in ("A2", "A3"):
            self.successResultOf(mail.results[queue_id])

    def test_what_two_workers_had_is_interrupted(self) -> None:
        """What workers die of must not bring down all of them."""
        scene, first, second = self.scene()
        mail = Mail(scene, 1, "A0", "A1")
        first.end()
        self.assertNoResult(mail.results["A1"])
        second.end()
        self.failureResultOf(mail.results["A0"], DeliveryInterrupted)
        self.failureResultOf(mail.results["A1"], DeliveryInterrupted)

    def test_what_had_not_begun_at_the_end_is_left_for_the_next_start(self) -> None:
        """A worker that is to end breaks it off: nobody has tried it, so that there is nothing to say about it."""
        scene, first, _ = self.scene()
        mail = Mail(scene, 1, "A0", "A1")
        scene.crew.stopService()
        first.say(Broken(2, "cancelled", cancelled=True))
        self.failureResultOf(mail.results["A1"], CancelledError)
        first.say(sent(first.requests()[0]))
        self.successResultOf(mail.results["A0"])

    def test_one_that_breaks_makes_room_for_the_next(self) -> None:
        """What a delivery raises is its own affair."""
        scene, first, _ = self.scene()
        mail = Mail(scene, 1, "A0", "A1", "A2")
        first.say(Broken(1, "boom"))
        self.failureResultOf(mail.results["A0"], DeliveryFailed)
        self.assertEqual([("A0", 0), ("A1", 1), ("A2", 2)], asked(first))

    def test_a_request_that_is_too_long_fails_alone(self) -> None:
        """The others of that turn are sent."""
        scene, first, _ = self.scene()
        self.patch(wire, "LONGEST", 500)
        mail = Mail(scene, 1, "A0", "A" * 500)
        self.failureResultOf(mail.results["A" * 500], ValueError)
        self.assertEqual([("A0", 0)], asked(first))

    def test_what_nobody_wants_to_hear_is_not_told(self) -> None:
        """A worker is told so, and its short answer is as good."""
        scene, first, _ = self.scene()
        scene.heard_of.clear()
        mail = Mail(scene, 1, "SOLE", "A1")
        self.assertEqual([False, True], [request.told for request in first.requests()])
        first.say(Removed(1))
        self.assertEqual(DeliveryResult(()), self.successResultOf(mail.results["SOLE"]))
        self.assertEqual(["SOLE"], scene.removed)
