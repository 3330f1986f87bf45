"""
SMTP servers that do TLS well, badly or not at all, on loopback; and a delivery agent that has a policy for them.

Sockets, handshakes, certificates and the agent are real. What the DNS says is given by the test.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from OpenSSL import SSL, crypto
from twisted.internet import reactor
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.protocol import Factory, connectionDone
from twisted.logger import LogEvent
from twisted.protocols.basic import LineReceiver
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from smtpclient.config.parameters import Parameters
from smtpclient.delivery.agent import Agent
from smtpclient.delivery.connector import Connector, ConnectorSettings
from smtpclient.delivery.destination import Destination, parse
from smtpclient.delivery.domain_tls import DomainTls
from smtpclient.delivery.means import Means, WalkSettings
from smtpclient.delivery.pool import Pool, PoolSettings
from smtpclient.delivery.security import Security
from smtpclient.dns.answer import Answer, Opaque, Status
from smtpclient.dns.exchanger_settings import ExchangerSettings
from smtpclient.dns.exchangers import Exchanger, ExchangerLookup, Exchangers
from smtpclient.dns.resolver import CNAME, TLSA
from smtpclient.interfaces import IResolver
from smtpclient.mail.envelope import TlsWish
from smtpclient.mail.outcome import Outcome
from smtpclient.mail.request import DeliveryRequest
from smtpclient.observe.maillog import MailLog
from smtpclient.smtp.settings import DialogueSettings
from smtpclient.tls.policies import NO_WISH
from smtpclient.tls.tlsa import TlsaRecord
from tests.mail.messages import MemoryContent, envelope, recipients
from tests.tls.certificates import Issued

OLD = 1000.0  # seconds: a message of this age may go in clear text


@dataclass(frozen=True)
class Behaviour:
    """
    What a server does.

    :param identity: its certificate; None: ciphers without one.
    :param starttls: whether it offers STARTTLS.
    :param reply: to STARTTLS.
    :param inject: sent in clear text, in one segment with that reply.
    :param after: what it does after the reply: handshake, garbage, close or silence.
    :param versions: the lowest and the highest that it speaks.
    :param wrapper: TLS from the first byte.
    :param cut_at: a command inside TLS at which the connection is cut.
    :param replies: to commands inside TLS, where they are not those of a good server.
    :param clear_mail: the reply to MAIL in clear text.
    :param offers: further keywords inside TLS.
    :param asks: it wants a certificate of the client's.
    """

    identity: Issued | None = None
    starttls: bool = True
    reply: str = "220 2.0.0 Ready"
    inject: str = ""
    after: str = "handshake"
    versions: tuple[int, int] = (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION)
    wrapper: bool = False
    cut_at: str = ""
    replies: Mapping[str, str] = field(default_factory=dict)
    clear_mail: str = "250 2.1.0 Ok"
    asks: bool = False
    offers: tuple[str, ...] = ()

    def context(self) -> SSL.Context:
        """OpenSSL's part of it."""
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(self.versions[0])
        context.set_max_proto_version(self.versions[1])
        context.set_session_id(b"test")
        if self.identity is None:
            context.set_max_proto_version(SSL.TLS1_2_VERSION)
            context.set_cipher_list(b"aNULL:@SECLEVEL=0")
            return context
        if self.versions[0] < SSL.TLS1_2_VERSION:
            context.set_cipher_list(b"DEFAULT:@SECLEVEL=0")
        context.use_certificate(crypto.X509.from_cryptography(self.identity.certificate))
        context.use_privatekey(crypto.PKey.from_cryptography_key(self.identity.key))
        for certificate in self.identity.chain[1:]:
            context.add_extra_chain_cert(crypto.X509.from_cryptography(certificate))
        if self.asks:
            context.set_verify(SSL.VERIFY_PEER, lambda *arguments: True)
        return context


@dataclass
class Session:
    """
    What the server saw of one connection.

    :ivar commands: verbs, and ``<TLS>`` when a handshake was completed.
    :ivar delivered: ``tls`` or ``clear``, when it has taken a message.
    """

    commands: list[str] = field(default_factory=list)
    delivered: str = ""
    sni: str = ""
    version: str = ""
    client: str = ""

    def __str__(self) -> str:
        return " ".join(self.commands)


