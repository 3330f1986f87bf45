"""
The beginning of a session: greeting, then EHLO, then HELO where EHLO is not known.

:func:`introduce` is the text of RFC 5321 sections 3.1 and 4.1.4 as a coroutine. It ends with the server's
capabilities, or raises :class:`Refused` with the verdict; a connection that dies raises ``SessionOver`` with the
stage noted in ``Introduction.stage``.

``Introduction.greeted`` tells whether the server's greeting was accepted: from then on, the manual page says, no
error sends us to the next address (``smtp_mx_session_limit = 1``).
"""

from smtpclient.mail.outcome import Peer
from smtpclient.smtp import capability, command, verdict
from smtpclient.smtp.capability import Capabilities
from smtpclient.smtp.channel import Channel
from smtpclient.smtp.settings import DialogueSettings
from smtpclient.smtp.verdict import Stage, Verdict


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
    :ivar stage: how far it has come.
    :ivar greeted: the greeting was a welcome.
    :ivar found_self: the server has our own name.
    """

    def __init__(
        self, channel: Channel, settings: DialogueSettings, peer: Peer, *, next_hop: str = "", best: bool = True
    ) -> None:
        self._channel = channel
        self._settings = settings
        self._peer = peer
        self._next_hop = next_hop
        self._best = best
        self.stage = Stage.GREETING
        self.greeted = False
        self.found_self = False
        self.capabilities = Capabilities()

    async def run(self) -> Capabilities:
        """
        Go through the handshake.

        :raises Refused: when the server says no.
        :raises SessionOver: when the connection ends.
        """
        banner = await self._greeting()
        capabilities = None
        if self._wants_ehlo(banner):
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
            return reply.text
        moves_on = (reply.category == 4 and self._settings.skip_4xx_greeting) or (
            reply.category == 5 and self._settings.skip_5xx_greeting
        )
        raise Refused(
            verdict.refused(self._peer, reply, self.stage, soft=self._settings.skip_5xx_greeting), moves_on=moves_on
        )

    def _wants_ehlo(self, banner: str) -> bool:
        if self._settings.never_send_ehlo:
            return False
        return self._settings.always_send_ehlo or "ESMTP" in banner.upper().replace("-", " ").split()

    async def _ehlo(self) -> Capabilities | None:
        """EHLO; None where the server does not know it (any refusal but 421, which means it is about to close)."""
        self.stage = Stage.EHLO
        self._channel.command(command.ehlo(self._settings.helo_name))
        reply = await self._channel.reply(self._settings.helo)
        if reply.category == 2:
            return capability.from_ehlo(reply, self._settings.discard_ehlo_keywords)
        if reply.code == 421:
            raise Refused(verdict.refused(self._peer, reply, self.stage), moves_on=False)
        return None

    async def _helo(self) -> Capabilities:
        self.stage = Stage.HELO
        self._channel.command(command.helo(self._settings.helo_name))
        reply = await self._channel.reply(self._settings.helo)
        if reply.category != 2:
            raise Refused(verdict.refused(self._peer, reply, self.stage), moves_on=False)
        return capability.from_helo(reply)
