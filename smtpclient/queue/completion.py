"""
What happens to a message when its last request of this attempt is done.

In this order, which is that of Postfix's queue manager:

1. the report of the recipients that failed is sent (``bounce.flush``), if any failed in this attempt or in an earlier
   one whose report could not be sent;
2. the report of the recipients that were delivered (``trace.flush``), if somebody asked for it;
3. if recipients remain: when the message is too old, or the operator said so, they are reported as failed
   (``defer.flush``) and the message is removed; else the delay warning is sent if it is due, and the message goes to
   ``deferred/`` until its next attempt;
4. if none remain the message is removed.

Promises: a message is removed only when every recipient is delivered, or in a report that has been handed over. A
report that cannot be sent keeps the message: it comes back as a deferred one, its finished recipients are not
delivered again, and the report is tried again at the end of that attempt. A message is not given up as expired while
some recipient's reason is not on record, for the report would not name it. Nothing here raises because of a disk or a
service.

Does not: record or mark single recipients (``delivery.settlement``), look for what is due (``poller``).

Known limits: a crash between a report and the removal sends the report twice, after another attempt.
"""

import enum
from collections.abc import Awaitable, Callable

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from smtpclient.interfaces import IBounceService, IDeferService, IMessageContent, IRetractingService, ITraceService
from smtpclient.mail.address import external
from smtpclient.mail.envelope import Envelope
from smtpclient.observe.maillog import MailLog
from smtpclient.queue.active_message import Tally
from smtpclient.queue.schedule import ScheduleSettings, expired, next_attempt, warning_due
from smtpclient.queue.spool import CorruptQueueFile, Spool


class Ending(enum.Enum):
    """How a message left the active queue."""

    REMOVED = "removed"  # every recipient is delivered or reported
    EXPIRED = "expired"  # what remained has been reported as failed
    DEFERRED = "deferred"  # it waits for its next attempt
    CORRUPT = "corrupt"  # its file could not be read to the end; kept for inspection
    VANISHED = "vanished"  # somebody took the file away meanwhile: the operator, most likely
    STRANDED = "stranded"  # the disk refused; it lies in active/ and is found there again


def _nobody(_queue_id: str, _ending: Ending) -> None:
    return


