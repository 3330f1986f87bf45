"""The submission server, over real sockets."""

import errno
import os
import smtplib
import tempfile
from collections.abc import Callable
from typing import Any

from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import Portal
from twisted.internet import reactor
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.ssl import CertificateOptions, PrivateCertificate
from twisted.internet.task import Clock, deferLater
from twisted.internet.testing import StringTransport
from twisted.internet.threads import deferToThread
from twisted.mail import imap4
from twisted.trial.unittest import SynchronousTestCase, TestCase

from smtpclient.mail.envelope import Notify, Recipient, Return, TlsWish, Utf8
from smtpclient.observe.maillog import MailLog
from smtpclient.queue.intake import IntakeError
from smtpclient.submission.access import Policy, permit_networks
from smtpclient.submission.delivery import QueueDelivery, QueueRealm
from smtpclient.submission.server import SubmissionFactory
from smtpclient.submission.session import GRACE, LONGEST_LINE, Limits
from tests.submission.conversation import Conversation, talk
from tests.submission.memory_queue import MemoryQueue, acceptor
from tests.tls.certificates import issue

ENVELOPE = ["MAIL FROM:<s@x.test>", "RCPT TO:<r@y.test>"]
CONTENT = "A: 1\r\n\r\nbody\r\n."


def certificate() -> CertificateOptions:
    """A context with a certificate that nobody has signed but itself."""
    made = issue("mail.example.test")
    return PrivateCertificate.loadPEM(made.pem + made.key_pem).options()


