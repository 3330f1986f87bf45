"""Walking through the queue folders."""

from collections.abc import Iterator

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.queue import queue_pass
from smtpclient.queue.queue_pass import QueuePass, Upcoming
from smtpclient.queue.spool import Entry


def entry(queue_id: str, due: float = 0.0, mode: int = 0o700) -> Entry:
    """A file."""
    return Entry(queue_id, due, mode)


class Folders:
    """
    Folders for a walk.

    :ivar open: how many are being read now.
    """

    def __init__(self, **files: list[str]) -> None:
        self.files = files
        self.open = 0
        self.fails = False

    def scan(self, folder: str) -> Iterator[str]:
        """Their files."""
        self.open += 1
        try:
            for name in self.files[folder]:
                if self.fails:
                    raise OSError(5, "Input/output error")
                yield name
        finally:
            self.open -= 1


def everything(folder: str, queue_id: str) -> Entry | None:
    """Take it."""
    return entry(queue_id)


def walk(queue: QueuePass) -> list[str]:
    """The names of the files until there is nothing more to look at."""
    found = []
    while queue.pending:
        taken = queue.next(everything)
        if taken is not None:
            found.append(f"{taken[0]}/{taken[1].queue_id}")
    return found


class Walks(SynchronousTestCase):
    """One walk and the next."""

    def test_nothing_is_looked_at_unless_asked(self) -> None:
        """A walk begins on request."""
        queue = QueuePass(Folders(a=["1"]).scan, "a")
        self.assertEqual((queue.pending, queue.next(everything)), (False, None))

    def test_the_folders_are_walked_through_in_order(self) -> None:
        """One file at each call, and the folder is open only as long."""
        folders = Folders(a=["1", "2"], b=["3"])
        queue = QueuePass(folders.scan, "a", "b")
        queue.ask()
        self.assertEqual((walk(queue), folders.open), (["a/1", "a/2", "b/3"], 0))

    def test_asked_while_under_way_the_next_walk_follows(self) -> None:
        """Once, however often it was asked for."""
        queue = QueuePass(Folders(a=["1", "2"]).scan, "a")
        queue.ask()
        queue.next(everything)
        queue.ask()
        queue.ask()
        self.assertEqual(walk(queue), ["a/2", "a/1", "a/2"])

    def test_after_many_files_in_vain_somebody_else_has_a_turn(self) -> None:
        """The walk goes on where it was."""
        queue = QueuePass(Folders(a=[str(number) for number in range(120)]).scan, "a")
        queue.ask()
        looks = []

        def only_the_last(folder: str, queue_id: str) -> Entry | None:
            looks.append(queue_id)
            return entry(queue_id) if queue_id == "119" else None

        self.assertIsNone(queue.next(only_the_last))
        self.assertEqual((len(looks), queue.under_way), (50, True))
        queue.next(only_the_last)
        self.assertEqual(queue.next(only_the_last), ("a", entry("119")))

    def test_ignoring_times_begins_at_once_and_lasts_for_one_walk(self) -> None:
        """What the walk under way has passed over is wanted now."""
        queue = QueuePass(Folders(a=["1", "2"]).scan, "a")
        queue.ask()
        queue.next(everything)
        queue.ask(ignore_times=True)
        self.assertEqual((queue.next(everything), queue.ignore_times), (("a", entry("1")), True))
        queue.ask()
        walk(queue)
        queue.ask()
        queue.next(everything)
        self.assertFalse(queue.ignore_times)

    def test_ignoring_times_can_wait_for_the_next_walk(self) -> None:
        """Nothing is looked at now."""
        queue = QueuePass(Folders(a=["1"]).scan, "a")
        queue.ignore_times_next()
        self.assertFalse(queue.pending)
        queue.ask()
        queue.next(everything)
        self.assertTrue(queue.ignore_times)

    def test_a_folder_that_cannot_be_read_ends_the_walk(self) -> None:
        """What was asked of it holds for the next one."""
        folders = Folders(a=["1"])
        queue = QueuePass(folders.scan, "a")
        queue.ask(ignore_times=True)
        folders.fails = True
        self.assertRaises(OSError, queue.next, everything)
        self.assertFalse(queue.pending)
        folders.fails = False
        queue.ask()
        queue.next(everything)
        self.assertTrue(queue.ignore_times)

    def test_a_walk_that_is_given_up_leaves_no_folder_open(self) -> None:
        """And nothing is wanted any more."""
        folders = Folders(a=["1", "2"])
        queue = QueuePass(folders.scan, "a")
        queue.ask()
        queue.next(everything)
        queue.ask()
        queue.stop()
        self.assertEqual((queue.pending, folders.open), (False, 0))


class TheUpcoming(SynchronousTestCase):
    """Files whose time comes soon."""

    def test_they_come_when_they_are_due_in_the_order_of_their_times(self) -> None:
        """Not before."""
        upcoming = Upcoming()
        for queue_id, due in (("C", 30.0), ("A", 10.0), ("B", 20.0)):
            upcoming.add(entry(queue_id, due))
        self.assertEqual((upcoming.due, upcoming.pop(9.0)), (10.0, None))
        self.assertEqual(
            [found.queue_id if found else "" for found in (upcoming.pop(20.0), upcoming.pop(20.0), upcoming.pop(20.0))],
            ["A", "B", ""],
        )

    def test_a_new_time_takes_the_place_of_the_old_one(self) -> None:
        """A file is in one place only; the same time again changes nothing but the mode."""
        upcoming = Upcoming()
        upcoming.add(entry("A", 10.0))
        upcoming.add(entry("A", 50.0))
        upcoming.add(entry("A", 50.0, 0o710))
        self.assertEqual((upcoming.pop(20.0), upcoming.due), (None, 50.0))
        found = upcoming.pop(50.0)
        assert found is not None
        self.assertTrue(found.expire_now)
        self.assertEqual((len(upcoming), upcoming.due), (0, None))

    def test_what_is_taken_elsewhere_is_forgotten(self) -> None:
        """Also if it was never known."""
        upcoming = Upcoming()
        upcoming.add(entry("A", 10.0))
        upcoming.discard("A")
        upcoming.discard("B")
        self.assertIsNone(upcoming.pop(100.0))

    def test_only_so_many_are_remembered(self) -> None:
        """The next walk finds the others; one that is known may still get a new time."""
        self.patch(queue_pass, "UPCOMING", 2)
        upcoming = Upcoming()
        for queue_id in "ABC":
            upcoming.add(entry(queue_id, 10.0))
        upcoming.add(entry("A", 20.0))
        self.assertEqual((len(upcoming), upcoming.due), (2, 10.0))

    def test_all_can_be_forgotten(self) -> None:
        """When the service stops."""
        upcoming = Upcoming()
        upcoming.add(entry("A", 10.0))
        upcoming.clear()
        self.assertEqual((len(upcoming), upcoming.due), (0, None))
