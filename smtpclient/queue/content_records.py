"""
Lines of text as content records, and back: bytes to bytes, no files.

Text has lines that end in LF; on the wire (:class:`smtpclient.mail.lines.Lines`) they end in CRLF. A record of type
``N`` is a line, or the end of one; ``L`` is a part of a line with more to follow. What is longer than
:data:`smtpclient.queue.record.PIECE` is written in parts.

Promises: :class:`LineEncoder` and :class:`LineDecoder` give back each other's input, whatever bytes it holds, except
that a last line without LF comes back with one; both take their input in blocks that end anywhere and keep no more of
it than one piece.

This is the hottest loop of the queue: every line of every message passes through it twice.
"""

from smtpclient.queue import record
from smtpclient.queue.record import LENGTHS, LINE, LINE_PART, PIECE

SHORT = 0x7F
"""Lines up to this length, bytes, are not measured."""

_LINES = (b"N", b"L")  # the types of records that hold text
_LINE_HEADERS = tuple(b"N" + length for length in LENGTHS)


class LineEncoder:
    """Text in, records out."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, text: bytes) -> bytes:
        """The records of the lines that are now complete."""
        lines = (self._rest + text).split(b"\n")
        self._rest = lines.pop()
        try:
            records = b"".join([_LINE_HEADERS[len(line)] + line for line in lines])
        except IndexError:
            records = b"".join([self._parts(line) for line in lines])
        if len(self._rest) > PIECE:
            whole = len(self._rest) - len(self._rest) % PIECE
            records += b"".join([record.encode(LINE_PART, self._rest[i : i + PIECE]) for i in range(0, whole, PIECE)])
            self._rest = self._rest[whole:]
        return records

    def finish(self) -> bytes:
        """The record of a last line that had no LF, or nothing."""
        rest, self._rest = self._rest, b""
        return record.encode(LINE, rest) if rest else b""

    @staticmethod
    def _parts(line: bytes) -> bytes:
        parts = [record.encode(LINE_PART, line[i : i + PIECE]) for i in range(0, len(line) - PIECE, PIECE)]
        start = len(parts) * PIECE
        return b"".join(parts) + _LINE_HEADERS[len(line) - start] + line[start:]


class LineDecoder:
    """
    Records in, text out; or lines for the wire, with what is to be known of them.

    :ivar open_line: the text so far ends inside a line.
    :ivar ending: of each line: LF or CRLF.
    :ivar longest: of the lines since :meth:`begin` none is longer, bytes.
    :ivar has_dots: one of them may begin with a dot.
    :ivar has_parts: not all of them are whole, or in one record.
    :ivar has_line_feeds: the data of a record may hold LF, so that the text has more lines than there are records.
    """

    open_line = False
    ending = b"\n"
    longest = SHORT
    has_dots = has_parts = has_line_feeds = False
    _suspicious = True

    def begin(self, ending: bytes, suspicious: bool = True) -> None:
        """
        Go on in another way.

        :param ending: of each line from now on: LF or CRLF.
        :param suspicious: what is decoded from now on may hold LF.
        """
        self.ending = ending
        self._suspicious = suspicious
        self.longest = SHORT
        self.has_parts = self.open_line
        self.has_dots = self.has_line_feeds = False

    def decode(self, data: bytes, at: int, base: int) -> tuple[bytes, int]:
        """
        The text of the line records that start at an index.

        :param base: the offset in the file of the first byte of ``data``, for complaints.
        :return: the text, and the index of the first record that is no line or not complete in ``data``.
        :raises MalformedRecord: when a record claims an impossible length.
        """
        text: list[bytes | bytearray] = []
        while True:
            lines, at, length = self._short_lines(data, at)
            if lines:
                self.open_line = False
                text.append(self._joined(lines))
            if length >= 0:
                # Base64, mostly: ten times quicker than line by line.
                block, at = self._equal_lines(data, at, length)
                text.append(block)
                continue
            if data[at : at + 1] not in _LINES:
                break
            try:
                kind, start, end = record.parse_header(data, at, base)
            except record.Incomplete:
                break
            if end > len(data):
                break
            self.open_line = kind == LINE_PART
            line = data[start:end]
            self._note(line)
            text.append(line if self.open_line else line + self.ending)
            at = end
        return b"".join(text), at

    def _note(self, line: bytes) -> None:
        """What is to be known of a record that had to be looked at alone."""
        self.longest = max(self.longest, len(line))
        self.has_parts = self.has_parts or self.open_line
        self.has_dots = self.has_dots or line.startswith(b".")
        self.has_line_feeds = self.has_line_feeds or b"\n" in line

    def _short_lines(self, data: bytes, at: int) -> tuple[list[bytes], int, int]:
        """
        Take the run of whole lines below 16 KiB at an index; what stops it is left to the caller.

        :return: the lines, the index behind them, and the length of lines that are all equally long from there on; -1:
            something else.
        """
        lines: list[bytes] = []
        append = lines.append
        here = at
        before = -1
        try:
            while data[at] == LINE:
                length = data[at + 1]
                # As long as the one before it, and as the one after next.
                if length == before and length < 0x80 and data[at + 2 * length + 5] == length:
                    return lines, at, length
                before = length
                here = at
                start = at + 2
                if length > 0x7F:
                    high = data[start]
                    if high > 0x7F:
                        break
                    length += (high << 7) - 0x80
                    start += 1
                    self.longest = max(self.longest, length)
                at = start + length
                append(data[start:at])
        except IndexError:
            if at > len(data):  # the last slice was cut short by the end of the block
                lines.pop()
                at = here
        return lines, at, -1

    def _joined(self, lines: list[bytes]) -> bytes:
        """Lines as text."""
        ending = self.ending
        text = ending.join(lines) + ending
        if b"\n." in text or text.startswith(b"."):
            self.has_dots = True
        if self._suspicious and text.count(b"\n") > len(lines):
            self.has_line_feeds = True
        return text

    def _equal_lines(self, data: bytes, at: int, length: int) -> tuple[bytearray, int]:
        """
        Take lines of one length, a header of two bytes before each: what stands between two lines becomes the ending in
        one go.

        :param length: of the line at the index, which is whole; below 128.
        :return: the lines with their endings, and the index behind the last.
        """
        stride = length + 2
        same = _equal_headers(data, at, stride, length)
        end = at + same * stride
        text = bytearray(memoryview(data)[at + 2 : end])
        if b"." in data[at + 2 : end : stride]:
            self.has_dots = True
        # In CRLF a LF inside a record could not be told from one of ours afterwards.
        if self._suspicious and b"\n" in text:
            self.has_line_feeds = True
        text += b"\r\n"
        if len(self.ending) == 2:
            text[length::stride] = b"\r" * same
            text[length + 1 :: stride] = b"\n" * same
        else:
            text[length::stride] = b"\n" * same
            del text[length + 1 :: stride]
        return text, end


def _equal_headers(data: bytes, at: int, stride: int, length: int) -> int:
    """How many records of one length stand at an index, one behind the other, all of them whole lines."""
    limit = 32
    while True:
        limit *= 8
        count = min(limit, (len(data) - at) // stride)
        end = at + count * stride
        # Only up to the first header that differs are these headers at all.
        kinds, lengths = data[at:end:stride].lstrip(b"N"), data[at + 1 : end : stride].lstrip(bytes((length,)))
        same = count - max(len(kinds), len(lengths))
        if same < count or count < limit:
            return same
