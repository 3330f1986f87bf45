"""
``url:https://host/path``: each event is posted to a URL as JSON.

A status of 2xx means that it has been recorded. Anything else, or no whole answer within :data:`TIMEOUT`, means that it
has not: the recipient stays queued, and the beginning of the answer is in the log. Redirections are not followed:
where the outcomes of mail go is the operator's decision.

Promises: at most :data:`AT_ONCE` requests at the same time; connections are kept for the next event; the server's
certificate is verified against what the system trusts when the service is made; no more than :data:`SAID_LIMIT` bytes
of an answer are kept, and one longer than :data:`ANSWER_LIMIT` is cut off and taken for a refusal.

Known limits: no authentication but what the URL itself holds.
"""

from urllib.parse import urlsplit

from twisted.internet import ssl
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.internet.defer import TimeoutError as OutOfTime
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IReactorTCP, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool, ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from smtpclient.http_request import Body, causes
from smtpclient.report.event import Event, encode

TIMEOUT = 30.0
"""Seconds that a request may take, from connecting to the end of its answer."""

AT_ONCE = 20

KEEP_CONNECTION = 10
"""Seconds that an idle connection is kept; servers usually close after more."""

SAID_LIMIT = 500
ANSWER_LIMIT = 65536


class UrlFailed(Exception):
    """A URL did not accept an event; the text says what it answered."""


class _Answer(Protocol):
    """The body of a response, as far as it is of interest."""

    def __init__(self) -> None:
        self.said = b""
        self.ended: Deferred[None] = Deferred(lambda _: self._abort())
        self._length = 0

    def dataReceived(self, data: bytes) -> None:
        """Keep the beginning; do not listen to the end of a long one."""
        self.said = (self.said + data)[:SAID_LIMIT]
        self._length += len(data)
        if self._length > ANSWER_LIMIT:
            self._abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It has ended; an answer that was cut off counts as none."""
        if self.ended.called:  # nobody waits any more
            return
        if reason.check(ResponseDone):
            self.ended.callback(None)
        else:
            self.ended.errback(reason)

    def _abort(self) -> None:
        # Without this a server that sends for ever would keep the connection, and its place among AT_ONCE, for ever.
        abort = getattr(self.transport, "abortConnection", None) or getattr(self.transport, "loseConnection", None)
        if abort is not None:
            abort()


@implementer(IPolicyForHTTPS)
class _OneHost:
    """Verifies the one server that is ever spoken to."""

    def __init__(self, hostname: str, clock: IReactorTime) -> None:
        self._creator: IOpenSSLClientConnectionCreator = ssl.optionsForClientTLS(hostname)
        # A connection that leads nowhere: what the system trusts is read with the first, and must be read now, for it
        # cannot be once the process has changed its root.
        nowhere = TLSMemoryBIOFactory(self._creator, True, Factory.forProtocol(Protocol), clock)
        self._creator.clientConnectionForTLS(nowhere.buildProtocol(None))

    def creatorForNetloc(self, hostname: bytes, port: int) -> IOpenSSLClientConnectionCreator:
        """The same for every connection."""
        return self._creator


class UrlListener:
    """
    Posts each event.

    :param url: ``https:`` or ``http:``.
    :param reactor: makes connections.
    :param clock: for the time limit.
    :raises ValueError: when it is no such URL, in words for the operator.
    """

    def __init__(self, url: str, reactor: IReactorTCP, clock: IReactorTime, timeout: float = TIMEOUT) -> None:
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and url.isascii()
        except ValueError:
            usable = False
        if not usable or any(character.isspace() for character in url):
            raise ValueError(f"url:{url} is no URL that can be posted to; write url:https://host/path")
        self._url = url
        self._clock = clock
        self._timeout = timeout
        self._turns = DeferredSemaphore(AT_ONCE)
        self._pool = HTTPConnectionPool(reactor)
        self._pool.maxPersistentPerHost = AT_ONCE
        self._pool.cachedConnectionTimeout = KEEP_CONNECTION
        self._agent = Agent(reactor, _OneHost(parts.hostname or "", clock), pool=self._pool)

    async def tell(self, event: Event) -> None:
        """
        Post one event.

        :raises UrlFailed: when the answer was not 2xx, or there was none in time.
        """
        async with self._turns:
            posting = Deferred.fromCoroutine(self._post(encode(event)))
            try:
                await posting.addTimeout(self._timeout, self._clock)
            except OutOfTime:
                raise UrlFailed(f"{self._url}: no answer within {self._timeout:g} seconds") from None

    async def close(self) -> None:
        """Close the connections that are kept."""
        await self._pool.closeCachedConnections()

    async def _post(self, record: bytes) -> None:
        headers = Headers({b"Content-Type": [b"application/json"], b"User-Agent": [b"smtpclient"]})
        try:
            response = await self._agent.request(b"POST", self._url.encode("ascii"), headers, Body(record))
            answer = _Answer()
            response.deliverBody(answer)
            await answer.ended
        except Exception as failure:
            reasons = causes(failure)
            if any(isinstance(cause, CancelledError) for cause in reasons):
                raise CancelledError() from None
            words = "; ".join(str(cause) or type(cause).__name__ for cause in reasons)
            raise UrlFailed(f"{self._url}: {words}") from failure
        if not 200 <= response.code < 300:
            said = answer.said.decode("utf-8", "replace").strip()
            raise UrlFailed(f"{self._url}: answered {response.code}{': ' + said if said else ''}")
