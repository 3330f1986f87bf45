"""Tests of the resolver: aliases, the cache, lookups shared by many callers."""

import random
from collections.abc import Sequence
from typing import cast

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorFDSet, IReactorTime
from twisted.internet.task import Clock
from twisted.names import dns
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from smtpclient.dns import message
from smtpclient.dns.answer import Address, Answer, Exchange, Opaque, Status
from smtpclient.dns.cache import Cache
from smtpclient.dns.engine import Engine
from smtpclient.dns.resolver import AAAA, CNAME, MX, TLSA, A, Resolver
from smtpclient.dns.transport import QueryTransport
from smtpclient.interfaces import IResolver
from tests.dns.scripted_server import Script, ScriptedServer, cname, question, reply, soa, until

FD_SET = cast(IReactorFDSet, reactor)


def zone(records: dict[tuple[str, int], Sequence[object]], **flags: int) -> Script:
    """
    The script of a recursive server.

    :param records: the answer section for each name and type; no entry is NXDOMAIN.
    """

    def answer(query: bytes, via: str) -> list[bytes]:
        found = records.get(question(query))
        if found is None:
            return [reply(query, rcode=3, authority=[soa(60)], **flags)]
        return [reply(query, *found, authority=[] if found else [soa(30)], **flags)]

    return answer


class ResolverCase(TestCase):
    def start(self, script: Script, timeout: float = 50.0) -> ScriptedServer:
        """A server, ``self.server``, and a resolver that asks it, ``self.resolver``, with a cache on ``self.clock``."""
        self.server = ScriptedServer(script)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.server.stop()))
        self.clock = Clock()
        engine = Engine(
            QueryTransport(FD_SET, message.belongs),
            lambda: [self.server.name_server],
            cast(IReactorTime, reactor).seconds,
            random.Random(2),
            timeout,
            rounds=1,
        )
        self.resolver = Resolver(engine, Cache(self.clock.seconds))
        return self.server


