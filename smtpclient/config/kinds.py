"""
What a parameter's value may be: one kind per form of text, and the row that describes one parameter.

A value is text, already expanded; :func:`parse` turns it into what the program works with, or says in words what
was expected. The forms are Postfix's: ``yes`` and ``no``, whole numbers, a time as a number and one unit letter,
lists separated by commas and blanks with ``{`` and ``}`` around what belongs together.

Promises: a value that passes holds no control character (so none can break out of a protocol line or a log line),
and lies within its row's limits.

Does not: expand ``$name`` (``smtpclient.config.expansion``), open lookup tables (``smtpclient.config.tables``).

Known limits: a time may have a decimal fraction (``0.5s``), which Postfix does not take.
"""

import enum
import ipaddress
import os
import re
import socket
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_UNIT_WORDS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_TIME = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)([smhdw]?)", re.A)
_INTEGER = re.compile(r"-?\d{1,19}", re.A)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_SEPARATORS = " \t,"
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_NUMBER = r"\d+(?:\.\d+)?"
_FEEDBACK = re.compile(rf"{_NUMBER}(?:\s*/\s*(?:{_NUMBER}|concurrency|sqrt_concurrency))?", re.A)
_TABLE = re.compile(
    "(?:btree|cdb|cidr|dbm|environ|hash|inline|ldap|lmdb|memcache|mongodb|mysql|netinfo|nis|nisplus|pcre|pgsql|pipemap|"
    "proxy|randmap|regexp|sdbm|socketmap|sqlite|static|tcp|texthash|unionmap|unix):"
)


class Kind(enum.Enum):
    """The forms of a value; the texts are the manual's words for them."""

    BOOLEAN = "yes or no"
    INTEGER = "number"
    SIZE = "number of bytes"
    TIME = "time"
    STRING = "text"
    DOMAIN = "domain"
    PORT = "port or service name"
    LIST = "list"
    PATTERNS = "list of patterns"
    TABLES = "lookup tables"


#: What :func:`parse` returns.
Value = bool | int | float | str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """
    One parameter, as the table has it.

    :param default: text as it would stand in a file; may hold ``$name``.
    :param help: one sentence for the manual and for ``--help``.
    :param minimum: the least number, seconds for a time.
    :param choices: the only words that are taken, where the set is closed.
    :param unit: what a time without a unit letter counts.
    :param check: looks at each word of a list, or at the whole text; raises :exc:`ValueError` with what was expected.
    :param honoured: whether anything acts on the value; where nothing does, only ``only`` is accepted.
    :param only: the values that ask for nothing.
    :param secret: the value is shown in no message.
    :param under: the parameter that switches the whole feature on; while that is not honoured either, this one
        says how and not whether, so any value is accepted.
    """

    name: str
    kind: Kind
    default: str
    help: str
    section: str = ""
    minimum: int | None = None
    maximum: int | None = None
    choices: tuple[str, ...] = ()
    unit: str = "s"
    check: Callable[[str], object] | None = None
    honoured: bool = True
    only: tuple[str, ...] = ()
    under: str = ""
    secret: bool = False


def section(title: str, *rows: Row) -> tuple[Row, ...]:
    """The rows under one heading of the manual."""
    return tuple(replace(row, section=title) for row in rows)


def parse(row: Row, text: str) -> Value:
    """
    The value that the text stands for; lookup tables stay text.

    :param text: expanded, without blanks around it.
    :raises ValueError: with words for what was expected.
    """
    if _CONTROL.search(text):
        raise ValueError("a control character is not allowed here")
    if not _is_unicode(text):
        raise ValueError("this is not UTF-8")
    return _PARSERS[row.kind](row, text)


def parse_boolean(text: str) -> bool:
    """
    ``yes`` or ``no``, in any case.

    :raises ValueError: for anything else.
    """
    try:
        return {"yes": True, "no": False}[text.lower()]
    except KeyError:
        raise ValueError("expected yes or no") from None


