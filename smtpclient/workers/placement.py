"""
Which worker a request goes to: the one with the least to do, unless another one has a session ready for it.

A session that a worker has parked is worth more than an even load, as long as the load is not far from even. The
service does not see the sessions; it sees what comes back, and a request that ended while its destination had more
mail has most likely left one. So this is a guess, and a wrong guess costs one connection.

Promises: a worker whose load is more than :data:`SLACK` requests and a quarter above the least gets nothing that
could go elsewhere; memory is bounded by the requests that ended within the time that a session waits.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Generic, TypeVar

SLACK = 4
"""How many requests more than the least a worker may have and still be preferred for its sessions."""

W = TypeVar("W")
Key = tuple[str, str]


class Placement(Generic[W]):
    """
    Remembers where sessions are likely to wait.

    :param lifetime: how long a parked session waits, seconds.
    """

    def __init__(self, lifetime: float) -> None:
        self._lifetime = lifetime
        # By destination, the one that parked last at the end: when that was, and how many each worker has.
        self._parked: OrderedDict[Key, tuple[float, dict[W, int]]] = OrderedDict()

    def choose(self, key: Key, loads: Sequence[tuple[int, W]], now: float) -> W:
        """
        The worker for a request.

        :param key: transport and next hop.
        :param loads: how many requests each worker has; at least one.
        """
        least, best = min(loads, key=_load)
        found = self._parked.get(key)
        if found is None:
            return best
        moment, parked = found
        if now > moment + self._lifetime:
            del self._parked[key]
            return best
        limit = least + least // 4 + SLACK
        having = [(load, worker) for load, worker in loads if load <= limit and worker in parked]
        if having:
            best = min(having, key=_load)[1]
            self._take(key, parked, best)
        return best

    def note(self, key: Key, worker: W, now: float) -> None:
        """A worker has most likely parked a session."""
        _, parked = self._parked.get(key, (now, {}))
        parked[worker] = parked.get(worker, 0) + 1
        self._parked[key] = (now, parked)
        self._parked.move_to_end(key)
        oldest = next(iter(self._parked))
        if now > self._parked[oldest][0] + self._lifetime:
            del self._parked[oldest]

    def forget(self, worker: W) -> None:
        """A worker has ended, and its sessions with it."""
        for key, (_, parked) in list(self._parked.items()):
            parked.pop(worker, None)
            if not parked:
                del self._parked[key]

    def __len__(self) -> int:
        return len(self._parked)

    def _take(self, key: Key, parked: dict[W, int], worker: W) -> None:
        parked[worker] -= 1
        if not parked[worker]:
            del parked[worker]
            if not parked:
                del self._parked[key]


def _load(entry: tuple[int, W]) -> int:
    return entry[0]
