"""
The resolver: a name and a type in, an :class:`smtpclient.dns.answer.Answer` out.

Promises: failures are values, nothing is raised for anything a name server does; equal questions that are under way
at the same time are asked once, and cancelling one of the callers does not disturb the others, while the last one to
go takes the query with it; answers are remembered for their TTL, absence as the zone's SOA record allows (RFC 2308),
failures not at all; aliases are followed, inside an answer and by asking again, ten in all; an answer is secure only
if every step of the way was; mail exchangers whose names are no host names are left out and named in ``detail``.

Does not: append a local domain to a name without dots; read /etc/hosts (``smtpclient.dns.native``); validate
signatures: that is the name server's part, whose AD bit is believed only where nobody can have changed it.

Known limits: a TTL counts for a day at most, absence for three hours.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorFDSet, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from smtpclient.dns import message, servers
from smtpclient.dns.answer import Address, Answer, Exchange, Opaque, Record, Status
from smtpclient.dns.cache import Cache
from smtpclient.dns.engine import Engine
from smtpclient.dns.message import ResourceRecord
from smtpclient.dns.name import is_hostname, to_address, to_ascii
from smtpclient.dns.transport import QueryTransport
from smtpclient.interfaces import IResolver

A, MX, AAAA, CNAME, TLSA = message.A, message.MX, message.AAAA, message.CNAME, message.TLSA

_MOST_ALIASES = 10
_LONGEST_POSITIVE = 86_400.0
_LONGEST_NEGATIVE = 10_800.0  # RFC 2308 section 5: one to three hours


class _NoEnd(Exception):
    """An alias leads nowhere: in a circle, too far, or to what is no name."""

    def __init__(self, status: Status, words: str) -> None:
        super().__init__(words)
        self.status = status


@dataclass(slots=True)
class _Flight:
    """One lookup under way, and who waits for it."""

    waiting: list[Deferred[Answer]] = field(default_factory=list)
    task: Deferred[Answer] | None = None


@implementer(IResolver)
class Resolver:
    """
    Looks names up.

    :param engine: puts single questions to the name servers.
    :param cache: what is known already.
    """

    _log = Logger()

    def __init__(self, engine: Engine, cache: Cache) -> None:
        self._engine = engine
        self._cache = cache
        self._flights: dict[tuple[str, int], _Flight] = {}

    @classmethod
    def for_servers(
        cls,
        reactor: IReactorFDSet,
        random: Random,
        dns_servers: Sequence[str] = (),
        timeout: float = 5.0,
        resolv_conf: str = "/etc/resolv.conf",
    ) -> "Resolver":
        """
        A resolver for the servers of ``dns_servers``, or for those of resolv.conf(5) when there are none.

        :param reactor: also gives ``IReactorTCP`` and ``IReactorTime``.
        :param random: unpredictable, outside of tests.
        :param timeout: ``dns_timeout``: how long one server has for one try, seconds.
        :param resolv_conf: a path; read here for the first time.
        :raises ValueError: when a word of ``dns_servers`` names no server.
        """
        seconds = cast(IReactorTime, reactor).seconds
        source: Callable[[], Sequence[servers.NameServer]]
        if dns_servers:
            source = servers.Fixed(servers.parse_list(dns_servers))
        else:
            source = servers.ResolvConf(resolv_conf, seconds)
        transport = QueryTransport(reactor, message.belongs)
        return cls(Engine(transport, source, seconds, random, timeout), Cache(seconds))

    async def lookup(self, name: str, record_type: int) -> Answer:
        """
        Look up one name, following CNAMEs.

        A text that is no host name is answered with ``NO_NAME``, and nobody is asked.
        """
        try:
            asked = to_ascii(name)
        except ValueError as error:
            return Answer(name, record_type, Status.NO_NAME, canonical=name, detail=str(error))
        return self._cache.get(asked, record_type) or await self._join((asked, record_type))

    def _join(self, key: tuple[str, int]) -> Deferred[Answer]:
        """Wait for a lookup together with everybody who wants the same; start it when nobody does yet."""
        flight = self._flights.get(key)
        if flight is not None:
            return self._wait(key, flight)
        flight = self._flights[key] = _Flight()
        waiter = self._wait(key, flight)
        flight.task = Deferred.fromCoroutine(self._find(*key))
        flight.task.addErrback(self._unexpected, key)
        flight.task.addCallback(self._arrived, key, flight)
        return waiter

    def _wait(self, key: tuple[str, int], flight: _Flight) -> Deferred[Answer]:
        waiter: Deferred[Answer] = Deferred(lambda cancelled: self._leave(key, flight, cancelled))
        flight.waiting.append(waiter)
        return waiter

    def _leave(self, key: tuple[str, int], flight: _Flight, waiter: Deferred[Answer]) -> None:
        """One caller has lost interest; the last one ends the lookup."""
        if waiter in flight.waiting:
            flight.waiting.remove(waiter)
            if not flight.waiting and flight.task is not None:
                del self._flights[key]
                flight.task.cancel()

    def _unexpected(self, failure: Failure, key: tuple[str, int]) -> Answer:
        """A defect of this program must not leave callers waiting; a cancelled lookup has none."""
        if not failure.check(CancelledError):
            self._log.failure("looking up {name} type {record_type}", failure, name=key[0], record_type=key[1])
        return Answer(*key, Status.RETRY, canonical=key[0], detail=failure.getErrorMessage())

    def _arrived(self, answer: Answer, key: tuple[str, int], flight: _Flight) -> Answer:
        if self._flights.get(key) is flight:
            del self._flights[key]
            self._cache.put(answer)
        waiting, flight.waiting = flight.waiting, []
        for waiter in waiting:
            if not waiter.called:  # else one that got its answer has just cancelled this one
                waiter.callback(answer)
        return answer

    async def _find(self, name: str, record_type: int) -> Answer:
        """Ask, and ask again where an alias leads out of the answer."""
        names, secure, ttl = [name], True, _LONGEST_POSITIVE
        while True:
            asked = names[-1]
            finding = await self._engine.ask(asked, record_type)
            reply = finding.reply
            if reply is None:
                return Answer(name, record_type, Status.RETRY, canonical=asked, detail=finding.detail)
            secure = secure and finding.secure
            if reply.rcode == message.NAME_ERROR:
                status = Status.NO_NAME
                break
            try:
                # Who asks for an alias wants the alias.
                ttl = min(ttl, _follow(names, reply.records)) if record_type != CNAME else ttl
            except _NoEnd as loop:
                return Answer(name, record_type, loop.status, canonical=asked, detail=str(loop))
            found = [r for r in reply.records if r.owner == names[-1] and r.record_type == record_type]
            if found:
                return _found(Answer(name, record_type, Status.FOUND, (), names[-1], ttl, secure), found)
            if names[-1] == asked:
                status = Status.NO_DATA
                break
        ttl = min(ttl, reply.negative_ttl, _LONGEST_NEGATIVE)
        return Answer(name, record_type, status, (), asked, ttl, secure, finding.detail)


def _follow(names: list[str], records: Iterable[ResourceRecord]) -> float:
    """
    Append to a chain of names what the aliases among the records lead to.

    :return: the smallest TTL on the way, seconds.
    :raises _NoEnd: when it leads nowhere.
    """
    aliases = {r.owner: (str(r.data), r.ttl) for r in records if r.record_type == CNAME}
    shortest = _LONGEST_POSITIVE
    while names[-1] in aliases:
        target, ttl = aliases[names[-1]]
        shortest = min(shortest, ttl)
        if target in names or len(names) > _MOST_ALIASES:
            raise _NoEnd(Status.RETRY, f"alias loop at {target}")
        if not is_hostname(target):
            raise _NoEnd(Status.MALFORMED, f"{names[-1]} is an alias for {target!a}, which is no host name")
        names.append(target)
    return shortest


def _found(answer: Answer, found: Iterable[ResourceRecord]) -> Answer:
    """The answer with the records that can be used; malformed when there is none."""
    records: list[Record] = []
    dropped: list[str] = []
    ttl = answer.ttl
    for record in found:
        ttl = min(ttl, record.ttl)
        match record.data:
            case (preference, host):
                if host == "" or is_hostname(host) or to_address(host):
                    records.append(Exchange(preference, host))
                else:
                    dropped.append(f"MX host {host!a} is no host name")
            case str(target) if answer.record_type == CNAME:
                records.append(Opaque(target.encode("utf-8", "surrogateescape")))
            case str(address):
                records.append(Address(address))
            case bytes(data):
                records.append(Opaque(data))
    status = Status.FOUND if records else Status.MALFORMED
    return replace(answer, status=status, records=tuple(records), ttl=ttl, detail="; ".join(dropped))
