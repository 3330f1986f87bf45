"""
A small world of https for tests: an authority, certificates of it, web servers on loopback, names that lead to them.
"""

from collections.abc import Callable, Mapping
from typing import Any

from OpenSSL import crypto
from twisted.internet import reactor, ssl
from twisted.internet.interfaces import IListeningPort
from twisted.web.resource import Resource
from twisted.web.server import Request, Site
from zope.interface import implementer

from smtpclient.dns.answer import Address, Answer, Opaque, Status
from smtpclient.dns.text_record import TXT
from smtpclient.interfaces import IResolver
from tests.tls.certificates import authority, issue


class Authority:
    """Signs certificates for names."""

    def __init__(self, name: str = "Test Authority") -> None:
        self._own = authority(name)
        self.pem = self._own.pem  # as a file that names it holds it

    @property
    def trusted(self) -> tuple[crypto.X509, ...]:
        """As a client that trusts it has it."""
        return (crypto.X509.from_cryptography(self._own.certificate),)

    def pair(self, *names: str, days: int = 1) -> bytes:
        """Key and certificate for names, in PEM; expired where ``days`` is negative."""
        made = issue(names[0], names, self._own, days=(-20, days))
        return made.key_pem + made.pem


class Page(Resource):
    """Answers every request as it is told to, and remembers them."""

    isLeaf = True

    def __init__(self, body: bytes = b"", media_type: str | None = "text/plain", code: int = 200) -> None:
        super().__init__()
        self.body = body
        self.media_type = media_type
        self.code = code
        self.location = ""
        self.asked: list[tuple[str, str]] = []
        self.posted: list[tuple[str, bytes]] = []
        self.answer: Callable[[Request], Any] | None = None

    def render(self, request: Request) -> Any:
        """Answer one."""
        host = request.getRequestHostname().decode()
        self.asked.append((host, request.uri.decode()))
        if request.method == b"POST":
            assert request.content is not None
            self.posted.append((request.getHeader("content-type") or "", request.content.read()))
        request.setResponseCode(self.code)
        if self.location:
            request.setHeader("location", self.location)
        if self.media_type is None:
            request.defaultContentType = None  # type: ignore[assignment]
        else:
            request.setHeader("content-type", self.media_type)
        return self.answer(request) if self.answer is not None else self.body


def serve(page: Resource, pair: bytes, address: str = "127.0.0.1", port: int = 0) -> IListeningPort:
    """A web server with a certificate."""
    options = ssl.PrivateCertificate.loadPEM(pair).options()
    return reactor.listenSSL(port, Site(page), options, interface=address)  # type: ignore[attr-defined]


def text(words: str) -> bytes:
    """The data of a TXT record."""
    data = words.encode()
    return b"".join(bytes([len(data[i : i + 255])]) + data[i : i + 255] for i in range(0, len(data), 255))


@implementer(IResolver)
class Names:
    """
    A resolver with a few names.

    :ivar hosts: names and their addresses.
    :ivar texts: names and their TXT records.
    :ivar broken: names that nobody answers for.
    :ivar asked: what was looked up.
    """

    def __init__(self, hosts: Mapping[str, str] = {}, texts: Mapping[str, list[str]] = {}) -> None:
        self.hosts = dict(hosts)
        self.texts = dict(texts)
        self.broken: set[str] = set()
        self.asked: list[tuple[str, int]] = []

    async def lookup(self, name: str, record_type: int) -> Answer:
        """Look one up."""
        self.asked.append((name, record_type))
        if name in self.broken:
            return Answer(name, record_type, Status.RETRY, detail="timeout")
        if record_type == TXT and name in self.texts:
            return Answer(name, TXT, Status.FOUND, tuple(Opaque(text(one)) for one in self.texts[name]), name, 60.0)
        if record_type == 1 and name in self.hosts:
            return Answer(name, 1, Status.FOUND, (Address(self.hosts[name]),), name, 60.0)
        known = name in self.hosts or name in self.texts
        return Answer(name, record_type, Status.NO_DATA if known else Status.NO_NAME, canonical=name)
