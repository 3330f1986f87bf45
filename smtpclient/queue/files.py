"""
Every operation on files that the queue makes goes through one :class:`Files`.

So that a simulated disk can stand in for the real one: a subclass overrides the methods below, each of them one
system call in meaning, and may fail or lose power at the n-th. Nothing else in the queue touches ``os``.

====================  ==========================================================================================
``open``              open(2), always with O_CLOEXEC; for reading, with O_NONBLOCK and O_NOATIME
``close``             close(2)
``pread``             pread(2): up to so many bytes at an offset; fewer only at the end of the file
``peek``              open(2), read(2) and close(2): as many bytes of the start as come at once
``write``             write(2) until everything is written
``pwrite``            pwrite(2) until everything is written
``fstat``, ``stat``   fstat(2), stat(2)
``fchmod``            fchmod(2)
``fchown``            fchown(2)
``chmod``, ``chown``  chmod(2), chown(2)
``ftruncate``         ftruncate(2)
``flock``             flock(2), never waiting
``rename``            rename(2)
``unlink``            unlink(2)
``mkdir``             mkdir(2)
``utime``             utimensat(2), access and modification time alike
``scan``              opendir(3) and readdir(3): the names in a folder, lazily
``free_bytes``        statvfs(2): what an unprivileged user may still write
``sync``              fsync(2) of a file, and of folders behind it, in a thread
``sync_folder``       fsync(2) of a folder, in a thread
``run_in_thread``     no system call: calls one of the above in a thread
``make_and_sync``     the same for what makes a file, with ``sync`` behind it in the same trip
====================  ==========================================================================================

Reads and writes of ordinary size, renames and unlinks take microseconds and are made directly. fsync waits for the
disk, and the making of a file may take milliseconds too: requests that arrive while the threads are busy are taken up
together, so that ten thousand callers cost a few threads, and callers that wait for the same folder share one fsync. A
new file is made, synced and its folder synced in one trip to a thread.

Promises: every error is an :class:`OSError`; ``sync`` returns only when an fsync that began after the call has ended.

Does not: retry, hide errors, buffer.
"""

import errno
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import Any, ParamSpec, TypeVar, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

P = ParamSpec("P")
T = TypeVar("T")
Make = Callable[[], tuple[int, Sequence[str]]]

_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe among the files must not hold up everybody
_READ_UNNOTED = _READ | getattr(os, "O_NOATIME", 0)  # not every system has it
_EXCLUSIVE, _SHARED = fcntl.LOCK_EX | fcntl.LOCK_NB, fcntl.LOCK_SH | fcntl.LOCK_NB

_NAME = attrgetter("name")
_BATCH = 64  # fsyncs in one trip to a thread: bounds how long the first of them waits for the last


class _Sync:
    """What is asked for, a file (-1: none) and folders, or what makes them; and who waits for it."""

    __slots__ = ("fd", "folders", "make", "waiters")

    def __init__(self, fd: int, folders: Sequence[str], make: Make | None = None) -> None:
        self.fd = fd
        self.folders = folders
        self.make = make
        self.waiters: list[Deferred[None]] = []

    def begin(self) -> None:
        """Make what is to be made; in a thread."""
        if self.make is not None:
            self.fd, self.folders = self.make()

    def sync(self) -> None:
        """Make the fsync of the file; in a thread."""
        if self.fd >= 0:
            os.fsync(self.fd)


