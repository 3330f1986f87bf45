"""
A session without a message, to see what would happen: connect, greeting, EHLO, STARTTLS, and QUIT.

It is opened by what opens sessions for mail (``smtpclient.delivery.opening``). Only the login is not done but
rehearsed: the mechanism is chosen from what the server offers, and no name, password or token is sent.
"""

from functools import partial

from smtpclient.delivery.explanation import Fate, Probe, fate_of
from smtpclient.delivery.login import Login
from smtpclient.delivery.means import Means
from smtpclient.delivery.opening import NoSession, Opening
from smtpclient.dns.exchangers import Exchanger
from smtpclient.mail.outcome import Peer
from smtpclient.smtp.capability import Capabilities
from smtpclient.smtp.channel import Channel
from smtpclient.smtp.sasl import NoMechanism, Protection
from smtpclient.tls.policy import TlsPolicy


class LoginRehearsal(Login):
    """
    A login that is not done.

    :ivar finding: what would have been done.
    :ivar possible: whether mail would go on.
    """

    finding = ""
    possible = True

    @classmethod
    def of(cls, login: Login) -> "LoginRehearsal":
        """The rehearsal of a login."""
        return cls(login.logins, login.entry)

    async def run(self, channel: Channel, capabilities: Capabilities, peer: Peer, protection: Protection) -> None:
        """Find out by which mechanism the client would log in."""
        if "AUTH" not in capabilities:
            self.finding = "the server offers no AUTH; mail would go without a login"
            return
        try:
            self.finding = self.choose(capabilities, protection, peer).name
        except NoMechanism as why:
            self.possible = False
            self.finding = f"no mechanism of AUTH {capabilities.keywords['AUTH']} would be used: {why}"


async def probe(means: Means, exchanger: Exchanger, next_hop: str, policy: TlsPolicy, login: Login | None) -> Probe:
    """
    Connect to one server.

    :param next_hop: the destination's host.
    :param policy: what TLS must live up to.
    """
    rehearsal = None if login is None else LoginRehearsal.of(login)
    opening = Opening(means.connector, means.dialogue, means.clock, means.maillog, means.debug_peers, transcripts=True)
    secure = None if means.security is None else partial(means.security.securing, policy, queue_id="")
    opened = await opening.open(exchanger, next_hop, best=True, secure=secure, login=rehearsal)
    session = opened.session if isinstance(opened, NoSession) else opened
    finding = "" if rehearsal is None else rehearsal.finding
    fate, reason = Fate.SENT, ""
    if isinstance(opened, NoSession):
        fate, reason = fate_of(opened.verdict.disposition), opened.verdict.reason
    elif rehearsal is not None and not rehearsal.possible:
        fate, reason = Fate.DEFERRED, "no mechanism available"
    if session is None:
        return Probe(fate, reason, login=finding)
    try:
        tls = session.tls
        await session.quit()
    finally:
        session.channel.abort()
    keywords = session.capabilities.keywords.items()
    extensions = tuple(f"{name} {rest}".rstrip() for name, rest in keywords)
    dialogue = tuple(session.transcript.lines) if session.transcript is not None else ()
    return Probe(fate, reason, tls, extensions, finding, dialogue)
