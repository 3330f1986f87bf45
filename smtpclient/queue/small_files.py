"""
Small queue files in memory, from when the envelope was read until the content is.

What is read of a queue file for its envelope holds a small message's content, too. Kept until that is sent, it costs
one look at the file (stat) instead of opening, locking, reading and closing it a second time.

Promises: bytes are given only once, and only while the file still lies where it was read, as it was read: the same
inode, of the same size, written last at the same time. So a message that was removed, put on hold or changed meanwhile
is found out as it would be by opening the file. No more than :data:`ROOM` bytes of files are kept.

Does not: lock. A shared lock tells another queue manager to keep away while the content is read; but there is none in
``active/`` beside who holds the lock of the whole directory (``instance_lock``), and one that comes after him finds
him dead, with all that he was sending. Workers outlive the service for a moment; they open files, and lock them.

Known limits: when there is no room, files that came later are not kept until those that came earlier have been here for
:data:`PATIENCE`. Messages of destinations that keep them waiting so cannot shut out all others.
"""

import os
from collections.abc import Callable

from smtpclient.queue.files import Files

ROOM = 16 * 1024 * 1024
"""How many bytes are kept: sixty-four of the blocks that a delivery of a large message has in memory anyway."""

PATIENCE = 10.0
"""How long a file is kept when others would have its place, seconds."""


class SmallFiles:
    """
    The bytes of some files.

    :param seconds: what time it is.
    :ivar size: how many bytes are kept.
    """

    def __init__(self, files: Files, seconds: Callable[[], float]) -> None:
        self._files = files
        self._seconds = seconds
        self._kept: dict[str, tuple[bytes, tuple[int, int], float]] = {}
        self.size = 0

    def keep(self, path: str, found: os.stat_result, data: bytes) -> None:
        """
        Keep a file, if there is room.

        :param found: what the system said of it when it was opened.
        :param data: all that is in it.
        """
        if path in self._kept:  # it is read again
            self.discard(path)
        now = self._seconds()
        while self.size + len(data) > ROOM:
            oldest = next(iter(self._kept))
            if abs(now - self._kept[oldest][2]) < PATIENCE:
                return
            self.discard(oldest)
        self._kept[path] = data, (found.st_ino, found.st_mtime_ns), now
        self.size += len(data)

    def take(self, path: str) -> bytes:
        """
        What is in a file, if it was kept and is still the same; it is kept no longer.

        :return: nothing, if the file has to be read.
        :raises FileNotFoundError: when it was kept, and has been moved or removed since.
        :raises OSError: when that cannot be told.
        """
        kept = self._kept.pop(path, None)
        if kept is None:
            return b""
        data, version, _ = kept
        self.size -= len(data)
        found = self._files.stat(path)
        is_same = version == (found.st_ino, found.st_mtime_ns) and len(data) == found.st_size
        return data if is_same else b""

    def discard(self, path: str) -> None:
        """Keep a file no longer."""
        kept = self._kept.pop(path, None)
        if kept is not None:
            self.size -= len(kept[0])
