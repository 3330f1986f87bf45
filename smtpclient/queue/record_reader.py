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
    :ivar offset: where the record last read starts.
    :ivar position: where the next one is looked for; may be set.
    :ivar size: how long the file was when reading began.
    """

    def __init__(self, files: Files, fd: int, size: int) -> None:
        self._files = files
        self._fd = fd
        self.size = size
        self.offset = 0
        self.position = 0
        self._base = 0
        self._window = b""
        self._passed = 0

    def next(self) -> tuple[int, bytes]:
        """
        The next record that is no pointer: its type and its data.

        :raises MalformedRecord: when there is none, or pointers go round in circles.
        :raises OSError: when the file cannot be read.
        """
        kind, data = self._record()
        while kind == record.POINTER:
            self._follow(data)
            kind, data = self._record()
        return kind, data

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
                self._advance(end)
            else:
                return

    def stands_at(self, position: int, kind: int) -> bool:
        """
        Whether an empty record of a type stands at a position; the reader stays where it is.

        :raises OSError: when the file cannot be read.
        """
        at = position - self._base
        if not 0 <= at <= len(self._window) - 2:
            if not 0 <= position <= self.size - 2:
                return False
            self._load(WINDOW, position)
            at = 0
        return self._window[at : at + 2] == bytes((kind, 0))

    def _follow(self, data: bytes) -> None:
        target = pointer_target(data, self.offset, self.size)
        if target:
            self.position = target

    def _record(self) -> tuple[int, bytes]:
        kind, start, end = self._header()
        if end > len(self._window):
            self._load(self._base + end - self.position, self.position)
            kind, start, end = self._header()
            if end > len(self._window):
                raise MalformedRecord(self.position, f"the file ends inside a record of type {record.name(kind)}")
        self._advance(end)
        return kind, self._window[start:end]

    def _header(self) -> tuple[int, int, int]:
        """Type, start and end of the record at the position, as indexes of the window."""
        at = self.position - self._base
        if at >= 0:
            try:
                return record.parse_header(self._window, at, self._base)
            except record.Incomplete:
                pass
        self._load(WINDOW, self.position)
        try:
            return record.parse_header(self._window, 0, self._base)
        except record.Incomplete:
            raise MalformedRecord(self.position, "the file ends where another record should be") from None

    def _load(self, size: int, position: int) -> None:
        self._window = self._files.pread(self._fd, max(size, WINDOW), position)
        self._base = position

    def _advance(self, end: int) -> None:
        self.offset = self.position
        self.position = self._base + end
        self._passed += self.position - self.offset
        if self._passed > self.size:
            raise MalformedRecord(self.offset, "more records than the file holds: it was cut, or its pointers go round")
