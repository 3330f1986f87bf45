"""
One attempt: a delivery request on its way through the addresses of its next hop.

:class:`Attempt` resolves the next hop, walks the addresses in order, takes a parked session or makes a new one, has
the message carried, and says of each recipient what became of it. Outcomes are handed to ``settle`` as they fall,
before QUIT is said, so that a crash afterwards costs nothing.

When an error moves on to the next address:

=============================  ===========================  ==================================================
what happened                  smtp_mx_session_limit = 1    2 and more (0: no limit)
=============================  ===========================  ==================================================
no connection, no greeting     next                         next
greeting 4xx                   next if skip_4xx_greeting    next
greeting 5xx                   next if skip_5xx_greeting    next if skip_5xx_greeting, else final
EHLO, HELO: 4xx, loss          final                        next
EHLO, HELO: 5xx                final                        final
transaction: 4xx, loss         final                        next, as long as sessions are left
transaction: 5xx               final                        final
=============================  ===========================  ==================================================

The left column is the manual page's "once the SMTP client has received the server greeting banner, no error will
cause it to proceed to the next address". The same rule decides whether ``smtp_fallback_relay`` is tried; a
destination that loops back to us never falls back.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from twisted.internet.interfaces import IReactorTime

from smtpclient.config.parameters import Parameters
from smtpclient.delivery import destination
from smtpclient.delivery.connector import Connector, Unreachable
from smtpclient.delivery.destination import Destination
from smtpclient.delivery.pool import Key, Pool
from smtpclient.delivery.session import Session
from smtpclient.dns.exchangers import Exchanger, ExchangerLookup, Exchangers, LookupFailure
from smtpclient.mail.envelope import Recipient
from smtpclient.mail.outcome import Delays, Disposition, Outcome, Peer, SiteFailure
from smtpclient.mail.request import DeliveryRequest, DeliveryResult
from smtpclient.observe.maillog import MailLog
from smtpclient.observe.peers import PeerPatterns
from smtpclient.observe.trace import DebugTrace, Traces, Transcript
from smtpclient.smtp import command, verdict
from smtpclient.smtp.channel import Channel, SessionOver
from smtpclient.smtp.handshake import Introduction, Refused
from smtpclient.smtp.settings import DialogueSettings
from smtpclient.smtp.transaction import Transaction
from smtpclient.smtp.verdict import Stage, Verdict

Settle = Callable[[DeliveryRequest, Sequence[Outcome]], Awaitable[Sequence[Outcome]]]
Notify = Callable[[Sequence[str], Peer, str, str], Awaitable[None]]

LOOP = "5.4.6"


@dataclass(frozen=True, slots=True)
class WalkSettings:
    """
    How addresses are walked.

    :param port: where servers listen unless the next hop says otherwise.
    :param fallback_relays: next hops to try when the destination is not found or unreachable.
    :param relayhost: as configured: a smarthost that is not found is the operator's mistake, not the sender's.
    :param session_limit: sessions for one request; 1: nothing after the greeting moves on; 0: no limit.
    """

    port: int = 25
    fallback_relays: tuple[str, ...] = ()
    relayhost: str = ""
    session_limit: int = 1

    @classmethod
    def from_parameters(cls, parameters: Parameters) -> "WalkSettings":
        """Take the settings from the parameters."""
        return cls(
            destination.port_number(parameters.text("smtp_tcp_port")),
            tuple(parameters.words("smtp_fallback_relay")),
            parameters.text("relayhost"),
            parameters.integer("smtp_mx_session_limit"),
        )


@dataclass(frozen=True, slots=True)
class Means:
    """
    What an attempt works with; one value for all attempts of an agent.

    :param notify: sends the postmaster the transcript of a session with protocol errors; None: nobody wants it.
    """

    settings: WalkSettings
    dialogue: DialogueSettings
    lookup: ExchangerLookup
    connector: Connector
    pool: Pool
    clock: IReactorTime
    maillog: MailLog
    debug_peers: PeerPatterns = field(default_factory=lambda: PeerPatterns(()))
    notify: Notify | None = None


class Attempt:
    """
    One request on its way through the addresses.

    :param means: what the agent works with.
    :param settle: records outcomes and gives back what they became.
    """

    def __init__(self, means: Means, request: DeliveryRequest, settle: Settle) -> None:
        self._means = means
        self._request = request
        self._settle = settle
        self._key: Key = (request.transport, request.next_hop)
        self._left: Sequence[Recipient] = request.recipients
        self._outcomes: list[Outcome] = []
        self._failure: tuple[Verdict, Peer | None] | None = None
        self._site_failure: SiteFailure | None = None
        self._started = means.clock.seconds()
        self._connected = self._started
        self._sessions = 0

    # -- the walk -------------------------------------------------------------------------------------------------

    async def run(self) -> DeliveryResult:
        """Try until nobody is left, or no address is."""
        await self._reuse()
        sites = (self._request.next_hop, *self._means.settings.fallback_relays)
        for number, site in enumerate(sites):
            if not self._left:
                break
            hosts = await self._find(site, fallback=number > 0)
            if hosts is None:
                if self._loops():
                    break
                continue
            await self._walk(hosts, last_site=number == len(sites) - 1)
        if self._left:
            fate, peer = self._failure or (_NO_SERVER, None)
            await self._conclude(self._left, fate, peer, None)
        return DeliveryResult(tuple(self._outcomes), self._site_failure)

    async def _reuse(self) -> None:
        """Deliver over parked sessions for as long as one dies before it has answered anything."""
        while (session := self._means.pool.take(self._key)) is not None:
            self._connected = self._means.clock.seconds()
            self._sessions = 1
            if await self._transact(session, final=self._means.settings.session_limit == 1, reused=True):
                return
            self._sessions = 0

    async def _find(self, site: str, *, fallback: bool) -> Exchangers | None:
        settings = self._means.settings
        try:
            where = destination.parse(site, settings.port)
        except ValueError as why:
            self._note(Verdict(Disposition.DEFERRED, "4.3.5", f"next hop {site!r} makes no sense: {why}"), None)
            return None
        hosts = await self._means.lookup.find(where)
        if hosts.failure is None:
            return hosts
        fate = _lookup_verdict(hosts.failure)
        if hosts.failure.not_found and (fallback or site == settings.relayhost):
            name = "smtp_fallback_relay" if fallback else "relayhost"
            self._means.maillog.warning("smtp", f"{name} configuration problem: {fate.reason}")
            fate = Verdict(Disposition.DEFERRED, "4.3.5", fate.reason, site=True)
        self._note(fate, None)
        return None

    async def _walk(self, hosts: Exchangers, *, last_site: bool) -> None:
        limit = self._means.settings.session_limit
        best = hosts.addresses[0].preference if hosts.addresses else 0
        for number, exchanger in enumerate(hosts.addresses):
            if not self._left or (limit and self._sessions >= limit):
                return
            last = last_site and number == len(hosts.addresses) - 1
            await self._try(exchanger, hosts.destination, best=exchanger.preference == best, last=last)

    async def _try(self, exchanger: Exchanger, where: Destination, *, best: bool, last: bool) -> None:
        """Connect to one address and deliver what is left there."""
        peer = Peer(exchanger.host, exchanger.address, exchanger.port)
        try:
            channel = await self._means.connector.connect(exchanger.address, exchanger.port)
        except Unreachable as why:
            fate = verdict.unreachable(peer, str(why))
            self._means.maillog.info("smtp", fate.reason)
            self._note(fate, None)
            return
        transcript = self._traced(channel, peer)
        session = await self._introduce(channel, peer, transcript, where, best=best, last=last)
        if session is None:
            return
        self._connected = self._means.clock.seconds()
        self._sessions += 1
        limit = self._means.settings.session_limit
        await self._transact(session, final=last or limit == 1 or self._sessions == limit, park=best)

    def _traced(self, channel: Channel, peer: Peer) -> Transcript | None:
        transcript = Transcript() if self._means.notify is not None else None
        if self._means.debug_peers.matches(peer.host, peer.address):
            debug = DebugTrace(self._means.maillog, peer)
            channel.trace = debug if transcript is None else Traces([debug, transcript])
        elif transcript is not None:
            channel.trace = transcript
        return transcript

    # -- the beginning of a session -------------------------------------------------------------------------------

    async def _introduce(
        self,
        channel: Channel,
        peer: Peer,
        transcript: Transcript | None,
        where: Destination,
        *,
        best: bool,
        last: bool,
    ) -> Session | None:
        means = self._means
        introduction = Introduction(channel, means.dialogue, peer, next_hop=where.host, best=best)
        try:
            capabilities = await introduction.run()
        except Refused as no:
            session = Session(
                channel, means.dialogue, peer, introduction.capabilities, means.clock.seconds(), transcript
            )
            session.protocol_errors = no.verdict.protocol_error
            # Once the server has greeted us, only what the operator chose to skip moves on.
            final = last or no.verdict.disposition is Disposition.BOUNCED
            if means.settings.session_limit == 1:
                final = final or not no.moves_on
            await self._failed(no.verdict, peer, session, final=final)
            await self._leave(session, no.verdict)
        except SessionOver as why:
            fate = verdict.over(peer, why, introduction.stage)
            final = last or (introduction.greeted and means.settings.session_limit == 1)
            await self._failed(fate, peer, None, final=final)
        else:
            return Session(channel, means.dialogue, peer, capabilities, means.clock.seconds(), transcript)
        return None

    async def _failed(self, fate: Verdict, peer: Peer, session: Session | None, *, final: bool) -> None:
        """The session came to nothing: for good, or until the next address."""
        self._connected = self._means.clock.seconds()
        self._note(fate, peer)
        if final:
            await self._conclude(self._left, fate, peer, session)
        else:
            self._means.maillog.info("smtp", fate.reason, self._request.envelope.queue_id)

    # -- a session ------------------------------------------------------------------------------------------------

    async def _transact(self, session: Session, *, final: bool, park: bool = True, reused: bool = False) -> bool:
        """
        Carry what is left over a session; false when a reused one turned out dead.

        :param final: what is deferred here stays deferred.
        """
        request = self._request
        unfit = self._unfit(session)
        if unfit is not None:
            await self._conclude(self._left, unfit, session.peer, session)
            if unfit.status == "5.3.4":
                session.channel.close()
            else:
                await self._leave(session, unfit)
            return True
        transaction = await session.transact(request.envelope, self._left, request.content)
        if reused and _never_answered(session, transaction):
            return False
        await self._take_verdicts(session, transaction, final=final)
        await self._after(session, transaction, park=park)
        return True

    def _unfit(self, session: Session) -> Verdict | None:
        """Why this message must not go over this session, if so."""
        envelope, capabilities = self._request.envelope, session.capabilities
        limit = capabilities.size_limit
        if limit and envelope.size > limit:
            return verdict.too_big(session.peer, envelope.size, limit)
        if "SMTPUTF8" not in capabilities and command.needs_smtputf8(envelope):
            return verdict.needs_smtputf8(session.peer)
        return None

    async def _take_verdicts(self, session: Session, transaction: Transaction, *, final: bool) -> None:
        """Settle what is decided; keep the others for the next address."""
        decided: list[tuple[Recipient, Verdict]] = []
        kept: list[Recipient] = []
        for index, recipient in enumerate(self._left):
            fate = transaction.verdicts[index]
            if fate.disposition is Disposition.DEFERRED:
                self._note(fate, session.peer)
                if not final:
                    kept.append(recipient)
                    self._means.maillog.info("smtp", fate.reason, self._request.envelope.queue_id)
                    continue
            decided.append((recipient, fate))
        self._left = kept
        if decided:
            await self._hand_over(
                [self._outcome(recipient, fate, session.peer, session) for recipient, fate in decided]
            )

    async def _after(self, session: Session, transaction: Transaction, *, park: bool) -> None:
        """Park the session for the next message, or end it."""
        if transaction.needs_reset and not session.channel.over and not await session.reset():
            await session.quit()
        elif (
            park
            and transaction.reusable
            and self._means.pool.wants(session, self._request.next_hop, self._request.keep_session)
        ):
            self._means.pool.park(self._key, session)
        else:
            await session.quit()
        await self._report_session(session, next(iter(transaction.verdicts.values())).reason)

    async def _leave(self, session: Session, fate: Verdict) -> None:
        await session.quit()
        await self._report_session(session, fate.reason)

    async def _report_session(self, session: Session, reason: str) -> None:
        """Send the postmaster a transcript of a session with protocol errors."""
        if self._means.notify is None or session.transcript is None:
            return
        if session.protocol_errors or session.channel.garbage:
            session.protocol_errors = False
            session.channel.garbage = 0
            await self._means.notify(session.transcript.lines, session.peer, self._request.envelope.queue_id, reason)

    # -- outcomes -------------------------------------------------------------------------------------------------

    def _note(self, fate: Verdict, peer: Peer | None) -> None:
        """Remember the last failure: it is the reason for whoever is left at the end."""
        self._failure = (fate, peer)
        if fate.site and fate.disposition is Disposition.DEFERRED:
            self._site_failure = SiteFailure(fate.status, fate.reason)

    def _loops(self) -> bool:
        return self._failure is not None and self._failure[0].status == LOOP

    async def _conclude(
        self, recipients: Sequence[Recipient], fate: Verdict, peer: Peer | None, session: Session | None
    ) -> None:
        """One verdict for all these recipients."""
        self._left = ()
        await self._hand_over([self._outcome(recipient, fate, peer, session) for recipient in recipients])

    async def _hand_over(self, outcomes: list[Outcome]) -> None:
        if any(outcome.disposition is not Disposition.DEFERRED for outcome in outcomes):
            self._site_failure = None  # it did answer for somebody
        self._outcomes.extend(await self._settle(self._request, outcomes))

    def _outcome(self, recipient: Recipient, fate: Verdict, peer: Peer | None, session: Session | None) -> Outcome:
        request, now = self._request, self._means.clock.seconds()
        reached = max(self._connected, self._started)
        delays = Delays(
            max(request.activated - request.envelope.arrival, 0.0),
            max(self._started - request.activated, 0.0),
            (reached if session is not None else now) - self._started,
            now - reached if session is not None else 0.0,
        )
        return Outcome(
            recipient,
            fate.disposition,
            fate.status,
            fate.reason,
            fate.reply,
            peer,
            fate.stage,
            fate.in_doubt,
            session is not None and "DSN" in session.capabilities,
            delays,
            session.uses if session is not None else 1,
        )


_NO_SERVER = Verdict(Disposition.DEFERRED, "4.3.0", "server unavailable or unable to receive mail", site=True)


def _lookup_verdict(failure: LookupFailure) -> Verdict:
    return Verdict(failure.disposition, failure.status, failure.reason, site=True)


def _never_answered(session: Session, transaction: Transaction) -> bool:
    """Whether a reused session died before it said anything about this message: it may be sent anew without doubt."""
    return session.channel.over and transaction.stage is Stage.MAIL and not transaction.answered
