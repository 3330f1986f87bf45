"""
Tests of questions to name servers: over real sockets, to servers that answer well, badly or not at all.
"""

import errno
import random
import resource
import socket
import struct
from collections.abc import Sequence
from typing import cast
from unittest.mock import patch

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorFDSet, IReactorTime, IReadDescriptor
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock, deferLater
from twisted.internet.tcp import Client
from twisted.names import dns
from twisted.trial.unittest import TestCase

from smtpclient.dns import message
from smtpclient.dns.engine import Engine, Finding
from smtpclient.dns.servers import NameServer
from smtpclient.dns.transport import NoAnswer, QueryFailed, QueryTransport
from tests.dns.scripted_server import Script, ScriptedServer, reply, soa, until

TIME = cast(IReactorTime, reactor)
FD_SET = cast(IReactorFDSet, reactor)
MAIL = dns.Record_MX(10, "mx.a.test")


def fine(query: bytes, via: str) -> Sequence[bytes]:
    """The script of a good server."""
    return [reply(query, MAIL)]


def silent(query: bytes, via: str) -> Sequence[bytes]:
    """The script of a server that never answers."""
    return []


def failing(rcode: int) -> Script:
    """The script of a server that answers with an error."""
    return lambda query, via: [reply(query, rcode=rcode)]


def left_behind() -> list[object]:
    """The sockets of queries, and the timers, that the reactor still has; trial's own timer apart."""
    readers = [r for r in reactor.getReaders() if type(r).__module__.startswith("smtpclient") or isinstance(r, Client)]
    return readers + [call for call in reactor.getDelayedCalls() if "onTimeout" not in repr(call)]


class EngineCase(TestCase):
    """
    Servers of the test's own, and an engine that asks them.

    Who waits for an answer has all the time of the world, for the machine may be busy; who waits for silence names a
    short one, or one that leaves the other servers time to answer.
    """

    def start(self, script: Script, address: str = "127.0.0.1") -> ScriptedServer:
        """A server that is stopped when the test is over."""
        server = ScriptedServer(script, address)
        self.addCleanup(lambda: Deferred.fromCoroutine(server.stop()))
        return server

    def nobody(self) -> NameServer:
        """Where nobody listens; the port is kept, by a socket that hears somebody else alone."""
        keeper = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(keeper.close)
        keeper.bind(("127.0.0.1", 0))
        keeper.connect(("127.0.0.1", 9))
        return NameServer("127.0.0.1", keeper.getsockname()[1])

    def engine(self, *servers: ScriptedServer | NameServer, timeout: float = 50.0, **more: int) -> Engine:
        """An engine that asks these servers."""
        names = [s.name_server if isinstance(s, ScriptedServer) else s for s in servers]
        transport = QueryTransport(FD_SET, message.belongs)
        return Engine(transport, lambda: names, TIME.seconds, random.Random(1), timeout, **more)

    async def ask(self, *servers: ScriptedServer | NameServer, timeout: float = 50.0) -> Finding:
        """What becomes of one question; nothing of it is left in the reactor."""
        finding = await self.engine(*servers, timeout=timeout).ask("a.test", dns.MX)
        self.assertEqual(left_behind(), [])
        return finding

    def found(self, finding: Finding) -> list[object]:
        """The data of the records that a question found; none when it failed."""
        return [record.data for record in finding.reply.records] if finding.reply else []


class Answers(EngineCase):
    async def test_answer(self) -> None:
        """A good answer is found, and the operator can be told who gave it."""
        server = self.start(fine)
        finding = await self.ask(server)
        self.assertEqual(self.found(finding), [(10, "mx.a.test")])
        self.assertEqual(finding.detail, f"{server.name_server}: NOERROR")

    async def test_ipv6_server(self) -> None:
        """A server may have an IPv6 address."""
        self.assertEqual(self.found(await self.ask(self.start(fine, "::1"))), [(10, "mx.a.test")])

    async def test_no_such_name(self) -> None:
        """NXDOMAIN is an answer, with the time for which it holds."""
        finding = await self.ask(self.start(lambda q, _: [reply(q, rcode=3, authority=[soa(60)])]))
        self.assertEqual((finding.reply.rcode, finding.reply.negative_ttl), (3, 60))

    async def test_secure(self) -> None:
        """The AD bit counts from a server that is trusted, and from no other."""
        server = self.start(lambda q, _: [reply(q, MAIL, authenticData=1)])
        stranger = NameServer(server.name_server.address, server.name_server.port, trusted=False)
        self.assertEqual([(await self.ask(s)).secure for s in (server, stranger)], [True, False])

    async def test_ids_and_ports(self) -> None:
        """Every query has an id and a source port of its own."""
        server = self.start(fine)
        engine = self.engine(server)
        for _ in range(20):
            await engine.ask("a.test", dns.MX)
        self.assertGreater(len({query[:2] for query, _ in server.queries}), 15)
        self.assertGreater(len({port for _, (_, port) in server.queries}), 15)


