"""Our queue manager with the bounce(8), defer(8) and trace(8) of a real Postfix on the same queue directory."""

import os
import shutil
import signal
from collections.abc import Callable
from email import message_from_bytes
from email.message import Message
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from smtpclient.config.parameters import Parameters
from smtpclient.observe.maillog import MailLog
from smtpclient.outbound import Outbound
from smtpclient.queue.spool import SpoolError
from tests.interop.private_postfix import ACCEPTING, DELIVERING, LOOPBACK, PrivatePostfix, missing
from tests.ports import free_port

LETTER = b"Subject: hello\n\nHello, you!\n"
SHOWQ = "showq unix n - n - - showq\n"


class Judge:
    """What a server says to recipients, by the first word of their address; what it took is in ``taken``."""

    def __init__(self) -> None:
        self.taken: list[tuple[list[str], Message]] = []
        self.patient = False

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Yes, no, or later."""
        if address.startswith("unknown"):
            return "550 5.1.1 nobody of that name"
        if address.startswith("later") and not self.patient:
            return "450 4.2.0 not now"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Keep it."""
        assert isinstance(envelope.content, bytes)
        self.taken.append((envelope.rcpt_tos, message_from_bytes(envelope.content)))
        return "250 2.0.0 Ok"

    def received(self, address: str) -> list[Message]:
        """What somebody has got."""
        return [letter for recipients, letter in self.taken if address in recipients]


