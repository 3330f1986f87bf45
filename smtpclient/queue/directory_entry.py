"""
What the directory says of a queue file, without a look into it: its name, its time, its mode.

The mode says how far a file is; the bits are Postfix's, whose tools and agents read and set them, too.

Does not: say what is in it (``spool``), which folder it lies in.
"""

import stat
from typing import NamedTuple

# For every message these are compared with a mode that is at hand anyway; there a call would cost more than it says.

OWNER = 0o700
"""What of a mode says how far a file is: ``UNFINISHED``, ``COMPLETE`` or ``DAMAGED``."""

UNFINISHED = 0o600
"""It is still being written."""

COMPLETE = 0o700
"""It is a message."""

DAMAGED = 0o400
"""It was one; a delivery agent has marked it as damaged."""

EXPIRE = 0o010
"""The bit that the operator sets on a message that is to be returned at its next attempt, whatever its age."""

KIND = 0o170000 | OWNER
"""The same of a mode with the type of the file, as fstat(2) gives it: ``MESSAGE``, ``DAMAGED_MESSAGE``, or neither."""

MESSAGE = stat.S_IFREG | COMPLETE
"""A file that is a message."""

DAMAGED_MESSAGE = stat.S_IFREG | DAMAGED
"""A file that was one."""

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
        return self.mode & OWNER == COMPLETE

    @property
    def damaged(self) -> bool:
        """Whether a delivery agent has marked it as damaged."""
        return self.mode & OWNER == DAMAGED

    def is_stale(self, now: float) -> bool:
        """
        Whether it was never completed, and is so old that nobody can be writing it any more.

        :param now: seconds since the epoch.
        """
        return self.mode & OWNER == UNFINISHED and self.due < now - STALE

    @property
    def expire_now(self) -> bool:
        """Whether the operator wants it returned at its next attempt, whatever its age."""
        return bool(self.mode & EXPIRE)