class BadAnswers(EngineCase):
    async def refused(self, script: Script) -> None:
        """An answer that must not be taken leaves the question unanswered, and the good one behind it is taken."""
        finding = await self.ask(self.start(script), timeout=0.05)
        self.assertEqual(finding.reply, None)
        both = self.start(lambda q, via: [*(script(q, via) or ()), *fine(q, via)])
        self.assertEqual(self.found(await self.ask(both)), [(10, "mx.a.test")])

    async def test_wrong_id(self) -> None:
        """An answer with another id is passed over."""
        await self.refused(lambda q, _: [bytes([q[0] ^ 1]) + reply(q, MAIL)[1:]])

    async def test_wrong_question(self) -> None:
        """An answer to another question is passed over."""
        await self.refused(lambda q, _: [reply(q[:2] + message.encode_query(0, "b.test", dns.MX)[2:], MAIL)])

    async def test_no_response(self) -> None:
        """A query that comes back as it was sent is passed over."""
        await self.refused(lambda q, _: [q])

    async def test_noise(self) -> None:
        """Bytes that are no DNS message are passed over."""
        await self.refused(lambda q, _: [b"", b"x", b"\xff" * 600])

    async def test_other_sender(self) -> None:
        """An answer from another address than the one that was asked is passed over."""
        other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(other.close)
        other.bind(("127.0.0.2", 0))

        def forge(query: bytes, via: str) -> Sequence[bytes]:
            other.sendto(reply(query, dns.Record_MX(0, "forged.test")), server.queries[-1][1])
            return []

        server = self.start(forge)
        self.assertEqual((await self.ask(server, timeout=0.05)).reply, None)

    async def test_malformed(self) -> None:
        """An answer that contradicts itself ends the wait for this server, and is no answer."""
        server = self.start(lambda q, _: [reply(q, MAIL)[:-1]])
        finding = await self.ask(server)
        self.assertEqual((finding.reply, len(server.asked)), (None, 1))
        self.assertIn("cut short", finding.detail)

    async def test_lame(self) -> None:
        """An empty answer of a server that neither recurses nor knows the zone does not mean that there is nothing."""
        finding = await self.ask(self.start(lambda q, _: [reply(q, recAv=0)]))
        self.assertIn("neither knows the domain nor asks others", finding.detail)

    async def test_flood(self) -> None:
        """A flood of forged answers does not keep the good one from being taken."""
        server = self.start(lambda q, _: [reply(b"\0\0" + q[2:], MAIL)] * 60 + [reply(q, MAIL)])
        self.assertEqual(self.found(await self.ask(server)), [(10, "mx.a.test")])

    @settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.binary(max_size=300), st.sampled_from(["all", "behind id", "behind question"]))
    def fuzz(self, data: bytes, where: str) -> None:
        """One more thing to send."""
        self.noise.append((data, where))

    async def test_any_bytes(self) -> None:
        """Whatever bytes a server sends, a question ends in time, without an exception."""
        self.noise: list[tuple[bytes, str]] = []
        self.fuzz()

        def send(query: bytes, via: str) -> Sequence[bytes]:
            data, where = self.noise.pop()
            kept = {"all": 0, "behind id": 2, "behind question": len(query)}[where]
            if kept > 2:
                data = query[:2] + struct.pack("!5H", 0x8180, 1, 2, 1, 0) + query[12:] + data
            return [data if kept > 2 else query[:kept] + data]

        server = self.start(send)
        count = len(self.noise)
        engine = self.engine(server, timeout=0.02, rounds=1)
        for number in range(1, count + 1):
            await engine.ask("a.test", dns.MX)
            await until(lambda number=number: len(server.asked) >= number)  # the question may have ended before
        self.assertEqual(len(server.asked), count)