class ReportTests(TestCase):
    """Mail enters by Postfix's sendmail and cleanup, is delivered by us, and reported by Postfix."""

    skip = missing() or None
    timeout = 120

    def start(self, services: str = ACCEPTING + SHOWQ, postfix: dict[str, str] | None = None, **values: str) -> None:
        """Run Postfix, a server and ourselves."""
        self.judge = Judge()
        controller = Controller(self.judge, hostname=LOOPBACK, port=free_port(), ready_timeout=60)
        controller.start()
        self.addCleanup(controller.stop)
        self.postfix = PrivatePostfix(postfix or {})
        self.addCleanup(self.postfix.remove)
        self.addCleanup(self.postfix.stop)
        for digit in "0123456789ABCDEF":  # as whoever runs us would own them; tests run as root
            os.mkdir(f"{self.postfix.queue}/deferred/{digit}", 0o700)
            shutil.chown(f"{self.postfix.queue}/deferred/{digit}", "postfix")
        self.postfix.start(services)
        self.outbound = self.ours(controller.port, **values)
        self.outbound.startService()
        self.addCleanup(self.stop)

    def ours(self, port: int, **values: str) -> Outbound:
        """Our queue manager in Postfix's queue directory."""
        everything = {
            "queue_directory": self.postfix.queue,
            "relayhost": f"[{LOOPBACK}]:{port}",
            "myhostname": "ours.test",
            "inet_interfaces": LOOPBACK,
            "smtp_tls_security_level": "none",
            **values,
        }
        self.lines: list[str] = []
        maillog = MailLog(reactor.seconds)
        maillog.publisher.addObserver(lambda event: self.lines.append(event["mail_line"]))
        services: Any = dict.fromkeys(("bounce", "defer", "trace"), "postfix")
        parameters = Parameters.from_values(everything, machine_name=lambda: "ours.test")
        return Outbound(parameters, reactor=reactor, maillog=maillog, **services)

    async def stop(self) -> None:
        """Stop ourselves; more calls do no harm."""
        if self.outbound.running:
            await self.outbound.stopService()

    def send(self, *words: str) -> None:
        """Have Postfix's sendmail take a letter."""
        self.postfix.run("sendmail", "-f", "me@sender.test", *words, data=LETTER)

    async def until(self, true: Callable[[], object]) -> None:
        """Wait for something; the test's own time limit ends it."""
        while not true():
            await deferLater(reactor, 0.05)

    def left(self, *folders: str) -> list[str]:
        """What lies in some folders of the queue."""
        return [
            name for folder in folders for _, _, names in os.walk(f"{self.postfix.queue}/{folder}") for name in names
        ]

    async def test_failure(self) -> None:
        """A failed recipient comes back to its sender in Postfix's report, and nothing is left in the queue."""
        self.start()
        self.send("unknown@there.test", "friend@there.test")
        await self.until(lambda: self.judge.received("me@sender.test"))
        (report,) = self.judge.received("me@sender.test")
        self.assertEqual(report["Subject"], "Undelivered Mail Returned to Sender")
        for words in ("This is the mail system at host mx.postfix.test", "nobody of that name", "Hello, you!"):
            self.assertIn(words, report.as_string())
        self.assertEqual(len(self.judge.received("friend@there.test")), 1)
        await self.until(lambda: not self.left("incoming", "active", "deferred", "bounce", "defer"))

    async def test_success(self) -> None:
        """A sender who asked for it hears of the success in Postfix's report."""
        self.start()
        self.send("-N", "success", "friend@there.test")
        await self.until(lambda: self.judge.received("me@sender.test"))
        (report,) = self.judge.received("me@sender.test")
        self.assertEqual(report["Subject"], "Successful Mail Delivery Report")
        self.assertIn("Action: relayed", report.as_string())
        await self.until(lambda: not self.left("incoming", "active", "trace"))

    async def test_deferral(self) -> None:
        """The reason of a deferred recipient stands in Postfix's list of the queue."""
        self.start()
        self.send("later@there.test")
        await self.until(lambda: self.left("deferred"))
        self.assertIn("450 4.2.0 not now", self.postfix.run("postqueue", "-p"))

    async def test_expiry(self) -> None:
        """The sender of a message that is given up hears of the recipients that waited."""
        self.start(maximal_queue_lifetime="0")
        self.send("later@there.test")
        await self.until(lambda: self.judge.received("me@sender.test"))
        (report,) = self.judge.received("me@sender.test")
        self.assertIn("450 4.2.0 not now", report.as_string())
        await self.until(lambda: not self.left("incoming", "active", "deferred", "defer"))

    async def test_delay(self) -> None:
        """The sender of a message that waits for long is warned once, and it goes on waiting."""
        again = {"queue_run_delay": "1s", "minimal_backoff_time": "1s", "maximal_backoff_time": "1s"}
        self.start(postfix={"delay_warning_time": "1s"}, **again)
        self.send("later@there.test")
        await self.until(lambda: self.judge.received("me@sender.test"))
        before = len(self.lines)
        await self.until(lambda: sum("not now" in line for line in self.lines[before:]) >= 3)
        (warning,) = self.judge.received("me@sender.test")
        self.assertEqual(warning["Subject"], "Delayed Mail (still being retried)")

    async def test_no_bounce_daemon(self) -> None:
        """A failed recipient that nobody records is deferred, and defer(8) has the reason."""
        self.start(ACCEPTING.replace("bounce unix - - n - 0 bounce\n", "") + SHOWQ)
        self.send("unknown@there.test")
        await self.until(lambda: self.left("deferred"))
        self.assertIn("bounce service failure", self.postfix.run("postqueue", "-p"))

    def test_queue_manager(self) -> None:
        """Beside a Postfix that has a queue manager of its own ours does not start, and touches nothing."""
        self.assertRaises(SpoolError, self.start, ACCEPTING + DELIVERING)

    async def test_queue_manager_comes_later(self) -> None:
        """When a reload gives Postfix a queue manager, ours says so and claims nothing more; the mail is Postfix's."""
        self.start(postfix={"relayhost": f"[{LOOPBACK}]:{free_port()}"})
        with open(self.postfix.etc + "/master.cf", "a") as file:
            file.write(DELIVERING)
        with open(self.postfix.queue + "/pid/master.pid") as file:
            os.kill(int(file.read()), signal.SIGHUP)
        await self.until(lambda: any("another queue manager has taken over" in line for line in self.lines))
        self.send("friend@there.test")
        await self.until(lambda: "status=deferred (connect to 127.0.0.1" in self.postfix.log())
        await self.stop()
        self.assertEqual([line for line in self.lines if "queue active" in line], [])
        self.postfix.run("postqueue", "-f")

    async def test_verbose(self) -> None:
        """The sender of ``sendmail -v`` hears of a delivery, of which nobody hears otherwise."""
        self.start()
        self.send("-v", "friend@there.test")
        await self.until(lambda: self.judge.received("me@sender.test"))
        (report,) = self.judge.received("me@sender.test")
        self.assertEqual(report["Subject"], "Mail Delivery Status Report")
        self.assertEqual(len(self.judge.received("friend@there.test")), 1)

    async def test_probe(self) -> None:
        """``sendmail -bv`` reports who would be accepted and who not, and sends nothing."""
        self.start()
        self.send("-bv", "friend@there.test", "unknown@there.test", "later@there.test")
        await self.until(lambda: self.judge.received("me@sender.test"))
        (report,) = self.judge.received("me@sender.test")
        text = report.as_string()
        self.assertEqual([text.count(f"Action: {word}") for word in ("deliverable", "undeliverable")], [1, 2])
        await self.until(lambda: not self.left("incoming", "active", "deferred", "trace", "bounce", "defer"))
        self.assertEqual(self.judge.received("friend@there.test"), [])

    async def test_asked_for(self) -> None:
        """A domain that asks for its mail (``postqueue -s``, ETRN) gets what waits for it before its time."""
        flushed = {"fast_flush_domains": "there.test"}
        self.start(ACCEPTING + SHOWQ + "flush unix n - n 1000? 0 flush\n", flushed, **flushed)
        self.send("later@there.test")
        await self.until(lambda: self.left("deferred") and self.left("flush"))
        self.judge.patient = True
        self.postfix.run("postqueue", "-s", "there.test")
        await self.until(lambda: self.judge.received("later@there.test"))

    async def test_no_flush_daemon(self) -> None:
        """Without flush(8) the reason is recorded all the same."""
        self.start(fast_flush_domains="there.test")
        self.send("later@there.test")
        await self.until(lambda: self.left("deferred"))
        self.assertIn("450 4.2.0 not now", self.postfix.run("postqueue", "-p"))
