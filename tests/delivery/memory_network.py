"""
A delivery agent whose network is in memory: scripted servers by address, a clock that jumps, a settlement that notes.

Everything between the request and the transport is real.
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.logger import LogEvent
from twisted.test import iosim

from smtpclient.delivery.attempt import Attempt
from smtpclient.delivery.connector import CountedChannel, Unreachable
from smtpclient.delivery.destination import Destination
from smtpclient.delivery.means import Means, WalkSettings
from smtpclient.delivery.places import Places
from smtpclient.delivery.pool import Pool, PoolSettings
from smtpclient.dns.exchangers import Exchanger, Exchangers, LookupFailure
from smtpclient.mail.envelope import Envelope
from smtpclient.mail.outcome import Disposition, Outcome, Peer
from smtpclient.mail.request import DeliveryRequest, DeliveryResult
from smtpclient.observe.maillog import MailLog
from smtpclient.observe.peers import PeerPatterns
from smtpclient.smtp.channel import Channel
from smtpclient.smtp.settings import DialogueSettings
from tests.mail.messages import MemoryContent, envelope, recipients
from tests.smtp.in_memory import connected, played
from tests.smtp.scripted_server import Script, ScriptedSession

T = TypeVar("T")

NOT_FOUND = LookupFailure(Disposition.BOUNCED, "5.4.4", "Host or domain name not found", not_found=True)
TRY_AGAIN = LookupFailure(Disposition.DEFERRED, "4.4.3", "Host or domain name not found, try again")
LOOP = LookupFailure(Disposition.BOUNCED, "5.4.6", "mail for example.org loops back to myself")


class MemoryLookup:
    """
    Finds what a test says, in place of an ``ExchangerLookup``.

    :ivar asked: the destinations that were looked up.
    """

    def __init__(self) -> None:
        self.sites: dict[str, Exchangers] = {}
        self.asked: list[str] = []

    async def find(self, destination: Destination) -> Exchangers:
        """What the test says of this host."""
        self.asked.append(destination.host)
        return self.sites[destination.host]


class MemoryConnector:
    """
    Connects to scripted servers in memory, in place of a ``Connector``.

    :ivar attempts: every address that was tried.
    :ivar times: when that was, on the clock.
    :ivar delays: how long it takes until an address answers, seconds; others answer at once.
    :ivar under_way: the addresses that have been called and have not answered.
    :ivar sessions: every connection that came about, by address.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.times: list[float] = []
        self.delays: dict[str, float] = {}
        self.under_way: list[str] = []
        self.scripts: dict[str, Script | str | Exception] = {}
        self.attempts: list[str] = []
        self.sessions: dict[str, list[ScriptedSession]] = {}
        self.pumps: list[iosim.IOPump] = []

    async def connect(self, address: str, port: int, on_end: Callable[[], None] | None = None) -> Channel:
        """A connection to the scripted server at an address, or the reason that stands there."""
        self.attempts.append(address)
        self.times.append(self._clock.seconds())
        if address in self.delays:
            self.under_way.append(address)
            try:
                await deferLater(self._clock, self.delays[address])
            finally:
                self.under_way.remove(address)
        script = self.scripts[address]
        if isinstance(script, str):
            raise Unreachable(script)
        if isinstance(script, Exception):
            raise script
        server = ScriptedSession(script, self._clock)
        self.sessions.setdefault(address, []).append(server)
        channel = CountedChannel(self._clock)
        channel.announce, channel.on_end = Deferred(), on_end
        self.pumps.append(connected(server, channel, self._clock))
        return channel


