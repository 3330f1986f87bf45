"""
Putting a new message into a queue directory, durably.

A file is made as ``MICROSECONDS.PID``, which no reader takes for a message, renamed to its queue id once its inode is
known, filled with mode 0600, which every reader leaves alone, and becomes a message with mode 0700. Then the file and
its folder are synced; only then is its id given out.

Promises: an id that was given out is of a message that survives a power failure; after an error nothing is left of the
file, and until the sync has ended the queue manager of this process does not take it.

Known limits: where a queue manager of another process takes the file between its completion and a failing sync, the
error is reported and the message is delivered all the same.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from twisted.internet.interfaces import IReactorTime

from smtpclient.mail.envelope import NewMessage
from smtpclient.queue import queue_id as queue_ids
from smtpclient.queue.files import Files
from smtpclient.queue.folders import Folders
from smtpclient.queue.queuefile import NewQueueFile, build

_MILLION = 1_000_000


@contextmanager
def _naming(path: str) -> Iterator[None]:
    """Let an error of an operation on an open file say which file."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, path) from error


class MessageWriter:
    """
    Writes new messages.

    :param long_ids: make long queue ids.
    :param owner: whom new files are given to; None: whom the process runs as.
    :param minimum_free: how much must be left on the file system, bytes; 0: does not matter.
    :param warn_after: seconds after which the sender of a message is to be warned of a delay; 0: never.
    :ivar unfinished: ids of files that may yet be withdrawn.
    """

    def __init__(
        self,
        files: Files,
        folders: Folders,
        clock: IReactorTime,
        *,
        long_ids: bool = False,
        owner: tuple[int, int] | None = None,
        minimum_free: int = 0,
        warn_after: float = 0.0,
    ) -> None:
        self.unfinished: set[str] = set()
        self._files = files
        self._folders = folders
        self._clock = clock
        self._long_ids = long_ids
        self._owner = owner
        self._minimum_free = minimum_free
        self._warn_after = warn_after

    async def write(self, message: NewMessage, queue: str) -> str:
        """
        Put a message into a queue.

        :return: its queue id, once it is on disk.
        :raises ValueError: when its envelope cannot be written.
        :raises OSError: when the disk does not take it; nothing is left behind.
        """
        now = self._clock.seconds()
        new = build(message, now, now + self._warn_after if self._warn_after else 0.0)
        self._check_free(queue)
        fd, path = self._open(queue, now)
        queue_id = ""
        try:
            with _naming(path):
                queue_id, path = self._name(fd, path, queue, now)
            self.unfinished.add(queue_id)
            with _naming(path):
                await self._fill(fd, new)
                self._files.utime(path, now)
                self._files.fchmod(fd, 0o700)
                await self._files.sync(fd, [*self._folders.above(queue, path)])
        except BaseException:
            self._withdraw(path)
            raise
        finally:
            self.unfinished.discard(queue_id)
            with suppress(OSError):  # what mattered has been synced
                self._files.close(fd)
        return queue_id

    def _check_free(self, queue: str) -> None:
        if not self._minimum_free:
            return
        folder = self._folders.queue(queue)
        free = self._files.free_bytes(folder)
        if free < self._minimum_free:
            words = f"{free} bytes free, fewer than queue_minfree = {self._minimum_free}"
            raise OSError(errno.ENOSPC, words, folder)

    def _open(self, queue: str, now: float) -> tuple[int, str]:
        """Make the unfinished file; two in one microsecond take the next free name."""
        folder = self._folders.queue(queue)
        number = int(now * _MILLION)
        pid = os.getpid()
        while True:
            path = f"{folder}/{number % _MILLION}.{pid}"
            try:
                return self._files.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), path
            except FileExistsError:
                number += 1

    def _name(self, fd: int, path: str, queue: str, now: float) -> tuple[str, str]:
        """Give the file its queue id, and its owner."""
        if self._owner is not None:
            self._files.fchown(fd, *self._owner)
        inode = self._files.fstat(fd).st_ino
        second, microsecond = divmod(int(now * _MILLION), _MILLION)
        if self._long_ids:
            queue_id = queue_ids.long_id(second, microsecond, inode)
        else:
            queue_id = queue_ids.short_id(microsecond, inode)
        final = self._folders.path(queue, queue_id)
        if not self._folders.move(path, final):
            raise FileNotFoundError(errno.ENOENT, "the new file was removed while it was written", path)
        return queue_id, final

    async def _fill(self, fd: int, new: NewQueueFile) -> None:
        """Write the file: the first block here, the others of a large message in a thread."""
        blocks = new.blocks()
        first = next(blocks)
        self._files.write(fd, first)
        for block in blocks:
            await self._files.run_in_thread(self._files.write, fd, block)
        if not first.startswith(new.size_record):
            self._files.pwrite(fd, new.size_record, 0)

    def _withdraw(self, path: str) -> None:
        """Leave nothing behind; the error that brought us here is the one to tell, not a second one."""
        with suppress(OSError):
            self._files.unlink(path)
