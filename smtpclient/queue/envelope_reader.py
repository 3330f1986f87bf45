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
from collections.abc import Callable, Mapping
from functools import lru_cache

from smtpclient.mail import address
from smtpclient.mail.envelope import Envelope, Notify, QueuedMessage, Recipient, Return, TlsWish, Utf8
from smtpclient.queue import record
from smtpclient.queue.record import MalformedRecord
from smtpclient.queue.record_reader import RecordReader

_LONGEST_NUMBER = 15  # digits of a number in the size record
_TIME = re.compile(rb" *([0-9]{1,11})(?: +([0-9]{1,6}))? *")
_WARN = re.compile(rb" *(-?[0-9]{1,11}) *")
_NUMBER = re.compile(r"[0-9]{1,11}")

_NOTIFY = tuple(Notify(number) for number in range(16))
_NO_NOTIFY = _NOTIFY[0]
_HEADERS, _UNSPECIFIED = Return.HEADERS, Return.UNSPECIFIED
_UTF8 = tuple(Utf8(number) for number in range(16))
_TLS = tuple(TlsWish(number << 4) for number in range(4))

Take = Callable[["EnvelopeReader", bytes], None]


class EnvelopeReader:
    """
    One reading of one queue file.

    :param reader: stands at the start of the file.
    :param remark: told, in words, of what is odd and does no harm.
    """

    def __init__(self, queue_id: str, reader: RecordReader, remark: Callable[[str], None]) -> None:
        self._queue_id = queue_id
        self._reader = reader
        self._remark = remark
        self._sizes: list[int] = []
        self._arrival = -1.0
        self._sender: str | None = None
        self._full_name = ""
        self._warn_at = 0.0
        self._warn_offset = -1
        self._attributes: dict[str, str] = {}
        self._recipients: list[Recipient] = []
        self._offset = 0  # of the record that is being taken
        self._finished = 0
        self._cancelled = 0
        self._forget_recipient()

    def read(self) -> QueuedMessage:
        """
        The message.

        :raises MalformedRecord: when the file does not hold one.
        :raises OSError: when the file cannot be read.
        """
        kind, data = self._reader.next()
        if kind != record.SIZE:
            raise MalformedRecord(0, f"a record of type {record.name(kind)} instead of the size record")
        self._size_record(data)
        self._segment(_INITIAL, record.CONTENT)
        start = self._reader.position
        end = self._pass_content(start)
        self._segment(_EXTRACTED, record.END)
        return self._message(start, end)

    def _size_record(self, data: bytes) -> None:
        numbers = data.split()
        digits = b"".join(numbers)
        is_sound = 3 <= len(numbers) <= 6 and digits.isdigit() and len(digits) + data.count(b" ") == len(data)
        if not is_sound or max(map(len, numbers)) > _LONGEST_NUMBER:
            raise MalformedRecord(self._reader.offset, f"a size record that is not one: {data[:100]!r}")
        self._sizes = [*map(int, numbers), 0, 0, 0]

    def _segment(self, wanted: Mapping[int, Take], last: int) -> None:
        """Take every record up to the one that ends the segment; neither that nor a pointer is wanted."""
        reader = self._reader
        while True:
            # An envelope is little else than short records, so they are worth a loop without a call for each.
            window, base, at = reader.at_hand
            room = len(window)
            while at + 2 <= room:
                take = wanted.get(window[at])
                length = window[at + 1]
                end = at + 2 + length
                if take is None or length > 0x7F or end > room:
                    break
                self._offset = base + at
                take(self, window[at + 2 : end])
                at = end
            reader.seek(base + at)
            kind, data = reader.next()
            self._offset = reader.offset
            if kind == last:
                self._must_be_empty(kind, data)
                return
            if kind not in wanted:
                self._refuse(kind, last)
            wanted[kind](self, data)

    def _refuse(self, kind: int, last: int) -> None:
        where = "before" if last == record.CONTENT else "behind"
        words = f"a record of type {record.name(kind)} in the envelope {where} the content"
        raise MalformedRecord(self._offset, words)

    def _pass_content(self, start: int) -> int:
        """
        Go behind the record that ends the content.

        :return: where that record stands.
        """
        length, stated_start = self._sizes[:2]
        if stated_start == start and self._reader.stands_at(start + length, record.EXTRACTED):
            self._reader.seek(start + length + 2)
            return start + length
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
        at = self._reader.offset
        if self._arrival < 0:
            raise MalformedRecord(at, "no arrival time in the whole envelope")
        if self._sender is None:
            raise MalformedRecord(at, "no sender in the whole envelope")
        seen = len(self._recipients) + self._finished + self._cancelled
        if not seen:
            raise MalformedRecord(at, "no recipient in the whole envelope, not even a finished one")
        if seen < self._sizes[2]:
            self._remark(f"{seen} recipients, where the size record counts {self._sizes[2]}")
        attributes = self._attributes
        created = self._number(attributes.pop("create_time", ""))
        ret = self._number(attributes.pop("ret_flags", ""))
        sizes = self._sizes
        tls = _TLS[sizes[5] >> 4 & 3]
        envelope = Envelope(
            queue_id=self._queue_id,
            sender=self._sender,
            arrival=self._arrival,
            created=float(created) if created else self._arrival,
            size=sizes[4] or sizes[0] or end - start,
            content_offset=start,
            content_length=end - start,
            encoding=attributes.pop("encoding", ""),
            utf8=_UTF8[sizes[5] & 15],
            envelope_id=attributes.pop("envelope_id", ""),
            ret=_return(ret, tls),
            full_name=self._full_name,
            attributes=attributes,
            tls=tls,
        )
        return QueuedMessage(envelope, tuple(self._recipients), self._finished, self._warn_at, self._warn_offset)

    def _number(self, text: str) -> int:
        """A number, or 0 for what is none."""
        if not text:
            return 0
        if _NUMBER.fullmatch(text) is None:
            self._remark(f"ignoring {text!r}, which should be a number")
            return 0
        return int(text)

    # What each type of record means.

    def _ignore(self, _data: bytes) -> None:
        return

    def _time(self, data: bytes) -> None:
        found = _TIME.fullmatch(data)
        if found is None:
            raise MalformedRecord(self._offset, f"an arrival time that is none: {data[:40]!r}")
        if self._arrival < 0:
            self._arrival = int(found[1]) + int(found[2] or 0) / 1e6

    def _sender_record(self, data: bytes) -> None:
        if self._sender is None:
            self._sender = address.from_bytes(data)

    def _full_name_record(self, data: bytes) -> None:
        self._full_name = self._full_name or address.from_bytes(data)

    def _warn(self, data: bytes) -> None:
        found = _WARN.fullmatch(data)
        if found is None:
            raise MalformedRecord(self._offset, f"a warning time that is none: {data[:40]!r}")
        if self._warn_offset < 0:
            self._warn_offset = self._offset
            self._warn_at = max(float(found[1]), 0.0)

    def _attribute(self, data: bytes) -> None:
        name, value = _attribute(data)
        if not name:
            raise MalformedRecord(self._offset, f"an attribute that is none: {data[:100]!r}")
        self._set(name, value)

    def _set(self, name: str, value: str) -> None:
        if name == "notify_flags":
            notify = self._number(value)
            self._notify = _NOTIFY[notify if notify < 16 else 0]
        elif name == "dsn_orig_rcpt":
            self._orcpt = value
        else:
            self._attributes.setdefault(name, value)

    def _original_record(self, data: bytes) -> None:
        self._original = data

    def _recipient(self, data: bytes) -> None:
        if self._sender is None:
            raise MalformedRecord(self._offset, "a recipient before the sender")
        if not data:
            raise MalformedRecord(self._offset, "a recipient without address")
        original = address.from_bytes(self._original) if self._original != data else ""
        self._recipients.append(Recipient(address.from_bytes(data), original, self._offset, self._orcpt, self._notify))
        self._forget_recipient()

    def _done(self, _data: bytes) -> None:
        self._finished += 1
        self._forget_recipient()

    def _cancel(self, _data: bytes) -> None:
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


def _return(number: int, tls: TlsWish) -> Return:
    """What of the message a report may hold; no content of one that must not be seen (RFC 8689 section 5)."""
    if tls and tls & TlsWish.REQUIRED:
        return _HEADERS
    return Return(number) if number in (1, 2) else _UNSPECIFIED


def _named(name: str) -> Take:
    """A type of record that is short for an attribute."""
    return lambda reader, data: reader._set(name, address.from_bytes(data))


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

_INITIAL: Mapping[int, Take] = {
    **_ANYWHERE,
    record.SIZE: EnvelopeReader._ignore,
    record.TIME: EnvelopeReader._time,
    record.SENDER: EnvelopeReader._sender_record,
    record.WARN: EnvelopeReader._warn,
    record.VERP: _named("verp_delimiters"),
    record.CREATE_TIME: _named("create_time"),
    record.RETURN: _named("ret_flags"),
    record.ENVELOPE_ID: _named("envelope_id"),
}

_EXTRACTED: Mapping[int, Take] = {
    **_ANYWHERE,
    ord("P"): EnvelopeReader._ignore,
    ord("r"): EnvelopeReader._ignore,
    ord("e"): EnvelopeReader._ignore,
}
