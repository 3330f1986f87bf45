"""
Report services that tell something outside the queue: a command, a URL, or only the log.

The three kinds of service tell one event per recipient (``smtpclient.report.event`` has the list):

==========  ========================================================================================================
bounces     ``bounced`` for each failed recipient; nothing more at the end
deferrals   ``deferred`` each time; ``delayed`` when the delay warning is due and ``expired`` when the message is
            given up, for each recipient still recorded
deliveries  ``delivered`` for each recipient that a server took
==========  ========================================================================================================

Of a probe (``sendmail -bv``) each of them tells ``deliverable`` or ``undeliverable`` instead.

Deferrals keep the queue's own record beside that: so ``postqueue -p`` still shows reasons, and whoever is told need
not remember who has been delivered meanwhile.

Promises: ``append`` returns when the other side has accepted the event; if it raises, the recipient stays queued and is
told again. No report is sent to the sender: that is now the other side's business.

Does not: deliver the message itself to the other side.
"""

from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from smtpclient.interfaces import IBounceService, IDeferService, IMessageContent, ITraceService
from smtpclient.mail.envelope import Envelope
from smtpclient.mail.outcome import Outcome
from smtpclient.report.entry import Entry, from_outcome
from smtpclient.report.event import Event
from smtpclient.report.journal import Journal
from smtpclient.report.probe import answer


class Listener(Protocol):
    """Whoever is told."""

    async def tell(self, event: Event) -> None:
        """
        Hand over one event; return when it has been accepted.

        :raises Exception: when it has not been accepted; the words are for the operator.
        """

    async def close(self) -> None:
        """Give back what is held open between events."""


class _Outside:
    """What the three kinds have in common: a listener and a clock."""

    def __init__(self, listener: Listener, clock: IReactorTime) -> None:
        self._listener = listener
        self._clock = clock

    async def _tell(self, name: str, envelope: Envelope, entry: Entry) -> None:
        await self._listener.tell(Event(name, envelope, entry, self._clock.seconds()))

    async def _answered(self, envelope: Envelope, outcome: Outcome) -> bool:
        """Tell what has come of a recipient that was only asked about; whether it was."""
        if entry := answer(envelope, outcome):
            await self._tell(entry.action, envelope, entry)
        return envelope.is_probe

    async def close(self) -> None:
        """Give back what the listener holds open."""
        await self._listener.close()


@implementer(IBounceService)
class OutsideBounces(_Outside):
    """Tell of each failed recipient."""

    async def append(self, envelope: Envelope, outcome: Outcome) -> None:
        """
        Tell ``bounced``.

        :raises Exception: when it was not accepted.
        """
        if not await self._answered(envelope, outcome):
            await self._tell("bounced", envelope, from_outcome(outcome, "failed"))

    async def flush(self, envelope: Envelope, content: IMessageContent) -> None:
        """Nothing is left to do: each recipient has been told of."""


@implementer(IDeferService)
class OutsideDeferrals(_Outside):
    """Tell of each deferral, delay and expiry."""

    def __init__(self, listener: Listener, clock: IReactorTime, journal: Journal) -> None:
        super().__init__(listener, clock)
        self._journal = journal

    async def append(self, envelope: Envelope, outcome: Outcome) -> None:
        """
        Tell ``deferred``.

        :raises Exception: when it was not accepted, or could not be recorded.
        """
        if await self._answered(envelope, outcome):
            return
        entry = from_outcome(outcome, "delayed")
        await self._journal.append("defer", envelope.queue_id, entry)
        await self._tell("deferred", envelope, entry)

    async def warn(self, envelope: Envelope, content: IMessageContent) -> None:
        """
        Tell ``delayed`` for each recorded recipient.

        :raises Exception: when one was not accepted.
        """
        for entry in await self._journal.read("defer", envelope.queue_id):
            await self._tell("delayed", envelope, entry)

    async def flush(self, envelope: Envelope, content: IMessageContent) -> None:
        """
        Tell ``expired`` for each recorded recipient, and forget the record.

        :raises Exception: when one was not accepted; the record is kept, and those before it will be told again.
        """
        for entry in await self._journal.read("defer", envelope.queue_id):
            await self._tell("expired", envelope, entry)
        self._journal.forget("defer", envelope.queue_id)

    async def forget(self, queue_id: str) -> None:
        """
        A new attempt begins: earlier reasons no longer hold.

        :raises OSError: when the record cannot be removed.
        """
        self._journal.forget("defer", queue_id)


@implementer(ITraceService)
class OutsideDeliveries(_Outside):
    """Tell of each delivered recipient."""

    async def append(self, envelope: Envelope, outcome: Outcome) -> None:
        """
        Tell ``delivered``.

        :raises Exception: when it was not accepted.
        """
        if not await self._answered(envelope, outcome):
            await self._tell("delivered", envelope, from_outcome(outcome, "delivered" if outcome.final else "relayed"))

    async def flush(self, envelope: Envelope, content: IMessageContent) -> None:
        """Nothing is left to do: each recipient has been told of."""
