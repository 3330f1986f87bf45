"""
From an address to a session: connect, let in who may listen, introduce ourselves.

:meth:`Opening.open` gives a :class:`~smtpclient.delivery.session.Session`, or a :class:`NoSession` that says why there
is none and whether that is a reason to try the next address. What is done then, and what becomes of the message, is
for whoever walks through the addresses.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from smtpclient.delivery.connector import CannotBind, Connector, Shortage, Unreachable
from smtpclient.delivery.login import Login, protection
from smtpclient.delivery.session import Session
from smtpclient.dns.exchangers import Exchanger
from smtpclient.mail.outcome import Disposition, Peer
from smtpclient.observe.maillog import MailLog
from smtpclient.observe.peers import PeerPatterns
from smtpclient.observe.trace import DebugTrace, Traces, Transcript
from smtpclient.smtp import verdict
from smtpclient.smtp.channel import Channel, SessionOver
from smtpclient.smtp.deadline import Pace
from smtpclient.smtp.handshake import Introduction, Refused
from smtpclient.smtp.reply import Trace
from smtpclient.smtp.settings import DialogueSettings
from smtpclient.smtp.verdict import Verdict
from smtpclient.tls.handshake import Securing

Secure = Callable[[Peer], Securing]


@dataclass(frozen=True, slots=True)
class NoSession:
    """
    An address that gave no session.

    :param peer: the server that was reached; None when none was.
    :param greeted: the server had greeted us, and nothing the operator chose to skip: where no error after the
        greeting moves on, this one does not.
    :param session: the connection that still stands, to be left politely; None when there is none.
    :param broke_tls: the handshake of TLS did not come to its end, or the connection was lost inside TLS.
    :param shortage: this machine lacks something that no other address could do without.
    """

    verdict: Verdict
    peer: Peer | None = None
    greeted: bool = False
    session: Session | None = None
    broke_tls: bool = False
    shortage: bool = False

    @property
    def is_final(self) -> bool:
        """Whether no other address could do better."""
        return self.shortage or self.verdict.disposition is Disposition.BOUNCED


class Opening:
    """
    Opens sessions.

    :param debug_peers: whose dialogue goes into the log.
    :param transcripts: remember every dialogue, for the postmaster.
    :param debug_level: from 2 on, the log tells how long each reply took.
    """

    def __init__(
        self,
        connector: Connector,
        dialogue: DialogueSettings,
        clock: IReactorTime,
        maillog: MailLog,
        debug_peers: PeerPatterns,
        *,
        transcripts: bool,
        debug_level: int = 1,
    ) -> None:
        self._connector = connector
        self._dialogue = dialogue
        self._clock = clock
        self._maillog = maillog
        self._debug_peers = debug_peers
        self._transcripts = transcripts
        self._debug_level = debug_level

    async def open(
        self,
        exchanger: Exchanger,
        next_hop: str,
        *,
        best: bool,
        secure: Secure | None = None,
        login: Login | None = None,
        line: Channel | Unreachable | Shortage | None = None,
    ) -> Session | NoSession:
        """
        Connect to one address, introduce ourselves and log in.

        :param next_hop: the destination in the operator's words, for the loop report.
        :param best: this server is among the best of its destination.
        :param secure: gives TLS with the server; None: without.
        :param login: ours at the server; None: there is none.
        :param line: what calling the address has come to; None: it has not been called.
        """
        peer = _peer(exchanger.host, exchanger.address, exchanger.port)
        securing = secure(peer) if secure is not None else None
        try:
            channel = await self._channel(exchanger, line)
        except Shortage as why:
            return NoSession(verdict.no_resource(str(why)), shortage=True)
        except CannotBind:
            return NoSession(verdict.cannot_bind())
        except Unreachable as why:
            if securing is not None:
                securing.unreachable(str(why))
            return NoSession(verdict.unreachable(peer, str(why)))
        transcript = Transcript() if self._transcripts else None
        channel.trace = self._trace(peer, transcript)
        if self._dialogue.min_data_rate:
            channel.pace = Pace(self._dialogue.min_data_rate)
        if self._dialogue.reply_filter is not None:
            channel.replace_lines(self._dialogue.reply_filter.lookup)
        introduction = Introduction(channel, self._dialogue, peer, next_hop=next_hop, best=best, securing=securing)
        try:
            return await self._introduce(channel, peer, introduction, transcript, securing, login)
        except BaseException:
            channel.abort()
            raise

    async def _channel(self, exchanger: Exchanger, line: Channel | Unreachable | Shortage | None) -> Channel:
        if line is None:
            return await self._connector.connect(exchanger.address, exchanger.port)
        if isinstance(line, Channel):
            return line
        raise line

    async def _introduce(
        self,
        channel: Channel,
        peer: Peer,
        introduction: Introduction,
        transcript: Transcript | None,
        securing: Securing | None,
        login: Login | None,
    ) -> Session | NoSession:
        refusal = None
        try:
            capabilities = await introduction.run()
            if login is not None:
                await login.run(channel, capabilities, peer, protection(channel, securing))
            else:
                introduction.capabilities = capabilities.without_login
        except Refused as no:
            refusal = no
        except SessionOver as why:
            inside = securing is not None and bool(securing.summary)
            fate = verdict.over(peer, why, introduction.stage)
            return NoSession(fate, peer, introduction.greeted, broke_tls=inside)
        now = self._clock.seconds()
        session = Session(channel, self._dialogue, peer, introduction.capabilities, now, transcript, securing)
        if introduction.pix:
            words = ", ".join(sorted(introduction.pix))
            self._maillog.info("smtp", f"enabling PIX workarounds: {words} for {peer}")
            if "delay_dotcrlf" in introduction.pix:
                session.delay_dot = partial(deferLater, self._clock, self._dialogue.pix.delay)
        if refusal is None:
            return session
        session.note(refusal.verdict)
        if introduction.found_self:
            own_name = self._dialogue.own_name
            self._maillog.warning("smtp", f"host {peer} replied to HELO/EHLO with my own hostname {own_name}")
        return NoSession(refusal.verdict, peer, not refusal.moves_on, session, introduction.tls_failed)

    def _trace(self, peer: Peer, transcript: Transcript | None) -> Trace | None:
        if not self._debug_peers.matches(peer.host, peer.address):
            return transcript
        clock = self._clock.seconds if self._debug_level > 1 else None
        debug = DebugTrace(self._maillog, peer, clock)
        return debug if transcript is None else Traces([debug, transcript])


@lru_cache(maxsize=1024)  # what is found out about its names is found out once
def _peer(host: str, address: str, port: int) -> Peer:
    return Peer(host, address, port)
