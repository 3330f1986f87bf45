"""
Queue-file records: type byte, length, data.

A queue file is a run of records and nothing else. The length is written seven bits to a byte, least significant
first; a set high bit says that more follows (300 is ``ac 02``). There is no terminator.

Promises: :func:`parse_header` reads nothing but the bytes it is given and never believes a length beyond
:data:`LONGEST`, so that one damaged byte cannot ask for four gigabytes.

Does not: know which types may stand where (``queuefile``, ``content``), follow pointers (``record_reader``).

Known limits: a record longer than :data:`LONGEST` is taken for damage. No mail system writes one: the kernel does not
pass a longer argument to sendmail(1), and content comes in pieces of at most ``line_length_limit`` bytes.
"""

LONGEST = 1 << 20
"""The longest record that is believed, bytes."""

PIECE = 2048
"""The longest piece of a line that is written in one record: Postfix's ``line_length_limit``."""

SIZE = ord("C")
TIME = ord("T")
ATTRIBUTE = ord("A")
FULL_NAME = ord("F")
INSPECTOR = ord("I")
FILTER = ord("L")  # in an envelope; the same letter is LINE_PART in content: the position decides
SENDER = ord("S")
ORIGINAL = ord("O")
RECIPIENT = ord("R")
DONE = ord("D")
CANCELLED = ord("/")
WARN = ord("W")
VERP = ord("V")
REDIRECT = ord(">")
KILLED = ord("K")
CREATE_TIME = ord("c")
ORCPT = ord("o")
NOTIFY = ord("n")
RETURN = ord("<")
ENVELOPE_ID = ord("i")
CONTENT = ord("M")
LINE = ord("N")
LINE_PART = ord("L")
POINTER = ord("p")
PADDING = ord("w")
EXTRACTED = ord("X")
END = ord("E")


class MalformedRecord(ValueError):
    """
    These bytes are not a record, or not one that may stand here.

    :ivar offset: where the record starts.
    :ivar why: what is wrong, in words.
    """

    def __init__(self, offset: int, why: str) -> None:
        super().__init__(f"offset {offset}: {why}")
        self.offset = offset
        self.why = why


class CorruptQueueFile(Exception):
    """
    A queue file that cannot be believed; the file is to be set aside, never deleted, never retried.

    :ivar path: the file.
    :ivar offset: where in it reading stopped to make sense.
    :ivar why: what is wrong, in words.
    """

    def __init__(self, path: str, offset: int, why: str) -> None:
        super().__init__(f"{path}: offset {offset}: {why}")
        self.path = path
        self.offset = offset
        self.why = why


class Incomplete(Exception):
    """The bytes at hand end inside the record; more of them may settle it."""


def _length(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


LENGTHS = tuple(_length(number) for number in range(PIECE + 1))
"""The length bytes of every record of ordinary size."""


def encode(kind: int, data: bytes = b"") -> bytes:
    """
    The bytes of one record.

    :raises ValueError: when the data is longer than any reader would believe.
    """
    size = len(data)
    if size > LONGEST:
        raise ValueError(f"a queue file record of {size} bytes; {LONGEST} is the longest that can be read back")
    return bytes((kind,)) + (LENGTHS[size] if size <= PIECE else _length(size)) + data


def name(kind: int) -> str:
    """A record's type for an operator's eyes: ``'N'``, or its number when it does not print."""
    return repr(chr(kind)) if 0x20 < kind < 0x7F else f"0x{kind:02x}"


def parse_header(data: bytes, at: int, base: int = 0) -> tuple[int, int, int]:
    """
    Read type and length of the record that starts at an index.

    :param base: the offset in the file of the first byte of ``data``.
    :return: the type, the index where its data starts, and the index behind it, which may lie beyond ``data``.
    :raises Incomplete: when ``data`` ends before the length does.
    :raises MalformedRecord: when the length cannot be meant.
    """
    try:
        kind = data[at]
        length = data[at + 1]
        start = at + 2
        if length > 0x7F:
            length, start = _long_length(data, at, base)
    except IndexError:
        raise Incomplete from None
    return kind, start, start + length


def _long_length(data: bytes, at: int, base: int) -> tuple[int, int]:
    """Add up a length of more than one byte; the caller turns an IndexError into :class:`Incomplete`."""
    length = shift = 0
    index = at + 1
    while True:
        byte = data[index]
        index += 1
        length |= (byte & 0x7F) << shift
        if length > LONGEST or (shift >= 21 and byte & 0x80):
            words = "has a length of more than four bytes" if length <= LONGEST else f"claims {length} bytes or more"
            raise MalformedRecord(base + at, f"a record of type {name(data[at])} {words}")
        if byte < 0x80:
            return length, index
        shift += 7
