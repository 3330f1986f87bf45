"""
What domains ask for, end to end: real SMTP servers, real web servers, a real agent on loopback.

The DNS says what the test says, as anybody between us and it could.
"""

import dataclasses
import datetime
import gzip
import json
import os
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet import reactor
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import TestCase

from smtpclient.config.parameters import Parameters
from smtpclient.delivery.domain_tls import DomainTls
from smtpclient.mail.envelope import TlsWish
from smtpclient.observe.maillog import MailLog
from smtpclient.outbound import Outbound
from smtpclient.tls import report_counts, report_mail
from smtpclient.tls.credentials import CredentialFiles, Credentials
from smtpclient.tls.report_counts import DayCounts
from smtpclient.tls.report_json import Report
from smtpclient.tls.settings import TlsSettings
from tests.queue.disk import DirectFiles
from tests.tls.certificates import authority, issue
from tests.tls.tls_world import OLD, Behaviour, TlsWorld, short
from tests.tls.web_world import Names, Page, serve

CA = authority()
LEAF = issue("", ["mx-0.example.org", "mx-1.example.org"], CA)
OTHER = issue("", ["elsewhere.test"], CA)
SELF = issue("mx-0.example.org", ["mx-0.example.org"])
EXPIRED = issue("", ["mx-0.example.org"], CA, days=(-9, -1))
WEB = issue("", ["mta-sts.example.org", "reports.example.org"], CA)
GOOD, PLAIN = Behaviour(LEAF), Behaviour(LEAF, starttls=False)
SAFE = Behaviour(LEAF, offers=("REQUIRETLS",))
TXT, REPORTS = "_mta-sts.example.org", "_smtp._tls.example.org"


class World(TestCase):
    """``example.org`` with a policy, and an agent that follows it."""

    timeout = 120

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        (self.directory / "ca.pem").write_bytes(CA.pem)
        self.page = Page(self.policy())
        port = serve(self.page, WEB.key_pem + WEB.pem)
        self.addCleanup(port.stopListening)
        self.https_port = port.getHost().port
        self.names = Names(
            {"mta-sts.example.org": "127.0.0.1", "reports.example.org": "127.0.0.1"},
            {
                TXT: ["v=STSv1; id=1;"],
                REPORTS: [f"v=TLSRPTv1; rua=https://reports.example.org:{self.https_port}/v1"],
            },
        )
        self.domains: DomainTls | None = None

    @staticmethod
    def policy(mode: str = "enforce", *hosts: str) -> bytes:
        """The text of a policy."""
        lines = ["version: STSv1", f"mode: {mode}", *(f"mx: {host}" for host in hosts or ("*.example.org",))]
        return "\r\n".join([*lines, "max_age: 86400", ""]).encode()

    def world(self, *servers: Behaviour, **values: str) -> TlsWorld:
        """Servers, and an agent that has just been started, with these parameters."""
        full = {
            "queue_directory": str(self.directory),
            "smtp_tls_CAfile": str(self.directory / "ca.pem"),
            "smtp_mta_sts": "enforce",
            "smtp_tls_reporting": "yes",
            "myhostname": "mail.sender.example",
            **values,
        }

        def domains(parameters: Parameters, maillog: MailLog) -> DomainTls:
            made = DomainTls(
                parameters, self.names, DirectFiles(), reactor, Random(1), maillog, https_port=self.https_port
            )
            made.start()
            self.addCleanup(made.close)
            self.domains = made
            return made

        return TlsWorld(self, *servers, values=full, domains=domains)

    async def counts(self) -> DayCounts:
        """What has been counted."""
        assert self.domains is not None
        await self.domains.close()
        files = list((self.directory / "tlsrpt").iterdir())
        self.assertEqual(len(files), 1)
        return report_counts.decode(files[0].read_bytes())

    async def results(self, *servers: Behaviour, age: float = OLD, **values: str) -> list[tuple[str, int, list[str]]]:
        """What is counted of one delivery: kind of policy, successes, results of failures."""
        world = self.world(*servers, **values)
        await world.deliver(age=age)
        found = (await self.counts()).of("example.org")
        for file in (self.directory / "tlsrpt").iterdir():
            file.unlink()
        return [
            (policy.kind, count.successes, [failure.result.value for failure in count.failures])
            for policy, count in found.items()
        ]


