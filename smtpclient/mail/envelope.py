"""
What a queue file says about one message, as values that do not change.

An :class:`Envelope` is everything but recipients and content; a :class:`Recipient` is one delivery to make;
a :class:`QueuedMessage` is both, as read from a queue file; a :class:`NewMessage` is what someone asks to
have queued. Times are seconds since the epoch, sizes are bytes.

What is made for every message is a named tuple: it is as frozen as a frozen dataclass, and made in a third of the
time. The others are dataclasses.
"""

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from smtpclient.mail import address


class Notify(enum.IntFlag):
    """RFC 3461 NOTIFY, with the numbers that queue files use. Zero: the sender did not say."""

    NEVER = 1
    SUCCESS = 2
    FAILURE = 4
    DELAY = 8


class Return(enum.IntEnum):
    """RFC 3461 RET, with the numbers that queue files use."""

    UNSPECIFIED = 0
    FULL = 1
    HEADERS = 2


class Utf8(enum.IntFlag):
    """Why and where a message needs SMTPUTF8 (RFC 6531), with the numbers that queue files use."""

    REQUESTED = 1
    HEADER = 2
    SENDER = 4
    RECIPIENT = 8


class TlsWish(enum.IntFlag):
    """What a message asks of TLS on its way (RFC 8689), with the numbers that queue files use."""

    OPTIONAL = 16  # TLS-Required: No
    REQUIRED = 32  # REQUIRETLS


TRACE_FLAGS = "trace_flags"
"""The attribute of an envelope that says what is to be traced; in queue files it is an ``A`` record of this name."""


class TraceFlags(enum.IntFlag):
    """Why a delivery is made, where that is not to deliver, and what is to be recorded of it beside the usual."""

    VERIFY = 0x100  # a probe of verify(8): it is told, nothing is sent
    PROBE = 0x200  # a probe of ``sendmail -bv``: the sender is told, nothing is sent
    RECORD = 0x400  # ``sendmail -v``: the sender hears of every recipient
    RECORD_LATER = 0x2000  # the sender was warned of a delay, and hears of the success

    @classmethod
    def known(cls, flags: int) -> "TraceFlags":
        """Those among the flags of a delivery request, or of a message."""
        return cls(flags & 0x2700)


_PROBES = TraceFlags.VERIFY | TraceFlags.PROBE


class Recipient(NamedTuple):
    """
    One recipient of one message.

    :param address: where to deliver, internal form.
    :param original: the recipient as the sender gave it, or empty where it is the same.
    :param offset: where the type byte of its record stands in the queue file; -1: it is not marked there.
    :param orcpt: RFC 3461 ORCPT, ``rfc822;address``, or empty.
    :param notify: RFC 3461 NOTIFY.
    """

    address: str
    original: str = ""
    offset: int = -1
    orcpt: str = ""
    notify: Notify = Notify(0)

    @property
    def domain(self) -> str:
        """The recipient's domain in lower case."""
        return address.domain_of(self.address)


class Envelope(NamedTuple):
    """
    One queued message without its recipients.

    :param queue_id: the name of its file.
    :param sender: internal form; empty is the null sender.
    :param arrival: when it was accepted, seconds since the epoch.
    :param created: what its age is counted from (differs from arrival after a requeue).
    :param size: length of the content in bytes as logged and as announced with SIZE.
    :param content_offset: where the first content record stands in the queue file.
    :param content_length: bytes from there to the end-of-content record, before edits.
    :param encoding: ``7bit``, ``8bit`` or empty: what the submitter declared.
    :param envelope_id: RFC 3461 ENVID, decoded, or empty.
    :param attributes: every other ``name=value`` record of the envelope.
    :param tls: what the message asks of TLS; both at once is the same as ``REQUIRED``.
    """

    queue_id: str
    sender: str
    arrival: float
    created: float
    size: int
    content_offset: int
    content_length: int = 0
    encoding: str = ""
    utf8: Utf8 = Utf8(0)
    envelope_id: str = ""
    ret: Return = Return.UNSPECIFIED
    full_name: str = ""
    attributes: Mapping[str, str] = MappingProxyType({})
    tls: TlsWish = TlsWish(0)

    @property
    def is_probe(self) -> bool:
        """Whether it only asks if its recipients are accepted (``sendmail -bv``, verify(8)): nothing is sent."""
        return TRACE_FLAGS in self.attributes and bool(self.trace_flags & _PROBES)

    @property
    def is_traced(self) -> bool:
        """Whether somebody hears of every delivery: a probe, ``sendmail -v``, a sender who was warned of a delay."""
        return TRACE_FLAGS in self.attributes and bool(self.trace_flags)

    @property
    def trace_flags(self) -> TraceFlags:
        """What is to be traced; what is no number asks for nothing."""
        flags = self.attributes.get(TRACE_FLAGS, "")
        return TraceFlags.known(int(flags) if len(flags) < 10 and flags.isascii() and flags.isdecimal() else 0)


class QueuedMessage(NamedTuple):
    """
    A message as its queue file tells it now.

    :param recipients: those still to be delivered, in file order.
    :param finished: how many recipients are marked done.
    :param warn_at: when the delay warning is due, seconds since the epoch; 0 when none is wanted or it was sent.
    :param warn_offset: where the record of ``warn_at`` stands, or -1.
    """

    envelope: Envelope
    recipients: tuple[Recipient, ...]
    finished: int = 0
    warn_at: float = 0.0
    warn_offset: int = -1


@dataclass(frozen=True, slots=True)
class NewMessage:
    """
    A message to be queued: envelope and canonical content.

    :param sender: internal form; empty is the null sender.
    :param recipients: at least one; offsets are ignored.
    :param content: header, blank line, body; lines end in LF. Either one bytes object or blocks of any size, which
        are read once, while the message is stored.
    :param created: what its age is counted from; None: the time it is queued.
    :param attributes: further ``name=value`` records, for instance ``log_message_origin``.
    """

    sender: str
    recipients: Sequence[Recipient]
    content: bytes | Iterable[bytes]
    encoding: str = ""
    utf8: Utf8 = Utf8(0)
    envelope_id: str = ""
    ret: Return = Return.UNSPECIFIED
    full_name: str = ""
    created: float | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    tls: TlsWish = TlsWish(0)
