"""
A name server in memory: answers that are real DNS messages, after a while, or not at all.
"""

from collections.abc import Mapping
from random import Random

from twisted.internet.defer import Deferred
from twisted.names import dns

from smtpclient.dns.cache import Cache
from smtpclient.dns.engine import Engine
from smtpclient.dns.resolver import Resolver
from smtpclient.dns.servers import NameServer
from smtpclient.dns.transport import NoAnswer
from tests.simulation.reactor import SimulatedReactor

Zone = Mapping[tuple[str, int], list[object]]

_TTL = 300
_SOA = dns.Record_SOA(mname=b"ns.test", rname=b"root.test", serial=1, minimum=60, ttl=_TTL)


class SimulatedTransport:
    """
    What stands for :class:`smtpclient.dns.transport.QueryTransport`.

    :param zone: records by lower-case name and type.
    """

    def __init__(self, reactor: SimulatedReactor, zone: Zone) -> None:
        self._reactor = reactor
        self._zone = zone
        self._names = {name for name, _ in zone}

    async def datagram(self, server: NameServer, query: bytes, timeout: float) -> bytes:
        """Ask; the weather decides whether there is an answer."""
        weather = self._reactor.network.weather
        lost = weather.strikes(weather.drop)
        moment: Deferred[None] = Deferred()
        self._reactor.callLater(timeout if lost else weather.delay(), moment.callback, None)
        await moment
        if lost:
            raise NoAnswer(f"no answer in {timeout:g} s")
        return self._answer(query)

    async def stream(self, server: NameServer, query: bytes, timeout: float) -> bytes:
        """Ask over TCP; no answer here is ever too large for UDP."""
        return await self.datagram(server, query, timeout)

    def _answer(self, query: bytes) -> bytes:
        question = dns.Message()
        question.fromStr(query)
        name, kind = question.queries[0].name.name.decode().lower(), question.queries[0].type
        answer = dns.Message(question.id, answer=1, recDes=1, recAv=1)
        answer.queries = question.queries
        weather = self._reactor.network.weather
        if weather.strikes(weather.servfail):
            answer.rCode = dns.ESERVER
        elif name not in self._names:
            answer.rCode = dns.ENAME
        for record in self._zone.get((name, kind), []):
            answer.answers.append(dns.RRHeader(name.encode(), kind, dns.IN, _TTL, record))
        if not answer.answers:
            answer.authority.append(dns.RRHeader(b"test", dns.SOA, dns.IN, _TTL, _SOA))
        return bytes(answer.toStr())


def resolver(reactor: SimulatedReactor, zone: Zone, random: Random) -> Resolver:
    """The real resolver over the simulated transport."""
    servers = (NameServer("10.0.0.53", 53), NameServer("10.0.0.54", 53))
    engine = Engine(SimulatedTransport(reactor, zone), lambda: servers, reactor.seconds, random)  # type: ignore[arg-type]
    return Resolver(engine, Cache(reactor.seconds))
