"""The providers, in servers of twisted.mail, spoken to over real sockets."""

import errno
import os
import smtplib
from typing import Any

from twisted.cred.checkers import AllowAnonymousAccess, InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import IRealm, Portal
from twisted.internet import reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.internet.threads import deferToThread
from twisted.mail import imap4, smtp
from twisted.mail.interfaces import IMailboxPOP3, IMessageDelivery, IMessageDeliveryFactory, IMessageSMTP
from twisted.mail.mail import MailService
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from smtpclient.mail.envelope import Recipient
from smtpclient.queue.intake import Submission
from smtpclient.submission.access import Policy, permit_networks
from smtpclient.submission.delivery import QueueDelivery, QueueMessage, QueueRealm, Transaction
from smtpclient.submission.domain import QueueDomain
from tests.submission.conversation import talk
from tests.submission.memory_queue import MemoryQueue, acceptor

MESSAGE = "Subject: x\r\n\r\n.dot\r\nbody\r\n"


class ServerCase(TestCase):
    """A server of twisted.mail on a real socket."""

    def setUp(self) -> None:
        self.queue = MemoryQueue()
        self.acceptor = acceptor(self.queue)

    def serve(self, factory: smtp.SMTPFactory) -> int:
        """Listen until the test's end; the port's number."""
        factory.noisy = False
        port: Any = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(lambda: maybeDeferred(port.stopListening))
        return int(port.getHost().port)

    def esmtp(self, policy: Policy | None = None, *, protocol: type[smtp.ESMTP] = smtp.ESMTP, **details: Any) -> int:
        """A plain ESMTP server, or another one, with our delivery."""
        delivery = QueueDelivery(self.acceptor, policy or permit_networks(), **details)
        factory = smtp.SMTPFactory()
        factory.protocol = protocol
        build = factory.buildProtocol

        def build_with_delivery(addr: object) -> smtp.ESMTP:
            server: smtp.ESMTP = build(addr)
            server.deliveryFactory = delivery
            return server

        factory.buildProtocol = build_with_delivery
        return self.serve(factory)

    async def mail(self, port: int, *recipients: str, message: str = MESSAGE) -> Any:
        """Send a message with smtplib; its refusals, or the exception that it ends with."""

        def send() -> Any:
            with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
                try:
                    return client.sendmail("s@x.test", recipients, message)
                except smtplib.SMTPException as error:
                    return error

        return await deferToThread(send)


