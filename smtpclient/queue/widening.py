"""
When a destination may have one request more under way than it has.

Another session with a server that answers as fast as we ask gains nothing: what is slow then is this process, and a new
session costs it more than another message over one that stands, where moreover one can follow the other without a
pause. So while the process has no time left, a destination whose deliveries are *quick* goes on with what it has under
way, and its other mail waits for that. One whose server lets us wait opens as wide as its window, whatever else is
going on.

How busy the process is shows in how long a turn of the reactor takes, all that is done in it included; how quick a
destination is, in how many turns its deliveries take. Turns are only watched while there is something to decide by it.

Promises: a destination with nothing under way is never held; where the process has time to spare, a few who wait may
begin in each turn; a delivery that takes longer than :data:`QUICK` turns, or fails, lets the others of its destination
begin.

Does not: know windows, or start anything (``destinations``, ``dispatch``).

Known limits: what other processes take of the machine looks like work of this one.
"""

from collections import OrderedDict
from collections.abc import Callable
from math import inf

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from smtpclient.queue.destination_queue import Destination

QUICK = 8
"""In how many turns a quick delivery is over. One with a session of its own takes five or six."""

AT_ONCE = 20
"""How many requests may begin in a turn that has shown that there is time to spare."""

_IDLE_TURN = 0.001  # seconds; it takes less than a tenth of that where nothing is done in it
_LOOKS = 50  # who waits is asked in turn whether it is still quick, so many in one turn
_CALM = 2  # so many turns with time to spare, and nobody who waits: the watch ends


class Widening:
    """
    Watches the turns of the reactor, and lets destinations widen.

    :param changed: called for a destination that waits and may begin.
    :param wake: called when some of them may.
    :ivar held: the destinations that have mail and places, and wait; the owner puts them in and takes them out.
    :ivar turn: the number of this turn, while turns are watched.
    """

    def __init__(
        self, clock: IReactorTime, changed: Callable[[Destination], object], wake: Callable[[], object]
    ) -> None:
        self._clock = clock
        self._changed = changed
        self._wake = wake
        self.held: OrderedDict[Destination, None] = OrderedDict()
        self.turn = 0
        self._free = inf  # how many may begin in this turn
        self._calm = 0  # turns with time to spare since somebody has begun
        self._since = 0.0
        self._watch: IDelayedCall | None = None

    def allows(self, destination: Destination) -> bool:
        """Whether a destination with something under way may begin something more."""
        return self._free > 0 or destination.quick_until <= self.turn

    def begins(self, destination: Destination) -> None:
        """Note that a request begins; it may be quick, unless the last one was not."""
        if not destination.running:
            if destination.quick_until:
                destination.quick_until = self.turn + QUICK
            return
        self._calm = 0
        self._free -= 1
        if self._watch is None:
            self._since = self._clock.seconds()
            self._watch = self._clock.callLater(0, self._next_turn)

    def ended(self, destination: Destination, begun: int) -> None:
        """
        Note that a destination could be used.

        :param begun: the turn in which the delivery had begun.
        """
        destination.quick_until = self.turn + QUICK if self.turn - begun <= QUICK else 0

    def clear(self) -> None:
        """Leave no timer behind, and forget who waits."""
        self.held.clear()
        self._rest()

    def _rest(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        self._free = inf

    def _next_turn(self) -> None:
        self._watch = None
        now = self._clock.seconds()
        has_time = 0 <= now - self._since < _IDLE_TURN
        self._since = now
        self.turn += 1
        self._calm = self._calm + 1 if has_time else 0
        if self._calm >= _CALM and not self.held:
            self._rest()
            return
        self._watch = self._clock.callLater(0, self._next_turn)
        self._free = (AT_ONCE if self.held else inf) if has_time else 0
        if self.held and self._look():
            self._wake()

    def _look(self) -> bool:
        """Ask some of those who wait whether they may begin; whether one may."""
        found = False
        for _ in range(min(_LOOKS, len(self.held))):
            destination, _ = self.held.popitem(last=False)
            self.held[destination] = None
            if self.allows(destination):
                found = True
                self._changed(destination)
        return found
