"""
Server replies: bytes in, :class:`Reply` values out. No sockets, no clock.

A reply is one or more lines of three digits, then ``-`` (more follows) or a blank or the end of the line
(RFC 5321 section 4.2). :class:`ReplyParser` takes bytes as they arrive, in pieces of any size, and gives back the
replies that are complete.

Promises:

* however the bytes are cut, the replies are the same;
* a line that does not begin so is not part of the dialogue. It is kept in the text for the operator, counted in
  ``Reply.garbage``, and reading goes on: that is what Postfix does, and with pipelining nothing else keeps
  replies and commands in step;
* memory is bounded whatever the server sends: a line is cut at ``LINE_LIMIT``, the text of a reply at
  ``TEXT_LIMIT``, and a reply that goes on beyond ``REPLY_LIMIT`` bytes raises :class:`ReplyTooLong`;
* codes are digits ``0`` to ``9`` only; control characters in the text, and what is not UTF-8, become ``?`` (a TAB, a
  blank): no server can forge a line of a log or a report.

Does not: judge. Whether a code was wanted is for ``smtpclient.smtp.verdict``.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

from smtpclient.observe.maillog import printable

LINE_LIMIT = 2048
TEXT_LIMIT = 32 * 1024
REPLY_LIMIT = 1024 * 1024
SHORT = 512  # bytes; what arrives in longer pieces is not worth remembering
# What a line counts at least towards the limit, for each costs time however short it is.
LINE_COST = 100

_LINE = re.compile(r"^[0-9]{3}(?:[ -](.*))?$", re.M)
# A reply all of whose lines are reply lines and end as they should: all others are read line by line.
_PLAIN_REPLY = re.compile(rb"(?:[0-9]{3}-[^\r\n]*\r\n)*([0-9]{3})(?: [^\r\n]*)?\r\n")
# The class of the code, and a status of the same class behind the code.
_ENHANCED = re.compile(r"([245])[0-9]{2}(?: *(\1\.[0-9]{1,3}\.[0-9]{1,3})(?!\S))?")


class Reply(NamedTuple):
    """
    One whole reply.

    :param code: three digits; those of the last line decide.
    :param text: all lines with their codes, joined by line feeds; printable but for these.
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
        return self.text.replace("\n", " ")

    @property
    def last_line(self) -> str:
        """The line that ended the reply."""
        return self.text.rpartition("\n")[2]

    @property
    def lines(self) -> list[str]:
        """What stands behind the code on each line; garbage is left out."""
        return _LINE.findall(self.text)

    @property
    def enhanced(self) -> str:
        """
        The enhanced status code (RFC 2034), ``2.1.5``; or the code's class and ``.0.0``; or nothing.

        One whose class is not that of the reply code is out of protocol and counts as none. A code that is
        neither 2xx, 4xx nor 5xx has no class that a status could have.
        """
        found = _ENHANCED.match(self.text, self.text.rfind("\n") + 1)
        if found is None:
            return ""
        return found[2] or found[1] + ".0.0"


@lru_cache(maxsize=256)
def _whole_replies(data: bytes) -> tuple[Reply, ...] | None:
    """
    The replies that are all of what arrived, where it is plain; None where it needs a closer look.

    Remembered, for nearly all that servers say is said again for the next message, or in the next session.
    """
    replies = []
    at = 0
    while found := _PLAIN_REPLY.match(data, at):
        at = found.end()
        lines = _text(found[0][:-2]).split("\r\n")
        replies.append(Reply(int(found[1]), "\n".join(map(printable, lines))))
    return tuple(replies) if at == len(data) else None


def _text(data: bytes) -> str:
    return data.replace(b"\t", b" ").decode("utf-8", "surrogateescape")


class Trace(Protocol):
    """Whoever wants to see the dialogue line by line."""

    def sent(self, line: str) -> None:
        """A command line, without its end."""

    def received(self, reply: Reply) -> None:
        """A whole reply."""


class ReplyTooLong(Exception):
    """
    The server's reply goes on for more than a client should listen to.

    :ivar replies: those that were complete before it.
    """

    def __init__(self, replies: Sequence[Reply]) -> None:
        super().__init__()
        self.replies = replies


class ReplyParser:
    """
    Turns the byte stream of one session into replies.

    :ivar replace: gives what to read in place of a line, or None (``smtp_reply_filter``).
    """

    __slots__ = ("_buffer", "_garbage", "_lines", "_seen", "_text_size", "replace")

    def __init__(self) -> None:
        self.replace: Callable[[str], str | None] | None = None
        self._buffer = b""
        self._begin()

    def _begin(self) -> None:
        self._lines: list[str] = []
        self._text_size = 0
        self._seen = 0
        self._garbage = 0

    @property
    def idle(self) -> bool:
        """Whether nothing of a next reply has arrived."""
        return not self._buffer and not self._seen

    def drop(self) -> str:
        """Forget what has arrived of a next reply; what that was, for the operator."""
        rest = printable(self._buffer.decode("utf-8", "surrogateescape"))
        dropped = "\n".join([*self._lines, rest] if rest else self._lines)
        self._buffer = b""
        self._begin()
        return dropped

    def feed(self, data: bytes) -> tuple[Sequence[Reply], int]:
        """
        Take what arrived.

        :return: the replies that it completed, and how many lines ended in it.
        :raises ReplyTooLong: when one reply exceeds ``REPLY_LIMIT``; the parser is of no more use then.
        """
        if not self._buffer and not self._seen and len(data) <= SHORT and self.replace is None:
            whole = _whole_replies(data)
            if whole is not None:
                return whole, data.count(b"\n")
        elif b"\n" not in data and len(self._buffer) + len(data) <= SHORT:
            self._buffer += data  # a server that takes its time
            return (), 0
        replies: list[Reply] = []
        *lines, rest = (self._buffer + data).split(b"\n")
        for line in lines:
            self._seen += max(len(line) + 1, LINE_COST)
            if self._seen > REPLY_LIMIT:
                raise ReplyTooLong(replies)
            reply = self._line(line[:LINE_LIMIT].rstrip(b"\r"))
            if reply is not None:
                replies.append(reply)
        if self._seen + len(rest) > REPLY_LIMIT:
            raise ReplyTooLong(replies)
        if len(rest) > LINE_LIMIT:
            # What is cut off here will not be seen again when the line ends: count it now.
            self._seen += len(rest) - LINE_LIMIT
            rest = rest[:LINE_LIMIT]
        self._buffer = rest
        return replies, len(lines)

    def _line(self, line: bytes) -> Reply | None:
        """Take one whole line; give the reply that it ends, if it does."""
        if self.replace is not None:
            other = self.replace(line.decode("utf-8", "surrogateescape"))
            if other is not None:
                line = other.encode("utf-8", "surrogateescape").replace(b"\n", b" ")[:LINE_LIMIT]
        code, mark = line[:3], line[3:4]
        is_reply = len(code) == 3 and code.isdigit() and mark in b" -"  # or nothing, which is in everything
        is_last = is_reply and mark != b"-"
        if self._text_size < TEXT_LIMIT or is_last:  # the line that decides is kept even where the text was cut
            self._lines.append(printable(_text(line)))
            self._text_size += len(line) + 1
        if not is_reply:
            self._garbage += 1
        if not is_last:
            return None
        reply = Reply(int(code), "\n".join(self._lines), self._garbage)
        self._begin()
        return reply
