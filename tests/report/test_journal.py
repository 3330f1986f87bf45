"""Tests for :mod:`smtpclient.report.journal`."""

import errno
import fcntl
import os
import shutil
import stat
import subprocess
import tempfile
from unittest import SkipTest

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.trial.unittest import SynchronousTestCase, TestCase

from smtpclient.mail.envelope import NewMessage, Recipient
from smtpclient.queue.files import Files
from smtpclient.report.entry import encode, from_outcome
from smtpclient.report.journal import BLOCK, LOCK_PATIENCE, Journal
from tests.queue import disk as queue_disk
from tests.report.world import World, bounced, deferred, entry

ID = "ABCDE1234"


class JournalTests(SynchronousTestCase):
    """What the tests have in common."""

    def setUp(self) -> None:
        self.world = World(self.mktemp())
        self.journal = self.world.journal
        self.path = self.world.spool.journal_path("bounce", ID)

    def append(self, address: str = "a@example.com", kind: str = "bounce") -> "Deferred[None]":
        """Begin to record a recipient."""
        return Deferred.fromCoroutine(self.journal.append(kind, ID, entry(address)))

    def read(self, kind: str = "bounce") -> list[str]:
        """The recorded addresses."""
        return [read.recipient.address for read in self.successResultOf(self.journal.read(kind, ID))]


class Append(JournalTests):
    """Recording."""

    def test_what_was_recorded_is_read(self) -> None:
        """Entries come back whole, in order."""
        entries = [from_outcome(bounced(offset=offset), "failed") for offset in (1, 2, 3)]
        for each in entries:
            self.successResultOf(self.journal.append("bounce", ID, each))
        self.assertEqual(self.successResultOf(self.journal.read("bounce", ID)), entries)

    def test_mode(self) -> None:
        """Nobody else may read what others' servers said."""
        self.successResultOf(self.append())
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)

    def test_bounce_and_trace_are_synced_before_it_returns(self) -> None:
        """The file, and where it is new its folder; later only the file."""
        for kind in ("bounce", "trace"):
            self.world.files.synced.clear()
            path = self.world.spool.journal_path(kind, ID)
            self.successResultOf(self.append(kind=kind))
            self.assertEqual(self.world.files.synced, [path, os.path.dirname(path)])
            self.successResultOf(self.append(kind=kind))
            self.assertEqual(self.world.files.synced, [path, os.path.dirname(path), path])

    def test_defer_is_not_synced(self) -> None:
        """A reason for waiting is not worth a wait for the disk."""
        self.successResultOf(self.append(kind="defer"))
        self.assertEqual(self.world.files.synced, [])
        self.assertEqual(self.read("defer"), ["a@example.com"])

    def test_hashed_folder_is_made(self) -> None:
        """The folder of a hashed queue is made when it is missing, and by no other mode than the rest."""
        self.successResultOf(self.append(kind="defer"))
        folder = os.path.dirname(self.world.spool.journal_path("defer", ID))
        self.assertEqual((os.path.basename(folder), stat.S_IMODE(os.stat(folder).st_mode)), ("A", 0o700))

    def test_folders_of_two_floors(self) -> None:
        """With hash_queue_depth = 2, both folders are made, and their names are synced with the file's."""
        spool, clock, _ = queue_disk.spool(self.mktemp(), self.world.files, hash_names=("bounce",), hash_depth=2)
        self.world.files.synced.clear()
        journal = Journal(spool, self.world.files, clock)
        self.successResultOf(journal.append("bounce", ID, entry()))
        folder = os.path.join(spool.directory, "bounce")
        inner = os.path.join(folder, "A", "B")
        self.assertEqual(self.world.files.synced, [os.path.join(inner, ID), inner, folder, os.path.join(folder, "A")])

    def test_folder_that_somebody_else_makes(self) -> None:
        """It does no harm when another process makes the folder at the same moment."""
        mkdir = self.world.files.mkdir

        def made_by_two(path: str, mode: int = 0o700) -> None:
            mkdir(path, mode)
            mkdir(path, mode)

        self.world.files.mkdir = made_by_two  # type: ignore[method-assign]
        self.successResultOf(self.append(kind="defer"))
        self.assertEqual(self.read("defer"), ["a@example.com"])

    def test_spool_is_not_made(self) -> None:
        """Where the spool itself is missing, it is not made anew in its place."""
        shutil.rmtree(os.path.dirname(os.path.dirname(self.path)))
        self.failureResultOf(self.append(), FileNotFoundError)
        self.failureResultOf(self.append(kind="defer"), FileNotFoundError)

    def test_new_files_belong_to_whom_the_folder_belongs_to(self) -> None:
        """Root's entries can be read by the programs that run as the queue's owner."""
        if os.getuid():
            raise SkipTest("only root can give files away")
        spool = os.path.dirname(os.path.dirname(self.path))
        for name in ("bounce", "defer"):
            os.chown(os.path.join(spool, name), 12345, -1)
        self.successResultOf(self.append())
        self.successResultOf(self.append(kind="defer"))
        defer = self.world.spool.journal_path("defer", ID)
        self.assertEqual([os.stat(path).st_uid for path in (self.path, os.path.dirname(defer), defer)], [12345] * 3)