class Lookups(ResolverCase):
    async def test_interface(self) -> None:
        """It is what the rest of the product asks for."""
        self.start(zone({}))
        self.assertTrue(verifyObject(IResolver, self.resolver))

    async def test_types(self) -> None:
        """Exchangers, addresses and records without meaning here come each in its own form."""
        self.start(
            zone(
                {
                    ("a.test", MX): [dns.Record_MX(20, "MX2.a.test"), dns.Record_MX(10, "mx1.a.test")],
                    ("a.test", A): [dns.Record_A("192.0.2.1")],
                    ("a.test", AAAA): [dns.Record_AAAA("2001:db8::1")],
                    ("_25._tcp.a.test", TLSA): [
                        dns.RRHeader("_25._tcp.a.test", TLSA, payload=dns.UnknownRecord(b"\3\1\1x"))
                    ],
                }
            )
        )
        got = [
            (await self.resolver.lookup(name, record_type)).records
            for name, record_type in (("A.Test.", MX), ("a.test", A), ("a.test", AAAA), ("_25._tcp.a.test", TLSA))
        ]
        self.assertEqual(
            got,
            [
                (Exchange(20, "mx2.a.test"), Exchange(10, "mx1.a.test")),
                (Address("192.0.2.1"),),
                (Address("2001:db8::1"),),
                (Opaque(b"\3\1\1x"),),
            ],
        )

    async def test_absence(self) -> None:
        """A name that does not exist, and one without the type, are told apart."""
        self.start(zone({("a.test", A): []}))
        got = [await self.resolver.lookup(name, A) for name in ("b.test", "a.test")]
        self.assertEqual(
            [(answer.status, answer.records, answer.ttl) for answer in got],
            [(Status.NO_NAME, (), 60), (Status.NO_DATA, (), 30)],
        )
        self.assertIn("NXDOMAIN", got[0].detail)

    async def test_failure(self) -> None:
        """A server that fails gives an answer that says: try again; it is not remembered."""
        self.start(lambda q, _: [reply(q, rcode=2)])
        for count in (1, 2):
            answer = await self.resolver.lookup("a.test", MX)
            self.assertEqual((answer.status, answer.ttl, len(self.server.asked)), (Status.RETRY, 0, count))
        self.assertIn("SERVFAIL", answer.detail)

    async def test_no_name(self) -> None:
        """What is no host name does not exist, and nobody is asked."""
        self.start(zone({}))
        for text in ("192.0.2.1", "a..b", "x\r\ny", ""):
            answer = await self.resolver.lookup(text, A)
            self.assertEqual((answer.status, answer.name), (Status.NO_NAME, text))
        self.assertEqual(self.server.asked, [])

    async def test_u_labels(self) -> None:
        """A name in U-labels is asked for in A-labels."""
        self.start(zone({("xn--bcher-kva.test", A): [dns.Record_A("192.0.2.1")]}))
        answer = await self.resolver.lookup("Bücher.test", A)
        self.assertEqual((answer.name, answer.status), ("xn--bcher-kva.test", Status.FOUND))

    async def test_bad_exchangers(self) -> None:
        """Exchangers that are no host names are left out and named; an address in text and the null MX are kept."""
        good = [dns.Record_MX(10, "192.0.2.1"), dns.Record_MX(0, b"")]
        bad = [dns.Record_MX(5, "-x-.a.test"), dns.Record_MX(6, b"a b.test")]
        self.start(zone({("a.test", MX): bad + good, ("b.test", MX): bad}))
        answer = await self.resolver.lookup("a.test", MX)
        self.assertEqual(answer.records, (Exchange(10, "192.0.2.1"), Exchange(0, "")))
        self.assertEqual(
            answer.detail, "MX host '-x-.a.test' is no host name; MX host 'a\\\\032b.test' is no host name"
        )
        self.assertEqual((await self.resolver.lookup("b.test", MX)).status, Status.MALFORMED)

    async def test_records_of_others(self) -> None:
        """Records for names that were not asked for are not believed."""
        stranger = dns.RRHeader("b.test", A, ttl=9, payload=dns.Record_A("192.0.2.66"))
        self.start(zone({("a.test", A): [stranger]}))
        self.assertEqual((await self.resolver.lookup("a.test", A)).status, Status.NO_DATA)

    async def test_defect(self) -> None:
        """A defect of the program itself is logged, and the caller is told to try again."""
        self.start(zone({}))

        class Broken:
            async def ask(self, name: str, record_type: int) -> None:
                raise RuntimeError("out of order")

        resolver = Resolver(Broken(), Cache(self.clock.seconds))
        answer = await resolver.lookup("a.test", A)
        self.assertEqual((answer.status, answer.detail), (Status.RETRY, "out of order"))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class Aliases(ResolverCase):
    async def test_in_one_answer(self) -> None:
        """A chain of aliases inside an answer is followed; the answer knows where it ends."""
        end = dns.RRHeader("c.test", A, ttl=50, payload=dns.Record_A("192.0.2.1"))
        self.start(zone({("a.test", A): [cname("b.test", "c.test", 40), cname("a.test", "b.test"), end]}))
        answer = await self.resolver.lookup("a.test", A)
        self.assertEqual(
            (answer.name, answer.canonical, answer.records, answer.ttl),
            ("a.test", "c.test", (Address("192.0.2.1"),), 40),
        )

    async def test_the_alias_itself(self) -> None:
        """Who asks for an alias gets the alias; its target is not asked for."""
        self.start(zone({("a.test", CNAME): [cname("a.test", "b.test")], ("c.test", CNAME): []}))
        found, none = await self.resolver.lookup("a.test", CNAME), await self.resolver.lookup("c.test", CNAME)
        self.assertEqual((found.status, found.records, found.canonical), (Status.FOUND, (Opaque(b"b.test"),), "a.test"))
        self.assertEqual(none.status, Status.NO_DATA)
        self.assertEqual([name for name, _, _ in self.server.asked], ["a.test", "c.test"])

    async def test_out_of_the_answer(self) -> None:
        """Where the answer ends in an alias, its target is asked for."""
        self.start(zone({("a.test", A): [cname("a.test", "b.test")], ("b.test", A): [dns.Record_A("192.0.2.1")]}))
        answer = await self.resolver.lookup("a.test", A)
        self.assertEqual((answer.canonical, answer.records), ("b.test", (Address("192.0.2.1"),)))
        self.assertEqual([name for name, _, _ in self.server.asked], ["a.test", "b.test"])

    async def test_failure_names_what_was_asked_last(self) -> None:
        """Behind an alias, an answer without records says which name it was that has none."""
        self.start(zone({("a.test", A): [cname("a.test", "b.test")], ("b.test", A): []}))
        answer = await self.resolver.lookup("a.test", A)
        self.assertEqual((answer.status, answer.name, answer.canonical), (Status.NO_DATA, "a.test", "b.test"))

    async def test_loop(self) -> None:
        """Aliases in a circle, inside an answer or across answers, and a name that is its own alias: try again."""
        circle = [cname("a.test", "b.test"), cname("b.test", "a.test")]
        self.start(
            zone(
                {
                    ("a.test", A): circle,
                    ("c.test", A): [cname("c.test", "d.test")],
                    ("d.test", A): [cname("d.test", "c.test")],
                    ("e.test", A): [cname("e.test", "e.test")],
                }
            )
        )
        for name in ("a.test", "c.test", "e.test"):
            answer = await self.resolver.lookup(name, A)
            self.assertEqual((answer.status, answer.detail), (Status.RETRY, f"alias loop at {name}"))

    async def test_too_long(self) -> None:
        """Ten aliases are followed and not eleven."""
        records = {(f"n{i}.test", A): [cname(f"n{i}.test", f"n{i + 1}.test")] for i in range(11)}
        records["n11.test", A] = [dns.Record_A("192.0.2.1")]
        self.start(zone(records))
        self.assertEqual((await self.resolver.lookup("n1.test", A)).status, Status.FOUND)
        self.assertEqual((await self.resolver.lookup("n0.test", A)).status, Status.RETRY)

    async def test_to_no_name(self) -> None:
        """An alias for what is no host name makes the answer malformed."""
        self.start(zone({("a.test", A): [cname("a.test", b"x y.test")]}))
        answer = await self.resolver.lookup("a.test", A)
        self.assertEqual(answer.status, Status.MALFORMED)

    async def test_secure_at_every_step(self) -> None:
        """An answer is secure when each step was."""

        def script(query: bytes, via: str) -> list[bytes]:
            name = question(query)[0]
            if name == "c.test":
                return [reply(query, dns.Record_A("192.0.2.1"), authenticData=1)]
            return [reply(query, cname(name, "c.test"), authenticData=name == "a.test")]

        self.start(script)
        got = {name: (await self.resolver.lookup(name, A)).secure for name in ("a.test", "b.test", "c.test")}
        self.assertEqual(got, {"a.test": True, "b.test": False, "c.test": True})


