"""
Over which session that stands a message may go: the key under which it is kept, and what is to be seen all the same.
"""

from collections.abc import Sequence
from typing import NamedTuple

from smtpclient.delivery import require_tls
from smtpclient.delivery.following import Turn
from smtpclient.delivery.means import Means
from smtpclient.delivery.pool import Key
from smtpclient.delivery.security import Barred
from smtpclient.delivery.session import Session
from smtpclient.mail.envelope import Envelope, Recipient
from smtpclient.mail.request import DeliveryRequest
from smtpclient.smtp import command, verdict
from smtpclient.smtp.verdict import Verdict


class Front(NamedTuple):
    """
    What a message gives along to the one that follows it.

    :param session: fits that one as well.
    :param key: of the session.
    :param turn: of the one that follows.
    """

    session: Session
    key: Key
    turn: Turn


def key_of(means: Means, request: DeliveryRequest, other: Envelope | None = None) -> Key | None:
    """
    What sessions have in common that this mail may use: where they lead, what was asked of TLS, and as whom we have
    logged in. None: no session may.

    :param other: another message that goes the same way; None: that of the request itself.
    """
    envelope = other or request.envelope
    next_hop = request.next_hop
    requirement = None
    if means.security is not None:
        try:
            requirement = means.security.requirement(next_hop, envelope.tls)
        except Barred:
            return None
    login = means.logins.pool_key(envelope.sender) if means.logins is not None else ""
    return request.transport, next_hop if means.settings.lmtp else next_hop.lower(), requirement, login


def unfit(session: Session, envelope: Envelope, recipients: Sequence[Recipient]) -> Verdict | None:
    """Why a message must not go over this session, if so."""
    capabilities = session.capabilities
    limit = capabilities.size_limit
    if limit and envelope.size > limit:
        return verdict.too_big(session.peer, envelope.size, limit)
    if "SMTPUTF8" not in capabilities and command.needs_smtputf8(envelope, recipients):
        return verdict.needs_smtputf8(session.peer)
    return require_tls.lacking(envelope, session)
