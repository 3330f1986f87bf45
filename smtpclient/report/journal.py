"""
The bounce, defer and trace files of the spool: one file per message, one entry per recipient.

The files are Postfix's (``smtpclient.report.entry`` has the format): showq(8), and so ``postqueue -p``, reads our
reasons, and our reports contain what Postfix recorded before the spool was handed over.

Promises:

* When :meth:`Journal.append` returns, the entry is on disk, with the name of its file (``bounce`` and ``trace``).
  An entry of ``defer`` is only with the kernel: the next attempt would write it anew.
* When it raises, the entry is not in the file: what was written of it has been cut off again.
* Appends to one file that arrive while the disk is busy become one write and one fsync: a message to a thousand
  unknown users costs a few of them, not a thousand.
* Other processes that write to the file, with the same lock, do no harm; an entry torn by a crash is cut off before
  the next one is written, and is not read.

Does not: decide who hears of what (``smtpclient.report.notification``).

Known limits: an entry that was complete on disk when the process died, but whose recipient was not marked, is read as
recorded until :meth:`Journal.retract`, which reads the file in one go.
"""

import errno
import os
import re
from collections.abc import Callable, Collection
from contextlib import suppress

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from smtpclient.queue.files import Files
from smtpclient.queue.spool import Spool
from smtpclient.report.entry import Entry, EntryParser, encode, newest

DURABLE = frozenset({"bounce", "trace"})
"""The kinds whose entries somebody relies on once they are written."""

BLOCK = 65536
"""Bytes read and parsed in one go: about a millisecond's work."""

LOCK_RETRY = 0.05
LOCK_PATIENCE = 10.0
"""Seconds between tries, and in all, for a file that another process has locked."""


_PARAGRAPH = re.compile(rb"(?:[^\n]+\n)+")


def _offset(kind: str, paragraph: bytes) -> int | None:
    """Where the recipient of an entry has its record in the queue file; None: this is no entry."""
    return next((entry.recipient.offset for entry in EntryParser(kind).feed(paragraph + b"\n")), None)


class _Batch:
    """Entries to be written together, and who waits for them."""

    __slots__ = ("data", "waiters")

    def __init__(self) -> None:
        self.data: list[bytes] = []
        self.waiters: list[Deferred[None]] = []