class DeliveryTests(ServerCase):
    """:class:`QueueDelivery` in ``twisted.mail.smtp.ESMTP``."""

    async def test_one_message_for_all_recipients(self) -> None:
        """A transaction with three recipients is one message in the queue, with the server's Received field."""
        port = self.esmtp()
        self.assertEqual({}, await self.mail(port, "a@y.test", "b@y.test", '"c d"@y.test'))
        self.assertEqual([["a@y.test", "b@y.test", "c d@y.test"]], self.queue.recipients)
        self.assertEqual("s@x.test", self.queue.messages[0].sender)
        lines = self.queue.contents[0].split(b"\n")
        self.assertRegex(lines[0], rb"^Received: from \S+ \(\[127\.0\.0\.1\]\)$")
        self.assertEqual(b"\tby mail.example.test (smtpclient) with ESMTP;", lines[1])
        self.assertEqual(b"Subject: x", lines[3])
        self.assertTrue(self.queue.contents[0].endswith(b"\n\n.dot\nbody\n"))

    async def test_transactions_are_apart(self) -> None:
        """Two messages of one session, a reset between them, and null senders are told apart."""
        data = ["DATA", "A: 1\r\n\r\n."]
        one = ["MAIL FROM:<>", "RCPT TO:<a@y.test>"]
        replies = await deferToThread(
            talk, self.esmtp(), ["EHLO x", *one, *data, *one, "RSET", "MAIL FROM:<>", "RCPT TO:<b@y.test>", *data]
        )
        self.assertEqual(2, replies.count("250 Delivery in progress"))
        self.assertEqual([["a@y.test"], ["b@y.test"]], self.queue.recipients)

    async def test_success_only_when_queued(self) -> None:
        """The client hears nothing before the queue has the message."""
        self.queue.hold = Deferred()
        sending = Deferred.fromCoroutine(self.mail(self.esmtp(), "a@y.test"))
        waited: Deferred[None] = Deferred()
        reactor.callLater(0.3, waited.callback, None)
        await waited
        self.assertFalse(sending.called)
        self.queue.hold.callback(None)
        self.assertEqual({}, await sending)

    async def test_a_full_disk_is_for_later(self) -> None:
        """When the queue has no room the client is told to try again, once, and may go on."""
        self.queue.failure = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        transaction = ["MAIL FROM:<s@x.test>", "RCPT TO:<a@y.test>", "RCPT TO:<b@y.test>", "DATA", "A: 1\r\n\r\n."]
        replies = await deferToThread(talk, self.esmtp(), ["EHLO x", *transaction, *transaction, "QUIT"])
        refused = "452 4.3.1 Insufficient system storage"
        self.assertEqual([refused, refused], [replies[5], replies[10]])
        self.assertEqual("221 See you later", replies[11])

    async def test_other_trouble_is_for_later(self) -> None:
        """Any other failure of the queue is a 451, and is logged."""
        self.queue.failure = RuntimeError("a defect")
        error = await self.mail(self.esmtp(), "a@y.test")
        self.assertEqual((451, b"4.3.0 Error: queue file write error"), (error.smtp_code, error.smtp_error))
        self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))

    async def test_a_looping_message_is_refused(self) -> None:
        """What is the message's own fault is a 5xx."""
        error = await self.mail(self.esmtp(), "a@y.test", message="Received: x\r\n" * 60 + "\r\n")
        self.assertEqual((554, b"5.4.0 Error: too many hops"), (error.smtp_code, error.smtp_error))

    async def test_a_large_message_is_refused(self) -> None:
        """A message over the limit is refused, and not kept."""
        error = await self.mail(self.esmtp(), "a@y.test", message="\r\n" + ("x" * 99 + "\r\n") * 10001)
        self.assertEqual(552, error.smtp_code)
        self.assertEqual([], self.queue.messages)

    async def test_relaying_is_the_policys_word(self) -> None:
        """A recipient that the policy denies is refused; the others are not."""
        port = self.esmtp(lambda client, sender, recipient: recipient == "a@y.test")
        refused = await self.mail(port, "a@y.test", "b@y.test")
        self.assertEqual({"b@y.test": (554, b"5.7.1 Relay access denied")}, refused)
        self.assertEqual([["a@y.test"]], self.queue.recipients)

    async def test_bare_line_ends_smuggle_nothing(self) -> None:
        """A second message behind a bare LF is text of the first."""
        port = self.esmtp()
        evil = b"A: 1\r\n\r\nx\n.\nMAIL FROM:<evil@x.test>\nRCPT TO:<v@y.test>\nDATA\nB: 2\n\r.\r\n."
        replies = await deferToThread(
            talk, port, ["EHLO x", "MAIL FROM:<s@x.test>", "RCPT TO:<a@y.test>", "DATA", evil, "QUIT"]
        )
        self.assertEqual("221 See you later", replies[-1])
        self.assertEqual([["a@y.test"]], self.queue.recipients)
        self.assertTrue(
            self.queue.contents[0].endswith(b"x . MAIL FROM:<evil@x.test> RCPT TO:<v@y.test> DATA B: 2  .\n")
        )

    async def test_a_lost_connection_leaves_nothing(self) -> None:
        """A message without its end is not queued."""
        port = self.esmtp()
        await deferToThread(talk, port, ["EHLO x", "MAIL FROM:<s@x.test>", "RCPT TO:<a@y.test>", "DATA"])
        self.assertEqual({}, await self.mail(port, "b@y.test"))
        self.assertEqual([["b@y.test"]], self.queue.recipients)

    async def test_a_server_with_its_own_answers(self) -> None:
        """A subclass that answers failures by itself is given the reply as an error."""
        codes: list[object] = []

        class Answering(smtp.ESMTP):
            def _messageHandled(self, results: list[tuple[bool, Any]]) -> None:
                error = results[0][1].value
                codes.append((error.code, error.resp))
                self.sendCode(error.code, error.resp)

        self.queue.failure = OSError(errno.EDQUOT, "quota")
        error = await self.mail(self.esmtp(protocol=Answering, answer_failures=False), "a@y.test")
        self.assertEqual([(452, b"4.3.1 Insufficient system storage")], codes)
        self.assertEqual(452, error.smtp_code)


class RealmTests(ServerCase):
    """The delivery as a cred avatar."""

    def portal_server(self) -> int:
        """A server that asks for a password, and lets others in where the policy does."""
        checker = InMemoryUsernamePasswordDatabaseDontUse(user=b"secret")
        delivery = QueueDelivery(self.acceptor, permit_networks([]))
        portal = Portal(QueueRealm(delivery), [checker, AllowAnonymousAccess()])
        factory = smtp.SMTPFactory(portal)
        factory.protocol = lambda: smtp.ESMTP({b"PLAIN": imap4.PLAINCredentials})
        return self.serve(factory)

    async def test_only_those_who_have_logged_in(self) -> None:
        """With an empty network list, a client relays after AUTH and not before."""
        port = self.portal_server()
        envelope = ["MAIL FROM:<s@x.test>", "RCPT TO:<a@y.test>"]
        replies = await deferToThread(talk, port, ["EHLO x", *envelope])
        self.assertEqual("554 5.7.1 Relay access denied", replies[-1])
        login = "AUTH PLAIN AHVzZXIAc2VjcmV0"
        replies = await deferToThread(talk, port, ["EHLO x", login, *envelope, "DATA", "A: 1\r\n\r\n."])
        self.assertEqual("250 Delivery in progress", replies[-1])
        self.assertEqual([["a@y.test"]], self.queue.recipients)

    def test_mail_only(self) -> None:
        """The realm has no mailboxes."""
        realm = QueueRealm(QueueDelivery(self.acceptor, permit_networks()))
        self.assertTrue(verifyObject(IRealm, realm))
        self.assertRaises(ValueError, realm.requestAvatar, b"user", None, IMailboxPOP3)
        self.assertIs(IMessageDelivery, realm.requestAvatar(b"user", None, IMessageDelivery)[0])


