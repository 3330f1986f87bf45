"""
The transports without a server: ``error``, ``retry`` and ``discard``.

A transport table may say ``error:5.7.1 we do not write there``, ``retry:4.3.2 closed for repairs`` or ``discard:``; the
next hop is then an enhanced status code, which may be left out, and a sentence. As in Postfix, a code of the wrong
class for the transport is replaced by ``5.0.0`` or ``4.0.0``.
"""

import re

from smtpclient.mail.outcome import Delays, Disposition, Outcome
from smtpclient.mail.request import DeliveryRequest

_STATUS = re.compile(r"([245]\.\d{1,3}\.\d{1,3})\s+")

TRANSPORTS = {"error": Disposition.BOUNCED, "retry": Disposition.DEFERRED, "discard": Disposition.SENT}
_CLASSES = {Disposition.BOUNCED: "5", Disposition.DEFERRED: "4", Disposition.SENT: "2"}


def outcomes(request: DeliveryRequest, now: float) -> list[Outcome]:
    """The outcome of every recipient of a request whose transport is in ``TRANSPORTS``."""
    disposition = TRANSPORTS[request.transport]
    found = _STATUS.match(request.next_hop)
    status = found[1] if found else ""
    reason = request.next_hop[found.end() :] if found else request.next_hop
    if status[:1] != _CLASSES[disposition]:
        status = _CLASSES[disposition] + ".0.0"
    delays = Delays(max(request.activated - request.envelope.arrival, 0.0), max(now - request.activated, 0.0))
    return [
        Outcome(recipient, disposition, status, reason.strip() or f"the {request.transport} transport", delays=delays)
        for recipient in request.recipients
    ]
