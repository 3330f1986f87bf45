"""
The beginning of a session: greeting, then EHLO, then HELO where EHLO is not known, then STARTTLS and all of it again.
In LMTP it is LHLO, or nothing.

:class:`Introduction` is the text of RFC 5321 sections 3.1 and 4.1.4 and of RFC 3207 as a coroutine. It ends with the
server's capabilities, or raises :class:`Refused` with the verdict; a connection that dies raises ``SessionOver`` with
the stage noted in ``Introduction.stage``.

``Introduction.greeted`` tells whether the server's greeting was accepted: from then on, the manual page says, no
error sends us to the next address (``smtp_mx_session_limit = 1``).
"""

from smtpclient.mail.outcome import Peer
from smtpclient.smtp import capability, command, verdict
from smtpclient.smtp.capability import Capabilities
from smtpclient.smtp.channel import Channel
from smtpclient.smtp.settings import DialogueSettings
from smtpclient.smtp.verdict import Stage, Verdict
from smtpclient.tls.handshake import HandshakeFailed, NotVerified, Securing, Unavailable
from smtpclient.tls.level import Level

_UNKNOWN = Capabilities()


class Refused(Exception):
    """The server does not take us."""

    def __init__(self, verdict: Verdict, *, moves_on: bool) -> None:
        """
        :param moves_on: whether the next address may be tried even where no error after the greeting lets one.
        """
        super().__init__(verdict.reason)
        self.verdict = verdict
        self.moves_on = moves_on


class Introduction:
    """
    One run of the handshake.

    :param next_hop: the destination in the operator's words, for the loop report.
    :param best: this server is among the best of its destination.
    :param securing: TLS with this server; None: as if it had none.
    :ivar stage: how far it has come.
    :ivar greeted: the greeting was a welcome.
    :ivar found_self: the server has our own name.
    :ivar pix: what has to be done about a firewall before the server.
    :ivar tls_failed: the handshake of TLS did not come to its end.
    """

    def __init__(
        self,
        channel: Channel,
        settings: DialogueSettings,
        peer: Peer,
        *,
        next_hop: str = "",
        best: bool = True,
        securing: Securing | None = None,
    ) -> None:
        self._channel = channel
        self._settings = settings
        self._peer = peer
        self._next_hop = next_hop
        self._best = best
        self._securing = securing
        self.stage = Stage.GREETING
        self.greeted = False
        self.found_self = False
        self.tls_failed = False
        self.pix: frozenset[str] = frozenset()
        self.capabilities = _UNKNOWN

    async def run(self) -> Capabilities:
        """
        Go through the handshake.

        :raises Refused: when the server says no.
        :raises SessionOver: when the connection ends.
        """
        securing = self._securing
        if securing is not None and securing.wrapper:
            self._prepare(securing)
            await self._secure(securing)
            self.stage = Stage.GREETING
        banner = await self._greeting()
        capabilities = await self._hello(banner)
        if securing is not None and not securing.wrapper and await self._start_tls(securing, capabilities):
            # What was said in clear text counts for nothing now (RFC 3207 section 4.2).
            capabilities = await self._hello(banner)
        return capabilities

    async def _hello(self, banner: str) -> Capabilities:
        """LHLO; or EHLO, or HELO."""
        capabilities = None
        if self._settings.lmtp:
            capabilities = await self._lhlo()
        elif self._wants_ehlo(banner):
            capabilities = await self._ehlo()
        if capabilities is None:
            capabilities = await self._helo()
        self.capabilities = capabilities
        if self._settings.own_name and capabilities.server_name == self._settings.own_name:
            self.found_self = True
            raise Refused(verdict.loops(self._next_hop, best=self._best), moves_on=not self._best)
        return capabilities

    async def _greeting(self) -> str:
        reply = await self._channel.reply(self._settings.helo)
        if reply.category == 2:
            self.greeted = True
            self.pix = self._settings.pix.workarounds(reply.text, self._peer.address)
            return reply.text
        moves_on = (reply.category == 4 and self._settings.skip_4xx_greeting) or (
            reply.category == 5 and self._settings.skip_5xx_greeting
        )
        raise Refused(
            verdict.refused(self._peer, reply, self.stage, soft=self._settings.skip_5xx_greeting), moves_on=moves_on
        )

    def _wants_ehlo(self, banner: str) -> bool:
        if self._settings.never_send_ehlo or "disable_esmtp" in self.pix:
            return False
        return self._settings.always_send_ehlo or "ESMTP" in banner.upper().replace("-", " ").split()

    async def _ehlo(self) -> Capabilities | None:
        """EHLO; None where the server does not know it (any refusal but 421, which means it is about to close)."""
        self.stage = Stage.EHLO
        self._channel.command(command.ehlo(self._settings.helo_name))
        reply = await self._channel.reply(self._settings.helo)
        if reply.category == 2:
            return capability.from_ehlo(reply, self._settings.discarded(self._peer.address))
        if reply.code == 421:
            raise Refused(verdict.refused(self._peer, reply, self.stage), moves_on=False)
        return None

    async def _lhlo(self) -> Capabilities:
        """LHLO; LMTP has nothing to fall back to."""
        self.stage = Stage.LHLO
        self._channel.command(command.lhlo(self._settings.helo_name))
        reply = await self._channel.reply(self._settings.helo)
        if reply.category != 2:
            raise Refused(verdict.refused(self._peer, reply, self.stage), moves_on=False)
        return capability.from_ehlo(reply, self._settings.discarded(self._peer.address))

    async def _helo(self) -> Capabilities:
        self.stage = Stage.HELO
        self._channel.command(command.helo(self._settings.helo_name))
        reply = await self._channel.reply(self._settings.helo)
        if reply.category != 2:
            raise Refused(verdict.refused(self._peer, reply, self.stage), moves_on=False)
        return capability.from_helo(reply)

    async def _start_tls(self, securing: Securing, capabilities: Capabilities) -> bool:
        """STARTTLS, where the policy wants it; whether TLS stands."""
        required = securing.policy.level.required
        if securing.policy.level is Level.NONE:
            if "STARTTLS" in capabilities:
                securing.note_offer()
            return False
        if "STARTTLS" not in capabilities:
            securing.not_offered()
            if required:
                raise Refused(verdict.tls_not_offered(self._peer), moves_on=True)
            return False
        self._prepare(securing)
        self.stage = Stage.STARTTLS
        self._channel.command(command.STARTTLS)
        reply = await self._channel.reply(securing.timeout)
        if reply.category != 2:
            securing.not_offered(str(reply))
            if required:
                raise Refused(verdict.tls_refused(self._peer, reply), moves_on=True)
            return False
        await self._secure(securing)
        return True

    def _prepare(self, securing: Securing) -> None:
        try:
            securing.prepare()
        except Unavailable:
            raise Refused(verdict.tls_unavailable(), moves_on=True) from None

    async def _secure(self, securing: Securing) -> None:
        """The handshake, and whether the server is the right one."""
        self.stage = Stage.STARTTLS
        try:
            await securing.run(self._channel)
        except HandshakeFailed:
            self.tls_failed = True
            raise Refused(verdict.tls_failed(), moves_on=True) from None
        except NotVerified:
            raise Refused(verdict.not_verified(), moves_on=True) from None
