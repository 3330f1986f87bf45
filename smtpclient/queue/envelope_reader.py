"""
What the records of a queue file say about its message.

An envelope comes in two segments: the one in front of the content, as the message was submitted, and the one behind
it, with what was extracted from the content (``sendmail -t`` puts the recipients there). Both are read; the content is
jumped over where the size record is right about it.

Promises: whatever the size record claims, the content ends where its records say so; what is said twice counts as
said first, except per recipient; a message without arrival time, sender, recipient or end is malformed.

Does not: verify what an address or an attribute holds. Legacy records (return receipt, errors-to, priority,
inspector) are passed over.

Known limits: all recipients of a message are in memory at once. Where the size record is wrong, the whole content is
gone through in the calling thread.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from smtpclient.mail import address
from smtpclient.mail.envelope import Envelope, Notify, QueuedMessage, Recipient, Return, TlsWish, Utf8
from smtpclient.queue import record
from smtpclient.queue.record import MalformedRecord
from smtpclient.queue.record_reader import RecordReader

# Of the six numbers the fourth, flags for Postfix's queue manager, tells us nothing.
_SIZES = re.compile(
    rb" *([0-9]{1,15}) +([0-9]{1,15}) +([0-9]{1,15})(?: +[0-9]{1,15})?(?: +([0-9]{1,15}))?(?: +([0-9]{1,15}))? *"
)
_TIME = re.compile(rb" *([0-9]{1,11})(?: +([0-9]{1,6}))? *")
_WARN = re.compile(rb" *(-?[0-9]{1,11}) *")
_NUMBER = re.compile(r"[0-9]{1,11}")
# How nearly every file begins, ours and Postfix's: size record of 95 bytes, arrival time, time of creation. And how the
# envelope of most goes on: with where the message comes from, one recipient as the sender gave it, and the content.
# These are the records of the file only where each is as long as its length byte says.
_BEGINNING = re.compile(
    rb"C_(?=.{95}T) +([0-9]{1,15}) +([0-9]{1,15}) +([0-9]{1,15}) +[0-9]{1,15} +([0-9]{1,15}) +([0-9]{1,15})"
    rb"T([\x0c-\x11])([0-9]{10}) ([0-9]{1,6})A\x16create_time=(?P<created>[1-9][0-9]{9})"
    rb"(?:([^O]{0,1500})O(?P<length>[\x01-\x7f])(?P<address>[^\0-\x1f]{1,127})R(?P=length)(?P=address)M\0)?",
    re.DOTALL,
)

_NOTIFY = tuple(Notify(number) for number in range(16))
_NO_NOTIFY = _NOTIFY[0]
_RETURN = {int(ret): ret for ret in Return}
_HEADERS, _UNSPECIFIED = Return.HEADERS, Return.UNSPECIFIED
_REQUIRED = int(TlsWish.REQUIRED)
_UTF8 = tuple(Utf8(number) for number in range(16))
_TLS = tuple(TlsWish(number << 4) for number in range(4))

_integer = lru_cache(maxsize=256)(int)  # most are the same in the next message
_NO_SIZES = (0,) * 5
_OF_RECIPIENT = frozenset(("notify_flags", "dsn_orig_rcpt"))

# From a record to the next, by its first length byte; where there are more of these, farther than any file goes.
_REACHES = [2 + length if length <= 0x7F else 1 << 60 for length in range(256)]

_CONTENT, _CONTENT_ENDS, _END = (record.encode(kind) for kind in (record.CONTENT, record.EXTRACTED, record.END))

Take = Callable[["EnvelopeReader", bytes, int], object]
"""What is done with a record: with its data, and the offset where it stands."""

Table = Sequence[Take | None]
"""That for each type of record; None: it has no business there."""


class EnvelopeReader:
    """
    One reading of one queue file.

    :param reader: stands at the start of the file.
    :param remark: told, in words, of what is odd and does no harm.
    """

    _sizes: Sequence[int] = _NO_SIZES
    _arrival = -1.0
    _created = 0
    _sender: str | None = None
    _full_name = ""
    _warn_at = 0.0
    _warn_offset = -1
    _finished = 0
    _cancelled = 0
    # What has been said of the next recipient.
    _original = b""
    _orcpt = ""
    _notify = _NO_NOTIFY

    def __init__(self, queue_id: str, reader: RecordReader, remark: Callable[[str], None]) -> None:
        self._queue_id = queue_id
        self._reader = reader
        self._remark = remark
        self._attributes: dict[str, str] = {}
        self._recipients: list[Recipient] = []

    def read(self) -> QueuedMessage:
        """
        The message.

        :raises MalformedRecord: when the file does not hold one.
        :raises OSError: when the file cannot be read.
        """
        reader = self._reader
        if not self._takes_beginning():
            self._segment(_INITIAL, _CONTENT)
        start = reader.position
        end = start + self._sizes[0]
        if self._sizes[1] != start or not reader.passes(end, _CONTENT_ENDS):
            end = self._end_of_content()
        if not reader.window.startswith(_END, reader.at):
            self._segment(_EXTRACTED, _END)
        return self._message(start, end)

    def _takes_beginning(self) -> bool:
        """
        Take the first records at once, where they are the usual ones; where not, only see that there is a first.

        :return: whether that was all up to the content.
        """
        reader = self._reader
        found = _BEGINNING.match(reader.window)
        if found is None:
            if not reader.window.startswith(b"C"):
                reader.next()  # which knows what to say where there is no record at all
                kind = record.name(reader.window[0])
                raise MalformedRecord(0, f"a record of type {kind} instead of the size record")
            return False
        *sizes, time_length, seconds, fraction, created, origin, length, recipient = found.groups()
        if time_length[0] != 11 + len(fraction):
            return False
        self._sizes = [*map(_integer, sizes)]
        self._arrival = _integer(seconds) + int(fraction) / 1e6
        self._created = _integer(created)
        # Where it says more of the recipient, it is another one for each.
        plain = recipient and length[0] == len(recipient) and b"dsn_orig_rcpt" not in origin
        said = _origin(origin) if plain else None
        if said is None:
            reader.at = found.end("created")
            return False
        self._sender, attributes = said
        self._attributes = attributes.copy()
        reader.at = found.end()
        self._recipients.append(Recipient(address.from_bytes(recipient), "", reader.at - 4 - len(recipient)))
        return True

    def _segment(self, wanted: Table, last: bytes) -> None:
        """Take every record up to the empty one that ends the segment; neither that nor a pointer is wanted."""
        reader, reaches = self._reader, _REACHES
        while True:
            # An envelope is little else than short records, so they are worth a loop without a call for each.
            window, base, at = reader.window, reader.base, reader.at
            room = len(window)
            room_for_headers = room - 1
            while at < room_for_headers:
                take = wanted[window[at]]
                end = at + reaches[window[at + 1]]
                if take is None or end > room:
                    break
                take(self, window[at + 2 : end], base + at)
                at = end
            if window.startswith(last, at):
                reader.at = at + 2
                return
            reader.at = at
            kind, data = reader.next()
            if kind == last[0]:
                self._must_be_empty(kind, data)
                return
            take = wanted[kind]
            if take is None:
                raise self._refusal(kind, last)
            take(self, data, reader.offset)

    def _refusal(self, kind: int, last: bytes) -> MalformedRecord:
        where = "before" if last == _CONTENT else "behind"
        words = f"a record of type {record.name(kind)} in the envelope {where} the content"
        return MalformedRecord(self._reader.offset, words)

    def _end_of_content(self) -> int:
        """
        Look for the record that ends the content, and go behind it.

        :return: where that record stands.
        """
        self._remark("the size record does not tell where the content ends; looking for it")
        self._reader.skip_lines()
        kind, data = self._reader.next()
        if kind != record.EXTRACTED:
            raise MalformedRecord(self._reader.offset, f"a record of type {record.name(kind)} in the content")
        self._must_be_empty(kind, data)
        return self._reader.offset

    def _must_be_empty(self, kind: int, data: bytes) -> None:
        if data:
            raise MalformedRecord(self._reader.offset, f"{len(data)} bytes in a record of type {record.name(kind)}")

    def _message(self, start: int, end: int) -> QueuedMessage:
        stated, _start, count, size, wishes = self._sizes
        recipients, attributes = self._recipients, self._attributes
        if self._arrival < 0:
            raise MalformedRecord(self._reader.position, "no arrival time in the whole envelope")
        if self._sender is None:
            raise MalformedRecord(self._reader.position, "no sender in the whole envelope")
        seen = len(recipients) + self._finished + self._cancelled
        if not seen:
            raise MalformedRecord(self._reader.position, "no recipient in the whole envelope, not even a finished one")
        if seen < count:
            self._remark(f"{seen} recipients, where the size record counts {count}")
        created = attributes.pop("create_time", "")
        ret = self._number(attributes.pop("ret_flags")) if "ret_flags" in attributes else 0
        envelope = Envelope(
            self._queue_id,
            self._sender,
            self._arrival,
            float(self._created or self._number(created)) or self._arrival,
            size or stated or end - start,
            start,
            end - start,
            attributes.pop("encoding", ""),
            _UTF8[wishes & 15],
            attributes.pop("envelope_id", ""),
            # No content in a report of what must not be seen (RFC 8689 section 5).
            _HEADERS if wishes & _REQUIRED else _RETURN.get(ret, _UNSPECIFIED),
            self._full_name,
            attributes,
            _TLS[wishes >> 4 & 3],
        )
        return QueuedMessage(envelope, tuple(recipients), self._finished, self._warn_at, self._warn_offset)

    def _number(self, text: str) -> int:
        """A number, or 0 for what is none."""
        if not text:
            return 0
        if _NUMBER.fullmatch(text) is None:
            self._remark(f"ignoring {text!r}, which should be a number")
            return 0
        return int(text)

    # What each type of record means.

    def _size(self, data: bytes, offset: int) -> None:
        if self._sizes is not _NO_SIZES:
            return
        found = _SIZES.fullmatch(data)
        if found is None:
            raise MalformedRecord(offset, f"a size record that is not one: {data[:100]!r}")
        self._sizes = [*map(int, found.groups(b"0"))]

    def _ignore(self, _data: bytes, _offset: int) -> None:
        return

    def _time(self, data: bytes, offset: int) -> None:
        found = _TIME.fullmatch(data)
        if found is None:
            raise MalformedRecord(offset, f"an arrival time that is none: {data[:40]!r}")
        if self._arrival < 0:
            self._arrival = int(found[1]) + int(found[2] or 0) / 1e6

    def _sender_record(self, data: bytes, _offset: int) -> None:
        if self._sender is None:
            self._sender = address.from_bytes(data)

    def _full_name_record(self, data: bytes, _offset: int) -> None:
        self._full_name = self._full_name or address.from_bytes(data)

    def _warn(self, data: bytes, offset: int) -> None:
        found = _WARN.fullmatch(data)
        if found is None:
            raise MalformedRecord(offset, f"a warning time that is none: {data[:40]!r}")
        if self._warn_offset < 0:
            self._warn_offset = offset
            self._warn_at = max(float(found[1]), 0.0)

    def _attribute(self, data: bytes, offset: int) -> None:
        name, value = _attribute(data)
        if name in _OF_RECIPIENT:
            self._note(name, value)
        elif name:
            self._attributes.setdefault(name, value)
        else:
            raise MalformedRecord(offset, f"an attribute that is none: {data[:100]!r}")

    def _note(self, name: str, value: str) -> None:
        """What is said of the next recipient, in an attribute or in a record that is short for one."""
        if name == "dsn_orig_rcpt":
            self._orcpt = value
        else:
            notify = self._number(value)
            self._notify = _NOTIFY[notify if notify < 16 else 0]

    def _original_record(self, data: bytes, _offset: int) -> None:
        self._original = data

    def _recipient(self, data: bytes, offset: int) -> None:
        if self._sender is None:
            raise MalformedRecord(offset, "a recipient before the sender")
        if not data:
            raise MalformedRecord(offset, "a recipient without address")
        original = address.from_bytes(self._original) if self._original != data else ""
        self._recipients.append(Recipient(address.from_bytes(data), original, offset, self._orcpt, self._notify))
        self._forget_recipient()

    def _done(self, _data: bytes, _offset: int) -> None:
        self._finished += 1
        self._forget_recipient()

    def _cancel(self, _data: bytes, _offset: int) -> None:
        self._cancelled += 1
        self._forget_recipient()

    def _forget_recipient(self) -> None:
        self._original = b""
        self._orcpt = ""
        self._notify = _NO_NOTIFY


@lru_cache(maxsize=256)  # nearly all are the same in every message
def _attribute(data: bytes) -> tuple[str, str]:
    """Name and value of an attribute; no name where it is none."""
    name, equals, value = address.from_bytes(data).partition("=")
    return name.strip() if equals else "", value.strip()


@lru_cache(maxsize=64)  # a message comes seldom alone
def _origin(records: bytes) -> tuple[str, dict[str, str]] | None:
    """
    Sender and attributes, of a message's first records behind its times; None: they say something else, too.

    What is returned is not to be changed.
    """
    sender: str | None = None
    attributes: dict[str, str] = {}
    at = 0
    while at + 1 < len(records):
        kind, start, at = records[at], at + 2, at + _REACHES[records[at + 1]]
        data = records[start:at]
        name, value = _attribute(data) if kind == record.ATTRIBUTE else ("", "")
        if name and name not in _OF_RECIPIENT:
            attributes.setdefault(name, value)
        elif kind == record.SENDER and sender is None:
            sender = address.from_bytes(data)
        else:
            return None
    return (sender, attributes) if sender is not None and at == len(records) else None


def _named(name: str) -> Take:
    """A type of record that is short for an attribute."""
    if name in _OF_RECIPIENT:
        return lambda reader, data, _offset: reader._note(name, address.from_bytes(data))
    return lambda reader, data, _offset: reader._attributes.setdefault(name, address.from_bytes(data))


def _table(takes: Mapping[int, Take]) -> Table:
    return [takes.get(kind) for kind in range(256)]


_PER_RECIPIENT: Mapping[int, Take] = {
    record.ORIGINAL: EnvelopeReader._original_record,
    record.RECIPIENT: EnvelopeReader._recipient,
    record.DONE: EnvelopeReader._done,
    record.CANCELLED: EnvelopeReader._cancel,
    record.NOTIFY: _named("notify_flags"),
    record.ORCPT: _named("dsn_orig_rcpt"),
}

_ANYWHERE: Mapping[int, Take] = {
    **_PER_RECIPIENT,
    record.ATTRIBUTE: EnvelopeReader._attribute,
    record.FULL_NAME: EnvelopeReader._full_name_record,
    record.FILTER: _named("content_filter"),
    record.REDIRECT: _named("redirect_to"),
    record.INSPECTOR: EnvelopeReader._ignore,
    record.KILLED: EnvelopeReader._ignore,
}

_INITIAL = _table(
    {
        **_ANYWHERE,
        record.SIZE: EnvelopeReader._size,
        record.TIME: EnvelopeReader._time,
        record.SENDER: EnvelopeReader._sender_record,
        record.WARN: EnvelopeReader._warn,
        record.VERP: _named("verp_delimiters"),
        record.CREATE_TIME: _named("create_time"),
        record.RETURN: _named("ret_flags"),
        record.ENVELOPE_ID: _named("envelope_id"),
    }
)

_EXTRACTED = _table(
    {
        **_ANYWHERE,
        ord("P"): EnvelopeReader._ignore,
        ord("r"): EnvelopeReader._ignore,
        ord("e"): EnvelopeReader._ignore,
    }
)
