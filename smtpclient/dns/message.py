"""
DNS messages: the query that goes out, and the strict reading of what comes back (RFC 1035 section 4).

What a stranger sends must be read strictly and in bounded time: a message that is cut short, or whose records do not
fill their lengths, is refused as a whole, what mail has no use for is not looked at, and names have a budget.

Promises: :func:`belongs` says without reading further whether a datagram can be the answer to a query;
:func:`read_reply` returns a :class:`Reply` or raises :class:`MalformedReply`, for any bytes, in a few milliseconds
at most; names come back in lower case, with every byte that is no plain character escaped as ``\\DDD``
(RFC 4343 section 2.1), so that no name can break a log line or pretend to have another label.

Does not: judge names (``smtpclient.dns.name``), follow aliases (``smtpclient.dns.resolver``), send EDNS.
"""

import socket
import struct
from typing import NamedTuple

# Types and the one class that records may be of (RFC 1035 section 3.2.2, RFC 3596, RFC 6698).
A, CNAME, SOA, MX, AAAA, TLSA = 1, 5, 6, 15, 28, 52
_INTERNET = 1

NO_ERROR = 0
NAME_ERROR = 3

RCODES = {
    0: "NOERROR",
    1: "FORMERR",
    2: "SERVFAIL",
    3: "NXDOMAIN",
    4: "NOTIMP",
    5: "REFUSED",
}

_HEADER = struct.Struct("!6H")
_FIXED = struct.Struct("!HHIH")
_SHORT = struct.Struct("!H")
_QUESTION = struct.Struct("!HH")
_QR, _OPCODE, _AA, _TC = 0x8000, 0x7800, 0x0400, 0x0200
_RD, _RA, _AD, _RCODE = 0x0100, 0x0080, 0x0020, 0x000F
_LONGEST_WIRE_NAME = 255
_MOST_RECORDS = 1000  # of one section; 64 kB have room for six thousand, mail for a few dozen
_MOST_STEPS = 20_000  # labels and pointers of all names together: a few milliseconds
_LONGEST_TTL = 0x7FFFFFFF
_ADDRESS_FAMILIES = {A: (4, socket.AF_INET), AAAA: (16, socket.AF_INET6)}
_PLAIN_IN_LABEL = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-_*")
_PLAIN = _PLAIN_IN_LABEL | {ord(".")}

RecordData = str | bytes | tuple[int, str]


class MalformedReply(ValueError):
    """The bytes are no DNS message, or one that contradicts itself."""


class ResourceRecord(NamedTuple):
    """
    One record of an answer.

    :param owner: lower case, no trailing dot.
    :param ttl: seconds.
    :param data: an address in text for A and AAAA, a name for CNAME, preference and host for MX, else the bytes.
    """

    owner: str
    record_type: int
    ttl: int
    data: RecordData


class Reply(NamedTuple):
    """
    What a name server said.

    :param truncated: the rest has to be asked for over TCP; ``records`` is then empty.
    :param authentic: the AD bit: the server says it has validated everything in the answer.
    :param lame: an empty answer of a server that neither knows the zone nor recurses: it says nothing.
    :param negative_ttl: how long the absence may be remembered (RFC 2308 section 5), seconds; 0: not at all.
    """

    rcode: int
    truncated: bool = False
    authentic: bool = False
    lame: bool = False
    records: tuple[ResourceRecord, ...] = ()
    negative_ttl: int = 0

    @property
    def rcode_name(self) -> str:
        """The response code as the field writes it."""
        return RCODES.get(self.rcode, f"RCODE{self.rcode}")


def encode_query(query_id: int, name: str, record_type: int) -> bytes:
    """
    A recursive query that asks for the AD bit (RFC 6840 section 5.7).

    :param query_id: 0 to 65535, unpredictable.
    :param name: as :func:`smtpclient.dns.name.to_ascii` returns it.
    """
    labels = name.encode("ascii").split(b".")
    question = b"".join(bytes((len(label),)) + label for label in labels if label) + b"\0"
    return _HEADER.pack(query_id, _RD | _AD, 1, 0, 0, 0) + question + _QUESTION.pack(record_type, _INTERNET)


def belongs(query: bytes, data: bytes) -> bool:
    """
    Whether a message is a response to a query: id, QR, opcode and question are those that were asked.

    A server that cannot read a question answers without one; such an answer can only be a refusal.
    """
    if len(data) < _HEADER.size or data[:2] != query[:2]:
        return False
    _, flags, questions, *_ = _HEADER.unpack_from(data)
    if not flags & _QR or flags & _OPCODE:
        return False
    if questions == 0:
        return flags & _RCODE not in (NO_ERROR, NAME_ERROR)
    end = len(query)
    return (
        questions == 1
        and data[_HEADER.size : end - 4].lower() == query[_HEADER.size : end - 4].lower()
        and data[end - 4 : end] == query[end - 4 :]
    )