class Enforcing(World):
    """``smtp_mta_sts = enforce``, and a policy of mode ``enforce``."""

    async def test_good(self) -> None:
        """A server that the policy names, with a certificate for its name, gets the mail; its name was asked for."""
        world = self.world(GOOD)
        self.assertEqual(short(await world.deliver()), "sent 2.0.0")
        self.assertIn("Verified TLS connection established to mx-0.example.org", world.log)
        self.assertEqual(world.sessions[0][0].sni, "mx-0.example.org")
        self.assertEqual(self.page.asked, [("mta-sts.example.org", "/.well-known/mta-sts.txt")])

    async def test_certificates(self) -> None:
        """For another name, expired, from nobody we know, or none at all: the mail waits."""
        for server in (Behaviour(OTHER), Behaviour(EXPIRED), Behaviour(SELF), Behaviour(None)):
            world = self.world(server)
            self.assertEqual(short(await world.deliver(age=OLD))[:10], "deferred 4")
            self.assertEqual(world.delivered, [])

    async def test_starttls_stripped(self) -> None:
        """A server that seems to offer no STARTTLS gets nothing, however old the mail."""
        world = self.world(PLAIN)
        self.assertEqual(short(await world.deliver(age=OLD)), "deferred 4.7.4")
        self.assertEqual((world.delivered, world.seen()), ([], ["0: EHLO QUIT"]))

    async def test_handshake_broken(self) -> None:
        """A handshake that comes to nothing is no reason for clear text."""
        world = self.world(Behaviour(LEAF, after="close"))
        self.assertEqual(short(await world.deliver(age=OLD)), "deferred 4.7.5")
        self.assertEqual((world.delivered, len(world.sessions[0])), ([], 1))

    async def test_mx_forged(self) -> None:
        """A host that the policy does not name is not even contacted, though its certificate is good."""
        self.page.body = self.policy("enforce", "mx.example.org")
        world = self.world(GOOD)
        outcome = await world.deliver(age=OLD)
        self.assertEqual(short(outcome), "deferred 4.7.5")
        self.assertEqual(outcome.reason, "host mx-0.example.org is not named by the MTA-STS policy of example.org")
        self.assertEqual(world.seen(), [])

    async def test_mx_forged_beside_a_true_one(self) -> None:
        """The others on the list still get the mail."""
        self.page.body = self.policy("enforce", "mx-1.example.org")
        world = self.world(GOOD, GOOD)
        self.assertEqual(short(await world.deliver()), "sent 2.0.0")
        self.assertEqual(world.delivered, [(1, "tls")])

    async def test_record_suppressed_after_a_restart(self) -> None:
        """A policy that was seen once goes on protecting when DNS and web are cut off."""
        self.assertEqual(short(await self.world(GOOD).deliver()), "sent 2.0.0")
        self.names.texts.clear()
        self.names.hosts.clear()
        world = self.world(PLAIN)
        self.assertEqual(short(await world.deliver(age=OLD)), "deferred 4.7.4")
        self.assertEqual(os.listdir(self.directory / "sts"), ["example.org"])

    async def test_id_replayed(self) -> None:
        """An old id does not bring an old policy back: what counts is what the web server says now."""
        self.page.body = self.policy("testing")
        await self.world(GOOD).deliver()
        self.names.texts[TXT] = ["v=STSv1; id=2;"]
        self.page.body = self.policy("enforce")
        self.assertEqual(short(await self.world(PLAIN).deliver(age=OLD)), "deferred 4.7.4")
        self.names.texts[TXT] = ["v=STSv1; id=1;"]
        self.assertEqual(short(await self.world(PLAIN).deliver(age=OLD)), "deferred 4.7.4")

    async def test_policies_that_are_none(self) -> None:
        """Too large, of another type, or somewhere else: there is no policy, and mail goes without."""
        for change in ({"body": self.policy() + b"x" * 70_000}, {"media_type": "text/html"}, {"code": 302}):
            page = Page(**{"body": self.policy(), **change})  # type: ignore[arg-type]
            vars(self.page).update(vars(page))
            self.assertEqual(short(await self.world(PLAIN).deliver(age=OLD)), "sent 2.0.0")

    async def test_taken_back(self) -> None:
        """Mode ``none`` ends it."""
        self.page.body = self.policy("none")
        self.assertEqual(short(await self.world(PLAIN).deliver(age=OLD)), "sent 2.0.0")

    async def test_the_operators_word(self) -> None:
        """An entry of the policy maps wins."""
        world = self.world(PLAIN, smtp_tls_policy_maps="inline:{example.org=may}")
        self.assertEqual(short(await world.deliver(age=OLD)), "sent 2.0.0")
        self.assertEqual(self.page.asked, [])

    async def test_without_authorities(self) -> None:
        """Nothing can be verified then, and the operator hears of it at the start."""
        world = self.world(GOOD, smtp_tls_CAfile="")
        self.assertIn(
            "warning: smtp_mta_sts needs authorities that are trusted; there are none: "
            "set smtp_tls_CAfile or smtp_tls_CApath",
            world.lines,
        )