class Journal:
    """
    All the bounce, defer and trace files of one spool.

    :param spool: says where the file of a message is.
    :param files: makes every operation on them.
    :param clock: for waiting until another process gives back its lock.
    """

    def __init__(self, spool: Spool, files: Files, clock: IReactorTime) -> None:
        self._spool = spool
        self._files = files
        self._clock = clock
        self._next: dict[str, _Batch] = {}  # by path: who comes after those being written

    async def append(self, kind: str, queue_id: str, entry: Entry) -> None:
        """
        Record one recipient.

        :param kind: ``bounce``, ``defer`` or ``trace``.
        :raises OSError: when it could not be recorded; nothing of it remains.
        """
        path = self._spool.journal_path(kind, queue_id)
        idle = path not in self._next
        batch = self._next.setdefault(path, _Batch())
        waiter: Deferred[None] = Deferred()
        batch.data.append(encode(entry))
        batch.waiters.append(waiter)
        if idle:
            # A coroutine of its own: who asked first may be cancelled, and the others still wait.
            Deferred.fromCoroutine(self._write_batches(path, kind))
        await waiter

    async def read(self, kind: str, queue_id: str) -> list[Entry]:
        """
        What is recorded, one entry per recipient; nothing when there is no file.

        :raises OSError: when there is a file and it cannot be read.
        """
        try:
            fd = self._files.open(self._spool.journal_path(kind, queue_id))
        except FileNotFoundError:
            return []
        parser, entries, offset = EntryParser(kind), list[Entry](), 0
        try:
            while data := self._files.pread(fd, BLOCK, offset):
                entries.extend(parser.feed(data))
                offset += len(data)
                if len(data) == BLOCK:
                    await deferLater(self._clock, 0)
        finally:
            self._files.close(fd)
        return newest(entries)

    async def retract(self, kind: str, queue_id: str, waiting: Callable[[], Collection[int]]) -> None:
        """
        Blank out the entries of recipients that are still to be delivered; the others stay where they are.

        Whatever of it a crash leaves undone is an entry or is none.

        :param waiting: where the records of such recipients stand in the queue file; asked only if there is a file.
        :raises OSError: when the file cannot be read or written.
        """
        path = self._spool.journal_path(kind, queue_id)
        try:
            fd = self._files.open(path, os.O_RDWR)
        except FileNotFoundError:
            return
        try:
            await self._lock(fd, path)
            offsets, data = frozenset(waiting()), self._files.pread(fd, self._files.fstat(fd).st_size, 0)
            stale = [found for found in _PARAGRAPH.finditer(data) if _offset(kind, found[0]) in offsets]
            for found in stale:
                self._files.pwrite(fd, b"\n" * len(found[0]), found.start())
            if stale:
                await self._files.sync(fd)
        finally:
            self._files.close(fd)

    def forget(self, kind: str, queue_id: str) -> None:
        """
        Remove the file, if there is one.

        :raises OSError: when it is there and cannot be removed.
        """
        with suppress(FileNotFoundError):
            self._files.unlink(self._spool.journal_path(kind, queue_id))

    async def _write_batches(self, path: str, kind: str) -> None:
        """Write what has come together for one file, again and again, until nobody waits."""
        while (batch := self._next[path]).data:
            self._next[path] = _Batch()
            failure: Exception | None = None
            try:
                await self._write(path, b"".join(batch.data), kind)
            except Exception as error:  # whatever it is, those who wait must hear it
                failure = error
            for waiter in batch.waiters:
                if failure is None:
                    waiter.callback(None)
                else:
                    waiter.errback(failure)
        del self._next[path]

    async def _write(self, path: str, data: bytes, kind: str) -> None:
        """Append to a file under its lock, or leave it as it was."""
        changed = [os.path.dirname(path)]  # folders in which a name is new
        fd = self._open(path, kind, changed)
        try:
            await self._lock(fd, path)
            end = self._end(fd)
            if not end:
                self._give_to_owner(fd, changed[0])
            try:
                self._files.pwrite(fd, data, end)
                if kind in DURABLE:
                    await self._files.sync(fd)
                    for folder in () if end else changed:
                        await self._files.sync_folder(folder)
            except Exception:
                self._files.ftruncate(fd, end)
                raise
        finally:
            with suppress(OSError):  # what was synced is on disk, whatever close(2) says
                self._files.close(fd)

    def _open(self, path: str, kind: str, changed: list[str]) -> int:
        try:
            return self._files.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:  # a folder of a hashed queue, met for the first time
            self._make_folder(os.path.dirname(path), kind, changed)
            return self._files.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def _make_folder(self, path: str, kind: str, changed: list[str]) -> None:
        """Make a folder and those above it, but never the spool itself: it may only be missing for now."""
        try:
            self._files.mkdir(path, 0o700)
        except FileExistsError:
            return
        except FileNotFoundError:
            if os.path.basename(path) == kind:
                raise
            self._make_folder(os.path.dirname(path), kind, changed)
            self._files.mkdir(path, 0o700)
        parent = os.path.dirname(path)
        owner = self._files.stat(parent).st_uid
        if owner != self._files.stat(path).st_uid:
            self._files.chown(path, owner, -1)
        changed.append(parent)

    def _give_to_owner(self, fd: int, folder: str) -> None:
        """A file made by root belongs to whom its folder belongs to: showq(8) reads as that user."""
        owner = self._files.stat(folder).st_uid
        if owner != self._files.fstat(fd).st_uid:
            self._files.fchown(fd, owner, -1)

    async def _lock(self, fd: int, path: str) -> None:
        """
        Lock the file against other processes.

        :raises OSError: when another kept it for too long.
        """
        deadline = self._clock.seconds() + LOCK_PATIENCE
        while True:
            try:
                self._files.flock(fd, exclusive=True)
                return
            except BlockingIOError:
                if self._clock.seconds() >= deadline:
                    raise OSError(errno.EAGAIN, "another process has had it locked for too long", path) from None
            await deferLater(self._clock, LOCK_RETRY)

    def _end(self, fd: int) -> int:
        """Where the last whole entry ends; what a crash has left behind it is cut off."""
        size = self._files.fstat(fd).st_size
        start = size
        while start:
            start = max(0, start - BLOCK)
            data = self._files.pread(fd, min(BLOCK, size - start) + 1, start)
            if size == start + len(data) and data.endswith(b"\n\n"):
                return size
            found = data.rfind(b"\n\n")
            if found >= 0:
                self._files.ftruncate(fd, start + found + 2)
                return start + found + 2
        if size:
            self._files.ftruncate(fd, 0)
        return 0
