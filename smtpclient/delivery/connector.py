"""
From an address to a :class:`~smtpclient.smtp.channel.Channel`: one connection, or the operating system's reason.

Uses ``IReactorTCP.connectTCP`` with address literals only: no resolver of the reactor is ever asked. A UNIX socket is
connected to by its path.
"""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet import error
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IConnector, IReactorTime
from twisted.internet.protocol import ClientFactory, connectionDone
from twisted.python.failure import Failure

from smtpclient.config.parameters import Parameters
from smtpclient.mail import shortage
from smtpclient.smtp.channel import Channel

_FOR_EVER = 3600.0
_LONGEST_PATH = 107  # bytes that a socket's address has room for
_NO_WAY = frozenset((errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT))


class Unreachable(Exception):
    """No connection came about; the text is the system's own."""


class NoAnswer(Unreachable):
    """Nobody answered in time."""


class NoRoute(Unreachable):
    """The network knows no way there from here, and said so."""


class Shortage(Exception):
    """This machine has no more of something that a connection needs; the text is the system's own."""


class CannotBind(Unreachable):
    """Our end cannot have the address that is set for it; the text is the system's own."""


@dataclass(frozen=True, slots=True)
class ConnectorSettings:
    """
    How to connect.

    :param timeout: for one address, seconds; 0 leaves it to the system.
    :param bind_address: the local address for IPv4; empty: any.
    :param bind_address6: the same for IPv6.
    :param bind_enforce: without that address there is no connection; else it comes from any.
    :param directory: where paths of UNIX sockets begin that do not begin with a slash.
    """

    timeout: float = 30.0
    bind_address: str = ""
    bind_address6: str = ""
    bind_enforce: bool = False
    directory: str = ""

    @classmethod
    def from_parameters(cls, parameters: Parameters) -> "ConnectorSettings":
        """Take the settings from the parameters."""
        return cls(
            parameters.seconds("smtp_connect_timeout"),
            parameters.text("smtp_bind_address"),
            parameters.text("smtp_bind_address6"),
            parameters.boolean("smtp_bind_address_enforce"),
        )


class _ChannelFactory(ClientFactory):
    noisy = False

    def __init__(self, clock: IReactorTime, on_end: Callable[[], None] | None) -> None:
        self._clock = clock
        self._on_end = on_end
        self.connected: Deferred[Channel] = Deferred(self._cancel)
        self.connector: IConnector | None = None
        self.binds = False  # to an address of our own
        self._cancelled = False

    def _cancel(self, _: Deferred[Channel]) -> None:
        self._cancelled = True
        if self.connector is not None:
            self.connector.stopConnecting()

    def buildProtocol(self, addr: IAddress | None) -> Channel:
        channel = CountedChannel(self._clock)
        channel.announce = self.connected
        channel.on_end = self._on_end
        return channel

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        # Who was cancelled does not hear that it is the host's fault.
        if not self._cancelled:
            why = _failure(reason.value)
            if self.binds and reason.check(error.ConnectBindError) and not isinstance(why, Shortage):
                why = CannotBind(str(why))
            self.connected.errback(Failure(why))


class CountedChannel(Channel):
    """
    Says when it is connected, and when it is not any more.

    :ivar on_end: called when the connection is closed on our side, or lost; possibly twice.
    """

    announce: Deferred[Channel]
    on_end: Callable[[], None] | None = None

    def connectionMade(self) -> None:
        super().connectionMade()
        self.announce.callback(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._ended()  # first: whoever waits for the end finds it has been told
        super().connectionLost(reason)

    def close(self, last: bytes = b"") -> None:
        super().close(last)
        self._ended()

    def _ended(self) -> None:
        if self.on_end is not None:
            self.on_end()


class Connector:
    """
    Makes connections.

    :param reactor: provides ``IReactorTCP``, and ``IReactorUNIX`` where there are UNIX sockets to connect to.
    :param warn: takes a sentence for the operator.
    """

    def __init__(
        self,
        reactor: Any,
        clock: IReactorTime,
        settings: ConnectorSettings,
        warn: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self._reactor = reactor
        self._clock = clock
        self._settings = settings
        self._warn = warn

    async def connect(self, address: str, port: int, on_end: Callable[[], None] | None = None) -> Channel:
        """
        Connect to an address literal; with port 0, to the UNIX socket at that path.

        :param on_end: called when a connection that came about is closed on our side, or lost; possibly twice.
        :raises CannotBind: when our end cannot have the address that it must have.
        :raises Unreachable: when it does not come about in time.
        :raises Shortage: when it is this machine that cannot.
        """
        if not port:
            return await self._connect_unix(address, on_end)
        local = self._settings.bind_address6 if ":" in address else self._settings.bind_address
        try:
            return await self._connect_tcp(address, port, local, on_end)
        except CannotBind as why:
            self._warn(f"bind {local}: {why}")
            if self._settings.bind_enforce:
                raise
        return await self._connect_tcp(address, port, "", on_end)

    async def _connect_tcp(self, address: str, port: int, local: str, on_end: Callable[[], None] | None) -> Channel:
        factory = _ChannelFactory(self._clock, on_end)
        factory.binds = bool(local)
        try:
            factory.connector = self._reactor.connectTCP(
                address, port, factory, self._settings.timeout or _FOR_EVER, (local, 0) if local else None
            )
        except (OSError, error.ConnectError) as why:
            raise _failure(why) from why
        return await factory.connected

    async def _connect_unix(self, path: str, on_end: Callable[[], None] | None) -> Channel:
        where = os.path.join(self._settings.directory, path)
        if len(os.fsencode(where)) > _LONGEST_PATH:
            raise Unreachable(os.strerror(errno.ENAMETOOLONG))
        factory = _ChannelFactory(self._clock, on_end)
        try:
            factory.connector = self._reactor.connectUNIX(where, factory, self._settings.timeout or _FOR_EVER)
        except (OSError, error.ConnectError) as why:
            raise _failure(why) from why
        return await factory.connected


def _failure(why: BaseException | None) -> Exception:
    """What a failure to connect means."""
    words = _words(why)
    if why is not None and shortage.is_one(why):
        return Shortage(words)
    if isinstance(why, error.TimeoutError) or _number(why) == errno.ETIMEDOUT:
        return NoAnswer(words)
    return NoRoute(words) if _number(why) in _NO_WAY else Unreachable(words)


def _number(why: BaseException | None) -> int | None:
    """The system's number for a failure to connect."""
    number = getattr(why, "osError", None) or getattr(why, "errno", None)
    return number if isinstance(number, int) else None


def _words(why: BaseException | None) -> str:
    """The system's words for a failure to connect."""
    if isinstance(why, error.TimeoutError):
        return "Connection timed out"
    if isinstance(why, error.ConnectionRefusedError):
        return "Connection refused"
    number = _number(why)
    if number is not None:
        return os.strerror(number)
    return str(why) or type(why).__name__
