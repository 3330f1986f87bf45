"""Small queue files in memory."""

import os

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.queue.small_files import PATIENCE, ROOM, SmallFiles
from tests.queue.disk import DirectFiles


class Case(SynchronousTestCase):
    """Room for ten bytes."""

    def setUp(self) -> None:
        self.folder = os.path.abspath(self.mktemp())
        os.mkdir(self.folder)
        self.small_files = SmallFiles(DirectFiles(), 10)

    def keep(self, name: str, data: bytes) -> str:
        """Make a file and keep it: its path."""
        path = f"{self.folder}/{name}"
        with open(path, "wb") as file:
            file.write(data)
        os.utime(path, (1, 1))
        self.small_files.keep(path, os.stat(path), data)
        return path


class TakeTests(Case):
    """What is given out."""

    def test_once(self) -> None:
        """A file is given out once, and does not count any more."""
        path = self.keep("a", b"abc")
        self.assertEqual(self.small_files.size, 3)
        self.assertEqual([self.small_files.take(path), self.small_files.take(path)], [b"abc", b""])
        self.assertEqual(self.small_files.size, 0)

    def test_gone(self) -> None:
        """One that has been removed or moved is missed, and does not count any more."""
        path = self.keep("a", b"abc")
        os.rename(path, path + "-elsewhere")
        self.assertRaises(FileNotFoundError, self.small_files.take, path)
        self.assertEqual(self.small_files.size, 0)

    def test_written_to(self) -> None:
        """One that was written to has to be read."""
        path = self.keep("a", b"abc")
        os.utime(path, (2, 2))
        self.assertEqual(self.small_files.take(path), b"")

    def test_other_size(self) -> None:
        """One that is longer or shorter has to be read, also when its time was put back."""
        path = self.keep("a", b"abc")
        os.truncate(path, 2)
        os.utime(path, (1, 1))
        self.assertEqual(self.small_files.take(path), b"")

    def test_another_in_its_place(self) -> None:
        """Another file of the same name, size and time has to be read."""
        path = self.keep("a", b"abc")
        other = self.keep("b", b"abd")
        os.rename(other, path)
        self.assertEqual(self.small_files.take(path), b"")

    def test_discarded(self) -> None:
        """What is not kept any longer does not count; what is not kept can be discarded."""
        path = self.keep("a", b"abc")
        self.small_files.discard(path)
        self.small_files.discard(path)
        self.assertEqual([self.small_files.size, self.small_files.take(path)], [0, b""])


class RoomTests(Case):
    """How much is kept."""

    def test_full(self) -> None:
        """Where there is no room, what comes later is not kept; what fits is."""
        first, second, third = self.keep("a", b"1234567"), self.keep("b", b"1234"), self.keep("c", b"123")
        self.assertEqual(self.small_files.size, 10)
        self.assertEqual([self.small_files.take(path) for path in (second, first, third)], [b"", b"1234567", b"123"])

    def test_too_long(self) -> None:
        """What is longer than all the room is not kept, and nothing goes for it; where there is none, nothing is."""
        first, second = self.keep("a", b"1234"), self.keep("b", b"12345678901")
        self.assertEqual([self.small_files.take(path) for path in (second, first)], [b"", b"1234"])
        none = SmallFiles(DirectFiles(), 0)
        none.keep(first, os.stat(first), b"1234")
        self.assertEqual(none.size, 0)

    def test_patience(self) -> None:
        """What is kept while many are turned away makes room, the oldest first and no more than it takes."""
        first, second = self.keep("a", b"1234"), self.keep("b", b"12345")
        found = os.stat(second)
        for _ in range(PATIENCE):
            self.small_files.keep("another", found, b"12")
        self.assertEqual(self.small_files.size, 9)
        third = self.keep("c", b"123")
        self.assertEqual(self.small_files.size, 8)
        self.assertEqual([self.small_files.take(path) for path in (first, second, third)], [b"", b"12345", b"123"])

    def test_read_again(self) -> None:
        """A file that is read again counts once."""
        self.keep("a", b"1234567890")
        path = self.keep("a", b"123")
        self.assertEqual([self.small_files.size, self.small_files.take(path)], [3, b"123"])

    def test_limit(self) -> None:
        """Whatever comes, no more is kept than there is room for."""
        small_files = SmallFiles(DirectFiles())
        found = os.stat(self.folder)
        for number in range(2000):
            small_files.keep(str(number), found, bytes(16384))
        self.assertEqual(small_files.size, ROOM)
