"""
Attribute lists, the form in which Postfix's daemons speak to each other: bytes to values and back.

A list is ``name NUL value NUL`` for each attribute and one more NUL at its end. Numbers are printed in decimal and
unsigned, so that -1 is ``4294967295`` where the other side has 32 bits for it and ``18446744073709551615`` where it has
64. Data that may hold a NUL is base64. Postfix calls this ``attr_print0`` and ``attr_scan0``; it is described in no
standard, and what its daemons send each other is the reference.

A conversation is strict: the attributes of a list have their names and their order, and one that is missing, or that
nobody expects, ends it. So a reader takes them one after the other::

    parser = Parser()
    parser.feed(b"status\\0" b"0\\0" b"\\0")
    fields = parser.next_list()
    status = fields.integer("status")
    fields.end()

Promises: what was encoded decodes to the same; whatever bytes come, and in whatever pieces, there are lists of them or
a :exc:`WireError` that names the attribute and what was expected; no more than :data:`LONGEST_LIST` bytes of a list
that has not ended are held.

Does not: know any conversation, wait, or hold a socket. It does not know the nested lists in braces that newer daemons
send for tables; none of the conversations here has them.
"""

import base64
import binascii
import re
from collections import deque
from collections.abc import Iterable, Sequence

from smtpclient.mail.address import from_bytes, to_bytes

LONGEST_NAME = 100
"""Bytes in the name of an attribute; Postfix's longest has some twenty."""

LONGEST_VALUE = 100_000
"""Bytes in the value of an attribute: Postfix's addresses and reasons have two thousand by default."""

LONGEST_LIST = 1_000_000
"""Bytes in one list."""

_NAME = re.compile(rb"[A-Za-z0-9_.-]+")
_NUMBER = re.compile(rb"[0-9]{1,20}")
_INT, _LONG = 32, 64


class WireError(Exception):
    """What came is not what this conversation has in this place; the words are for the operator."""


class Long(int):
    """A number for which the other side has 64 bits: an offset or a size. A plain ``int`` has 32."""


Value = str | bytes | int
Pair = tuple[str, Value]
"""A name and a value to be sent."""


def encode(pairs: Iterable[Pair]) -> bytes:
    """
    One list, with its end.

    :raises ValueError: for a name that is none, a value with a NUL in it, or a number that has too many bits.
    """
    parts = []
    for name, value in pairs:
        octets = name.encode("ascii", "replace")
        if not _NAME.fullmatch(octets):
            raise ValueError(f"{name!r} is no name of an attribute")
        parts += [octets, _octets(name, value)]
    return b"\0".join([*parts, b"", b""]) if parts else b"\0"


def _octets(name: str, value: Value) -> bytes:
    if isinstance(value, int):
        bits = _LONG if isinstance(value, Long) else _INT
        if not -(1 << (bits - 1)) <= value < 1 << bits:
            raise ValueError(f"{name}: {value} has more than {bits} bits")
        return b"%d" % (value % (1 << bits))
    octets = to_bytes(value) if isinstance(value, str) else value
    if b"\0" in octets:
        raise ValueError(f"{name}: there is a NUL in {value!r}")
    return octets


