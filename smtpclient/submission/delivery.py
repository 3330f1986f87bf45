"""
Providers for servers made with twisted.mail: they put what such a server receives into the queue.

* :class:`QueueDelivery` is an ``IMessageDelivery`` and an ``IMessageDeliveryFactory``: set it as a server's
  ``deliveryFactory`` or ``delivery``, or hand it out as the avatar of a cred portal (:class:`QueueRealm`).
* ``smtpclient.submission.domain`` has the ``IDomain`` for a ``MailService``.
* ``smtpclient.submission.server`` is a whole server.

Such a server makes one message receiver for each recipient. Here all receivers of one mail transaction share one
submission: the first stores what it hears, the others only wait, and the queue gets one file with all recipients.
They are told to belong together by the sender's ``Address`` object, which the server makes anew for each MAIL.

A server of twisted.mail answers 550 whatever the reason why a receiver could not store its message, and a full disk
would make every client return its mail. So where the queue does not take a message, the receiver itself sends the reply
(451, 452, 552 ...) through the server's ``sendCode``, and leaves the server waiting for an end that it need not hear
of. A subclass that answers by its own lights sets ``answer_failures = False`` and gets an ``SMTPServerError`` with
the code in it.

Promises: success is reported when the queue has the message on disk; a connection that is lost leaves nothing.

Known limits, all of ``twisted.mail.smtp``: ESMTP parameters do not reach a provider, so DSN wishes and BODY are lost;
a line over 16384 bytes ends the transaction, and what follows it is taken for commands; where a server delivers one
transaction to other receivers too, our 4xx makes the client repeat it for them as well. The server of this package has
none of these limits.
"""

import re
from collections.abc import Callable
from email.utils import formatdate
from itertools import chain
from weakref import WeakKeyDictionary

from twisted.cred.portal import IRealm
from twisted.internet.defer import Deferred
from twisted.mail import smtp
from twisted.mail.interfaces import IMessageDelivery, IMessageDeliveryFactory, IMessageSMTP
from zope.interface import Interface, implementer

from smtpclient.mail import address
from smtpclient.mail.envelope import Recipient
from smtpclient.queue.intake import IntakeError, Submission
from smtpclient.submission.acceptance import Acceptor, Refused
from smtpclient.submission.access import Client, Policy, client_of
from smtpclient.submission.received import ReceivedContent

_STRAY_LINE_END = re.compile(rb"[\r\n]")
_FOLD = re.compile(rb"\r?\n(?=[ \t])")
_FOR_WHOM = re.compile(rb"(\n[ \t]+)for <[^>\n]*>;? *")


def internal_form(given: smtp.Address) -> str:
    """An address of twisted.mail as queue files hold it."""
    return address.internal(address.from_bytes(bytes(given)))


class Transaction:
    """
    What one mail transaction puts into the queue: recipients, content, and who waits for the end.

    :param server: the connection's protocol, for the reply when the queue does not take the message; None: there is
        none that could be used.
    """

    def __init__(self, acceptor: Acceptor, sender: str, server: smtp.SMTP | None) -> None:
        self.recipients: list[Recipient] = []
        self._acceptor = acceptor
        self._sender = sender
        self._server = server
        self._content = ReceivedContent(acceptor.rules.message_size_limit)
        self._received = b""
        self._waiting: list[Deferred[bytes]] = []

    def add_line(self, line: bytes) -> None:
        """
        Store one line.

        :raises SMTPServerError: when it cannot be stored; the server then sends that reply when the content ends.
        """
        if self._content.size == 0 and not self._received and line.startswith(b"Received:"):
            # The server's own field is one "line" with its continuation lines in it.
            self._received = b"".join(_STRAY_LINE_END.sub(b" ", part) + b"\n" for part in _FOLD.split(line))
            return
        try:
            self._content.write(_STRAY_LINE_END.sub(b" ", line) + b"\n")
        except (IntakeError, OSError) as error:
            refused = self._acceptor.refusal(error)
            raise smtp.SMTPServerError(refused.code, refused.text.encode("ascii")) from error

    def end(self) -> "Deferred[bytes]":
        """One more recipient's receiver has heard the end; the last one starts the work."""
        waiting: Deferred[bytes] = Deferred()
        self._waiting.append(waiting)
        if len(self._waiting) == len(self.recipients):
            Deferred.fromCoroutine(self._queue())
        return waiting

    def abandon(self) -> None:
        """The content will not come."""
        self._content.close()

    async def _queue(self) -> None:
        received = self._received
        if len(self.recipients) > 1:
            # It was written for the first recipient; the others are not to know of that one.
            received = _FOR_WHOM.sub(rb"\1", received, count=1)
        submission = Submission(self._sender, self.recipients, chain([received], self._content))
        try:
            queue_id = await self._acceptor.accept(submission)
        except Refused as refused:
            self._refuse(refused)
        else:
            for waiting in self._waiting:
                waiting.callback(queue_id.encode("ascii"))
        finally:
            self._content.close()

    def _refuse(self, refused: Refused) -> None:
        text = refused.text.encode("ascii")
        if self._server is not None:
            self._server.sendCode(refused.code, text)
            return
        for waiting in self._waiting:
            waiting.errback(smtp.SMTPServerError(refused.code, text))


