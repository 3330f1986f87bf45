"""
A clock that stands until it is told to go on, with a heap of timers.

``twisted.internet.task.Clock`` sorts all its timers at every ``callLater``, which makes ten thousand of them slow; and
it runs what is due in the order of that sort. Here timers that are due at the same instant run in the order in which
they were made, so that one seed gives one trace.
"""

import heapq
from collections.abc import Callable
from itertools import count
from typing import Any

from twisted.internet.base import DelayedCall
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

_Entry = tuple[float, int, DelayedCall]


@implementer(IReactorTime)
class HeapClock:
    """Simulated time, seconds since the epoch."""

    def __init__(self, start: float = 1_800_000_000.0) -> None:
        self.now = start
        self._heap: list[_Entry] = []
        self._order = count()
        self.calls = 0

    def seconds(self) -> float:
        """The time."""
        return self.now

    def callLater(self, delay: float, function: Callable[..., Any], *args: Any, **keywords: Any) -> IDelayedCall:
        """Run a function when the time has come."""
        call = DelayedCall(self.now + max(delay, 0.0), function, args, keywords, _cancelled, self._moved, self.seconds)
        heapq.heappush(self._heap, (call.time, next(self._order), call))
        return call

    def _moved(self, call: DelayedCall) -> None:
        # DelayedCall.reset to a later time only notes the delay; to an earlier one it asks for a new place.
        heapq.heappush(self._heap, (call.getTime(), next(self._order), call))

    def getDelayedCalls(self) -> list[IDelayedCall]:
        """The timers that are set."""
        unique = {id(call): call for _, _, call in self._heap if call.active()}
        return list(unique.values())

    def step(self) -> bool:
        """Go to the next timer and run it; false when there is none."""
        while self._heap:
            when, _, call = heapq.heappop(self._heap)
            if not call.active():
                continue
            if call.getTime() > when:
                heapq.heappush(self._heap, (call.getTime(), next(self._order), call))
                continue
            self.now = max(self.now, call.getTime())
            call.called = 1
            self.calls += 1
            call.func(*call.args, **call.kw)
            return True
        return False

    def next_time(self) -> float | None:
        """When the next timer is due."""
        while self._heap:
            when, order, call = self._heap[0]
            if not call.active():
                heapq.heappop(self._heap)
            elif call.getTime() > when:
                heapq.heapreplace(self._heap, (call.getTime(), order, call))
            else:
                return when
        return None

    def advance(self, seconds: float) -> None:
        """Let time pass, and run all that falls due."""
        end = self.now + seconds
        while (when := self.next_time()) is not None and when <= end:
            self.step()
        self.now = max(self.now, end)


def _cancelled(call: DelayedCall) -> None:
    """Cancelled timers are dropped when their turn comes."""
