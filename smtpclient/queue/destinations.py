"""
Every destination that has mail or a past, and whose turn it is.

Destinations take turns: each starts one request, then the next one's turn comes. Those for which nothing is under
way come first, and a fifth of the delivery slots is kept for them: so destinations that are slow enough to fill
all their windows slow down each other, not the rest of the world. Those that are suspended come last, and only in
spare time (``spare_time``): their mail is deferred, and nobody waits for that.

A destination is forgotten as soon as nothing waits for it and nothing is under way, with all that its window has
learnt. Only one that is dead is remembered until its time is over, and that there was one, for :data:`BACK_TO_BACK`
seconds: where mail follows mail so closely it is worth it to keep sessions.

Promises: every operation takes the same time, however many destinations there are; only what has mail, had some just
now, or is dead is in memory.

Does not: start requests (``scheduler``).
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from math import inf

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from smtpclient.mail.outcome import SiteFailure
from smtpclient.queue.destination_queue import LOCAL, Destination, DestinationState, TransportSettings
from smtpclient.queue.spare_time import SpareTime
from smtpclient.queue.widening import Widening

BACK_TO_BACK = 1.0
"""Mail that comes within so many seconds after the last for the same destination makes it a frequent one."""

RESERVED = 5
"""One delivery slot in so many is for destinations that have nothing under way."""


Key = tuple[str, str] | SiteFailure
"""Where mail goes: a transport and a next hop, or why it goes nowhere."""


class Destinations:
    """
    The destinations of one scheduler.

    :param settings: says how mail of a transport is scheduled.
    :param delivery_limit: how many requests may be under way at once, to all destinations together.
    :param wake: called when a destination may start something again by the mere passing of time.
    :ivar untouched: those with nothing under way that may start something, in the order of their turns.
    :ivar busy: those with something under way.
    :ivar suspended: those whose mail is only deferred.
    :ivar dead: those that are not contacted for now.
    """

    def __init__(
        self,
        settings: Callable[[str], TransportSettings],
        delivery_limit: int,
        clock: IReactorTime,
        wake: Callable[[], object],
    ) -> None:
        self._settings = settings
        self._limit = delivery_limit
        self._limit_of_busy = max(delivery_limit - delivery_limit // RESERVED, 1)
        self._clock = clock
        self._wake = wake
        self._known: dict[Key, Destination] = {}
        # In the order of their turns. An OrderedDict gives its first key in constant time, which a dict does not
        # when many before it have been deleted.
        self.untouched: OrderedDict[Destination, None] = OrderedDict()
        self.busy: OrderedDict[Destination, None] = OrderedDict()
        self.suspended: OrderedDict[Destination, None] = OrderedDict()
        self._done: OrderedDict[tuple[str, str], float] = OrderedDict()  # when those just forgotten were
        self.dead: OrderedDict[Destination, None] = OrderedDict()
        self.spare_time = SpareTime(clock, wake)
        self.widening = Widening(clock, self.update, wake)
        self._pauses: dict[Destination, IDelayedCall] = {}
        self.running = 0

    def __len__(self) -> int:
        return len(self._known)

    def at(self, key: Key) -> Destination:
        """Where mail goes that has this key."""
        known = self._known.get(key) if not self.dead else None
        if known is not None:
            return known
        return self.refusing(key) if isinstance(key, SiteFailure) else self.find(*key)

    def find(self, transport: str, next_hop: str) -> Destination:
        """The destination of a route."""
        if self.dead:
            self._revive_due(self._clock.seconds())
        destination = self._known.get((transport, next_hop))
        if destination is None:
            now = self._clock.seconds()
            destination = Destination(transport, next_hop, self._settings(transport), now)
            destination.is_frequent = self._done.pop(destination.key, -inf) + BACK_TO_BACK >= now
            self._known[transport, next_hop] = destination
        elif destination.suspension is not None and destination.suspended_until <= self._clock.seconds():
            self._revive(destination)
            if destination.jobs:  # with nothing to do it would be forgotten, and somebody is about to give it mail
                self.update(destination)
        return destination

    def get(self, transport: str, next_hop: str) -> Destination | None:
        """The destination of a route, if it has mail or is dead."""
        return self._known.get((transport, next_hop))

    def refusing(self, failure: SiteFailure) -> Destination:
        """A destination that is not contacted, whatever happens: its mail is deferred with this failure."""
        words = f"{failure.status} {failure.reason}"
        destination = self._known.get(("", words))
        if destination is None:
            destination = Destination("retry", words, LOCAL, self._clock.seconds(), failure)
            self._known[destination.key] = destination
        return destination

    def next(self) -> Destination | None:
        """
        Whose turn it is; it has to take a request now, or :meth:`update` be told that it did not.

        :return: None when nobody waits who may start, or all slots are taken.
        """
        while True:
            if self.untouched and self.running < self._limit:
                destination, _ = self.untouched.popitem(last=False)
            elif self.busy and self.running < self._limit_of_busy:
                destination, _ = self.busy.popitem(last=False)
                destination.turn = None
                if self._line(destination) is not self.busy:
                    self.update(destination)
                    continue
            elif self.suspended and self.running < self._limit and self.spare_time.is_now:
                destination, _ = self.suspended.popitem(last=False)
            else:
                return None
            destination.turn = None
            if destination.suspension is not None and destination.suspended_until <= self._clock.seconds():
                self._revive(destination)
                if not destination.may_start():
                    continue  # more of its mail is being deferred than its window allows deliveries
            return destination

    def update(self, destination: Destination) -> None:
        """Give a destination its place among the turns, or none, after anything about it has changed."""
        turn = None
        if destination.may_start():
            turn = self._line(destination)
        # After a clear() its place may be another's.
        elif not destination.jobs and destination.idle() and self._known.get(destination.key) is destination:
            del self._known[destination.key]
            self._note_done(destination.key)
        if turn is not destination.turn:
            if destination.turn is not None:
                del destination.turn[destination]
            if turn is not None:
                turn[destination] = None
            destination.turn = turn

    def _line(self, destination: Destination) -> OrderedDict[Destination, None]:
        """Where a destination stands that has mail and places."""
        if destination.suspension is not None:
            return self.suspended
        if not destination.running:
            return self.untouched
        return self.busy if self.widening.allows(destination) else self.widening.held

    def succeeded(self, destination: Destination, begun: int) -> None:
        """
        It could be used: its window may grow, and if it was dead it lives.

        :param begun: the turn in which the delivery had begun (``widening``).
        """
        destination.succeeded()
        self.widening.ended(destination, begun)
        if self.dead:
            self.dead.pop(destination, None)

    def failed(self, destination: Destination, failure: SiteFailure, retry_time: float) -> bool:
        """
        It could not be used: its window shrinks, or it is dead.

        :param retry_time: for how long, seconds.
        :return: whether it has died of it.
        """
        destination.quick_until = 0
        died = destination.failed(failure, self._clock.seconds() + retry_time)
        if died:
            self.dead[destination] = None
        return died

    def pause(self, destination: Destination) -> None:
        """Keep the next delivery to a destination apart from the last one by its ``destination_rate_delay``."""
        destination.paused = True
        self._pauses[destination] = self._clock.callLater(destination.settings.rate_delay, self._resume, destination)

    def forget_dead(self) -> None:
        """Let every destination be tried again."""
        for destination in list(self.dead):
            self._revive(destination)
            self.update(destination)

    def clear(self) -> None:
        """Forget everything and leave no timer behind; requests under way end as if nothing had happened."""
        for pause in self._pauses.values():
            pause.cancel()
        self.spare_time.clear()
        self.widening.clear()
        for destination in self._known.values():
            destination.clear()
        for table in (self._pauses, self._known, self.untouched, self.busy, self.suspended, self.dead, self._done):
            table.clear()

    def states(self) -> Iterator[DestinationState]:
        """A snapshot of each, for the operator."""
        for destination in list(self._known.values()):
            yield destination.state()

    def _resume(self, destination: Destination) -> None:
        del self._pauses[destination]
        destination.paused = False
        self.update(destination)
        self._wake()

    def _note_done(self, key: tuple[str, str]) -> None:
        now = self._clock.seconds()
        done = self._done
        done[key] = now
        while True:
            first = next(iter(done))
            if now - done[first] <= BACK_TO_BACK:
                return
            del done[first]

    def _revive(self, destination: Destination) -> None:
        self.dead.pop(destination, None)
        destination.revive()

    def _revive_due(self, now: float) -> None:
        """
        Forget the dead whose time is over.

        They stand in the order of their deaths, not of their revivals; one that waits behind another with a longer
        time is revived when its own turn or mail comes.
        """
        while self.dead:
            destination = next(iter(self.dead))
            if destination.suspended_until > now:
                return
            self._revive(destination)
            self.update(destination)
