"""
Success reports, the queue's own way: recorded in the spool, sent when all recipients have been tried.

The sender asks for them with NOTIFY=SUCCESS (RFC 3461). Who passes a message on to a server that knows the extension
passes the request on as well and must not report (section 5.2.2); where the server does not know it, the report says
``relayed``.

The answers to a probe are recorded in the same file (``smtpclient.report.probe``), and reported from here.

Promises: a recipient is recorded on disk before :meth:`QueueTraces.append` returns; what nobody asked for, or what
another server now has to report, is not recorded.

For a server that speaks LMTP the report says ``relayed`` too, as Postfix's does, unless ``lmtp_assume_final`` says that
a mailbox is behind it.
"""

from collections.abc import Callable, Collection

from zope.interface import implementer

from smtpclient.interfaces import IMessageContent, IRetractingService, ITraceService
from smtpclient.mail.envelope import Envelope, Notify
from smtpclient.mail.outcome import Outcome
from smtpclient.report.entry import from_outcome, via
from smtpclient.report.journal import Journal
from smtpclient.report.notification import Notification
from smtpclient.report.probe import KIND, Probes


def is_due(outcome: Outcome) -> bool:
    """Whether the sender is to hear from us that this recipient's mail was delivered."""
    return Notify.SUCCESS in outcome.recipient.notify and not outcome.relayed_dsn


@implementer(ITraceService, IRetractingService)
class QueueTraces:
    """What Postfix does with trace(8)."""

    def __init__(self, journal: Journal, notification: Notification) -> None:
        self._journal = journal
        self._notification = notification
        self._probes = Probes(journal)

    async def append(self, envelope: Envelope, outcome: Outcome) -> None:
        """
        Record one delivered recipient durably, or a probe's answer, if its sender is to hear of it from us.

        :raises OSError: when it could not be recorded; nothing of it remains.
        """
        if not await self._probes.answered(envelope, outcome) and is_due(outcome):
            action = "delivered" if outcome.final else "relayed"
            await self._journal.append(KIND, envelope.queue_id, from_outcome(outcome, action, via(outcome)))

    async def flush(self, envelope: Envelope, content: IMessageContent) -> None:
        """
        Report those recorded, if any, and forget the record.

        :raises Exception: when the report could not be queued, or the record not be read or removed; it is kept then.
        """
        entries = await self._journal.read(KIND, envelope.queue_id)
        report = self._notification.probed if envelope.is_probe else self._notification.delivered
        await report(envelope, entries, content)
        self._journal.forget(KIND, envelope.queue_id)

    async def retract(self, queue_id: str, waiting: Callable[[], Collection[int]]) -> None:
        """
        A new attempt begins: what was recorded of recipients and never marked does not hold.

        :raises OSError: when the record cannot be read or changed.
        """
        await self._journal.retract(KIND, queue_id, waiting)