class Together(JournalTests):
    """Appends that come while the disk is busy."""

    def test_they_become_one_write(self) -> None:
        """However many come while one is being synced, they cost one more fsync."""
        self.world.files.held = held = []
        waiting = [self.append(f"{number}@example.com") for number in range(100)]
        self.assertEqual(len(held), 1)
        self.world.files.held = None
        held[0].callback(None)
        self.successResultOf(gatherResults(waiting))
        self.assertEqual(self.world.files.synced.count(self.path), 2)
        self.assertEqual(self.read(), [f"{number}@example.com" for number in range(100)])

    def test_nobody_is_told_before_the_sync(self) -> None:
        """While the disk is busy, neither the first nor those behind it have been recorded."""
        self.world.files.held = []
        waiting = [self.append(), self.append()]
        for each in waiting:
            self.assertNoResult(each)

    def test_one_who_no_longer_waits(self) -> None:
        """When the first is cancelled, those behind it are recorded all the same."""
        self.world.files.held = held = []
        first, second = self.append("1@example.com"), self.append("2@example.com")
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.world.files.held = None
        held[0].callback(None)
        self.successResultOf(second)
        self.assertEqual(self.read(), ["1@example.com", "2@example.com"])

    def test_messages_do_not_wait_for_each_other(self) -> None:
        """While one message's file is being synced, another's is written."""
        self.world.files.held = []
        self.append()
        self.successResultOf(self.journal.append("defer", "FFFFF1234", entry()))


