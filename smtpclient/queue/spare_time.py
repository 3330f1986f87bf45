"""
Time that nobody else has a use for: in which mail for dead destinations is deferred.

To defer a message costs about as much as to deliver one, and nobody waits for it. A hundred thousand of them must not
take nine tenths of the time from the ten thousand that can be delivered. So deferrals are made in small batches. Behind
each of them others have their turn, and the longer they take for it, the longer is the rest until the next batch. Where
nobody else has anything to do there is next to none; where others take all the time there is, deferrals get about a
hundredth of it.

Promises: a batch takes about :data:`SLICE`, or :data:`BATCH` deferrals that wait for something; after a rest of at most
:data:`LONGEST_REST` there is another one, whatever else is going on.

Does not: know what is done in that time (``destinations``); tell what others in this process use from what other
processes take of the machine.
"""

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

BATCH = 20
"""How many pieces of work are begun in one batch; their records share disk writes."""

SLICE = 0.005
"""For how long pieces of work are begun in one batch, seconds."""

LONGEST_REST = 2.0
"""Seconds until the next batch, however busy it is."""

REST_PER_WORK = 100.0
"""How many times as long as a batch is the rest behind it, where others take as long as the batch did, or longer."""

_IDLE_TURN = 0.001  # seconds; what two turns of the reactor take by themselves


class SpareTime:
    """
    Says when work that can wait may be done.

    :param wake: called when it may be again.
    """

    def __init__(self, clock: IReactorTime, wake: Callable[[], object]) -> None:
        self._clock = clock
        self._wake = wake
        self._begun = self._ended = clock.seconds()  # of the batch under way
        self._started = 0  # in this batch
        self._running = 0
        self._rest: IDelayedCall | None = None

    @property
    def is_now(self) -> bool:
        """Whether another piece of work may be begun."""
        if self._rest is not None:
            return False
        if not self._started or not self._is_full():
            return True
        if not self._running:
            self._end_batch()
        return False

    def begin(self) -> None:
        """Note that a piece of work was begun."""
        if not self._started:
            self._begun = self._ended = self._clock.seconds()
        self._started += 1
        self._running += 1

    def end(self) -> None:
        """Note that one has ended."""
        self._running -= 1
        self._ended = self._clock.seconds()
        if not self._running and self._rest is None and self._is_full():
            self._end_batch()

    def clear(self) -> None:
        """Leave no timer behind; what is under way ends as if nothing had happened."""
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        self._started = 0

    def _is_full(self) -> bool:
        return self._started >= BATCH or not 0 <= self._clock.seconds() - self._begun < SLICE

    def _end_batch(self) -> None:
        worked = max(self._ended - self._begun, 0.0)
        # What was left of this turn of the reactor is not a whole one.
        self._rest = self._clock.callLater(0, self._others_begin, worked, self._clock.seconds())

    def _others_begin(self, worked: float, since: float) -> None:
        self._rest = self._clock.callLater(0, self._others_end, worked, since)

    def _others_end(self, worked: float, since: float) -> None:
        others = max(self._clock.seconds() - since - _IDLE_TURN, 0.0)
        rest = min(REST_PER_WORK * min(others, worked), LONGEST_REST)
        if rest:
            self._rest = self._clock.callLater(rest, self._rested)
        else:
            self._rested()

    def _rested(self) -> None:
        self._rest = None
        self._started = 0
        self._wake()
