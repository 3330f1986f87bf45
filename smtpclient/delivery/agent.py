"""
The delivery agent: one delivery request to one outcome per recipient.

:class:`Agent` knows no queue and no bounce. Whoever schedules gives it requests, any number at once, and a ``settle``
that records outcomes; the walk through the addresses is :class:`smtpclient.delivery.attempt.Attempt`.
"""

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import Deferred

from smtpclient.delivery import refusal
from smtpclient.delivery.attempt import Attempt
from smtpclient.delivery.ledger import Settle
from smtpclient.delivery.means import Means
from smtpclient.mail.request import DeliveryRequest, DeliveryResult


class Agent:
    """
    Delivers requests.

    :ivar means: what attempts work with.
    """

    def __init__(self, means: Means) -> None:
        self.means = means

    def deliver(self, request: DeliveryRequest, settle: Settle) -> Coroutine[Deferred[Any], Any, DeliveryResult]:
        """
        Try to deliver; every recipient has its outcome settled when this returns.

        :param settle: records outcomes and gives back what they became; called at least once.
        """
        if request.transport in refusal.TRANSPORTS:
            return self._refuse(request, settle)
        return Attempt(self.means.of(request.transport), request, settle).run()

    async def _refuse(self, request: DeliveryRequest, settle: Settle) -> DeliveryResult:
        outcomes = refusal.outcomes(request, self.means.clock.seconds())
        return DeliveryResult(tuple(await settle(request, outcomes)))

    async def close(self) -> None:
        """Say goodbye on all parked sessions."""
        await self.means.close()