class Remembering(ResolverCase):
    async def test_positive(self) -> None:
        """An answer is asked for again when its TTL is over."""
        self.start(zone({("a.test", A): [dns.Record_A("192.0.2.1")]}))
        for advance, count in ((0, 1), (299, 1), (1, 2)):
            self.clock.advance(advance)
            answer = await self.resolver.lookup("A.test", A)
            self.assertEqual((answer.status, len(self.server.asked)), (Status.FOUND, count))

    async def test_negative(self) -> None:
        """That there is nothing is remembered as long as the SOA record says."""
        self.start(zone({}))
        for advance, count in ((0, 1), (59, 1), (1, 2)):
            self.clock.advance(advance)
            await self.resolver.lookup("a.test", A)
            self.assertEqual(len(self.server.asked), count)

    async def test_negative_without_soa(self) -> None:
        """Absence without an SOA record is not remembered."""
        self.start(lambda q, _: [reply(q, rcode=3)])
        for count in (1, 2):
            await self.resolver.lookup("a.test", A)
            self.assertEqual(len(self.server.asked), count)

    async def test_limits(self) -> None:
        """A TTL of a month is kept for a day, absence for three hours."""
        month = 30 * 86400
        found = dns.RRHeader("a.test", A, ttl=month, payload=dns.Record_A("192.0.2.1"))
        self.start(
            lambda q, _: [
                reply(q, found) if question(q)[0] == "a.test" else reply(q, rcode=3, authority=[soa(month, month)])
            ]
        )
        self.assertEqual([(await self.resolver.lookup(n, A)).ttl for n in ("a.test", "b.test")], [86400, 10800])


