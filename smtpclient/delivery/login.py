"""
Logging in to a server: who, by which mechanism, and what becomes of it.

:class:`Logins` is one agent's; :class:`Login` is what one session needs, made before it is opened. It runs after the
last EHLO and before the first MAIL. A server that does not offer AUTH gets mail without, as from a stranger; from
one that does, and that we have an entry for, anything but a login that worked ends the session.
"""

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from smtpclient.config.parameters import Parameters
from smtpclient.delivery.credentials import CredentialLookup, CredentialSettings, Entry, NoToken
from smtpclient.mail.outcome import Peer
from smtpclient.observe.maillog import MailLog
from smtpclient.smtp import sasl, verdict
from smtpclient.smtp.authentication import Authentication, Compute, directly
from smtpclient.smtp.capability import Capabilities
from smtpclient.smtp.channel import Channel
from smtpclient.smtp.concealment import Concealment
from smtpclient.smtp.handshake import Refused
from smtpclient.smtp.mechanisms.mechanism import Credentials, Mechanism
from smtpclient.smtp.sasl import NoMechanism, Protection, SaslPolicy, Server
from smtpclient.smtp.verdict import Verdict
from smtpclient.tls.binding import channel_binding
from smtpclient.tls.handshake import Securing

if TYPE_CHECKING:
    from smtpclient.delivery.access_token import TokenCommand


@dataclass(frozen=True, slots=True)
class LoginSettings:
    """
    How logins are done.

    :param limit: how long each reply may take (``smtp_helo_timeout``), seconds.
    :param soft: a refusal for good defers (``smtp_sasl_auth_soft_bounce``).
    """

    policy: SaslPolicy = SaslPolicy()
    soft: bool = True
    limit: float = 300.0

    @classmethod
    def from_parameters(cls, parameters: Parameters) -> "LoginSettings":
        """Take the settings from the ``smtp_sasl_`` parameters."""
        policy = SaslPolicy(
            frozenset(parameters.words("smtp_sasl_security_options")),
            frozenset(parameters.words("smtp_sasl_tls_security_options")),
            frozenset(parameters.words("smtp_sasl_tls_verified_security_options")),
            parameters.words("smtp_sasl_mechanism_filter"),
        )
        soft = parameters.boolean("smtp_sasl_auth_soft_bounce")
        return cls(policy, soft, parameters.seconds("smtp_helo_timeout"))


class Logins:
    """
    The logins of an agent.

    :param tokens: None: there are only passwords.
    :param random: the system's; makes nonces.
    :param compute: where the costly part of a mechanism is computed.
    """

    def __init__(
        self,
        lookup: CredentialLookup,
        settings: LoginSettings,
        maillog: MailLog,
        random: Random,
        tokens: "TokenCommand | None" = None,
        compute: Compute = directly,
    ) -> None:
        self.lookup = lookup
        self.settings = settings
        self.maillog = maillog
        self.random = random
        self.tokens = tokens
        self.compute = compute

    @classmethod
    def from_parameters(
        cls, parameters: Parameters, reactor: Any, maillog: MailLog, random: Random, compute: Compute = directly
    ) -> "Logins":
        """
        What the parameters ask for.

        :param reactor: starts the program for tokens, and times it.
        :raises ValueError: when they make no sense, in words for the operator.
        """
        return cls(
            CredentialLookup(CredentialSettings.from_parameters(parameters)),
            LoginSettings.from_parameters(parameters),
            maillog,
            random,
            _tokens(parameters, reactor),
            compute,
        )

    def pool_key(self, sender: str) -> str:
        """Whose sessions a message may share: those of its sender's login; empty: those of the server's own."""
        entry = self.lookup.of_sender(sender)
        return "" if entry is None else entry.username + "\0" + entry.key

    def login(self, sender: str, host: str, next_hop: str) -> "Login | None":
        """
        What a session with a server needs to log in; None: nothing is known for it.

        :param next_hop: as it is written.
        """
        entry = self.lookup.find(sender, host, next_hop)
        return None if entry is None else Login(self, entry)


