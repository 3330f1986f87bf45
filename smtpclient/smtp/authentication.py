"""
AUTH (RFC 4954): one mechanism's messages over a channel.

An :class:`Authentication` ends when the server has said yes and, where the mechanism lets it prove itself, has proven
that it knows the secret too. Whatever else happens is a :class:`~smtpclient.smtp.handshake.Refused` with the verdict;
a connection that dies raises ``SessionOver``.

Promises: what is sent is in no trace (``AUTH PLAIN <credentials>``), nor is it when the server repeats it; an initial
response that would make the command longer than RFC 5321 section 4.5.3.1.4 allows is sent by itself (RFC 4954 section
4); an exchange that we give up is cancelled with ``*``, so that the session still has an end in good order.
"""

import base64
import binascii
from collections.abc import Awaitable, Callable

from smtpclient.mail.outcome import Peer
from smtpclient.smtp import verdict
from smtpclient.smtp.channel import Channel
from smtpclient.smtp.concealment import SHOWN, Concealment
from smtpclient.smtp.handshake import Refused
from smtpclient.smtp.mechanisms.mechanism import ExchangeFailed, Mechanism
from smtpclient.smtp.reply import Reply

LONGEST_COMMAND = 512

#: Where responses are computed: given the function and the challenge.
Compute = Callable[[Callable[[bytes], bytes], bytes], Awaitable[bytes]]


async def directly(respond: Callable[[bytes], bytes], challenge: bytes) -> bytes:
    """Compute a response here and now."""
    return respond(challenge)


class Authentication:
    """
    One exchange.

    :param concealment: of the credentials that the mechanism was made with.
    :param limit: how long to wait for each reply, seconds.
    :param soft: a refusal for good is one for now (``smtp_sasl_auth_soft_bounce``).
    :param compute: where the mechanism's responses are computed; a thread is a good place.
    """

    def __init__(
        self,
        channel: Channel,
        mechanism: Mechanism,
        concealment: Concealment,
        peer: Peer,
        *,
        limit: float,
        soft: bool = True,
        compute: Compute = directly,
    ) -> None:
        self._channel = channel
        self._mechanism = mechanism
        self._concealment = concealment
        self._peer = peer
        self._limit = limit
        self._soft = soft
        self._compute = compute

    async def run(self) -> None:
        """
        Log in.

        :raises Refused: when the server does not take us, or is not the one that it should be.
        :raises SessionOver: when the connection ends.
        """
        self._channel.conceal = self._concealment
        try:
            self._begin(self._mechanism.start())
        except ExchangeFailed as why:
            raise self._given_up(why) from None
        while (reply := await self._channel.reply(self._limit)).category == 3:
            try:
                response = await self._compute(self._mechanism.respond, _challenge(reply))
            except ExchangeFailed as why:
                await self._cancel()
                raise self._given_up(why) from None
            self._concealment.sent(response)
            self._channel.command(base64.b64encode(response) + b"\r\n", SHOWN)
        if reply.category != 2:
            raise Refused(verdict.login_refused(self._peer, reply, soft=self._soft), moves_on=False)
        if not self._mechanism.proven:
            raise self._given_up(ExchangeFailed("the server does not prove that it knows the password"))

    def _begin(self, initial: bytes | None) -> None:
        command = b"AUTH " + self._mechanism.name.encode("ascii")
        shown = command.decode("ascii")
        if initial is not None:
            self._concealment.sent(initial)
            whole = command + b" " + (base64.b64encode(initial) or b"=")
            if len(whole) + 2 <= LONGEST_COMMAND:
                command, shown = whole, f"{shown} {SHOWN}"
            else:
                self._initial_in_reserve(initial)
        self._channel.command(command + b"\r\n", shown)

    def _initial_in_reserve(self, initial: bytes) -> None:
        """Answer the empty challenge with what the command has no room for."""
        self._mechanism = _Postponed(self._mechanism, initial)

    async def _cancel(self) -> None:
        self._channel.command(b"*\r\n")
        await self._channel.reply(self._limit)

    def _given_up(self, why: ExchangeFailed) -> Refused:
        return Refused(verdict.cannot_log_in(self._peer, str(why)), moves_on=False)


class _Postponed:
    """A mechanism whose initial response is the answer to the first challenge."""

    def __init__(self, mechanism: Mechanism, initial: bytes) -> None:
        self.name = mechanism.name
        self._mechanism = mechanism
        self._initial: bytes | None = initial

    @property
    def proven(self) -> bool:
        return self._mechanism.proven

    def start(self) -> None:
        """The server speaks first."""

    def respond(self, challenge: bytes) -> bytes:
        initial, self._initial = self._initial, None
        return self._mechanism.respond(challenge) if initial is None else initial


def _challenge(reply: Reply) -> bytes:
    """
    The bytes that a 334 carries.

    :raises ExchangeFailed: when it is not base64.
    """
    text = "".join(reply.lines).strip()
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ExchangeFailed("the server's challenge is not base64") from None
