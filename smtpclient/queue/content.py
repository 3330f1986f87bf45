"""
The content of a queued message, read from its queue file.

:class:`SpoolContent` is what a delivery request carries; each ``open()`` is a reading of its own, with a file
descriptor and a shared lock of its own, so that another queue manager does not take the file meanwhile. A file that is
still in memory since its envelope was read (``small_files``) is not opened. Lines end in LF; a line feed inside a
record's data is a line end like any other.

Promises: memory is bounded by :data:`BLOCK`, whatever the size of the message; a message below that size is read with
one system call in the calling thread, a larger one block by block in threads; a reading ends, also where pointers go
round in circles.

Does not: turn text into what goes over the wire (``smtpclient.smtp.content``).
"""

from zope.interface import implementer

from smtpclient.interfaces import ILineReader, IMessageContent
from smtpclient.mail.lines import Lines
from smtpclient.queue import record
from smtpclient.queue.content_records import LineDecoder
from smtpclient.queue.files import Files
from smtpclient.queue.record import CorruptQueueFile, MalformedRecord
from smtpclient.queue.record_reader import pointer_target
from smtpclient.queue.small_files import SmallFiles

BLOCK = 256 * 1024

_END = record.encode(record.EXTRACTED)
_LF = b"\n"[0]
_SMALLEST_BLOCK = 4096
_TAIL = 256  # what follows the content of an ordinary file: end of content, end of file


@implementer(IMessageContent)
class SpoolContent:
    """
    The content of one queue file.

    :param path: the queue file.
    :param offset: where the first content record stands.
    :param length: bytes from there to the end-of-content record, as far as known; 0: unknown. Only a hint for the size
        of the first read.
    :param small_files: files that need not be opened; None: there are none.
    """

    def __init__(
        self, files: Files, path: str, offset: int, length: int = 0, small_files: SmallFiles | None = None
    ) -> None:
        self._files = files
        self._path = path
        self._offset = offset
        self._length = length
        self._small_files = small_files

    def open(self) -> "SpoolContentReader":
        """
        Start reading at the first line of the header.

        The first time, what is in memory may do; every time, the file must still be there.

        :raises FileNotFoundError: when the file has been moved or removed since.
        :raises BlockingIOError: when someone else has locked the file.
        :raises OSError: when it cannot be opened.
        """
        kept = self._small_files.take(self._path) if self._small_files is not None else b""
        if kept:
            return SpoolContentReader(self._files, -1, self._path, self._offset, _SMALLEST_BLOCK, kept)
        fd = self._files.open(self._path)
        try:
            self._files.flock(fd, exclusive=False)
            length = self._length or max(self._files.fstat(fd).st_size - self._offset, 1)
        except BaseException:
            self._files.close(fd)
            raise
        block = max(_SMALLEST_BLOCK, min(length + _TAIL, BLOCK))
        return SpoolContentReader(self._files, fd, self._path, self._offset, block)


