"""
Queue ids: the names of queue files.

A short id is the microseconds of the arrival, five hexadecimal digits, and the number of the file's inode in
hexadecimal: ``3A66D21A822``. A long id is the second in base 52, the microsecond in base 52 (four digits), ``z`` and
the inode in base 51: ``4jXKxH33f8zJc1w``; digits are the alphanumeric characters without vowels. An inode number
belongs to one file of a file system, so two files that exist at once cannot have one id.

Promises: every id that is made here is one that postsuper(1) leaves as it is; :func:`is_valid` admits nothing that
could be a path.
"""

import re
from collections.abc import Callable

_DIGITS = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"
_VALUES = {digit: value for value, digit in enumerate(_DIGITS)}
_SEPARATOR = "z"
_SECONDS_DIGITS = 6  # at least
_MICROSECONDS_DIGITS = 4  # exactly

match: Callable[[str], re.Match[str] | None] = re.compile(r"[0-9A-Za-z_]{2,100}").fullmatch
"""What can be the name of a queue file matches: ASCII letters, digits and underscores, two or more."""


def _in_base(number: int, base: int, width: int) -> str:
    out = ""
    while number:
        number, digit = divmod(number, base)
        out = _DIGITS[digit] + out
    return out.rjust(width, "0")


def short_id(microsecond: int, inode: int) -> str:
    """
    The id of a file.

    :param microsecond: of the time of its arrival, below one million.
    """
    return f"{microsecond:05X}{inode:X}"


def long_id(second: int, microsecond: int, inode: int) -> str:
    """The id of a file that stays unique after the file has gone."""
    return (
        _in_base(second, 52, _SECONDS_DIGITS)
        + _in_base(microsecond, 52, _MICROSECONDS_DIGITS)
        + _SEPARATOR
        + _in_base(inode, 51, 1)
    )


def is_valid(queue_id: str) -> bool:
    """Whether this can be the name of a queue file."""
    return match(queue_id) is not None


def hash_folders(queue_id: str, depth: int) -> str:
    """
    The folders of a hashed queue that lead to a file: ``3/A/`` for depth 2, nothing for depth 0.

    They are the first characters of the microseconds in hexadecimal, also for a long id.
    """
    text = queue_id
    separator = queue_id.rfind(_SEPARATOR)
    if separator >= _SECONDS_DIGITS + _MICROSECONDS_DIGITS:
        microsecond = 0
        for digit in queue_id[separator - _MICROSECONDS_DIGITS : separator]:
            microsecond = microsecond * 52 + _VALUES.get(digit, 0)
        text = f"{microsecond:05X}"
    return "".join([(text[i] if i < len(text) else "_") + "/" for i in range(depth)])