class ServerCase(TestCase):
    """A server on a real socket, in front of a queue in memory."""

    def setUp(self) -> None:
        self.queue = MemoryQueue()
        self.maillog = MailLog(lambda: 0.0)
        self.lines: list[str] = []
        self.maillog.publisher.addObserver(lambda event: self.lines.append(event["mail_line"]))

    def serve(self, policy: Policy | None = None, **details: Any) -> int:
        """Listen until the test's end; the port's number."""
        factory = SubmissionFactory(
            acceptor(self.queue), policy or permit_networks(), reactor, maillog=self.maillog, **details
        )
        port: Any = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(self.until, lambda: not factory.sessions)
        self.addCleanup(lambda: maybeDeferred(port.stopListening))
        self.factory = factory
        return int(port.getHost().port)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for something to become true."""
        while not condition():  # until trial has lost its patience
            await deferLater(reactor, 0.01)

    async def talk(self, *lines: bytes | str, **details: Any) -> list[str]:
        """A conversation with a new server."""
        return await deferToThread(talk, self.serve(**details), lines)


class MessageTests(ServerCase):
    """Messages on their way into the queue."""

    async def test_a_client_library(self) -> None:
        """smtplib is content: one message for all recipients, with everything that it asked for."""
        port = self.serve()

        def send() -> object:
            with smtplib.SMTP("127.0.0.1", port, "client.test", timeout=60) as client:
                return client.sendmail(
                    "s@x.test",
                    ["a@y.test", "b@y.test"],
                    "Subject: x\r\n\r\n.dot\r\n..\r\nlast",
                    ["BODY=8BITMIME", "RET=HDRS", "ENVID=e+2Bf"],
                    ["NOTIFY=SUCCESS"],
                )

        self.assertEqual({}, await deferToThread(send))
        (message,) = self.queue.messages
        self.assertEqual(("s@x.test", "8bit", Return.HEADERS, "e+f"), self.details(message))
        self.assertEqual(
            [
                Recipient("a@y.test", orcpt="rfc822;a@y.test", notify=Notify.SUCCESS),
                Recipient("b@y.test", orcpt="rfc822;b@y.test", notify=Notify.SUCCESS),
            ],
            list(message.recipients),
        )
        head, _, body = self.queue.contents[0].partition(b"\n\n")
        self.assertEqual(b".dot\n..\nlast\n", body)
        self.assertTrue(
            head.startswith(
                b"Received: from client.test ([127.0.0.1])\n\tby mail.example.test (smtpclient) with ESMTP;\n\tThu, "
            ),
            head,
        )

    @staticmethod
    def details(message: Any) -> tuple[object, ...]:
        """What a MAIL command can say."""
        return message.sender, message.encoding, message.ret, message.envelope_id

    async def test_the_replies(self) -> None:
        """Every command has its reply; the last one names the queue id, as the log does."""
        replies = await self.talk("HELO client.test", *ENVELOPE, "DATA", CONTENT, "QUIT")
        self.assertEqual(
            [
                "250 mail.example.test",
                "250 2.1.0 Ok",
                "250 2.1.5 Ok",
                "354 End data with <CR><LF>.<CR><LF>",
                "250 2.0.0 Ok: queued as ID1",
                "221 2.0.0 Bye",
            ],
            replies,
        )
        await self.until(lambda: len(self.lines) == 3)
        origin = "unknown[127.0.0.1]"
        self.assertEqual([f"connect from {origin}", f"ID1: client={origin}", f"disconnect from {origin}"], self.lines)
        self.assertIn(b"with SMTP\n\tfor <r@y.test>;", self.queue.contents[0])
        attributes = self.queue.messages[0].attributes
        self.assertEqual((origin, "client.test"), (attributes["log_message_origin"], attributes["log_helo_name"]))

    async def test_nothing_is_said_before_it_is_queued(self) -> None:
        """250 comes when the queue has the message; what a client sends meanwhile waits its turn."""
        self.queue.hold = Deferred()
        port = self.serve()

        def send() -> list[str]:
            conversation = Conversation(port)
            conversation.at_once(b"EHLO x\r\n" + "\r\n".join([*ENVELOPE, "DATA", ""]).encode(), 4)
            replies = conversation.at_once(CONTENT.encode() + b"\r\nNOOP\r\nMAIL FROM:<a@x.test>\r\nQUIT\r\n", 4)
            conversation.close()
            return replies

        sending = deferToThread(send)
        await deferLater(reactor, 0.3)
        self.assertFalse(sending.called)
        self.queue.hold.callback(None)
        self.assertEqual(
            ["250 2.0.0 Ok: queued as ID1", "250 2.0.0 Ok", "250 2.1.0 Ok", "221 2.0.0 Bye"], await sending
        )

    async def test_two_messages_in_one_write(self) -> None:
        """Whatever a client pipelines is done in order, and two messages stay two."""
        port = self.serve()
        both = "\r\n".join(
            ["EHLO x", *(["MAIL FROM:<s@x.test>", "RCPT TO:<r@y.test>", "DATA", CONTENT] * 2), "QUIT", ""]
        )

        def send() -> list[str]:
            conversation = Conversation(port)
            replies = conversation.at_once(both.encode(), 10)
            conversation.close()
            return replies

        replies = await deferToThread(send)
        self.assertEqual(["250 2.0.0 Ok: queued as ID1", "250 2.0.0 Ok: queued as ID2"], [replies[4], replies[8]])
        self.assertEqual(["221 2.0.0 Bye"], replies[9:])

    async def test_a_full_disk_is_for_later(self) -> None:
        """When the queue has no room the client is told to try again, and the session goes on."""
        self.queue.failure = OSError(errno.ENOSPC, "full")
        replies = await self.talk("EHLO x", *ENVELOPE, "DATA", CONTENT, *ENVELOPE)
        self.assertEqual(["452 4.3.1 Insufficient system storage", "250 2.1.0 Ok", "250 2.1.5 Ok"], replies[4:])

    async def test_other_trouble_is_for_later(self) -> None:
        """Any other failure is a 451, and logged; a message at fault is a 5xx."""
        self.queue.failure = RuntimeError("a defect")
        replies = await self.talk("EHLO x", *ENVELOPE, "DATA", CONTENT)
        self.assertEqual("451 4.3.0 Error: queue file write error", replies[-1])
        self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))
        self.queue.failure = IntakeError("5.4.0", "too many hops")
        replies = await self.talk("EHLO x", *ENVELOPE, "DATA", CONTENT)
        self.assertEqual("554 5.4.0 Error: too many hops", replies[-1])

    async def test_no_room_while_receiving(self) -> None:
        """A temporary file that cannot be written is for later, too, and the content is read to its end."""
        self.patch(tempfile, "tempdir", self.mktemp())
        replies = await self.talk("EHLO x", *ENVELOPE, "DATA", "x\r\n" * 200_000 + ".", "NOOP")
        self.assertEqual(["451 4.3.0 Error: queue file write error", "250 2.0.0 Ok"], replies[4:])
        self.assertEqual(1, len(self.flushLoggedErrors(FileNotFoundError)))

    async def test_a_large_message(self) -> None:
        """A message with one very long line passes through a file; a larger one is refused, the next is not."""
        long = "A: 1\r\n\r\n" + "x" * 900_000 + "\r\n."
        replies = await self.talk(
            "EHLO x", *ENVELOPE, "DATA", long, *ENVELOPE, "DATA", long * 2, *ENVELOPE, "DATA", CONTENT
        )
        self.assertEqual("250 2.0.0 Ok: queued as ID1", replies[4])
        self.assertEqual("552 5.3.4 Error: message is larger than 1000000 bytes", replies[8])
        self.assertEqual("250 2.0.0 Ok: queued as ID2", replies[12])
        self.assertIn(b"\n\n" + b"x" * 900_000 + b"\n", self.queue.contents[0])

    async def test_bare_line_ends_smuggle_nothing(self) -> None:
        """A second message behind a bare LF is text of the first; a bare LF ends no command either."""
        evil = b"A: 1\r\n\r\nx\n.\nMAIL FROM:<evil@x.test>\r.\r\n.\n.\r\n."
        replies = await self.talk("EHLO x", *ENVELOPE, "DATA", evil, b"NOOP\nNOOP")
        self.assertEqual(["250 2.0.0 Ok: queued as ID1", "500 5.5.2 Error: bare <LF> received"], replies[4:])
        self.assertTrue(self.queue.contents[0].endswith(b"\n\nx . MAIL FROM:<evil@x.test> .\n .\n"))

    async def test_utf8(self) -> None:
        """With SMTPUTF8, addresses and header may be UTF-8, and the message says so."""
        replies = await self.talk(
            "EHLO x", "MAIL FROM:<s\xe9@x.test> SMTPUTF8", "RCPT TO:<r@b\xfccher.test>", "DATA", CONTENT
        )
        self.assertEqual("250 2.0.0 Ok: queued as ID1", replies[-1])
        (message,) = self.queue.messages
        self.assertTrue(message.utf8 & Utf8.REQUESTED)
        self.assertEqual(("s\xe9@x.test", "r@b\xfccher.test"), (message.sender, message.recipients[0].address))
        self.assertIn(b"with UTF8SMTP\n\tfor <r@b\xc3\xbccher.test>;", self.queue.contents[0])

    async def test_a_lost_connection_leaves_nothing(self) -> None:
        """A message without its end is not queued; one that has its end is, though nobody hears of it."""
        await self.talk("EHLO x", *ENVELOPE, "DATA")
        await self.until(lambda: not self.factory.sessions)
        self.queue.hold = Deferred()
        port = self.serve()

        def hang_up() -> None:
            conversation = Conversation(port)
            conversation.at_once(b"EHLO x\r\n" + "\r\n".join([*ENVELOPE, "DATA", ""]).encode(), 4)
            conversation.send(CONTENT.encode() + b"\r\n")
            conversation.close()

        await deferToThread(hang_up)
        (session,) = self.factory.sessions._running
        await self.until(lambda: session._waiting)
        self.assertEqual([], self.queue.messages)
        session.transport.abortConnection()
        await self.factory.sessions.all_ended()
        self.queue.hold.callback(None)
        self.assertEqual([["r@y.test"]], self.queue.recipients)


class CommandTests(ServerCase):
    """Commands in and out of order."""

    async def test_ehlo(self) -> None:
        """What is offered: nothing that would have to be refused."""
        (reply,) = await self.talk("EHLO x")
        self.assertEqual(
            {"mail.example.test", "PIPELINING", "SIZE 1000000", "ENHANCEDSTATUSCODES", "8BITMIME", "DSN", "SMTPUTF8"},
            {line[4:] for line in reply.split("/")},
        )

    async def test_replies(self) -> None:
        """Commands without a message, out of order, and no commands at all."""
        table = {
            "EHLO": "501 5.5.4 Syntax: EHLO hostname",
            "HELO a\x01b": "501 5.5.4 Syntax: HELO hostname",
            "RCPT TO:<r@y.test>": "503 5.5.1 Error: need MAIL command",
            "DATA": "503 5.5.1 Error: need MAIL command",
            "NOOP x": "250 2.0.0 Ok",
            "VRFY r": "252 2.0.0 Send some mail, it will be tried",
            "HELP": "214 2.0.0 See RFC 5321",
            "RSET x": "501 5.5.4 Syntax: RSET",
            "RSET": "250 2.0.0 Ok",
            "EXPN x": "500 5.5.2 Error: command not recognized",
            "UNKNOWN": "500 5.5.2 Error: command not recognized",
            "_x y": "500 5.5.2 Error: command not recognized",
            "\xff\xfe": "500 5.5.2 Error: command not recognized",
            "": "500 5.5.2 Error: bad syntax",
            "STARTTLS": "454 TLS not available",
            "AUTH PLAIN AA==": "503 5.5.1 Error: authentication not enabled",
            "MAIL FROM:<s@x.test> SIZE=1000001": "552 5.3.4 Message size exceeds fixed limit",
            "mail from:<s@x.test>": "250 2.1.0 Ok",
            "MAIL FROM:<t@x.test>": "503 5.5.1 Error: nested MAIL command",
            "DATA ": "554 5.5.1 Error: no valid recipients",
            "RCPT TO:<r y@z>": "501 5.1.3 Bad recipient address syntax",
            "DATA x": "501 5.5.4 Syntax: DATA",
        }
        self.assertEqual(table, dict(zip(table, await self.talk(*table), strict=True)))

    async def test_a_hello_resets(self) -> None:
        """EHLO and RSET forget the transaction."""
        for verb in ("EHLO y", "RSET"):
            replies = await self.talk("EHLO x", *ENVELOPE, verb, "DATA")
            self.assertEqual("503 5.5.1 Error: need MAIL command", replies[-1])

    async def test_relaying_is_the_policys_word(self) -> None:
        """A recipient that the policy denies is refused and logged; the others are not."""
        replies = await self.talk(
            "EHLO x",
            "MAIL FROM:<s@x.test>",
            'RCPT TO:<"a b"@z.test>',
            "RCPT TO:<r@y.test>",
            policy=lambda client, sender, recipient: (
                (client.address, sender, recipient) == ("127.0.0.1", "s@x.test", "r@y.test")
            ),
        )
        self.assertEqual(['554 5.7.1 <"a b"@z.test>: Relay access denied', "250 2.1.5 Ok"], replies[2:])
        self.assertIn(
            "NOQUEUE: reject: RCPT from unknown[127.0.0.1]: "
            '554 5.7.1 <"a b"@z.test>: Relay access denied; from=<s@x.test> to=<"a b"@z.test> proto=ESMTP helo=<x>',
            self.lines,
        )

    async def test_too_many_recipients(self) -> None:
        """The recipient too many is for the client's next message."""
        replies = await self.talk("EHLO x", *ENVELOPE, "RCPT TO:<b@y.test>", limits=Limits(recipients=1))
        self.assertEqual("452 4.5.3 Error: too many recipients", replies[-1])

    async def test_too_many_errors(self) -> None:
        """A client that only makes errors is sent away."""
        replies = await self.talk("X", "X", "X", limits=Limits(errors=2))
        bad = "500 5.5.2 Error: command not recognized"
        self.assertEqual([bad, bad, "421 4.7.0 Error: too many errors"], replies)

    async def test_another_protocol(self) -> None:
        """A browser that is made to speak to us is cut off before its body is taken for commands."""
        port = self.serve()

        def browse() -> list[str]:
            conversation = Conversation(port)
            replies = conversation.at_once(b"POST / HTTP/1.1\r\nHost: x\r\n\r\nEHLO x\r\nMAIL FROM:<s@x.test>\r\n", 2)
            conversation.close()
            return replies

        self.assertEqual(["521 5.7.0 Error: this is SMTP", ""], await deferToThread(browse))

    async def test_a_long_command_line(self) -> None:
        """A line without end ends the session, and its rest is not obeyed."""
        port = self.serve()

        def send() -> list[str]:
            conversation = Conversation(port)
            replies = conversation.at_once(b"NOOP " + b"x" * LONGEST_LINE + b"\r\nNOOP\r\n", 2)
            conversation.close()
            return replies

        self.assertEqual(["500 5.5.2 Error: line too long", ""], await deferToThread(send))

    async def test_too_many_sessions(self) -> None:
        """The session too many is told to come back."""
        port = self.serve(limits=Limits(sessions=1))

        def connect() -> tuple[str, str, str]:
            first, second = Conversation(port), Conversation(port)
            greetings = first.greeting, second.greeting, second.reply()
            first.close()
            second.close()
            return greetings

        self.assertEqual(
            ("220 mail.example.test ESMTP smtpclient", "421 4.3.2 Error: too many connections", ""),
            await deferToThread(connect),
        )


