"""
Files that stay where they lie, because no destination of their recipients takes mail now.

A destination that is dead, or has its share of the active queue, takes more only as fast as its mail leaves. What lies
in ``incoming/`` or ``deferred/`` for it is remembered here by name, and given out when there is room: so a hundred
thousand files for one host are neither moved nor read before their time, and what lies between them for others is
found.

Promises: destinations take turns, files of one destination come in the order in which they were met; at most
:data:`MOST` are remembered, each in about 200 bytes; constant time for everything.

Does not: look at files; what is given out may have gone.
"""

from collections import OrderedDict, deque
from collections.abc import Callable

MOST = 100_000
"""How many files are remembered; those beyond are found by a later walk."""

_LOOKS = 50  # destinations asked before somebody else has a turn

Key = tuple[str, str]
"""A transport and a next hop."""


class Outside:
    """
    The names of files that wait for room at a destination.

    :ivar folders: in which folder each lies, by queue id.
    :ivar is_open: whether some destination may have room; no longer when all have been asked in vain.
    """

    def __init__(self) -> None:
        self.folders: dict[str, str] = {}
        self.is_open = False
        self._waiting: OrderedDict[Key, deque[str]] = OrderedDict()

    def __len__(self) -> int:
        return len(self.folders)

    def add(self, key: Key, folder: str, queue_id: str) -> bool:
        """Remember a file that waits for room at a destination; false when there are too many."""
        if len(self.folders) >= MOST:
            return False
        self.folders[queue_id] = folder
        names = self._waiting.get(key)
        if names is None:
            names = self._waiting[key] = deque()
        names.append(queue_id)
        return True

    def ask_again(self) -> None:
        """Something has changed: a destination may have room."""
        self.is_open = bool(self.folders)

    def next(self, takes: Callable[[Key], bool]) -> tuple[str, str] | None:
        """
        The next file whose destination has room, which is forgotten.

        :param takes: whether a destination has.
        :return: its folder and queue id.
        """
        for _ in range(min(len(self._waiting), _LOOKS)):
            key, names = self._waiting.popitem(last=False)
            found = names.popleft() if takes(key) else ""
            if names:
                self._waiting[key] = names
            if found:
                self.is_open = bool(self.folders)
                return self.folders.pop(found), found
        self.is_open = False
        return None

    def clear(self) -> None:
        """Forget all."""
        self.folders.clear()
        self._waiting.clear()
        self.is_open = False