class Fields:
    """
    The attributes of one list that came, to be taken in their order.

    Each method takes the next attribute and names what it has to be; more than one name means that versions of Postfix
    differ in it.
    """

    def __init__(self, pairs: Sequence[tuple[str, bytes]]) -> None:
        self._pairs = pairs
        self._next = 0

    def text(self, *names: str) -> str:
        """
        A string, which may be empty; bytes that are not UTF-8 survive a round trip.

        :raises WireError: when something else comes next.
        """
        return from_bytes(self._take(names))

    def integer(self, *names: str) -> int:
        """
        A number of 32 bits with its sign.

        :raises WireError: when something else comes next.
        """
        return self._number(names, _INT)

    def long(self, *names: str) -> int:
        """
        A number of 64 bits with its sign.

        :raises WireError: when something else comes next.
        """
        return self._number(names, _LONG)

    def data(self, *names: str) -> bytes:
        """
        Octets that came as base64 (RFC 4648 section 4).

        :raises WireError: when something else comes next.
        """
        octets = self._take(names)
        try:
            return base64.b64decode(octets, validate=True)
        except binascii.Error:
            raise WireError(f"attribute {names[0]}: expected base64, not {_shown(octets)}") from None

    def end(self) -> None:
        """
        There is to be nothing more.

        :raises WireError: when there is.
        """
        if self._next < len(self._pairs):
            raise WireError(f"expected the end of the list, not attribute {self._pairs[self._next][0]}")

    def _number(self, names: Sequence[str], bits: int) -> int:
        octets = self._take(names)
        value = int(octets) if _NUMBER.fullmatch(octets) else -1
        if not 0 <= value < 1 << bits:
            raise WireError(f"attribute {names[0]}: expected a number of {bits} bits, not {_shown(octets)}")
        return value - (1 << bits) if value >> (bits - 1) else value

    def _take(self, names: Sequence[str]) -> bytes:
        wanted = " or ".join(names)
        if self._next == len(self._pairs):
            raise WireError(f"expected attribute {wanted}, not the end of the list")
        name, octets = self._pairs[self._next]
        if name not in names:
            raise WireError(f"expected attribute {wanted}, not {name}")
        self._next += 1
        return octets


def _shown(octets: bytes) -> str:
    return repr(octets[:40])[1:] + ("..." if len(octets) > 40 else "")


class Parser:
    """
    Lists out of bytes that come in pieces of any size.

    After a :exc:`WireError` there is no way back into step with the other side: the parser is of no more use.
    """

    def __init__(self) -> None:
        self._lists: deque[Fields] = deque()
        self._pairs: list[tuple[str, bytes]] = []
        self._name: str | None = None
        self._pieces: list[bytes] = []
        self._waiting = 0  # bytes in the pieces
        self._length = 0  # bytes of the list that has not ended, without the pieces

    def feed(self, data: bytes) -> None:
        """
        Take what has come.

        :raises WireError: when it cannot be part of a list, or the list grows beyond the limits.
        """
        if b"\0" in data:
            *whole, data = b"".join([*self._pieces, data]).split(b"\0")
            self._pieces.clear()
            self._waiting = 0
            for octets in whole:
                self._add(octets)
        if data:
            self._pieces.append(data)
            self._waiting += len(data)
        self._check(self._waiting)

    def next_list(self) -> Fields | None:
        """The oldest list that is complete and has not been asked for; None: the next has not ended."""
        return self._lists.popleft() if self._lists else None

    @property
    def at_rest(self) -> bool:
        """Nothing has come of a list that has not ended."""
        return not (self._length or self._waiting)

    def _add(self, octets: bytes) -> None:
        """One name, one value, or the empty name that ends a list."""
        self._check(len(octets))
        self._length += len(octets) + 1
        if self._name is not None:
            self._pairs.append((self._name, octets))
            self._name = None
        elif octets:
            if not _NAME.fullmatch(octets):
                raise WireError(f"expected the name of an attribute, not {_shown(octets)}")
            self._name = octets.decode("ascii")
        else:
            self._lists.append(Fields(self._pairs))
            self._pairs = []
            self._length = 0

    def _check(self, length: int) -> None:
        """Whether what comes next may be so long."""
        if self._name is None and length > LONGEST_NAME:
            raise WireError(f"expected the name of an attribute, not {length} bytes")
        if length > LONGEST_VALUE:
            raise WireError(f"attribute {self._name}: {length} bytes are more than the limit of {LONGEST_VALUE}")
        if self._length + length > LONGEST_LIST:
            raise WireError(f"a list of more than {LONGEST_LIST} bytes")
