"""
The queue directory: messages as files, and their moves from folder to folder.

A message is one file; which folder it lies in is its state, and a rename is the only way from one to the next, so that
at any moment it lies in exactly one. ``doc/queue-files.rst`` has the states and what is guaranteed in each.

Promises: what :meth:`Spool.create` has returned for is on disk, whole; nothing but :meth:`Spool.remove` and
:meth:`Spool.delete` unlinks a complete message; a file that others move meanwhile (postsuper(1), an operator) makes a
method return False or raise :class:`FileNotFoundError`, as each one says, and nothing worse; a disk error is an
:class:`OSError` and is never taken for damage of a file.

Does not: decide when something is due (``poller``), report (``smtpclient.report``), ask who may do what: the
permissions of the directory do that.

Known limits: marks, moves and removals are not synced: after a power failure a message may be delivered again, as with
Postfix. A file from elsewhere whose name is taken in a folder replaces the one there; ``postsuper -s`` renames such.
"""

import errno
import os
import stat
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from math import inf
from operator import itemgetter

from twisted.internet.interfaces import IReactorTime

from smtpclient.interfaces import IMessageContent
from smtpclient.mail.envelope import Envelope, NewMessage, QueuedMessage
from smtpclient.observe.maillog import MailLog
from smtpclient.queue import queue_id as queue_ids
from smtpclient.queue.content import SpoolContent
from smtpclient.queue.directory_entry import EXPIRE, Entry
from smtpclient.queue.files import Files
from smtpclient.queue.folders import JOURNALS, QUEUES, Folders
from smtpclient.queue.glimpse import Glimpse, glimpse
from smtpclient.queue.instance_lock import InstanceLock, SpoolError
from smtpclient.queue.marks import mark_done, mark_warned
from smtpclient.queue.message_reader import BusyQueueFile, MessageReader
from smtpclient.queue.message_writer import MessageWriter
from smtpclient.queue.record import CorruptQueueFile
from smtpclient.queue.recovery import reclaim_active, remove_stale, take_back_requeued
from smtpclient.queue.small_files import ROOM, SmallFiles

__all__ = ["BusyQueueFile", "CorruptQueueFile", "Entry", "Spool", "SpoolError"]


