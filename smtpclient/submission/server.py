"""
The server of ``--submission``: an ESMTP server that puts mail into the queue.

``twisted.mail.smtp.ESMTP`` gives STARTTLS, AUTH with a cred portal, and the reading of commands; what is done with a
message is ours, because there a whole transaction is one file in the queue, and because a reply must say whether to
try again: 250 only when the message is on disk, 4xx when we have trouble, 5xx when the message is at fault.

Offered: PIPELINING, SIZE, 8BITMIME, SMTPUTF8, DSN, ENHANCEDSTATUSCODES; STARTTLS where a TLS context is given; AUTH
where a portal is given, and REQUIRETLS, only inside TLS.

Promises: only CRLF ``.`` CRLF ends a message (``smtpclient.submission.data``); nothing is relayed without the
policy's word; nothing that was sent in clear text is taken for part of a TLS session; what a client may use up is
bounded (``smtpclient.submission.session``), content is on disk when it is large.

Does not: resolve clients' names, filter, offer CHUNKING, defend against the open Internet: it is for the machines and
people whose mail this is.
"""

from collections.abc import Callable, Mapping

from twisted.cred.credentials import ICredentials
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime, ISSLTransport
from twisted.internet.protocol import Protocol
from twisted.mail import smtp

from smtpclient.mail import address
from smtpclient.mail.envelope import Recipient, Utf8
from smtpclient.observe.maillog import MailLog
from smtpclient.queue.intake import IntakeError, Submission
from smtpclient.submission.acceptance import Acceptor, Refused
from smtpclient.submission.access import Policy, client_of
from smtpclient.submission.command import Mail, parse_mail, parse_rcpt
from smtpclient.submission.data import DataDecoder
from smtpclient.submission.received import ReceivedContent
from smtpclient.submission.session import Limits, Session, Sessions