@implementer(ILineReader)
class SpoolContentReader:
    """
    One reading of a queue file's content.

    :param fd: the open file; closed by :meth:`close`.
    :param offset: where the first content record stands.
    :param block: how much to read at once, bytes.
    :param kept: all that is in the file, if it need not be read any more; there is no open file then.
    :ivar at_end: nothing will come any more.
    """

    at_end = False
    _open_line = False  # the text so far ends inside a line
    _last = False  # the block last read goes to the end of the file
    _passed = 0  # bytes, up to the last pointer

    def __init__(self, files: Files, fd: int, path: str, offset: int, block: int, kept: bytes = b"") -> None:
        self._files = files
        self._fd = fd
        self._path = path
        self._position = self._run_start = offset  # of the next read; of where reading went on after a pointer
        self._block = block
        self._kept = kept

    async def next_block(self) -> bytes:
        """
        The next bytes of the content, or nothing at its end.

        :raises CorruptQueueFile: when the records cannot be read.
        :raises OSError: when the file cannot be read, or has been closed.
        """
        while not self.at_end:
            data, base = (self._kept, 0) if self._kept else await self._read()
            text = self._text(data, base, LineDecoder(b"\n", self._open_line))
            if text:
                return text
        return b""

    async def next_lines(self) -> Lines | bytes:
        """
        The same as lines for the wire, where that is what the block holds.

        :raises CorruptQueueFile: when the records cannot be read.
        :raises OSError: when the file cannot be read, or has been closed.
        """
        while not self.at_end:
            data, base = (self._kept, 0) if self._kept else await self._read()
            # Most have no LF at all, and that is told in no time.
            suspicious = _LF in data
            if suspicious:
                before = self._open_line, self._position, self._block, self._run_start, self._passed
            decoder = LineDecoder(b"\r\n", self._open_line, suspicious)
            text = self._text(data, base, decoder)
            if decoder.has_line_feeds:
                self._open_line, self._position, self._block, self._run_start, self._passed = before
                self.at_end = False
                text = self._text(data, base, LineDecoder(b"\n", self._open_line))
            elif text:
                lines = Lines(text, decoder.longest, decoder.has_dots)
                return lines.text if decoder.has_parts else lines
            if text:
                return text
        return b""

    async def _read(self) -> tuple[bytes, int]:
        """
        The next block of the file, and its offset there.

        :raises OSError: when it cannot be read.
        """
        size, base = self._block, self._position
        if size < BLOCK:
            data = self._files.pread(self._fd, size, base)
        else:
            data = await self._files.run_in_thread(self._files.pread, self._fd, size, base)
        self._block = min(2 * size, BLOCK)
        self._last = len(data) < size
        return data, base

    def close(self) -> None:
        """Give back the file; more calls do no harm."""
        self._kept = b""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            self._files.close(fd)

    def _text(self, data: bytes, base: int, decoder: LineDecoder) -> bytes:
        """
        The text of a block as far as it goes; leaves the position where the next block has to start.

        :param base: where the block stands in the file; all of the file that is in memory is one block.
        :raises CorruptQueueFile: when the records cannot be read.
        """
        try:
            text, at = decoder.decode(data, self._position - base, base)
            if data[at : at + len(_END)] == _END:
                self.at_end = True
            else:
                text += self._behind_other_records(data, at, base, decoder)
        except MalformedRecord as error:
            raise CorruptQueueFile(self._path, error.offset, error.why) from error
        self._open_line = decoder.open_line
        return text + decoder.ending if self.at_end and self._open_line else text

    def _behind_other_records(self, data: bytes, at: int, base: int, decoder: LineDecoder) -> bytes:
        """
        The text of a block from an index on where there is none.

        :raises MalformedRecord: when the records make no sense.
        """
        parts: list[bytes] = []
        while not self.at_end:
            at = self._pass(data, at, base)
            if not 0 <= at <= len(data):
                break
            text, at = decoder.decode(data, at, base)
            parts.append(text)
            self.at_end = data.startswith(_END, at)
        return b"".join(parts)

    def _pass(self, data: bytes, at: int, base: int) -> int:
        """
        Deal with a record that holds no text, or goes on behind the block.

        :return: the index where the content goes on; outside of the block where none of this block is left to be read.
        :raises MalformedRecord: when it cannot be there, or the file ends with it.
        """
        outside = len(data) + 1
        try:
            kind, start, end = record.parse_header(data, at, base)
        except record.Incomplete:
            end = outside
        if end > len(data):
            if self._last or self._kept:
                raise MalformedRecord(base + at, "the file ends inside the content")
            # Read again from there, and enough.
            self._position = base + at
            self._block = max(self._block, end - at)
            return outside
        if kind == record.EXTRACTED:
            if start != end:
                raise MalformedRecord(base + at, f"an end of content that holds {end - start} bytes")
            self.at_end = True
            return outside
        self._position = self._beside_the_text(kind, data[start:end], base + at, base + end)
        return self._position - base

    def _beside_the_text(self, kind: int, data: bytes, offset: int, behind: int) -> int:
        """Deal with a record that holds no text: the offset where the content goes on."""
        if kind == record.PADDING:
            return behind
        if kind != record.POINTER:
            raise MalformedRecord(offset, f"a record of type {record.name(kind)} in the content")
        size = len(self._kept) or self._files.fstat(self._fd).st_size
        target = pointer_target(data, offset, size) or behind
        self._passed += behind - self._run_start
        self._run_start = target
        if self._passed > size:
            raise MalformedRecord(offset, "the pointers go round in circles")
        return target