class Spool:
    """
    One queue directory.

    :param directory: its path.
    :param clock: what time it is, in seconds since the epoch.
    :param hash_names: the queues with sub-folders; they must agree with what Postfix's tools are told.
    :param hash_depth: how many sub-folders on the way to a file.
    :param long_ids: make long queue ids.
    :param owner: user and group for new files and folders, when running as root; None: as they come.
    :param minimum_free: what has to be left on the file system for a new message to be taken, bytes; 0: anything.
    :param warn_after: seconds after which the sender of a new message is to be warned of a delay; 0: never.
    :param room: how much of the files whose envelopes are read is kept in memory until their content is, bytes.
    :param beside_postfix: Postfix's master runs on the directory, without a queue manager: ``maildrop/`` is its own.
    """

    def __init__(
        self,
        directory: str,
        files: Files,
        clock: IReactorTime,
        maillog: MailLog,
        *,
        hash_names: Collection[str] = ("deferred", "defer"),
        hash_depth: int = 1,
        long_ids: bool = False,
        owner: tuple[int, int] | None = None,
        minimum_free: int = 0,
        warn_after: float = 0.0,
        room: int = ROOM,
        beside_postfix: bool = False,
    ) -> None:
        self._files, self.beside_postfix = files, beside_postfix
        self._clock = clock
        self._maillog = maillog
        self._folders = Folders(files, directory, hash_names, hash_depth, owner)
        self._writer = MessageWriter(
            files,
            self._folders,
            clock,
            long_ids=long_ids,
            owner=owner,
            minimum_free=minimum_free,
            warn_after=warn_after,
        )
        self._small_files = SmallFiles(files, room)
        self._reader = MessageReader(files, self._folders, self._small_files, maillog)
        self._lock: InstanceLock | None = None

    @property
    def directory(self) -> str:
        """The absolute path of the queue directory."""
        return self._folders.directory

    # The life of the queue manager.

    def prepare(self) -> None:
        """
        Make the directory fit for use and take it over.

        Makes missing folders, takes the lock, removes what was left without a name, empties ``active/`` again.

        :raises SpoolError: in words for the operator: missing, not a directory, read-only, in use by another process.
        """
        try:
            self._folders.make()
            self._lock = InstanceLock(self._files, self.directory, self.beside_postfix)
            now = self._clock.seconds()
            remove_stale(self._files, self._folders, self._maillog, now)
            reclaim_active(self._files, self._folders, self._maillog, now)
        except SpoolError:
            self.close()
            raise
        except OSError as error:
            self.close()
            why = "the file system is read-only" if error.errno == errno.EROFS else error.strerror
            raise SpoolError(f"queue directory {self.directory} cannot be used: {error.filename}: {why}") from error

    def take_back_requeued(self) -> int:
        """Move what ``postsuper -r`` has put into ``maildrop/`` to ``incoming/``; how many there were."""
        now = self._clock.seconds()
        return 0 if self.beside_postfix else take_back_requeued(self._files, self._folders, self._maillog, now)

    def close(self) -> None:
        """Let another process take the directory over; more calls do no harm."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()

    # New messages.

    async def create(self, message: NewMessage, queue: str = "incoming") -> str:
        """
        Queue a message.

        :return: its queue id, once it is durable.
        :raises ValueError: when its envelope cannot be written: no recipient, a line break in an address.
        :raises OSError: when the disk does not take it, or has not ``minimum_free`` left; nothing is left behind.
        """
        return await self._writer.write(message, queue)

    # The queue manager's moves.

    def names(self, queue: str) -> Iterator[str]:
        """
        The queue ids in a queue, as they are asked for, without a look at the files; see :meth:`scan`.

        :raises OSError: when a folder cannot be read.
        """
        return filter(queue_ids.match, map(itemgetter(1), self._folders.names(queue)))

    def scan(self, queue: str) -> Iterator[Entry]:
        """
        Every file of a queue, complete or not, as it is asked for; one that moves meanwhile may be missed.

        :raises OSError: when a folder cannot be read.
        """
        for folder, name in self._folders.names(queue):
            if queue_ids.is_valid(name) and (entry := self._folders.entry(folder, name)) is not None:
                yield entry

    def entry(self, queue_id: str, queue: str) -> Entry | None:
        """
        Look at one message of a queue, or what was one; None: it is not there, or still being written.

        What was left unfinished in ``incoming/`` so long ago that nobody can be writing it any more is removed.

        :raises OSError: when that cannot be told.
        """
        return self._reader.entry(queue_id, queue, self._clock.seconds())

    def glimpse(self, queue_id: str, queue: str) -> Glimpse | None:
        """Who a message is from and for, as a hint; None: that takes reading it, or there is nothing to be read."""
        return glimpse(self._files, self._folders.folder(queue, queue_id) + queue_id)

    def take(self, queue_id: str, queue: str, latest: float = inf) -> tuple[QueuedMessage, os.stat_result] | None:
        """
        Claim a message whose time has come: it is read where it lies, and then taken into ``active/``.

        One that may yet be withdrawn by who is queueing it is left alone, and what is no message fares as in
        :meth:`entry`.

        :param latest: the latest time that has come, seconds since the epoch.
        :return: the message, and what the system knows of its file; None when it is not to be claimed now.
        :raises CorruptQueueFile: when the file holds none; set it aside.
        :raises BusyQueueFile: when another process has locked it.
        :raises OSError: when it cannot be read or moved; it stays in its queue.
        """
        if queue_id in self._writer.unfinished:
            return None
        folders = self._folders
        active = folders.path("active", queue_id)
        path = folders.path_of_valid(queue, queue_id)
        read = self._reader.read_due(queue_id, path, active, latest)
        if read is None:
            self.entry(queue_id, queue)
            return None
        try:
            if path != active and not folders.move(path, active):
                self._small_files.discard(active)
                return None
        except OSError:
            self._small_files.discard(active)
            raise
        return read

    def read(self, queue_id: str, queue: str = "active") -> QueuedMessage:
        """
        Read a message without its content; a small file is kept in memory until its content is asked for.

        :raises CorruptQueueFile: when the file holds none; set it aside.
        :raises BusyQueueFile: when another process has locked it, or it is still being written.
        :raises FileNotFoundError: when it has vanished.
        :raises OSError: when it cannot be read; that says nothing about what it holds: keep it.
        """
        return self._reader.read(queue_id, queue)

    def content(self, envelope: Envelope, queue: str = "active") -> IMessageContent:
        """The content of a message that was read from a queue; opening it fails once the file has moved on."""
        path = self._folders.path(queue, envelope.queue_id)
        return SpoolContent(self._files, path, envelope.content_offset, envelope.content_length, self._small_files)

    def mark_done(self, queue_id: str, offsets: Sequence[int]) -> None:
        """
        Mark recipients as done, wherever the message lies now.

        :param offsets: where their records stand; one that is marked already stays so.
        :raises FileNotFoundError: when the message has vanished.
        :raises CorruptQueueFile: when no recipient's record stands at one of them; the others are marked.
        :raises OSError: when the file cannot be written.
        """
        fd, path = self._open_to_mark(queue_id)
        try:
            mark_done(self._files, fd, path, offsets)
        finally:
            self._files.close(fd)

    def warned(self, queue_id: str, message: QueuedMessage) -> None:
        """
        Note in a message that its delay warning has been sent, wherever the message lies now.

        :raises FileNotFoundError: when the message has vanished.
        :raises CorruptQueueFile: when the note's place is taken by something else.
        :raises OSError: when the file cannot be written.
        """
        if message.warn_offset < 0:
            return
        fd, path = self._open_to_mark(queue_id)
        try:
            mark_warned(self._files, fd, path, message.warn_offset)
        finally:
            self._files.close(fd)

    def defer(self, queue_id: str, due: float, queue: str = "active") -> bool:
        """
        Put a message into ``deferred/``.

        :param due: when it is to be tried again, seconds since the epoch.
        :param queue: where it lies.
        :return: False when it has vanished.
        :raises OSError: when it cannot be moved; it then stays where it is.
        """
        return self._move_due(queue_id, queue, "deferred", due)

    def remove(self, queue_id: str, queue: str = "active") -> bool:
        """
        Remove a message that needs nothing more.

        :return: False when it has vanished.
        :raises OSError: when it cannot be removed.
        """
        path = self._folders.path(queue, queue_id)
        self._small_files.discard(path)
        return self._folders.unlink(path)

    def set_aside(self, queue_id: str, queue: str, why: str) -> bool:
        """
        Put a file that cannot be read into ``corrupt/``, for the operator, and say so in the log.

        :param why: what is wrong and where, for the operator.
        :return: False when it has vanished.
        :raises OSError: when it cannot be moved.
        """
        moved = self._folders.move(self._folders.path(queue, queue_id), self._folders.path("corrupt", queue_id))
        if moved:
            words = f'saving corrupt file "{queue_id}" from queue "{queue}" to queue "corrupt": {why}'
            self._maillog.warning("qmgr", words)
        return moved

    # The operator's verbs. Each is True when it has found a message to work on.

    def hold(self, queue_id: str) -> bool:
        """
        Put a message on hold: it stays until it is released, also beyond its time.

        :raises OSError: when it cannot be moved.
        """
        target = self._folders.path("hold", queue_id)
        return any(self._folders.move(self._folders.path(queue, queue_id), target) for queue in QUEUES[:3] * 2)

    def release(self, queue_id: str) -> bool:
        """
        Let a message on hold go on, at once.

        :raises OSError: when it cannot be moved.
        """
        return self._move_due(queue_id, "hold", "incoming", self._clock.seconds())

    def requeue(self, queue_id: str) -> bool:
        """
        Have a message looked at as if it were new, at once; its age still counts from its creation.

        One in ``active/`` is being looked at already and stays there.

        :raises OSError: when it cannot be moved.
        """
        now = self._clock.seconds()
        return any(self._move_due(queue_id, queue, "incoming", now) for queue in ("hold", "deferred", "incoming"))

    def expire(self, queue_id: str) -> bool:
        """
        Have a message returned to its sender at its next attempt, as if its time were over.

        :raises OSError: when its mode cannot be changed.
        """
        while queue := self.find(queue_id):
            path = self._folders.path(queue, queue_id)
            if (found := self._folders.stat(path)) is not None:
                with suppress(FileNotFoundError):
                    self._files.chmod(path, stat.S_IMODE(found.st_mode) | EXPIRE)
                    return True
        return False

    def delete(self, queue_id: str) -> bool:
        """
        Remove a message for good, and what has been recorded of its recipients; its sender hears nothing.

        :raises OSError: when it cannot be removed.
        """
        found = any(self._folders.unlink(self._folders.path(queue, queue_id)) for queue in QUEUES * 2)
        if found:
            for kind in JOURNALS:
                self._folders.unlink(self.journal_path(kind, queue_id))
        return found

    def find(self, queue_id: str) -> str | None:
        """
        The queue that a message lies in.

        :raises OSError: when that cannot be told.
        """
        # Twice: it may have moved into a queue that was looked into already.
        for queue in QUEUES * 2:
            if self._folders.stat(self._folders.path(queue, queue_id)) is not None:
                return queue
        return None

    def journal_path(self, kind: str, queue_id: str) -> str:
        """
        Where the record of a message's failed, waiting or delivered recipients lies; its folder may be missing.

        :param kind: ``bounce``, ``defer`` or ``trace``.
        :raises ValueError: for another kind, or what is no queue id.
        """
        return self._folders.journal_path(kind, queue_id)

    def _open_to_mark(self, queue_id: str) -> tuple[int, str]:
        path = self._folders.path("active", queue_id)
        try:
            return self._files.open(path, os.O_RDWR), path
        except FileNotFoundError:
            if (queue := self.find(queue_id)) is None:
                raise
            path = self._folders.path(queue, queue_id)
            return self._files.open(path, os.O_RDWR), path

    def _move_due(self, queue_id: str, queue: str, target: str, due: float) -> bool:
        path = self._folders.path(queue, queue_id)
        self._small_files.discard(path)
        try:
            self._files.utime(path, due)
        except FileNotFoundError:
            return False
        return self._folders.move(path, self._folders.path(target, queue_id))
