"""
One event of one recipient, and its JSON: what commands, URLs and other outside services are told.

The keys are a promise to programs that others write: none is ever renamed or removed, new ones may be added.
``doc/reports.rst`` shows them to the operator.

===================== ==========================================================================================
``version``           1
``event``             ``bounced``: failed for good; ``deferred``: will be tried again; ``delayed``: the delay warning
                      is due; ``expired``: given up after too many deferrals; ``delivered``: a server took it;
                      ``deliverable`` or ``undeliverable``: what a server says of a recipient that is only asked about
``time``              when it was recorded, seconds since the epoch
``queue_id``          the message's name in the queue
``sender``            envelope sender, quoted where it must be; empty: the null sender
``envelope_id``       ENVID of RFC 3461, or empty
``ret``               RET of RFC 3461: ``FULL``, ``HDRS`` or empty
``arrival``           when the message was accepted, seconds since the epoch
``size``              of its content, bytes
``recipient``         envelope recipient, quoted where it must be
``original``          the recipient as the sender gave it, where it differs, or empty
``orcpt``             ORCPT of RFC 3461, ``type;address``, or empty
``notify``            list out of ``NEVER``, ``SUCCESS``, ``FAILURE``, ``DELAY``; empty: the sender did not say
``status``            enhanced status code, RFC 3463
``reason``            one sentence for people
``reply``             the server's reply that decided it, or empty
``host``              the name of the server that it came from, or empty
===================== ==========================================================================================

Promises: one line of ASCII, at most one line end, at its end; ``(event, queue_id, recipient)`` names an event, which
may be told more than once after a crash.

Known limits: bytes of an address or a reply that are not UTF-8 are shown as U+FFFD.
"""

import json
import re
from dataclasses import dataclass

from smtpclient.mail import address as addresses
from smtpclient.mail.envelope import Envelope, Notify, Return
from smtpclient.report.entry import Entry

VERSION = 1

_SURROGATE = re.compile("[\ud800-\udfff]")
_RET = {Return.UNSPECIFIED: "", Return.FULL: "FULL", Return.HEADERS: "HDRS"}


@dataclass(frozen=True, slots=True)
class Event:
    """
    What happened to one recipient.

    :param name: one of the words for ``event`` above.
    :param time: seconds since the epoch.
    """

    name: str
    envelope: Envelope
    entry: Entry
    time: float


def encode(event: Event) -> bytes:
    """An event as a line of JSON."""
    envelope, entry = event.envelope, event.entry
    recipient = entry.recipient
    record: dict[str, object] = {
        "version": VERSION,
        "event": event.name,
        "time": round(event.time, 6),
        "queue_id": envelope.queue_id,
        "sender": _text(addresses.external(envelope.sender)),
        "envelope_id": _text(envelope.envelope_id),
        "ret": _RET[envelope.ret],
        "arrival": round(envelope.arrival, 6),
        "size": envelope.size,
        "recipient": _text(addresses.external(recipient.address)),
        "original": _text(addresses.external(recipient.original)) if recipient.original != recipient.address else "",
        "orcpt": _text(recipient.orcpt),
        "notify": [flag.name for flag in Notify if flag in recipient.notify],
        "status": entry.status,
        "reason": _text(entry.reason),
        "reply": _text(entry.diagnostic),
        "host": _text(entry.mta),
    }
    return json.dumps(record).encode("ascii") + b"\n"


def _text(text: str) -> str:
    """What may stand in JSON: half a surrogate pair is refused by many readers."""
    return _SURROGATE.sub("\ufffd", text)