def parse_integer(text: str, kind: Kind = Kind.INTEGER) -> int:
    """
    A whole number in decimal.

    :raises ValueError: for anything else.
    """
    if not _INTEGER.fullmatch(text):
        unit = "a number of bytes without unit" if kind is Kind.SIZE else "a whole number"
        raise ValueError(f"expected {unit}")
    return int(text)


def parse_time(text: str, unit: str = "s") -> float:
    """
    Seconds, from a number and at most one unit letter.

    :param unit: what a number without letter counts: s, m, h, d or w.
    :raises ValueError: for anything else.
    """
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(
            "expected a time: a number and one of s, m, h, d, w (seconds, minutes, hours, days, weeks); "
            f"a number alone counts {_UNIT_WORDS[unit]}"
        )
    return float(found[1]) * _UNITS[found[2] or unit]


def parse_port(text: str) -> int:
    """
    A TCP port, from its number or its name in the system's list of services.

    :raises ValueError: when it is neither.
    """
    if _INTEGER.fullmatch(text):
        if 0 < int(text) < 65536:
            return int(text)
        raise ValueError("expected a port from 1 to 65535")
    # The two that every mail system needs also work where the system's list is missing, as in a small container.
    known = {"smtp": 25, "submission": 587}.get(text)
    if known is not None:
        return known
    try:
        return socket.getservbyname(text, "tcp")
    except (OSError, UnicodeError, ValueError):
        raise ValueError("expected a port number, or a name from the system's list of services") from None


def parse_domain(text: str) -> str:
    """
    A domain name, or the one in the first line of a ``/file``.

    :raises ValueError: when it is no domain name, or the file cannot be read.
    """
    domain = read_text(text).partition("\n")[0].strip() if text.startswith("/") else text
    host_name(domain)
    return domain


def split_list(text: str, separators: str = _SEPARATORS) -> tuple[str, ...]:
    """
    The words of a list; what stands in braces belongs to one word, braces included.

    :raises ValueError: when braces do not match.
    """
    words: list[str] = []
    word = ""
    depth = 0
    for char in text:
        if depth == 0 and char in separators:
            if word:
                words.append(word)
            word = ""
            continue
        depth += {"{": 1, "}": -1}.get(char, 0)
        if depth < 0:
            raise ValueError("a closing brace } has no opening brace")
        word += char
    if depth:
        raise ValueError("an opening brace { is never closed")
    return (*words, word) if word else tuple(words)


def host_name(text: str) -> None:
    """
    Accept a domain name of letters, digits and hyphens.

    :raises ValueError: for anything else.
    """
    if len(text) > 253 or not _HOST_NAME.fullmatch(text):
        raise ValueError("expected a host name, such as mail.example.com")


def one_word(text: str) -> None:
    """
    Accept any word: a text without blanks that is not empty.

    :raises ValueError: otherwise.
    """
    if not text or " " in text or "\t" in text:
        raise ValueError("expected one word")


def count_or_nothing(text: str) -> None:
    """
    Accept a number that counts something, or nothing.

    :raises ValueError: otherwise.
    """
    if text and not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ValueError("expected a number, at least 0")


def feedback(text: str) -> None:
    """
    Accept the amount by which a destination's concurrency changes.

    :raises ValueError: when it is none of the four forms.
    """
    if not _FEEDBACK.fullmatch(text):
        raise ValueError("expected a number, number/number, number/concurrency or number/sqrt_concurrency")
    if re.search(r"/\s*0+(?:\.0+)?$", text):
        raise ValueError("expected a divisor that is not zero")


def address_or_nothing(version: int) -> Callable[[str], None]:
    """What accepts an IP address of one version, with or without brackets, or nothing."""

    def check(text: str) -> None:
        try:
            if text and ipaddress.ip_address(text.removeprefix("[").removesuffix("]")).version != version:
                raise ValueError
        except ValueError:
            raise ValueError(f"expected an IPv{version} address") from None

    return check


