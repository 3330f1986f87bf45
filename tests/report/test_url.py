"""Tests for :mod:`smtpclient.report.url`: real servers on the loopback interface."""

import os
from typing import Any

from twisted.internet import reactor, ssl
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from smtpclient.report.event import Event, encode
from smtpclient.report.url import ANSWER_LIMIT, AT_ONCE, UrlFailed, UrlListener
from tests.report.world import NOW, entry, envelope
from tests.tls.certificates import issue

EVENT = Event("bounced", envelope(), entry(), NOW)


class Arguments(SynchronousTestCase):
    """What the operator wrote."""

    def test_refused(self) -> None:
        """What cannot be posted to is refused at the start, with the way to write it."""
        for url in (
            "",
            "ftp://example.com/",
            "https:///path",
            "example.com",
            "https://exa mple.com/",
            "http://h:x/",
            "http://[/",
        ):
            error = self.assertRaises(ValueError, UrlListener, url, reactor, reactor)
            self.assertEqual(str(error), f"url:{url} is no URL that can be posted to; write url:https://host/path")


class Hearing(Resource):
    """Remembers what was posted, and answers as it is told to."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.posts: list[tuple[bytes, bytes, bytes]] = []
        self.code = 204
        self.answer = b""
        self.waiting: list[Request] | None = None
        self.most = 0

    def render_POST(self, request: Request) -> Any:
        """Remember one."""
        content = request.content
        assert content is not None
        self.posts.append((request.uri, request.getHeader("content-type") or "", content.read()))
        request.setResponseCode(self.code)
        if self.code == 302:
            request.setHeader("location", "/elsewhere")
        if self.waiting is None:
            return self.answer
        self.waiting.append(request)
        self.most = max(self.most, len(self.waiting))
        return NOT_DONE_YET


class Counting(Site):
    """A server that counts connections."""

    def __init__(self, resource: Resource) -> None:
        super().__init__(resource)
        self.connections = 0

    def buildProtocol(self, addr: Any) -> Any:
        """Count one."""
        self.connections += 1
        return super().buildProtocol(addr)


class Raw(Protocol):
    """Answers with bytes of the test's choice."""

    data: bytes = b""

    def dataReceived(self, data: bytes) -> None:
        """Answer once the request is here."""
        self.transport.write(self.data)


