"""
The header of a message that somebody hands in: line ends made one, fields apart, the body left to be read later.

:func:`canonical` turns what came, in blocks cut anywhere, into blocks with LF line ends; :func:`read_fields` reads
the header off them and gives back what follows, so that a body of any size passes through in blocks.

Rules:

* CRLF and LF end a line; every other CR becomes a blank, as Postfix's ``cleanup_replace_stray_cr_lf`` does. A CR that
  stayed could be a line end for the next server and not for us: that is how one message becomes two.
* the last line gets its line end;
* the header ends before the first line that is no field and no continuation of one. Where that line is not empty, an
  empty one is put in front of it: it was the body already;
* a first line ``From `` or ``>From `` of a mailbox file is dropped.

Promises: at most the header and two blocks are in memory; every byte but those named above passes unchanged, NUL and
8-bit ones too.

Does not: decode encoded words, look into MIME parts.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

BLOCK = 65536  # bytes

_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:")
_MAILBOX_LINE = re.compile(rb">?From ")


class HeaderTooLarge(ValueError):
    """A header that will not be held in memory; the text says which part of it."""


@lru_cache(maxsize=1024)  # the same names come with every message
def _key(name: bytes) -> str:
    return name.decode("ascii").lower()


class Field(NamedTuple):
    """
    One header field.

    :param name: as written, without the blanks that may stand before the colon.
    :param text: everything behind the colon as written, with its line ends.
    """

    name: bytes
    text: bytes

    @property
    def key(self) -> str:
        """The name in lower case, for comparing."""
        return _key(self.name)

    @property
    def body(self) -> str:
        """The text with its lines joined (RFC 5322 section 2.2.3); what is not UTF-8 survives a round trip."""
        return self.text.replace(b"\n", b"").decode("utf-8", "surrogateescape").strip(" \t")

    def to_bytes(self) -> bytes:
        """The field as it is stored."""
        return b"%b:%b" % (self.name, self.text)


def blocks_of(content: bytes | Iterable[bytes]) -> Iterator[bytes]:
    """Content as blocks, whichever way it was given."""
    if isinstance(content, bytes):
        return (content[start : start + BLOCK] for start in range(0, len(content), BLOCK))
    return iter(content)


def canonical(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The same content with LF line ends, in blocks of at least ``BLOCK`` bytes but the last."""
    held = b""  # a CR at a block's end: the next block says what it is
    ready: list[bytes] = []
    size = 0
    last = b""
    for block in blocks:
        text = held + block
        held = b"\r" if text.endswith(b"\r") else b""
        text = _one_line_end(text[:-1] if held else text)
        if text:
            last = text[-1:]
            ready.append(text)
            size += len(text)
        if size >= BLOCK:
            yield b"".join(ready)
            ready.clear()
            size = 0
    if held:
        ready.append(b" \n")
    elif last and last != b"\n":
        ready.append(b"\n")
    if ready:
        yield b"".join(ready)


def _one_line_end(text: bytes) -> bytes:
    return text.replace(b"\r\n", b"\n").replace(b"\r", b" ") if b"\r" in text else text


class _Lines:
    """Lines off blocks, one at a time, and what is left of them."""

    def __init__(self, blocks: Iterator[bytes], longest: int) -> None:
        self._blocks = blocks
        self._longest = longest
        self._buffer = b""
        self._start = 0

    def take(self) -> bytes:
        """A line with its end; the beginning of one that is too long; nothing at the end of the content."""
        while True:
            end = self._buffer.find(b"\n", self._start) + 1
            if not end and len(self._buffer) - self._start > self._longest:
                end = len(self._buffer)
            if not end:
                block = next(self._blocks, b"")
                if block:
                    self._buffer = self._buffer[self._start :] + block
                    self._start = 0
                    continue
                end = len(self._buffer)
            line = self._buffer[self._start : end]
            self._start = end
            return line

    def rest(self, line: bytes) -> bytes:
        """What has been read off the blocks from this line on, the one given out last."""
        return self._buffer[self._start - len(line) :]


def read_fields(blocks: Iterator[bytes], size_limit: int) -> tuple[list[Field], bytes]:
    """
    Read the header off canonical blocks.

    :param size_limit: the largest field, in bytes; the whole header may be ten times as large.
    :return: the fields, and what was read behind them: nothing, or the empty line and the beginning of the body. The
        rest of the body is in the blocks.
    :raises HeaderTooLarge: when a limit is exceeded.
    """
    lines = _Lines(blocks, size_limit)
    fields: list[Field] = []
    total = 0
    line = lines.take()
    if _MAILBOX_LINE.match(line):
        line = lines.take()
    while start := _FIELD.match(line):
        name, text = start[1], [line[start.end() :]]
        size = len(line)
        while (line := lines.take()).startswith((b" ", b"\t")) and size <= size_limit:
            text.append(line)
            size += len(line)
        total += size
        if size > size_limit:
            raise HeaderTooLarge(f"{name[:60].decode('ascii')}: field is larger than {size_limit} bytes")
        if total > 10 * size_limit:
            raise HeaderTooLarge(f"message header is larger than {10 * size_limit} bytes")
        fields.append(Field(name, b"".join(text)))
    rest = lines.rest(line)
    return fields, rest if not rest or rest.startswith(b"\n") else b"\n" + rest
