"""
Which errors say that this machine has run out of something: files, memory, buffers, room on a disk.

Such an error is nobody's fault but ours: the destination is not to pay for it, and the postmaster may want to know
(``notify_classes = resource``).
"""

import errno

NUMBERS = frozenset(
    {
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ENOBUFS,
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EAGAIN,  # a local port for a connection, a thread
    }
)


def is_one(error: BaseException) -> bool:
    """Whether an error is for want of something here; those that Twisted makes of the system's count, too."""
    number = getattr(error, "osError", None) or getattr(error, "errno", None)
    return number in NUMBERS or isinstance(error, MemoryError)
