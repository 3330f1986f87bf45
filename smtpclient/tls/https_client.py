"""
HTTPS to servers that somebody else names: policies of MTA-STS are fetched so, and TLS reports are posted.

Names are looked up by our own resolver; addresses are tried one after the other. The server must show a certificate for
its name from an authority that the operator trusts: a URL that leads to a machine inside leads to a failed handshake.

Promises: no redirect is followed; no proxy, cookie, or connection of an earlier request is used; a request takes no
longer than its timeout in all, and no more than its limit of an answer, status line and header included, is ever in
memory.

Does not: ask for compressed answers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

from OpenSSL import SSL, crypto
from service_identity import VerificationError as NameMismatch
from twisted.internet import ssl
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as OutOfTime
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, wrapClientTLS
from twisted.internet.error import ConnectBindError
from twisted.internet.interfaces import (
    IAddress,
    IOpenSSLClientConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IReactorTCP,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from smtpclient.dns.answer import Address, Status
from smtpclient.dns.name import family, is_hostname, to_address
from smtpclient.dns.resolver import AAAA, A
from smtpclient.http_request import Body, causes
from smtpclient.interfaces import IResolver

_CONNECT_TIMEOUT = 15.0
_MOST_ADDRESSES = 8
_HEADER_ROOM = 32_768  # bytes that an answer may have beside its body


class HttpsFailed(Exception):
    """There is no answer, or none that may be used; the text says why."""


class NotAuthentic(HttpsFailed):
    """The server has not shown that it is the one in the URL."""


@dataclass(frozen=True, slots=True)
class HttpsAnswer:
    """
    What a server answered.

    :param media_type: lower case, without parameters; empty when it named none.
    """

    code: int
    media_type: str
    body: bytes


class HttpsClient:
    """
    Makes requests.

    :param reactor: connections; also gives ``IReactorTime``.
    :param authorities: the ones that are trusted now.
    :param bind_address: the local address for IPv4; empty: any.
    :param bind_address6: the same for IPv6.
    :param bind_enforce: without that address there is no connection; else it comes from any, as mail does.
    """

    def __init__(
        self,
        reactor: IReactorTCP,
        clock: IReactorTime,
        resolver: IResolver,
        authorities: Callable[[], Sequence[crypto.X509]],
        bind_address: str = "",
        bind_address6: str = "",
        *,
        bind_enforce: bool = False,
    ) -> None:
        self._reactor = reactor
        self._clock = clock
        self._resolver = resolver
        self._authorities = authorities
        self._bind = {"ipv4": bind_address, "ipv6": bind_address6}
        self._bind_enforce = bind_enforce

    async def get(self, url: str, *, limit: int, timeout: float) -> HttpsAnswer:
        """
        Fetch a URL.

        :param limit: for the body, bytes.
        :param timeout: for everything, seconds.
        :raises HttpsFailed: when there is no answer.
        """
        return await self._request(b"GET", url, Headers(), None, limit, timeout)

    async def post(self, url: str, media_type: str, data: bytes, *, limit: int, timeout: float) -> HttpsAnswer:
        """
        Post something to a URL.

        :param limit: for the body of the answer, bytes.
        :param timeout: for everything, seconds.
        :raises HttpsFailed: when there is no answer.
        """
        headers = Headers({b"Content-Type": [media_type.encode("ascii")]})
        return await self._request(b"POST", url, headers, Body(data), limit, timeout)

    async def _request(
        self, method: bytes, url: str, headers: Headers, body: Body | None, limit: int, timeout: float
    ) -> HttpsAnswer:
        _check(url)
        headers.setRawHeaders(b"User-Agent", [b"smtpclient"])
        places = _Places(self, limit + _HEADER_ROOM)
        agent = Agent.usingEndpointFactory(self._reactor, places)
        work = Deferred.fromCoroutine(_exchange(agent, method, url, headers, body, limit))
        try:
            return await work.addTimeout(timeout, self._clock)
        except OutOfTime:
            raise HttpsFailed(f"no answer within {timeout:g} seconds") from None
        finally:
            places.close()

    async def connect(self, host: str, port: int, factory: IProtocolFactory) -> IProtocol:
        """
        A connection in TLS to a server that has shown its certificate, or is about to.

        :raises HttpsFailed: when the name has no address.
        :raises Exception: of the last address that was tried.
        """
        root = ssl.trustRootFromCertificates([ssl.Certificate(one) for one in self._authorities()])
        options = ssl.optionsForClientTLS(host, trustRoot=root)
        last: Exception = HttpsFailed(f"{host} has no address")
        for address in (await self._addresses(host))[:_MOST_ADDRESSES]:
            try:
                return await self._reach(address, port, options, factory)
            except CancelledError:
                raise
            except Exception as why:
                last = why
        raise last

    async def _reach(
        self, address: str, port: int, options: IOpenSSLClientConnectionCreator, factory: IProtocolFactory
    ) -> IProtocol:
        local = self._bind[family(address)]
        try:
            return await wrapClientTLS(options, self._endpoint(address, port, local)).connect(factory)
        except ConnectBindError:
            if not local or self._bind_enforce:
                raise
        return await wrapClientTLS(options, self._endpoint(address, port, "")).connect(factory)

    def _endpoint(self, address: str, port: int, local: str) -> IStreamClientEndpoint:
        endpoint = TCP6ClientEndpoint if family(address) == "ipv6" else TCP4ClientEndpoint
        return endpoint(self._reactor, address, port, _CONNECT_TIMEOUT, (local, 0) if local else None)

    async def _addresses(self, host: str) -> list[str]:
        found: list[str] = []
        troubles = []
        for record_type in (A, AAAA):
            answer = await self._resolver.lookup(host, record_type)
            found += [record.address for record in answer.records if isinstance(record, Address)]
            if answer.status is Status.RETRY:
                troubles.append(answer.detail or "try again")
        if troubles and not found:
            raise HttpsFailed(f"{host} cannot be looked up: {'; '.join(dict.fromkeys(troubles))}")
        return found


def _check(url: str) -> None:
    """
    Refuse what is no URL of a server with a name.

    :raises HttpsFailed: in words.
    """
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        usable = parts.scheme == "https" and is_hostname(host) and not to_address(host) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or "@" in parts.netloc or not url.isascii() or not url.isprintable() or " " in url:
        raise HttpsFailed(f"{url[:200]!a} is no https URL of a host with a name")


@implementer(IAgentEndpointFactory)
class _Places:
    """Where one request goes."""

    def __init__(self, client: HttpsClient, limit: int) -> None:
        self._client = client
        self._limit = limit
        self._connections: list[_Bounded] = []

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """The server of a URL; called by Twisted."""
        return _Place(self, uri.host.decode("ascii"), uri.port)

    async def connect(self, host: str, port: int, factory: IProtocolFactory) -> IProtocol:
        """A connection whose protocol hears no more than the limit."""
        bounded = _BoundedFactory(factory, self._limit, self._connections.append)
        connection = await self._client.connect(host, port, bounded)
        assert isinstance(connection, _Bounded)
        return connection.wrappedProtocol

    def close(self) -> None:
        """Nothing is left open, however the request ended."""
        for connection in self._connections:
            connection.abort()


@implementer(IStreamClientEndpoint)
class _Place:
    def __init__(self, places: _Places, host: str, port: int) -> None:
        self._places = places
        self._host = host
        self._port = port

    def connect(self, protocolFactory: IProtocolFactory) -> "Deferred[IProtocol]":
        """Called by Twisted."""
        return Deferred.fromCoroutine(self._places.connect(self._host, self._port, protocolFactory))


class _Bounded(ProtocolWrapper):
    """Hears so many bytes, and no more."""

    left = 0

    def dataReceived(self, data: bytes) -> None:
        """Pass on what is still allowed."""
        self.left -= len(data)
        if self.left < 0:
            self.abort()
        else:
            super().dataReceived(data)

    def abort(self) -> None:
        """End it, without waiting for anybody."""
        if self.transport is not None:
            cast(Any, self.transport).abortConnection()


class _BoundedFactory(WrappingFactory):
    protocol = _Bounded
    noisy = False

    def __init__(self, factory: IProtocolFactory, limit: int, made: Callable[[_Bounded], None]) -> None:
        super().__init__(factory)
        self._limit = limit
        self._made = made

    def buildProtocol(self, addr: IAddress | None) -> _Bounded:
        """Make one for a connection."""
        protocol = cast(_Bounded, super().buildProtocol(addr))
        protocol.left = self._limit
        self._made(protocol)
        return protocol


class _Collected(Protocol):
    """The body of an answer, up to a limit."""

    def __init__(self, limit: int) -> None:
        self.ended: Deferred[bytes] = Deferred()
        self._limit = limit
        self._data = bytearray()

    def dataReceived(self, data: bytes) -> None:
        """Collect."""
        self._data += data
        if len(self._data) > self._limit and not self.ended.called:
            self.ended.errback(HttpsFailed(f"the answer is longer than {self._limit} bytes"))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """All of it is here; one without length ends with the connection."""
        if self.ended.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.ended.callback(bytes(self._data))
        else:
            self.ended.errback(HttpsFailed("the connection was lost in the middle of the answer"))


async def _exchange(
    agent: Agent, method: bytes, url: str, headers: Headers, body: Body | None, limit: int
) -> HttpsAnswer:
    try:
        response = await agent.request(method, url.encode("ascii"), headers, body)
        collected = _Collected(limit)
        response.deliverBody(collected)
        data = await collected.ended
    except (CancelledError, HttpsFailed):
        raise
    except Exception as failure:
        raise _failed(causes(failure)) from failure
    named = response.headers.getRawHeaders(b"content-type", [b""])[0]
    media_type = named.partition(b";")[0].strip().lower().decode("latin-1")
    return HttpsAnswer(response.code, media_type, data)


def _failed(reasons: Sequence[BaseException]) -> Exception:
    if any(isinstance(cause, CancelledError) for cause in reasons):
        return CancelledError()
    words = "; ".join(dict.fromkeys(_words(cause) for cause in reasons))
    unverified = any(
        isinstance(cause, NameMismatch) or "certificate verify failed" in _words(cause) for cause in reasons
    )
    return NotAuthentic(words) if unverified else HttpsFailed(words)


def _words(cause: BaseException) -> str:
    if isinstance(cause, SSL.Error) and cause.args and isinstance(cause.args[0], list):
        return ", ".join(str(entry[-1]) for entry in cause.args[0]) or "TLS error"
    if isinstance(cause, NameMismatch):
        return "the certificate is for another name"
    return str(cause) or type(cause).__name__
