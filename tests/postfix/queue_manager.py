"""Postfix's queue manager as a delivery agent sees it: requests as bytes, and a connection in memory."""

import base64
import struct
from collections.abc import Sequence

from smtpclient.mail.envelope import Envelope, Recipient
from smtpclient.postfix.attributes import Fields, Long, Parser, encode
from smtpclient.postfix.groups import recipient_pairs
from tests.mail.messages import envelope as plain_envelope

_ATTRIBUTES = (
    "log_client_name",
    "log_client_address",
    "log_client_port",
    "log_protocol_name",
    "log_helo_name",
    "sasl_method",
    "sasl_username",
    "sasl_sender",
    "log_ident",
    "rewrite_context",
)


def request(
    *recipients: Recipient,
    flags: int = 3,
    queue: str = "active",
    next_hop: str = "there.test",
    activated: float = 2.5,
    envelope: Envelope | None = None,
    wishes: tuple[str, int] | None = None,
    count: int | None = None,
) -> bytes:
    """
    A request, as 3.7 sends it.

    :param wishes: name and value of the attribute in the eighth place; None: those of the envelope.
    :param count: of recipients, as said; None: as it is.
    """
    envelope = envelope or plain_envelope(arrival=1.25)
    times: Sequence[float] = (envelope.arrival, activated, 0.0, 0.0, 0.0)
    numbers = [number for moment in times for number in (int(moment), int(moment % 1 * 1e6))]
    first = encode(
        [
            ("flags", flags),
            ("queue_name", queue),
            ("queue_id", envelope.queue_id),
            ("offset", Long(envelope.content_offset)),
            ("size", Long(envelope.size)),
            ("nexthop", next_hop),
            ("encoding", envelope.encoding),
            wishes or ("smtputf8", int(envelope.utf8) | int(envelope.tls)),
            ("sender", envelope.sender),
            ("envelope_id", envelope.envelope_id),
            ("ret_flags", int(envelope.ret)),
            ("time", base64.b64encode(struct.pack("@10li4x", *numbers, 0))),
            *((name, envelope.attributes.get(name, "")) for name in _ATTRIBUTES),
            ("recipient_count", len(recipients) if count is None else count),
        ]
    )
    return first + b"".join(encode(recipient_pairs(each)) for each in recipients)


def lists(data: bytes) -> list[Fields]:
    """All lists in some bytes."""
    parser = Parser()
    parser.feed(data)
    found = []
    while (fields := parser.next_list()) is not None:
        found.append(fields)
    return found


def answer(data: bytes) -> tuple[int, str, str]:
    """The number at the end of an answer, and what is said of the next hop: status and reason."""
    (fields,) = lists(data)
    hop = {name: fields.text(name) for name in ("status", "diag_type", "diag_text", "mta_type", "mta_mname", "action")}
    reason = fields.text("reason")
    number = fields.integer("status")
    fields.end()
    return number, hop["status"], reason
