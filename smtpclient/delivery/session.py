"""
A session: a channel that has been introduced, and what has been done with it.

:class:`Session` carries transactions one after the other, and ends with QUIT. What it says of itself (peer,
capabilities, number of messages) goes into outcomes.
"""

from collections.abc import Awaitable, Callable, Sequence

from smtpclient.interfaces import IMessageContent
from smtpclient.mail.envelope import Envelope, Recipient
from smtpclient.mail.outcome import Peer
from smtpclient.observe.trace import Transcript
from smtpclient.smtp import command, limits, verdict
from smtpclient.smtp.capability import Capabilities
from smtpclient.smtp.channel import Channel, SessionOver
from smtpclient.smtp.chunking import ChunkedTransaction
from smtpclient.smtp.settings import DialogueSettings
from smtpclient.smtp.transaction import Transaction
from smtpclient.smtp.verdict import Verdict
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
        self._limits = limits.parse(capabilities.keywords.get("LIMITS", ""))
        self.delay_dot: Callable[[], Awaitable[None]] | None = None
        self._errors: dict[str, None] = {}
        self._settings = settings
        self._securing = securing

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

    async def transact(
        self, envelope: Envelope, recipients: Sequence[Recipient], content: IMessageContent, waited: float = 0.0
    ) -> Transaction:
        """
        Carry one message; the verdicts are in what is returned.

        :param waited: how long it has been in the queue, seconds.
        :raises CorruptQueueFile: when the content is no content.
        """
        if self.uses:
            self._forget()
        self.uses += 1
        shares = self._limits.shares(recipients)
        if len(shares) == 1:
            return await self._carry(envelope, recipients, content, waited)
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
            transaction = await self._carry(envelope, [recipients[index] for index in share], content, waited)
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

    async def _carry(
        self, envelope: Envelope, recipients: Sequence[Recipient], content: IMessageContent, waited: float
    ) -> Transaction:
        self._mails += 1
        in_chunks = self._settings.use_bdat and not self._settings.lmtp and "CHUNKING" in self.capabilities
        transaction = (ChunkedTransaction if in_chunks else Transaction)(
            self.channel, self._settings, self.peer, self.capabilities, envelope, recipients, content
        )
        if self.delay_dot is not None and waited >= self._settings.pix.threshold:
            transaction.delay_dot = self.delay_dot
        await transaction.run()
        for fate in transaction.verdicts.values():
            self.note(fate)
        return transaction

    def _forget(self) -> None:
        """What went wrong with an earlier message, and was said for it, is not about the next one."""
        self._errors.clear()
        self.channel.garbage = 0
        if self.transcript is not None:
            self.transcript.lines.clear()

    def note(self, fate: Verdict) -> None:
        """Remember what a verdict says about the dialogue, until the next message."""
        if fate.error_class:
            self._errors[fate.error_class] = None

    @property
    def error_classes(self) -> tuple[str, ...]:
        """Of what classes of ``notify_classes`` this message's dialogue, or the introduction, was."""
        found = dict.fromkeys(["protocol"]) if self.channel.garbage else {}
        return (*{**found, **self._errors},)

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
        self.channel.command(command.QUIT)
        if patient and not self._settings.skip_quit_response:
            try:
                await self.channel.reply(self._settings.quit)
            except SessionOver:
                return
        self.channel.close()
