"""
A network in memory: TCP between addresses, with latency, resets and half-open connections.

Connections keep order and bytes, as TCP does. A side that does not read fills the other's window, and the other's
producer is paused. What can go wrong is asked of a :class:`Weather` at each connect and each segment, which draws it
from the seed.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from twisted.internet import address, error
from twisted.internet.interfaces import IConnector, IConsumer, IListeningPort, ITCPTransport
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.simulation.clock import HeapClock

WINDOW = 32 * 1024  # bytes on their way before the sender has to wait
BUFFER = 64 * 1024  # bytes in the sender's hands before its producer is paused


@dataclass
class Weather:
    """
    What goes wrong; chances between 0 and 1.

    :param refuse: a connect is refused.
    :param vanish: a connect is never answered.
    :param reset: a segment makes the connection break, seen by both sides.
    :param freeze: a segment and all after it go nowhere, and nobody is told: a half-open connection.
    :param drop: a question to a name server gets no answer.
    :param servfail: a name server does not know what it should.
    """

    random: Random
    latency: tuple[float, float] = (0.001, 0.05)
    refuse: float = 0.0
    vanish: float = 0.0
    reset: float = 0.0
    freeze: float = 0.0
    drop: float = 0.0
    servfail: float = 0.0

    def delay(self) -> float:
        """How long something is on its way, seconds."""
        return self.random.uniform(*self.latency)

    def strikes(self, chance: float) -> bool:
        """Whether it happens this time."""
        return chance > 0 and self.random.random() < chance


@implementer(ITCPTransport, IConsumer)
class End:
    """One side's transport of a connection."""

    def __init__(self, network: "Network", host: tuple[str, int], peer: tuple[str, int]) -> None:
        self.network = network
        self.host, self.peer = host, peer
        self.other: End
        self.protocol: Protocol | None = None
        self.connected = True
        self.disconnecting = False
        self.frozen = False
        self._waiting = bytearray()
        self._on_their_way = 0
        self._arrival = 0.0
        self._producer: Any = None
        self._paused = False
        self.reading = True
        self._unread: list[bytes] = []

    # -- what protocols call --------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send."""
        if self.connected and not self.disconnecting:
            self._waiting += data
            self._push()

    def writeSequence(self, iovec: Any) -> None:
        """Send pieces."""
        self.write(b"".join(iovec))

    def loseConnection(self) -> None:
        """Close when all is sent."""
        if self.connected and not self.disconnecting:
            self.disconnecting = True
            self._push()

    def abortConnection(self) -> None:
        """Reset."""
        if self.connected:
            self._lost(error.ConnectionAborted())
            if not self.frozen:
                self._later(self.other._lost, error.ConnectionLost())

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Have a producer told when there is enough."""
        self._producer = producer

    def unregisterProducer(self) -> None:
        """Have nobody told."""
        self._producer, self._paused = None, False

    def getPeer(self) -> address.IPv4Address:
        """The other side."""
        return address.IPv4Address("TCP", *self.peer)

    def getHost(self) -> address.IPv4Address:
        """This side."""
        return address.IPv4Address("TCP", *self.host)

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing here waits."""

    def getTcpNoDelay(self) -> bool:
        """Nothing here waits."""
        return True

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Nobody probes."""

    def getTcpKeepAlive(self) -> bool:
        """Nobody probes."""
        return False

    def loseWriteConnection(self) -> None:
        """Close one direction; both, here."""
        self.loseConnection()

    def pauseProducing(self) -> None:
        """Stop reading."""
        self.reading = False

    def resumeProducing(self) -> None:
        """Read on."""
        self.reading = True
        unread, self._unread = self._unread, []
        for data in unread:
            self._deliver(data)

    def stopProducing(self) -> None:
        """Close."""
        self.loseConnection()

    # -- what the network does ------------------------------------------------------------------------------------

    def _push(self) -> None:
        while self._waiting and self._on_their_way < WINDOW and self.connected:
            segment = bytes(self._waiting[: WINDOW - self._on_their_way])
            del self._waiting[: len(segment)]
            self._on_their_way += len(segment)
            self._send(segment)
        if self._producer is not None and not self._paused and len(self._waiting) > BUFFER:
            self._paused = True
            self._producer.pauseProducing()
        if self.disconnecting and not self._waiting and self.connected:
            self._lost(error.ConnectionDone())
            if not self.frozen:
                self._later(self.other._lost, error.ConnectionDone())

    def _send(self, segment: bytes) -> None:
        weather = self.network.weather
        if weather.strikes(weather.freeze):
            self.frozen = self.other.frozen = True
            self.network.note("freeze", self.host, self.peer)
        if self.frozen:
            return
        if weather.strikes(weather.reset):
            self.network.note("reset", self.host, self.peer)
            self._later(self.other._lost, error.ConnectionLost())
            self._later(self._lost, error.ConnectionLost())
            return
        self._later(self.other._deliver, segment)

    def _later(self, function: Callable[..., None], *args: Any) -> None:
        """Have something arrive, after everything that was sent before it."""
        clock = self.network.clock
        self._arrival = max(self._arrival, clock.seconds() + self.network.weather.delay())
        clock.callLater(self._arrival - clock.seconds(), function, *args)

    def _deliver(self, segment: bytes) -> None:
        if not self.connected:
            return
        if not self.reading:
            self._unread.append(segment)
            return
        self._later(self.other._acknowledged, len(segment))
        if self.protocol is not None:
            self.protocol.dataReceived(segment)

    def _acknowledged(self, size: int) -> None:
        self._on_their_way -= size
        self._push()
        if self._paused and not self._waiting and self._producer is not None:
            self._paused = False
            self._producer.resumeProducing()

    def _lost(self, why: Exception) -> None:
        if not self.connected:
            return
        self.connected = False
        self.network.ends.pop(self, None)
        # As with a real socket, a protocol hears of its own abort in the next turn.
        self.network.clock.callLater(0, self._tell, why)

    def _tell(self, why: Exception) -> None:
        if self.protocol is not None:
            if self._producer is not None:
                self._producer.stopProducing()
            self.protocol.connectionLost(Failure(why))


@implementer(IListeningPort)
class Port:
    """A listening address."""

    def __init__(self, network: "Network", where: tuple[str, int], factory: Factory) -> None:
        self._network, self._where, self.factory = network, where, factory

    def startListening(self) -> None:
        """Listen."""
        self._network.ports[self._where] = self
        self.factory.doStart()

    def stopListening(self) -> None:
        """Listen no more."""
        if self._network.ports.pop(self._where, None) is not None:
            self.factory.doStop()

    def getHost(self) -> address.IPv4Address:
        """Where."""
        return address.IPv4Address("TCP", *self._where)


@implementer(IConnector)
class Dial:
    """A connection attempt."""

    def __init__(self, network: "Network", where: tuple[str, int], factory: ClientFactory, timeout: float) -> None:
        self._network, self._where, self._factory = network, where, factory
        self.state = "connecting"
        self._timer = network.clock.callLater(timeout, self._failed, error.TimeoutError())

    def answered(self, port: Port | None) -> None:
        """The other side takes or refuses the call."""
        if self.state != "connecting":
            return
        if port is None:
            self._failed(error.ConnectionRefusedError())
            return
        self._timer.cancel()
        self.state = "connected"
        mine, theirs = self._network.pair(self._where)
        theirs.protocol = port.factory.buildProtocol(theirs.getPeer())
        mine.protocol = self._factory.buildProtocol(mine.getPeer())
        assert mine.protocol is not None and theirs.protocol is not None
        mine.protocol.makeConnection(mine)
        theirs.protocol.makeConnection(theirs)

    def _failed(self, why: Exception) -> None:
        if self.state == "connecting":
            if self._timer.active():
                self._timer.cancel()
            self.state = "disconnected"
            self._factory.clientConnectionFailed(self, Failure(why))

    def stopConnecting(self) -> None:
        """Give up."""
        self._failed(error.UserError())

    def disconnect(self) -> None:
        """Give up."""
        self.stopConnecting()

    def connect(self) -> None:
        """Only once, here."""
        raise RuntimeError("an attempt is made once")

    def getDestination(self) -> address.IPv4Address:
        """Whom."""
        return address.IPv4Address("TCP", *self._where)


@dataclass(eq=False)
class Network:
    """The whole of it."""

    clock: HeapClock
    weather: Weather
    ports: dict[tuple[str, int], Port] = field(default_factory=dict)
    ends: dict[End, None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    next_port: int = 20_000

    def note(self, *words: object) -> None:
        """Remember something for whoever reads the trace."""
        self.notes.append(f"{self.clock.seconds():.6f} " + " ".join(map(str, words)))

    def _free_port(self) -> int:
        self.next_port += 1
        return self.next_port

    def pair(self, where: tuple[str, int]) -> tuple[End, End]:
        """Both ends of a new connection."""
        here = ("10.0.0.1", self._free_port())
        mine, theirs = End(self, here, where), End(self, where, here)
        mine.other, theirs.other = theirs, mine
        self.ends |= {mine: None, theirs: None}
        return mine, theirs

    def listen(self, host: str, port: int, factory: Factory) -> Port:
        """Listen for connections."""
        listening = Port(self, (host, port), factory)
        listening.startListening()
        return listening

    def dial(self, host: str, port: int, factory: ClientFactory, timeout: float) -> Dial:
        """Connect."""
        dial = Dial(self, (host, port), factory, timeout)
        if self.weather.strikes(self.weather.vanish):
            self.note("vanish", host, port)
            return dial
        refused = self.weather.strikes(self.weather.refuse)
        self.clock.callLater(
            self.weather.delay(), lambda: dial.answered(None if refused else self.ports.get((host, port)))
        )
        return dial