def server_address(text: str) -> tuple[str, int]:
    """
    The address and port of a name server: ``192.0.2.1``, ``192.0.2.1:5353``, ``2001:db8::1``, ``[2001:db8::1]:5353``.

    :raises ValueError: when it is none of these.
    """
    found = re.fullmatch(r"\[([^\]]+)\](?::(\d{1,5}))?|([\d.]+)(?::(\d{1,5}))?|([0-9A-Fa-f:.]+)", text, re.A)
    try:
        if found is None:
            raise ValueError
        address = ipaddress.ip_address(found[1] or found[3] or found[5])
        return str(address), parse_port(found[2] or found[4] or "53")
    except ValueError:
        raise ValueError("expected a name server's address, or address:port, or [IPv6 address]:port") from None


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _within(row: Row, number: float) -> float:
    unit = " seconds" if row.kind is Kind.TIME else ""
    if row.minimum is not None and number < row.minimum:
        raise ValueError(f"expected at least {row.minimum}{unit}")
    if row.maximum is not None and number > row.maximum:
        raise ValueError(f"expected at most {row.maximum}{unit}")
    return number


def _look_at(row: Row, word: str) -> None:
    if row.choices and word not in row.choices:
        listed = ", ".join(choice or "nothing" for choice in row.choices)
        each = f"; {word} is not one of these" if row.kind is Kind.LIST else ""
        raise ValueError(f"expected {'some' if row.kind is Kind.LIST else 'one'} of: {listed}{each}")
    if row.check is not None:
        row.check(word)


def _patterns(words: Iterable[str], depth: int = 0) -> Iterable[str]:
    """The patterns, those of a ``/file`` put in its place; Postfix's match lists, without their tables."""
    for word in words:
        bare = word.removeprefix("!")
        if bare.startswith("/"):
            if depth > 3:
                raise ValueError(f"{bare}: files that name files are nested too deep")
            if bare != word:
                raise ValueError("! is not taken before a file of patterns")
            text = " ".join(line for line in read_text(bare).splitlines() if not line.lstrip().startswith("#"))
            yield from _patterns(split_list(text), depth + 1)
        elif _TABLE.match(bare):
            raise ValueError(f"{bare}: lookup tables are not taken here; write the patterns, or the /path of a file")
        else:
            yield word


def _list(row: Row, text: str) -> tuple[str, ...]:
    words = split_list(text)
    if row.kind is Kind.PATTERNS:
        words = tuple(_patterns(words))
    for word in words:
        _look_at(row, word)
    return words


def _text(row: Row, text: str) -> str:
    _look_at(row, text)
    return text


_PARSERS: dict[Kind, Callable[[Row, str], Value]] = {
    Kind.BOOLEAN: lambda row, text: parse_boolean(text),
    Kind.INTEGER: lambda row, text: _within(row, parse_integer(text, row.kind)),
    Kind.SIZE: lambda row, text: _within(row, parse_integer(text, row.kind)),
    Kind.TIME: lambda row, text: _within(row, parse_time(text, row.unit)),
    Kind.STRING: _text,
    Kind.DOMAIN: lambda row, text: parse_domain(text),
    Kind.PORT: lambda row, text: parse_port(text),
    Kind.LIST: _list,
    Kind.PATTERNS: _list,
    Kind.TABLES: _text,
}


def read_text(path: str) -> str:
    """
    A configuration file's whole text; bytes that are not UTF-8 survive as lone surrogates.

    :raises ValueError: in words, with the path, when it cannot be read or is no regular file.
    """
    try:
        # Looked at first: opening a FIFO would wait for ever, and a device has no end.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ValueError(f"{path}: not a regular file")
        with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            text = file.read()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from None
    if "\0" in text:
        raise ValueError(f"{path}: holds NUL bytes, so it is no text file")
    return text