class Testing(World):
    """Policies that are only tested."""

    async def test_nothing_changes(self) -> None:
        """In testing, the domain's or ours, mail goes as it would without a policy."""
        for mode, ours in (("testing", "enforce"), ("enforce", "testing"), ("enforce", "none")):
            self.page.body = self.policy(mode, "mx.example.net")
            world = self.world(PLAIN, smtp_mta_sts=ours)
            self.assertEqual(short(await world.deliver(age=OLD)), "sent 2.0.0")
            self.names.texts[TXT] = [f"v=STSv1; id={mode}{ours};"]

    async def test_off(self) -> None:
        """By default nothing is asked, counted or written."""
        world = self.world(GOOD, smtp_mta_sts="none", smtp_tls_reporting="no")
        self.assertEqual(short(await world.deliver()), "sent 2.0.0")
        self.assertEqual(self.names.asked, [])
        assert self.domains is not None
        await self.domains.close()
        self.assertEqual(os.listdir(self.directory), ["ca.pem"])


class Counting(World):
    """What reports will say."""

    async def test_sts(self) -> None:
        """Sessions under a policy, enforced or tested, are judged by it, and failures have their names."""
        rows = {
            "good": (GOOD, 1, []),
            "plain": (PLAIN, 0, ["starttls-not-supported"]),
            "other name": (Behaviour(OTHER), 0, ["certificate-host-mismatch"]),
            "expired": (Behaviour(EXPIRED), 0, ["certificate-expired"]),
            "self-signed": (Behaviour(SELF), 0, ["certificate-not-trusted"]),
            "anonymous": (Behaviour(None), 0, ["certificate-not-trusted"]),
            "broken": (Behaviour(LEAF, after="close"), 0, ["validation-failure"]),
            "refused": (Behaviour(LEAF, reply="454 4.7.0 Not now"), 0, ["starttls-not-supported"]),
        }
        for mode in ("enforce", "testing"):
            self.page.body = self.policy(mode)
            self.names.texts[TXT] = [f"v=STSv1; id={mode};"]
            found = {name: await self.results(server, age=0) for name, (server, _, _) in rows.items()}
            # An anonymous cipher is none for who needs a certificate, so that the handshake itself comes to nothing.
            wanted = {name: [("sts", successes, results)] for name, (_, successes, results) in rows.items()}
            if mode == "enforce":
                wanted["anonymous"] = [("sts", 0, ["validation-failure"])]
            self.assertEqual(found, wanted)

    async def test_host_that_is_not_named(self) -> None:
        """That is counted whether it is contacted or not."""
        for mode in ("enforce", "testing"):
            self.page.body = self.policy(mode, "mx.example.org")
            self.names.texts[TXT] = [f"v=STSv1; id={mode};"]
            self.assertEqual(await self.results(GOOD), [("sts", 0, ["validation-failure"])])

    async def test_no_policy(self) -> None:
        """Without one, only TLS as such counts; a connection that does not come about is counted, too."""
        del self.names.texts[TXT]
        self.assertEqual(await self.results(Behaviour(SELF)), [("no-policy-found", 1, [])])
        self.assertEqual(await self.results(PLAIN), [("no-policy-found", 0, ["starttls-not-supported"])])
        world = self.world(GOOD)
        await self.closed(world)
        await world.deliver()
        ((policy, count),) = (await self.counts()).of("example.org").items()
        ((failure, times),) = count.failures.items()
        self.assertEqual((policy.kind, times, failure.code), ("no-policy-found", 1, "connect"))
        self.assertEqual((failure.mx_host, failure.information), ("mx-0.example.org", "Connection refused"))

    async def closed(self, world: TlsWorld) -> None:
        """Let the agent go where nobody listens."""
        port = reactor.listenTCP(0, Factory(), interface="127.0.1.1")  # type: ignore[attr-defined]
        free = port.getHost().port
        await port.stopListening()
        moved = tuple(one._replace(port=free) for one in world.found.addresses)
        lookup: Any = world.agent.means.lookup
        lookup.found = dataclasses.replace(world.found, addresses=moved)

    async def test_policy_that_cannot_be_had(self) -> None:
        """That is a failure of its own, beside the session."""
        self.page.media_type = "text/html"
        self.assertEqual(await self.results(GOOD), [("sts", 0, ["sts-policy-fetch-error"]), ("no-policy-found", 1, [])])

    async def test_nobody_asks(self) -> None:
        """Who does not ask for reports is not counted."""
        del self.names.texts[REPORTS]
        await self.world(GOOD).deliver()
        assert self.domains is not None
        await self.domains.close()
        self.assertFalse((self.directory / "tlsrpt").exists())

    async def test_details(self) -> None:
        """A failure says which server it was, and from where it was seen."""
        await self.world(Behaviour(OTHER)).deliver()
        ((policy, count),) = (await self.counts()).of("example.org").items()
        (failure,) = count.failures
        self.assertEqual(policy.strings[:2], ("version: STSv1", "mode: enforce"))
        self.assertEqual(policy.mx, ("*.example.org",))
        self.assertEqual((failure.mx_host, failure.receiving_ip), ("mx-0.example.org", "127.0.1.1"))
        self.assertEqual(failure.sending_ip, "127.0.0.1")
        self.assertIn("hostname mismatch", failure.information)

    async def test_never_about_reports(self) -> None:
        """Sessions of messages with ``TLS-Required: No``, which reports are, are not counted, nor policies followed."""
        world = self.world(PLAIN)
        self.assertEqual(short(await world.deliver(tls=TlsWish.OPTIONAL)), "sent 2.0.0")
        assert self.domains is not None
        await self.domains.close()
        self.assertFalse((self.directory / "tlsrpt").exists())
        self.assertEqual(self.page.asked, [])

    async def test_sent(self) -> None:
        """What was counted is posted to the domain after the end of the day."""
        await self.world(GOOD).deliver()
        counts = await self.counts()
        clock = Clock()
        clock.advance((counts.day + 1) * 86400)
        parameters = Parameters.from_values(
            {
                "queue_directory": str(self.directory),
                "smtp_tls_CAfile": str(self.directory / "ca.pem"),
                "smtp_tls_reporting": "yes",
                "myhostname": "mail.sender.example",
            }
        )

        class Reactor:
            """Connections of the real one, time of the test's."""

            callLater = clock.callLater
            seconds = clock.seconds
            connectTCP = reactor.connectTCP  # type: ignore[attr-defined]

        maillog = MailLog(clock.seconds)
        lines: list[str] = []
        maillog.publisher.addObserver(lambda event: lines.append(event["mail_line"]))
        domains = DomainTls(parameters, self.names, DirectFiles(), Reactor, Random(1), maillog)
        domains.sources(TlsSettings(), Credentials(CredentialFiles.from_parameters(parameters), clock.seconds))

        async def submit(*arguments: object) -> None:
            raise AssertionError("nobody asked for mail")

        chores = domains.chores(submit)
        chores.startService()
        self.addCleanup(chores.stopService)
        self.names.asked.clear()
        while not self.names.asked:
            clock.advance(60)
        while not self.page.posted:
            await self.tick()
        ((media_type, body),) = self.page.posted
        report = json.loads(gzip.decompress(body))
        self.assertEqual((media_type, report["organization-name"]), ("application/tlsrpt+gzip", "sender.example"))
        self.assertEqual(report["policies"][0]["policy"]["policy-type"], "sts")
        self.assertEqual(report["policies"][0]["summary"]["total-successful-session-count"], 1)
        day = datetime.datetime.fromtimestamp(counts.day * 86400, datetime.UTC)
        self.assertEqual(report["date-range"]["start-datetime"], f"{day:%Y-%m-%d}T00:00:00Z")
        while os.listdir(self.directory / "tlsrpt"):
            await self.tick()

    async def tick(self) -> None:
        """Let the reactor go round."""
        await deferLater(reactor, 0.01)  # type: ignore[arg-type]