class SubmissionServer(Session):
    """
    What a session is about: handing in messages.

    :param policy: who may send where.
    """

    portal: Portal | None  # type: ignore[assignment]

    def __init__(
        self,
        acceptor: Acceptor,
        policy: Policy,
        clock: IReactorTime,
        limits: Limits,
        sessions: Sessions,
        maillog: MailLog | None,
    ) -> None:
        super().__init__(clock, limits, sessions, maillog)
        self._acceptor = acceptor
        self._policy = policy
        self._said = ""  # the name behind EHLO
        self._protocol = "SMTP"
        self._mail: Mail | None = None
        self._recipients: list[Recipient] = []
        self._content = ReceivedContent()
        self._decoder = DataDecoder()
        self._refused: Refused | None = None

    # Commands without a message.

    def extensions(self) -> dict[bytes, list[bytes] | None]:
        """What EHLO offers."""
        offered: dict[bytes, list[bytes] | None] = {
            b"PIPELINING": None,
            b"SIZE": [b"%d" % self._acceptor.rules.message_size_limit],
            b"ENHANCEDSTATUSCODES": None,
            b"8BITMIME": None,
            b"DSN": None,
            b"SMTPUTF8": None,
        }
        if self.canStartTLS and not self._private:
            offered[b"STARTTLS"] = None
        if self._private:
            offered[b"REQUIRETLS"] = None
        if self.portal is not None and self._private:
            offered[b"AUTH"] = sorted(self.challengers)
        return offered

    @property
    def _private(self) -> bool:
        return bool(self.startedTLS or ISSLTransport.providedBy(self.transport))

    def do_HELO(self, rest: bytes) -> None:
        """RFC 5321 section 4.1.1.1."""
        self._hello(rest, "HELO", "SMTP", b"")

    def do_EHLO(self, rest: bytes) -> None:
        """RFC 5321 section 4.1.1.1."""
        self._hello(rest, "EHLO", "ESMTP", b"\n" + self.listExtensions())

    def _hello(self, rest: bytes, verb: str, protocol: str, offered: bytes) -> None:
        said = address.from_bytes(rest)
        if not said or not address.is_safe(said):
            raise Refused(501, f"5.5.4 Syntax: {verb} hostname")
        self.forget_message()
        self._said, self._protocol = said, protocol
        self.sendCode(250, bytes(self.host) + offered)

    def do_RSET(self, rest: bytes) -> None:
        """RFC 5321 section 4.1.1.5."""
        self._no_argument(rest, "RSET")
        self.forget_message()
        self.reply(250, "2.0.0 Ok")

    def do_NOOP(self, rest: bytes) -> None:
        """RFC 5321 section 4.1.1.9."""
        self.reply(250, "2.0.0 Ok")

    def do_VRFY(self, rest: bytes) -> None:
        """RFC 5321 section 4.1.1.6: we cannot know."""
        self.reply(252, "2.0.0 Send some mail, it will be tried")

    def do_HELP(self, rest: bytes) -> None:
        """RFC 5321 section 4.1.1.8."""
        self.reply(214, "2.0.0 See RFC 5321")

    def do_QUIT(self, rest: bytes) -> None:
        """RFC 5321 section 4.1.1.10."""
        self.end(221, "2.0.0 Bye")

    def ext_STARTTLS(self, rest: bytes) -> None:
        """RFC 3207."""
        self._no_argument(rest, "STARTTLS")
        if self.unread:
            # Sent in clear text, by whoever sits between: it would be obeyed as part of the TLS session.
            self.end(554, "5.5.1 Error: commands sent behind STARTTLS")
            return
        super().ext_STARTTLS(rest)
        self.forget_message()
        self._said = ""

    def ext_AUTH(self, rest: bytes) -> None:
        """RFC 4954."""
        if self.portal is None:
            raise Refused(503, "5.5.1 Error: authentication not enabled")
        if not self._private:
            raise Refused(538, "5.7.11 Encryption required")
        if not rest or self._mail is not None:
            raise Refused(501, "5.5.4 Syntax: AUTH mechanism, before MAIL")
        super().ext_AUTH(rest)

    def _no_argument(self, rest: bytes, verb: str) -> None:
        if rest:
            raise Refused(501, f"5.5.4 Syntax: {verb}")

    # A message.

    def do_MAIL(self, rest: bytes) -> None:
        """RFC 5321 section 4.1.1.2."""
        if self._mail is not None:
            raise Refused(503, "5.5.1 Error: nested MAIL command")
        rules = self._acceptor.rules
        mail = parse_mail(rest, rules.myorigin, private=self._private)
        if rules.message_size_limit and mail.size > rules.message_size_limit:
            raise Refused(552, "5.3.4 Message size exceeds fixed limit")
        self._mail = mail
        self.reply(250, "2.1.0 Ok")

    def do_RCPT(self, rest: bytes) -> None:
        """RFC 5321 section 4.1.1.3."""
        if self._mail is None:
            raise Refused(503, "5.5.1 Error: need MAIL command")
        if len(self._recipients) >= self.limits.recipients:
            raise Refused(452, "4.5.3 Error: too many recipients")
        recipient = parse_rcpt(rest, self._acceptor.rules.myorigin)
        client = client_of(self)
        if not self._policy(client, self._mail.sender, recipient.address):
            shown = address.external(recipient.address)
            refused = Refused(554, f"5.7.1 <{shown}>: Relay access denied")
            self.log(f"NOQUEUE: reject: RCPT from {client.name}: {refused}; {self._envelope_text(recipient)}")
            raise refused
        self._recipients.append(recipient)
        self.reply(250, "2.1.5 Ok")

    def _envelope_text(self, recipient: Recipient) -> str:
        sender = address.external(self._mail.sender) if self._mail else ""
        shown = address.external(recipient.address)
        return f"from=<{sender}> to=<{shown}> proto={self._protocol} helo=<{self._said}>"

    def do_DATA(self, rest: bytes) -> None:
        """RFC 5321 section 4.1.1.4."""
        self._no_argument(rest, "DATA")
        if self._mail is None:
            raise Refused(503, "5.5.1 Error: need MAIL command")
        if not self._recipients:
            raise Refused(554, "5.5.1 Error: no valid recipients")
        self._content = ReceivedContent(self._acceptor.rules.message_size_limit)
        self._decoder = DataDecoder()
        self.mode = smtp.DATA
        self.reply(354, "End data with <CR><LF>.<CR><LF>")

    def take_content(self, data: bytes) -> bytes:
        """Take content; once it is refused it is read to its end and forgotten."""
        block, rest = self._decoder.feed(data)
        if self._refused is None:
            try:
                self._content.write(block)
            except (IntakeError, OSError) as error:
                self._refused = self._acceptor.refusal(error)
                self._content.close()
        if rest is None:
            return b""
        self.mode = smtp.COMMAND
        self._end_of_data()
        return rest

    def _end_of_data(self) -> None:
        if self._refused is not None:
            self.reply(self._refused.code, self._refused.text)
            self.forget_message()
            return
        content, self._content = self._content, ReceivedContent()
        submission = self._submission(content)
        self.forget_message()
        self.wait()
        Deferred.fromCoroutine(self._queue(submission, content))

    def _submission(self, content: ReceivedContent) -> Submission:
        mail = self._mail or Mail("")
        protocol = self._protocol
        if protocol == "ESMTP":  # the names of RFC 3848 and RFC 6531 section 4.3
            protocol = "UTF8SMTP" if mail.utf8 & Utf8.REQUESTED else protocol
            protocol += "S" * self._private + "A" * bool(self.authenticated)
        return Submission(
            sender=mail.sender,
            recipients=tuple(self._recipients),
            content=content,
            trace=self._acceptor.trace(
                self._said, self.client, protocol, [recipient.address for recipient in self._recipients]
            ),
            encoding=mail.encoding,
            utf8=mail.utf8,
            envelope_id=mail.envelope_id,
            ret=mail.ret,
            require_tls=mail.require_tls,
            attributes={
                "log_client_name": "unknown",
                "log_client_address": self.client.address or "unknown",
                "log_client_port": str(self.client.port),
                "log_message_origin": self.client.name,
                "log_helo_name": self._said or "unknown",
                "log_protocol_name": self._protocol,
            },
        )

    async def _queue(self, submission: Submission, content: ReceivedContent) -> None:
        """Have the message queued and say how it went."""
        try:
            queue_id = await self._acceptor.accept(submission)
        except Refused as refused:
            code, text = refused.code, refused.text
        else:
            self.log(f"client={self.client.name}", queue_id)
            code, text = 250, f"2.0.0 Ok: queued as {queue_id}" if queue_id else "2.0.0 Ok: queued"
        finally:
            content.close()
        self.reply_at_last(code, text)

    def forget_message(self) -> None:
        """No message is being handed in."""
        self._mail = None
        self._recipients = []
        self._refused = None
        self._content.close()