class Failover(EngineCase):
    async def test_error_moves_on(self) -> None:
        """FORMERR, SERVFAIL, NOTIMP, REFUSED: the next server is asked at once."""
        for rcode in (1, 2, 4, 5):
            finding = await self.ask(self.start(failing(rcode)), self.start(fine))
            self.assertEqual(self.found(finding), [(10, "mx.a.test")])

    async def test_silence_moves_on(self) -> None:
        """A server that says nothing costs one timeout."""
        mute, good = self.start(silent), self.start(fine)
        self.assertEqual(self.found(await self.ask(mute, good, timeout=0.5)), [(10, "mx.a.test")])
        self.assertEqual(len(mute.asked), 1)

    async def test_nobody_listens(self) -> None:
        """Where nobody listens, the kernel says so, and there is no wait."""
        closed = self.nobody()
        self.assertEqual(self.found(await self.ask(closed, self.start(fine))), [(10, "mx.a.test")])
        self.assertIn("Connection refused", (await self.ask(closed)).detail)

    async def test_no_route(self) -> None:
        """An address that cannot be reached is a failure like any other."""
        finding = await self.ask(NameServer("255.255.255.255"))
        self.assertIn("255.255.255.255:53: cannot send", finding.detail)

    async def test_rounds(self) -> None:
        """A silent server is asked twice, one that refused once; then that is that."""
        mute, unwilling = self.start(silent), self.start(failing(2))
        finding = await self.ask(unwilling, mute, timeout=0.5)
        self.assertEqual((finding.reply, len(unwilling.asked), len(mute.asked)), (None, 1, 2))
        self.assertEqual(finding.detail, f"{unwilling.name_server}: SERVFAIL; {mute.name_server}: no answer in 0.5 s")

    async def test_second_try_helps(self) -> None:
        """A lost datagram costs one timeout."""
        server = self.start(lambda q, via: fine(q, via) if len(server.asked) > 1 else [])
        self.assertEqual(self.found(await self.ask(server, timeout=0.5)), [(10, "mx.a.test")])

    async def test_silent_server_is_asked_last(self) -> None:
        """After a timeout, the other servers are asked first for a while."""
        mute, good = self.start(silent), self.start(fine)
        engine = self.engine(mute, good, timeout=0.5)
        for _ in range(3):
            await engine.ask("a.test", dns.MX)
        self.assertEqual((len(mute.asked), len(good.asked)), (1, 3))

    async def test_no_servers(self) -> None:
        """Without servers there is no answer."""
        self.assertEqual((await self.ask()).detail, "no name server is configured")


