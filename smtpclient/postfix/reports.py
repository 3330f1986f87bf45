"""
Postfix's bounce(8), defer(8) and trace(8) as our report services: ``postfix`` in place of ``queue``.

What a message's recipients come to is recorded by Postfix's daemons, in the same files of the same queue directory, and
the reports are theirs, after the main.cf that they read. Who hears of an outcome depends on why the message is
delivered (``trace_flags``, of the delivery request or of the queue file):

=================================== ================= ================= ==============================================
                                    delivered         deferred          failed
=================================== ================= ================= ==============================================
to deliver                          trace, if         defer             bounce
                                    NOTIFY=SUCCESS
to deliver and tell (``RECORD``)    trace             trace, defer      trace, bounce
after a warning (``RECORD_LATER``)  trace             defer             bounce
``sendmail -bv`` (``PROBE``)        trace             trace             trace
verify(8) (``VERIFY``)              verify            verify            verify
=================================== ================= ================= ==============================================

With ``fast_flush_domains``, flush(8) hears of every deferral too; nothing waits for that, and if it cannot, that costs
nothing but a line in the log.

Promises: ``append`` returns when the daemon has it on disk; a report is asked for only where something is recorded, as
Postfix's queue manager does it, and by then all of it is in the file.

Does not: mark recipients, or know that a probe ends with its first outcome, be it a deferral.

Known limits: Postfix's own queue manager must not run on the queue directory beside ours.
"""

from collections.abc import Callable, Collection
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from smtpclient.interfaces import IBounceService, IDeferService, IMessageContent, IRetractingService, ITraceService
from smtpclient.mail.envelope import Envelope, TraceFlags
from smtpclient.mail.outcome import Outcome
from smtpclient.postfix.call import Caller, Unanswered
from smtpclient.postfix.services import Report, Services, Verdict
from smtpclient.report.entry import from_outcome, via
from smtpclient.report.journal import Journal
from smtpclient.report.trace import is_due

MOST_WAITING = 1000
"""What flush(8) has not heard of yet at one time; more than that it does not hear of."""


class _PostfixReports:
    """What the three have in common."""

    kind: str

    def __init__(self, services: Services, journal: Journal) -> None:
        self._services = services
        self._journal = journal

    async def _record(self, envelope: Envelope, outcome: Outcome, action: str) -> None:
        flags = envelope.trace_flags
        if flags & TraceFlags.RECORD:
            await self._trace(envelope, outcome, action)
        await self._services.record(self.kind, envelope.queue_id, from_outcome(outcome, action), flags)

    async def _trace(self, envelope: Envelope, outcome: Outcome, action: str) -> None:
        entry = from_outcome(outcome, action, via(outcome))
        await self._services.record("trace", envelope.queue_id, entry, envelope.trace_flags)

    async def _probed(self, envelope: Envelope, outcome: Outcome, verdict: Verdict) -> bool:
        """Tell of a probe's outcome; whether it is one."""
        flags = envelope.trace_flags
        if flags & TraceFlags.VERIFY:
            await self._verified(outcome, verdict)
        elif flags & TraceFlags.PROBE:
            await self._trace(envelope, outcome, "undeliverable" if verdict else "deliverable")
        return envelope.is_probe

    async def _verified(self, outcome: Outcome, verdict: Verdict) -> None:
        """Both addresses: verify(8) asked for the one, and learns of the other."""
        recipient = outcome.recipient
        reason = via(outcome) + outcome.reason
        for address in dict.fromkeys((recipient.original or recipient.address, recipient.address)):
            await self._services.verified(address, verdict, reason)

    async def _report(self, report: Report, envelope: Envelope) -> None:
        if await self._journal.read(self.kind, envelope.queue_id):
            await self._services.report(self.kind, report, envelope, envelope.trace_flags)
        else:
            self._journal.forget(self.kind, envelope.queue_id)

    async def retract(self, queue_id: str, waiting: Callable[[], Collection[int]]) -> None:
        """
        A new attempt begins: what was recorded of recipients and never marked does not hold.

        :raises OSError: when the record cannot be read or changed.
        """
        await self._journal.retract(self.kind, queue_id, waiting)


@implementer(IBounceService, IRetractingService)
class PostfixBounces(_PostfixReports):
    """Failed recipients, with Postfix's bounce(8)."""

    kind = "bounce"

    async def append(self, envelope: Envelope, outcome: Outcome) -> None:
        """
        Have one failed recipient recorded.

        :raises Unanswered: when it was not, or nobody knows.
        :raises ValueError: when it cannot be said.
        """
        if not await self._probed(envelope, outcome, Verdict.UNDELIVERABLE):
            await self._record(envelope, outcome, "failed")

    async def flush(self, envelope: Envelope, content: IMessageContent) -> None:
        """
        Have those recorded reported, if any, and forgotten.

        :param content: not needed: bounce(8) reads the queue file.
        :raises OSError: when that was not done; the record is kept then.
        :raises ValueError: when it cannot be said.
        """
        await self._report(Report.SEND, envelope)


