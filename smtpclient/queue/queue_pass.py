"""
Looking through the queue folders for what is due, a little at a time.

A :class:`QueuePass` is one walk through one or more folders, file by file, that can be left and taken up again; asked
for while one is under way, the next follows at its end. :class:`Upcoming` remembers the files that a walk met shortly
before their time, so that they are taken on time and not by the next walk.

Promises: no more than :data:`UPCOMING` files are remembered, however many lie there; a walk that stops for lack of room
goes on where it was.

Does not: take files (``poller``).
"""

import heapq
from collections.abc import Callable, Iterator
from itertools import chain, islice, repeat
from typing import TypeVar

from smtpclient.queue.directory_entry import Entry

T = TypeVar("T")

UPCOMING = 10000
"""How many files are remembered; those beyond are found by the next walk."""

_LOOKS = 50  # files looked at in vain before somebody else has a turn


def _nothing() -> None:
    return


class QueuePass:
    """
    Walks through folders.

    :param names: gives the queue ids in a folder; closed when the walk is given up.
    :param begun: called when a walk begins.
    :param ended: called when one has come to its end; not when it was given up.
    :param folders: in the order in which they are walked through.
    """

    def __init__(
        self,
        names: Callable[[str], Iterator[str]],
        *folders: str,
        begun: Callable[[], object] = _nothing,
        ended: Callable[[], object] = _nothing,
    ) -> None:
        self._names = names
        self._begun = begun
        self._ended = ended
        self._folders = folders
        self._files: Iterator[tuple[str, str]] | None = None
        self._wanted = False
        self._ignore_next = False
        self.ignore_times = False

    @property
    def pending(self) -> bool:
        """Whether there is something to look at."""
        return self._wanted or self._files is not None

    @property
    def under_way(self) -> bool:
        """Whether a walk has begun and not ended."""
        return self._files is not None

    def ask(self, ignore_times: bool = False) -> None:
        """
        Have a walk begin, after the one under way if there is one.

        :param ignore_times: take everything, due or not; the one under way begins again at once.
        """
        self._wanted = True
        if ignore_times:
            self._ignore_next = True
            self._end()

    def ignore_times_next(self) -> None:
        """Have the next walk take everything, whenever it is asked for."""
        self._ignore_next = True

    def next(self, wanted: Callable[[str, str], T | None]) -> tuple[str, T] | None:
        """
        Walk on to the next file that is wanted.

        :param wanted: looks at a file, given its folder and queue id; None: it is not.
        :return: its folder and what ``wanted`` has said; None when the walk has ended, or it is time to do something
            else.
        :raises OSError: when a folder cannot be read; the walk has ended.
        """
        if self._files is None:
            if not self._wanted:
                return None
            self._wanted = False
            self.ignore_times, self._ignore_next = self._ignore_next, False
            self._files = chain.from_iterable(zip(repeat(folder), self._names(folder)) for folder in self._folders)
            self._begun()
        try:
            folder = ""
            for folder, queue_id in islice(self._files, _LOOKS):
                found = wanted(folder, queue_id)
                if found is not None:
                    return folder, found
        except OSError:
            self._ignore_next |= self.ignore_times  # what was asked for was not done
            self._end()
            raise
        if not folder:  # no file was left
            self._end()
            self._ended()
        return None

    def stop(self) -> None:
        """Give up the walk, and the wish for another."""
        self._wanted = self._ignore_next = False
        self._end()

    def _end(self) -> None:
        """Leave the folder that is open."""
        self._files = None  # with it goes what reads the folder, which closes it


class Upcoming:
    """The files whose time comes before the next walk."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._order: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Entry) -> bool:
        """Remember a file, or its new time; false when there are too many."""
        known = self._entries.get(entry.queue_id)
        if known is None and len(self._entries) >= UPCOMING:
            return False
        self._entries[entry.queue_id] = entry
        if known is None or known.due != entry.due:
            heapq.heappush(self._order, (entry.due, entry.queue_id))
        return True

    def discard(self, queue_id: str) -> None:
        """Forget a file."""
        self._entries.pop(queue_id, None)

    @property
    def due(self) -> float | None:
        """When the next one is due, seconds since the epoch."""
        while self._order:
            due, queue_id = self._order[0]
            entry = self._entries.get(queue_id)
            if entry is not None and entry.due == due:
                return due
            heapq.heappop(self._order)  # it was discarded, or its time has changed
        return None

    def pop(self, now: float) -> Entry | None:
        """A file that is due."""
        due = self.due
        if due is None or due > now:
            return None
        return self._entries.pop(heapq.heappop(self._order)[1])

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()
        self._order.clear()