class Failures(JournalTests):
    """A disk that does not do as it should."""

    def test_failing_sync_leaves_nothing(self) -> None:
        """When an entry cannot be synced, whoever waits is told and the file is as before."""
        self.successResultOf(self.append("before@example.com"))
        before = self.world.journal_text("bounce")
        self.world.files.failing = OSError(errno.EIO, "Input/output error")
        self.assertEqual(self.failureResultOf(self.append(), OSError).value.errno, errno.EIO)
        self.assertEqual(self.world.journal_text("bounce"), before)

    def test_all_of_a_batch_are_told(self) -> None:
        """A failure is everybody's whose entry was in the write, and nobody else's."""
        self.world.files.held = held = []
        waiting = [self.append() for _ in range(3)]
        self.world.files.held = None
        self.world.files.failing = OSError(errno.ENOSPC, "No space left on device")
        held[0].callback(None)
        for each in waiting:
            self.failureResultOf(each, OSError)
        self.world.files.failing = None
        self.successResultOf(self.append("later@example.com"))
        self.assertEqual(self.read(), ["later@example.com"])

    def test_full_disk(self) -> None:
        """An entry of which only the beginning found room is cut off again."""
        self.successResultOf(self.append("before@example.com"))
        before = self.world.journal_text("bounce")

        def pwrite(fd: int, data: bytes, offset: int) -> None:
            os.pwrite(fd, data[:20], offset)
            raise OSError(errno.ENOSPC, "No space left on device")

        self.world.files.pwrite = pwrite  # type: ignore[method-assign]
        self.failureResultOf(self.append(), OSError)
        self.assertEqual(self.world.journal_text("bounce"), before)

    def test_any_operation_fails(self) -> None:
        """Whichever operation on the disk fails: a recipient is on record if, and only if, the append says so."""
        failed = set()
        for torn in (b"", b"\n<torn"):
            for number in range(1, 40):
                files = queue_disk.FailingFiles()
                spool, clock, _ = queue_disk.spool(self.mktemp(), files, hash_names=("bounce",))
                journal = Journal(spool, files, clock)
                path = spool.journal_path("bounce", ID)
                if torn:
                    queue_disk.run(journal.append("bounce", ID, entry("before@example.com")))
                    with open(path, "ab") as file:
                        file.write(torn)
                files.done.clear()
                files.fails_at = number
                expected = ["before@example.com"] if torn else []
                try:
                    queue_disk.run(journal.append("bounce", ID, entry("now@example.com")))
                    expected.append("now@example.com")
                except OSError:
                    failed.add(files.done[number - 1])
                files.fails_at = 0
                found = [read.recipient.address for read in queue_disk.run(journal.read("bounce", ID))]
                self.assertEqual(found, expected, (number, files.done))
        self.assertLessEqual({"open", "flock", "fstat", "pread", "pwrite", "ftruncate", "sync", "sync_folder"}, failed)

    def test_torn_tail_is_cut_off(self) -> None:
        """Before a new entry is written, what a crash has left of another is removed, wherever it was torn."""
        good = encode(entry("good@example.com"))
        torn = encode(from_outcome(bounced("torn@example.com"), "failed"))
        for end in range(len(torn)):
            self.world.put_journal("bounce", good + torn[:end])
            self.successResultOf(self.append("new@example.com"))
            self.assertEqual(self.read(), ["good@example.com", "new@example.com"])
            self.assertNotIn(b"torn", self.world.journal_text("bounce") or b"")

    def test_nothing_but_a_torn_entry(self) -> None:
        """A file that never held a whole entry begins anew."""
        self.world.put_journal("bounce", b"\n<torn@example.com>: rea")
        self.successResultOf(self.append("new@example.com"))
        self.assertEqual(self.world.journal_text("bounce"), encode(entry("new@example.com")))

    def test_torn_tail_longer_than_a_block(self) -> None:
        """The end of the last whole entry is found however far back it is, also between two blocks."""
        good = encode(entry("good@example.com"))
        for length in (BLOCK - 2, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 7):
            self.world.put_journal("bounce", good + b"x" * length)
            self.successResultOf(self.append("new@example.com"))
            self.assertEqual(self.world.journal_text("bounce"), good + encode(entry("new@example.com")))

    def test_lock_of_another_process_is_waited_for(self) -> None:
        """While another process has the file locked, nothing is written; then the entry is."""
        self.successResultOf(self.append("1@example.com"))
        with open(self.path, "rb") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            waiting = self.append("2@example.com")
            self.world.clock.advance(1)
            self.assertNoResult(waiting)
            self.assertEqual(self.read(), ["1@example.com"])
        self.world.clock.advance(1)
        self.successResultOf(waiting)
        self.assertEqual(self.read(), ["1@example.com", "2@example.com"])

    def test_lock_that_is_never_given_back(self) -> None:
        """A lock that is kept for too long is an error that names the file; the recipient can stay queued."""
        self.successResultOf(self.append())
        with open(self.path, "rb") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            waiting = self.append()
            self.world.clock.pump([0.5] * int(2 * LOCK_PATIENCE + 1))
            self.assertEqual(self.failureResultOf(waiting, OSError).value.filename, self.path)


