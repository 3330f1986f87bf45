"""
Sessions that wait for the next message to the same destination.

Everything under one key is interchangeable: the key is the transport, the next hop, what is asked of TLS there (so
that a message that asks for more never goes over a session that was good enough for less) and the login of the
message's sender, where it has one of its own. A session is only parked
when it leads to one of the destination's best exchangers, so that reuse never sends mail where a new connection
would not go.

Where connections to an address are bounded (``places``), a parked session never stands in somebody's way: it is handed
to who waits for a connection to that address, or closed, whatever key it is parked under.

Promises: a parked session that ends, or says anything unasked, is forgotten at once; none waits longer than
``smtp_connection_cache_time_limit``, is used for longer than ``smtp_connection_reuse_time_limit`` or more often than
``smtp_connection_reuse_count_limit`` allows. One may have to leave a tenth of a second early, with another.

Does not: make sessions, or look into them.
"""

from dataclasses import dataclass
from functools import partial
from math import inf

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from smtpclient.config.parameters import Parameters
from smtpclient.delivery.places import Places, Terms, Where, where_of
from smtpclient.delivery.session import Session
from smtpclient.tls.policy import Requirement

Key = tuple[str, str, Requirement | None, str]

_EARLY = 0.1  # seconds


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


class Pool:
    """
    The parked sessions of one agent.

    :param places: who waits for connections; None: nobody ever does.
    :ivar places: the same.
    """

    def __init__(self, settings: PoolSettings, clock: IReactorTime, places: Places | None = None) -> None:
        self._settings = settings
        self._clock = clock
        self.places = places or Places()
        self.places.idle = self._make_room
        self._parked: dict[Key, dict[Session, float]] = {}  # and until when each may wait
        self._timer: IDelayedCall | None = None
        self._rings = inf  # when it does
        self._leaving: set[Deferred[None]] = set()
        self._closing = False

    def wants(self, key: Key, session: Session, next_hop: str, backlog: int) -> bool:
        """
        Whether a session should be parked rather than closed.

        :param backlog: how many messages for the destination are waiting, or sure to come: for so many there need be
            sessions at hand, and no more: a server has only so many, too.
        """
        settings = self._settings
        # Who waits for a connection there has more mail for it, too.
        parked = len(self._parked.get(key, ())) if self._parked else 0
        demand = settings.on_demand and (parked < backlog or self.places.is_wanted(session))
        if not demand and next_hop.lower() not in settings.destinations:
            return False
        if self._closing or (settings.uses and session.uses >= settings.uses):
            return False
        if session.is_spent or not session.may_be_shared or not session.channel.usable:
            return False
        return session.opened + settings.lifetime > self._clock.seconds()

    def park(self, key: Key, session: Session) -> None:
        """Keep a session for the next message under the key, or for who waits for one like it."""
        if self.places.is_wanted(session):
            if not self.places.hand_over(session):
                self._dismiss(session, patient=False)
            return
        settings = self._settings
        until = min(self._clock.seconds() + settings.idle, session.opened + settings.lifetime)
        self._parked.setdefault(key, {})[session] = until
        if until < self._rings:
            self._ring_at(until)
        session.channel.on_idle_input = partial(self._forget, key, session)

    def take(self, key: Key) -> Session | None:
        """A session under the key that stands, the one used last; or None."""
        while waiting := self._parked.get(key):
            session = self._release(key, next(reversed(waiting)))
            if session.channel.usable:
                return session
            session.channel.abort()
        return None

    async def close(self) -> None:
        """Say QUIT to all that are parked, park no more meanwhile, and return when their sockets are closed."""
        self._closing = True
        for key in list(self._parked):
            while (session := self.take(key)) is not None:
                self._dismiss(session, patient=False)
        self._ring_at(inf)
        while self._leaving:
            await next(iter(self._leaving))
        self._closing = False

    def _make_room(self, where: Where, terms: Terms | None) -> Session | None:
        """Give a session to this address that is what is asked for; or close another one there, if there is one."""
        there = [
            (key, session) for key, waiting in self._parked.items() for session in waiting if where_of(session) == where
        ]
        for key, session in there:
            if session.channel.usable and self.places.fits(session, terms):
                return self._release(key, session)
        if there:
            self._dismiss(self._release(*there[0]), patient=False)
        return None

    def _forget(self, key: Key, session: Session) -> None:
        self._release(key, session)
        session.channel.abort()

    def _ring_at(self, moment: float) -> None:
        """Have one timer for all: most sessions are taken long before their time is over."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._rings = moment
        if moment < inf:
            self._timer = self._clock.callLater(max(moment - self._clock.seconds(), 0.0), self._ring)

    def _ring(self) -> None:
        """Say goodbye where the time is over, or nearly so: a thousand sessions must not be a thousand looks at all."""
        self._timer = None
        limit = max(self._clock.seconds(), self._rings) + _EARLY
        for key, waiting in list(self._parked.items()):
            for session in [session for session, until in waiting.items() if until <= limit]:
                self._dismiss(self._release(key, session), patient=True)
        self._ring_at(min((until for waiting in self._parked.values() for until in waiting.values()), default=inf))

    def _dismiss(self, session: Session, *, patient: bool) -> None:
        leaving = Deferred.fromCoroutine(_leave(session, patient=patient))
        if not leaving.called:
            self._leaving.add(leaving)
            leaving.addBoth(self._left, leaving)

    def _left(self, result: object, leaving: "Deferred[None]") -> object:
        self._leaving.discard(leaving)
        return result

    def _release(self, key: Key, session: Session) -> Session:
        waiting = self._parked[key]
        del waiting[session]
        if not waiting:
            del self._parked[key]
        session.channel.on_idle_input = None
        return session


async def _leave(session: Session, *, patient: bool) -> None:
    await session.quit(patient=patient)
    await session.channel.gone()
