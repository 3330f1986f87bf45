"""A name server on 127.0.0.1 that says what a test tells it to, over UDP and TCP at the same port."""

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol
from twisted.internet.task import deferLater
from twisted.names import dns

from smtpclient.dns.servers import NameServer

#: From a query and ``udp`` or ``tcp`` to the messages to send back; None closes a TCP connection.
Script = Callable[[bytes, str], Sequence[bytes] | None]


def question(query: bytes) -> tuple[str, int]:
    """The name and type that a query asks for."""
    message = dns.Message()
    message.fromStr(query)
    asked = message.queries[0]
    return asked.name.name.decode("ascii"), asked.type


def reply(query: bytes, *records: Any, rcode: int = 0, authority: Sequence[dns.RRHeader] = (), **flags: Any) -> bytes:
    """
    A well-formed reply of a recursive server.

    :param records: ``RRHeader`` objects, or payloads for the name that was asked, with a TTL of 300 s.
    :param flags: more of ``dns.Message``.
    """
    asked = dns.Message()
    asked.fromStr(query)
    message = dns.Message(
        **{"id": asked.id, "answer": 1, "recDes": 1, "recAv": 1, "rCode": rcode, "maxSize": 0, **flags}
    )
    message.queries = asked.queries
    name = asked.queries[0].name.name
    for record in records:
        header = (
            record if isinstance(record, dns.RRHeader) else dns.RRHeader(name, record.TYPE, ttl=300, payload=record)
        )
        message.answers.append(header)
    message.authority = list(authority)
    return message.toStr()


def cname(owner: str, target: str, ttl: int = 300) -> dns.RRHeader:
    """An alias."""
    return dns.RRHeader(owner, dns.CNAME, ttl=ttl, payload=dns.Record_CNAME(target))


def soa(minimum: int, ttl: int = 300) -> dns.RRHeader:
    """A zone's SOA record, for the authority section."""
    return dns.RRHeader("test", dns.SOA, ttl=ttl, payload=dns.Record_SOA("ns.test", "root.test", 1, 2, 3, 4, minimum))


async def until(condition: Callable[[], object]) -> None:
    """Let the reactor go on until something has happened."""
    while not condition():
        await deferLater(reactor, 0.001, lambda: None)


class ScriptedServer:
    """
    The server.

    :ivar asked: name, type and way of every query, in order.
    """

    def __init__(self, script: Script, address: str = "127.0.0.1") -> None:
        self.script = script
        self.asked: list[tuple[str, int, str]] = []
        self.queries: list[tuple[bytes, tuple[str, int]]] = []
        self._address = address
        while True:
            self._tcp = reactor.listenTCP(0, Factory.forProtocol(lambda: _Tcp(self)), interface=address)
            try:
                self._port = self._tcp.getHost().port
                self._udp = reactor.listenUDP(self._port, _Udp(self), interface=address)
            except CannotListenError:
                self._tcp.stopListening()
            else:
                break

    @property
    def name_server(self) -> NameServer:
        """Where it listens, trusted."""
        return NameServer(self._address, self._port, trusted=True)

    def answers(self, query: bytes, via: str, source: tuple[str, int]) -> Sequence[bytes] | None:
        """Note the query and follow the script."""
        self.asked.append((*question(query), via))
        self.queries.append((query, source))
        return self.script(query, via)

    def send(self, data: bytes, to: tuple[str, int]) -> None:
        """Send a datagram of the test's own timing."""
        self._udp.write(data, to)

    async def stop_tcp(self) -> None:
        """From now on refuse TCP connections."""
        await maybeDeferred(self._tcp.stopListening)

    async def stop(self) -> None:
        """Close both sockets."""
        await maybeDeferred(self._udp.stopListening)
        await self.stop_tcp()


class _Udp(DatagramProtocol):
    def __init__(self, server: ScriptedServer) -> None:
        self.server = server

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        for data in self.server.answers(datagram, "udp", addr) or ():
            self.transport.write(data, addr)


class _Tcp(Protocol):
    def __init__(self, server: ScriptedServer) -> None:
        self.server = server
        self.buffer = b""

    def dataReceived(self, data: bytes) -> None:
        self.buffer += data
        end = 2 + int.from_bytes(self.buffer[:2])
        if len(self.buffer) < max(end, 2):
            return
        found = self.server.answers(self.buffer[2:end], "tcp", ("", 0))
        if found is None:
            self.transport.loseConnection()
        for answer in found or ():
            self.transport.write(len(answer).to_bytes(2) + answer)
