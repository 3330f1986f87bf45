"""Tests for :mod:`smtpclient.tls.sts_fetch` and :mod:`smtpclient.tls.https_client`: real web servers on loopback."""

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.server import NOT_DONE_YET, Request

from smtpclient.tls.https_client import HttpsClient, HttpsFailed
from smtpclient.tls.result_type import ResultType
from smtpclient.tls.sts_fetch import LARGEST_POLICY, FetchFailed, PolicyFetch
from smtpclient.tls.sts_policy import Mode, parse
from tests.tls.web_world import Authority, Names, Page, serve

POLICY = b"version: STSv1\r\nmode: enforce\r\nmx: mx.example.com\r\nmax_age: 86400\r\n"
HOST = "mta-sts.example.com"
AUTHORITY = Authority()


class Fetching(TestCase):
    """One domain, and what its web server does."""

    def setUp(self) -> None:
        self.page = Page(POLICY, "text/plain; charset=utf-8")
        self.names = Names({HOST: "127.0.0.1"})

    def start(self, pair: bytes = b"", *, timeout: float = 10.0) -> PolicyFetch:
        """Start the server, and make what fetches from it."""
        port = serve(self.page, pair or AUTHORITY.pair(HOST))
        self.addCleanup(port.stopListening)
        return self.fetcher(port.getHost().port, timeout)

    def fetcher(self, port: int, timeout: float = 10.0, **details: Any) -> PolicyFetch:
        """What fetches from a port."""
        client = HttpsClient(reactor, reactor, self.names, lambda: AUTHORITY.trusted, **details)  # type: ignore[arg-type]
        return PolicyFetch(client, port, timeout)

    async def failure(self, fetch: PolicyFetch, domain: str = "example.com") -> tuple[ResultType, str]:
        """Why nothing was fetched."""
        try:
            await fetch.fetch(domain)
        except FetchFailed as why:
            return why.result, str(why).partition(": ")[2]
        raise AssertionError("it was fetched")

    async def test_policy(self) -> None:
        """The policy comes from the well-known place, found through our own resolver."""
        policy = await self.start().fetch("example.com")
        self.assertEqual(policy, parse(POLICY))
        self.assertEqual(self.page.asked, [(HOST, "/.well-known/mta-sts.txt")])
        self.assertIn((HOST, 1), self.names.asked)

    async def test_local_address(self) -> None:
        """The connection comes from the address that is set; which cannot be had is, if need be, not missed."""
        port = serve(self.page, AUTHORITY.pair(HOST))
        self.addCleanup(port.stopListening)
        number = port.getHost().port
        found: list[str] = []

        def answer(request: Request) -> bytes:
            found.append(request.getClientAddress().host)
            return POLICY

        self.page.answer = answer
        for local in ("127.0.0.77", "192.0.2.55"):
            await self.fetcher(number, bind_address=local).fetch("example.com")
        self.assertEqual(found, ["127.0.0.77", "127.0.0.1"])
        fetch = self.fetcher(number, bind_address="192.0.2.55", bind_enforce=True)
        self.assertIn("Cannot assign requested address", (await self.failure(fetch))[1])

    async def test_wildcard_certificate(self) -> None:
        """A certificate for every name of the domain will do."""
        self.assertEqual((await self.start(AUTHORITY.pair("*.example.com")).fetch("example.com")).mode, Mode.ENFORCE)

    async def test_certificates_that_do_not_count(self) -> None:
        """For another name, expired, or from nobody we know: it is no policy, and reports call it by its name."""
        invalid = ResultType.STS_WEBPKI_INVALID
        rows = {
            AUTHORITY.pair("example.com"): (invalid, "the certificate is for another name"),
            AUTHORITY.pair(HOST, days=-1): (invalid, "certificate verify failed"),
            Authority("Somebody Else").pair(HOST): (invalid, "certificate verify failed"),
        }
        self.assertEqual({pair: await self.failure(self.start(pair)) for pair in rows}, rows)
        self.assertEqual(self.page.asked, [])
        self.flushLoggedErrors()

    async def test_redirect(self) -> None:
        """It is not followed, wherever it leads."""
        self.page.code, self.page.location = 302, f"https://{HOST}/elsewhere"
        result = await self.failure(self.start())
        self.assertEqual(result, (ResultType.STS_POLICY_FETCH_ERROR, "answered 302: redirects, which is not followed"))
        self.assertEqual(len(self.page.asked), 1)

    async def test_other_codes(self) -> None:
        """Only 200 brings a policy, not even others of success."""
        for code in (203, 206, 404, 500):
            self.page.code = code
            result = await self.failure(self.start())
            self.assertEqual(result, (ResultType.STS_POLICY_FETCH_ERROR, f"answered {code}: no policy"))

    async def test_media_type(self) -> None:
        """Only ``text/plain`` is a policy, in any case and with any parameters."""
        error = ResultType.STS_POLICY_FETCH_ERROR
        for media_type in ("text/html", "application/octet-stream", "text/plainly"):
            self.page.media_type = media_type
            result = await self.failure(self.start())
            self.assertEqual(result, (error, f"media type is '{media_type}', expected text/plain"))
        self.page.media_type = None
        self.assertEqual(await self.failure(self.start()), (error, "media type is 'not said', expected text/plain"))
        self.page.media_type = "Text/PLAIN;charset=us-ascii"
        self.assertEqual((await self.start().fetch("example.com")).mode, Mode.ENFORCE)

    async def test_size(self) -> None:
        """64 kB are read; one byte more is no policy."""
        self.page.body = POLICY + b"x-pad: " + b"x" * (LARGEST_POLICY - len(POLICY) - 8) + b"\n"
        self.assertEqual((await self.start().fetch("example.com")).mode, Mode.ENFORCE)
        self.page.body += b"\n"
        self.assertEqual(
            await self.failure(self.start()),
            (ResultType.STS_POLICY_FETCH_ERROR, "the answer is longer than 65536 bytes"),
        )

    async def test_endless(self) -> None:
        """A server that sends for ever is cut off: in the body, and in the header."""
        gone: list[str] = []

        def pour(request: Request) -> Any:
            def more() -> None:
                if not gone:
                    request.write(b"x" * 10000)
                    reactor.callLater(0, more)  # type: ignore[attr-defined]

            request.notifyFinish().addErrback(lambda _: gone.append("cut"))
            more()
            return NOT_DONE_YET

        self.page.answer = pour
        result, _ = await self.failure(self.start())
        self.assertEqual(result, ResultType.STS_POLICY_FETCH_ERROR)

        def headers(request: Request) -> Any:
            for number in range(20000):
                request.responseHeaders.addRawHeader(f"x-{number}", "y")
            return POLICY

        self.page.answer = headers
        result, _ = await self.failure(self.start())
        self.assertEqual(result, ResultType.STS_POLICY_FETCH_ERROR)

    async def test_cut_short(self) -> None:
        """An answer that ends before its length is none."""

        def half(request: Request) -> Any:
            request.setHeader("content-length", "500")
            request.write(POLICY)
            reactor.callLater(0.05, request.channel.transport.abortConnection)  # type: ignore[attr-defined]
            return NOT_DONE_YET

        self.page.answer = half
        self.assertEqual(
            await self.failure(self.start()),
            (ResultType.STS_POLICY_FETCH_ERROR, "the connection was lost in the middle of the answer"),
        )

    async def test_no_answer(self) -> None:
        """A server that says nothing is waited for so long, in the handshake and after it."""
        self.page.answer = lambda request: NOT_DONE_YET
        waited = (ResultType.STS_POLICY_FETCH_ERROR, "no answer within 0.2 seconds")
        self.assertEqual(await self.failure(self.start(timeout=0.2)), waited)
        silent = reactor.listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(silent.stopListening)
        self.assertEqual(await self.failure(self.fetcher(silent.getHost().port, 0.2)), waited)

    async def test_unreachable(self) -> None:
        """No address, no name server, nobody listening: each is said."""
        fetch = self.start()
        self.names.broken.add("mta-sts.broken.example")
        self.names.hosts["mta-sts.refusing.example"] = "127.9.9.9"
        error = ResultType.STS_POLICY_FETCH_ERROR
        self.assertEqual(
            await self.failure(fetch, "nowhere.example"), (error, "mta-sts.nowhere.example has no address")
        )
        result, words = await self.failure(fetch, "broken.example")
        self.assertEqual((result, words), (error, "mta-sts.broken.example cannot be looked up: timeout"))
        result, words = await self.failure(fetch, "refusing.example")
        self.assertEqual(result, error)
        self.assertIn("refused", words)

    async def test_invalid_policy(self) -> None:
        """A text that is no policy is called invalid."""
        self.page.body = b"hello\n"
        result = await self.failure(self.start())
        self.assertEqual(result, (ResultType.STS_POLICY_INVALID, "line 1 is no field: 'hello'"))

    async def test_cancelled(self) -> None:
        """Who is cancelled hears that, and the connection is gone."""
        arrived: Deferred[None] = Deferred()
        left: Deferred[None] = Deferred()

        def wait(request: Request) -> Any:
            request.notifyFinish().addErrback(lambda _: left.callback(None))
            arrived.callback(None)
            return NOT_DONE_YET

        self.page.answer = wait
        task = Deferred.fromCoroutine(self.start().fetch("example.com"))
        await arrived
        task.cancel()
        await self.assertFailure(task, CancelledError)
        await left


class Urls(SynchronousTestCase):
    """What can be asked for at all."""

    def test_refused(self) -> None:
        """Only https, only names: nobody makes us ask an address, or a server in clear text."""
        client = HttpsClient(None, None, Names(), lambda: ())  # type: ignore[arg-type]
        for url in (
            "http://example.com/",
            "https:///",
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://2130706433/",
            "https://u:p@example.com/",
            "https://exam\u00efple.com/",
            "https://example.com/\r\nX: y",
            "https://example.com:0/",
            "https://example.com:x/",
            "https://[/",
            "ftp://example.com/",
        ):
            made = Deferred.fromCoroutine(client.get(url, limit=1, timeout=1))
            self.failureResultOf(made, HttpsFailed)