class Sharing(ResolverCase):
    def begin(self, name: str = "a.test") -> Deferred[Answer]:
        """One caller more."""
        return Deferred.fromCoroutine(self.resolver.lookup(name, A))

    async def test_one_question(self) -> None:
        """Callers that want the same at the same time share one question, whatever the case of the name."""
        self.start(zone({("a.test", A): [dns.Record_A("192.0.2.1")]}))
        answers = [await caller for caller in [self.begin(), self.begin("A.TEST"), self.begin("a.test.")]]
        self.assertEqual([answer.status for answer in answers], [Status.FOUND] * 3)
        self.assertEqual(len(self.server.asked), 1)

    async def test_one_leaves(self) -> None:
        """A caller that gives up, the first one too, does not disturb the others."""
        self.start(lambda q, _: [])
        first, second = self.begin(), self.begin()
        await until(lambda: self.server.asked)
        first.cancel()
        await self.assertFailure(first, CancelledError)
        query, source = self.server.queries[0]
        self.server.send(reply(query, dns.Record_A("192.0.2.1")), source)
        self.assertEqual((await second).records, (Address("192.0.2.1"),))

    async def test_all_leave(self) -> None:
        """When the last caller has gone, so has the query; a new caller starts afresh."""
        self.start(lambda q, _: [])
        callers = [self.begin(), self.begin()]
        await until(lambda: self.server.asked)
        for caller in callers:
            caller.cancel()
            await self.assertFailure(caller, CancelledError)
        self.assertEqual([r for r in reactor.getReaders() if type(r).__module__.startswith("smtpclient")], [])
        self.server.script = zone({})
        self.assertEqual((await self.begin()).status, Status.NO_NAME)
        self.assertEqual(len(self.server.asked), 2)

    async def test_leaving_while_answers_are_handed_out(self) -> None:
        """A caller that, on getting its answer, makes another one give up, harms nobody."""
        self.start(zone({}))
        first, second, third = self.begin(), self.begin(), self.begin()
        first.addCallback(lambda answer: second.cancel())
        await self.assertFailure(second, CancelledError)
        self.assertEqual((await third).status, Status.NO_NAME)


class ForServers(TestCase):
    async def test_dns_servers(self) -> None:
        """The servers of the parameter are asked."""
        server = ScriptedServer(zone({("a.test", A): [dns.Record_A("192.0.2.1")]}))
        self.addCleanup(lambda: Deferred.fromCoroutine(server.stop()))
        resolver = Resolver.for_servers(FD_SET, random.Random(), [str(server.name_server)], 50.0)
        self.assertEqual((await resolver.lookup("a.test", A)).records, (Address("192.0.2.1"),))

    async def test_resolv_conf(self) -> None:
        """Without the parameter those of resolv.conf are asked: here one that does not exist."""
        path = self.mktemp()
        with open(path, "w") as file:
            file.write("nameserver 127.254.254.254\n")
        resolver = Resolver.for_servers(FD_SET, random.Random(), (), 0.2, path)
        answer = await resolver.lookup("a.test", A)
        self.assertEqual(answer.status, Status.RETRY)
        self.assertTrue(answer.detail.startswith("127.254.254.254:53: "), answer.detail)

    def test_bad_server(self) -> None:
        """A word that names no server is refused."""
        self.assertRaises(ValueError, Resolver.for_servers, FD_SET, random.Random(), ["ns.example.com"])
