"""
One queue manager to a queue directory.

Two of them would deliver every message twice. So the one that runs holds two locks: its own, on a file that says which
process it is, and Postfix's, on ``pid/master.pid``, so that Postfix's master does not start on the same directory
and ours does not start under a running Postfix. The system takes locks back from a process that dies.

Where Postfix's other daemons are wanted on the directory, its master has to run there, and keeps its lock. Then nobody
must be listening on ``public/qmgr``, as a master does that has a queue manager.

Does not: write a process id into Postfix's file; ``postfix stop`` would kill that process.

Known limits: a master that gets a queue manager while ours runs beside it is not kept out (``takeover``).
"""

import os
from contextlib import suppress

from smtpclient.queue.files import Files
from smtpclient.queue.trigger import poke

OWN_LOCK = "pid/smtpclient.lock"
MASTER_LOCK = "pid/master.pid"


class SpoolError(Exception):
    """The queue directory cannot be used; the text tells the operator why and what to do."""


class InstanceLock:
    """
    Both locks of one queue directory.

    :param directory: the queue directory; its folder ``pid`` must exist.
    :param beside_postfix: Postfix's master may run, without a queue manager.
    :raises SpoolError: when another process has one of them, or Postfix's queue manager runs.
    :raises OSError: when a lock file cannot be opened.
    """

    def __init__(self, files: Files, directory: str, beside_postfix: bool = False) -> None:
        self._files = files
        self._fds: list[int] = []
        try:
            self._take(directory, OWN_LOCK)
            if not beside_postfix:
                self._take(directory, MASTER_LOCK)
            elif poke(directory, ""):
                raise SpoolError(
                    f"queue directory {directory} has a queue manager, which listens on {directory}/public/qmgr; take "
                    "the line of qmgr out of Postfix's master.cf, or name another queue_directory"
                )
            files.ftruncate(self._fds[0], 0)
            files.pwrite(self._fds[0], b"%d\n" % os.getpid(), 0)
        except BaseException:
            self.release()
            raise

    def _take(self, directory: str, name: str) -> None:
        path = f"{directory}/{name}"
        fd = self._files.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        self._fds.append(fd)
        try:
            self._files.flock(fd, exclusive=True)
        except BlockingIOError:
            holder = self._files.pread(fd, 100, 0).decode("ascii", "replace").strip()
            raise SpoolError(
                f"queue directory {directory} is in use by process {holder or '(unknown)'}, which holds {path}; "
                "stop that one first, or name another queue_directory"
            ) from None

    def release(self) -> None:
        """Give the directory back; more calls do no harm."""
        while self._fds:
            with suppress(OSError):  # the descriptor is gone all the same, and with it the lock
                self._files.close(self._fds.pop())
