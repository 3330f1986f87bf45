"""
The transports that contact nobody: ``error``, ``retry`` and ``discard``.

A transport table may say ``error:5.7.1 we do not write there``, ``retry:4.3.2 closed for repairs`` or ``discard:``; the
next hop is then an enhanced status code and a sentence, either of which may be left out. As in Postfix, a code of the
wrong class for the transport is replaced by ``5.0.0``, ``4.0.0`` or ``2.0.0``.
"""

import re

from smtpclient.mail.outcome import Delays, Disposition, Outcome
from smtpclient.mail.request import DeliveryRequest

_STATUS = re.compile(r"\s*([245]\.[0-9]{1,3}\.[0-9]{1,3})(?:\s+|$)")

TRANSPORTS = {
    "error": Disposition.BOUNCED,
    "retry": Disposition.DEFERRED,
    "discard": Disposition.SENT,
}
_CLASSES = {Disposition.BOUNCED: "5", Disposition.DEFERRED: "4", Disposition.SENT: "2"}


def outcomes(request: DeliveryRequest, now: float) -> list[Outcome]:
    """The outcome of every recipient of a request whose transport is in ``TRANSPORTS``."""
    disposition = TRANSPORTS[request.transport]
    status, reason = status_and_reason(request.transport, request.next_hop)
    delays = Delays(max(request.activated - request.envelope.arrival, 0.0), max(now - request.activated, 0.0))
    return [Outcome(recipient, disposition, status, reason, delays=delays) for recipient in request.recipients]


def status_and_reason(transport: str, next_hop: str) -> tuple[str, str]:
    """Enhanced status code and sentence for mail with such a route."""
    found = _STATUS.match(next_hop)
    status = found[1] if found else ""
    reason = next_hop[found.end() if found else 0 :].strip()
    wanted = _CLASSES[TRANSPORTS[transport]]
    return (status if status.startswith(wanted) else wanted + ".0.0", reason or f"the {transport} transport")
