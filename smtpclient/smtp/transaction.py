"""
One mail transaction: MAIL, RCPT for each recipient, DATA, content, dot.

:class:`Transaction` is the dialogue as straight-line code over a channel. It gives every recipient a
:class:`~smtpclient.smtp.verdict.Verdict` and leaves the session ready for the next transaction, or says that it is
not (``Transaction.reusable``).

With PIPELINING (RFC 2920) the commands up to DATA go out in one segment and the replies are read afterwards; without,
each is answered before the next is sent. The difference is one ``if``.

Promises:

* content is sent only after a 354 and only when at least one recipient was accepted. Where a pipelined DATA gets
  its 354 although no recipient stands, an empty message ends it (RFC 2920 section 3.1), and whatever the server
  says to that counts for nobody;
* a server that answers in the middle of the content has decided, whether it hangs up then or not: the rest and the dot
  are not sent, so that its 4xx or 5xx is the whole truth. A 2xx there is no promise, and counts as none;
* in LMTP each recipient that was accepted has a reply of its own after the dot (RFC 2033 section 4.2);
* after the final dot, a connection that ends without a reply leaves doubt, and the verdict says so;
* what the configuration changes of a message (``smtpclient.smtp.content_changes``) is seen by the server only. A
  message that cannot be changed as it should be is not sent to its end.

Does not: open, close or choose connections; know queue files.

Known limits: where a server answers in the middle of the content and closes in the same instant, the failed write may
be seen before the reply; the verdict is then that of a lost connection.
"""

from collections.abc import Awaitable, Callable, Sequence

from smtpclient.interfaces import IContentReader, IMessageContent
from smtpclient.mail import shortage
from smtpclient.mail.envelope import Envelope, Recipient, Utf8
from smtpclient.mail.lines import Lines
from smtpclient.mail.outcome import Peer
from smtpclient.smtp import command, verdict, xforward
from smtpclient.smtp.capability import Capabilities
from smtpclient.smtp.channel import Channel, SessionOver
from smtpclient.smtp.content import END, WireEncoder
from smtpclient.smtp.content_changes import ChangingReader, Unsendable
from smtpclient.smtp.reply import Reply
from smtpclient.smtp.settings import DialogueSettings
from smtpclient.smtp.verdict import Stage, Verdict


class UnreadableContent(Exception):
    """The content cannot be read now; the server must not take what was sent of it for the whole."""


