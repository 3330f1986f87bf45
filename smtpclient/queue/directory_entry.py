"""
What the directory says of a queue file, without a look into it: its name, its time, its mode.

Does not: say what is in it (``spool``), which folder it lies in.
"""

from typing import NamedTuple

STALE = 36 * 3600.0
"""How old an unfinished file gets before it is removed, seconds."""


class Entry(NamedTuple):
    """
    One file in a queue, without having looked into it.

    :param due: its modification time, which is the time of its next attempt, seconds since the epoch.
    :param mode: its permission bits.
    """

    queue_id: str
    due: float
    mode: int

    @property
    def complete(self) -> bool:
        """Whether it is a message; what is not is still being written, or is damaged, and is left alone."""
        return self.mode & 0o700 == 0o700

    @property
    def damaged(self) -> bool:
        """Whether a delivery agent has marked it as damaged."""
        return self.mode & 0o700 == 0o400

    def is_stale(self, now: float) -> bool:
        """
        Whether it was never completed, and is so old that nobody can be writing it any more.

        :param now: seconds since the epoch.
        """
        return self.mode & 0o700 == 0o600 and self.due < now - STALE

    @property
    def expire_now(self) -> bool:
        """Whether the operator wants it returned at its next attempt, whatever its age."""
        return bool(self.mode & 0o010)