class RequireTls(World):
    """RFC 8689 section 4.2.1: messages that must not be seen on their way."""

    async def required(self, *servers: Behaviour, **values: str) -> tuple[str, TlsWorld]:
        """What becomes of one, and who has seen it."""
        world = self.world(*servers, **values)
        return short(await world.deliver(age=OLD, tls=TlsWish.REQUIRED)), world

    async def test_good(self) -> None:
        """Where the policy names the server, the certificate is good and REQUIRETLS is offered, it is sent with it."""
        outcome, world = await self.required(SAFE)
        self.assertEqual((outcome, world.delivered), ("sent 2.0.0", [(0, "tls")]))

    async def test_not_offered(self) -> None:
        """A server that does not promise to do the same does not get it; it is returned, with the code for that."""
        outcome, world = await self.required(GOOD)
        self.assertEqual((outcome, world.delivered), ("bounced 5.7.30", []))
        self.assertIn("REQUIRETLS is required, but was not offered by host mx-0.example.org[127.0.1.1]", world.log)
        self.assertEqual(world.seen(), ["0: EHLO STARTTLS <TLS> EHLO QUIT"])

    async def test_the_next_server(self) -> None:
        """All servers are asked before it is returned."""
        outcome, world = await self.required(GOOD, SAFE)
        self.assertEqual((outcome, world.delivered), ("sent 2.0.0", [(1, "tls")]))

    async def test_nobody_vouches(self) -> None:
        """Exchangers from a DNS without DNSSEC, without a policy, are not the domain's word: it is returned."""
        del self.names.texts[TXT]
        outcome, world = await self.required(SAFE)
        self.assertEqual((outcome, world.seen()), ("bounced 5.7.10", []))

    async def test_testing_is_not_vouching(self) -> None:
        """A policy that is only tested vouches for nothing."""
        self.page.body = self.policy("testing")
        self.assertEqual((await self.required(SAFE))[0], "bounced 5.7.10")

    async def test_the_operator_vouches(self) -> None:
        """Where the operator says who the servers are, that will do."""
        del self.names.texts[TXT]
        level = "inline:{ {example.org = verify} }"
        self.assertEqual((await self.required(SAFE, smtp_tls_policy_maps=level))[0], "sent 2.0.0")

    async def test_tls_is_off(self) -> None:
        """Where TLS is not used at all, it is returned."""
        outcome, world = await self.required(SAFE, smtp_tls_security_level="none")
        self.assertEqual((outcome, world.seen()), ("bounced 5.7.10", []))

    async def test_what_may_pass(self) -> None:
        """A server with a wrong certificate, or without STARTTLS for now, gets nothing; the mail waits."""
        for server in (Behaviour(OTHER, offers=("REQUIRETLS",)), PLAIN):
            outcome, world = await self.required(server)
            self.assertEqual((outcome[:10], world.delivered), ("deferred 4", []))

    async def test_one_host(self) -> None:
        """A smarthost that is named by the operator needs no list, but a certificate."""
        world = self.world(SAFE, smtp_mta_sts="none")
        found: Any = world.agent.means.lookup
        found.found = dataclasses.replace(world.found, from_mx=False)
        outcome = await world.deliver(tls=TlsWish.REQUIRED, next_hop="[mx-0.example.org]")
        self.assertEqual(short(outcome), "sent 2.0.0")
        self.assertIn("Verified TLS connection", world.log)

    async def test_other_mail_is_not_concerned(self) -> None:
        """The same server still gets what does not ask for it."""
        self.assertEqual(short(await self.world(GOOD).deliver()), "sent 2.0.0")


