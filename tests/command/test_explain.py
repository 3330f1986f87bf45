"""``smtpclient explain`` as a program, its text, and what it asks of a running service."""

import contextlib
import dataclasses
import errno
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from smtpclient.command import explain as command
from smtpclient.command import service_page
from smtpclient.command.explain_text import lines
from smtpclient.command.queue_directory import QueueDirectory
from smtpclient.config.parameters import Parameters
from smtpclient.delivery.explanation import (
    Explanation,
    Fate,
    HostExplanation,
    LoginExplanation,
    Probe,
    QueueExplanation,
    SiteExplanation,
    TlsExplanation,
)
from smtpclient.observe import page
from smtpclient.observe.metrics import Metrics
from smtpclient.queue.destination_queue import DestinationState
from tests.command.queue_case import QueueCase
from tests.queue.disk import message, spool
from tests.service.installed import ROOT, Sink, environment

SECRET = "hunter2-Secret!"


def explain(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a program."""
    command = [sys.executable, "-m", "smtpclient", "explain", *words]
    return subprocess.run(command, env=environment(), cwd=ROOT, capture_output=True, text=True, check=False)


class Program(QueueCase):
    """The whole command, on this machine's loopback network."""

    def setUp(self) -> None:
        super().setUp()
        base = Path(self.mktemp()).absolute()
        base.mkdir(parents=True)
        self.sink = Sink(base)
        self.addCleanup(self.sink.stop)
        self.relay = f"[127.0.0.1]:{self.sink.port}"

    def run_on_queue(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run it on the queue directory of this test, with the sink as its relay."""
        return explain("-o", f"queue_directory={self.path}", "-o", f"relayhost={self.relay}", *words)

    def test_text(self) -> None:
        """Route, server, TLS and login, and nobody is contacted; the password is nowhere."""
        ran = self.run_on_queue(
            *("-o", "smtp_sasl_auth_enable=yes", "-o", f"smtp_sasl_password_maps=static:me:{SECRET}"), "u@example.org"
        )
        self.assertEqual((ran.returncode, ran.stderr), (0, ""))
        port = self.sink.port
        self.assertEqual(
            ran.stdout,
            "u@example.org: would be sent\n"
            "  transport smtp (default_transport)\n"
            f"  next hop [127.0.0.1]:{port} (relayhost)\n"
            "  addresses, in the order of this attempt:\n"
            f"    1. 127.0.0.1[127.0.0.1]:{port}\n"
            "       TLS: may (smtp_tls_security_level): encrypted where the server offers it; "
            "its certificate is not looked at\n"
            "       login: as me (smtp_sasl_password_maps: 127.0.0.1)\n"
            "  queue: no mail waits for this destination\n",
        )


class Performing(TestCase):
    """The command in this process, with a real reactor."""

    def setUp(self) -> None:
        self.path = os.path.abspath(self.mktemp())
        base = Path(self.path + "-sink")
        base.mkdir(parents=True)
        self.spool, _, _ = spool(self.path)
        self.sink = Sink(base)
        self.addCleanup(self.sink.stop)
        self.stdout, self.stderr = io.StringIO(), io.StringIO()

    async def perform(self, *words: str, states: list[dict[str, Any]] | None = None, **values: str) -> int:
        """The exit code; what was said stays in ``self``."""
        relay = f"[127.0.0.1]:{self.sink.port}"
        parameters = Parameters.from_values({"queue_directory": self.path, "relayhost": relay, **values})
        options = command.parser().parse_args(words)
        return await command.perform(options, parameters, states, reactor, self.stdout, self.stderr)

    async def test_probe(self) -> None:
        """The server is asked, and gets no mail; without a queue directory nothing is said of the queue."""
        code = await self.perform("--probe", "--dialogue", "u@example.org", queue_directory="/no/such")
        self.assertEqual(code, 0)
        self.assertIn("tried: mail would be sent\n", self.stdout.getvalue())
        self.assertIn("Out: QUIT\n", self.stdout.getvalue())
        self.assertNotIn("queue:", self.stdout.getvalue())
        self.assertEqual(self.sink.accepted, [])

    async def test_json(self) -> None:
        """One object for each address, with what waits in the queue; the code is that of the worst fate."""
        due = int(time.time()) + 1000
        held = await self.spool.create(message(b"Subject: x\n\nx\n"))
        self.spool.hold(held)
        deferred = await self.spool.create(message(b"Subject: x\n\nx\n"))
        self.spool.take(deferred, "incoming")
        self.spool.defer(deferred, due)
        table = "inline:{{a.test=error:no}, {b.test=retry:later}}"
        code = await self.perform("--json", "u@example.org", "u@a.test", "u@b.test", transport_maps=table)
        told = json.loads(self.stdout.getvalue())
        shown = [(e["recipient"], e["fate"], e["queue"]["messages"]) for e in told]
        wanted = [("u@example.org", "sent", 2), ("u@a.test", "bounced", 0), ("u@b.test", "deferred", 0)]
        self.assertEqual((shown, code), (wanted, os.EX_UNAVAILABLE))
        waiting = told[0]["queue"]
        self.assertEqual((waiting["held"], waiting["next_attempt"]), (1, due))
        self.assertEqual((told[0]["sites"][0]["hosts"][0]["tls"]["level"], told[0]["destination"]), ("may", None))

    async def test_long_queues(self) -> None:
        """Only the first messages of a queue are looked at, and a broken one is passed over."""
        for _ in range(3):
            broken = await self.spool.create(message(b"Subject: x\n\nx\n"))
        with open(f"{self.path}/incoming/{broken}", "wb") as file:
            file.write(b"broken")
        self.patch(command, "MOST_MESSAGES", 2)
        await self.perform("--json", "u@example.org")
        [told] = json.loads(self.stdout.getvalue())
        self.assertFalse(told["queue"]["complete"])
        self.assertLess(told["queue"]["messages"], 3)

    async def test_service(self) -> None:
        """The state of the destination, if the service has one."""
        states = [{"transport": "smtp", "next_hop": f"[127.0.0.1]:{self.sink.port}", "running": 2, "window": 5}]
        await self.perform("u@example.org", states=states)
        await self.perform("u@example.org", states=[])
        told = self.stdout.getvalue()
        self.assertIn("  service: 2 deliveries under way of 5 at a time\n", told)
        self.assertIn("  service: knows nothing of this destination now\n", told)

    async def test_queue_that_cannot_be_read(self) -> None:
        """A disk that fails costs what is said of the queue, and no more."""

        def failing(*queues: str) -> Any:
            raise OSError(errno.EIO, "Input/output error")

        self.patch(QueueDirectory, "entries", lambda self, *queues: failing(*queues))
        self.assertEqual(await self.perform("u@example.org"), 0)
        self.assertNotIn("queue:", self.stdout.getvalue())

    async def test_mail_that_would_wait(self) -> None:
        """75 when mail would wait."""
        code = await self.perform("u@c.test", default_transport="retry:4.3.2 closed for repairs")
        self.assertEqual(code, os.EX_TEMPFAIL)
        self.assertIn("    4.3.2 closed for repairs\n", self.stdout.getvalue())

    async def test_login_without_passwords(self) -> None:
        """What the service would refuse to start with is refused here."""
        self.assertEqual(await self.perform("u@c.test", smtp_sasl_auth_enable="yes"), os.EX_CONFIG)
        self.assertIn("specify a password table", self.stderr.getvalue())

    async def test_warnings(self) -> None:
        """What would be warned of in the log is told."""
        await self.perform("u@c.test", transport_maps="inline:{*=nonsense:}")
        self.assertIn("smtpclient explain: warning: mail transport 'nonsense': unknown", self.stderr.getvalue())


class Whole(SynchronousTestCase):
    """The command from its words to its code, with a reactor that only does what needs no waiting."""

    def run_main(self, *words: str) -> int:
        """The exit code."""
        out = io.StringIO()
        return command.main(words, stdin=io.BytesIO(), stdout=out, stderr=out)

    def test_code_and_exception(self) -> None:
        """What the work ends with is what the command ends with, be it a code, an error or an interruption."""

        def react(work: Callable[[Any], object]) -> None:
            work(reactor)
            raise SystemExit(0)

        def interrupted(work: Callable[[Any], object]) -> None:
            raise SystemExit(1)

        closed = ("-o", "default_transport=error:5.7.1 no", "-o", "queue_directory=/no/such", "u@example.org")
        self.patch(command, "react", react)
        self.assertEqual(self.run_main(*closed), os.EX_UNAVAILABLE)
        self.patch(command, "explain_text", None)
        self.assertRaises(AttributeError, self.run_main, *closed)
        self.patch(command, "react", interrupted)
        self.assertRaises(KeyboardInterrupt, self.run_main, *closed)


class Mistakes(SynchronousTestCase):
    """What cannot be explained."""

    def code(self, *words: str) -> int:
        """The exit code; what is wrong is told."""
        told = io.StringIO()
        try:
            with contextlib.redirect_stderr(told):
                code = command.main(words, stdin=io.BytesIO(), stdout=io.StringIO(), stderr=told)
        except SystemExit as left:
            code = int(left.code or 0)
        self.assertIn("smtpclient explain: ", told.getvalue())
        return code

    def test_exit_codes(self) -> None:
        """64 for the command line, 69 where no service answers."""
        codes = [self.code(), self.code("--admin", "127.0.0.1:1", "u@c.test")]
        self.assertEqual(codes, [os.EX_USAGE, os.EX_UNAVAILABLE])


class Text(SynchronousTestCase):
    """Explanations as text."""

    maxDiff = None

    def text(self, **fields: Any) -> list[str]:
        """The lines behind the first three."""
        base = Explanation("u@a.test", "", "smtp", "default_transport", "a.test", "the recipient's domain", Fate.SENT)
        return list(lines(dataclasses.replace(base, **fields), now=1000.0, dialogue=True))[3:]

    def test_hosts(self) -> None:
        """Preferences, names that a certificate may bear, what was tried, what was left out."""
        tls = TlsExplanation("secure", "smtp_tls_policy_maps", "a trusted certificate", ("a.test", ".a.test"))
        probe = Probe(Fate.DEFERRED, "why", "TLSv1.3", ("SIZE", "DSN"), "PLAIN", ("Out: QUIT",))
        hosts = (
            HostExplanation("mx", "192.0.2.1", 25, 10, True, tls, LoginExplanation("me", "mx", True), probe),
            HostExplanation("my", "192.0.2.2", 25, 20, True, TlsExplanation("", problem="no TLSA records")),
        )
        sites = (
            SiteExplanation("a.test", mx=True, secure=True, hosts=hosts, skipped=("mz: no address",)),
            SiteExplanation("b.test", True, failure="Host not found", failure_fate=Fate.DEFERRED),
        )
        self.assertEqual(
            self.text(sites=sites),
            [
                "  mail exchangers, validated by DNSSEC, in the order of this attempt:",
                "    1. mx[192.0.2.1]:25 (preference 10)",
                "       TLS: secure (smtp_tls_policy_maps): a trusted certificate",
                "         a.test",
                "         .a.test",
                "       login: as me with an access token (smtp_sasl_password_maps: mx)",
                "       tried: mail would wait: why",
                "         TLSv1.3",
                "         login: PLAIN",
                "         extensions: SIZE, DSN",
                "         Out: QUIT",
                "    2. my[192.0.2.2]:25 (preference 20)",
                "       TLS: not contacted: no TLSA records",
                "  left out: mz: no address",
                "  fallback relay b.test (smtp_fallback_relay)",
                "  would wait: Host not found",
            ],
        )

    def test_queue_and_service(self) -> None:
        """When mail that waits is tried, and why the service does not try it now."""
        state = {"running": 1, "window": 5, "suspended": "Connection refused", "until": 900.0}
        told = [
            self.text(queue=QueueExplanation(1, 2, 0, 0.0), destination=state),
            self.text(queue=QueueExplanation(3, 3, 3, 0.0, complete=False), destination={}),
            self.text(queue=QueueExplanation(complete=False)),
        ]
        self.assertEqual(
            told,
            [
                [
                    "  queue: 1 message for 2 recipients",
                    "    next attempt: now",
                    "  service: 1 deliveries under way of 5 at a time",
                    "    suspended until now: Connection refused",
                ],
                [
                    "  queue: 3 messages or more for 3 recipients, 3 of them on hold",
                    "  service: knows nothing of this destination now",
                ],
                ["  queue: no mail waits for this destination, as far as was looked"],
            ],
        )

    def test_nothing_breaks_a_line(self) -> None:
        """What a server or a table says stays on its line."""
        told = self.text(sites=(SiteExplanation("a.test", failure="a\nb\x1b[31m"),))
        self.assertEqual(told, ["  would be sent: a?b?[31m"])


class ServicePage(TestCase):
    """The page of destinations, over real sockets."""

    STATE = DestinationState("smtp", "example.org", 3, 4, 1, 5, "Connection refused", 2000.0)

    async def listen(self, path: str = "") -> str:
        """Serve it; where."""
        site = page.site(Metrics(lambda: 0, list), lambda: [self.STATE])
        listening: Any = reactor
        port = listening.listenUNIX(path, site) if path else listening.listenTCP(0, site, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return path or f"127.0.0.1:{port.getHost().port}"

    async def test_tcp_and_unix(self) -> None:
        """The states of the destinations, from a TCP port, an URL, or a UNIX socket."""
        tcp = await self.listen()
        path = os.path.abspath("admin.sock")
        for where in (tcp, f"http://{tcp}/", await self.listen(path)):
            [state] = await deferToThread(service_page.destinations, where)
            self.assertEqual((state["next_hop"], state["window"], state["until"]), ("example.org", 5, 2000.0))

    async def test_no_service(self) -> None:
        """Nobody there, no such page, and no address at all are told in words."""
        wrong = await self.listen()
        self.patch(service_page, "PAGE", "/metrics")
        for where in ("127.0.0.1:1", "/no/such.sock", "127.0.0.1:port", wrong):
            waiting: Deferred[Any] = deferToThread(service_page.destinations, where)
            error = await self.assertFailure(waiting, service_page.NoAnswer)
            self.assertIn(f"--admin {where}: ", str(error))
