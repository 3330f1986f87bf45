"""
Reading messages: who they are from and for, whether they are complete, whether somebody else is at work on them.

A file is opened once, and what has to be known of it is asked of the open file: its mode and time, its lock, its bytes.
So what is found belongs together, whoever moves, removes or replaces the file meanwhile, and one that is about to be
claimed is read first: what cannot be read, or is not to be taken yet, is never moved for nothing.

Promises: nothing is changed, and nothing is locked that is still being written; a pipe that somebody has put among the
files holds up nobody.

Does not: move files (``spool``), or read the content (``content``), though a small file is kept in memory until that is
wanted (``small_files``).
"""

import os
import stat
from functools import partial

from twisted.internet.interfaces import IReactorTime

from smtpclient.mail.envelope import QueuedMessage
from smtpclient.observe.maillog import MailLog
from smtpclient.queue.directory_entry import Entry
from smtpclient.queue.files import Files
from smtpclient.queue.folders import Folders
from smtpclient.queue.queuefile import WINDOW, CorruptQueueFile, read_message
from smtpclient.queue.recovery import remove_unfinished
from smtpclient.queue.small_files import SmallFiles

_KIND = 0o170700  # what of a mode tells a message from what is none
_DAMAGED = stat.S_IFREG | 0o400
_KINDS = frozenset((stat.S_IFREG | 0o700, _DAMAGED))


class BusyQueueFile(Exception):
    """Someone else is at work on this file: another queue manager, or whoever writes it. Leave it for later."""


class MessageReader:
    """
    Reads the messages of one queue directory.

    :param small_files: keeps small files until their content is wanted, when they lie in ``active/``.
    """

    def __init__(
        self, files: Files, folders: Folders, small_files: SmallFiles, clock: IReactorTime, maillog: MailLog
    ) -> None:
        self._files = files
        self._folders = folders
        self._small_files = small_files
        self._clock = clock
        self._maillog = maillog

    def read(self, queue_id: str, queue: str) -> QueuedMessage:
        """
        Read a message; see :meth:`smtpclient.queue.spool.Spool.read`.

        :raises CorruptQueueFile: when the file holds none.
        :raises BusyQueueFile: when another process has locked it, or it is still being written.
        :raises FileNotFoundError: when it has vanished.
        :raises OSError: when it cannot be read.
        """
        path = self._folders.path(queue, queue_id)
        fd = self._files.open(path)
        try:
            found = self._files.fstat(fd)
            if found.st_mode & _KIND not in _KINDS:
                raise BusyQueueFile(f"{path} is still being written")
            return self._message(queue_id, path, fd, found)
        finally:
            self._files.close(fd)

    def read_due(self, queue_id: str, queue: str, latest: float) -> tuple[QueuedMessage, Entry] | None:
        """
        Read a message that is about to be claimed; see :meth:`smtpclient.queue.spool.Spool.read_due`.

        :return: nothing when it is not to be claimed now.
        :raises CorruptQueueFile: when the file holds none.
        :raises BusyQueueFile: when another process has locked it.
        :raises OSError: when it cannot be read.
        """
        path = self._folders.path(queue, queue_id)
        try:
            fd = self._files.open(path)
        except FileNotFoundError:
            return None
        except OSError:
            if self.entry(queue_id, queue) is None:
                return None  # nobody need be able to read what is still being written
            raise
        try:
            found = self._files.fstat(fd)
            if found.st_mode & _KIND not in _KINDS:
                self.entry(queue_id, queue)
                return None
            entry = Entry(queue_id, found.st_mtime, found.st_mode & 0o777)
            return (self._message(queue_id, path, fd, found), entry) if entry.due <= latest else None
        finally:
            self._files.close(fd)

    def entry(self, queue_id: str, queue: str) -> Entry | None:
        """
        Look at a file without opening it; see :meth:`smtpclient.queue.spool.Spool.entry`.

        :raises OSError: when that cannot be done.
        """
        entry = self._folders.entry(self._folders.folder(queue, queue_id), queue_id)
        if entry is None or entry.complete or entry.damaged:
            return entry
        if queue == "incoming" and entry.is_stale(self._clock.seconds()):
            remove_unfinished(self._files, self._maillog, self._folders.path(queue, queue_id))
        return None

    def _message(self, queue_id: str, path: str, fd: int, found: os.stat_result) -> QueuedMessage:
        """Lock and read an open file."""
        if found.st_mode & _KIND == _DAMAGED:
            raise CorruptQueueFile(path, 0, "marked as damaged by a delivery agent")
        try:
            self._files.flock(fd, exclusive=True)
        except BlockingIOError:
            raise BusyQueueFile(f"{path} is locked by another process") from None
        size = found.st_size
        beginning = self._files.pread(fd, min(size, WINDOW), 0)
        remark = partial(self._maillog.warning, "qmgr", queue_id=queue_id)
        message = read_message(self._files, fd, path, queue_id, remark, size, beginning)
        if len(beginning) == size:
            self._small_files.keep(self._folders.path("active", queue_id), found, beginning)
        return message
