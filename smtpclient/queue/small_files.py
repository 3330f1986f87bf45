"""
Small queue files in memory, from when the envelope is read until the content is.

What is read of a queue file for its envelope is, of a small message, the whole file. Kept until the content is sent, it
saves opening, locking, reading and closing the file a second time, for one look at it (stat).

Promises: what is kept of a file is given out once, and only while the file lies where it was read, as it was read: the
same inode, as long as it was, not written to since. So a message that was removed or put on hold meanwhile is missed as
it would be by opening it, and one that was changed is read anew. No more than :data:`ROOM` bytes of files are kept.

Does not: lock. The shared lock under which content is read from the disk keeps away who would read the file's envelope
at that time, another queue manager. Beside us there is none, for whoever reads envelopes holds the lock of the whole
directory (``instance_lock``); and who takes the directory over when we have died finds that nothing is sent by us any
more. That is not so of workers, which may outlive the service by a moment: they have read no envelope, so nothing is
kept for them, and they open and lock the files.

Known limits: while there is no room, what is read is not kept; but what is still here after :data:`PATIENCE` others
were turned away makes room, so that messages for slow destinations do not shut out all others. With workers the service
keeps what only its reports ask for.
"""

import os

from smtpclient.queue.files import Files

ROOM = 16 * 1024 * 1024
"""
How many bytes are kept: what sixty-four deliveries of large messages have in memory.

Messages are claimed about twice as fast as they are sent: of 4,000 that came at once, 2,800 were active at a time. This
is room for 3,600 of 4 KB.
"""

PATIENCE = 10_000
"""How many other files are turned away until one that is kept has to make room."""

_Version = tuple[int, int, int]  # inode, size in bytes, time of the last change in nanoseconds


class SmallFiles:
    """
    The bytes of some files.

    :param room: how many bytes may be kept.
    :ivar size: how many bytes are kept.
    """

    def __init__(self, files: Files, room: int = ROOM) -> None:
        self._files = files
        self._room = room
        self._kept: dict[str, tuple[bytes, _Version, int]] = {}
        self._turned_away = 0  # files, so far
        self.size = 0

    def keep(self, path: str, found: os.stat_result, data: bytes) -> None:
        """
        Keep a file, if there is room.

        :param found: what the system said of it when it was opened.
        :param data: all that is in it.
        """
        if path in self._kept:  # it is read again
            self.discard(path)
        size = self.size + len(data)
        if size > self._room:
            if not self._make_room(len(data)):
                return
            size = self.size + len(data)
        self._kept[path] = data, (found.st_ino, found.st_size, found.st_mtime_ns), self._turned_away
        self.size = size

    def _make_room(self, size: int) -> bool:
        """Discard what has been here too long, as far as a file of so many bytes needs its room; false: it stays."""
        if size > self._room:
            return False
        while self.size + size > self._room:
            oldest = next(iter(self._kept))
            if self._turned_away - self._kept[oldest][2] < PATIENCE:
                self._turned_away += 1
                return False
            self.discard(oldest)
        return True

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
        return data if version == (found.st_ino, found.st_size, found.st_mtime_ns) else b""

    def discard(self, path: str) -> None:
        """Keep a file no longer."""
        kept = self._kept.pop(path, None)
        if kept is not None:
            self.size -= len(kept[0])
