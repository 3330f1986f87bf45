"""The names of files that wait for room at their destination."""

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.queue import outside
from smtpclient.queue.outside import Key, Outside

A, B = ("smtp", "a.example"), ("smtp", "b.example")


def only(*keys: Key) -> Callable[[Key], bool]:
    """Those destinations have room."""
    return lambda key: key in keys


class Waiting(SynchronousTestCase):
    """In and out."""

    def setUp(self) -> None:
        """Three for A and one for B wait."""
        self.outside = Outside()
        for key, queue_id in ((A, "1"), (A, "2"), (B, "3"), (A, "4")):
            self.outside.add(key, "incoming", queue_id)

    def given(self, takes: Callable[[Key], bool]) -> list[str]:
        """Everything that is given out."""
        found = []
        while one := self.outside.next(takes):
            found.append(one[1])
        return found

    def test_destinations_take_turns_and_their_files_come_in_order(self) -> None:
        """A backlog for the one does not hold up the other."""
        self.assertEqual(self.given(only(A, B)), ["1", "3", "2", "4"])

    def test_only_those_with_room_are_given_anything(self) -> None:
        """The others wait on."""
        self.assertEqual((self.given(only(B)), len(self.outside)), (["3"], 3))

    def test_each_comes_from_where_it_lies(self) -> None:
        """The folder is remembered with the name."""
        self.outside.add(B, "deferred", "5")
        self.assertEqual(
            [self.outside.next(only(B)), self.outside.next(only(B))], [("incoming", "3"), ("deferred", "5")]
        )

    def test_it_is_closed_when_all_were_asked_in_vain(self) -> None:
        """Until somebody says that something has changed."""
        self.outside.ask_again()
        self.assertTrue(self.outside.is_open)
        self.outside.next(only())
        self.assertFalse(self.outside.is_open)
        self.outside.ask_again()
        self.assertTrue(self.outside.is_open)

    def test_no_more_than_so_many_are_remembered(self) -> None:
        """Whoever comes with one more hears of it."""
        self.patch(outside, "MOST", 4)
        self.assertFalse(self.outside.add(B, "incoming", "5"))
        self.assertNotIn("5", self.outside.folders)

    def test_nothing_is_left_after_all_is_forgotten(self) -> None:
        """The table of folders is the same one as before: scans hold it."""
        folders = self.outside.folders
        self.outside.clear()
        self.outside.ask_again()
        self.assertEqual((folders, self.outside.is_open, self.outside.next(only(A, B))), ({}, False, None))