class Whole(TestCase):
    """The service: what it is given with a wish goes into the queue with it, and what it counts on disk."""

    timeout = 120

    def outbound(self, **values: str) -> Outbound:
        """A service on a directory of its own, where no name exists."""
        parameters = Parameters.from_values(
            {
                "queue_directory": self.mktemp(),
                "myhostname": "mail.sender.example",
                "maillog_file": self.mktemp(),
                **values,
            }
        )
        return Outbound(parameters, reactor=reactor, resolver=Names(), doors=False)

    async def test_wishes_in_the_queue(self) -> None:
        """REQUIRETLS of a caller, and the field in a report that goes by mail, are in the queue file."""
        outbound = self.outbound()
        os.mkdir(outbound.spool.directory)
        outbound.spool.prepare()
        outbound.start_threads()
        try:
            required = await outbound.submit("a@x.example", ["b@y.example"], b"Subject: x\n\nx\n", require_tls=True)
            policy = report_counts.ReportedPolicy("no-policy-found")
            counts = {policy: report_counts.PolicyCount(1)}
            report = Report("S", "t@x.example", "mail.sender.example", "1@x", "y.example", 1, counts)
            content = report_mail.message(report, "r@y.example", 0.0, "1@x.example")
            optional = await outbound.submit("", ["r@y.example"], content)
            queued = [outbound.spool.read(one.queue_id, "incoming").envelope for one in (required, optional)]
        finally:
            outbound.stop_threads()
            outbound.spool.close()
        self.assertEqual([one.tls for one in queued], [TlsWish.REQUIRED, TlsWish.OPTIONAL])
        self.assertEqual(queued[1].sender, "")

    async def test_life(self) -> None:
        """With everything switched on it starts, fails to deliver as it should, and ends; nothing is left running."""
        outbound = self.outbound(smtp_mta_sts="enforce", smtp_tls_reporting="yes")
        os.mkdir(outbound.spool.directory)
        outbound.startService()
        receipt = await outbound.submit("", ["b@nowhere.example"], b"Subject: x\n\nx\n", require_tls=True)
        (outcome,) = await receipt.finished()
        self.assertEqual(short(outcome), "bounced 5.4.4")
        await outbound.stopService()
