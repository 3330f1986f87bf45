"""
MTA-STS (RFC 8461): which policy a domain has, found out, remembered, kept up to date.

For each delivery the record ``_mta-sts.DOMAIN`` is looked up. What then happens:

=========================================  ==========================================================================
record                                     what holds
=========================================  ==========================================================================
none, unreadable, or no answer             the policy that is kept, if one is; a domain takes its policy back by
                                           publishing one of mode ``none``, never by leaving off its record
with the id of the policy that is kept     that one
with another id                            it is fetched; where that fails, the one that is kept, if one is
=========================================  ==========================================================================

An id is a mark of change and no number: an old one that somebody plays back makes us fetch what the domain publishes
now, over https, and cannot bring an old policy back. Who suppresses a change of the record delays the new policy only
until the next round of :meth:`MtaSts.refresh`, which asks the web server without looking at the record.

Promises: a domain's policy is fetched once at a time, whoever waits for it, and again no sooner than :data:`AGAIN`
seconds after success and :data:`AFTER_FAILURE` after failure; what a failing web server costs a delivery is one
timeout now and then.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from smtpclient.dns.text_record import TXT
from smtpclient.interfaces import IResolver
from smtpclient.observe.maillog import MailLog
from smtpclient.tls import sts_record
from smtpclient.tls.result_type import ResultType
from smtpclient.tls.sts_cache import KeptPolicy, StsCache
from smtpclient.tls.sts_fetch import FetchFailed, PolicyFetch
from smtpclient.tls.sts_policy import Mode, StsPolicy

AGAIN = 60.0
AFTER_FAILURE = 300.0
OUTDATED = 86_400.0
"""Seconds after which a policy is fetched anew, whatever its record says; RFC 8461 section 10.2 suggests a day."""
UNUSED = 30 * 86_400.0
"""A policy that no mail has needed for so many seconds is not kept up to date any more."""
_AT_ONCE = 4
_MOST_TRIED = 10_000

NoteFailure = Callable[[str, ResultType, str], None]


@dataclass(slots=True)
class _Flight:
    """One fetch under way, and who waits for it."""

    waiting: list[Deferred[None]] = field(default_factory=list)
    task: Deferred[None] | None = None


class MtaSts:
    """
    Knows the policies of domains.

    :param note_failure: told of a policy that could not be had: domain, result type, words.
    """

    _log = Logger()

    def __init__(
        self,
        resolver: IResolver,
        fetch: PolicyFetch,
        cache: StsCache,
        clock: IReactorTime,
        maillog: MailLog,
        note_failure: NoteFailure = lambda domain, result, words: None,
    ) -> None:
        self.note_failure = note_failure
        self._resolver = resolver
        self._fetch = fetch
        self._cache = cache
        self._clock = clock
        self._maillog = maillog
        self._not_before: dict[str, float] = {}
        self._flights: dict[str, _Flight] = {}

    async def find(self, domain: str) -> StsPolicy | None:
        """
        The policy that holds for a domain now; None when there is none, or one of mode ``none``.

        :param domain: the next hop's, lower case, A-labels.
        """
        answer = await self._resolver.lookup(sts_record.name_of(domain), TXT)
        policy_id = sts_record.policy_id(answer)
        kept = self._cache.get(domain, self._clock.seconds())
        if policy_id and (kept is None or kept.policy_id != policy_id):
            await self._renew(domain, policy_id)
        policy = self.known(domain)
        if policy is not None:
            self._cache.note_use(domain, self._clock.seconds())
        return policy

    def known(self, domain: str) -> StsPolicy | None:
        """The policy that is kept for a domain and in force; nobody is asked."""
        kept = self._cache.get(domain, self._clock.seconds())
        return kept.policy if kept is not None and kept.policy.mode is not Mode.NONE else None

    async def refresh(self) -> None:
        """Fetch anew what was fetched a day ago or earlier, and forget what is out of force."""
        now = self._clock.seconds()
        rounds = iter(list(self._outdated(now)))

        async def work() -> None:
            for kept in rounds:
                answer = await self._resolver.lookup(sts_record.name_of(kept.domain), TXT)
                await self._renew(kept.domain, sts_record.policy_id(answer) or kept.policy_id)

        workers = [Deferred.fromCoroutine(work()) for _ in range(_AT_ONCE)]
        for worker in workers:
            await worker

    def _outdated(self, now: float) -> list[KeptPolicy]:
        found = []
        for kept in self._cache.kept():
            if now >= kept.expires:
                self._cache.forget(kept.domain)
            elif now - kept.fetched >= min(OUTDATED, kept.policy.max_age / 2) and (
                now - self._cache.last_used(kept.domain) < UNUSED
            ):
                found.append(kept)
        return found

    async def _renew(self, domain: str, policy_id: str) -> None:
        """
        Wait until the policy of a domain has been fetched, by us or for somebody else.

        Who is cancelled while waiting takes nothing with it: the others must not go on without the policy.
        """
        flight = self._flights.get(domain)
        if flight is None:
            now = self._clock.seconds()
            if now < self._not_before.get(domain, 0.0) <= now + AFTER_FAILURE:
                return
            flight = self._flights[domain] = _Flight()
            waiter = _join(flight)
            flight.task = Deferred.fromCoroutine(self._fetch_and_keep(domain, policy_id))
            flight.task.addErrback(self._unexpected, domain)
            flight.task.addBoth(self._landed, domain)
        else:
            waiter = _join(flight)
        await waiter

    def _unexpected(self, failure: Failure, domain: str) -> None:
        """A defect of this program must not leave callers waiting, nor be taken for a policy."""
        if not failure.check(CancelledError):
            self._log.failure("fetching the MTA-STS policy of {domain}", failure, domain=domain)
            self._wait(domain, AFTER_FAILURE)

    def _landed(self, _: object, domain: str) -> None:
        for waiter in self._flights.pop(domain).waiting:
            if not waiter.called:  # else one that got its answer has just cancelled this one
                waiter.callback(None)

    def close(self) -> None:
        """End what is under way."""
        for flight in list(self._flights.values()):
            if flight.task is not None:
                flight.task.cancel()

    async def _fetch_and_keep(self, domain: str, policy_id: str) -> None:
        try:
            policy = await self._fetch.fetch(domain)
        except FetchFailed as why:
            self._wait(domain, AFTER_FAILURE)
            still = "; the one that is known stays in force" if self.known(domain) else ""
            self._maillog.warning("smtp", f"no MTA-STS policy of {domain}: {why}{still}")
            self.note_failure(domain, why.result, str(why))
            return
        self._wait(domain, AGAIN)
        now = self._clock.seconds()
        await self._cache.put(KeptPolicy(domain, policy_id, now, policy), now)

    def _wait(self, domain: str, seconds: float) -> None:
        self._not_before.pop(domain, None)
        while len(self._not_before) >= _MOST_TRIED:
            del self._not_before[next(iter(self._not_before))]
        self._not_before[domain] = self._clock.seconds() + seconds


def _join(flight: _Flight) -> Deferred[None]:
    waiter: Deferred[None] = Deferred()
    flight.waiting.append(waiter)
    return waiter
