"""The folders of a queue directory."""

import errno
import os

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.queue.folders import MODES, Folders
from smtpclient.queue.instance_lock import SpoolError
from tests.queue.disk import DirectFiles, FailingFiles


class FoldersTests(SynchronousTestCase):
    """Paths, moves, and making what is missing."""

    def setUp(self) -> None:
        self.files = DirectFiles()
        self.directory = os.path.abspath(self.mktemp())
        os.mkdir(self.directory)
        self.folders = Folders(self.files, self.directory, ("deferred", "defer"), 1)

    def _touch(self, path: str) -> str:
        with open(path, "w"):
            return path

    def test_paths(self) -> None:
        """Hashed queues have a folder between, the others have not."""
        got = [self.folders.path(queue, "3A66D21A822") for queue in ("incoming", "deferred", "defer", "bounce")]
        wanted = ["incoming/", "deferred/3/", "defer/3/", "bounce/"]
        self.assertEqual(got, [f"{self.directory}/{folder}3A66D21A822" for folder in wanted])

    def test_relative_directory(self) -> None:
        """A relative directory stays the same one when the process goes elsewhere, as a daemon does."""
        self.assertEqual(Folders(self.files, "spool", (), 0).directory, os.getcwd() + "/spool")

    def test_no_way_out(self) -> None:
        """Neither a queue's name nor an id leads out of the directory; the words say what was wrong."""
        for queue, queue_id, words in (
            ("incoming", "../../etc/passwd", "'../../etc/passwd' is no queue id"),
            ("..", "ABCDEF", "'..' is no queue; queues are incoming, active, deferred, hold"),
            ("deferred", "..", "'..' is no queue id"),
            ("", "ABCDEF", "'' is no queue"),
        ):
            self.assertIn(words, str(self.assertRaises(ValueError, self.folders.path, queue, queue_id)))
        self.assertRaises(ValueError, self.folders.queue, "../spool")

    def test_make(self) -> None:
        """Every folder that Postfix's tools look for is made, with Postfix's mode; what is there is left."""
        os.mkdir(self.directory + "/hold", 0o750)
        self.folders.make()
        self.folders.make()
        got = {name: os.stat(f"{self.directory}/{name}").st_mode & 0o777 for name in os.listdir(self.directory)}
        self.assertEqual(got, {**MODES, "hold": 0o750})

    def test_make_the_directory_itself(self) -> None:
        """The queue directory too is made where it is missing."""
        Folders(self.files, self.directory + "/spool", (), 0).make()
        self.assertEqual(os.stat(self.directory + "/spool").st_mode & 0o777, 0o755)
        self.assertEqual(set(os.listdir(self.directory + "/spool")), set(MODES))

    def test_owner(self) -> None:
        """New folders go to the owner, but for the one that holds the locks."""
        if os.getuid():
            raise self.skipTest("only root can give folders away")
        Folders(self.files, self.directory, (), 0, (12345, 54321)).make()
        got = {name: os.stat(f"{self.directory}/{name}") for name in ("active", "maildrop", "pid")}
        owners = {name: (found.st_uid, found.st_gid) for name, found in got.items()}
        self.assertEqual(owners, {"active": (12345, 54321), "maildrop": (12345, 54321), "pid": (0, os.getgid())})

    def test_what_cannot_be_used(self) -> None:
        """A directory that cannot be used is named, with what is wrong and what to do."""
        file = self._touch(self.directory + "/file")
        cases = {
            file: f"{file} is not a directory; set queue_directory",
            self.directory
            + "/none/spool": "none/spool does not exist and cannot be made: No such file or directory; make",
            file + "/below": "below cannot be used: Not a directory",
        }
        for path, words in cases.items():
            self.assertIn(words, str(self.assertRaises(SpoolError, Folders(self.files, path, (), 0).make)))
        self._touch(self.directory + "/corrupt")
        self.assertIn("corrupt is not a directory; move it away", str(self.assertRaises(SpoolError, self.folders.make)))

    def test_disk_that_cannot_be_written(self) -> None:
        """A folder that cannot be made is named, and why."""
        for code, words in (
            (errno.EROFS, "incoming cannot be made: the file system is read-only"),
            (errno.EACCES, "denied"),
        ):
            files = FailingFiles(code)
            files.fails_at = 2
            folders = Folders(files, self.directory, (), 0)
            self.assertIn(words, str(self.assertRaises(SpoolError, folders.make)))

    def test_move(self) -> None:
        """A file is moved; the folder it goes to is made where it is missing."""
        self.folders.make()
        old, new = self.folders.path("active", "ABCDEF"), self.folders.path("deferred", "ABCDEF")
        self._touch(old)
        self.assertTrue(self.folders.move(old, new))
        self.assertEqual((os.path.exists(old), os.path.exists(new)), (False, True))
        self.assertEqual(os.stat(os.path.dirname(new)).st_mode & 0o777, 0o700)

    def test_move_into_a_missing_queue(self) -> None:
        """Also the folder of a queue comes back, with its mode, when somebody has removed it."""
        self.folders.make()
        os.rmdir(self.directory + "/deferred")
        old, new = self._touch(self.folders.path("active", "ABCDEF")), self.folders.path("deferred", "ABCDEF")
        self.assertTrue(self.folders.move(old, new))

    def test_move_what_has_vanished(self) -> None:
        """A file that is not there is told by False, and nothing is made for it."""
        self.folders.make()
        new = self.folders.path("deferred", "ABCDEF")
        self.assertFalse(self.folders.move(self.folders.path("active", "ABCDEF"), new))
        self.assertFalse(os.path.exists(os.path.dirname(new)))

    def test_move_what_vanishes_meanwhile(self) -> None:
        """Also when it vanishes while the folder for it is made."""
        self.folders.make()
        old, new = self._touch(self.folders.path("active", "ABCDEF")), self.folders.path("deferred", "ABCDEF")
        mkdir = self.files.mkdir

        def mkdir_and_unlink(path: str, mode: int) -> None:
            if os.path.exists(old):
                os.unlink(old)
            mkdir(path, mode)

        self.patch(self.files, "mkdir", mkdir_and_unlink)
        self.assertFalse(self.folders.move(old, new))

    def test_move_that_fails(self) -> None:
        """A move that fails for another reason is an error, not a vanished file."""
        self.folders.make()
        old = self._touch(self.folders.path("active", "ABCDEF"))
        os.mkdir(self.folders.path("incoming", "ABCDEF"))
        self.assertRaises(OSError, self.folders.move, old, self.folders.path("incoming", "ABCDEF"))

    def test_move_to_a_folder_that_cannot_be_made(self) -> None:
        """A full disk under a new folder is an error of the disk, as everywhere while the service runs."""
        self.folders.make()
        old = self._touch(self.folders.path("active", "ABCDEF"))
        files = FailingFiles(errno.ENOSPC)
        files.fails_at = 3  # after the rename that finds no folder, and the look at the file
        folders = Folders(files, self.directory, ("deferred",), 1)
        error = self.assertRaises(OSError, folders.move, old, folders.path("deferred", "ABCDEF"))
        self.assertEqual(error.errno, errno.ENOSPC)

    def test_names(self) -> None:
        """All files of a queue are found, in sub-folders of any depth too."""
        os.makedirs(self.directory + "/deferred/A/B")
        for name in ("ABC1", "A/ABC2", "A/B/ABC3"):
            self._touch(f"{self.directory}/deferred/{name}")
        got = sorted(folder + name for folder, name in self.folders.names("deferred"))
        self.assertEqual(got, [f"{self.directory}/deferred/{name}" for name in ("A/ABC2", "A/B/ABC3", "ABC1")])

    def test_above(self) -> None:
        """The folders that lead to a file are those up to its queue's."""
        path = self.folders.path("deferred", "ABCDEF")
        got = list(self.folders.above("deferred", path))
        self.assertEqual(got, [self.directory + "/deferred/A", self.directory + "/deferred"])
