"""
Quoted-printable (RFC 2045 section 6.7), one body at a time, in pieces of any size.

:class:`QuotedPrintableEncoder` takes text whose lines end in LF and gives text whose lines end in LF, none of more than
76 bytes. Which bytes are written as ``=XX`` and where a line is broken is exactly as Postfix does it: everything but
printable ASCII and TAB, ``=`` itself, and a blank that would stand at a line's end; a soft line break as soon as 73
bytes stand on a line and another one comes.

Promises: what comes out depends on the text alone, not on how it was cut; decoding gives the text back; no more than
one line is held.

Does not: guess line ends. A CR is a byte like any other, and is written as ``=0D``.
"""

import re
from binascii import hexlify

_UNSAFE = re.compile(rb"[^\t\n -<>-~]+")
_BLANK_AT_END = re.compile(rb"[\t ](?=\n)")
# Encoded text in lines: 73 bytes, and what an =XX needs that would be torn apart there, as long as more follows.
_LINES = re.compile(rb"(?>[^\n]{73}(?:(?<==)[^\n]{2}|(?<==[^\n])[^\n])?)(?=[^\n])|[^\n]*\n|[^\n]+")


class QuotedPrintableEncoder:
    """Encodes one body, or several that end in a line end."""

    __slots__ = ("_line",)

    def __init__(self) -> None:
        self._line = b""  # what has been encoded of a line whose end has not come

    def feed(self, text: bytes) -> bytes:
        """Encode a piece; a line may go on in the next one."""
        text = self._line + _UNSAFE.sub(_in_hexadecimal, text)
        lines = _LINES.findall(_BLANK_AT_END.sub(_in_hexadecimal, text))
        self._line = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        return b"".join([line if line.endswith(b"\n") else line + b"=\n" for line in lines])

    def finish(self) -> bytes:
        """What is left of a line without end."""
        line, self._line = self._line, b""
        return _BLANK_AT_END.sub(_in_hexadecimal, line + b"\n")[:-1]


def _in_hexadecimal(found: re.Match[bytes]) -> bytes:
    return b"=" + hexlify(found[0], b"=").upper()
