"""
What Postfix's queue manager asks of a delivery agent, and what it is answered: bytes to values and back.

The agent speaks first (:data:`GREETING`); then comes one list of 23 attributes and one list for each recipient
(:class:`RequestReader`); the answer is one list (:func:`encode_answer`). Postfix's ``deliver_request`` is the
reference: 3.6 and later, with ``smtputf8`` until 3.9 and ``sendopts`` since 3.10.

Promises: what comes in whatever pieces is a :class:`Request` or a :exc:`~smtpclient.postfix.attributes.WireError` that
says what was expected; no more than :data:`MOST_RECIPIENTS` recipients are held; an answer is well-formed whatever a
server said.

Does not: look at the queue file.
"""

import enum
import struct
from typing import NamedTuple

from smtpclient.mail.envelope import TRACE_FLAGS, Envelope, Recipient, Return, TlsWish, TraceFlags, Utf8
from smtpclient.mail.outcome import SiteFailure
from smtpclient.postfix.attributes import Fields, Parser, WireError, encode
from smtpclient.postfix.groups import DeliveryStatus, status_pairs, take_recipient

GREETING = encode([("protocol", "delivery_request_protocol")])
"""What the agent says as soon as it is connected."""

MOST_RECIPIENTS = 50_000
"""Recipients in one request; the queue manager sends ``default_destination_recipient_limit`` at most, by default 50."""

_LOGGED_CLIENT = ("log_client_name", "log_client_address", "log_client_port", "log_protocol_name", "log_helo_name")
_SASL = ("sasl_method", "sasl_username", "sasl_sender")
_REST = ("log_ident", "rewrite_context")
# struct of five timevals (incoming, active, handed over, connected, delivered), a count, and padding.
_TIMES = struct.Struct("@10li4x")
_RETURN = {int(ret): ret for ret in Return}


class Flags(enum.IntFlag):
    """What a request says about the way it is to be dealt with; see also :class:`TraceFlags`."""

    MARK_SENT = 1
    MARK_BOUNCED = 2
    REUSE = 0x800  # a session that stands may be used
    KEEP = 0x1000  # the session should be kept: more mail waits for this destination


class Request(NamedTuple):
    """
    One message to some of its recipients by way of one next hop, as the queue manager puts it.

    :param queue: the folder that the message lies in.
    :param activated: when it came into the active queue, seconds since the epoch.
    """

    flags: Flags
    queue: str
    next_hop: str
    activated: float
    envelope: Envelope
    recipients: tuple[Recipient, ...]


class RequestReader:
    """One request out of bytes that come in pieces of any size."""

    def __init__(self) -> None:
        self._parser = Parser()
        self._request: Request | None = None
        self._count = 0
        self._recipients: list[Recipient] = []

    def feed(self, data: bytes) -> Request | None:
        """
        Take what has come; the request, once it is complete, or None.

        :raises WireError: when it is no request.
        """
        self._parser.feed(data)
        while (fields := self._parser.next_list()) is not None:
            if self._request is None:
                self._request, self._count = _take_message(fields)
            elif len(self._recipients) < self._count:
                self._recipients.append(_to_be_marked(take_recipient(fields), self._request.flags))
            else:
                raise WireError(f"expected nothing behind {self._count} recipients")
            fields.end()
        if self._request is None or len(self._recipients) < self._count:
            return None
        return self._request._replace(recipients=tuple(self._recipients))


def _to_be_marked(recipient: Recipient, flags: Flags) -> Recipient:
    """Who asks for no mark keeps account of it elsewhere."""
    return recipient if flags & (Flags.MARK_SENT | Flags.MARK_BOUNCED) else recipient._replace(offset=-1)


def _take_message(fields: Fields) -> tuple[Request, int]:
    """The first list: all but the recipients, and how many of these there will be."""
    flags = fields.integer("flags")
    queue, queue_id = fields.text("queue_name"), fields.text("queue_id")
    offset, size = fields.long("offset"), fields.long("size")
    next_hop, encoding = fields.text("nexthop"), fields.text("encoding")
    wishes = fields.integer("smtputf8", "sendopts")
    sender, envelope_id, ret = fields.text("sender"), fields.text("envelope_id"), fields.integer("ret_flags")
    arrival, activated = _times(fields.data("time"))
    attributes = {name: fields.text(name) for name in (*_LOGGED_CLIENT, *_SASL, *_REST)}
    attributes = {name: value for name, value in attributes.items() if value}
    count = fields.integer("recipient_count")
    if not 0 < count <= MOST_RECIPIENTS:
        raise WireError(f"attribute recipient_count: expected 1 to {MOST_RECIPIENTS}, not {count}")
    if offset < 0 or size < 0:
        raise WireError(f"expected a content that begins and has a size, not offset {offset} and size {size}")
    if traced := TraceFlags.known(flags):
        attributes[TRACE_FLAGS] = str(int(traced))
    envelope = Envelope(
        queue_id=queue_id,
        sender=sender,
        arrival=arrival,
        created=arrival,
        size=size,
        content_offset=offset,
        encoding=encoding if encoding in ("7bit", "8bit") else "",
        utf8=Utf8(wishes & 15),
        envelope_id=envelope_id,
        ret=_RETURN.get(ret, Return.UNSPECIFIED),
        attributes=attributes,
        tls=TlsWish(wishes & 48),
    )
    known = flags & (Flags.MARK_SENT | Flags.MARK_BOUNCED | Flags.REUSE | Flags.KEEP)
    return Request(Flags(known), queue, next_hop, activated, envelope, ()), count


def _times(data: bytes) -> tuple[float, float]:
    """
    When the message arrived and when it came into the active queue, seconds since the epoch.

    :raises WireError: when these are no times of this machine.
    """
    if len(data) != _TIMES.size:
        raise WireError(f"attribute time: expected {_TIMES.size} bytes, not {len(data)}")
    arrival, arrival_micro, active, active_micro, *_ = _TIMES.unpack(data)
    arrived = arrival + arrival_micro / 1e6
    return arrived, active + active_micro / 1e6 if active else arrived


def encode_answer(done: bool, site_failure: SiteFailure | None = None) -> bytes:
    """
    What the queue manager is told.

    :param done: whether it can forget all recipients of the request; those that are not marked are lost then.
    :param site_failure: why the next hop as a whole is of no use, if so: it gets less mail for a while.
    """
    hop = DeliveryStatus()
    if site_failure is not None:
        hop = DeliveryStatus(status=site_failure.status, reason=site_failure.reason)
    return encode([*status_pairs(hop), ("status", 0 if done else -1)])