class Transaction:
    """
    One message to some recipients over one session.

    :ivar verdicts: index of each recipient to its verdict, filled as they fall.
    :ivar follow: asked for what the next message has to say, which goes out behind the end of this one (RFC 2920
        section 3.1); None: nothing does.
    :ivar learn: told of each yes, and of what stage it is; None: nobody wants to know.
    :ivar believes: asked whether a reply is that to this message, where another one may have begun behind it; None:
        it is, for replies come in order (RFC 2920 section 3.2).
    :ivar delay_dot: waits before the end of the content is sent; None: it goes out with the rest.
    :ivar reusable: the session can carry another message; if ``needs_reset``, after RSET.
    :ivar stale: the session ended before this message mattered to the server: there was no answer to MAIL, or a 421.
    """

    follow: Callable[[], bytes] | None = None
    learn: Callable[[Stage, Reply], None] | None = None
    believes: Callable[[Reply], bool] | None = None
    delay_dot: Callable[[], Awaitable[None]] | None = None
    stage = Stage.MAIL
    reusable = False
    needs_reset = False
    stale = False

    _commands: tuple[bytes, list[tuple[int, bytes]]] | None = None
    _is_open = False

    def __init__(
        self,
        channel: Channel,
        settings: DialogueSettings,
        peer: Peer,
        capabilities: Capabilities,
        envelope: Envelope,
        recipients: Sequence[Recipient],
        content: IMessageContent,
    ) -> None:
        self._channel = channel
        self._settings = settings
        self._peer = peer
        self._capabilities = capabilities
        self._envelope = envelope
        self._recipients = recipients
        self._content = content
        self._changes = None if settings.changes.leaves_alone(capabilities) else settings.changes
        self._accepted: list[int] = []
        self.verdicts: dict[int, Verdict] = {}

    @property
    def fate(self) -> Verdict:
        """The verdict that fell first."""
        return next(iter(self.verdicts.values()))

    def open(self) -> bytes:
        """
        What is to be sent before :meth:`run`, behind another message: the envelope, or nothing.

        Only with PIPELINING, and with no other kind of transaction.
        """
        mail, rcpts = self._commands = self._envelope_commands()
        self._is_open = bool(rcpts)
        return b"".join([mail, *[line for _, line in rcpts], command.DATA]) if rcpts else b""

    async def run(self) -> None:
        """
        Give every recipient its verdict; never raises for what a server does.

        :raises CorruptQueueFile: when the content is no content; the connection is gone then, and there may be
            recipients without a verdict.
        """
        try:
            mail, rcpts = self._commands or self._envelope_commands()
            if not rcpts:
                self.reusable = True
                return
            self.reusable = await self._dialogue(mail, rcpts)
        except SessionOver as why:
            if self.stage is Stage.MAIL and len(self.verdicts) < len(self._recipients):
                self.stale = True
            self._fail_rest(verdict.over(self._peer, why, self.stage))
        except UnreadableContent as why:
            self._channel.abort()
            is_shortage = why.__cause__ is not None and shortage.is_one(why.__cause__)
            self._fail_rest(verdict.local_data(self._peer, str(why), shortage=is_shortage))
        except Unsendable as why:
            # Nothing but the end of the connection takes back what was sent of it.
            self._channel.abort()
            self._fail_rest(verdict.unsendable(why.status, str(why)))
        except BaseException:
            self._channel.abort()
            raise

    def _envelope_commands(self) -> tuple[bytes, list[tuple[int, bytes]]]:
        """MAIL and each RCPT; an address that cannot be a command gets its verdict here."""
        envelope, addressed, capabilities = self._envelope, self._recipients, self._capabilities
        settings, changes = self._settings, self._changes
        quote, dummy_auth = settings.quote_envelope, settings.dummy_mail_auth
        try:
            if changes is not None:
                envelope, addressed = changes.announced(envelope, capabilities), changes.addressed(addressed)
            mail = command.mail_from(envelope, capabilities, addressed, quote=quote, dummy_auth=dummy_auth)
        except Unsendable as why:
            self._fail_rest(verdict.unsendable(why.status, str(why)))
            return b"", []
        except command.UnsafeArgument:
            self._fail_rest(verdict.unsafe_address(envelope.sender))
            return b"", []
        rcpts = []
        utf8 = bool(envelope.utf8) and Utf8.REQUESTED in envelope.utf8
        for index, recipient in enumerate(addressed):
            given = self._recipients[index]
            original = "" if given is recipient else given.original or given.address
            try:
                line = command.rcpt_to(recipient, capabilities, quote=quote, original=original, utf8=utf8)
            except command.UnsafeArgument:
                self.verdicts[index] = verdict.unsafe_address(recipient.address)
            else:
                rcpts.append((index, line))
        return mail, rcpts

    async def _dialogue(self, mail: bytes, rcpts: list[tuple[int, bytes]]) -> bool:
        """The transaction itself; true when the session can carry another one."""
        channel, settings, pipelined = self._channel, self._settings, self._capabilities.pipelining
        origin = xforward.commands(self._envelope, self._capabilities) if settings.send_xforward else []
        if pipelined and not self._is_open:
            self._send_envelope(b"".join([*origin, mail, *[line for _, line in rcpts]]))
        for line in origin:
            if not pipelined:
                channel.command(line)
            # It is for the server to know; that it does not want to is no reason to keep the mail.
            await channel.reply(settings.xforward)
        if not pipelined:
            channel.command(mail)
        is_taken = self._mail(channel.at_hand() or await channel.reply(settings.mail))
        for index, line in rcpts if is_taken or pipelined else ():
            if not pipelined:
                channel.command(line)
            self._rcpt(index, channel.at_hand() or await channel.reply(settings.rcpt))
        if not self._accepted and not pipelined:
            self.needs_reset = True
            return True
        return await self._transfer()

    def _send_envelope(self, lines: bytes) -> None:
        """Send a pipelined envelope, with as much behind it as can be said before the server has answered."""
        self._channel.command(lines + command.DATA)

    async def _transfer(self) -> bool:
        """What follows the envelope's replies; with PIPELINING it may be that no recipient was accepted."""
        channel, settings = self._channel, self._settings
        self.stage = Stage.DATA
        if not self._capabilities.pipelining:
            channel.command(command.DATA)
        go_ahead = channel.at_hand() or await channel.reply(settings.data_init)
        if go_ahead.category != 3:
            self.needs_reset = True
            self._fail_rest(verdict.said(self._peer, go_ahead, self.stage))
            return True
        if not self._accepted:
            return await self._empty_message()
        self.stage = Stage.CONTENT
        if not await self._send_content():
            self._break_off(await channel.reply(settings.data_done))
            return False
        self.stage = Stage.DOT
        if settings.lmtp:
            for index in self._accepted:
                self.verdicts[index] = self._fate(await channel.reply(settings.data_done))
        else:
            self._conclude(await channel.reply(settings.data_done))
        return True

    def _mail(self, reply: Reply) -> bool:
        """Take the reply to MAIL; whether it is a yes."""
        if reply.category == 2:
            if self.learn is not None:
                self.learn(Stage.MAIL, reply)
            self.stage = Stage.RCPT
            return True
        # Behind another message MAIL may have come too early for the server.
        self.stale = reply.code == 421 or self._is_open
        self._fail_rest(verdict.said(self._peer, reply, Stage.MAIL))
        return False

    def _rcpt(self, index: int, reply: Reply) -> None:
        """Take the reply to a RCPT."""
        if index in self.verdicts:
            return  # MAIL was refused; the reply only keeps us in step
        if reply.category == 2:
            if self.learn is not None:
                self.learn(Stage.RCPT, reply)
            self._accept(index, reply)
        else:
            self.verdicts[index] = verdict.said(self._peer, reply, Stage.RCPT)

    def _accept(self, index: int, _reply: Reply) -> None:
        """The server takes mail for a recipient."""
        self._accepted.append(index)

    async def _empty_message(self) -> bool:
        self.stage = Stage.DOT
        if self._channel.trace is not None:
            self._channel.trace.sent(".")
        self._channel.write(END)
        if self._settings.lmtp:
            # One reply for each recipient is none here; and if there is one, the reply to RSET will not be in step.
            self.needs_reset = True
        else:
            await self._channel.reply(self._settings.data_done)
        return True

    async def _send_content(self) -> bool:
        """Send it to the end; false when the server has answered before that."""
        channel, limit = self._channel, self._settings.data_xfer
        encoder = WireEncoder(self._settings.line_length_limit)
        reader = self._open()
        channel.begin_content()
        try:
            block = await read_block(reader)
            while not channel.has_reply:
                following = await read_block(reader) if block and not is_over(reader) else b""
                wire = encoder.feed(block)
                if following:
                    await channel.content(wire, limit)
                    block = following
                    continue
                end = encoder.finish()
                if self.delay_dot is not None:
                    await channel.content(wire, limit)
                    await self.delay_dot()
                    if self._is_answered():
                        return False
                    wire = b""
                elif self.follow is not None:
                    end += self.follow()
                # The last block and the dot in one segment: two small writes would wait for an acknowledgement.
                await channel.content(wire + end, limit)
                if channel.full:
                    return False  # the dot has not left us: what has been answered was not the dot
                if channel.trace is not None:
                    channel.trace.sent(".")
                return True
            return False
        except SessionOver:
            if not channel.has_reply:
                raise
            return False
        finally:
            reader.close()
            channel.end_content()

    def _is_answered(self) -> bool:
        return self._channel.has_reply

    def _open(self) -> IContentReader:
        try:
            reader: IContentReader = self._content.open()
        except OSError as why:
            raise UnreadableContent(str(why)) from why
        if self._changes is None:
            return reader
        changes = self._changes.content_filter(self._envelope, self._capabilities)
        return reader if changes is None else ChangingReader(reader, changes)

    def _conclude(self, reply: Reply) -> None:
        """Take the reply to the final dot, which decides for all recipients that were accepted."""
        if self.believes is not None and not self.believes(reply):
            self._channel.break_off(f"answered out of order, it seems ({reply.one_line})")
        if self.learn is not None and reply.category == 2:
            self.learn(Stage.DOT, reply)
        self._fail_rest(self._fate(reply))

    def _break_off(self, reply: Reply) -> None:
        """Take a reply that has come before the end of the content."""
        self._channel.abort()
        is_refusal = reply.category in (4, 5)
        self._fail_rest(
            verdict.said(self._peer, reply, Stage.DOT) if is_refusal else verdict.premature(self._peer, reply)
        )

    def _fate(self, reply: Reply) -> Verdict:
        return verdict.sent(reply) if reply.category == 2 else verdict.said(self._peer, reply, Stage.DOT)

    def _fail_rest(self, fate: Verdict) -> None:
        """Give the same verdict to every recipient that has none."""
        for index in range(len(self._recipients)):
            self.verdicts.setdefault(index, fate)


def is_over(reader: IContentReader) -> bool:
    """Whether a reader knows that nothing will come any more: most messages are one block, and asking costs a step."""
    return getattr(reader, "at_end", False)


async def read_block(reader: IContentReader) -> bytes | Lines:
    """
    The next block of content; as lines for the wire, from who has them.

    :raises UnreadableContent: when the file cannot be read.
    """
    next_lines: Callable[[], Awaitable[bytes | Lines]] | None = getattr(reader, "next_lines", None)
    try:
        return await (reader.next_block() if next_lines is None else next_lines())
    except OSError as why:
        raise UnreadableContent(str(why)) from why
