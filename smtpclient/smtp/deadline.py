"""
Limits of time: of one wait, with one timer for all that follow each other; what a limit that was missed by far means;
and how long a server may take for the content of one message (``smtp_per_request_deadline`` and
``smtp_min_data_rate``).

Without these parameters a server may take a little now and then, for ever: each piece has the whole time limit. With
them there is one limit for the whole, and what is sent earns time at the rate that a server must keep up; never more
than the limit.
"""

from collections.abc import Callable
from math import inf

from twisted.internet.interfaces import IDelayedCall, IReactorTime

STANDSTILL = 0.5
GRACE = 10.0
"""Seconds: a timer that rings later than the one was kept from ringing; so long is then waited anew."""


def missed(deadline: float, now: float, limit: float) -> float:
    """
    A deadline that has come, or a later one, where it was missed by far.

    Then the process or the machine stood still, or the clock was set. What the server has said meanwhile is not yet
    read; to break off now would be to send again what it may have accepted.

    :param deadline: seconds since the epoch, as ``now``.
    :param limit: how long is waited at most, seconds.
    """
    return now + min(limit, GRACE) if now > deadline + STANDSTILL else deadline


class Deadline:
    """
    The limit of one wait, then of the next, and so on.

    The timer is left alone when a wait ends in time, as nearly all do; when it rings it looks whether somebody waits,
    and until when. Only for an earlier limit is it made anew: to reset it to an earlier time would cost a sort of all
    timers.

    :param passed: called when a limit has passed; nobody waits any more then.
    """

    __slots__ = ("_at", "_clock", "_latest", "_limit", "_passed", "_rings", "_timer")

    def __init__(self, clock: IReactorTime, passed: Callable[[], object]) -> None:
        self._clock = clock
        self._passed = passed
        self._timer: IDelayedCall | None = None
        self._rings = inf  # when it does
        self._at: float | None = None  # when the wait has to be over; None: nobody waits
        self._latest = self._limit = 0.0

    def begin(self, limit: float, patience: int = 1) -> None:
        """
        Somebody waits.

        :param limit: how long for a sign of life, seconds.
        :param patience: so many limits for all of it, however many signs of life there are.
        """
        now = self._clock.seconds()
        self._limit = limit
        at = self._at = now + limit
        self._latest = now + limit * patience
        if self._rings > at:
            self._ring_at(at)

    def extend(self) -> None:
        """There was a sign of life: who waits goes on waiting."""
        if self._at is not None:
            self._at = max(self._at, min(self._clock.seconds() + self._limit, self._latest))

    def end(self) -> None:
        """Nobody waits any more."""
        self._at = None

    def stop(self) -> None:
        """Nobody will wait again; leaves no timer behind."""
        self._at = None
        self._rings = inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring_at(self, moment: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._clock.callLater(max(moment - self._clock.seconds(), 0.0), self._ring)
        self._rings = moment

    def _ring(self) -> None:
        self._timer = None
        self._rings = inf
        if self._at is None:
            return
        self._at = missed(self._at, self._clock.seconds(), self._limit)
        if self._clock.seconds() < self._at:
            self._ring_at(self._at)
        else:
            self._at = None
            self._passed()


class Pace:
    """
    The time that one content has left.

    :param rate: bytes per second.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._left: float | None = None

    def begin(self) -> None:
        """A new content."""
        self._left = None

    def allowance(self, limit: float, size: int) -> float:
        """
        How long the server may take to make room for more.

        :param limit: for the whole, seconds.
        :param size: of what was written now, bytes.
        """
        self._left = limit if self._left is None else min(max(self._left, 0.0) + size / self._rate, limit)
        return self._left

    def spent(self, seconds: float) -> None:
        """So long it took."""
        if self._left is not None:
            self._left -= seconds
