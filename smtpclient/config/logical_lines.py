"""
Lines as configuration files have them: comments dropped, continuation lines joined.

A line that starts with a blank continues the one before; empty lines and lines whose first character other than a
blank is ``#`` are dropped wherever they stand, also between a line and its continuation. This is the form of
main.cf and of every lookup table.

Promises: the number of each logical line is that of its first physical line; blanks at its end are dropped;
a carriage return before a line's end is dropped.

Does not: split a line any further.
"""

from collections.abc import Iterator
from dataclasses import dataclass

_BLANKS = " \t\r\n\v\f"


@dataclass(frozen=True, slots=True)
class LogicalLine:
    """
    One line with its continuations.

    :param number: counted from 1, of the first physical line.
    :param orphan: whether it starts with a blank and continues nothing.
    """

    number: int
    text: str
    orphan: bool = False


def logical_lines(text: str) -> Iterator[LogicalLine]:
    """The logical lines of a file's text."""
    parts: list[str] = []
    first = 0
    for number, physical in enumerate(text.split("\n"), 1):
        line = physical.removesuffix("\r")
        stripped = line.strip(_BLANKS)
        if not stripped or stripped[0] == "#":
            continue
        if parts and line[0] in _BLANKS:
            parts.append(line)
            continue
        if parts:
            yield _joined(first, parts)
        parts, first = [line], number
    if parts:
        yield _joined(first, parts)


def _joined(number: int, parts: list[str]) -> LogicalLine:
    text = "".join(parts)
    return LogicalLine(number, text.strip(_BLANKS), text[0] in _BLANKS)
