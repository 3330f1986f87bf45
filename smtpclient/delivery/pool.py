"""
Sessions that wait for the next message to the same destination.

Everything under one key is interchangeable: the key is the transport and the next hop, and a session is only parked
when it leads to one of the destination's best exchangers, so that reuse never sends mail where a new connection
would not go.

Promises: a parked session that ends, or says anything unasked, is forgotten at once; none is kept longer than
``smtp_connection_cache_time_limit``, used for longer than ``smtp_connection_reuse_time_limit`` or more often than
``smtp_connection_reuse_count_limit`` allows.
"""

from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from smtpclient.config.parameters import Parameters
from smtpclient.delivery.session import Session

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """
    When to keep a session.

    :param on_demand: keep one while its destination has more mail waiting.
    :param destinations: next hops whose sessions are always kept.
    :param idle: how long one may wait, seconds.
    :param lifetime: how long one may be used, seconds.
    :param uses: how many messages it may carry; 0: no limit.
    """

    on_demand: bool = True
    destinations: frozenset[str] = frozenset()
    idle: float = 2.0
    lifetime: float = 300.0
    uses: int = 0

    @classmethod
    def from_parameters(cls, parameters: Parameters) -> "PoolSettings":
        """Take the settings from the ``smtp_connection_`` parameters."""
        return cls(
            parameters.boolean("smtp_connection_cache_on_demand"),
            frozenset(word.lower() for word in parameters.words("smtp_connection_cache_destinations")),
            parameters.seconds("smtp_connection_cache_time_limit"),
            parameters.seconds("smtp_connection_reuse_time_limit"),
            parameters.integer("smtp_connection_reuse_count_limit"),
        )


@dataclass(slots=True)
class _Parked:
    session: Session
    timer: IDelayedCall


class Pool:
    """The parked sessions of one agent."""

    def __init__(self, settings: PoolSettings, clock: IReactorTime) -> None:
        self._settings = settings
        self._clock = clock
        self._parked: dict[Key, list[_Parked]] = {}
        self._leaving: set[Deferred[None]] = set()

    def wants(self, session: Session, next_hop: str, backlog: bool) -> bool:
        """
        Whether a session should be parked rather than closed.

        :param backlog: more mail for the destination is waiting now.
        """
        settings = self._settings
        if not (backlog and settings.on_demand) and next_hop.lower() not in settings.destinations:
            return False
        if settings.uses and session.uses >= settings.uses:
            return False
        return self._clock.seconds() - session.opened < settings.lifetime and session.channel.usable

    def park(self, key: Key, session: Session) -> None:
        """Keep a session for the next message under the key."""
        parked = _Parked(session, self._clock.callLater(self._settings.idle, self._expire, key, session))
        self._parked.setdefault(key, []).append(parked)
        session.channel.on_idle_input = self._forgetting(key, session)

    def take(self, key: Key) -> Session | None:
        """A session under the key that stands, the one used last; or None."""
        waiting = self._parked.get(key)
        while waiting:
            parked = waiting.pop()
            parked.timer.cancel()
            parked.session.channel.on_idle_input = None
            if not waiting:
                del self._parked[key]
            if parked.session.channel.usable:
                return parked.session
            parked.session.channel.abort()
        return None

    async def close(self) -> None:
        """Say QUIT to all, and wait until they are gone."""
        for key in list(self._parked):
            while (session := self.take(key)) is not None:
                self._dismiss(session)
        for leaving in list(self._leaving):
            await leaving

    def _forgetting(self, key: Key, session: Session) -> Callable[[], None]:
        def forget() -> None:
            if self._remove(key, session):
                session.channel.abort()

        return forget

    def _expire(self, key: Key, session: Session) -> None:
        if self._remove(key, session):
            self._dismiss(session)

    def _dismiss(self, session: Session) -> None:
        leaving = Deferred.fromCoroutine(session.quit())
        if not leaving.called:
            self._leaving.add(leaving)
            leaving.addBoth(lambda _: self._leaving.discard(leaving))

    def _remove(self, key: Key, session: Session) -> bool:
        waiting = self._parked.get(key, [])
        for parked in waiting:
            if parked.session is session:
                waiting.remove(parked)
                if not waiting:
                    del self._parked[key]
                if parked.timer.active():
                    parked.timer.cancel()
                session.channel.on_idle_input = None
                return True
        return False
