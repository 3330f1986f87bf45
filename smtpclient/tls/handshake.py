"""
The TLS handshake with one server: begin it on a channel, judge what the server shows, say in the log what came of it.

:class:`Securing` is one server's. The SMTP dialogue (``smtpclient.smtp.handshake``) decides when; this module knows
how.

The log's lines are Postfix's. With ``smtp_tls_loglevel`` 1 and higher each session has its line, ``Verified TLS
connection established to ...``; with 2 and higher, what the server has shown has one too. What fails is logged at every
level.

Promises: bytes that came in clear text before the handshake are dropped with a warning and never read as part of TLS;
the mail's outcome does not depend on the log level.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from OpenSSL import SSL

from smtpclient.mail.outcome import Peer
from smtpclient.observe.maillog import MailLog
from smtpclient.smtp.channel import Channel, SessionOver, TimedOut
from smtpclient.tls.certificate import Judgement, Presented, Trust, describe, judge
from smtpclient.tls.context import Connecting, ContextProblem, Contexts
from smtpclient.tls.policy import TlsPolicy
from smtpclient.tls.result_type import ResultType
from smtpclient.tls.session_cache import SessionCache
from smtpclient.tls.session_end import SessionEnd

if TYPE_CHECKING:
    from smtpclient.tls.session_watch import SessionWatch

_SHOWN = 100


class HandshakeFailed(Exception):
    """No TLS came about; the connection is gone."""


class NotVerified(Exception):
    """The server has not shown what the policy asks for. The connection stands, inside TLS."""


class Unavailable(Exception):
    """TLS cannot even be begun: something of our own is wrong. The text says what."""


@dataclass(frozen=True, slots=True)
class TlsMeans:
    """
    What handshakes work with.

    :param timeout: for STARTTLS and the handshake, seconds.
    :param wrapper: begin with the handshake, without STARTTLS.
    :param note_offer: log servers that offer STARTTLS where it is not used.
    :param watch: is told how sessions end; None: nobody wants to know.
    """

    contexts: Contexts
    sessions: SessionCache
    maillog: MailLog
    timeout: float = 300.0
    wrapper: bool = False
    note_offer: bool = False
    loglevel: int = 0
    watch: "SessionWatch | None" = None


class Securing:
    """
    TLS with one server.

    :param next_hop: the name of the destination that it is a server of; empty: not to be counted.
    :ivar summary: protocol and cipher, when the handshake is over; empty before.
    """

    def __init__(self, means: TlsMeans, policy: TlsPolicy, peer: Peer, queue_id: str = "", next_hop: str = "") -> None:
        self.policy = policy
        self.summary = ""
        self._means = means
        self._peer = peer
        self._queue_id = queue_id
        self._next_hop = next_hop
        self._connecting: Connecting | None = None
        self._resumed: Judgement | None = None
        self._judgement: Judgement | None = None

    @property
    def timeout(self) -> float:
        """For STARTTLS and for the handshake, seconds."""
        return self._means.timeout

    @property
    def wrapper(self) -> bool:
        """Whether the connection begins with the handshake."""
        return self._means.wrapper

    def prepare(self) -> None:
        """
        See to it that a handshake can be begun.

        :raises Unavailable: when it cannot.
        """
        kept = self._means.sessions.take(self._key)
        try:
            self._connecting = self._means.contexts.connecting(self.policy, kept.session if kept else None)
        except ContextProblem as why:
            self._means.maillog.warning("smtp", f"{self._peer}: TLS cannot be used: {why}")
            raise Unavailable(str(why)) from None
        self._resumed = kept.judgement if kept else None

    def unreachable(self, words: str) -> None:
        """There is no connection."""
        self._tell(SessionEnd(ResultType.VALIDATION_FAILURE, words, "connect"))

    def not_offered(self, words: str = "") -> None:
        """
        The server does without STARTTLS.

        :param words: its own, where it has refused the command.
        """
        self._tell(SessionEnd(ResultType.STARTTLS_NOT_SUPPORTED, words))

    @property
    def is_verified(self) -> bool:
        """Whether the server has shown who it is, and somebody vouches for the list on which it stands."""
        return self._judgement is not None and self._judgement.trust is Trust.VERIFIED

    def _tell(self, end: SessionEnd) -> None:
        if self._means.watch is not None and self._next_hop:
            self._means.watch.ended(self._next_hop, self.policy, self._peer, end)

    def note_offer(self) -> None:
        """The server offers STARTTLS, and it is not used."""
        if self._means.note_offer:
            self._means.maillog.info("smtp", f"Host offered STARTTLS: [{self._peer.host}]", self._queue_id)

    async def run(self, channel: Channel) -> None:
        """
        Do the handshake, after :meth:`prepare`.

        :raises HandshakeFailed: when TLS does not come about.
        :raises NotVerified: when the server is not the one that the policy asks for.
        """
        assert self._connecting is not None
        injected = channel.drop_unread()
        if injected:
            shown = injected[:_SHOWN].replace("\n", " ")
            self._means.maillog.warning("smtp", f"{self._peer} sent plaintext before TLS, which is dropped: {shown}")
        try:
            await channel.start_tls(self._connecting, self._means.timeout)
        except SessionOver as why:
            words = "Connection timed out" if isinstance(why, TimedOut) else _words(why)
            self._means.maillog.info("smtp", f"SSL_connect error to {self._peer}: {words}")
            self._tell(SessionEnd(ResultType.VALIDATION_FAILURE, words, "handshake"))
            raise HandshakeFailed(words) from None
        self._judge(channel.tls, _local(channel))

    def finished(self, channel: Channel) -> None:
        """The session is at its end, and was of use: it may be resumed."""
        if self.summary and self._judgement is not None:
            try:
                session = channel.tls.get_session()
            except Exception:  # it is only worth something while the connection stands
                return
            if session is not None:
                self._means.sessions.keep(self._key, session, self._judgement)

    def _judge(self, connection: SSL.Connection, local: str) -> None:
        assert self._connecting is not None
        presented = self._connecting.presented(connection)
        resumed = self._resumed if self._connecting.is_resumed(connection) else None
        judgement = resumed or judge(presented, self.policy)
        self._judgement = judgement
        self.summary = _summary(connection)
        self._log(judgement, presented, connection, "established" if resumed is None else "reused")
        seen = presented if resumed is None else None
        self._tell(SessionEnd(complaint=judgement.complaint, presented=seen, local=local))
        if not judgement.accepted:
            raise NotVerified(judgement.complaint)

    def _log(self, judgement: Judgement, presented: Presented, connection: SSL.Connection, manner: str) -> None:
        maillog, peer = self._means.maillog, self._peer
        if not judgement.accepted:
            maillog.info("smtp", f"server certificate verification failed for {peer}: {judgement.complaint}")
        if self._means.loglevel >= 2 and presented.certificates:
            maillog.info("smtp", f"{peer}: {describe(presented.certificates[0])}")
            if presented.fault:
                maillog.info("smtp", f"certificate verification failed for {peer}: {presented.fault}")
        if self._means.loglevel >= 1:
            group = getattr(connection, "get_group_name", str)()  # older pyOpenSSL has none
            exchange = f" key-exchange {_group(group)}" if group else ""
            trust = judgement.trust.value
            maillog.info("smtp", f"{trust} TLS connection {manner} to {peer}: {self.summary}{exchange}")

    @property
    def _key(self) -> Hashable:
        return self.policy, self._peer


def _local(channel: Channel) -> str:
    """Our own address; empty where the transport has none."""
    return getattr(channel.transport.getHost(), "host", "") if channel.transport is not None else ""


def _words(why: SessionOver) -> str:
    """OpenSSL's words for what went wrong, or the network's."""
    cause = why.__cause__
    if isinstance(cause, SSL.Error) and cause.args and isinstance(cause.args[0], list):
        return ", ".join(str(entry[-1]) for entry in cause.args[0]) or "unknown error"
    return "lost connection"


def _summary(connection: SSL.Connection) -> str:
    """As the log has it: ``TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)``."""
    bits = connection.get_cipher_bits() or 0
    version = connection.get_protocol_version_name()
    return f"{version} with cipher {connection.get_cipher_name()} ({bits}/{bits} bits)"


def _group(name: str) -> str:
    return "X25519" if name.lower() == "x25519" else name
