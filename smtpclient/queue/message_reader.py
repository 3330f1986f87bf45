"""
Reading messages: who they are from and for, whether they are complete, whether somebody else is at work on them.

A file is opened once, and what has to be known of it is asked of the open file: its mode and time, its lock, its bytes.
So what is found belongs together, whoever moves, removes or replaces the file meanwhile, and one that is about to be
claimed is read first: what cannot be read, or is not to be taken yet, is never moved for nothing.

Promises: nothing is changed, but that what was never completed is removed one day; nothing is locked that is still
being written; a pipe that somebody has put among the files holds up nobody.

Does not: move files (``spool``), or read the content (``content``), though a small file is kept in memory until that is
wanted (``small_files``).
"""

import errno
import os
from math import inf

from smtpclient.mail.envelope import QueuedMessage
from smtpclient.observe.maillog import MailLog
from smtpclient.queue.directory_entry import DAMAGED_MESSAGE, KIND, MESSAGE, Entry
from smtpclient.queue.files import Files
from smtpclient.queue.folders import Folders
from smtpclient.queue.queuefile import WINDOW, CorruptQueueFile, read_message
from smtpclient.queue.recovery import remove_unfinished
from smtpclient.queue.small_files import SmallFiles


class BusyQueueFile(Exception):
    """Someone else is at work on this file: another queue manager, or whoever writes it. Leave it for later."""


class MessageReader:
    """
    Reads the messages of one queue directory.

    :param small_files: keeps small files until their content is wanted.
    """

    def __init__(self, files: Files, folders: Folders, small_files: SmallFiles, maillog: MailLog) -> None:
        self._files = files
        self._folders = folders
        self._small_files = small_files
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
        read = self.read_due(queue_id, path, path, inf)
        if read is not None:
            return read[0]
        if self._folders.stat(path) is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        raise BusyQueueFile(f"{path} is still being written")

    def read_due(
        self, queue_id: str, path: str, keep_as: str, latest: float
    ) -> tuple[QueuedMessage, os.stat_result] | None:
        """
        Read a message whose time has come.

        :param path: where it lies.
        :param keep_as: where its content will be wanted.
        :param latest: the latest time that has come, seconds since the epoch.
        :return: the message, and what the system knows of its file; nothing where that is not there, or no message
            yet, or its time has not come.
        :raises CorruptQueueFile: when the file holds none.
        :raises BusyQueueFile: when another process has locked it.
        :raises OSError: when it cannot be read.
        """
        files = self._files
        try:
            fd = files.open(path)
        except FileNotFoundError:
            return None
        try:
            found = files.fstat(fd)
            if found.st_mode & KIND != MESSAGE:
                if found.st_mode & KIND == DAMAGED_MESSAGE:
                    raise CorruptQueueFile(path, 0, "marked as damaged by a delivery agent")
                return None
            if found.st_mtime > latest:
                return None
            files.flock(fd, exclusive=True)
            size = found.st_size
            beginning = files.pread(fd, size if size < WINDOW else WINDOW, 0)
            warning = self._maillog.warning
            message = read_message(
                files, fd, path, queue_id, lambda words: warning("qmgr", words, queue_id), size, beginning
            )
            if len(beginning) == size:
                self._small_files.keep(keep_as, found, beginning)
            return message, found
        except BlockingIOError:
            raise BusyQueueFile(f"{path} is locked by another process") from None
        finally:
            files.close(fd)

    def entry(self, queue_id: str, queue: str, now: float) -> Entry | None:
        """
        Look at a file without opening it; see :meth:`smtpclient.queue.spool.Spool.entry`.

        :raises OSError: when that cannot be done.
        """
        entry = self._folders.entry(self._folders.folder(queue, queue_id), queue_id)
        if entry is None or entry.complete or entry.damaged:
            return entry
        if queue == "incoming" and entry.is_stale(now):
            remove_unfinished(self._files, self._maillog, self._folders.path(queue, queue_id))
        return None
