"""
Claiming: a file is taken out of its folder, read, and its message handed to the scheduler.

What can be wrong with a file, and what becomes of it:

==========================  ===================================================================================
damaged                     ``corrupt/``, with a line in the log that says what and where
locked by somebody else     ``deferred/`` for a minute; it is being delivered by a queue manager before us
gone                        nothing: an operator was faster
unreadable for now          ``deferred/`` for a minute, one warning a minute; where the next file would fare no better
                            (full disk, no file descriptors left), the poller rests for a few seconds
stranded in ``active/``     a move failed earlier; found by the next look at ``deferred/`` and taken from there
==========================  ===================================================================================

Promises: the file is in one of the folders that are looked at, whatever goes wrong; a message that is active is never
claimed again.

Does not: find files, or say when (``poller``).
"""

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from smtpclient.mail.envelope import QueuedMessage
from smtpclient.observe.maillog import MailLog
from smtpclient.queue.directory_entry import Entry
from smtpclient.queue.scheduler import Scheduler
from smtpclient.queue.spool import BusyQueueFile, CorruptQueueFile, Spool

RETRY = 60.0
"""Seconds until a file that could not be taken is looked at again."""

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

    def take(self, folder: str, entry: Entry) -> None:
        """
        Claim a file and have its message delivered.

        :raises OSError: when that cannot be done now; the file is in one of the folders that are looked at.
        """
        queue_id = entry.queue_id
        if queue_id in self._scheduler:
            return
        if entry.damaged:
            self._spool.set_aside(queue_id, folder, "marked as damaged by a delivery agent")
            return
        if folder != "active" and not self._spool.claim(queue_id, folder):
            return
        message = self._read(queue_id)
        if message is not None:
            fresh = (
                folder == "incoming" and not message.finished and abs(entry.due - message.envelope.arrival) <= _FRESH
            )
            self._scheduler.accept(message, fresh=fresh, expire=entry.expire_now)

    def _read(self, queue_id: str) -> QueuedMessage | None:
        """
        Read a claimed message, or put its file where it belongs.

        :raises OSError: when it cannot be read, or cannot be moved.
        """
        try:
            return self._spool.read(queue_id)
        except FileNotFoundError:
            return None
        except CorruptQueueFile as error:
            self._spool.set_aside(queue_id, "active", f"offset {error.offset}: {error.why}")
            return None
        except BusyQueueFile:
            self._maillog.info("qmgr", "skipped, still being delivered", queue_id)
            self._leave(queue_id)
            return None
        except Exception:
            self._leave(queue_id)
            raise

    def _leave(self, queue_id: str) -> None:
        """
        Put a claimed message where it is found again in a minute.

        :raises OSError: when it cannot be moved; it is then found in active/.
        """
        due = self._clock.seconds() + RETRY
        if self._spool.defer(queue_id, due):
            self._later(queue_id, due)
