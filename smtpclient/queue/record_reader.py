"""
The records of an open queue file, one after the other, pointers followed.

The file is read in windows, so that a message of any size costs a few kilobytes of memory. What a small message's
queue file holds comes with one read.

Promises: only :class:`MalformedRecord` for what is wrong with the bytes and :class:`OSError` for what is wrong with the
disk; an end to every reading. In a sound queue file no record is met twice, so a reader that has passed more bytes
than the file holds is in a loop of pointers.

Does not: judge which record may follow which (``queuefile``).
"""

import re

from smtpclient.queue import record
from smtpclient.queue.files import Files
from smtpclient.queue.record import MalformedRecord

WINDOW = 16384

_POINTER = re.compile(rb" *([0-9]{1,18}) *")


def pointer_target(data: bytes, offset: int, size: int) -> int:
    """
    Where a pointer record says to go on; 0: right behind it.

    :param offset: where the record stands, for the complaint.
    :param size: how long the file is.
    :raises MalformedRecord: when it points nowhere.
    """
    found = _POINTER.fullmatch(data)
    if found is None:
        raise MalformedRecord(offset, f"a pointer that is not a number: {data[:40]!r}")
    target = int(found[1])
    if target >= size:
        raise MalformedRecord(offset, f"a pointer to {target}, behind the end of the file at {size}")
    return target


class RecordReader:
    """
    A reader that stands at the first record.

    :param fd: the open file; closing it is left to who opened it.
    :raises OSError: when the file cannot be read.
    :ivar size: how long the file was when reading began.
    """

    def __init__(self, files: Files, fd: int, size: int) -> None:
        self._files = files
        self._fd = fd
        self.size = size
        self._window = files.pread(fd, WINDOW, 0)
        self._base = 0
        self._at = 0  # index in the window of the next record
        self._last = 0  # and of the one last read
        self._run_start = 0  # offset where reading went on after the last pointer
        self._passed = 0

    @property
    def offset(self) -> int:
        """Where the record last read starts."""
        return self._base + self._last

    @property
    def position(self) -> int:
        """Where the next record is looked for."""
        return self._base + self._at

    def next(self) -> tuple[int, bytes]:
        """
        The next record that is no pointer: its type and its data.

        :raises MalformedRecord: when there is none, or pointers go round in circles.
        :raises OSError: when the file cannot be read.
        """
        window, at = self._window, self._at
        if at + 2 <= len(window):
            kind, length = window[at], window[at + 1]
            end = at + 2 + length
            if length < 0x80 and end <= len(window) and kind != record.POINTER:
                self._last, self._at = at, end
                return kind, window[at + 2 : end]
        kind, data = self._record()
        while kind == record.POINTER:
            self._follow(data)
            kind, data = self._record()
        return kind, data

    @property
    def at_hand(self) -> tuple[bytes, int, int]:
        """Bytes that have been read, their offset in the file, and the index in them of the next record."""
        return self._window, self._base, self._at

    def seek(self, position: int) -> None:
        """Go on elsewhere, as if the records between had been read."""
        if 0 <= position - self._base <= len(self._window):
            self._at = position - self._base
        else:
            self._window, self._base, self._at = b"", position, 0

    def stands_at(self, position: int, kind: int) -> bool:
        """
        Whether an empty record of a type stands at a position; the reader stays where it is.

        :raises OSError: when the file cannot be read.
        """
        at = position - self._base
        if 0 <= at <= len(self._window) - 2:
            found = self._window[at : at + 2]
        else:
            found = self._files.pread(self._fd, 2, position)
        return found == bytes((kind, 0))

    def skip_lines(self) -> None:
        """
        Pass content records without looking at what they hold, up to the first record of another kind.

        :raises MalformedRecord: as :meth:`next`.
        :raises OSError: when the file cannot be read.
        """
        while True:
            kind, _start, end = self._header()
            if kind == record.POINTER:
                self._follow(self._record()[1])
            elif kind in (record.LINE, record.LINE_PART, record.PADDING):
                if self._base + end > self.size:
                    raise MalformedRecord(self.position, f"the file ends inside a record of type {record.name(kind)}")
                self._last = self._at
                self.seek(self._base + end)
            else:
                return

    def _follow(self, data: bytes) -> None:
        target = pointer_target(data, self.offset, self.size)
        if target:
            self._passed += self.position - self._run_start
            if self._passed > self.size:
                raise MalformedRecord(self.offset, "the pointers go round in circles")
            self._run_start = target
            self.seek(target)

    def _record(self) -> tuple[int, bytes]:
        kind, start, end = self._header()
        if end > len(self._window):
            self._load(end - self._at)
            kind, start, end = self._header()
            if end > len(self._window):
                raise MalformedRecord(self.position, f"the file ends inside a record of type {record.name(kind)}")
        self._last = self._at
        self._at = end
        return kind, self._window[start:end]

    def _header(self) -> tuple[int, int, int]:
        """Type, start and end of the next record, as indexes of the window."""
        try:
            return record.parse_header(self._window, self._at, self._base)
        except record.Incomplete:
            self._load(WINDOW)
        try:
            return record.parse_header(self._window, self._at, self._base)
        except record.Incomplete:
            raise MalformedRecord(self.position, "the file ends where another record should be") from None

    def _load(self, size: int) -> None:
        """Read the window anew, from the next record on."""
        position = self.position
        self._window = self._files.pread(self._fd, max(size, WINDOW), position)
        self._last += self._base - position
        self._base = position
        self._at = 0
