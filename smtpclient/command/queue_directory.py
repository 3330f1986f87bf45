"""
The queue directory as commands see it: beside a running service, without its lock.

:class:`QueueDirectory` looks without locking anything, so that the service never finds a message busy because somebody
looks at it; what it changes, it changes by the moves of :class:`smtpclient.queue.spool.Spool`, which the service copes
with.

Does not: make folders. A directory that is not there is a mistake in the configuration.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime

from smtpclient.config.parameters import Parameters
from smtpclient.interfaces import IContentReader
from smtpclient.mail.envelope import QueuedMessage
from smtpclient.observe.maillog import MailLog, MailLogFile
from smtpclient.queue.content import BLOCK, SpoolContentReader
from smtpclient.queue.files import Files
from smtpclient.queue.folders import Folders
from smtpclient.queue.queuefile import CorruptQueueFile, read_message
from smtpclient.queue.spool import Entry, Spool
from smtpclient.report.journal import Journal

QUEUES = ("active", "incoming", "deferred", "hold")
"""Every queue, in the order in which postqueue(1) lists them."""


class NoQueueDirectory(Exception):
    """The queue directory is not there; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Listed:
    """
    One message in a queue.

    :param reasons: why recipients wait, by address; empty when nothing is recorded.
    """

    queue: str
    entry: Entry
    message: QueuedMessage
    reasons: dict[str, str]


class QueueDirectory:
    """
    One queue directory.

    :ivar long_ids: whether queue ids are long ones, for the width of their column.
    :raises NoQueueDirectory: when it is not there.
    :raises OSError: when that cannot be told.
    """

    def __init__(self, parameters: Parameters, files: Files, clock: IReactorTime) -> None:
        self.path = parameters.text("queue_directory")
        try:
            found = files.stat(f"{self.path}/incoming")
        except (FileNotFoundError, NotADirectoryError):
            raise NoQueueDirectory(
                f"{self.path} is no queue directory; start the service once, it makes one; or name its "
                "configuration with -c FILE, or the directory with -o queue_directory=DIR"
            ) from None
        # What root makes must be the service's, or the service could not use it.
        owner = (found.st_uid, found.st_gid) if os.geteuid() == 0 else None
        self.long_ids = parameters.boolean("enable_long_queue_ids")
        self._parameters = parameters
        self._maillog = MailLog(clock.seconds)
        hash_names = parameters.words("hash_queue_names")
        hash_depth = parameters.integer("hash_queue_depth")
        self._files = files
        self._folders = Folders(files, self.path, hash_names, hash_depth)
        self.spool = Spool(
            self.path, files, clock, self._maillog, hash_names=hash_names, hash_depth=hash_depth, owner=owner
        )
        self._journal = Journal(self.spool, files, clock)

    def entries(self, *queues: str) -> Iterator[tuple[str, Entry]]:
        """
        Every message in some queues, as it is asked for: its queue, and what the folder says of it.

        :raises OSError: when a folder cannot be read.
        """
        for queue in queues:
            for entry in self.spool.scan(queue):
                if entry.complete:
                    yield queue, entry

    def entry(self, queue_id: str) -> tuple[str, Entry] | None:
        """
        Where a message lies, and what the folder says of it; None: nowhere.

        :raises ValueError: when that is no queue id.
        :raises OSError: when that cannot be told.
        """
        # It may move between the two looks; then it is found where it went.
        for _ in range(3):
            queue = self.spool.find(queue_id)
            if queue is None:
                return None
            found = self._folders.stat(self._folders.path(queue, queue_id))
            if found is not None:
                return queue, Entry(queue_id, found.st_mtime, found.st_mode & 0o7777)
        return None

    def look(self, queue: str, queue_id: str) -> QueuedMessage:
        """
        Read a message without its content, and without keeping anybody else from it.

        :raises CorruptQueueFile: when the file holds none.
        :raises FileNotFoundError: when it has moved on.
        :raises OSError: when it cannot be read.
        """
        path = self._folders.path(queue, queue_id)
        fd = self._files.open(path)
        try:
            return read_message(self._files, fd, path, queue_id)
        finally:
            self._files.close(fd)

    async def listed(self, queue: str, entry: Entry) -> Listed:
        """
        One message with the reasons why its recipients wait.

        :raises CorruptQueueFile: as :meth:`look`.
        :raises FileNotFoundError: when it has moved on.
        :raises OSError: when it cannot be read.
        """
        message = self.look(queue, entry.queue_id)
        reasons = {
            recorded.recipient.address: recorded.reason
            for recorded in await self._journal.read("defer", entry.queue_id)
        }
        return Listed(queue, entry, message, reasons)

    def open_log(self) -> MailLog:
        """
        Where to say what is changed: the service's log file, where it has one and has begun to write it.

        A file that is not there is not made, for it would be the operator's and not the service's.

        :raises OSError: when the file cannot be opened.
        """
        path = self._parameters.text("maillog_file")
        if path and os.path.exists(path):
            name, program = self._parameters.text("myhostname"), self._parameters.text("syslog_name")
            self._maillog.publisher.addObserver(MailLogFile(path, name, program))
        return self._maillog

    def open_content(self, listed: Listed) -> IContentReader:
        """
        Start reading the content of a message.

        :raises FileNotFoundError: when it has moved on.
        :raises OSError: when it cannot be opened.
        """
        envelope = listed.message.envelope
        path = self._folders.path(listed.queue, envelope.queue_id)
        return SpoolContentReader(self._files, self._files.open(path), path, envelope.content_offset, BLOCK)


__all__ = ["QUEUES", "CorruptQueueFile", "Listed", "NoQueueDirectory", "QueueDirectory"]
