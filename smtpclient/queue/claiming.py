"""
Claiming: a message is read where it lies, its file is taken into ``active/``, and the scheduler has it.

What can be wrong with a file, and what becomes of it:

==========================  ===================================================================================
damaged                     ``corrupt/``, with a line in the log that says what and where
locked by somebody else     ``deferred/`` for a minute; it is being delivered by a queue manager before us
gone                        nothing: an operator was faster
cannot be taken for now     ``deferred/`` for a minute, one warning a minute; where the next file would fare no better
                            (full disk, no file descriptors left), the poller rests for a few seconds
stranded in ``active/``     a move failed earlier; found by the next look at ``deferred/`` and taken from there
==========================  ===================================================================================

Promises: the file is in one of the folders that are looked at, whatever goes wrong; a message that is active is never
claimed again; what is still being written, or is of a time that has not come, is left as it is.

Does not: find files, or say when (``poller``).
"""

from collections.abc import Callable
from math import inf

from twisted.internet.interfaces import IReactorTime

from smtpclient.observe.maillog import MailLog
from smtpclient.queue.directory_entry import EXPIRE
from smtpclient.queue.scheduler import Scheduler
from smtpclient.queue.spool import BusyQueueFile, CorruptQueueFile, Spool

RETRY = 60.0
"""Seconds until a file that could not be taken is looked at again."""

_FUTURE = 1.0  # seconds; a file in incoming/ that is younger than that has been written by a clock ahead of ours
_FRESH = 0.25  # seconds between a message's arrival time and its file's, if nobody has touched the file since


class Claiming:
    """
    Claims files of a spool for a scheduler.

    :param later: told of every file that was put into ``deferred/``, and when it is due.
    """

    def __init__(
        self,
        spool: Spool,
        scheduler: Scheduler,
        later: Callable[[str, float], object],
        clock: IReactorTime,
        maillog: MailLog,
    ) -> None:
        self._spool = spool
        self._scheduler = scheduler
        self._later = later
        self._clock = clock
        self._maillog = maillog

    def take(self, folder: str, queue_id: str) -> None:
        """
        Claim a file whose time has come, and have its message delivered.

        :raises OSError: when that cannot be done now; the file is in one of the folders that are looked at.
        """
        if queue_id in self._scheduler.active:
            return
        is_new = folder == "incoming"
        try:
            taken = self._spool.take(queue_id, folder, self._clock.seconds() + _FUTURE if is_new else inf)
        except CorruptQueueFile as error:
            self._spool.set_aside(queue_id, folder, f"offset {error.offset}: {error.why}")
            return
        except BusyQueueFile:
            self._maillog.info("qmgr", "skipped, still being delivered", queue_id)
            self._leave(queue_id, folder)
            return
        except Exception as error:
            if self._spool.entry(queue_id, folder) is not None:
                self._leave(queue_id, folder)
            elif isinstance(error, OSError):
                return  # nobody need be able to read what is still being written
            raise
        if taken is not None:
            message, found = taken
            fresh = is_new and not message.finished and abs(found.st_mtime - message.envelope.arrival) <= _FRESH
            self._scheduler.accept(message, fresh=fresh, expire=found.st_mode & EXPIRE != 0)

    def _leave(self, queue_id: str, folder: str) -> None:
        """
        Put a message where it is found again in a minute.

        :raises OSError: when it cannot be moved; it stays in its folder.
        """
        due = self._clock.seconds() + RETRY
        if self._spool.defer(queue_id, due, folder):
            self._later(queue_id, due)