class SecureTests(ServerCase):
    """STARTTLS and AUTH."""

    def secure(self) -> int:
        """A server with a certificate, where only a password lets one relay."""
        checker = InMemoryUsernamePasswordDatabaseDontUse(user=b"secret")
        delivery = QueueDelivery(acceptor(self.queue), permit_networks([]))
        return self.serve(
            permit_networks([]),
            tls=certificate(),
            portal=Portal(QueueRealm(delivery), [checker]),
            challengers={b"PLAIN": imap4.PLAINCredentials, b"LOGIN": imap4.LOGINCredentials},
        )

    def private(self, port: int) -> Conversation:
        """A conversation inside TLS."""
        conversation = Conversation(port)
        conversation.say("EHLO x", *ENVELOPE[:1], "STARTTLS")
        conversation.start_tls()
        return conversation

    async def test_auth_lets_one_relay(self) -> None:
        """AUTH is offered inside TLS, and who has logged in may send anywhere."""
        port = self.secure()

        def send() -> list[str]:
            conversation = self.private(port)
            replies = conversation.say(
                "EHLO x", *ENVELOPE, "RSET", "AUTH", "AUTH PLAIN AHVzZXIAc2VjcmV0", *ENVELOPE, "DATA", CONTENT
            )
            conversation.close()
            return replies

        replies = await deferToThread(send)
        self.assertIn("AUTH LOGIN PLAIN", [line[4:] for line in replies[0].split("/")])
        self.assertNotIn("STARTTLS", replies[0])
        self.assertEqual("554 5.7.1 <r@y.test>: Relay access denied", replies[2])
        self.assertEqual("501 5.5.4 Syntax: AUTH mechanism, before MAIL", replies[4])
        self.assertEqual("235 Authentication successful.", replies[5])
        self.assertEqual("250 2.0.0 Ok: queued as ID1", replies[-1])
        self.assertIn(b"with ESMTPSA\n", self.queue.contents[0])

    async def test_a_wrong_password(self) -> None:
        """Who does not know the password may not."""
        port = self.secure()

        def send() -> list[str]:
            conversation = self.private(port)
            replies = conversation.say("EHLO x", "AUTH LOGIN", "dXNlcg==", "d3Jvbmc=", *ENVELOPE)
            conversation.close()
            return replies

        replies = await deferToThread(send)
        self.assertEqual(["535 Authentication failed", "250 2.1.0 Ok"], replies[3:5])
        self.assertEqual("554 5.7.1 <r@y.test>: Relay access denied", replies[-1])

    async def test_no_password_in_clear_text(self) -> None:
        """Outside TLS, AUTH is neither offered nor taken."""
        replies = await deferToThread(talk, self.secure(), ["EHLO x", "AUTH PLAIN AHVzZXIAc2VjcmV0"])
        self.assertIn("STARTTLS", replies[0])
        self.assertNotIn("AUTH", replies[0])
        self.assertEqual("538 5.7.11 Encryption required", replies[1])

    async def test_clear_text_behind_starttls(self) -> None:
        """What is sent in clear text behind STARTTLS is never obeyed inside TLS: the session ends."""
        port = self.secure()

        def send() -> list[str]:
            conversation = Conversation(port)
            replies = conversation.at_once(b"EHLO x\r\nSTARTTLS\r\nMAIL FROM:<evil@x.test>\r\n", 3)
            conversation.close()
            return replies[1:]

        self.assertEqual(["554 5.5.1 Error: commands sent behind STARTTLS", ""], await deferToThread(send))

    async def test_requiretls(self) -> None:
        """REQUIRETLS is offered inside TLS only, and the message says so in the queue (RFC 8689 section 3)."""
        port = self.secure()

        def send() -> list[str]:
            conversation = Conversation(port)
            offers = conversation.say("EHLO x")
            conversation.say("STARTTLS")
            conversation.start_tls()
            offers += conversation.say("EHLO x")
            conversation.say("AUTH PLAIN AHVzZXIAc2VjcmV0", ENVELOPE[0] + " REQUIRETLS", *ENVELOPE[1:], "DATA", CONTENT)
            conversation.close()
            return offers

        offers = await deferToThread(send)
        self.assertEqual(["REQUIRETLS" in offer for offer in offers], [False, True])
        self.assertEqual([message.tls for message in self.queue.messages], [TlsWish.REQUIRED])

    async def test_tls_forgets_what_came_before(self) -> None:
        """The transaction and the name from before TLS are gone (RFC 3207 section 4.2)."""
        port = self.secure()

        def send() -> list[str]:
            conversation = self.private(port)
            replies = conversation.say(ENVELOPE[1], "STARTTLS")
            conversation.close()
            return replies

        self.assertEqual(
            ["503 5.5.1 Error: need MAIL command", "503 TLS already negotiated"], await deferToThread(send)
        )