@implementer(IDeferService)
class PostfixDeferrals(_PostfixReports):
    """
    Deferred recipients, with Postfix's defer(8).

    :param fast_flush: have flush(8) know for which domains mail waits.
    """

    kind = "defer"
    _log = Logger()

    def __init__(self, services: Services, journal: Journal, fast_flush: bool = False) -> None:
        super().__init__(services, journal)
        self._fast_flush = fast_flush
        self._telling: dict[tuple[str, str], Deferred[None]] = {}

    async def append(self, envelope: Envelope, outcome: Outcome) -> None:
        """
        Have the reason recorded why one recipient waits.

        :raises Unanswered: when it was not, or nobody knows.
        :raises ValueError: when it cannot be said.
        """
        if not await self._probed(envelope, outcome, Verdict.DEFERRED):
            await self._record(envelope, outcome, "delayed")
            if self._fast_flush and outcome.recipient.domain:
                self._tell(envelope.queue_id, outcome.recipient.domain)

    def _tell(self, queue_id: str, domain: str) -> None:
        """Begin to tell flush(8); an outcome does not wait for that."""
        key = queue_id, domain
        if key in self._telling or len(self._telling) >= MOST_WAITING:
            return
        telling = self._telling[key] = Deferred.fromCoroutine(self._waits(queue_id, domain))
        telling.addBoth(lambda _: self._telling.pop(key, None))

    async def _waits(self, queue_id: str, domain: str) -> None:
        try:
            await self._services.waits(domain, queue_id)
        except CancelledError:
            return
        except (Unanswered, ValueError) as why:
            # The domain can still wait for the next attempt; the reason is on record, and that is what counts here.
            self._log.warn("{queue_id}: {why}", queue_id=queue_id, why=why)

    async def close(self) -> None:
        """Nobody need be told any more."""
        for telling in list(self._telling.values()):
            telling.cancel()

    async def warn(self, envelope: Envelope, content: IMessageContent) -> None:
        """
        Have the sender told that the recorded recipients are delayed.

        :raises OSError: when that was not done.
        :raises ValueError: when it cannot be said.
        """
        await self._report(Report.WARN, envelope)

    async def flush(self, envelope: Envelope, content: IMessageContent) -> None:
        """
        The message has expired: have those recorded reported as failed, and forgotten.

        :raises OSError: when that was not done; the record is kept then.
        :raises ValueError: when it cannot be said.
        """
        await self._report(Report.SEND, envelope)

    async def forget(self, queue_id: str) -> None:
        """
        A new attempt begins: earlier reasons no longer hold.

        :raises OSError: when the record cannot be removed.
        """
        self._journal.forget(self.kind, queue_id)


@implementer(ITraceService, IRetractingService)
class PostfixTraces(_PostfixReports):
    """Delivered recipients whose sender wants to hear of them, with Postfix's trace(8)."""

    kind = "trace"

    async def append(self, envelope: Envelope, outcome: Outcome) -> None:
        """
        Have one delivered recipient recorded, if somebody is to hear of it from us.

        :raises Unanswered: when it was not, or nobody knows.
        :raises ValueError: when it cannot be said.
        """
        if await self._probed(envelope, outcome, Verdict.DELIVERABLE):
            return
        if is_due(outcome) or envelope.is_traced:
            await self._trace(envelope, outcome, "delivered" if outcome.final else "relayed")

    async def flush(self, envelope: Envelope, content: IMessageContent) -> None:
        """
        Have those recorded reported, if any, and forgotten.

        :raises OSError: when that was not done; the record is kept then.
        :raises ValueError: when it cannot be said.
        """
        await self._report(Report.TRACE, envelope)


def at_a_queue(
    kind: str, reactor: Any, clock: IReactorTime, directory: str, journal: Journal, fast_flush: bool = False
) -> object:
    """
    The report service of one kind, with the daemons that run on a queue directory.

    :param kind: ``bounce``, ``defer`` or ``trace``.
    :param fast_flush: have flush(8) know for which domains mail waits.
    """
    services = Services(Caller(reactor, clock, directory))
    if kind == "defer":
        return PostfixDeferrals(services, journal, fast_flush)
    return {"bounce": PostfixBounces, "trace": PostfixTraces}[kind](services, journal)
