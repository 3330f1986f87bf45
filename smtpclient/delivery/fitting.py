"""
Over which session that stands a message may go: the key under which it is kept, and what is to be seen all the same.
"""

from collections.abc import Callable, Sequence

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
from smtpclient.tls.policy import Requirement


class Front(Turn):
    """
    What a message gives along to the one that follows it: the place behind it.

    :param next_hop: of both messages.
    :param session: in which the place is.
    :param key: of the session.
    """

    __slots__ = ("_means", "_next_hop", "key", "session")

    def __init__(self, means: Means, next_hop: str, session: Session, key: Key, *, is_orderly: bool) -> None:
        super().__init__(is_orderly=is_orderly)
        self._means = means
        self._next_hop = next_hop
        self.session = session
        self.key = key

    def fits(self, envelope: Envelope, recipients: Sequence[Recipient]) -> bool:
        """Whether a message that goes the same way may have this place."""
        if _asked(self._means, self._next_hop, envelope) != self.key[2:]:
            return False
        return unfit(self.session, envelope, recipients) is None

    def stand(self, request: DeliveryRequest, begin: Callable[[], None]) -> None:
        """Have a message stand here, and begin in its turn."""
        self.session.stand_behind(self, request, begin)


def key_of(means: Means, request: DeliveryRequest) -> Key | None:
    """
    What sessions have in common that this mail may use: where they lead, what was asked of TLS, and as whom we have
    logged in. None: no session may.
    """
    next_hop = request.next_hop
    asked = _asked(means, next_hop, request.envelope)
    if asked is None:
        return None
    return request.transport, next_hop if means.settings.lmtp else next_hop.lower(), *asked


def _asked(means: Means, next_hop: str, envelope: Envelope) -> tuple[Requirement | None, str] | None:
    """The part of a key that is not the same for all messages of a next hop."""
    requirement = None
    if means.security is not None:
        try:
            requirement = means.security.requirement(next_hop, envelope.tls)
        except Barred:
            return None
    return requirement, means.logins.pool_key(envelope.sender) if means.logins is not None else ""


def unfit(session: Session, envelope: Envelope, recipients: Sequence[Recipient]) -> Verdict | None:
    """Why a message must not go over this session, if so."""
    capabilities = session.capabilities
    limit = capabilities.size_limit
    if limit and envelope.size > limit:
        return verdict.too_big(session.peer, envelope.size, limit)
    if command.needs_smtputf8(envelope, recipients) and "SMTPUTF8" not in capabilities:
        return verdict.needs_smtputf8(session.peer)
    return require_tls.lacking(envelope, session)
