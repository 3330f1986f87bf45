"""
What one delivery request has come to so far: who is left, what fell for whom, what failed last.

A :class:`Ledger` turns verdicts into outcomes and has them settled as they fall. It knows where the time went and
whether the next hop as a whole was of any use; it decides neither.

Promises: every recipient of the request gets one outcome, once; a recipient is no longer left when its outcome is
handed over, so that nothing that happens afterwards can deliver to it again.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence

from twisted.internet.interfaces import IReactorTime

from smtpclient.delivery.session import Session
from smtpclient.mail.envelope import Recipient
from smtpclient.mail.outcome import Delays, Disposition, Outcome, Peer, SiteFailure
from smtpclient.mail.request import DeliveryRequest, DeliveryResult
from smtpclient.smtp.status_filter import StatusFilter
from smtpclient.smtp.verdict import Verdict

Settle = Callable[[DeliveryRequest, Sequence[Outcome]], Awaitable[Sequence[Outcome]]]

_NO_SERVER = (Verdict(Disposition.DEFERRED, "4.3.0", "server unavailable or unable to receive mail", site=True), None)


class Ledger:
    """
    The account of one request.

    :param settle: records outcomes and gives back what they became.
    :param status_filter: replaces the status of outcomes before; None: none does.
    :ivar left: the recipients without an outcome, in the order of the request.
    """

    def __init__(
        self, request: DeliveryRequest, settle: Settle, clock: IReactorTime, status_filter: StatusFilter | None = None
    ) -> None:
        self._status_filter = status_filter
        self.left: tuple[Recipient, ...] = request.recipients
        self._request = request
        self._settle = settle
        self._clock = clock
        self._started = self._connected = clock.seconds()
        self._outcomes: tuple[Outcome, ...] = ()
        self._last: tuple[Verdict, Peer | None] = _NO_SERVER
        self._site_failure: SiteFailure | None = None
        self._answered = False

    @property
    def waited(self) -> float:
        """How long the message had been in the queue when its session stood, seconds."""
        return self._connected - self._request.envelope.arrival

    @property
    def result(self) -> DeliveryResult:
        """What is known by now."""
        return DeliveryResult(self._outcomes, self._site_failure)

    def connected(self) -> None:
        """A session stands, or has come to nothing; time goes into sending from now on."""
        self._connected = self._clock.seconds()

    def answered(self) -> None:
        """A transaction went to its end, whatever that was: the next hop is alive."""
        self._answered = True
        self._site_failure = None

    def note(self, verdict: Verdict, peer: Peer | None) -> None:
        """Remember a failure: the last one is the reason for whoever is left at the end."""
        self._last = (verdict, peer)
        if verdict.site and verdict.disposition is Disposition.DEFERRED and not self._answered:
            self._site_failure = SiteFailure(verdict.status, verdict.reason)

    async def settle(
        self, decided: Sequence[tuple[Recipient, Verdict]], peer: Peer | None, session: Session | None
    ) -> None:
        """
        Settle these recipients; they are no longer left.

        :param session: over which it was decided; None: there was none.
        """
        if not decided:
            return
        if len(decided) == len(self.left):
            self.left = ()
        else:
            done: Collection[int] = {id(recipient) for recipient, _ in decided}
            self.left = tuple(recipient for recipient in self.left if id(recipient) not in done)
        self._outcomes += tuple(await self._settle(self._request, self._outcomes_of(decided, peer, session)))

    async def conclude(self, verdict: Verdict, peer: Peer | None, session: Session | None = None) -> None:
        """One verdict for all who are left."""
        await self.settle([(recipient, verdict) for recipient in self.left], peer, session)

    async def conclude_with_last(self) -> None:
        """The last failure is the verdict for all who are left."""
        await self.conclude(*self._last)

    def _outcomes_of(
        self, decided: Sequence[tuple[Recipient, Verdict]], peer: Peer | None, session: Session | None
    ) -> list[Outcome]:
        """What the verdicts are for their recipients; all were decided together."""
        delays = self._delays(session)
        if session is None:
            relays_dsn, uses, tls, is_final = False, 1, "", False
        else:
            relays_dsn, uses = "DSN" in session.capabilities.keywords, session.uses or 1
            tls, is_final = session.tls, session.is_final
        outcomes = []
        for recipient, verdict in decided:
            disposition = verdict.disposition
            sent = disposition is Disposition.SENT
            outcome = Outcome(
                recipient,
                disposition,
                verdict.status,
                verdict.reason,
                verdict.reply,
                peer,
                verdict.stage,
                verdict.in_doubt,
                sent and relays_dsn,
                delays,
                uses,
                tls,
                sent and is_final,
            )
            if self._status_filter is not None:
                outcome = self._status_filter.outcome(outcome)
            if self._site_failure is not None and outcome.disposition is not Disposition.DEFERRED:
                self._site_failure = None  # it did answer for somebody
            outcomes.append(outcome)
        return outcomes

    def _delays(self, session: Session | None) -> Delays:
        started, now = self._started, self._clock.seconds()
        reached = self._connected if session is not None else now
        activated = self._request.activated
        delays = Delays(
            activated - self._request.envelope.arrival, started - activated, reached - started, now - reached
        )
        # Wall clocks go back at times; a negative delay would help nobody.
        return delays if min(delays) >= 0.0 else Delays(*[max(delay, 0.0) for delay in delays])
