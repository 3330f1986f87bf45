"""
Failed recipients, the queue's own way: recorded in the spool, reported to the sender when all have been tried.

Promises: a recipient is recorded on disk before :meth:`QueueBounces.append` returns; the record is removed only after
the report is queued on disk. If the service stops in between, the sender gets the report twice, never not at all.

Does not: decide what is a failure (``smtpclient.smtp.verdict``), mark recipients done
(``smtpclient.delivery.settlement``).
"""

from collections.abc import Callable, Collection

from zope.interface import implementer

from smtpclient.interfaces import IBounceService, IMessageContent, IRetractingService
from smtpclient.mail.envelope import Envelope
from smtpclient.mail.outcome import Outcome
from smtpclient.report.entry import from_outcome
from smtpclient.report.journal import Journal
from smtpclient.report.notification import Notification
from smtpclient.report.probe import Probes

KIND = "bounce"


@implementer(IBounceService, IRetractingService)
class QueueBounces:
    """What Postfix does with bounce(8)."""

    def __init__(self, journal: Journal, notification: Notification) -> None:
        self._journal = journal
        self._notification = notification
        self._probes = Probes(journal)

    async def append(self, envelope: Envelope, outcome: Outcome) -> None:
        """
        Record one failed recipient durably.

        :raises OSError: when it could not be recorded; nothing of it remains.
        """
        if not await self._probes.answered(envelope, outcome):
            await self._journal.append(KIND, envelope.queue_id, from_outcome(outcome, "failed"))

    async def flush(self, envelope: Envelope, content: IMessageContent) -> None:
        """
        Report those recorded, if any, and forget the record.

        :raises Exception: when the report could not be queued, or the record not be read or removed; it is kept then.
        """
        entries = await self._journal.read(KIND, envelope.queue_id)
        await self._notification.failed(envelope, entries, content)
        self._journal.forget(KIND, envelope.queue_id)

    async def retract(self, queue_id: str, waiting: Callable[[], Collection[int]]) -> None:
        """
        A new attempt begins: what was recorded of recipients and never marked does not hold.

        :raises OSError: when the record cannot be read or changed.
        """
        await self._journal.retract(KIND, queue_id, waiting)
