"""The real file system, and the threads that wait for it."""

import errno
import os
import threading
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import SynchronousTestCase, TestCase

from smtpclient.queue.files import Files, Make
from tests.queue.disk import DirectFiles


class DirectTests(SynchronousTestCase):
    """The operations that are made at once."""

    def setUp(self) -> None:
        self.files = DirectFiles()
        self.path = os.path.abspath(self.mktemp())

    def _open(self, data: bytes = b"") -> int:
        fd = self.files.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        self.addCleanup(self.files.close, fd)
        self.files.write(fd, data)
        return fd

    def test_open_is_private(self) -> None:
        """A file is not passed on to programs that are started."""
        self.assertFalse(os.get_inheritable(self._open()))

    def test_write_and_read(self) -> None:
        """What is written at the position or at an offset is read at an offset, less at the end."""
        fd = self._open(b"hello ")
        self.files.write(fd, b"world")
        self.files.pwrite(fd, b"J", 0)
        got = [self.files.pread(fd, 5, 0), self.files.pread(fd, 100, 6), self.files.pread(fd, 5, 50)]
        self.assertEqual(got, [b"Jello", b"world", b""])

    def test_a_peek_leaves_no_trace(self) -> None:
        """As much as is there, and the time of the last access stays what it was."""
        self._open(b"hello world")
        os.utime(self.path, (1000, 1000))
        got = [self.files.peek(self.path, 5), self.files.peek(self.path, 50)]
        self.assertEqual((got, os.stat(self.path).st_atime), ([b"hello", b"hello world"], 1000))

    def test_reading_leaves_no_trace(self) -> None:
        """Nor does reading what was opened to be read."""
        self._open(b"hello world")
        os.utime(self.path, (1000, 1000))
        fd = self.files.open(self.path)
        self.addCleanup(self.files.close, fd)
        self.assertEqual((self.files.pread(fd, 5, 0), os.stat(self.path).st_atime), (b"hello", 1000))

    def test_a_peek_into_what_is_somebody_elses(self) -> None:
        """The time of the last access is not ours to keep then."""
        self._open(b"hello")

        def others(path: str, flags: int, open_: Callable[..., int] = os.open) -> int:
            if flags & os.O_NOATIME:
                raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), path)
            return open_(path, flags)

        self.patch(os, "open", others)
        self.assertEqual(self.files.peek(self.path, 50), b"hello")

    def test_short_writes(self) -> None:
        """What the system takes in parts arrives whole."""
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        received: list[bytes] = []

        def drain() -> None:
            while data := os.read(read, 65536):
                received.append(data)

        reader = threading.Thread(target=drain)
        reader.start()
        self.patch(os, "write", lambda fd, data, write=os.write: write(fd, bytes(data[:1000])))
        self.files.write(write, b"0123456789" * 1000)
        os.close(write)
        reader.join()
        self.assertEqual(b"".join(received), b"0123456789" * 1000)

    def test_short_reads_and_writes_at_an_offset(self) -> None:
        """Likewise at an offset, in both directions."""
        fd = self._open()
        self.patch(os, "pwrite", lambda fd, data, offset, pwrite=os.pwrite: pwrite(fd, data[:3], offset))
        self.patch(os, "pread", lambda fd, size, offset, pread=os.pread: pread(fd, min(size, 4), offset))
        self.files.pwrite(fd, b"0123456789", 2)
        self.assertEqual(self.files.pread(fd, 9, 2), b"012345678")
        self.assertEqual(self.files.pread(fd, 90, 2), b"0123456789")

    def test_modes_and_times(self) -> None:
        """Modes, owners, sizes and times are set as said, by path and by descriptor."""
        fd = self._open(b"0123456789")
        self.files.fchmod(fd, 0o700)
        modes = [self.files.fstat(fd).st_mode & 0o777]
        self.files.chmod(self.path, 0o610)
        modes.append(self.files.stat(self.path).st_mode & 0o777)
        self.files.ftruncate(fd, 4)
        self.files.utime(self.path, 1234.5)
        self.files.fchown(fd, os.getuid(), os.getgid())
        self.files.chown(self.path, os.getuid(), os.getgid())
        found = self.files.stat(self.path)
        self.assertEqual((modes, found.st_mtime, found.st_size), ([0o700, 0o610], 1234.5, 4))

    def test_folders_have_the_mode_that_is_asked_for(self) -> None:
        """The umask does not make a folder less open than Postfix's tools need it."""
        before = os.umask(0o077)
        self.addCleanup(os.umask, before)
        self.files.mkdir(self.path, 0o730)
        self.assertEqual(os.stat(self.path).st_mode & 0o777, 0o730)

    def test_rename_unlink_scan(self) -> None:
        """Names change, vanish and are listed."""
        self.files.mkdir(self.path)
        for name in "ab":
            self.files.close(self.files.open(f"{self.path}/{name}", os.O_CREAT))
        self.files.rename(f"{self.path}/a", f"{self.path}/c")
        self.files.unlink(f"{self.path}/b")
        self.assertEqual(list(self.files.scan(self.path)), ["c"])

    def test_locks(self) -> None:
        """Shared locks share, an exclusive one does not, and nobody waits."""
        first, second = self._open(), self.files.open(self.path)
        self.files.flock(first, exclusive=False)
        self.files.flock(second, exclusive=False)
        self.assertRaises(BlockingIOError, self.files.flock, second, exclusive=True)
        self.files.close(second)
        self.files.flock(first, exclusive=True)

    def test_free_bytes(self) -> None:
        """The free space is what the system says it is, in bytes."""
        found = os.statvfs(".")
        self.assertLess(abs(self.files.free_bytes(".") - found.f_bavail * found.f_frsize), 1 << 30)


