"""
When the files of ``deferred/`` are due, in twelve bytes or so for each.

A walk through a million files costs seconds of CPU time, and most of what it sees is not due for an hour. So the walk
writes down what it sees: the names of files, in buckets of :data:`WIDTH` seconds. From then on the poller asks the
calendar, and what a poll costs grows with what is due, not with what waits.

A calendar is a hint. Files come, go and change their times without it being told, so whoever takes a name from it looks
at the file; and a new walk makes a new calendar, beside the one in use, which it replaces at its end.

Promises: constant time for :meth:`Calendar.add` and, on average, :meth:`Calendar.pop`; a name is given out at most
:data:`WIDTH` seconds after its time, and never before it.

Does not: give names in the order of their times inside a bucket, or forget single ones.
"""

import heapq

WIDTH = 10
"""How many seconds share a bucket."""


class _Pages:
    """The buckets of one walk."""

    def __init__(self) -> None:
        self._buckets: dict[int, bytearray] = {}
        self._order: list[int] = []  # a heap of the keys above

    def add(self, queue_id: str, key: int) -> None:
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = bytearray()
            heapq.heappush(self._order, key)
        bucket += queue_id.encode("ascii")
        bucket += b"\n"

    @property
    def first(self) -> int | None:
        """The key of the first bucket."""
        return self._order[0] if self._order else None

    def take_first(self) -> bytearray:
        """The names in the first bucket; it is gone then."""
        return self._buckets.pop(heapq.heappop(self._order))


class Calendar:
    """The files that wait, by the time when they are due."""

    def __init__(self) -> None:
        self._pages = _Pages()
        self._next: _Pages | None = None  # what the walk under way has seen
        self._open = bytearray()  # the bucket that names are being given out from, from the end

    def begin_walk(self) -> None:
        """Everything that is still there will be added again, until :meth:`end_walk`."""
        self._next = _Pages()

    def end_walk(self) -> None:
        """Everything that was there has been added; what was not is forgotten."""
        if self._next is not None:
            self._pages, self._next = self._next, None

    def add(self, queue_id: str, due: float) -> None:
        """
        Write down a file.

        :param due: seconds since the epoch.
        """
        key = int(due) // WIDTH
        self._pages.add(queue_id, key)
        if self._next is not None:
            self._next.add(queue_id, key)

    def see(self, queue_id: str, due: float) -> None:
        """Write down a file that the walk under way has met; there may be two of them until its end."""
        (self._next or self._pages).add(queue_id, int(due) // WIDTH)

    @property
    def due(self) -> float | None:
        """When there will be a name to give out, seconds since the epoch."""
        if self._open:
            return 0.0
        keys = [key for pages in (self._pages, self._next) if pages is not None and (key := pages.first) is not None]
        return float((min(keys) + 1) * WIDTH) if keys else None

    def pop(self, now: float) -> str | None:
        """
        A file that was due when it was written down.

        :param now: seconds since the epoch.
        """
        while not self._open:
            pages = self._due_pages(now)
            if pages is None:
                return None
            self._open = pages.take_first()
        del self._open[-1]
        start = self._open.rfind(b"\n") + 1
        queue_id = self._open[start:].decode("ascii")
        del self._open[start:]
        return queue_id

    def clear(self) -> None:
        """Forget all."""
        self._pages = _Pages()
        self._next = None
        self._open = bytearray()

    def _due_pages(self, now: float) -> _Pages | None:
        last = int(now) // WIDTH - 1
        for pages in (self._pages, self._next):
            if pages is not None and pages.first is not None and pages.first <= last:
                return pages
        return None
