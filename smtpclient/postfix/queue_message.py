"""
The queue file of a delivery request, held while the delivery is under way.

The queue manager keeps its hands off a file that somebody has locked, so an agent that outlives its queue manager
cannot have the message delivered beside it. What cannot be read is marked as damaged, and the queue manager puts it
into ``corrupt/``.

Promises: nothing but a complete queue file in one of the queues is ever opened, whatever a request names; the lock goes
with the process, however that ends.

Does not: read the file (``smtpclient.queue.content``), or mark recipients in it (``smtpclient.queue.marks``).
"""

import os

from smtpclient.queue import queue_id as queue_ids
from smtpclient.queue.directory_entry import DAMAGED, KIND, MESSAGE
from smtpclient.queue.files import Files
from smtpclient.queue.folders import QUEUES, Folders


class Unavailable(Exception):
    """The file is not there, not complete, or somebody else's now; the words are for the log."""


class QueueMessage:
    """
    One queue file, locked against other queue managers; use it as a context.

    :raises Unavailable: when it cannot be had.
    """

    def __init__(self, files: Files, folders: Folders, queue: str, queue_id: str) -> None:
        if queue not in QUEUES or not queue_ids.is_valid(queue_id):
            raise Unavailable(f"there is no queue file {queue}/{queue_id}")
        self._files = files
        self.path = folders.path(queue, queue_id)
        try:
            self._fd = files.open(self.path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as why:
            raise Unavailable(f"open {queue}/{queue_id}: {why.strerror}") from why
        try:
            found = files.fstat(self._fd)
            if found.st_mode & KIND != MESSAGE:
                raise Unavailable(f"{queue}/{queue_id} is no complete queue file")
            files.flock(self._fd, exclusive=False)
        except Unavailable:
            self.close()
            raise
        except OSError as why:
            self.close()
            raise Unavailable(f"lock {queue}/{queue_id}: {why.strerror}") from why

    def mark_damaged(self) -> None:
        """
        Have the queue manager put it into ``corrupt/``.

        :raises OSError: when its mode cannot be changed.
        """
        self._files.fchmod(self._fd, DAMAGED)

    def close(self) -> None:
        """Give it back; more calls do no harm."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            self._files.close(fd)

    def __enter__(self) -> "QueueMessage":
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()
