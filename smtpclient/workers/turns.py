"""
Beginning a few at a time: what has come is begun as the reactor goes round, between what is under way.

A worker is given requests as fast as the service finds them. Were all of them begun at once, each would find the
sessions of its destination in use by the others and make one of its own, and all of them would be slow together. So a
few begin in each turn of the reactor, and those that wait are known as mail that sessions are worth keeping for.

Promises: no more than :data:`MOST` begin in one turn of the reactor, in the order in which they came; who comes when
few have begun does not wait at all; while nobody comes there is no timer.

Does not: bound how many are under way; what waits for a server holds up nobody.
"""

from collections import deque

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

MOST = 5
"""
How many begin in one turn of the reactor.

Of 3,000 messages to 200 destinations 1,300 went over a session that stood when all began at once, 2,200 to 2,400 with
ten, five, three and one of them in a turn; a turn costs something, too.
"""


class Turns:
    """
    Whose turn it is to begin.

    :param clock: the reactor.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: deque[Deferred[None]] = deque()
        self._begun = 0  # in this turn
        self._next: IDelayedCall | None = None

    async def come(self) -> None:
        """Return when it is one's turn; who is cancelled meanwhile holds up nobody."""
        # Where somebody waits, so many have begun.
        if self._begun < MOST:
            self._count()
            return
        turn: Deferred[None] = Deferred()
        self._waiting.append(turn)
        await turn

    def _count(self) -> None:
        self._begun += 1
        if self._next is None:
            self._next = self._clock.callLater(0, self._next_turn)

    def _next_turn(self) -> None:
        self._next = None
        self._begun = 0
        while self._waiting and self._begun < MOST:
            turn = self._waiting.popleft()
            if not turn.called:  # it was cancelled
                self._count()
                turn.callback(None)
