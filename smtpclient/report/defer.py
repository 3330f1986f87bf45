"""
Deferred recipients, the queue's own way: recorded in the spool, for the operator and for the report on expiry.

Promises: ``postqueue -p`` and ``smtpclient queue list`` show each recipient with its latest reason; an expired message
is reported before its record is removed.

Does not: decide when a warning is due or when a message expires (``smtpclient.queue.schedule``).
"""

from zope.interface import implementer

from smtpclient.interfaces import IDeferService, IMessageContent
from smtpclient.mail.envelope import Envelope
from smtpclient.mail.outcome import Outcome
from smtpclient.report.entry import from_outcome
from smtpclient.report.journal import Journal
from smtpclient.report.notification import Notification
from smtpclient.report.probe import Probes

KIND = "defer"


@implementer(IDeferService)
class QueueDeferrals:
    """What Postfix does with defer(8)."""

    def __init__(self, journal: Journal, notification: Notification) -> None:
        self._journal = journal
        self._notification = notification
        self._probes = Probes(journal)

    async def append(self, envelope: Envelope, outcome: Outcome) -> None:
        """
        Record why one recipient has to wait.

        :raises OSError: when it could not be recorded.
        """
        if not await self._probes.answered(envelope, outcome):
            await self._journal.append(KIND, envelope.queue_id, from_outcome(outcome, "delayed"))

    async def warn(self, envelope: Envelope, content: IMessageContent) -> None:
        """
        Tell the sender that the recorded recipients are delayed; keep the record.

        :raises Exception: when the warning could not be queued, or the record not be read.
        """
        entries = await self._journal.read(KIND, envelope.queue_id)
        await self._notification.delayed(envelope, entries, content)

    async def flush(self, envelope: Envelope, content: IMessageContent) -> None:
        """
        The message has expired: report the recorded recipients as failed and forget the record.

        They keep the status of their last deferral, so that the sender sees what was wrong.

        :raises Exception: when the report could not be queued, or the record not be read or removed; it is kept then.
        """
        entries = await self._journal.read(KIND, envelope.queue_id)
        await self._notification.failed(envelope, entries, content)
        self._journal.forget(KIND, envelope.queue_id)

    async def forget(self, queue_id: str) -> None:
        """
        A new attempt begins: earlier reasons no longer hold.

        :raises OSError: when the record cannot be removed.
        """
        self._journal.forget(KIND, queue_id)
