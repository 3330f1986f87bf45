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
STARTTLS: 4xx, not offered,    next                         next
wrong certificate, no TLS
STARTTLS: 5xx                  final                        final
transaction: 4xx, loss         final                        next, as long as sessions are left
transaction: 5xx               final                        final
=============================  ===========================  ==================================================

Where TLS gets in the way of a message that may go in clear text, the same address is tried again without it before any
of this holds (``smtpclient.delivery.security``).

The left column is the manual page's "once the SMTP client has received the server greeting banner, no error will
cause it to proceed to the next address". The same rule decides whether ``smtp_fallback_relay`` is tried; sessions are
counted anew there. A destination that loops back to us never falls back.

Promises: when :meth:`Attempt.run` ends, by whatever end, no connection of this request is open but a parked one; what
is final is settled once. It raises only what settling or reading the content raises, and when it is cancelled.
"""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from functools import partial

from twisted.logger import Logger

from smtpclient.delivery import fitting, require_tls
from smtpclient.delivery.calling import Calling, Line
from smtpclient.delivery.fitting import Front
from smtpclient.delivery.ledger import Ledger, Settle
from smtpclient.delivery.login import Login
from smtpclient.delivery.means import Means
from smtpclient.delivery.opening import NoSession, Opening
from smtpclient.delivery.places import Terms
from smtpclient.delivery.pool import Key
from smtpclient.delivery.security import IN_CLEAR, Barred
from smtpclient.delivery.session import Session
from smtpclient.dns.exchangers import Exchanger, Exchangers
from smtpclient.mail.envelope import Recipient
from smtpclient.mail.outcome import Disposition, Peer
from smtpclient.mail.request import DeliveryRequest, DeliveryResult
from smtpclient.smtp.transaction import Transaction
from smtpclient.smtp.verdict import Verdict
from smtpclient.tls.policy import CLEAR, TlsPolicy


@dataclass(frozen=True, slots=True)
class _Visit:
    """
    One address, and its place in the walk.

    :param last: there is none after it.
    :param last_site: there is no other next hop after this one.
    :param park: a session to it may be kept.
    """

    opening: Opening
    exchanger: Exchanger
    next_hop: str
    login: Login | None
    is_best: bool
    last: bool
    last_site: bool
    park: bool


class Attempt:
    """
    One request on its way through the addresses.

    :param means: what the agent works with.
    :param settle: records outcomes and gives back what they became.
    """

    _log = Logger()
    _sessions = 0
    _found_self = False

    def __init__(self, means: Means, request: DeliveryRequest, settle: Settle) -> None:
        self._means = means
        self._request = request
        # What another attempt has given along.
        behind = request.behind
        front = self._front = behind if isinstance(behind, Front) else None
        self._session: Session | None = None  # that carries the message
        self._key = front.key if front is not None else fitting.key_of(means, request)
        self._ledger = Ledger(request, settle, means.clock, means.status_filter)
        self._one_session = means.settings.session_limit == 1

    # -- the walk -------------------------------------------------------------------------------------------------

    async def run(self) -> DeliveryResult:
        """Try until nobody is left, or no address is."""
        ledger, key, front = self._ledger, self._key, self._front
        if key is not None and ledger.left:
            session = self._means.pool.take(key) if front is None else front.session
            while session is not None:
                if front is None:
                    ledger.connected()
                if await self._transact(session, final=self._one_session, park=True, reused=True, front=front):
                    self._sessions = 1
                    break
                session, front = self._means.pool.take(key), None
        if ledger.left:
            await self._walk_sites()
        return ledger.result

    async def _walk_sites(self) -> None:
        """Try the next hop, and what is there in its place, until nobody is left."""
        ledger = self._ledger
        sites = (self._request.next_hop, *self._means.settings.fallback_relays)
        for number, site in enumerate(sites):
            if not ledger.left or self._found_self:
                break
            hosts = await self._find(site, is_fallback=number > 0)
            if hosts is not None:
                # Where we are on the list ourselves, a fallback relay would only send the mail round.
                last_site = self._found_self or number == len(sites) - 1
                await self._walk(site, hosts, first_site=number == 0, last_site=last_site)
            self._sessions = 0
        if ledger.left:
            await ledger.conclude_with_last()

    async def _find(self, site: str, *, is_fallback: bool) -> Exchangers | None:
        settings = self._means.settings
        try:
            where = settings.destination(site)
        except ValueError as why:
            self._ledger.note(Verdict(Disposition.DEFERRED, "4.3.5", str(why), site=True), None)
            return None
        hosts = await self._means.find(where)
        self._found_self = hosts.found_self
        if (failure := hosts.failure) is None:
            return hosts
        fate = Verdict(failure.disposition, failure.status, failure.reason, site=True)
        if failure.not_found and (is_fallback or site == settings.relayhost):
            name = "smtp_fallback_relay" if is_fallback else "relayhost"
            self._means.maillog.warning("smtp", f"{name} configuration problem: {fate.reason}")
            fate = Verdict(Disposition.DEFERRED, "4.3.5", fate.reason, site=True)
        self._ledger.note(fate, None)
        return None

    async def _walk(self, site: str, hosts: Exchangers, *, first_site: bool, last_site: bool) -> None:
        """Try the addresses of one site."""
        limit = self._means.settings.session_limit
        opening = self._means.opening()
        best = min((exchanger.preference for exchanger in hosts.addresses), default=0)
        calling = Calling(self._means.caller, hosts.addresses, partial(self._terms, site, hosts))
        try:
            while self._ledger.left and not (limit and self._sessions >= limit):
                called = await calling.next()
                if called is None:
                    break
                if isinstance(called.line, Barred):
                    self._ledger.note(called.line.verdict, None)
                    continue
                exchanger, last = called.exchanger, last_site and called.last
                is_best = exchanger.preference == best
                # A session to a worse exchanger, or to a relay, is none that a new message would get.
                login, park = self._login(exchanger, site), is_best and first_site
                visit = _Visit(opening, exchanger, hosts.destination.host, login, is_best, last, last_site, park)
                policy, line = called.terms.policy, called.line
                while await self._visit(visit, policy, line) and self._ledger.left:
                    policy = policy if isinstance(line, Session) else IN_CLEAR
                    line = await calling.again(called)
        except Exception:
            calling.drop()
            raise
        calling.close()

    def _login(self, exchanger: Exchanger, site: str) -> Login | None:
        logins = self._means.logins
        return logins.login(self._request.envelope.sender, exchanger.host, site) if logins is not None else None

    async def _terms(self, site: str, hosts: Exchangers, exchanger: Exchanger) -> Terms:
        """What is asked of a session with a server."""
        security, login = self._means.security, self._login(exchanger, site)
        policy = CLEAR
        if security is not None:
            requirement = security.requirement(site, self._request.envelope.tls)
            policy = await security.policy(requirement, site, hosts, exchanger)
        return Terms(exchanger.host, policy, None if login is None else login.entry)

    async def _visit(self, visit: "_Visit", policy: TlsPolicy, line: Line) -> bool:
        """
        Try one address; whether it shall be tried once more, since TLS got in the way or a standing session was dead.

        :param line: what calling it has come to.
        """
        security = self._means.security
        queue_id = self._request.envelope.queue_id
        secure = None
        if security is not None:
            secure = partial(security.securing, policy, queue_id=queue_id, next_hop=visit.next_hop)
        # Who has a password for the server does not show it to whoever broke the TLS.
        is_stranger = visit.login is None
        may_go_clear = is_stranger and security is not None and security.may_go_clear(policy, self._request)
        opened: Session | NoSession
        if isinstance(line, Session):
            opened, may_go_clear = line, False
        else:
            opened = await visit.opening.open(
                visit.exchanger, visit.next_hop, best=visit.is_best, secure=secure, login=visit.login, line=line
            )
        self._ledger.connected()
        if isinstance(opened, NoSession):
            go_clear = may_go_clear and opened.broke_tls
            await self._go_on(opened, last=visit.last, stay=go_clear)
            return go_clear
        lacking = require_tls.lacking(self._request.envelope, opened)
        if lacking is not None:
            await self._pass_by(opened, lacking)
            return False
        self._sessions += 1
        last_session = visit.last_site and self._sessions == self._means.settings.session_limit
        final = self._one_session or visit.last or last_session
        go_clear = may_go_clear and bool(opened.tls)
        if await self._transact(opened, final=final, park=visit.park, reused=opened is line, go_clear=go_clear):
            return False
        self._sessions -= 1
        return True

    async def _pass_by(self, session: Session, why: Verdict) -> None:
        """A server that is none for this message, which says nothing about the others."""
        self._means.maillog.info("smtp", why.reason, self._request.envelope.queue_id)
        self._ledger.note(why, session.peer)
        try:
            await self._leave(session, why)
        except BaseException:
            session.channel.abort()
            raise

    async def _go_on(self, no: NoSession, *, last: bool, stay: bool = False) -> None:
        """
        This address came to nothing: for good, or until the next.

        :param stay: it is tried once more.
        """
        self._ledger.note(no.verdict, no.peer)
        if no.shortage:
            await self._ledger.conclude(no.verdict, None)
            await self._notify("resource", (), None, no.verdict.reason)
            return
        try:
            if no.peer is None:
                self._means.maillog.info("smtp", no.verdict.reason)
            elif not stay and (last or no.is_final or (no.greeted and self._one_session)):
                await self._ledger.conclude(no.verdict, no.peer, no.session)
            else:
                self._means.maillog.info("smtp", no.verdict.reason, self._request.envelope.queue_id)
            if no.session is not None:
                await self._leave(no.session, no.verdict)
        except BaseException:
            if no.session is not None:
                no.session.channel.abort()
            raise

    # -- a session ------------------------------------------------------------------------------------------------

    async def _transact(
        self,
        session: Session,
        *,
        final: bool,
        park: bool,
        reused: bool = False,
        go_clear: bool = False,
        front: Front | None = None,
    ) -> bool:
        """
        Carry what is left over a session; false when a reused one turned out dead, or TLS got in the way.

        :param final: what is deferred here stays deferred.
        :param park: the session may be kept for the next message.
        :param go_clear: when the connection is lost, the address is tried once more.
        :param front: of whoever has the session now, and has seen that it fits; None: nobody has it.
        """
        try:
            unfit = fitting.unfit(session, self._request.envelope, self._ledger.left) if front is None else None
            if unfit is not None:
                await self._turn_away(session, unfit)
                return True
            transaction = await self._carry(session, front, park=park)
            if reused and transaction.stale:
                if front is not None:
                    self._means.habits.came_to_nothing(session.peer.address, transaction.verdicts[0].reply)
                await session.quit()
                return False
            if front is not None:
                self._means.habits.went_well(session.peer.address)
            if transaction.reusable:
                self._ledger.answered()
            elif session.is_followed:
                self._means.habits.came_to_nothing(session.peer.address)
            again = go_clear and session.channel.is_lost
            decided = self._decided(session, transaction, final=final and not again)
            await self._ledger.settle(decided, session.peer, session)
            if not session.is_followed:
                await self._after(session, transaction, park=park)
            elif session.error_classes:
                await self._report(session, transaction.fate)
        except BaseException:
            session.channel.abort()
            raise
        finally:
            session.hand_on()
        return not again

    def _carry(self, session: Session, front: Front | None, *, park: bool) -> Awaitable[Transaction]:
        """Have the session carry what is left, at once or in its turn."""
        request, ledger = self._request, self._ledger
        self._session, self._front = session, front
        follow = self._let_follow if park and self._means.dialogue.is_grouping else None
        if front is None:
            return session.transact(request.envelope, ledger.left, request.content, ledger.waited, follow)
        return session.transact_behind(front, follow)

    def _let_follow(self) -> bytes:
        """Let the next message begin behind the end of this one, if the session may be kept and it may use it."""
        means, request, key, session = self._means, self._request, self._key, self._session
        if key is None or session is None or means.pool.places.is_wanted(session):
            return b""
        address, habits = session.peer.address, means.habits
        if address in habits.refused or not self._is_wanted(session, key):
            return b""
        is_orderly = self._front is not None or address in habits.orderly
        place = Front(means, request.next_hop, session, key, is_orderly=is_orderly)
        request.follow(place.fits, place, place.stand)
        return b"" if place.transaction is None else place.transaction.open()

    def _is_wanted(self, session: Session, key: Key) -> bool:
        """Whether the session is of use for the next message."""
        return self._means.pool.wants(key, session, self._request.next_hop, self._request.backlog())

    async def _turn_away(self, session: Session, unfit: Verdict) -> None:
        await self._ledger.conclude(unfit, session.peer, session)
        if unfit.status == "5.3.4":
            session.channel.close()  # as Postfix does: there is nothing to say
        await self._leave(session, unfit)

    def _decided(self, session: Session, transaction: Transaction, *, final: bool) -> list[tuple[Recipient, Verdict]]:
        """Whose fate is decided; the others are kept for the next address."""
        decided = []
        for index, recipient in enumerate(self._ledger.left):
            fate = transaction.verdicts[index]
            if fate.disposition is Disposition.DEFERRED:
                self._ledger.note(fate, session.peer)
                if not final:
                    self._means.maillog.info("smtp", fate.reason, self._request.envelope.queue_id)
                    continue
            decided.append((recipient, fate))
        return decided

    async def _after(self, session: Session, transaction: Transaction, *, park: bool) -> None:
        """Park the session for the next message, or end it."""
        fate, key = transaction.fate, self._key
        if transaction.needs_reset and not session.channel.over and not await session.reset():
            park = False
        if park and key is not None and self._is_wanted(session, key):
            await self._report(session, fate)  # first: the session is someone else's then
            self._means.pool.park(key, session)
        else:
            await self._leave(session, fate)

    async def _leave(self, session: Session, fate: Verdict) -> None:
        await session.quit()
        await self._report(session, fate)

    async def _report(self, session: Session, fate: Verdict) -> None:
        """Send the postmaster a transcript of a session that went wrong in a way that is of interest."""
        lines = tuple(session.transcript.lines) if session.transcript is not None else ()
        for error_class in session.error_classes:
            await self._notify(error_class, lines, session.peer, fate.reason)

    async def _notify(self, error_class: str, transcript: Sequence[str], peer: Peer | None, reason: str) -> None:
        if self._means.notify is None:
            return
        envelope = self._request.envelope
        try:
            await self._means.notify(error_class, transcript, peer, envelope, reason)
        except Exception as why:
            self._means.maillog.warning("smtp", f"cannot tell the postmaster about {peer or 'a delivery'}: {why}")
            self._log.failure("{queue_id}: the postmaster's notice failed", queue_id=envelope.queue_id)
