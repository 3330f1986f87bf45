"""Faults planted into the service, to see that they are found."""

from collections.abc import Callable, Sequence
from typing import Any

from smtpclient.delivery.settlement import Settlement
from smtpclient.interfaces import IMessageContent
from smtpclient.mail.envelope import Envelope
from smtpclient.mail.outcome import Disposition, Outcome
from smtpclient.mail.request import DeliveryRequest
from smtpclient.report.bounce import KIND, QueueBounces


def _mark_before_record() -> None:
    """A failed recipient is marked as done before the failure is on record."""
    settle = Settlement.settle

    async def hasty(self: Settlement, request: DeliveryRequest, outcomes: Sequence[Outcome]) -> Any:
        done = [each.recipient.offset for each in outcomes if each.disposition is not Disposition.DEFERRED]
        self._mark_done(request.envelope, done)
        return await settle(self, request, outcomes)

    Settlement.settle = hasty  # type: ignore[method-assign]


def _forget_before_report() -> None:
    """The record of the failed is removed before the report is on disk."""

    async def flush(self: QueueBounces, envelope: Envelope, content: IMessageContent) -> None:
        entries = await self._journal.read(KIND, envelope.queue_id)
        self._journal.forget(KIND, envelope.queue_id)
        await self._notification.failed(envelope, entries, content)

    QueueBounces.flush = flush  # type: ignore[method-assign]


PLANTS: dict[str, Callable[[], None]] = {
    "mark-before-record": _mark_before_record,
    "forget-before-report": _forget_before_report,
}
