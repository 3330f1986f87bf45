"""
REQUIRETLS (RFC 8689): whether a session is one over which a message that asks for it may go.

The server must have shown who it is, and must promise, by offering REQUIRETLS inside TLS, to ask the same of the next
one. Where it does not, the next server is tried; where none does, the message is returned: it would be no better
tomorrow. What may pass (a failed handshake, a server that is not reached) is tried again later, as always.
"""

from smtpclient.delivery.session import Session
from smtpclient.mail.envelope import Envelope, TlsWish
from smtpclient.mail.outcome import Disposition
from smtpclient.smtp.verdict import Verdict


def lacking(envelope: Envelope, session: Session) -> Verdict | None:
    """Why a message that asks for REQUIRETLS must not go over a session; None when it may."""
    if not (envelope.tls and envelope.tls & TlsWish.REQUIRED):
        return None
    name = session.peer.name
    if not session.is_verified:
        words = f"REQUIRETLS is required, but host {name} has not shown who it is"
        return Verdict(Disposition.BOUNCED, "5.7.10", words)
    if "REQUIRETLS" not in session.capabilities:
        return Verdict(Disposition.BOUNCED, "5.7.30", f"REQUIRETLS is required, but was not offered by host {name}")
    return None
