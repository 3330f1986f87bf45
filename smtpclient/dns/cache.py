"""
Answers remembered for as long as they may be: positive and negative, bounded in number.

Promises: an answer is handed out no longer than its own ``ttl`` says, with what is left of it; the least recently
used goes first when there are too many; a clock that is set back makes answers forgotten, not immortal. No timers:
what has run out goes when it is asked for or pushed out.

Does not: decide how long a failure may be remembered (``smtpclient.dns.resolver`` gives it a ``ttl`` of zero or
not), survive a restart.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from smtpclient.dns.answer import Answer

_LARGEST = 100  # records of one answer; more than any real one, and what makes the memory bounded


@dataclass(frozen=True, slots=True)
class _Entry:
    answer: Answer
    since: float


class Cache:
    """
    Answers by name and type.

    :param seconds: the clock's reading.
    :param limit: how many answers at most.
    """

    def __init__(self, seconds: Callable[[], float], limit: int = 20_000) -> None:
        self._seconds = seconds
        self._limit = limit
        self._entries: OrderedDict[tuple[str, int], _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, name: str, record_type: int) -> Answer | None:
        """The remembered answer with what is left of its time, or None."""
        key = (name, record_type)
        entry = self._entries.get(key)
        if entry is None:
            return None
        age = self._seconds() - entry.since
        if not 0 <= age < entry.answer.ttl:
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return replace(entry.answer, ttl=entry.answer.ttl - age)

    def put(self, answer: Answer) -> None:
        """Remember an answer, unless its ``ttl`` is zero or it is outlandishly large."""
        key = (answer.name, answer.record_type)
        self._entries.pop(key, None)
        if answer.ttl <= 0 or len(answer.records) > _LARGEST or self._limit <= 0:
            return
        self._entries[key] = _Entry(answer, self._seconds())
        if len(self._entries) > self._limit:
            self._entries.popitem(last=False)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
