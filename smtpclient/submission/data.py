"""
Message content off the wire, after the 354: bytes in, lines with LF ends out, until the one that ends it.

Rules:

* only CRLF ``.`` CRLF ends the content. A bare LF or CR ends nothing, neither the content nor a line: it becomes a
  blank. Where two servers disagree on what ends a message, one message becomes two, and the second one's envelope is
  the sender's to forge;
* the dot that a line begins with is taken off (RFC 5321 section 4.5.2);
* lines may have any length.

Promises: the result does not depend on how the bytes were cut into reads; not more than four bytes are kept.
"""

_END = b"\r\n.\r\n"


class DataDecoder:
    """Decodes the content of one message."""

    __slots__ = ("_first", "_held")

    def __init__(self) -> None:
        # The content begins behind the CRLF of DATA: a dot alone on the first line ends it.
        self._held = b"\r\n"
        self._first = True

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """
        Decode what has been read.

        :return: content, and, once the content has ended, the bytes behind it; None before that.
        """
        data = self._held + data
        end = data.find(_END)
        if end >= 0:
            return self._decode(data[: end + 2]), data[end + len(_END) :]
        held = next(size for size in range(len(_END) - 1, -1, -1) if data.endswith(_END[:size]))
        self._held = data[len(data) - held :]
        return self._decode(data[: len(data) - held]), None

    def _decode(self, data: bytes) -> bytes:
        """Whole pieces: no line end and no dot behind one is cut."""
        if not data:
            return b""
        data = data.replace(b"\r\n.", b"\r\n")
        lines = data.count(b"\r\n")
        if data.count(b"\n") == lines == data.count(b"\r"):
            text = data.replace(b"\r\n", b"\n")
        else:
            text = b"\n".join(line.replace(b"\n", b" ").replace(b"\r", b" ") for line in data.split(b"\r\n"))
        if self._first:
            self._first = False
            return text[1:]
        return text