@implementer(IMessageSMTP)
class QueueMessage:
    """The receiver for one recipient of a transaction; the first one stores for all."""

    def __init__(self, transaction: Transaction, stores: bool) -> None:
        self._transaction = transaction
        self._stores = stores

    def lineReceived(self, line: bytes) -> None:
        """
        Take one line, without its end.

        :raises SMTPServerError: when it cannot be stored.
        """
        if self._stores:
            self._transaction.add_line(line)

    def eomReceived(self) -> "Deferred[bytes]":
        """The content is complete; fires with the queue id when the message is on disk."""
        return self._transaction.end()

    def connectionLost(self) -> None:
        """The content will not come."""
        self._transaction.abandon()


class Transactions:
    """
    The transactions that servers are in, and the receivers for their recipients.

    :ivar answer_failures: send the reply when the queue does not take a message; see the module's text.
    """

    def __init__(self, acceptor: Acceptor, policy: Policy, answer_failures: bool = True) -> None:
        self._acceptor = acceptor
        self._policy = policy
        self._answer_failures = answer_failures
        self._running: WeakKeyDictionary[smtp.Address, Transaction] = WeakKeyDictionary()

    def receiver(self, user: smtp.User) -> Callable[[], QueueMessage]:
        """
        What makes the receiver for a recipient once the content comes.

        :raises SMTPBadRcpt: when the policy does not let this client send there.
        """
        sender, wanted = internal_form(user.orig), internal_form(user.dest)
        if not self._policy(client_of(user.protocol), sender, wanted):
            raise smtp.SMTPBadRcpt(user, 554, "5.7.1 Relay access denied")
        return lambda: self._join(user, sender, wanted)

    def _join(self, user: smtp.User, sender: str, wanted: str) -> QueueMessage:
        transaction = self._running.get(user.orig)
        first = transaction is None
        if transaction is None:
            answering = self._answer_failures and isinstance(user.protocol, smtp.SMTP)
            transaction = Transaction(self._acceptor, sender, user.protocol if answering else None)
            self._running[user.orig] = transaction
        transaction.recipients.append(Recipient(wanted))
        return QueueMessage(transaction, first)


@implementer(IMessageDelivery, IMessageDeliveryFactory)
class QueueDelivery:
    """
    Puts a server's messages into the queue.

    :param policy: who may send where; see ``smtpclient.submission.access``.
    """

    def __init__(self, acceptor: Acceptor, policy: Policy, *, answer_failures: bool = True) -> None:
        self._acceptor = acceptor
        self._transactions = Transactions(acceptor, policy, answer_failures)

    def getMessageDelivery(self) -> "QueueDelivery":
        """The same for every message: transactions are kept apart without help."""
        return self

    def validateFrom(self, helo: tuple[bytes, bytes], origin: smtp.Address) -> smtp.Address:
        """Every sender is taken; who may send is asked for each recipient."""
        return origin

    def validateTo(self, user: smtp.User) -> Callable[[], QueueMessage]:
        """
        Take a recipient.

        :raises SMTPBadRcpt: when this client may not send there.
        """
        return self._transactions.receiver(user)

    def receivedHeader(self, helo: tuple[bytes, bytes], origin: smtp.Address, recipients: list[smtp.User]) -> bytes:
        """The Received field; it names no recipient, for it is the same for all of them."""
        name, peer = (address.from_bytes(part or b"") for part in helo)
        trace = self._acceptor.trace(name, Client(peer), "ESMTP")
        return f"Received: {trace};\n\t{formatdate(self._acceptor.now(), localtime=True)}".encode("ascii", "replace")


@implementer(IRealm)
class QueueRealm:
    """
    A cred realm in which whoever has logged in may send anywhere.

    Anonymous ones may do what the policy lets them: it sees who has logged in.
    """

    def __init__(self, delivery: QueueDelivery) -> None:
        self._delivery = delivery

    def requestAvatar(
        self, avatarId: bytes | tuple[()], mind: object, *interfaces: type[Interface]
    ) -> tuple[type[Interface], object, Callable[[], None]]:
        """
        A delivery for a client.

        :raises ValueError: when something else than the delivery of mail is asked for.
        """
        for wanted in (IMessageDeliveryFactory, IMessageDelivery):
            if wanted in interfaces:
                return wanted, self._delivery, lambda: None
        raise ValueError("this realm delivers mail only")
