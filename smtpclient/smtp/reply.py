"""
Server replies: bytes in, :class:`Reply` values out. No sockets, no clock.

A reply is one or more lines of three digits, then ``-`` (more follows) or a blank or the end of the line
(RFC 5321 section 4.2). :class:`ReplyParser` takes bytes as they arrive, in pieces of any size, and gives back the
replies that are complete.

Promises:

* a line that does not begin so is not part of the dialogue. It is kept in the text for the operator, counted in
  ``Reply.garbage``, and reading goes on: that is what Postfix does, and with pipelining nothing else keeps
  replies and commands in step;
* memory is bounded whatever the server sends: a line is cut at ``LINE_LIMIT``, the text of a reply at
  ``TEXT_LIMIT``, and a reply that goes on beyond ``REPLY_LIMIT`` bytes raises :class:`ReplyTooLong`;
* codes are digits ``0`` to ``9`` only; what is no digit in ASCII is garbage.

Does not: judge. Whether a code was wanted is for ``smtpclient.smtp.verdict``.
"""

import re
from dataclasses import dataclass

LINE_LIMIT = 2048
TEXT_LIMIT = 32 * 1024
REPLY_LIMIT = 1024 * 1024

_ENHANCED = re.compile(r" *([245]\.\d{1,3}\.\d{1,3})(?![\d.])")


class ReplyTooLong(Exception):
    """The server's reply goes on for more than a client should listen to."""


@dataclass(frozen=True, slots=True)
class Reply:
    """
    One whole reply.

    :param code: three digits; those of the last line decide.
    :param text: all lines with their codes, joined by line feeds; what is not UTF-8 survives a round trip.
    :param garbage: how many lines in it were no reply lines.
    """

    code: int
    text: str
    garbage: int = 0

    @property
    def category(self) -> int:
        """The first digit of the code."""
        return self.code // 100

    @property
    def one_line(self) -> str:
        """The text for logs and reports."""
        return self.text.replace("\n", " ") if "\n" in self.text else self.text

    @property
    def last_line(self) -> str:
        """The line that ended the reply."""
        return self.text.rpartition("\n")[2]

    @property
    def enhanced(self) -> str:
        """
        The enhanced status code (RFC 2034), ``2.1.5``; or the code's class and ``.0.0``; or nothing.

        One whose class is not that of the reply code is out of protocol and counts as none. A code that is
        neither 2xx, 4xx nor 5xx has no class that a status could have.
        """
        first = self.last_line[:1]
        if first not in ("2", "4", "5"):
            return ""
        found = _ENHANCED.match(self.last_line, 3)
        if found and found[1][0] == first:
            return found[1]
        return first + ".0.0"


class ReplyParser:
    """Turns the byte stream of one session into replies."""

    __slots__ = ("_buffer", "_garbage", "_lines", "_seen", "_text_size")

    def __init__(self) -> None:
        self._buffer = b""
        self._begin()

    def _begin(self) -> None:
        self._lines: list[bytes] = []
        self._text_size = 0
        self._seen = 0
        self._garbage = 0

    @property
    def idle(self) -> bool:
        """Whether nothing of a next reply has arrived."""
        return not self._buffer and not self._seen

    def feed(self, data: bytes) -> tuple[list[Reply], int]:
        """
        Take what arrived.

        :return: the replies that it completed, and how many lines ended in it.
        :raises ReplyTooLong: when one reply exceeds ``REPLY_LIMIT``.
        """
        replies: list[Reply] = []
        *lines, rest = (self._buffer + data).split(b"\n")
        for line in lines:
            self._seen += len(line) + 1
            reply = self._line(line.rstrip(b"\r")[:LINE_LIMIT])
            if reply is not None:
                replies.append(reply)
                self._begin()
            elif self._seen > REPLY_LIMIT:
                raise ReplyTooLong
        if len(rest) > LINE_LIMIT:
            # What is cut off here will not be seen again when the line ends: count it now.
            self._seen += len(rest) - LINE_LIMIT
            rest = rest[:LINE_LIMIT]
            if self._seen > REPLY_LIMIT:
                raise ReplyTooLong
        self._buffer = rest
        return replies, len(lines)

    def _line(self, line: bytes) -> Reply | None:
        """Take one whole line; give the reply that it ends, if it does."""
        kept = self._text_size < TEXT_LIMIT
        if kept:
            self._lines.append(line)
            self._text_size += len(line) + 1
        mark = line[3:4]
        if len(line) < 3 or not line[:3].isdigit() or mark not in (b"", b" ", b"-"):
            self._garbage += 1
            return None
        if mark == b"-":
            return None
        if not kept:
            self._lines.append(line)  # the line that decides is kept even where the text before it was cut
        text = b"\n".join(self._lines).decode("utf-8", "surrogateescape")
        return Reply(int(line[:3]), text, self._garbage)
