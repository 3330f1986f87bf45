"""
What delivery attempts work with, and how they walk: one value for all attempts of an agent.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from twisted.internet.interfaces import IReactorTime

from smtpclient.config.parameters import Parameters
from smtpclient.delivery import destination
from smtpclient.delivery.calling import Caller
from smtpclient.delivery.connector import Connector
from smtpclient.delivery.destination import Destination
from smtpclient.delivery.following import Habits
from smtpclient.delivery.login import Logins
from smtpclient.delivery.opening import Opening
from smtpclient.delivery.pool import Pool
from smtpclient.delivery.reachability import Reachability
from smtpclient.delivery.security import Security
from smtpclient.dns.exchangers import Exchanger, ExchangerLookup, Exchangers
from smtpclient.mail.envelope import Envelope
from smtpclient.mail.outcome import Peer
from smtpclient.observe.maillog import MailLog
from smtpclient.observe.peers import PeerPatterns
from smtpclient.smtp.settings import DialogueSettings
from smtpclient.smtp.status_filter import StatusFilter

Notify = Callable[[str, Sequence[str], Peer | None, Envelope, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class WalkSettings:
    """
    How addresses are walked.

    :param port: where servers listen unless the next hop says otherwise.
    :param fallback_relays: next hops to try when the destination is not found or unreachable.
    :param relayhost: as configured: a smarthost that is not found is the operator's mistake, not the sender's.
    :param session_limit: sessions for one request; 1: nothing after the greeting moves on; 0: no limit.
    :param lmtp: next hops are those of LMTP: no MX lookup, and there are UNIX sockets.
    :param own_name: this machine's, which is also that of a server behind a UNIX socket.
    """

    port: int = 25
    fallback_relays: tuple[str, ...] = ()
    relayhost: str = ""
    session_limit: int = 1
    lmtp: bool = False
    own_name: str = ""

    def destination(self, next_hop: str) -> Destination:
        """
        What a next hop means here.

        :raises ValueError: in words, when it means nothing.
        """
        parse = destination.parse_lmtp if self.lmtp else destination.parse
        return parse(next_hop, self.port)

    @classmethod
    def from_parameters(cls, parameters: Parameters) -> "WalkSettings":
        """Take the settings from the parameters."""
        return cls(
            destination.port_number(parameters.text("smtp_tcp_port")),
            tuple(parameters.words("smtp_fallback_relay")),
            parameters.text("relayhost"),
            parameters.integer("smtp_mx_session_limit"),
        )


@dataclass(frozen=True, slots=True)
class Means:
    """
    What an attempt works with; one value for all attempts of an agent.

    :param notify: tells the postmaster of an error, if its class is one of ``notify_classes``: class, transcript,
        server, message, what it was; None: nobody wants it.
    :param security: decides about TLS; None: there is none.
    :param logins: where to log in, and as whom; None: nowhere.
    :param debug_level: how much of the dialogue with ``debug_peers`` is logged: 1: the lines, 2: times, too.
    :param transcripts: remember what is said, for the postmaster.
    :param reachability: what is remembered of addresses.
    :param stagger: see :class:`smtpclient.delivery.calling.Caller`.
    :param habits: how servers take messages that follow each other without a pause.
    :param status_filter: replaces the status of outcomes; None: none does.
    :param lmtp: the same for the transport of that name; None: nobody asks for it.
    """

    settings: WalkSettings
    dialogue: DialogueSettings
    lookup: ExchangerLookup
    connector: Connector
    pool: Pool
    clock: IReactorTime
    maillog: MailLog
    debug_peers: PeerPatterns = field(default_factory=lambda: PeerPatterns(()))
    notify: Notify | None = None
    security: Security | None = None
    logins: Logins | None = None
    debug_level: int = 1
    transcripts: bool = True
    lmtp: "Means | None" = None
    status_filter: StatusFilter | None = None
    reachability: Reachability = field(default_factory=Reachability)
    stagger: float = 0.25
    habits: Habits = field(default_factory=Habits)

    @property
    def caller(self) -> Caller:
        """What addresses are called with."""
        return Caller(self.connector, self.reachability, self.pool.places, self.clock, self.maillog, self.stagger)

    def opening(self) -> Opening:
        """What sessions are opened with."""
        return Opening(
            self.connector,
            self.dialogue,
            self.clock,
            self.maillog,
            self.debug_peers,
            transcripts=self.notify is not None and self.transcripts,
            debug_level=self.debug_level,
        )

    def of(self, transport: str) -> "Means":
        """What a transport works with."""
        return self.lmtp if transport == "lmtp" and self.lmtp is not None else self

    async def find(self, where: Destination) -> Exchangers:
        """The servers of a destination; what does not answer is last among its equals."""
        if where.path:
            # A socket has no host but this one.
            return Exchangers(where, (Exchanger(self.settings.own_name, where.path, 0, 0),))
        found = await self.lookup.find(where)
        addresses = self.reachability.arrange(found.addresses, self.clock.seconds())
        return found if addresses is found.addresses else replace(found, addresses=addresses)

    def watch_places(self, stands_by: Callable[[int], object]) -> None:
        """Have it told when deliveries stand by for a place, and when that is over (``places``)."""
        self.pool.places.stands_by = stands_by
        if self.lmtp is not None:
            self.lmtp.watch_places(stands_by)

    async def close(self) -> None:
        """Say goodbye on all parked sessions."""
        await self.pool.close()
        if self.lmtp is not None:
            await self.lmtp.close()