class UrlTests(TestCase):
    """What the tests have in common."""

    def setUp(self) -> None:
        self.resource = Hearing()
        self.site = Counting(self.resource)

    def serve(self, factory: Any = None) -> int:
        """Listen; the port."""
        port = reactor.listenTCP(0, factory or self.site, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return int(port.getHost().port)

    def listener(self, port: int, timeout: float = 20.0, scheme: str = "http") -> UrlListener:
        """A listener that posts there, and is closed at the end."""
        listener = UrlListener(f"{scheme}://127.0.0.1:{port}/in?key=1", reactor, reactor, timeout)
        self.addCleanup(lambda: Deferred.fromCoroutine(listener.close()))
        return listener

    async def refused(self, listener: UrlListener) -> str:
        """Why an event was not accepted."""
        return str(await self.assertFailure(Deferred.fromCoroutine(listener.tell(EVENT)), UrlFailed))


class Plain(UrlTests):
    """Without TLS."""

    async def test_event_is_posted(self) -> None:
        """The event arrives as JSON at the URL, and any 2xx accepts it."""
        listener = self.listener(self.serve())
        for code in (200, 201, 204):
            self.resource.code = code
            await listener.tell(EVENT)
        self.assertEqual(self.resource.posts, [(b"/in?key=1", "application/json", encode(EVENT))] * 3)

    async def test_connection_is_kept(self) -> None:
        """One event after the other takes one connection."""
        listener = self.listener(self.serve())
        for _ in range(5):
            await listener.tell(EVENT)
        self.assertEqual(self.site.connections, 1)

    async def test_refusals(self) -> None:
        """Another status is a refusal, which says what was answered; nothing is followed elsewhere."""
        listener = self.listener(self.serve())
        self.resource.answer = b"try later"
        said = {}
        for self.resource.code in (302, 400, 500):
            said[self.resource.code] = (await self.refused(listener)).partition("?key=1: ")[2]
        self.assertEqual(said, {code: f"answered {code}: try later" for code in (302, 400, 500)})
        self.assertEqual(len(self.resource.posts), 3)

    async def test_nobody_there(self) -> None:
        """A server that is not there is named, with what is wrong."""
        listener = self.listener(1)
        self.assertRegex(await self.refused(listener), r"^http://127\.0\.0\.1:1/in\?key=1: .*refused")

    async def test_no_answer(self) -> None:
        """A server that does not answer is not waited for longer than the time limit."""
        self.resource.waiting = []
        listener = self.listener(self.serve(), timeout=0.3)
        self.assertRegex(await self.refused(listener), r": no answer within 0\.3 seconds$")

    async def test_half_an_answer(self) -> None:
        """An answer that stops half-way is not waited for longer either, and its connection is closed."""
        listener = self.listener(self.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), timeout=0.3)
        self.assertRegex(await self.refused(listener), r": no answer within 0\.3 seconds$")

    async def test_endless_answer(self) -> None:
        """An answer without end is cut off, and taken for a refusal."""
        data = b"x" * (2 * ANSWER_LIMIT)
        listener = self.listener(self.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + data))
        await self.refused(listener)

    async def test_no_http(self) -> None:
        """What is no HTTP is a refusal."""
        await self.refused(self.listener(self.raw(b"220 mail.example.com ESMTP\r\n\r\n")))

    async def test_few_at_once(self) -> None:
        """However many events there are, only so many requests are made at a time; all get their turn."""
        self.resource.waiting = []
        listener = self.listener(self.serve())
        telling = gatherResults([Deferred.fromCoroutine(listener.tell(EVENT)) for _ in range(3 * AT_ONCE)])
        while not telling.called:
            while self.resource.waiting:
                self.resource.waiting.pop().finish()
            await self.pause()
        self.assertEqual(len(self.resource.posts), 3 * AT_ONCE)
        self.assertLessEqual(self.site.connections, AT_ONCE)

    async def test_cancelled(self) -> None:
        """Who no longer waits has the request given up."""
        self.resource.waiting = []
        telling = Deferred.fromCoroutine(self.listener(self.serve()).tell(EVENT))
        while not self.resource.posts:
            await self.pause()
        telling.cancel()
        await self.assertFailure(telling, CancelledError)

    def raw(self, data: bytes) -> int:
        """A server that answers with these bytes; its port."""
        factory = Factory.forProtocol(Raw)
        connections: list[Raw] = []

        def build(addr: Any) -> Raw:
            protocol = Raw()
            protocol.data = data
            connections.append(protocol)
            return protocol

        factory.buildProtocol = build  # type: ignore[method-assign]
        self.addCleanup(lambda: [each.transport.abortConnection() for each in connections])
        return self.serve(factory)

    async def pause(self) -> None:
        """Let others get on."""
        waiting: Deferred[None] = Deferred()
        reactor.callLater(0.01, waiting.callback, None)
        await waiting


def certificate(name: str) -> bytes:
    """A key and a certificate for an address, signed by itself, in PEM."""
    made = issue(name, addresses=[name], authority=True)
    return made.key_pem + made.pem


class Secure(UrlTests):
    """With TLS."""

    def serve_tls(self, name: str, trusted: bool) -> int:
        """A server with a certificate for an address; its port."""
        pem = certificate(name)
        file = os.path.abspath(self.mktemp())
        with open(file, "wb") as out:
            out.write(pem)
        # Where OpenSSL looks for what the system trusts; it reads the environment of the process itself.
        before = os.environ.get("SSL_CERT_FILE")
        os.environ["SSL_CERT_FILE"] = file if trusted else os.devnull
        self.addCleanup(lambda: os.environ.pop("SSL_CERT_FILE") and before and os.environ.update(SSL_CERT_FILE=before))
        options = ssl.PrivateCertificate.loadPEM(pem).options()
        port = reactor.listenSSL(0, self.site, options, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return int(port.getHost().port)

    async def test_trusted(self) -> None:
        """A server whose certificate is trusted and is for this address gets the event."""
        await self.listener(self.serve_tls("127.0.0.1", trusted=True), scheme="https").tell(EVENT)
        self.assertEqual(len(self.resource.posts), 1)

    async def test_trust_is_read_at_the_start(self) -> None:
        """What the system trusts is read when the service is made: after that the process may change its root."""
        port = self.serve_tls("127.0.0.1", trusted=True)
        listener = self.listener(port, scheme="https")
        os.environ["SSL_CERT_FILE"] = os.devnull
        await listener.tell(EVENT)
        self.assertEqual(len(self.resource.posts), 1)

    async def test_not_trusted(self) -> None:
        """One whose certificate nobody vouches for gets nothing."""
        said = await self.refused(self.listener(self.serve_tls("127.0.0.1", trusted=False), scheme="https"))
        self.assertIn("certificate verify failed", said)
        self.assertEqual(self.resource.posts, [])

    async def test_somebody_else(self) -> None:
        """One whose certificate is for another address gets nothing."""
        await self.refused(self.listener(self.serve_tls("127.0.0.2", trusted=True), scheme="https"))
        self.assertEqual(self.resource.posts, [])
