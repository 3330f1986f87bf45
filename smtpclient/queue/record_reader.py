"""
The records of an open queue file, one after the other, pointers followed.

The file is read in windows, so that a message of any size costs a few kilobytes of memory. The first is handed in by
who opened the file; a small message's queue file is all in there.

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
    :param size: how long the file is, bytes.
    :param window: what has been read of it, from its beginning.
    :ivar window: bytes that have been read.
    :ivar base: their offset in the file.
    :ivar at: the index in them of the next record.
    """

    base = 0
    at = 0
    _last = 0  # index of the record last read
    _run_start = 0  # offset where reading went on after the last pointer
    _passed = 0  # bytes, up to the last pointer

    def __init__(self, files: Files, fd: int, size: int, window: bytes) -> None:
        self._files = files
        self._fd = fd
        self._size = size
        self.window = window

    @property
    def offset(self) -> int:
        """Where the record last read starts."""
        return self.base + self._last

    @property
    def position(self) -> int:
        """Where the next record is looked for."""
        return self.base + self.at

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

    def seek(self, position: int) -> None:
        """Go on elsewhere, as if the records between had been read."""
        if 0 <= position - self.base <= len(self.window):
            self.at = position - self.base
        else:
            self.window, self.base, self.at = b"", position, 0

    def passes(self, position: int, empty: bytes) -> bool:
        """
        Go behind the record at a position, if that is the one expected; if not, the reader stays where it is.

        :param empty: the record expected, which is an empty one: two bytes.
        :raises OSError: when the file cannot be read.
        """
        at = position - self.base
        if at < 0 or not self.window.startswith(empty, at):
            if 0 <= at <= len(self.window) - 2:
                return False
            found = self._read(position, WINDOW)
            if not found.startswith(empty):
                return False
            self.window, self.base, at = found, position, 0
        self._last = at
        self.at = at + 2
        return True

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
                if self.base + end > self._size:
                    raise MalformedRecord(self.position, f"the file ends inside a record of type {record.name(kind)}")
                self._last = self.at
                self.seek(self.base + end)
            else:
                return

    def _follow(self, data: bytes) -> None:
        target = pointer_target(data, self.offset, self._size)
        if target:
            self._passed += self.position - self._run_start
            if self._passed > self._size:
                raise MalformedRecord(self.offset, "the pointers go round in circles")
            self._run_start = target
            self.seek(target)

    def _record(self) -> tuple[int, bytes]:
        kind, start, end = self._header()
        if end > len(self.window):
            self._load(end - self.at)
            kind, start, end = self._header()
            if end > len(self.window):
                raise MalformedRecord(self.position, f"the file ends inside a record of type {record.name(kind)}")
        self._last = self.at
        self.at = end
        return kind, self.window[start:end]

    def _header(self) -> tuple[int, int, int]:
        """Type, start and end of the next record, as indexes of the window."""
        try:
            return record.parse_header(self.window, self.at, self.base)
        except record.Incomplete:
            self._load(WINDOW)
        try:
            return record.parse_header(self.window, self.at, self.base)
        except record.Incomplete:
            raise MalformedRecord(self.position, "the file ends where another record should be") from None

    def _load(self, size: int) -> None:
        """Read the window anew, from the next record on."""
        position = self.position
        self.window = self._read(position, max(size, WINDOW))
        self._last += self.base - position
        self.base = position
        self.at = 0

    def _read(self, position: int, size: int) -> bytes:
        """Read as much, or to the end of the file; that is not looked for beyond where it should be."""
        return self._files.pread(self._fd, min(size, max(self._size - position, 0)), position)
