"""Putting a new message into a queue directory, durably."""

import errno
import os
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.mail.envelope import NewMessage
from smtpclient.queue.folders import Folders
from smtpclient.queue.message_writer import MessageWriter
from smtpclient.queue.queuefile import BLOCK, read_message
from tests.queue.disk import NOW, DirectFiles, FailingFiles, message, queue_file, run, tree


class Case(SynchronousTestCase):
    """An empty queue directory."""

    def setUp(self) -> None:
        self.files: DirectFiles = DirectFiles()
        self.clock = Clock()
        self.clock.advance(NOW)
        self.directory = os.path.abspath(self.mktemp())
        os.mkdir(self.directory)
        self._writer()

    def _writer(self, hash_names: tuple[str, ...] = (), **options: Any) -> MessageWriter:
        self.folders = Folders(self.files, self.directory, hash_names, 1)
        self.folders.make()
        return MessageWriter(self.files, self.folders, self.clock, **options)

    def _data(self, path: str) -> bytes:
        with open(f"{self.directory}/{path}", "rb") as file:
            return file.read()


class MessageWriterTests(Case):
    """Writing one message."""

    def test_written(self) -> None:
        """One complete file with mode 0700 is there, named after its time and inode, and nothing else."""
        queue_id = run(self._writer().write(message(), "incoming"))
        found = os.stat(f"{self.directory}/incoming/{queue_id}")
        self.assertEqual(queue_id, f"{250000:05X}{found.st_ino:X}")
        self.assertEqual(tree(self.directory), {f"incoming/{queue_id}": 0o700})
        self.assertEqual(self._data(f"incoming/{queue_id}"), queue_file(message()))
        self.assertEqual(found.st_mtime, NOW)

    def test_synced(self) -> None:
        """The file, under its final name, and then its folder are on disk before the id is given out."""
        queue_id = run(self._writer().write(message(), "incoming"))
        self.assertEqual(self.files.synced, [f"{self.directory}/incoming/{queue_id}", f"{self.directory}/incoming"])

    def test_synced_in_a_hashed_queue(self) -> None:
        """In a hashed queue the folder that may be new is on disk too."""
        queue_id = run(self._writer(("incoming",)).write(message(), "incoming"))
        folder = f"{self.directory}/incoming"
        wanted = [f"{folder}/{queue_id[0]}/{queue_id}", f"{folder}/{queue_id[0]}", folder]
        self.assertEqual(self.files.synced, wanted)

    def test_long_ids(self) -> None:
        """Long ids on demand: they start with the time."""
        queue_id = run(self._writer(long_ids=True).write(message(), "hold"))
        self.assertRegex(queue_id, "^4k9XSc1mRhz[0-9B-Zb-y]+$")

    def test_large(self) -> None:
        """A large message is written block by block in threads, and its size record put right at the end."""
        large = message(b"x" * 70 + b"\n" + (b"y" * 70 + b"\n") * (3 * BLOCK // 71))
        queue_id = run(self._writer().write(large, "incoming"))
        self.assertEqual(self._data(f"incoming/{queue_id}"), queue_file(large))
        self.assertGreaterEqual(len(self.files.in_threads), 2)

    def test_same_microsecond(self) -> None:
        """Any number of messages in one microsecond, also beside what was left unfinished, have ids of their own."""
        with open(f"{self.directory}/incoming/250000.{os.getpid()}", "w"):
            writer = self._writer()
        self.assertEqual(len({run(writer.write(message(), "incoming")) for _ in range(20)}), 20)

    def test_delay_warning(self) -> None:
        """A delay warning is due when the configuration says."""
        queue_id = run(self._writer(warn_after=3600.0).write(message(), "incoming"))
        path = self.folders.path("incoming", queue_id)
        fd = self.files.open(path)
        self.addCleanup(self.files.close, fd)
        self.assertEqual(read_message(self.files, fd, path, queue_id).warn_at, int(NOW + 3600))

    def test_owner(self) -> None:
        """When told so it gives files away."""
        if os.getuid():
            raise self.skipTest("only root can give files away")
        queue_id = run(self._writer(owner=(12345, 54321)).write(message(), "incoming"))
        found = os.stat(self.folders.path("incoming", queue_id))
        self.assertEqual((found.st_uid, found.st_gid), (12345, 54321))

    def test_refused(self) -> None:
        """What cannot be written is refused before there is a file."""
        self.assertRaises(ValueError, run, self._writer().write(message(recipients=[]), "incoming"))
        self.assertRaises(ValueError, run, self._writer().write(message(), "nowhere"))
        self.assertEqual(tree(self.directory), {})

    def test_too_little_space(self) -> None:
        """Below queue_minfree nothing is taken, and the error is that of a full disk, in the operator's words."""
        error = self.assertRaises(OSError, run, self._writer(minimum_free=1 << 60).write(message(), "incoming"))
        self.assertEqual((error.errno, error.filename), (errno.ENOSPC, self.directory + "/incoming"))
        self.assertIn("queue_minfree = 1152921504606846976", str(error))
        run(self._writer(minimum_free=1).write(message(), "incoming"))


class FailingDiskTests(Case):
    """Every operation fails once."""

    def _failures(self, new: NewMessage, hash_names: tuple[str, ...] = ()) -> list[str]:
        """Have each operation of one writing fail, in turn; the names of those whose failure is one of the writing."""
        failing = FailingFiles(errno.ENOSPC)
        self.files = failing
        writer = self._writer(hash_names)
        del failing.done[:]
        kept = run(writer.write(new, "incoming"))
        os.unlink(self.folders.path("incoming", kept))
        failures = []
        for at, name in enumerate(list(failing.done), 1):
            failing.fails_at = at
            try:
                queue_id = run(writer.write(new, "incoming"))
            except OSError as error:
                self.assertEqual(error.errno, errno.ENOSPC)
                self.assertIn(self.directory, str(error.filename), name)
                self.assertEqual((tree(self.directory), writer.unfinished), ({}, set()), name)
                failures.append(name)
            else:
                self.assertEqual(
                    self._data(os.path.relpath(self.folders.path("incoming", queue_id), self.directory)),
                    queue_file(new),
                )
                os.unlink(self.folders.path("incoming", queue_id))
        return failures

    def test_nothing_is_left(self) -> None:
        """Whatever fails, the error says where, and nothing is left; only an error of close(2) comes too late."""
        before = len(os.listdir("/proc/self/fd"))
        failures = self._failures(message())
        wanted = ["open", "fstat", "rename", "write", "utime", "fchmod", "sync", "sync_folder"]
        self.assertEqual(failures, wanted)
        self.assertLessEqual(len(os.listdir("/proc/self/fd")), before + 1)

    def test_nothing_is_left_of_a_large_one(self) -> None:
        """So with a large message, whose writing has more steps."""
        failures = self._failures(message((b"y" * 70 + b"\n") * (3 * BLOCK // 71)))
        self.assertEqual(failures.count("write"), 4)
        self.assertIn("pwrite", failures)