def read_reply(data: bytes) -> Reply:
    """
    Read a message that :func:`belongs` to a query.

    :raises MalformedReply: in words.
    """
    try:
        return _Reader(data).reply()
    except struct.error:
        raise MalformedReply("message cut short") from None


class _Reader:
    """One reading of one message, front to back."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = _HEADER.size
        self._steps = _MOST_STEPS

    def reply(self) -> Reply:
        """All of it."""
        _, flags, questions, answers, authorities, _ = _HEADER.unpack_from(self._data)
        rcode = flags & _RCODE
        if flags & _TC:
            return Reply(rcode, truncated=True)
        if max(answers, authorities) > _MOST_RECORDS:
            raise MalformedReply(f"{max(answers, authorities)} records")
        if questions:
            self._name()
            self._at += 4
        records = self._section(answers)
        return Reply(
            rcode,
            authentic=bool(flags & _AD),
            lame=rcode == NO_ERROR and answers == 0 and not flags & (_AA | _RA),
            records=records,
            negative_ttl=_negative_ttl(self._section(authorities)),
        )

    def _section(self, count: int) -> tuple[ResourceRecord, ...]:
        """The next so many records, without those that are not of class IN."""
        records = []
        for _ in range(count):
            owner = self._name()
            record_type, record_class, ttl, length = _FIXED.unpack_from(self._data, self._at)
            self._at += _FIXED.size
            end = self._at + length
            if end > len(self._data):
                raise MalformedReply("record cut short")
            if record_class == _INTERNET:
                # RFC 2181 section 8: a TTL with the top bit set counts as zero.
                ttl = ttl if ttl <= _LONGEST_TTL else 0
                records.append(ResourceRecord(owner, record_type, ttl, self._record_data(record_type, end)))
            self._at = end
        return tuple(records)

    def _record_data(self, record_type: int, end: int) -> RecordData:
        data = self._data[self._at : end]
        if record_type in _ADDRESS_FAMILIES:
            length, family = _ADDRESS_FAMILIES[record_type]
            if len(data) != length:
                raise MalformedReply(f"address of {len(data)} bytes")
            return socket.inet_ntop(family, data)
        value: RecordData = data
        if record_type == MX:
            (preference,) = _SHORT.unpack_from(data)
            self._at += _SHORT.size
            value = (preference, self._name())
        elif record_type == CNAME:
            value = self._name()
        else:
            return value
        if self._at != end:
            raise MalformedReply("record does not fill its length")
        return value

    def _name(self) -> str:
        """
        The name that begins here; the next thing is read behind it.

        Every pointer must lead further back than the one before it, so there are no loops.
        """
        data = self._data
        at = limit = self._at
        labels: list[bytes] = []
        room, behind = _LONGEST_WIRE_NAME, 0
        while True:
            self._steps -= 1
            if at >= len(data) or self._steps < 0:
                raise MalformedReply("name cut short" if at >= len(data) else "names take too long to read")
            length = data[at]
            if length >= 0xC0:
                target = _SHORT.unpack_from(data, at)[0] & 0x3FFF
                behind = behind or at + 2
                if target >= limit:
                    raise MalformedReply("compression loop in a name")
                at = limit = target
                continue
            room -= length + 1
            if length > 0x3F or room < 0:
                raise MalformedReply("label of an unknown kind" if length > 0x3F else "name longer than 255 bytes")
            if length == 0:
                self._at = behind or at + 1
                return _to_text(labels)
            labels.append(data[at + 1 : at + 1 + length])
            at += 1 + length


def _negative_ttl(records: tuple[ResourceRecord, ...]) -> int:
    """The smaller of the SOA record's own TTL and its MINIMUM field, which ends the record."""
    for record in records:
        if record.record_type == SOA and isinstance(record.data, bytes) and len(record.data) >= 22:
            return min(record.ttl, int.from_bytes(record.data[-4:]))
    return 0


def _to_text(labels: list[bytes]) -> str:
    text = b".".join(labels).lower()
    if text.count(b".") == max(len(labels) - 1, 0) and _PLAIN.issuperset(text):
        return text.decode("ascii")
    return ".".join(
        "".join(chr(byte) if byte in _PLAIN_IN_LABEL else f"\\{byte:03d}" for byte in label.lower()) for label in labels
    )