class World:
    """
    One agent and its network.

    :param servers: name to script, or to the reason why it cannot be reached, or to what connecting raises. Each gets
        the host ``mx-NAME.example``
        and is an exchanger of ``example.org``, in the order given, at preferences 10, 20 and so on.
    :param most: connections to one address; 0: no limit.
    :ivar settled: every batch of outcomes that was settled.
    :ivar notices: what the postmaster was told.
    """

    def __init__(
        self,
        servers: Mapping[str, Script | str | Exception],
        *,
        walk: WalkSettings | None = None,
        dialogue: DialogueSettings | None = None,
        pool: PoolSettings | None = None,
        most: int = 0,
        notify: bool = False,
        debug_peers: Sequence[str] = (),
        settle: Callable[[Sequence[Outcome]], Sequence[Outcome]] = list,
    ) -> None:
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.lookup = MemoryLookup()
        self.connector = MemoryConnector(self.clock)
        self.names: dict[str, str] = {}
        self.place("example.org", servers)
        self.lines: list[str] = []
        maillog = MailLog(self.clock.seconds)
        maillog.publisher.addObserver(self._note_line)
        self.pool = Pool(pool or PoolSettings(), self.clock, Places(most))
        self.settled: list[Sequence[Outcome]] = []
        self.notices: list[tuple[str, Sequence[str], Peer | None, Envelope, str]] = []
        self._change = settle
        self.means = Means(
            walk or WalkSettings(),
            dialogue or DialogueSettings("me.example", "me.example"),
            self.lookup,  # type: ignore[arg-type]
            self.connector,  # type: ignore[arg-type]
            self.pool,
            self.clock,
            maillog,
            PeerPatterns(debug_peers),
            self._notify if notify else None,
        )

    def place(self, site: str, servers: Mapping[str, Script | str | Exception], *, preference: int = 0) -> None:
        """
        Make servers the exchangers of a site.

        :param preference: that of all of them; 0: 10, 20 and so on.
        """
        exchangers = []
        for number, (name, script) in enumerate(servers.items(), 1):
            address = f"192.0.2.{len(self.names) + 1}"
            self.names[address] = name
            self.connector.scripts[address] = script
            exchangers.append(Exchanger(f"mx-{name}.example", address, 25, preference or 10 * number))
        self.lookup.sites[site] = Exchangers(Destination(site, 25, True, False), tuple(exchangers))

    def fail(self, site: str, failure: LookupFailure, *, found_self: bool = False) -> None:
        """Let a site have no exchanger."""
        self.lookup.sites[site] = Exchangers(Destination(site, 25, True, False), (), failure, found_self)

    def request(self, *addresses: str, **changes: Any) -> DeliveryRequest:
        """A request for ``example.org``, from these addresses or from ``u1``."""
        whom = recipients(*(addresses or ("u1@example.org",)))
        mail = {key: changes.pop(key) for key in ("size", "utf8", "sender", "attributes") if key in changes}
        values: dict[str, Any] = {
            "envelope": envelope(arrival=990.0, created=990.0, **mail),
            "recipients": whom,
            "transport": "smtp",
            "next_hop": "example.org",
            "content": MemoryContent(),
            "activated": 995.0,
        }
        return DeliveryRequest(**{**values, **changes})

    def deliver(self, *addresses: str, **changes: Any) -> DeliveryResult:
        """Make one attempt."""
        return self.run(self.attempt(self.request(*addresses, **changes)))

    def attempt(self, request: DeliveryRequest) -> Coroutine[Deferred[Any], Any, DeliveryResult]:
        """One attempt, not yet begun."""
        return Attempt(self.means, request, self.settle).run()

    async def settle(self, request: DeliveryRequest, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
        """Note the outcomes, and make of them what the test wants."""
        self.settled.append(outcomes)
        return self._change(outcomes)

    def run(self, coroutine: Coroutine[Deferred[Any], Any, T]) -> T:
        """What the coroutine returns or raises, however long it takes on the clock."""
        return played(coroutine, self.clock, self.flush)

    def flush(self) -> None:
        """Carry bytes until there are none."""
        while sum(pump.flush() for pump in self.connector.pumps):
            pass

    @property
    def attempts(self) -> str:
        """The names of the servers that were tried, in order."""
        return " ".join(self.names[address] for address in self.connector.attempts)

    def sessions(self, name: str) -> list[ScriptedSession]:
        """The connections to a server."""
        [address] = [address for address, known in self.names.items() if known == name]
        return self.connector.sessions.get(address, [])

    def verbs(self, name: str) -> str:
        """The commands that a server got in its last session."""
        return " ".join(verb.partition(" ")[0] for verb in self.sessions(name)[-1].verbs)

    async def _notify(
        self, error_class: str, transcript: Sequence[str], peer: Peer | None, message: Envelope, reason: str
    ) -> None:
        self.notices.append((error_class, transcript, peer, message, reason))

    def _note_line(self, event: LogEvent) -> None:
        self.lines.append(event["mail_line"])


def short(result: DeliveryResult) -> list[str]:
    """Disposition and status of each outcome, in the order of the recipients."""
    ordered = sorted(result.outcomes, key=lambda outcome: outcome.recipient.offset)
    return [f"{outcome.disposition.value} {outcome.status}" for outcome in ordered]