class SubmissionFactory(smtp.SMTPFactory):
    """
    Makes a server for each connection.

    :param policy: who may send where; see ``smtpclient.submission.access``.
    :param portal: with it AUTH is offered inside TLS; its realm must give out an ``IMessageDelivery`` or a factory
        for one (``smtpclient.submission.delivery.QueueRealm`` does), which this server has no use for.
    :param challengers: AUTH mechanisms by name, as :class:`twisted.mail.smtp.ESMTP` takes them.
    :param tls: a context for STARTTLS, for instance :class:`twisted.internet.ssl.CertificateOptions`; endpoints that
        speak TLS from the start need none.
    """

    noisy = False

    def __init__(
        self,
        acceptor: Acceptor,
        policy: Policy,
        clock: IReactorTime,
        *,
        maillog: MailLog | None = None,
        limits: Limits | None = None,
        portal: Portal | None = None,
        challengers: Mapping[bytes, Callable[[], ICredentials]] | None = None,
        tls: object = None,
    ) -> None:
        super().__init__(portal)
        self.acceptor = acceptor
        self.policy = policy
        self.clock = clock
        self.maillog = maillog
        self.limits = limits or Limits()
        self.domain = acceptor.rules.myhostname.encode("ascii")
        self.sessions = Sessions()
        self._challengers = dict(challengers or {})
        self._tls = tls

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """Make one server."""
        server = SubmissionServer(self.acceptor, self.policy, self.clock, self.limits, self.sessions, self.maillog)
        server.factory = self
        server.host = self.domain
        server.portal = self.portal
        server.challengers = self._challengers
        server.ctx = self._tls
        return server

    def stopFactory(self) -> None:
        """Nobody listens any more: end the sessions, each after the message it is about to queue."""
        self.sessions.shut_down()

    async def drain(self) -> None:
        """
        End the sessions, and return when they have ended.

        For who stops the queue too: a client that is not told that its message was queued hands it in again.
        """
        self.sessions.shut_down()
        await self.sessions.all_ended()