class Truncated(EngineCase):
    def over_tcp(self, answer: object) -> Script:
        """A server that truncates over UDP, and does something else over TCP."""
        return lambda q, via: [reply(q, trunc=1)] if via == "udp" else answer(q)  # type: ignore[operator]

    async def test_tcp(self) -> None:
        """The whole answer is fetched over TCP, from the same server."""
        many = [dns.Record_MX(i, f"mail-exchanger-{i}.a.test") for i in range(60)]
        server = self.start(self.over_tcp(lambda q: [reply(q, *many)]))
        finding = await self.ask(server)
        self.assertEqual(len(self.found(finding)), 60)
        self.assertEqual([via for _, _, via in server.asked], ["udp", "tcp"])

    async def test_truncated_again(self) -> None:
        """An answer that is truncated over TCP is no answer; nothing is asked again."""
        server = self.start(self.over_tcp(lambda q: [reply(q, trunc=1)]))
        finding = await self.ask(server)
        self.assertIn("truncated answer over TCP", finding.detail)
        self.assertEqual([via for _, _, via in server.asked], ["udp", "tcp"])

    async def test_closed(self) -> None:
        """A server that closes the connection has given no answer; the next one is asked."""
        server = self.start(self.over_tcp(lambda q: None))
        self.assertIn("closed the TCP connection", (await self.ask(server)).detail)
        self.assertEqual(self.found(await self.ask(server, self.start(fine))), [(10, "mx.a.test")])

    async def test_no_tcp(self) -> None:
        """A server without TCP has given no answer."""
        server = self.start(lambda q, via: [reply(q, trunc=1)])
        await server.stop_tcp()
        self.assertIn("TCP: ", (await self.ask(server)).detail)

    async def test_silent(self) -> None:
        """A server that accepts the connection and says nothing has as long as any other."""
        server = self.start(self.over_tcp(lambda q: []))
        self.assertIn("no answer over TCP", (await self.ask(server, timeout=0.5)).detail)

    async def test_other_question(self) -> None:
        """An answer over TCP to another question is none."""
        server = self.start(self.over_tcp(lambda q: [reply(message.encode_query(7, "b.test", 1))]))
        self.assertIn("to another question", (await self.ask(server)).detail)

    async def test_endless(self) -> None:
        """Whatever a server sends behind the answer is not waited for and not kept."""
        server = self.start(self.over_tcp(lambda q: [reply(q, MAIL)] + [b"x" * 60_000] * 20))
        self.assertEqual(self.found(await self.ask(server)), [(10, "mx.a.test")])

    async def test_in_pieces(self) -> None:
        """An answer may arrive byte by byte."""

        class Dribble(Protocol):
            def dataReceived(self, data: bytes) -> None:
                answer = reply(data[2:], MAIL)
                self.left = len(answer).to_bytes(2) + answer
                self.step()

            def step(self) -> None:
                self.transport.write(self.left[:9])
                self.left = self.left[9:]
                if self.left:
                    reactor.callLater(0.001, self.step)

        port = reactor.listenTCP(0, Factory.forProtocol(Dribble), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        query = message.encode_query(9, "a.test", dns.MX)
        transport = QueryTransport(FD_SET, message.belongs)
        data = await transport.stream(NameServer("127.0.0.1", port.getHost().port), query, 5)
        self.assertEqual(message.read_reply(data).records[0].data, (10, "mx.a.test"))


class Resources(EngineCase):
    async def give_up(self, script: Script, way: str) -> None:
        """A question that is given up once the server has it takes its socket and its timer with it."""
        server = self.start(script)
        asking = Deferred.fromCoroutine(self.engine(server, timeout=60).ask("a.test", dns.MX))
        await until(lambda: server.asked and server.asked[-1][2] == way)
        self.assertNotEqual(left_behind(), [])
        asking.cancel()
        await self.assertFailure(asking, CancelledError)
        self.assertEqual(left_behind(), [])

    async def test_cancel_udp(self) -> None:
        """Giving up a question that waits for a datagram leaves nothing behind."""
        await self.give_up(silent, "udp")

    async def test_cancel_tcp(self) -> None:
        """Giving up a question that waits on a connection leaves nothing behind."""
        await self.give_up(lambda q, via: [reply(q, trunc=1)] if via == "udp" else [], "tcp")

    async def test_concurrency(self) -> None:
        """No more questions are under way than there are places; the others wait their turn."""
        server = self.start(silent)
        engine = self.engine(server, timeout=60, concurrency=2)
        asking = [Deferred.fromCoroutine(engine.ask(f"{n}.test", dns.MX)) for n in "abc"]
        await until(lambda: len(server.asked) >= 2)
        await deferLater(reactor, 0.02, lambda: None)
        self.assertEqual(len(server.asked), 2)
        server.script = fine
        asking[0].cancel()
        await self.assertFailure(asking[0], CancelledError)
        self.assertEqual(self.found(await asking[2]), [(10, "mx.a.test")])
        asking[1].cancel()
        await self.assertFailure(asking[1], CancelledError)

    async def test_no_descriptors(self) -> None:
        """Without a free file descriptor the question fails; with one, the next is answered."""
        server = self.start(fine)
        engine = self.engine(server)
        await engine.ask("a.test", dns.MX)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with open("/dev/null") as lowest:
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest.fileno(), hard))
            try:
                finding = await engine.ask("a.test", dns.MX)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        self.assertEqual(finding.reply, None)
        self.assertIn("Too many open files", finding.detail)
        self.assertEqual(self.found(await engine.ask("a.test", dns.MX)), [(10, "mx.a.test")])

    async def test_send_fails(self) -> None:
        """A query that the kernel will not send is a failure, and its socket is closed."""
        transport = QueryTransport(FD_SET, message.belongs)
        with patch.object(socket.socket, "send", side_effect=OSError(errno.EPERM, "Operation not permitted")):
            asking = Deferred.fromCoroutine(transport.datagram(NameServer("127.0.0.1", 9), b"x", 5))
            error = await self.assertFailure(asking, QueryFailed)
        self.assertEqual(str(error), "Operation not permitted")

    async def test_refusal_as_readiness(self) -> None:
        """Under a reactor that reports an error as something to read, a refusal is seen, too."""

        class Polling(Clock):
            def addReader(self, reader: IReadDescriptor) -> None:
                reader.doRead()

            def removeReader(self, reader: IReadDescriptor) -> None:
                """Nothing was kept."""

        closed = self.nobody()
        clock = Polling()
        transport = QueryTransport(clock, message.belongs)
        error = await self.assertFailure(
            Deferred.fromCoroutine(transport.datagram(closed, message.encode_query(1, "a.test", dns.MX), 5)),
            QueryFailed,
        )
        self.assertEqual((str(error), clock.getDelayedCalls()), ("Connection refused", []))

    async def test_timeout_is_told_apart(self) -> None:
        """Silence has an exception of its own."""
        transport = QueryTransport(FD_SET, message.belongs)
        server = self.start(silent)
        query = message.encode_query(1, "a.test", dns.MX)
        asking = Deferred.fromCoroutine(transport.datagram(server.name_server, query, 0.02))
        await self.assertFailure(asking, NoAnswer)
