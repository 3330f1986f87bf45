"""
Message content on the wire: CRLF line ends, dots stuffed, long lines folded.

A :class:`WireEncoder` takes the content in blocks cut anywhere (lines end in LF), or as whole lines of which it is
known what they hold, and gives the bytes to send after the 354. It keeps the little state that a cut needs, so that a
dot at a block's edge can never end a message early: whoever could choose where the blocks are cut could otherwise
smuggle a second message in.

Rules:

* every LF becomes CRLF, and nothing else ends a line: a CR inside the text is sent as it is;
* a line that begins with a dot gets another one (RFC 5321 section 4.5.2);
* a line of more than ``line_limit`` bytes is broken by CRLF and a blank, as Postfix's
  ``smtp_line_length_limit`` does; the blank keeps a folded header a header, and a broken-off dot off the line's
  start. With 0 lines are sent as they are;
* the end is ``.`` on a line of its own, after the line end that the last line may lack.

Does not: clean. A CR that stands alone in the content goes out alone; whoever takes a message in
(``smtpclient.queue.intake``) decides whether it may hold one.
"""

import sys

from smtpclient.mail.lines import Lines

END = b".\r\n"


class WireEncoder:
    """
    Encodes one message.

    :param line_limit: the longest line to send, in bytes without line end and stuffed dot; 0: no limit. A limit of 1
        counts as 2: the blank of a folded line has to leave room for something.
    :param dots: stuff dots and end with one, as DATA needs it; BDAT does not.
    """

    __slots__ = ("_column", "_dots", "_limit")

    def __init__(self, line_limit: int = 998, *, dots: bool = True) -> None:
        self._dots = dots
        self._limit = line_limit if line_limit > 1 else 2 if line_limit else sys.maxsize
        self._column = 0  # bytes of the current line that have been sent already

    def feed(self, text: bytes | Lines) -> bytes:
        """Encode a block; a line may go on in the next one."""
        if isinstance(text, Lines):
            if text.longest <= self._limit and not self._column:
                return _stuffed(text.data) if text.has_dots and self._dots else text.data
            text = text.text
        if not text:
            return b""
        if self._has_long_line(text):
            return self._fold(text)
        stuffed = self._dots and self._column == 0 and text.startswith(b".")
        cut = text.rfind(b"\n")
        self._column = len(text) - cut - 1 if cut >= 0 else self._column + len(text)
        if self._dots:
            text = text.replace(b"\n.", b"\n..")
        wire = text.replace(b"\n", b"\r\n")
        return b"." + wire if stuffed else wire

    def finish(self) -> bytes:
        """What ends the message."""
        end = END if self._dots else b""
        return b"\r\n" + end if self._column else end

    def _has_long_line(self, text: bytes) -> bool:
        """Whether a line exceeds the limit: one look per limit's worth of text, not one per line."""
        start, room = 0, self._limit - self._column
        while len(text) - start > room:
            end = text.rfind(b"\n", start, start + room + 1)
            if end < 0:
                return True
            start, room = end + 1, self._limit
        return False

    def _fold(self, text: bytes) -> bytes:
        """Encode a block that holds a line over the limit."""
        out = []
        *lines, rest = text.split(b"\n")
        for line in lines:
            out.append(self._fold_line(line) + b"\r\n")
            self._column = 0
        out.append(self._fold_line(rest))
        return b"".join(out)

    def _fold_line(self, line: bytes) -> bytes:
        """Encode a part of one line, without line end."""
        out = []
        if self._dots and self._column == 0 and line.startswith(b"."):
            out.append(b".")
        start, room = 0, self._limit - self._column
        while len(line) - start > room:
            out.append(line[start : start + room] + b"\r\n ")
            start += room
            room = self._limit - 1  # the blank
            self._column = 1
        out.append(line[start:])
        self._column += len(line) - start
        return b"".join(out)


def _stuffed(lines: bytes) -> bytes:
    """Whole lines with their dots stuffed."""
    stuffed = lines.replace(b"\r\n.", b"\r\n..")
    return b"." + stuffed if stuffed.startswith(b".") else stuffed
