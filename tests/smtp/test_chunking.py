"""Messages in chunks (BDAT, RFC 3030), by the whole service."""

from typing import ClassVar

from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.mail.outcome import Outcome
from tests.test_outbound import Stage


class ChunkingServer(Protocol):
    """A server that knows BDAT; it refuses recipients that begin with ``no``, and may hang up instead of answering."""

    hang_up: ClassVar[str] = ""
    keywords: ClassVar[tuple[str, ...]] = ("PIPELINING", "CHUNKING", "XFORWARD IDENT")
    seen: ClassVar[list[str]]
    contents: ClassVar[list[bytes]]

    def connectionMade(self) -> None:
        self.buffer, self.missing, self.last, self.content, self.accepted = b"", 0, False, b"", 0
        self._say("220 hello ESMTP")

    def _say(self, line: str) -> None:
        assert self.transport is not None
        self.transport.write(line.encode() + b"\r\n")

    def dataReceived(self, data: bytes) -> None:
        self.buffer += data
        while self.buffer:
            if self.missing:
                part, self.buffer = self.buffer[: self.missing], self.buffer[self.missing :]
                self.content += part
                self.missing -= len(part)
                if self.missing:
                    return
                self._chunk_ended()
                continue
            line, end, rest = self.buffer.partition(b"\r\n")
            if not end:
                return
            self.buffer = rest
            self._command(line.decode())

    def _chunk_ended(self) -> None:
        assert self.transport is not None
        if not self.accepted:
            self._say("554 5.5.1 no recipients")
        elif self.last:
            self.contents.append(self.content)
            if self.hang_up == "last":
                self.transport.loseConnection()
            else:
                self._say("250 2.0.0 taken")
        else:
            self._say("250 2.0.0 go on")

    def _command(self, line: str) -> None:
        assert self.transport is not None
        verb = line.split(maxsplit=1)[0]
        self.seen.append(line if verb == "BDAT" else verb)
        if verb == "EHLO":
            self._say("\r\n".join(["250-mx.test", *(f"250-{word}" for word in self.keywords), "250 8BITMIME"]))
        elif verb == "XFORWARD" and self.hang_up == "xforward":
            self.buffer = b""
            self.transport.loseConnection()
        elif verb == "MAIL":
            self.accepted, self.content = 0, b""
            self._say("250 2.1.0 ok")
        elif verb == "RCPT":
            refused = "<no" in line
            self.accepted += not refused
            self._say("550 5.1.1 unknown" if refused else "250 2.1.5 ok")
        elif verb == "BDAT":
            self.missing, self.last = int(line.split()[1]), line.endswith("LAST")
            if not self.missing:
                self._chunk_ended()
        else:
            self._say("221 2.0.0 bye" if verb == "QUIT" else "250 2.0.0 ok")


class ChunkingTests(SynchronousTestCase):
    """The service relays to a server that offers CHUNKING."""

    def deliver(self, *recipients: str, content: bytes, hang_up: str = "", **parameters: str) -> list[Outcome]:
        """What becomes of a message to these."""
        self.seen: list[str] = []
        self.contents: list[bytes] = []

        class Server(ChunkingServer):
            """With a memory of this play."""

        Server.hang_up, Server.seen, Server.contents = hang_up, self.seen, self.contents
        stage = Stage(self, **{"smtp_use_bdat": "yes", **parameters})
        stage.reactor.network.listen("10.0.0.9", 25, Factory.forProtocol(Server))
        outcomes: list[Outcome] = []
        stage.outbound.outcomes.subscribe(lambda envelope, outcome: outcomes.append(outcome))
        stage.submit(*recipients, message=content)
        stage.reactor.advance(60)
        outcomes = [outcome for outcome in outcomes if outcome.recipient.address in recipients]
        return sorted(outcomes, key=lambda outcome: outcome.recipient.address)

    def test_a_small_message_in_one_chunk(self) -> None:
        """It goes out behind its envelope, with CRLF for line ends and dots as they are."""
        (outcome,) = self.deliver("you@there.test", content=b"Subject: x\n\n.dot\n..\nend")
        self.assertEqual(("sent", "2.0.0"), (outcome.disposition.value, outcome.status))
        (content,) = self.contents
        self.assertTrue(content.endswith(b"\r\n\r\n.dot\r\n..\r\nend\r\n"), content)
        self.assertEqual(["EHLO", "MAIL", "RCPT", f"BDAT {len(content)} LAST", "QUIT"], self.seen)

    def test_a_large_message_in_several(self) -> None:
        """Each chunk is answered before the next; together they are the message."""
        body = b"a line of text\n" * 60_000
        (outcome,) = self.deliver("you@there.test", content=b"Subject: x\n\n" + body)
        self.assertEqual("sent", outcome.disposition.value)
        self.assertTrue(self.contents[0].endswith(b"\r\n\r\n" + body.replace(b"\n", b"\r\n")))
        sizes = [line.split() for line in self.seen if line.startswith("BDAT")]
        self.assertGreater(len(sizes), 2)
        self.assertEqual(len(self.contents[0]), sum(int(words[1]) for words in sizes))
        self.assertEqual([False] * (len(sizes) - 1) + [True], [words[-1] == "LAST" for words in sizes])

    def test_some_recipients_are_refused(self) -> None:
        """The reply to the last chunk is about the others."""
        outcomes = self.deliver("you@there.test", "nobody@there.test", content=b"Subject: x\n\nhello\n")
        self.assertEqual(["5.1.1", "2.0.0"], [outcome.status for outcome in outcomes])

    def test_all_recipients_are_refused(self) -> None:
        """The reply to a chunk that was on its way is for nobody, and the session is reset."""
        (outcome,) = self.deliver("nobody@there.test", content=b"Subject: x\n\nhello\n")
        self.assertEqual(("bounced", "5.1.1"), (outcome.disposition.value, outcome.status))
        self.assertEqual(["RSET", "QUIT"], self.seen[4:6])

    def test_a_connection_that_ends_after_the_last_chunk(self) -> None:
        """Nobody knows whether the message was taken, and the outcome says so."""
        (outcome,) = self.deliver("you@there.test", content=b"Subject: x\n\nhello\n", hang_up="last")
        self.assertTrue(outcome.in_doubt)
        self.assertIn("message may be sent more than once", outcome.reason)

    def test_a_connection_that_ends_before_any_reply(self) -> None:
        """The whole message was on its way: that nothing has been answered, not even XFORWARD, takes no doubt away."""
        wanted = {"smtp_send_xforward_command": "yes"}
        (outcome,) = self.deliver("you@there.test", content=b"Subject: x\n\nhello\n", hang_up="xforward", **wanted)
        self.assertTrue(outcome.in_doubt)
        self.assertEqual(["EHLO", "XFORWARD"], self.seen)

    def test_only_where_it_is_wanted(self) -> None:
        """Without the parameter content goes with DATA."""
        self.deliver("you@there.test", content=b"Subject: x\n\nhello\n", smtp_use_bdat="no")
        self.assertEqual(["EHLO", "MAIL", "RCPT", "DATA"], self.seen[:4])
