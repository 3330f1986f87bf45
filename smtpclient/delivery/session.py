"""
A session: a channel that has been introduced, and what has been done with it.

:class:`Session` carries transactions one after the other, and ends with QUIT. What it says of itself (peer,
capabilities, number of messages) goes into outcomes.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import cast

from smtpclient.delivery.following import Turn
from smtpclient.interfaces import IMessageContent
from smtpclient.mail.envelope import Envelope, Recipient
from smtpclient.mail.outcome import Peer
from smtpclient.mail.request import DeliveryRequest
from smtpclient.observe.trace import Transcript
from smtpclient.smtp import command, limits, verdict
from smtpclient.smtp.capability import Capabilities
from smtpclient.smtp.channel import Channel, SessionOver
from smtpclient.smtp.chunking import ChunkedTransaction
from smtpclient.smtp.order import Order
from smtpclient.smtp.probe import ProbeTransaction
from smtpclient.smtp.reply import Reply
from smtpclient.smtp.settings import DialogueSettings, Grouping
from smtpclient.smtp.transaction import Transaction
from smtpclient.smtp.verdict import Stage, Verdict
from smtpclient.tls.handshake import Securing
from smtpclient.tls.policy import FROM_FALLBACK


class Session:
    """
    One introduced connection.

    :param opened: when it was made, seconds since the epoch.
    :param transcript: the dialogue so far, where a postmaster may want to see it.
    :param securing: TLS with the server, whether it came about or not; None: there was no thought of it.
    :ivar delay_dot: a pause before the end of each message, for the firewall before the server; None: none.
    :ivar uses: how many messages it has carried.
    """

    def __init__(
        self,
        channel: Channel,
        settings: DialogueSettings,
        peer: Peer,
        capabilities: Capabilities,
        opened: float,
        transcript: Transcript | None = None,
        securing: Securing | None = None,
    ) -> None:
        self.channel = channel
        self.peer = peer
        self.capabilities = capabilities
        self.opened = opened
        self.transcript = transcript
        self.uses = 0
        self._mails = 0
        in_chunks = settings.use_bdat and not settings.lmtp and "CHUNKING" in capabilities
        self._kind = ChunkedTransaction if in_chunks else Transaction
        self._limits = limits.parse(capabilities.keywords.get("LIMITS", ""))
        self.delay_dot: Callable[[], Awaitable[None]] | None = None
        self._errors: dict[str, None] = {}
        self._settings = settings
        self._securing = securing
        self._behind: Turn | None = None
        self._order = Order() if settings.pipeline_messages is Grouping.DISTINCT else None
        self._learn = self._learnt if self._order is not None else None

    @property
    def tls(self) -> str:
        """Protocol and cipher; empty in clear text."""
        return self._securing.summary if self._securing is not None else ""

    @property
    def is_final(self) -> bool:
        """Whether the server is taken for one that has mailboxes (``lmtp_assume_final``)."""
        return self._settings.assume_final and "DSN" not in self.capabilities

    @property
    def is_verified(self) -> bool:
        """Whether the server has shown in TLS who it is, and somebody vouches for the list on which it stands."""
        return bool(self.tls) and self._securing is not None and self._securing.is_verified

    @property
    def is_spent(self) -> bool:
        """Whether the server takes no further transaction (MAILMAX)."""
        return bool(self._limits.mails) and self._mails >= self._limits.mails

    @property
    def may_be_shared(self) -> bool:
        """Whether the session may carry a further message, as far as TLS goes (``smtp_tls_connection_reuse``)."""
        if self._securing is None:
            return True
        policy = self._securing.policy
        return policy.reuse if self.tls else policy.source != FROM_FALLBACK

    @property
    def may_be_followed(self) -> bool:
        """Whether the next message may begin with the end of one (``following``)."""
        if not self.capabilities.pipelining or self._settings.lmtp or self._settings.send_xforward:
            return False
        if self._learn is not None:
            return False  # what its yes to a message looks like is yet to be seen
        # What is recorded, waited for or shared out is easier to understand one by one.
        is_watched = self.transcript is not None or self.channel.trace is not None
        limits = self._limits
        return not (is_watched or self.delay_dot is not None or limits.recipients or limits.domains)

    @property
    def is_followed(self) -> bool:
        """Whether the next message has begun already: the session is its own as soon as this one is over."""
        return self._behind is not None

    def hand_on(self) -> None:
        """The message is over and settled: let the one behind it begin, if there is one."""
        behind, self._behind = self._behind, None
        if behind is not None:
            behind.come()
            if behind.transaction is not None:
                # It was broken off before it began. The server has its envelope, and nobody else has the session.
                self.channel.abort()

    async def transact(
        self,
        envelope: Envelope,
        recipients: Sequence[Recipient],
        content: IMessageContent,
        waited: float = 0.0,
        follow: Callable[[], bytes] | None = None,
    ) -> Transaction:
        """
        Carry one message; the verdicts are in what is returned.

        :param waited: how long it has been in the queue, seconds.
        :param follow: lets the next message :meth:`stand_behind` this one, and gives what that has to say;
            :meth:`hand_on` is to be called in the end. None: nobody is to follow.
        :raises CorruptQueueFile: when the content is no content.
        """
        self._begin()
        shares = self._limits.shares(recipients)
        if len(shares) == 1:
            transaction = self._transaction(envelope, recipients, content, waited)
            if follow is not None and self.may_be_followed:
                transaction.follow, transaction.believes = follow, self._believes
            await transaction.run()
            return self._note(transaction)
        return await self._carry_in_shares(envelope, recipients, content, waited, shares)

    async def _carry_in_shares(
        self,
        envelope: Envelope,
        recipients: Sequence[Recipient],
        content: IMessageContent,
        waited: float,
        shares: Sequence[Sequence[int]],
    ) -> Transaction:
        """One transaction after the other; what is returned is the last one, with the verdicts of all."""
        verdicts: dict[int, Verdict] = {}
        for share in shares:
            whom = [recipients[index] for index in share]
            transaction = self._transaction(envelope, whom, content, waited)
            await transaction.run()
            self._note(transaction)
            # What has been sent must not be sent again because a later share found the session stale.
            transaction.stale = transaction.stale and not verdicts
            verdicts.update({share[index]: fate for index, fate in transaction.verdicts.items()})
            if not transaction.reusable or self.channel.over or self.is_spent:
                break
            if transaction.needs_reset and len(verdicts) < len(recipients):
                if not await self.reset():
                    break
                transaction.needs_reset = False
        for index in range(len(recipients)):
            verdicts.setdefault(index, verdict.not_reached(self.peer))
        transaction.verdicts = verdicts
        return transaction

    async def transact_behind(
        self,
        turn: Turn,
        follow: Callable[[], bytes] | None = None,
    ) -> Transaction:
        """
        Carry the message that has stood behind another one, which is over, as :meth:`transact` does.

        :param turn: of this one.
        """
        transaction = turn.begun()
        self._begin()
        if follow is not None:
            transaction.follow, transaction.believes = follow, self._believes
        await transaction.run()
        return self._note(transaction)

    def stand_behind(self, turn: Turn, request: DeliveryRequest, begin: Callable[[], None]) -> None:
        """Have a message begin behind the one under way, in its turn."""
        turn.take(self._transaction(request.envelope, request.recipients, request.content, 0.0), begin)
        self._behind = turn

    def _believes(self, reply: Reply) -> bool:
        """Whether a reply is to a message, and not to the envelope that went out behind it."""
        behind, order = self._behind, self._order
        return behind is None or order is None or order.believes(behind.is_orderly, reply)

    def _learnt(self, stage: Stage, reply: Reply) -> None:
        """Take note of what a yes looks like, until it is known."""
        order = cast(Order, self._order)
        if stage is Stage.DOT:
            order.to_message(reply)
            self._learn = None if order.is_told else self._learn
        else:
            order.to_envelope(reply)

    def _transaction(
        self, envelope: Envelope, recipients: Sequence[Recipient], content: IMessageContent, waited: float
    ) -> Transaction:
        self._mails += 1
        kind = ProbeTransaction if envelope.is_probe else self._kind
        transaction = kind(self.channel, self._settings, self.peer, self.capabilities, envelope, recipients, content)
        transaction.learn = self._learn
        if self.delay_dot is not None and waited >= self._settings.pix.threshold:
            transaction.delay_dot = self.delay_dot
        return transaction

    def _note(self, transaction: Transaction) -> Transaction:
        """Remember what a transaction says about the dialogue."""
        for fate in transaction.verdicts.values():
            if fate.error_class:
                self.note(fate)
        return transaction

    def _begin(self) -> None:
        """Count a message, and forget what went wrong with the one before: it is not about this one."""
        if self.uses:
            self._errors.clear()
            self.channel.garbage = 0
            if self.transcript is not None:
                self.transcript.lines.clear()
        self.uses += 1

    def note(self, fate: Verdict) -> None:
        """Remember what a verdict says about the dialogue, until the next message."""
        if fate.error_class:
            self._errors[fate.error_class] = None

    @property
    def error_classes(self) -> tuple[str, ...]:
        """Of what classes of ``notify_classes`` this message's dialogue, or the introduction, was."""
        if not self.channel.garbage:
            return tuple(self._errors)
        return ("protocol", *(name for name in self._errors if name != "protocol"))

    async def reset(self) -> bool:
        """Undo a transaction that came to nothing (RSET); false when the session is of no more use."""
        self.channel.command(command.RSET)
        try:
            reply = await self.channel.reply(self._settings.rset)
        except SessionOver:
            return False
        return reply.category == 2

    async def quit(self, *, patient: bool = True) -> None:
        """
        Say QUIT and close.

        :param patient: wait for the reply, unless ``smtp_skip_quit_response`` says not to.
        """
        if self.channel.over:
            return
        if self._securing is not None:
            self._securing.finished(self.channel)
        if not patient or self._settings.skip_quit_response:
            self.channel.close(command.QUIT)
            return
        self.channel.command(command.QUIT)
        try:
            await self.channel.reply(self._settings.quit)
        except SessionOver:
            return
        self.channel.close()
