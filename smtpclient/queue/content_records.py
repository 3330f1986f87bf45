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
_RUN = 256  # how many lines of one length are taken at once
_DOT = b"."[0]
_LINE_FEEDS, _CARRIAGE_RETURNS = bytearray(b"\n" * _RUN), bytearray(b"\r" * _RUN)
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

    :param ending: of each line: LF or CRLF.
    :param suspicious: whether there is LF among what is decoded, so that it is to be told where the data of a record
        holds it.
    :ivar open_line: the text so far ends inside a line.
    :ivar longest: no line is longer, bytes.
    :ivar has_dots: one of them may begin with a dot.
    :ivar has_parts: not all of them are whole, or in one record.
    :ivar has_line_feeds: the data of a record may hold LF, so that the text has more lines than there are records.
    """

    longest = SHORT
    has_dots = has_line_feeds = False

    def __init__(self, ending: bytes = b"\n", open_line: bool = False, suspicious: bool = False) -> None:
        self.ending = ending
        self.open_line = self.has_parts = open_line
        self._suspicious = suspicious

    def decode(self, data: bytes, at: int, base: int) -> tuple[bytes, int]:
        """
        The text of the line records that start at an index.

        :param base: the offset in the file of the first byte of ``data``, for complaints.
        :return: the text, and the index of the first record that is no line or not complete in ``data``.
        :raises MalformedRecord: when a record claims an impossible length.
        """
        text: list[bytes | bytearray] = []
        while data[at : at + 1] in _LINES:
            lines, at, length = self._short_lines(data, at)
            if lines:
                self.open_line = False
                lines.append(b"")
                joined = self.ending.join(lines)
                if joined[0] == _DOT or joined.find(b"\n.") >= 0:
                    self.has_dots = True
                # In CRLF a LF inside a record could not be told from one of ours afterwards.
                if self._suspicious and joined.count(b"\n") >= len(lines):
                    self.has_line_feeds = True
                text.append(joined)
            if length >= 0:
                # Base64, mostly: ten times quicker than line by line.
                block, at = self._equal_lines(data, at, length)
                text.append(block)
            elif not lines:
                try:
                    kind, start, end = record.parse_header(data, at, base)
                except record.Incomplete:
                    break
                if end > len(data):
                    break
                text.append(self._record(kind, data[start:end]))
                at = end
        return b"".join(text), at

    def _record(self, kind: int, line: bytes) -> bytes:
        """The text of a record that had to be looked at alone; what is to be known of it is noted."""
        self.open_line = kind == LINE_PART
        self.longest = max(self.longest, len(line))
        self.has_parts = self.has_parts or self.open_line
        self.has_dots = self.has_dots or line.startswith(b".")
        self.has_line_feeds = self.has_line_feeds or b"\n" in line
        return line if self.open_line else line + self.ending

    def _short_lines(self, data: bytes, at: int) -> tuple[list[bytes], int, int]:
        """
        Take the run of whole lines below 16 KiB at an index; what stops it is left to the caller.

        :return: the lines, the index behind them, and the length of lines that are all equally long from there on; -1:
            something else.
        """
        lines: list[bytes] = []
        append = lines.append
        before = -1
        try:
            while data[at] == LINE:
                length = data[at + 1]
                # As long as the one before it, and as the one after next.
                if length == before and length < 0x80 and data[at + 2 * length + 5] == length:
                    return lines, at, length
                before = length
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
                at = start - (2 if before <= 0x7F else 3)
        return lines, at, -1

    def _equal_lines(self, data: bytes, at: int, length: int) -> tuple[bytearray, int]:
        """
        Take lines of one length, a header of two bytes before each: what stands between two lines becomes the ending in
        one go.

        :param length: of the line at the index, which is whole; below 128.
        :return: the lines with their endings, and the index behind the last.
        """
        stride = length + 2
        count = min((len(data) - at) // stride, _RUN)
        end = at + count * stride
        # Only up to the first header that differs are these headers at all.
        kinds, lengths = data[at:end:stride].lstrip(b"N"), data[at + 1 : end : stride].lstrip(data[at + 1 : at + 2])
        if kinds or lengths:
            count -= max(len(kinds), len(lengths))
            end = at + count * stride
        if _DOT in data[at + 2 : end : stride]:
            self.has_dots = True
        # Behind the last line, too, there is a header to be overwritten, or the end of the block.
        text = bytearray(data[at + 2 : end + 2])
        if end + 2 > len(data):
            text += bytes(end + 2 - len(data))
        if self._suspicious and text.find(b"\n", 0, -2) >= 0:
            self.has_line_feeds = True
        text[length + 1 :: stride] = _LINE_FEEDS[:count]
        if len(self.ending) == 2:
            text[length::stride] = _CARRIAGE_RETURNS[:count]
        else:
            del text[length::stride]
        return text, end