class Files:
    """
    The real file system.

    :param reactor: where results of threads come back.
    :param pool: the threads for fsync and for large reads and writes; None: the reactor's own pool.
    :param sync_threads: how many threads may be in fsync at once.
    """

    def __init__(self, reactor: IReactorFromThreads, pool: ThreadPool | None = None, sync_threads: int = 4) -> None:
        self._reactor = reactor
        self._pool = pool
        self._sync_threads = self._idle_sync_threads = sync_threads
        self._wanted: list[_Sync] = []
        self._wanted_folders: dict[str, _Sync] = {}

    def open(self, path: str, flags: int = os.O_RDONLY, mode: int = 0o600) -> int:
        """Open a file for this process alone, not for those it starts."""
        if flags != os.O_RDONLY:
            return os.open(path, flags | os.O_CLOEXEC, mode)
        try:
            return os.open(path, _READ_UNNOTED)  # that it is read need not be written to the disk
        except PermissionError:  # it is somebody else's
            return os.open(path, _READ)

    def close(self, fd: int) -> None:
        """Give back a file."""
        os.close(fd)

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        """Read up to ``size`` bytes at an offset; fewer only where the file ends."""
        data = os.pread(fd, size, offset)
        while data and len(data) < size:
            more = os.pread(fd, size - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data

    def peek(self, path: str, size: int) -> bytes:
        """Read up to ``size`` bytes from the start of a file in one go; there may be more even where fewer come."""
        # One operation to a subclass, which overrides this, too: through its own open() and close() it would be three.
        fd = Files.open(self, path)
        try:
            return os.read(fd, size)
        finally:
            os.close(fd)

    def write(self, fd: int, data: bytes) -> None:
        """Write all of it at the file's position."""
        written = os.write(fd, data)
        if written < len(data):
            rest = memoryview(data)[written:]
            while rest:
                rest = rest[os.write(fd, rest) :]

    def pwrite(self, fd: int, data: bytes, offset: int) -> None:
        """Write all of it at an offset."""
        written = 0
        while written < len(data):
            written += os.pwrite(fd, data[written:], offset + written)

    def fstat(self, fd: int) -> os.stat_result:
        """What the system knows of an open file."""
        return os.fstat(fd)

    def stat(self, path: str) -> os.stat_result:
        """What the system knows of a file."""
        return os.stat(path)

    def fchmod(self, fd: int, mode: int) -> None:
        """Set the mode of an open file."""
        os.fchmod(fd, mode)

    def fchown(self, fd: int, uid: int, gid: int) -> None:
        """Set the owner of an open file."""
        os.fchown(fd, uid, gid)

    def chmod(self, path: str, mode: int) -> None:
        """Set the mode of a file."""
        os.chmod(path, mode)

    def chown(self, path: str, uid: int, gid: int) -> None:
        """Set the owner of a file."""
        os.chown(path, uid, gid)

    def ftruncate(self, fd: int, size: int) -> None:
        """Cut an open file to a size."""
        os.ftruncate(fd, size)

    def flock(self, fd: int, exclusive: bool) -> None:
        """
        Lock an open file without waiting; the lock goes with the file descriptor.

        :raises BlockingIOError: when another holds a lock that does not allow this one.
        """
        fcntl.flock(fd, _EXCLUSIVE if exclusive else _SHARED)

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, in place of what had that name."""
        os.rename(old, new)

    def unlink(self, path: str) -> None:
        """Remove a file."""
        os.unlink(path)

    def mkdir(self, path: str, mode: int = 0o700) -> None:
        """Make a folder with exactly this mode, whatever the umask."""
        os.mkdir(path, mode)
        os.chmod(path, mode)

    def utime(self, path: str, seconds: float) -> None:
        """Set the times of a file, seconds since the epoch."""
        os.utime(path, (seconds, seconds))

    def scan(self, path: str) -> Iterator[str]:
        """The names in a folder, read as they are asked for; changes meanwhile may or may not be seen."""
        with os.scandir(path) as entries:
            yield from map(_NAME, entries)

    def free_bytes(self, path: str) -> int:
        """How much may still be written to the file system of a path."""
        found = os.statvfs(path)
        return found.f_bavail * found.f_frsize

    async def run_in_thread(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """
        Call one of these methods where it may wait for the disk without anybody noticing.

        Who is cancelled meanwhile learns of it when the thread is done: to close the file under a thread that writes
        to it would be to let it write to whatever is opened next.
        """
        pool = self._pool or cast(Any, self._reactor).getThreadPool()
        return await _undisturbed(deferToThreadPool(self._reactor, pool, call, *args, **kwargs))

    async def sync(self, fd: int, folders: Sequence[str] = ()) -> None:
        """
        Return when everything written to a file before the call, and its mode and size, is on disk.

        :param folders: synced behind it, and once for all files that are synced in the same trip to a thread.
        """
        wanted = _Sync(fd, folders)
        self._wanted.append(wanted)
        await self._made(wanted)

    async def make_and_sync(self, make: Make) -> None:
        """
        Make a file in a thread, and sync it: of many callers, all files are made before the first fsync.

        Who is cancelled meanwhile learns of it when the thread is done, as with :meth:`run_in_thread`.

        :param make: makes it; returns its descriptor and the folders to be synced behind it, as in :meth:`sync`.
        :raises OSError: also what ``make`` raises.
        """
        wanted = _Sync(-1, (), make)
        self._wanted.append(wanted)
        await _undisturbed(self._made(wanted))

    async def sync_folder(self, path: str) -> None:
        """Return when every name made, changed or removed in a folder before the call is on disk."""
        wanted = self._wanted_folders.get(path)
        if wanted is None:
            wanted = self._wanted_folders[path] = _Sync(-1, (path,))
            self._wanted.append(wanted)
        await self._made(wanted)

    def _made(self, wanted: _Sync) -> "Deferred[None]":
        waiter: Deferred[None] = Deferred()
        wanted.waiters.append(waiter)
        if self._idle_sync_threads:
            self._idle_sync_threads -= 1
            Deferred.fromCoroutine(self._sync_while_wanted())
        return waiter

    async def _sync_while_wanted(self) -> None:
        """Make what was asked for, batch by batch, until nothing is left."""
        while batch := self._next_batch():
            try:
                results = await self.run_in_thread(_run, batch)
            except Exception as failure:  # no thread to be had: those who wait must hear of it
                results = [OSError(errno.EAGAIN, f"no thread for fsync: {failure}")] * len(batch)
            for wanted, error in zip(batch, results, strict=True):
                for waiter in wanted.waiters:
                    if error is None:
                        waiter.callback(None)
                    else:
                        waiter.errback(error)
        self._idle_sync_threads += 1

    def _next_batch(self) -> list[_Sync]:
        """A fair share of what is wanted; from here on nobody may join the folders in it."""
        count = min(_BATCH, -(-len(self._wanted) // self._sync_threads))
        batch, self._wanted[:count] = self._wanted[:count], []
        for wanted in batch:
            for folder in wanted.folders:
                if self._wanted_folders.get(folder) is wanted:
                    del self._wanted_folders[folder]
        return batch


async def _undisturbed(working: "Deferred[T]") -> T:
    """The result of a thread, whoever is cancelled while he waits for it; he is told behind it."""
    outcome: list[T | Failure] = []
    waiters: list[Deferred[None]] = []
    cancelled = False

    def returned(result: T | Failure) -> None:
        outcome.append(result)
        if waiters:
            waiters[-1].callback(None)

    working.addBoth(returned)
    while not outcome:
        waiters.append(Deferred())
        try:
            await waiters[-1]
        except CancelledError:
            cancelled = True
    if cancelled:
        raise CancelledError()
    if isinstance(outcome[0], Failure):
        outcome[0].raiseException()
    return outcome[0]


def _run(batch: list[_Sync]) -> list[Exception | None]:
    """Make the fsyncs of a batch, in a thread; an error is a result, for the next one is another's."""
    results = [_error_of(wanted.begin) for wanted in batch]
    for number, wanted in enumerate(batch):
        results[number] = results[number] or _error_of(wanted.sync)
    # Behind the files, for a name is of no use before its file; and behind all of them, to be made once.
    folders: dict[str, Exception | None] = {}
    for number, wanted in enumerate(batch):
        for folder in wanted.folders:
            if folder not in folders:
                folders[folder] = _error_of(_sync_folder, folder)
            results[number] = results[number] or folders[folder]
    return results


def _error_of(call: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> Exception | None:
    try:
        call(*args, **kwargs)
    except Exception as error:
        return error
    return None


def _sync_folder(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error
    finally:
        os.close(fd)
