"""
A private world on loopback: one DNS authority and two mail servers, with no network and no privileges.

::

    roses.example     MX 10 mx1.roses.example   127.0.0.2   nobody answers there
                      MX 20 mx2.roses.example   127.0.0.3   takes mail for everybody but nobody@ and busy@
    lilies.example    MX 10 mail.lilies.example 127.0.0.4   takes mail for everybody

Ports are whatever is free. A server writes each message that it takes as a file of its own into its folder.
Everything is made of Twisted's own servers, so the mail system under them meets code that is not its relative.
"""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IReactorTCP, IReactorUDP
from twisted.mail.interfaces import IMessageDelivery, IMessageSMTP
from twisted.mail.smtp import ESMTP, Address, SMTPFactory, SMTPServerError, User
from twisted.names import dns
from twisted.names.authority import FileAuthority
from twisted.names.server import DNSServerFactory
from zope.interface import implementer

DOWN = "127.0.0.2"
ROSES = "127.0.0.3"
LILIES = "127.0.0.4"
NAMESERVER = "127.0.0.1"

REFUSALS = {
    "nobody": (550, "5.1.1 There is no such mailbox here"),
    "busy": (450, "4.2.1 This mailbox is busy, try again later"),
}


class Zone(FileAuthority):
    """Everything below ``example.``, from a table instead of a file."""

    soa: Any
    records: Any

    def loadFile(self, filename: str) -> None:
        """Fill in the records; the name is of no interest."""
        self.soa = (
            b"example",
            dns.Record_SOA(b"ns.example", b"hostmaster.example", 1, 3600, 600, 86400, 60, ttl=60),
        )
        self.records = {
            b"example": [self.soa[1], dns.Record_NS(b"ns.example", ttl=60)],
            b"ns.example": [dns.Record_A(NAMESERVER, ttl=60)],
            b"roses.example": [
                dns.Record_MX(10, b"mx1.roses.example", ttl=60),
                dns.Record_MX(20, b"mx2.roses.example", ttl=60),
            ],
            b"mx1.roses.example": [dns.Record_A(DOWN, ttl=60)],
            b"mx2.roses.example": [dns.Record_A(ROSES, ttl=60)],
            b"lilies.example": [dns.Record_MX(10, b"mail.lilies.example", ttl=60)],
            b"mail.lilies.example": [dns.Record_A(LILIES, ttl=60)],
        }


@implementer(IMessageSMTP)
class Letter:
    """One message on its way into a file; only a whole one gets its name."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: list[bytes] = []

    def lineReceived(self, line: bytes) -> None:
        """Keep one line of the content."""
        self._lines.append(line)

    def eomReceived(self) -> Deferred[None]:
        """The content is whole: write it."""
        self._path.write_bytes(b"\n".join(self._lines) + b"\n")
        return succeed(None)

    def connectionLost(self) -> None:
        """The client went away half-way: nothing is kept."""
        self._lines.clear()


@implementer(IMessageDelivery)
class Mailroom:
    """What one server does with senders and recipients."""

    def __init__(self, domain: str, folder: Path) -> None:
        self._domain = domain
        self._folder = folder

    def receivedHeader(self, helo: tuple[bytes, bytes], origin: Address, recipients: list[User]) -> bytes:
        """The trace that this server leaves."""
        return f"Delivered-To: {recipients[0].dest}".encode()

    def validateFrom(self, helo: tuple[bytes, bytes], origin: Address) -> Address:
        """Every sender will do."""
        return origin

    def validateTo(self, user: User) -> Callable[[], Letter]:
        """
        Take a recipient of the own domain.

        :raises SMTPServerError: for the local parts that the table of refusals names, and for other domains.
        """
        local, domain = user.dest.local.decode(), user.dest.domain.decode()
        if domain.lower() != self._domain:
            raise SMTPServerError(554, f"5.7.1 This is {self._domain}, not {domain}")
        if local in REFUSALS:
            raise SMTPServerError(*REFUSALS[local])
        number = sum(1 for _ in self._folder.iterdir()) + 1
        return lambda: Letter(self._folder / f"{local}.{number}")


class Server(SMTPFactory):
    """One mail server."""

    noisy = False

    def __init__(self, host: str, mailroom: Mailroom) -> None:
        super().__init__()
        self.domain = host.encode()
        self._mailroom = mailroom

    def buildProtocol(self, address: object) -> ESMTP:
        """One session."""
        session = ESMTP()
        session.noisy = False
        session.factory = self
        session.host = self.domain
        session.delivery = self._mailroom
        return session


class World:
    """
    All of it.

    :param folder: where what arrives is put: ``roses/`` and ``lilies/``, one file for each message.

    ``dns_address`` (``address:port``) and ``smtp_port`` are known once it is open.
    """

    def __init__(self, reactor: IReactorTCP, datagrams: IReactorUDP, folder: Path) -> None:
        self.folder = folder
        self.dns_address = ""
        self.smtp_port = 0
        self._reactor = reactor
        self._datagrams = datagrams
        self._ports: list[IListeningPort] = []

    def open(self) -> None:
        """
        Open the doors.

        :raises OSError: when no port is free on all the addresses, or one of the addresses is not this machine's.
        """
        self.smtp_port = self._listen(
            {
                ROSES: self._server("mx2.roses.example", "roses.example"),
                LILIES: self._server("mail.lilies.example", "lilies.example"),
            }
        )
        names = DNSServerFactory(authorities=[Zone("example")])
        datagrams = dns.DNSDatagramProtocol(names)
        self._ports.append(self._datagrams.listenUDP(0, datagrams, interface=NAMESERVER, maxPacketSize=4096))
        self.dns_address = f"{NAMESERVER}:{_number(self._ports[-1])}"

    def _server(self, host: str, domain: str) -> Server:
        folder = self.folder / domain.partition(".")[0]
        folder.mkdir(parents=True, exist_ok=True)
        return Server(host, Mailroom(domain, folder))

    def _listen(self, servers: dict[str, Server]) -> int:
        """One port number that is free on every server's address, and on the one where nobody must answer."""
        taken: OSError | None = None
        for _ in range(20):
            opened: list[IListeningPort] = []
            port = 0
            try:
                for address, server in servers.items():
                    opened.append(self._reactor.listenTCP(port, server, interface=address))
                    port = _number(opened[0])
                with socket.socket() as silent:
                    silent.bind((DOWN, port))
            except CannotListenError as error:
                taken = error.socketError
            except OSError as error:
                taken = error
            else:
                self._ports += opened
                return port
            for listening in opened:
                listening.stopListening()
        raise OSError(f"no port is free on {DOWN}, {', '.join(servers)}: {taken}")

    async def close(self) -> None:
        """Shut the doors."""
        while self._ports:
            closing = self._ports.pop().stopListening()
            if closing is not None:
                await closing


def _number(port: IListeningPort) -> int:
    host = port.getHost()
    assert isinstance(host, IPv4Address)
    return host.port