class TimeTests(SynchronousTestCase):
    """Time limits and the end of the service, on a clock of the test's own."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.queue = MemoryQueue()
        self.factory = SubmissionFactory(acceptor(self.queue, self.clock), permit_networks(), self.clock)

    def connect(self) -> tuple[Any, StringTransport]:
        """A session over a UNIX socket of sorts."""
        transport = StringTransport(peerAddress=UNIXAddress(b"/x"))
        server = self.factory.buildProtocol(None)
        server.makeConnection(transport)
        transport.protocol = server
        return server, transport

    def test_a_silent_client(self) -> None:
        """It is told, and cut off when it does not take the words."""
        server, transport = self.connect()
        server.dataReceived(b"NOOP\r\n")
        self.clock.advance(200)
        server.dataReceived(b"NOOP\r\n")
        self.clock.advance(299)
        self.assertFalse(transport.disconnecting)
        self.clock.advance(1)
        self.assertTrue(transport.value().endswith(b"\r\n421 4.4.2 mail.example.test Error: timeout exceeded\r\n"))
        self.assertTrue(transport.disconnecting)
        self.assertFalse(transport.disconnected)
        self.clock.advance(GRACE)
        self.assertTrue(transport.disconnected)

    def test_a_client_that_went(self) -> None:
        """No timer and no session is left."""
        server, _ = self.connect()
        server.dataReceived(b"QUIT\r\n")
        server.connectionLost()
        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertEqual(0, len(self.factory.sessions))

    def test_a_slow_queue_is_no_silence(self) -> None:
        """The client is not blamed for the time that the queue takes."""
        self.queue.hold = Deferred()
        server, transport = self.connect()
        server.dataReceived("\r\n".join(["EHLO x", *ENVELOPE, "DATA", CONTENT, ""]).encode())
        self.assertEqual("paused", transport.producerState)
        self.clock.advance(3600)
        self.queue.hold.callback(None)
        self.assertTrue(transport.value().endswith(b"250 2.0.0 Ok: queued as ID1\r\n"))
        self.assertEqual("producing", transport.producerState)
        self.assertFalse(transport.disconnecting)

    def test_the_service_stops(self) -> None:
        """Sessions end, but not between the end of a message and its reply."""
        _, idle = self.connect()
        self.queue.hold = Deferred()
        server, busy = self.connect()
        server.dataReceived("\r\n".join(["EHLO x", *ENVELOPE, "DATA", CONTENT, ""]).encode())
        drained = Deferred.fromCoroutine(self.factory.drain())
        bye = b"421 4.3.2 Service shutting down\r\n"
        self.assertTrue(idle.value().endswith(bye))
        self.assertTrue(idle.disconnecting)
        self.assertFalse(busy.disconnecting)
        self.queue.hold.callback(None)
        self.assertTrue(busy.value().endswith(b"250 2.0.0 Ok: queued as ID1\r\n" + bye))
        self.assertTrue(busy.disconnecting)
        idle.protocol.connectionLost()
        self.assertNoResult(drained)
        server.connectionLost()
        self.successResultOf(drained)
        self.successResultOf(self.factory.drain())

    def test_bytes_one_by_one(self) -> None:
        """A client that sends byte by byte is served like any other."""
        server, transport = self.connect()
        for byte in "\r\n".join(["EHLO x", *ENVELOPE, "DATA", CONTENT, "QUIT", ""]).encode():
            server.dataReceived(bytes([byte]))
        self.assertTrue(transport.value().endswith(b"250 2.0.0 Ok: queued as ID1\r\n221 2.0.0 Bye\r\n"))
        self.assertTrue(self.queue.contents[0].endswith(b"\n\nbody\n"))

    def test_a_unix_socket(self) -> None:
        """A client on a UNIX socket is on this machine, and may relay."""
        server, _ = self.connect()
        server.dataReceived("\r\n".join(["EHLO x", *ENVELOPE, "DATA", CONTENT, ""]).encode())
        self.assertTrue(self.queue.contents[0].startswith(b"Received: from x ([local])\n"))
        self.assertEqual("localhost[unix]", self.queue.messages[0].attributes["log_message_origin"])

    def test_temporary_files_are_closed(self) -> None:
        """A large message that is abandoned leaves no open file."""
        before = len(os.listdir("/proc/self/fd"))
        server, _ = self.connect()
        server.dataReceived("\r\n".join(["EHLO x", *ENVELOPE, "DATA", ""]).encode())
        server.dataReceived(b"x" * 500_000)
        self.assertEqual(before + 1, len(os.listdir("/proc/self/fd")))
        server.connectionLost()
        self.assertEqual(before, len(os.listdir("/proc/self/fd")))