class Completion:
    """
    Ends the stay of messages in the active queue.

    :param ended: told of every end, after it has happened: queue id, and what it was.
    :ivar on_deferred: told of every message that was put back, with the time when it is due.
    """

    _log = Logger()

    def __init__(
        self,
        spool: Spool,
        bounce: IBounceService,
        defer: IDeferService,
        trace: ITraceService,
        settings: ScheduleSettings,
        clock: IReactorTime,
        maillog: MailLog,
        ended: Callable[[str, Ending], object] | None = None,
    ) -> None:
        self._spool = spool
        self._bounce = bounce
        self._defer = defer
        self._trace = trace
        self._retracting: list[tuple[str, IRetractingService]] = [
            (name, IRetractingService(service))
            for name, service in (("bounce", bounce), ("trace", trace))
            if IRetractingService.providedBy(service)
        ]
        self._settings = settings
        self._clock = clock
        self._maillog = maillog
        self._ended = ended or _nobody
        self.on_deferred: Callable[[str, float], object] | None = None

    async def begin(self, queue_id: str) -> None:
        """
        A message that has been tried before is about to be tried again: why it had to wait is history.

        So is what a process that died had recorded of recipients and not marked: they may meet another fate now.
        """
        try:
            await self._defer.forget(queue_id)
        except Exception as error:
            self._complain("defer", "cannot forget earlier reasons", queue_id, error)
        for name, service in self._retracting:
            try:
                await service.retract(queue_id, lambda: self._waiting(queue_id))
            except Exception as error:
                self._complain(name, "cannot take back what was recorded and not marked", queue_id, error)

    def _waiting(self, queue_id: str) -> list[int]:
        """Where the records of recipients stand that are still to be delivered."""
        return [recipient.offset for recipient in self._spool.read(queue_id).recipients]

    async def finish(self, tally: Tally) -> Ending:
        """Report, then remove the message or let it wait."""
        ending = await self._end(tally)
        self._tell(tally.message.envelope.queue_id, ending)
        return ending

    def removed(self, queue_id: str) -> None:
        """A message whose file had nothing more to say, and is gone already, leaves the active queue."""
        self._maillog.info("qmgr", "removed", queue_id)
        self._tell(queue_id, Ending.REMOVED)

    def _tell(self, queue_id: str, ending: Ending) -> None:
        try:
            self._ended(queue_id, ending)
        except Exception:
            self._log.failure("{queue_id}: an observer failed", queue_id=queue_id)

    def remove_early(self, queue_id: str) -> bool:
        """
        Remove the file of a message that needs nothing more, for :meth:`removed`; whether that could be done.

        Where it could not, the file is still to be marked, and :meth:`finish` will say what is wrong.
        """
        try:
            return self._spool.remove(queue_id)
        except OSError:
            return False

    def postpone(self, queue_id: str, due: float) -> Ending:
        """Let an active message that was not tried wait until ``due``, seconds since the epoch."""
        ending = self._file("defer", queue_id, lambda: self._spool.defer(queue_id, due), Ending.DEFERRED)
        if ending is Ending.DEFERRED and self.on_deferred is not None:
            self.on_deferred(queue_id, due)
        return ending

    async def _end(self, tally: Tally) -> Ending:
        envelope = tally.message.envelope
        queue_id = envelope.queue_id
        reported = await self._report(tally)
        if tally.corrupt:
            return self._file(
                "set aside",
                queue_id,
                lambda: self._spool.set_aside(queue_id, "active", tally.corrupt),
                Ending.CORRUPT,
            )
        if reported and not tally.remaining:
            return self._remove(queue_id, Ending.REMOVED)
        now = self._clock.seconds()
        if reported:
            words = self._expiry(tally, now)
            if words:
                self._maillog.info(
                    "qmgr", f"from=<{external(envelope.sender)}>, status={words}, returned to sender", queue_id
                )
                if await self._call("defer", self._defer.flush, envelope):
                    return self._remove(queue_id, Ending.EXPIRED)
            elif warning_due(now, tally.message.warn_at):
                await self._warn(tally)
        return self.postpone(queue_id, self._due(tally))

    async def _report(self, tally: Tally) -> bool:
        """Send what reports are owed; whether all of them are out of our hands."""
        envelope = tally.message.envelope
        reported = True
        # A message that had been tried before may have records whose report failed, or was never begun.
        if tally.bounced or not tally.fresh:
            reported = await self._call("bounce", self._bounce.flush, envelope)
        if tally.success_wanted or not tally.fresh:
            reported = await self._call("trace", self._trace.flush, envelope) and reported
        return reported

    def _expiry(self, tally: Tally, now: float) -> str:
        """Why a message is given up, in the log's words; empty: it is not."""
        envelope = tally.message.envelope
        if not tally.all_recorded:
            return ""
        if expired(now, envelope.created, self._settings.lifetime(envelope.sender)):
            return "expired"
        return "force-expired" if tally.expire else ""

    async def _warn(self, tally: Tally) -> None:
        """Tell the sender of the delay, once."""
        envelope = tally.message.envelope
        if await self._call("defer", self._defer.warn, envelope):
            try:
                self._spool.warned(envelope.queue_id, tally.message)
            except (OSError, CorruptQueueFile) as error:
                self._complain("qmgr", "cannot note that the sender was warned", envelope.queue_id, error)

    def _due(self, tally: Tally) -> float:
        now = self._clock.seconds()
        minimal = self._settings.minimal_backoff_time
        if tally.held_back_until:
            # Where others of its recipients did have their attempt, they get their pause.
            return max(tally.held_back_until, now + minimal) if tally.deferred else tally.held_back_until
        return next_attempt(now, tally.message.envelope.created, minimal, self._settings.maximal_backoff_time)

    async def _call(
        self, name: str, verb: Callable[[Envelope, IMessageContent], Awaitable[None]], envelope: Envelope
    ) -> bool:
        """Ask a report service for something; whether it has done it."""
        try:
            await verb(envelope, self._spool.content(envelope))
        except Exception as error:
            self._complain(name, "cannot notify the sender; the message is kept", envelope.queue_id, error)
            return False
        return True

    def _remove(self, queue_id: str, ending: Ending) -> Ending:
        ending = self._file("remove", queue_id, lambda: self._spool.remove(queue_id), ending)
        if ending in {Ending.REMOVED, Ending.EXPIRED}:
            self._maillog.info("qmgr", "removed", queue_id)
        return ending

    def _file(self, verb: str, queue_id: str, move: Callable[[], bool], ending: Ending) -> Ending:
        """Move or remove the queue file; what became of it."""
        try:
            if move():
                return ending
        except OSError as error:
            self._complain("qmgr", f"cannot {verb} the queue file; it stays in active/ for now", queue_id, error)
            return Ending.STRANDED
        self._maillog.info("qmgr", "the queue file has been taken away meanwhile", queue_id)
        return Ending.VANISHED

    def _complain(self, process: str, words: str, queue_id: str, error: Exception) -> None:
        self._maillog.warning(process, f"{words}: {str(error) or type(error).__name__}", queue_id)
        if not isinstance(error, (OSError, CancelledError)):
            self._log.failure("{queue_id}: {words}", queue_id=queue_id, words=words)
