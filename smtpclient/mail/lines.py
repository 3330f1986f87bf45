"""
Whole lines of a message as they stand on the wire, as a value.

What reads a queue file can say with little effort what whoever sends it would have to search for.
"""

from typing import NamedTuple


class Lines(NamedTuple):
    """
    Whole lines.

    :param data: each ends in CRLF, and there is no other LF.
    :param longest: no line is longer, bytes without its end.
    :param has_dots: one of them may begin with a dot; there is no dot more than in the message.
    """

    data: bytes
    longest: int
    has_dots: bool

    @property
    def text(self) -> bytes:
        """The same with LF at the end of each line."""
        return self.data.replace(b"\r\n", b"\n")