class DomainTests(ServerCase):
    """:class:`QueueDomain` in ``twisted.mail.mail.MailService``."""

    def service_factory(self) -> smtp.SMTPFactory:
        """The servers of a mail service whose default domain is the queue, and which lets everybody speak."""
        service = MailService()
        service.smtpPortal.registerChecker(AllowAnonymousAccess())
        service.domains.setDefaultDomain(QueueDomain(self.acceptor, permit_networks()))
        return service.getESMTPFactory()

    async def test_default_domain(self) -> None:
        """Mail for the world goes out through the service's default domain, one message for all recipients."""
        port = self.serve(self.service_factory())
        self.assertEqual({}, await self.mail(port, "a@y.test", "b@z.test"))
        self.assertEqual([["a@y.test", "b@z.test"]], self.queue.recipients)
        head, _, body = self.queue.contents[0].partition(b"\n\n")
        self.assertRegex(
            head, rb"^Received: from \S+ \(\[127\.0\.0\.1\] helo=\S+\n\tby [^\n]+\n\t\w\w\w, [^\n]+\nSubject"
        )
        self.assertEqual(b".dot\nbody\n", body)

    async def test_the_only_recipient_is_named(self) -> None:
        """The service's Received field names the recipient where there is only one."""
        await self.mail(self.serve(self.service_factory()), "a@y.test")
        self.assertIn(b"\n\tfor <a@y.test> ", self.queue.contents[0])

    async def test_failures(self) -> None:
        """There, too, trouble of ours is for later."""
        self.queue.failure = OSError(errno.ENOSPC, "full")
        error = await self.mail(self.serve(self.service_factory()), "a@y.test")
        self.assertEqual(452, error.smtp_code)


class ProviderTests(SynchronousTestCase):
    """What needs no socket."""

    def setUp(self) -> None:
        self.queue = MemoryQueue()
        self.acceptor = acceptor(self.queue, Clock())

    def user(self, protocol: object, sender: str = "s@x.test") -> smtp.User:
        """A recipient as twisted.mail's server describes it."""
        return smtp.User("a@y.test", (b"h", b"127.0.0.1"), protocol, smtp.Address(sender))

    def test_interfaces(self) -> None:
        """The providers provide what they say."""
        delivery = QueueDelivery(self.acceptor, permit_networks())
        self.assertTrue(verifyObject(IMessageDelivery, delivery))
        self.assertTrue(verifyObject(IMessageDeliveryFactory, delivery))
        self.assertTrue(verifyObject(IMessageSMTP, QueueMessage(Transaction(self.acceptor, "", None), True)))

    def test_another_kind_of_server(self) -> None:
        """Where the server is none of twisted.mail's, a failure is an error of the receiver."""

        class Server:
            transport = StringTransport()

        delivery = QueueDelivery(self.acceptor, lambda client, sender, recipient: True)
        message = delivery.validateTo(self.user(Server()))()
        message.lineReceived(b"A: 1")
        self.queue.failure = OSError(errno.ENOSPC, "full")
        error = self.failureResultOf(message.eomReceived(), smtp.SMTPServerError).value
        self.assertEqual((452, b"4.3.1 Insufficient system storage"), (error.code, error.resp))

    def test_the_queue_id(self) -> None:
        """Success carries the queue id, to every recipient's receiver."""
        transaction = Transaction(self.acceptor, "s@x.test", None)
        transaction.recipients += [Recipient("a@y.test"), Recipient("b@y.test")]
        receivers = [QueueMessage(transaction, True), QueueMessage(transaction, False)]
        for one in receivers:
            one.lineReceived(b"A: 1")
        ended = [one.eomReceived() for one in receivers]
        self.assertEqual([b"ID1", b"ID1"], [self.successResultOf(one) for one in ended])
        self.assertEqual(1, self.queue.contents[0].count(b"A: 1\n"))

    def test_an_abandoned_message(self) -> None:
        """What was received of a message whose end will not come is forgotten."""
        transaction = Transaction(self.acceptor, "s@x.test", None)
        message = QueueMessage(transaction, True)
        message.lineReceived(b"A: 1")
        message.connectionLost()
        self.assertEqual(b"", b"".join(transaction._content))

    def test_unlike_a_queue(self) -> None:
        """The submission that a transaction makes is the same as one made by hand."""
        transaction = Transaction(self.acceptor, "s@x.test", None)
        transaction.recipients.append(Recipient("a@y.test"))
        message = QueueMessage(transaction, True)
        message.lineReceived(b"A: 1")
        self.successResultOf(message.eomReceived())
        by_hand = MemoryQueue()
        self.successResultOf(acceptor(by_hand).accept(Submission("s@x.test", [Recipient("a@y.test")], b"A: 1\n")))
        self.assertEqual(by_hand.contents, self.queue.contents)
