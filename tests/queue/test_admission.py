"""How much of the active queue a destination may have."""

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.delivery.routing import Route
from smtpclient.queue.admission import UNTRIED
from smtpclient.queue.glimpse import Glimpse
from tests.queue.scheduling import Scene, by_domain, sent, unreachable, windows

HOG = ("smtp", "hog.example")


def seen(*addresses: str) -> Glimpse:
    """A message in its folder."""
    return Glimpse("from@sender.example", addresses)


class Folder(SynchronousTestCase):
    """What is said of mail that was not claimed yet."""

    def hog(self, scene: Scene, count: int) -> None:
        """Have so many messages for one destination active."""
        for number in range(count):
            scene.accept(f"HOG{number}", "x@hog.example")

    def test_nobody_is_looked_at_while_there_is_room_for_all(self) -> None:
        """A glimpse has its price."""
        scene = Scene(windows(limit=1, active_limit=100))
        self.hog(scene, 79)
        self.assertFalse(scene.scheduler.admission.is_strained)
        self.hog(scene, 0)
        scene.accept("LAST", "x@hog.example")
        self.assertTrue(scene.scheduler.admission.is_strained)

    def test_who_has_its_share_refuses_more(self) -> None:
        """Others do not, and nobody refuses a message of which some can go."""
        scene = Scene(windows(limit=1, active_limit=100))
        self.hog(scene, 80)
        admission = scene.scheduler.admission
        self.assertEqual(
            [
                admission.refusing(seen("x@hog.example", "y@hog.example")),
                admission.refusing(seen("x@other.example")),
                admission.refusing(seen("x@hog.example", "x@other.example")),
            ],
            [HOG, None, None],
        )

    def test_it_takes_more_when_one_has_left(self) -> None:
        """And when all is well again nobody is looked at any more."""
        scene = Scene(windows(limit=1, active_limit=100))
        self.hog(scene, 80)
        admission = scene.scheduler.admission
        self.assertFalse(admission.takes(HOG))
        scene.agent.finish(sent)
        self.assertTrue(admission.takes(HOG))
        admission.review()
        self.assertFalse(admission.is_strained)

    def test_one_that_has_not_answered_gets_less(self) -> None:
        """A host that lets everybody wait for its greeting must not fill the memory meanwhile."""
        scene = Scene(windows(limit=1))
        self.hog(scene, UNTRIED)
        admission = scene.scheduler.admission
        self.assertEqual((admission.is_strained, admission.takes(HOG)), (True, False))
        scene.agent.finish(sent)
        scene.accept("MORE", "x@hog.example")
        self.assertTrue(admission.takes(HOG))

    def test_one_that_may_have_more_under_way(self) -> None:
        """But whoever lets a destination have a wider window than that gets it filled before the first answer."""
        wide = UNTRIED + 100
        scene = Scene(windows(initial=wide, limit=wide))
        self.hog(scene, wide - 1)
        self.assertTrue(scene.scheduler.admission.takes(HOG))
        scene.accept("LAST", "x@hog.example")
        self.assertFalse(scene.scheduler.admission.takes(HOG))

    def test_a_dead_one_takes_what_is_being_deferred_and_as_much_again(self) -> None:
        """Until its time is over."""
        scene = Scene(windows(initial=1))
        scene.agent.suspensions_wait = True
        self.hog(scene, 1)
        scene.agent.finish(unreachable)
        admission = scene.scheduler.admission
        self.assertEqual((admission.is_strained, admission.takes(HOG)), (True, True))
        for number in range(40):
            scene.accept(f"MORE{number}", "x@hog.example")
        self.assertEqual(admission.refusing(seen("x@hog.example")), HOG)
        scene.clock.advance(300)
        self.assertIsNone(admission.refusing(seen("x@hog.example")))

    def test_what_cannot_be_routed_is_not_refused(self) -> None:
        """It is claimed, and its recipients hear why they wait."""
        broken = [False]

        def route(recipient: str, sender: str) -> Route:
            if broken[0]:
                raise OSError("the table is gone")
            return by_domain(recipient, sender)

        scene = Scene(windows(limit=1, active_limit=100), route)
        self.hog(scene, 80)
        broken[0] = True
        self.assertIsNone(scene.scheduler.admission.refusing(seen("x@hog.example")))
