"""Probes: would a server take mail for these recipients? By the whole service."""

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.mail.envelope import NewMessage, Recipient
from tests.smtp.test_chunking import ChunkingServer
from tests.test_outbound import Stage

ADDRESSES = ("nobody@there.test", "you@there.test")


class ProbeTests(SynchronousTestCase):
    """The service has a message that is marked as a probe, and a server that refuses who is nobody."""

    def probe(self, *keywords: str, flags: str = "512", **parameters: str) -> tuple[list[str], list[str]]:
        """What the server hears, and what the log says of the recipients."""
        seen: list[str] = []
        stage = Stage(self, **parameters)
        server = type("Server", (ChunkingServer,), {"seen": seen, "contents": [], "keywords": keywords})
        stage.reactor.network.listen("10.0.0.9", 25, Factory.forProtocol(server))
        whom = [Recipient(address) for address in ADDRESSES]
        message = NewMessage("me@home.test", whom, b"Subject: x\n\nhello\n", attributes={"trace_flags": flags})
        self.successResultOf(_submitted(stage, message))
        stage.reactor.advance(60)
        lines = [line.partition("dsn=")[2] for line in stage.lines if "@there.test>, relay=" in line]
        return seen, sorted(lines)

    WORDS = (
        "2.1.5, status=deliverable (250 2.1.5 ok)",
        "5.1.1, status=undeliverable (host 10.0.0.9[10.0.0.9] said: 550 5.1.1 unknown (in reply to RCPT TO command))",
    )

    def test_nothing_is_sent(self) -> None:
        """The dialogue ends behind RCPT, with and without PIPELINING, and where content would go in chunks."""
        wanted = ["EHLO", "MAIL", "RCPT", "RCPT", "RSET", "QUIT"]
        rows = {
            (): self.probe("8BITMIME"),
            ("PIPELINING",): self.probe("PIPELINING"),
            ("PIPELINING", "CHUNKING"): self.probe("PIPELINING", "CHUNKING", smtp_use_bdat="yes"),
        }
        found = {row: (seen[: len(wanted)], tuple(lines)) for row, (seen, lines) in rows.items()}
        self.assertEqual(found, dict.fromkeys(rows, (wanted, self.WORDS)))

    def test_the_sender_is_told(self) -> None:
        """One report goes to the sender, and the message that asked is gone."""
        stage = Stage(self, smtp_use_bdat="yes")
        server = type("Server", (ChunkingServer,), {"seen": [], "contents": []})
        stage.reactor.network.listen("10.0.0.9", 25, Factory.forProtocol(server))
        whom = [Recipient(address) for address in ADDRESSES]
        probe = NewMessage("me@home.test", whom, b"Subject: x\n\n", attributes={"trace_flags": "512"})
        self.successResultOf(_submitted(stage, probe))
        stage.reactor.advance(60)
        (report,) = server.contents
        for line in (b"To: me@home.test", b"Subject: Mail Delivery Status Report", b"Action: deliverable"):
            self.assertIn(line + b"\r\n", report)
        self.assertEqual(report.count(b"Action: undeliverable\r\n"), 1)
        self.assertEqual([path for path in stage.disk.files if "/spool/active/" in path or "/trace/" in path], [])

    def test_a_message_that_is_only_traced_is_sent(self) -> None:
        """Whoever wants to hear of every delivery (``sendmail -v``) wants it delivered."""
        seen, lines = self.probe("PIPELINING", flags="1024")
        self.assertIn("DATA", seen)
        self.assertEqual([line for line in lines if "deliverable" in line], [])


def _submitted(stage: Stage, message: NewMessage) -> "Deferred[object]":
    submitted = Deferred.fromCoroutine(stage.outbound.enqueue(message))
    stage.reactor.advance(1)
    return submitted  # type: ignore[return-value]
