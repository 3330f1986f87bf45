"""What twistd makes of its command line."""

import json
import smtplib
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.client import Agent, readBody

from smtpclient import tap
from smtpclient.mail.envelope import Envelope, Recipient
from smtpclient.mail.outcome import Delays, Disposition, Outcome
from smtpclient.observe.metrics import Metrics
from smtpclient.preload import LatePreload
from smtpclient.queue.destination_queue import DestinationState

REACTOR: Any = reactor


def options(*words: str) -> tap.Options:
    """A command line, parsed."""
    parsed = tap.Options()
    parsed.parseOptions(words)
    return parsed


class StartTests(SynchronousTestCase):
    """Errors that an operator meets when the service is made or started."""

    def refused(self, *words: str) -> str:
        """Make a service that cannot be made; the words that say why."""
        with self.assertRaises(SystemExit) as stopped:
            tap.makeService(options("--queue-directory", self.mktemp(), *words))
        return str(stopped.exception)

    def test_an_unknown_report_service_is_named_with_the_known_ones(self) -> None:
        """``--bounce-service`` with a name that nobody provides ends the program, and says which there are."""
        words = self.refused("--bounce-service", "carrier-pigeon")
        self.assertIn("'carrier-pigeon'", words)
        self.assertIn("queue", words)

    def test_a_log_file_that_cannot_be_opened_is_named(self) -> None:
        """``maillog_file`` in a folder that does not exist ends the program with its path."""
        self.assertIn("/no/such/folder/log", self.refused("--maillog-file", "/no/such/folder/log"))

    def test_an_endpoint_that_makes_no_sense_is_named(self) -> None:
        """``--submission`` with something that is no endpoint ends the program with its text."""
        self.assertIn("'harbour:7'", self.refused("--submission", "harbour:7"))

    def test_when_code_is_loaded(self) -> None:
        """At once where twistd is about to change root or user, else while the service runs."""
        loaded: list[str] = []
        found = {}
        for name in ("chroot", "uid", "gid", "pidfile"):
            self.patch(tap, "preload", lambda name=name: loaded.append(name))
            parsed = options("--queue-directory", self.mktemp(), "--maillog-file", self.mktemp())
            parsed.parent = {"chroot": None, "uid": None, "gid": None, name: 0}
            found[name] = [type(part) for part in tap.makeService(parsed)].count(LatePreload)
        self.assertEqual(loaded, ["chroot", "uid", "gid"])
        self.assertEqual(found, {"chroot": 0, "uid": 0, "gid": 0, "pidfile": 1})

    def test_a_queue_directory_that_cannot_be_made_ends_the_program_in_words(self) -> None:
        """The start says which directory and what to do; no traceback."""
        service = tap.makeService(options("--queue-directory", "/no/such/place/spool", "--maillog-file", self.mktemp()))
        with self.assertRaises(SystemExit) as stopped:
            service.startService()
        self.assertIn("/no/such/place/spool", str(stopped.exception))


class EndpointTests(TestCase):
    """``--submission`` and ``--admin`` on real sockets."""

    def setUp(self) -> None:
        self.base = Path(self.mktemp()).absolute()
        self.base.mkdir()

    def start(self, *words: str) -> Any:
        """A service whose mail goes nowhere."""
        service = tap.makeService(
            options(
                *("--queue-directory", str(self.base / "spool"), "--maillog-file", str(self.base / "log")),
                *("--transport-maps", "inline:{{* = retry:4.3.2 not today}}", "--myhostname", "client.example"),
                *words,
            )
        )
        service.startService()
        self.addCleanup(service.stopService)
        return service

    async def port_of(self, service: Any) -> int:
        """Where the one endpoint listens."""
        (endpoint,) = [child for child in service if hasattr(child, "endpoint")]
        return int((await endpoint._waitingForPort).getHost().port)

    async def test_mail_handed_in_by_smtp_is_queued(self) -> None:
        """A message that smtplib hands in is in the queue when it has its 250."""
        service = self.start("--submission", "tcp:0:interface=127.0.0.1")
        port = await self.port_of(service)

        def hand_in() -> None:
            with smtplib.SMTP("127.0.0.1", port) as client:
                client.sendmail("me@client.example", ["you@there.example"], b"Subject: hello\r\n\r\nhello\r\n")

        await deferToThread(hand_in)
        queued = [
            path for folder in ("incoming", "active", "deferred") for path in (self.base / "spool" / folder).rglob("*")
        ]
        self.assertEqual(1, len([path for path in queued if path.is_file()]))

    async def test_the_admin_page_shows_numbers_and_destinations(self) -> None:
        """``/metrics`` counts outcomes, ``/destinations`` is JSON."""
        service = self.start("--admin", "tcp:0:interface=127.0.0.1")
        port = await self.port_of(service)
        receipt = await service.submit("me@client.example", ["you@there.example"], b"\r\n\r\nhello\r\n")
        await receipt.first_attempt()
        before = set(REACTOR.getReaders())
        agent = Agent(REACTOR)
        answers = {}
        for page in ("metrics", "destinations"):
            response = await agent.request(b"GET", f"http://127.0.0.1:{port}/{page}".encode())
            answers[page] = (await readBody(response)).decode()
        while set(REACTOR.getReaders()) - before:  # until the connections are closed
            await deferLater(REACTOR, 0.01)
        self.assertIn('smtpclient_outcomes_total{disposition="deferred",status="4.3.2"} 1', answers["metrics"])
        self.assertIsInstance(json.loads(answers["destinations"]), list)


class MetricsTests(SynchronousTestCase):
    """Numbers in Prometheus' text format."""

    def test_outcomes_are_counted_by_disposition_and_status(self) -> None:
        """Each outcome counts once, and its delay with it."""
        metrics = Metrics(lambda: 0, list)
        envelope = Envelope("ID", "me@home.test", 0.0, 0.0, 1, 0)
        for _ in range(2):
            metrics.count(
                envelope, Outcome(Recipient("a@b"), Disposition.SENT, "2.0.0", "ok", delays=Delays(sending=1.5))
            )
        text = metrics.text()
        self.assertIn('smtpclient_outcomes_total{disposition="sent",status="2.0.0"} 2\n', text)
        self.assertIn('smtpclient_delay_seconds_total{disposition="sent"} 3.000\n', text)

    def test_a_destination_shows_why_it_waits(self) -> None:
        """What a next hop says of itself cannot break the format."""
        state = DestinationState("smtp", 'odd"name', 2, 3, 1, 5, "connection refused", 17.0)
        text = Metrics(lambda: 4, lambda: [state]).text()
        self.assertIn("smtpclient_active_messages 4\n", text)
        self.assertIn('smtpclient_destination_waiting_recipients{transport="smtp",next_hop="odd\\"name"} 3\n', text)
        self.assertIn('smtpclient_destination_suspended{transport="smtp",next_hop="odd\\"name"} 1\n', text)
