"""
Message content on the wire: CRLF line ends, dots stuffed, long lines folded.

A :class:`WireEncoder` takes the content in blocks cut anywhere (lines end in LF) and gives the bytes to send after
the 354. It keeps the little state that a cut needs, so that a dot at a block's edge can never end a message early:
whoever could choose where the blocks are cut could otherwise smuggle a second message in.

Rules:

* every LF becomes CRLF, and nothing else ends a line: a CR inside the text is sent as it is;
* a line that begins with a dot gets another one (RFC 5321 section 4.5.2);
* a line of more than ``line_limit`` bytes is broken by CRLF and a blank, as Postfix's
  ``smtp_line_length_limit`` does; the blank keeps a folded header a header, and a broken-off dot off the line's
  start. With 0 lines are sent as they are;
* the end is ``.`` on a line of its own, after the line end that the last line may lack.
"""

import re

END = b".\r\n"


class WireEncoder:
    """
    Encodes one message.

    :param line_limit: the longest line to send, in bytes without line end and stuffed dot; 0: no limit.
    """

    __slots__ = ("_column", "_limit", "_long")

    def __init__(self, line_limit: int = 998) -> None:
        self._limit = line_limit
        self._column = 0  # bytes of the current line that have been sent already
        self._long = re.compile(rb"[^\n]{%d}" % (line_limit + 1)) if line_limit else None

    def feed(self, text: bytes) -> bytes:
        """Encode a block; a line may go on in the next one."""
        if not text:
            return b""
        if self._long and (self._column + len(text) > self._limit) and self._has_long_line(text):
            return self._fold(text)
        stuffed = text.startswith(b".") and self._column == 0
        cut = text.rfind(b"\n")
        self._column = len(text) - cut - 1 if cut >= 0 else self._column + len(text)
        wire = text.replace(b"\n.", b"\n..").replace(b"\n", b"\r\n")
        return b"." + wire if stuffed else wire

    def finish(self) -> bytes:
        """What ends the message."""
        return b"\r\n" + END if self._column else END

    def _has_long_line(self, text: bytes) -> bool:
        first = text.find(b"\n")
        if self._column + (first if first >= 0 else len(text)) > self._limit:
            return True
        return self._long is not None and self._long.search(text) is not None

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
        if self._column == 0 and line.startswith(b"."):
            out.append(b".")
        while self._column + len(line) > self._limit:
            room = self._limit - self._column
            out.append(line[:room] + b"\r\n ")
            line = line[room:]
            self._column = 1  # the blank
        out.append(line)
        self._column += len(line)
        return b"".join(out)
