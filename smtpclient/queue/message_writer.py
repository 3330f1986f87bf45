"""
Putting a new message into a queue directory, durably.

A file is made as ``MICROSECONDS.PID``, which no reader takes for a message, renamed to its queue id once its inode is
known, filled with mode 0600, which every reader leaves alone, and becomes a message with mode 0700. Then the file and
its folder are synced; only then is its id given out. All of this is done in one trip to a thread, which many messages
share; the content of a large one goes there block by block.

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
from smtpclient.queue.directory_entry import COMPLETE, UNFINISHED
from smtpclient.queue.files import Files
from smtpclient.queue.folders import Folders
from smtpclient.queue.queuefile import NewQueueFile, build

_MILLION = 1_000_000


@contextmanager
def _naming(draft: "_Draft") -> Iterator[None]:
    """Let an error of an operation on an open file say which file."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, draft.path) from error


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
        draft = _Draft(self._files, self._folders.queue(queue), now)
        try:
            await self._fill(draft, queue, new)
        except BaseException:
            draft.withdraw()
            raise
        finally:
            self.unfinished.discard(draft.queue_id)
            draft.close()
        return draft.queue_id

    async def _fill(self, draft: "_Draft", queue: str, new: NewQueueFile) -> None:
        """Make the file, in threads; the content is read here, for it may be a program's of any kind."""
        blocks = new.blocks()
        block = next(blocks)
        is_large = False
        for following in blocks:
            await self._files.run_in_thread(self._begin, draft, queue, block)
            block, is_large = following, True

        def complete() -> tuple[int, list[str]]:
            self._begin(draft, queue, block)
            draft.complete(new.size_record if is_large else b"")
            return draft.fd, [*self._folders.above(queue, draft.path)]

        with _naming(draft):
            await self._files.make_and_sync(complete)

    def _begin(self, draft: "_Draft", queue: str, block: bytes) -> None:
        """Write a block, in a thread; before the first one there is no file."""
        if draft.fd < 0:
            draft.open()
            with _naming(draft):
                self._name(draft, queue)
        with _naming(draft):
            self._files.write(draft.fd, block)

    def _check_free(self, queue: str) -> None:
        if not self._minimum_free:
            return
        folder = self._folders.queue(queue)
        free = self._files.free_bytes(folder)
        if free < self._minimum_free:
            words = f"{free} bytes free, fewer than queue_minfree = {self._minimum_free}"
            raise OSError(errno.ENOSPC, words, folder)

    def _name(self, draft: "_Draft", queue: str) -> None:
        """Give the file its queue id, and its owner."""
        if self._owner is not None:
            self._files.fchown(draft.fd, *self._owner)
        inode = self._files.fstat(draft.fd).st_ino
        second, microsecond = divmod(int(draft.now * _MILLION), _MILLION)
        if self._long_ids:
            queue_id = queue_ids.long_id(second, microsecond, inode)
        else:
            queue_id = queue_ids.short_id(microsecond, inode)
        final = self._folders.path(queue, queue_id)
        if not self._folders.move(draft.path, final):
            raise FileNotFoundError(errno.ENOENT, "the new file was removed while it was written", draft.path)
        draft.path, draft.queue_id = final, queue_id
        self.unfinished.add(queue_id)


class _Draft:
    """
    A file that is being made.

    :param folder: where it begins.
    :param now: when it came, seconds since the epoch.
    :ivar fd: its descriptor; -1: there is no file yet.
    :ivar path: the name it has at the moment.
    :ivar queue_id: empty until it has one.
    """

    def __init__(self, files: Files, folder: str, now: float) -> None:
        self.now = now
        self.fd = -1
        self.path = folder
        self.queue_id = ""
        self._files = files
        self._folder = folder

    def open(self) -> None:
        """Make the unfinished file; two in one microsecond take the next free name."""
        number = int(self.now * _MILLION)
        pid = os.getpid()
        while True:
            path = f"{self._folder}/{number % _MILLION}.{pid}"
            try:
                self.fd = self._files.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, UNFINISHED)
            except FileExistsError:
                number += 1
            else:
                self.path = path
                return

    def complete(self, size_record: bytes) -> None:
        """
        From here on it is a message.

        :param size_record: to be put at the start; empty: it stands there.
        """
        if size_record:
            self._files.pwrite(self.fd, size_record, 0)
        self._files.utime(self.path, self.now)
        self._files.fchmod(self.fd, COMPLETE)

    def withdraw(self) -> None:
        """Leave nothing behind; the error that brought us here is the one to tell, not a second one."""
        if self.fd >= 0:
            with suppress(OSError):
                self._files.unlink(self.path)

    def close(self) -> None:
        """Give the file back; what mattered has been synced."""
        if self.fd >= 0:
            with suppress(OSError):
                self._files.close(self.fd)