class Login:
    """
    One session's login.

    :ivar entry: what the tables have; without a password in its ``repr()``.
    """

    def __init__(self, logins: Logins, entry: Entry) -> None:
        self.logins = logins
        self.entry = entry

    @property
    def username(self) -> str:
        """As whom."""
        return self.entry.username

    @property
    def uses_token(self) -> bool:
        """Whether it is a token that is sent."""
        return self.logins.tokens is not None and not self.entry.password

    def choose(self, capabilities: Capabilities, protection: Protection, peer: Peer, secret: str = "") -> Mechanism:
        """
        The mechanism for what a server offers.

        :raises NoMechanism: when there is none.
        """
        credentials = Credentials(self.username, secret, self.uses_token)
        logins, server = self.logins, Server(peer.host, peer.port)
        offered = sasl.mechanisms(capabilities.keywords["AUTH"])
        return sasl.choose(offered, credentials, logins.settings.policy, protection, server, logins.random)

    async def run(self, channel: Channel, capabilities: Capabilities, peer: Peer, protection: Protection) -> None:
        """
        Log in where the server offers it.

        :raises Refused: when it offers it, and it does not work.
        :raises SessionOver: when the connection ends.
        """
        if "AUTH" not in capabilities:
            return
        try:
            self.choose(capabilities, protection, peer)  # before a token is fetched in vain
            secret = await self._secret(peer)
            mechanism = self.choose(capabilities, protection, peer, secret)
        except NoMechanism as why:
            raise Refused(self._no_mechanism(capabilities, peer, why), moves_on=False) from None
        except NoToken as why:
            raise Refused(verdict.cannot_log_in(peer, str(why)), moves_on=False) from None
        try:
            await self._exchange(channel, mechanism, secret, peer)
        except Refused:
            if self.uses_token and self.logins.tokens is not None:
                self.logins.tokens.refused(self.username, peer.host)
            raise

    async def _exchange(self, channel: Channel, mechanism: Mechanism, secret: str, peer: Peer) -> None:
        logins = self.logins
        settings = logins.settings
        await Authentication(
            channel,
            mechanism,
            Concealment(Credentials(self.username, secret)),
            peer,
            limit=settings.limit,
            soft=settings.soft,
            compute=logins.compute if mechanism.name.startswith("SCRAM") else directly,
        ).run()

    def _no_mechanism(self, capabilities: Capabilities, peer: Peer, why: NoMechanism) -> Verdict:
        offered = capabilities.keywords["AUTH"]
        self.logins.maillog.warning("smtp", f"{peer} offers AUTH {offered}: no mechanism of these is used: {why}")
        if why.filtered:
            return verdict.no_compatible_mechanism(peer)
        return verdict.cannot_log_in(peer, "no mechanism available")

    async def _secret(self, peer: Peer) -> str:
        tokens = self.logins.tokens
        if tokens is None or self.entry.password:
            return self.entry.password
        return await tokens.token(self.username, peer.host)


def _tokens(parameters: Parameters, reactor: Any) -> "TokenCommand | None":
    command = parameters.text("smtp_sasl_token_command")
    lifetime, timeout = parameters.seconds("smtp_sasl_token_lifetime"), parameters.seconds("smtp_sasl_token_timeout")
    if not command:
        return None
    # What it takes to run programs, only where there is one.
    from smtpclient.delivery.access_token import TokenCommand, TokenSettings  # noqa: PLC0415

    return TokenCommand(TokenSettings(command, lifetime, timeout), reactor, reactor)


def protection(channel: Channel, securing: Securing | None) -> Protection:
    """What a login may rely on over this channel, whose handshake is over."""
    if securing is None or not securing.summary:
        return Protection()
    return Protection(True, securing.policy.level.authenticates, channel_binding(channel.tls))
