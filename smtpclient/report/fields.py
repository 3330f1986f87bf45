"""
Header fields and wrapped text for reports: whatever a peer said, it cannot forge a line.

Everything in a report that comes from outside (addresses, replies, host names, message ids) passes through
:func:`field` or :func:`wrapped`. Both replace control characters, so that no line break of a peer survives, and
both fold at blanks.

Promises: every line of a field is at most 998 bytes long (RFC 5322 section 2.1.1), and 78 characters where blanks
allow it; no line of it consists of blanks; unfolding (removing each line break that stands before a blank) gives
back the text, unless one word alone was longer than a line may be.

Does not: encode words (RFC 2047). What is not ASCII stays UTF-8 (RFC 6532) or, where a field must be ASCII,
becomes ``?``.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime

from smtpclient.mail import address as addresses
from smtpclient.observe.maillog import printable

PREFERRED = 78
"""The length of a line in characters that fields are folded to (RFC 5322 section 2.1.1)."""

LONGEST_WORD = 240
"""Where a word without blanks is cut, in characters: with four bytes to each, a line still keeps to 998."""

_FOLD = re.compile(r"(?<=[^ ]) (?=[^ ])")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_TO_ESCAPE = re.compile(r"[^!-~]|[\\+=]")
_ORCPT = re.compile(r"([A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+) ?;(.*)", re.S)


def ascii_only(text: str) -> str:
    """The text with everything that is not ASCII replaced by ``?``."""
    return text if text.isascii() else _NOT_ASCII.sub("?", text)


def date(seconds: float) -> str:
    """A time since the epoch as RFC 5322 section 3.3 writes it, in UTC; a time out of range is the nearest in it."""
    return format_datetime(datetime.fromtimestamp(min(max(seconds, 0.0), 253402300799.0), tz=UTC))


def _words(text: str) -> Iterator[str]:
    """The pieces between which a line may be broken; pieces of one overlong word lose nothing but their unity."""
    for word in _FOLD.split(text):
        for start in range(0, len(word), LONGEST_WORD):
            yield word[start : start + LONGEST_WORD].strip(" ") or "?"


def _lines(text: str, width: int, indent: int) -> list[str]:
    """Fill lines; all but the first may hold ``indent`` characters less."""
    lines: list[str] = []
    line = ""
    for word in _words(text):
        if not line:
            line = word
        elif len(line) + 1 + len(word) <= width - (indent if lines else 0):
            line += " " + word
        else:
            lines.append(line)
            line = word
    return [*lines, line]


def field(name: str, value: str, utf8: bool = True) -> bytes:
    """
    One header field, folded, with its line end.

    :param value: any text.
    :param utf8: whether the field may hold UTF-8; otherwise what is not ASCII becomes ``?``.
    """
    text = printable(value).strip(" ")
    if not utf8:
        text = ascii_only(text)
    return ("\n ".join(_lines(f"{name}: {text}", PREFERRED, 1)) + "\n").encode()


def wrapped(text: str, width: int = 79, indent: int = 4) -> bytes:
    """A paragraph for people, with its line end; the second line and those after it are indented."""
    return (("\n" + " " * indent).join(_lines(printable(text).strip(" "), width, indent)) + "\n").encode()


def typed_address(external: str, utf8: bool) -> str:
    """
    An address with its type, for the fields of a delivery status: ``rfc822; user@example.com``.

    What is not ASCII has the type ``utf-8``, as it is where the report may hold UTF-8 and escaped where it may not
    (RFC 6533 section 3). Bytes that are no UTF-8 have no form there: they become ``?``.

    :param external: the address in its external form.
    """
    text = printable(external)
    if text.isascii():
        return "rfc822; " + text
    return "utf-8; " + (text if utf8 else _TO_ESCAPE.sub(lambda found: f"\\x{{{ord(found[0]):02X}}}", text))


def original_recipient(orcpt: str, original: str, utf8: bool) -> str:
    """
    The value of ``Original-Recipient``: what ORCPT said (RFC 3461 section 4.2), else the address as first given.

    :param orcpt: ``type;address``, decoded, or empty.
    :param original: the address before it was rewritten, internal form, or empty.
    :return: empty when neither is known.
    """
    if found := _ORCPT.fullmatch(orcpt):
        kind, text = found[1], printable(found[2]).strip(" ")
        if not text.isascii():
            return typed_address(text, utf8)
        return f"{kind}; {text}"
    if orcpt or original:
        return typed_address(orcpt or addresses.external(original), utf8)
    return ""