class ReadAndForget(JournalTests):
    """The rest of a file's life."""

    def test_no_file(self) -> None:
        """Where nothing was recorded, nothing is read, and forgetting it does no harm."""
        self.assertEqual(self.read(), [])
        self.journal.forget("bounce", ID)

    def test_forget(self) -> None:
        """What has been forgotten is gone."""
        self.successResultOf(self.append())
        self.journal.forget("bounce", ID)
        self.assertEqual((self.read(), os.path.exists(self.path)), ([], False))

    def test_file_that_cannot_be_read(self) -> None:
        """An error of the disk is not taken for an empty record."""
        os.mkdir(self.path)
        self.failureResultOf(self.journal.read("bounce", ID), IsADirectoryError)
        self.assertRaises(OSError, self.journal.forget, "bounce", ID)

    def test_long_file_is_read_in_turns(self) -> None:
        """A file of many blocks is read with turns for others in between, and wholly."""
        addresses = [f"{number}@example.com" for number in range(3000)]
        self.world.put_journal("bounce", b"".join(encode(entry(address)) for address in addresses))
        reading = Deferred.fromCoroutine(self.journal.read("bounce", ID))
        self.assertNoResult(reading)
        self.world.clock.pump([0] * 20)
        self.assertEqual([read.recipient.address for read in self.successResultOf(reading)], addresses)

    def test_recorded_twice(self) -> None:
        """Who was recorded again after a crash is read once."""
        for _ in range(2):
            self.successResultOf(self.append())
        self.assertEqual(self.read(), ["a@example.com"])


class RealDisk(TestCase):
    """With the real reactor, threads and fsync."""

    async def test_many_at_once(self) -> None:
        """A thousand recipients recorded at once are all there."""
        world = World(self.mktemp())
        journal = Journal(world.spool, Files(reactor), reactor)
        addresses = [f"{number}@example.com" for number in range(1000)]
        await gatherResults([Deferred.fromCoroutine(journal.append("bounce", ID, entry(each))) for each in addresses])
        self.assertEqual([read.recipient.address for read in await journal.read("bounce", ID)], addresses)


class Postqueue(SynchronousTestCase):
    """What Postfix's own programs see."""

    def test_postqueue_shows_the_reason(self) -> None:
        """``postqueue -p`` on our spool shows why a recipient waits."""
        if os.getuid() or not shutil.which("postqueue"):
            raise SkipTest("needs root and Postfix's postqueue")
        # Not self.mktemp(): Postfix's user must be able to pass through every folder above.
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        os.chmod(directory, 0o755)
        world = World(directory)
        message = NewMessage("author@example.org", [Recipient("slow@example.com")], b"Subject: x\n\nx\n")
        queue_id = self.successResultOf(world.spool.create(message, "deferred"))
        self.successResultOf(world.journal.append("defer", queue_id, from_outcome(deferred(), "delayed")))
        shown = self._postqueue(directory)
        self.assertIn(queue_id, shown)
        self.assertIn("(connect to mx.example.com[192.0.2.1]:25: Connection refused)", shown)

    def _postqueue(self, directory: str) -> str:
        """The queue as Postfix's showq(8) lists it to root."""
        settings = os.path.abspath(self.mktemp())
        os.makedirs(settings)
        with open(os.path.join(settings, "main.cf"), "w") as file:
            file.write(f"compatibility_level = 3.6\nqueue_directory = {directory}\nmyhostname = mail.example.org\n")
        open(os.path.join(settings, "master.cf"), "w").close()
        subprocess.run(["chown", "-R", "postfix", directory], check=True)
        os.chown(directory, 0, 0)
        shown = subprocess.run(
            ["postqueue", "-c", settings, "-p"], check=False, capture_output=True, text=True, timeout=120
        )
        self.assertEqual(shown.returncode, 0, shown.stderr)
        return shown.stdout