class ThreadedTests(TestCase):
    """The operations that wait for the disk."""

    def setUp(self) -> None:
        self.pool = ThreadPool(0, 4, "disk")
        self.pool.start()
        self.addCleanup(self.pool.stop)
        self.files = Files(IReactorFromThreads(reactor), self.pool, sync_threads=2)
        self.folder = self.mktemp()
        os.mkdir(self.folder)
        self.calls: list[str] = []
        self.at_once: list[int] = []
        self.most_at_once = 0
        self.go_on = threading.Event()
        self.addCleanup(self.go_on.set)

    def _fsync(self, wait: bool = False, fail: int = -1) -> None:
        """Replace fsync by one that is noted, and may wait for ``go_on`` or fail for one descriptor."""

        def fsync(fd: int) -> None:
            self.calls.append(threading.current_thread().name)
            self.at_once.append(1)
            self.most_at_once = max(self.most_at_once, len(self.at_once))
            if wait:
                self.go_on.wait(60)
            self.at_once.pop()
            if fd == fail:
                raise OSError(errno.EIO, "the disk is gone")

        self.patch(os, "fsync", fsync)

    async def test_sync_of_many(self) -> None:
        """A hundred callers at once are all served, in no more threads at once than allowed, off the reactor's."""
        self._fsync()
        await gatherResults([Deferred.fromCoroutine(self.files.sync(fd)) for fd in range(100)])
        self.assertEqual(len(self.calls), 100)
        self.assertLessEqual(self.most_at_once, 2)
        self.assertNotIn(threading.current_thread().name, self.calls)

    async def test_sync_again(self) -> None:
        """When all threads have come back there are as many for the next callers."""
        self._fsync()
        for _ in range(5):
            await self.files.sync(0)
        self.assertEqual(len(self.calls), 5)

    async def test_an_error_is_its_own_callers(self) -> None:
        """An fsync that fails is told to who asked for it, not to those served along with it."""
        self._fsync(fail=7)
        waiting = [Deferred.fromCoroutine(self.files.sync(fd)) for fd in range(20)]
        failed = []
        for fd, one in enumerate(waiting):
            try:
                await one
            except OSError as error:
                failed.append((fd, error.errno))
        self.assertEqual(failed, [(7, errno.EIO)])

    async def test_one_folder_for_many(self) -> None:
        """Who asks for a folder while its fsync is waiting shares it; who asks while it runs does not."""
        self._fsync(wait=True)
        fd = os.open(self.folder, os.O_RDONLY)
        self.addCleanup(os.close, fd)
        busy = [
            Deferred.fromCoroutine(self.files.sync(fd)),
            Deferred.fromCoroutine(self.files.sync_folder(self.folder)),
        ]
        shared = [Deferred.fromCoroutine(self.files.sync_folder(self.folder)) for _ in range(50)]
        self.go_on.set()
        await gatherResults(busy + shared)
        self.assertEqual(len(self.calls), 3)

    async def test_a_folder_with_its_files(self) -> None:
        """Files that are synced in one trip to a thread share one fsync of their folder, behind theirs."""
        self.files = Files(IReactorFromThreads(reactor), self.pool, sync_threads=1)
        synced: list[str] = []

        def fsync(fd: int) -> None:
            synced.append(os.path.basename(os.readlink(f"/proc/self/fd/{fd}")))
            if len(synced) == 1:
                self.go_on.wait(60)

        self.patch(os, "fsync", fsync)
        opened = [os.open(f"{self.folder}/{name}", os.O_CREAT) for name in ("first", "a", "b", "c")]
        for fd in opened:
            self.addCleanup(os.close, fd)
        waiting = [Deferred.fromCoroutine(self.files.sync(fd, [self.folder])) for fd in opened]
        self.go_on.set()
        await gatherResults(waiting)
        folder = os.path.basename(self.folder)
        self.assertEqual(synced, ["first", folder, "a", "b", "c", folder])

    async def test_a_folder_that_fails(self) -> None:
        """The error of a folder is told, with its name, to those whose files lie in it, and only to them."""
        fd, missing = os.open(self.folder, os.O_RDONLY), self.folder + "/none"
        self.addCleanup(os.close, fd)
        folders = [[self.folder], [self.folder, missing], [missing], []]
        failed = []
        for number, one in enumerate([Deferred.fromCoroutine(self.files.sync(fd, each)) for each in folders]):
            try:
                await one
            except FileNotFoundError as error:
                failed.append((number, error.filename))
        self.assertEqual(failed, [(1, missing), (2, missing)])

    def _make(self, name: str) -> Make:
        """What makes a file of this name, and notes in which thread."""

        def make() -> tuple[int, list[str]]:
            self.calls.append(f"{name} in {threading.current_thread().name}")
            fd = os.open(f"{self.folder}/{name}", os.O_CREAT | os.O_EXCL)
            self.addCleanup(os.close, fd)
            return fd, [self.folder]

        return make

    async def test_made_and_synced(self) -> None:
        """Files are made in a thread, all of them before the first fsync, and their folder is synced once for all."""
        self.files = Files(IReactorFromThreads(reactor), self.pool, sync_threads=1)
        self._fsync()
        names = ["0", "a", "b", "c"]
        await gatherResults([Deferred.fromCoroutine(self.files.make_and_sync(self._make(name))) for name in names])
        order = [words.partition(" in ")[0] if " in " in words else "fsync" for words in self.calls]
        self.assertEqual(order, ["0", "fsync", "fsync", "a", "b", "c", "fsync", "fsync", "fsync", "fsync"])
        self.assertNotIn(threading.current_thread().name, {words.rpartition(" in ")[2] for words in self.calls})

    async def test_what_cannot_be_made(self) -> None:
        """An error in making a file is told to who wanted it; the others' files are made and synced."""
        self._fsync()
        failed = []
        for one in [Deferred.fromCoroutine(self.files.make_and_sync(self._make(name))) for name in ("a", "a", "b")]:
            try:
                await one
            except FileExistsError as error:
                failed.append(error.filename)
        self.assertEqual(failed, [f"{self.folder}/a"])
        self.assertEqual(sorted(os.listdir(self.folder)), ["a", "b"])

    async def test_cancelled_while_it_is_made(self) -> None:
        """Who is cancelled learns of it when the file is there and synced, so that he knows what to take back."""
        self._fsync(wait=True)
        waiting = Deferred.fromCoroutine(self.files.make_and_sync(self._make("a")))
        waiting.cancel()
        self.assertNoResult(waiting)
        self.go_on.set()
        await self.assertFailure(waiting, CancelledError)
        self.assertEqual((os.listdir(self.folder), self.at_once), (["a"], []))

    async def test_a_missing_folder(self) -> None:
        """A folder that cannot be opened is an error like any other, for all who share it."""
        for one in [Deferred.fromCoroutine(self.files.sync_folder(self.folder + "/none")) for _ in range(5)]:
            await self.assertFailure(one, FileNotFoundError)

    async def test_no_thread(self) -> None:
        """Where no thread can be had, who waits hears of it, and the next one is served."""

        async def broken(call: Callable[..., Any], *args: Any) -> Any:
            raise RuntimeError("can't start new thread")

        self.patch(self.files, "run_in_thread", broken)
        with self.assertRaises(OSError) as caught:
            await self.files.sync(0)
        self.assertEqual(caught.exception.errno, errno.EAGAIN)
        self.assertIn("can't start new thread", str(caught.exception))

    async def test_sync_cancelled(self) -> None:
        """A caller that gives up harms neither the others nor the threads."""
        self._fsync(wait=True)
        waiting = [Deferred.fromCoroutine(self.files.sync(fd)) for fd in range(6)]
        waiting[3].cancel()
        await self.assertFailure(waiting[3], CancelledError)
        self.go_on.set()
        await gatherResults(waiting[:3] + waiting[4:])
        await self.files.sync(9)

    async def test_run_in_thread(self) -> None:
        """A call is made in another thread; its result or its error comes back here."""
        name = await self.files.run_in_thread(lambda: threading.current_thread().name)
        self.assertNotEqual(name, threading.current_thread().name)
        with self.assertRaises(FileNotFoundError):
            await self.files.run_in_thread(self.files.stat, "none")

    async def test_run_in_the_reactors_threads(self) -> None:
        """Without a pool of its own it uses the reactor's."""
        files = Files(IReactorFromThreads(reactor))
        self.assertEqual((await files.run_in_thread(files.stat, ".")).st_ino, os.stat(".").st_ino)

    async def test_cancelled_in_thread(self) -> None:
        """Who is cancelled learns of it when the thread is done, so that no file is closed beneath it."""
        done: list[int] = []

        def work() -> None:
            self.go_on.wait(60)
            done.append(1)

        async def caller() -> int:
            try:
                await self.files.run_in_thread(work)
            finally:
                done.append(2)
            return 0

        waiting = Deferred.fromCoroutine(caller())
        waiting.cancel()
        waiting.cancel()
        self.assertEqual(done, [])
        self.go_on.set()
        await self.assertFailure(waiting, CancelledError)
        self.assertEqual(done, [1, 2])