@implementer(IOpenSSLServerConnectionCreator)
class Server(LineReceiver):
    """One connection."""

    delimiter = b"\r\n"

    def __init__(self, behaviour: Behaviour, context: SSL.Context, session: Session) -> None:
        self.behaviour = behaviour
        self.context = context
        self.session = session
        self.secure = False
        self.in_content = False

    def connectionMade(self) -> None:
        """Greet."""
        if self.behaviour.wrapper:
            self.begin()
        if not self.behaviour.wrapper or self.behaviour.after == "handshake":
            self.say("220 mx.example ESMTP")

    def say(self, *lines: str) -> None:
        """Send lines, each with its end."""
        self.transport.write("".join(line + "\r\n" for line in lines).encode())

    def serverConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """Make the connection; called by Twisted."""
        return SSL.Connection(self.context, None)

    def begin(self) -> None:
        """TLS, or what this server does in its place."""
        if self.behaviour.after == "handshake":
            self.transport.startTLS(self)
            self.secure = True
        elif self.behaviour.after == "close":
            self.transport.loseConnection()
        else:
            self.setRawMode()

    def rawDataReceived(self, data: bytes) -> None:
        """Answer the beginning of a handshake with something else, or not at all."""
        if self.behaviour.after == "garbage":
            self.transport.write(b"\xff\xd8\xff\xe0JFIF" * 10)

    def lineReceived(self, line: bytes) -> None:
        """Answer a command."""
        if self.in_content:
            if line == b".":
                self.in_content = False
                self.session.delivered = "tls" if self.secure else "clear"
                self.say("250 2.0.0 Ok: queued")
            return
        verb = line.decode("latin-1").split(" ")[0].upper()
        if self.secure and "<TLS>" not in self.session.commands:
            self.note()
        self.session.commands.append(verb)
        if self.secure and verb == self.behaviour.cut_at:
            self.transport.abortConnection()
        elif self.secure and verb in self.behaviour.replies:
            self.say(self.behaviour.replies[verb])
        else:
            getattr(self, "do_" + verb, self.do_unknown)()

    def note(self) -> None:
        """The handshake is over."""
        handle = self.transport.getHandle()
        self.session.commands.append("<TLS>")
        self.session.sni = (handle.get_servername() or b"").decode()
        self.session.version = handle.get_protocol_version_name()
        certificate = handle.get_peer_certificate()
        self.session.client = certificate.get_subject().CN if certificate else ""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Whoever goes in silence after the handshake was there, too."""

    def do_EHLO(self) -> None:
        """Keywords."""
        offers = self.behaviour.starttls and not self.secure
        further = self.behaviour.offers if self.secure else ()
        keywords = [*(["STARTTLS"] if offers else []), *further]
        self.say("250-mx.example", *(f"250-{keyword}" for keyword in keywords), "250 8BITMIME")

    def do_STARTTLS(self) -> None:
        """The reply, and what follows it."""
        self.transport.write(f"{self.behaviour.reply}\r\n{self.behaviour.inject}".encode())
        if self.behaviour.reply.startswith("2"):
            self.begin()

    def do_MAIL(self) -> None:
        """Yes, or what the test says."""
        self.say("250 2.1.0 Ok" if self.secure else self.behaviour.clear_mail)

    def do_RCPT(self) -> None:
        """Yes."""
        self.say("250 2.1.5 Ok")

    do_RSET = do_RCPT

    def do_DATA(self) -> None:
        """Content follows."""
        self.in_content = True
        self.say("354 Go on")

    def do_QUIT(self) -> None:
        """Goodbye."""
        self.say("221 2.0.0 Bye")
        self.transport.loseConnection()

    def do_unknown(self) -> None:
        """No."""
        self.say("502 5.5.2 What?")


@implementer(IResolver)
class Zone:
    """
    What the DNS says of TLSA records and aliases.

    :ivar answers: by name and type; everything else is not there, surely so.
    """

    def __init__(self) -> None:
        self.answers: dict[tuple[str, int], Answer] = {}
        self.asked: list[str] = []

    async def lookup(self, name: str, record_type: int) -> Answer:
        """The answer."""
        self.asked.append(name)
        nothing = Answer(name, record_type, Status.NO_DATA, canonical=name, secure=True)
        return self.answers.get((name, record_type), nothing)

    def tlsa(self, name: str, *records: TlsaRecord, secure: bool = True) -> None:
        """Let there be records."""
        data = tuple(Opaque(bytes([r.usage, r.selector, r.matching]) + r.data) for r in records)
        self.answers[name, TLSA] = Answer(name, TLSA, Status.FOUND, data, name, secure=secure)

    def fail(self, name: str, record_type: int = TLSA) -> None:
        """Let nobody know."""
        self.answers[name, record_type] = Answer(name, record_type, Status.RETRY, canonical=name, detail="SERVFAIL")

    def alias(self, name: str, *, secure: bool) -> None:
        """Let there be an alias."""
        self.answers[name, CNAME] = Answer(name, CNAME, Status.FOUND, (), name, secure=secure)


class Lookup:
    """Finds the servers of the test, in place of an ``ExchangerLookup``."""

    def __init__(self, found: Exchangers) -> None:
        self.found = found

    async def find(self, destination: Destination) -> Exchangers:
        """The servers, whatever the destination."""
        found = self.found
        return Exchangers(destination, found.addresses, None, False, found.secure, (), found.from_mx, found.canonical)


class TlsWorld:
    """
    Servers and an agent.

    :param servers: they are the exchangers ``mx-0.example.org``, ``mx-1.example.org`` and so on of ``example.org``, at
        127.0.1.1, 127.0.1.2 and so on.
    :param values: parameters.
    :param resolver: knows where domains have their servers; None: the test says so.
    :param port: where all servers listen; 0: each at one of its own.
    :param domains: makes what domains ask for, beside DANE.
    :ivar sessions: what each server saw.
    """

    def __init__(
        self,
        case: TestCase,
        *servers: Behaviour,
        values: Mapping[str, str] | None = None,
        resolver: IResolver | None = None,
        port: int = 0,
        domains: Callable[[Parameters, MailLog], DomainTls] | None = None,
    ) -> None:
        self.sessions: list[list[Session]] = [[] for _ in servers]
        self.zone = Zone()
        self.lines: list[str] = []
        exchangers = []
        for number, behaviour in enumerate(servers):
            name, address = f"mx-{number}.example.org", f"127.0.1.{number + 1}"
            listening = self._listen(case, number, behaviour, address, port)
            exchangers.append(Exchanger(name, address, listening, 10 * number, False, name))
        self.ports = [exchanger.port for exchanger in exchangers]
        self.found = Exchangers(parse("example.org", 25), tuple(exchangers), from_mx=True)
        maillog = MailLog()
        maillog.publisher.addObserver(self._note_line)
        self.parameters = Parameters.from_values(
            {
                "smtp_tls_loglevel": "1",
                "smtp_starttls_timeout": "60s",
                "smtp_skip_quit_response": "no",
                **(values or {}),
            }
        )
        self.pool = Pool(PoolSettings.from_parameters(self.parameters), reactor)  # type: ignore[arg-type]
        lookup: Any = Lookup(self.found)
        if resolver is not None:
            nobody: Any = None  # neither the C library nor the list of our own addresses is asked
            settings = ExchangerSettings.from_parameters(self.parameters)
            lookup = ExchangerLookup(resolver, settings, Random(1), nobody, nobody)
        self.agent = Agent(
            Means(
                WalkSettings.from_parameters(self.parameters),
                DialogueSettings.from_parameters(self.parameters),
                lookup,
                Connector(reactor, reactor, ConnectorSettings()),  # type: ignore[arg-type]
                self.pool,
                reactor,  # type: ignore[arg-type]
                maillog,
                security=Security.from_parameters(
                    self.parameters,
                    resolver or self.zone,
                    reactor.seconds,  # type: ignore[attr-defined]
                    maillog,
                    domains(self.parameters, maillog) if domains is not None else None,
                ),
            )
        )
        case.addCleanup(self.agent.close)

    def _listen(self, case: TestCase, number: int, behaviour: Behaviour, address: str, wanted: int) -> int:
        context = behaviour.context()

        def build() -> Server:
            session = Session()
            self.sessions[number].append(session)
            return Server(behaviour, context, session)

        port = reactor.listenTCP(wanted, Factory.forProtocol(build), interface=address)  # type: ignore[attr-defined]
        case.addCleanup(port.stopListening)
        found: int = port.getHost().port
        return found

    def _note_line(self, event: LogEvent) -> None:
        self.lines.append(event["mail_line"])

    async def deliver(
        self, *, age: float = 0.0, next_hop: str = "example.org", backlog: bool = False, tls: TlsWish = NO_WISH
    ) -> Outcome:
        """
        Make one attempt.

        :param age: of the message, when it became active, seconds.
        """
        now = reactor.seconds()  # type: ignore[attr-defined]

        async def settle(request: DeliveryRequest, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
            return outcomes

        request = DeliveryRequest(
            envelope(arrival=now - age, created=now - age, tls=tls),
            recipients("u1@example.org"),
            "smtp",
            next_hop,
            MemoryContent(),
            now,
            lambda: backlog,
        )
        [outcome] = (await self.agent.deliver(request, settle)).outcomes
        return outcome

    @property
    def log(self) -> str:
        """Everything that was logged."""
        return "\n".join(self.lines)

    def seen(self) -> list[str]:
        """What each server saw, a line a connection."""
        return [f"{number}: {session}" for number, sessions in enumerate(self.sessions) for session in sessions]

    @property
    def delivered(self) -> list[tuple[int, str]]:
        """Which servers have taken the message, and how."""
        return [(number, s.delivered) for number, sessions in enumerate(self.sessions) for s in sessions if s.delivered]


def short(outcome: Outcome) -> str:
    """Disposition and status."""
    return f"{outcome.disposition.value} {outcome.status}"
