"""
How many connections to one address may be open at once, whatever destinations they are for.

Whoever wants a connection has a *place* first (:meth:`Places.enter`). While there are free ones that costs nothing;
then it waits, and who came first is served first. Instead of a place one may get a standing session, when what was
asked of it (:class:`Terms`) is exactly what is asked now: then nothing needs to be opened. What is parked in the pool
has a place too, but never while somebody waits for it: it is handed over, or hears QUIT.

Promises: no more than ``most`` places for one address; one is given back when the connection is closed on our side, by
whatever end, and only once; who is cancelled while it waits leaves no trace.

Does not: connect, or limit how long one waits. Connections end, by their time limits at the latest, and who waits has
no connection open that somebody else could wait for, but for calls that are under way.

Known limits: a connection that was closed here may stand at the server for a round trip more.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from twisted.internet.defer import Deferred

from smtpclient.config.parameters import Parameters
from smtpclient.delivery.credentials import Entry
from smtpclient.delivery.session import Session
from smtpclient.smtp.channel import Channel
from smtpclient.tls.policy import TlsPolicy

Where = tuple[str, int]


class Terms(NamedTuple):
    """
    What is asked of a session.

    :param host: the name that the server goes by.
    :param policy: what TLS must live up to.
    :param login: as whom we are logged in; None: nobody.
    """

    host: str
    policy: TlsPolicy
    login: Entry | None = None


def where_of(session: Session) -> Where:
    """The address that a session leads to."""
    return session.peer.address, session.peer.port


class Place:
    """The right to one connection."""

    __slots__ = ("_places", "channel", "terms", "where")

    def __init__(self, places: "Places | None", where: Where, terms: Terms | None) -> None:
        self._places = places
        self.where = where
        self.terms = terms
        self.channel: Channel | None = None

    def give_back(self) -> None:
        """There is no connection, or no more."""
        places, self._places = self._places, None
        if places is not None:
            places.left(self)


@dataclass(slots=True, eq=False)
class _Waiting:
    terms: Terms | None
    served: Deferred[Place | Session]
    waits: Callable[[int], None]


class Places:
    """
    The places of one agent.

    :param most: for one address; 0: no limit.
    :ivar idle: gives an idle session to an address that fits the terms, or closes another one there; set by the pool.
    :ivar stands_by: is told 1 when a delivery does nothing any more but wait for a place, and -1 when that is over: a
        delivery that stands by uses no connection and no file.
    """

    def __init__(self, most: int = 0) -> None:
        self._most = most
        self._taken: dict[Where, int] = {}
        self._held: dict[Channel, Place] = {}
        self._waiting: dict[Where, dict[_Waiting, None]] = {}
        self._returned: list[Place] = []
        self.idle: Callable[[Where, Terms | None], Session | None] = lambda where, terms: None
        self.stands_by: Callable[[int], object] = lambda change: None

    @classmethod
    def from_parameters(cls, parameters: Parameters) -> "Places":
        """As many as ``smtp_host_connection_limit`` says, or as the widest destination may need."""
        given = parameters.text("smtp_host_connection_limit")
        if given:
            return cls(int(given))
        names = {"smtp_destination_concurrency_limit", "relay_destination_concurrency_limit"}
        names |= {line.partition(" ")[0] for line in parameters.dump(non_default_only=True)}
        limits = [parameters.integer(name) for name in names if name.endswith("_destination_concurrency_limit")]
        return cls(0 if 0 in limits else max(limits))

    async def enter(
        self, where: Where, terms: Terms | None, waits: Callable[[int], None] = lambda change: None
    ) -> Place | Session:
        """
        A place for a connection to an address, or a session that stands there; wait until there is one.

        :param terms: what is asked of a session; None: it must be a new one.
        :param waits: is told 1 when the waiting begins, and -1 when it is over.
        """
        if not self._most:
            return Place(None, where, terms)
        if where not in self._waiting and self._taken.get(where, 0) < self._most:
            return self._place(where, terms)
        return await self._wait(where, terms, waits)

    def hold(self, place: Place, channel: Channel) -> None:
        """The connection stands."""
        if self._most:
            place.channel = channel
            self._held[channel] = place

    def is_wanted(self, session: Session) -> bool:
        """Whether somebody waits for a connection to the same server."""
        return bool(self._waiting) and where_of(session) in self._waiting

    def hand_over(self, session: Session) -> bool:
        """Give a session to who has waited longest, if it fits; whether it did."""
        first = next(iter(self._waiting[where_of(session)]))
        if not self.fits(session, first.terms):
            return False
        first.served.callback(session)
        return True

    def fits(self, session: Session, terms: Terms | None) -> bool:
        """Whether a session is what is asked for."""
        place = self._held.get(session.channel)
        return place is not None and terms is not None and place.terms == terms

    def left(self, place: Place) -> None:
        """A place is free; for :class:`Place` alone."""
        if place.channel is not None:
            del self._held[place.channel]
            place.channel = None
        self._returned.append(place)
        if len(self._returned) > 1:
            return  # further up in this stack somebody is at it
        # Who gets a place may give it back at once: a thousand of them must not be a thousand frames deep.
        while self._returned:
            self._pass_on(self._returned[0].where)
            self._returned.pop(0)

    def _pass_on(self, where: Where) -> None:
        self._taken[where] -= 1
        waiting = self._waiting.get(where)
        if waiting:
            first = next(iter(waiting))
            first.served.callback(self._place(where, first.terms))
        elif not self._taken[where]:
            del self._taken[where]

    def _place(self, where: Where, terms: Terms | None) -> Place:
        self._taken[where] = self._taken.get(where, 0) + 1
        return Place(self, where, terms)

    async def _wait(self, where: Where, terms: Terms | None, waits: Callable[[int], None]) -> Place | Session:
        waiting = _Waiting(terms, Deferred(), waits)
        self._waiting.setdefault(where, {})[waiting] = None
        waiting.served.addBoth(self._forget, where, waiting)
        waits(1)
        session = self.idle(where, terms)
        if session is not None:
            waiting.served.callback(session)
        return await waiting.served

    def _forget(self, result: object, where: Where, waiting: _Waiting) -> object:
        queue = self._waiting[where]
        del queue[waiting]
        if not queue:
            del self._waiting[where]
        waiting.waits(-1)
        return result
