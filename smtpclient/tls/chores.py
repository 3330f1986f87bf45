"""
Work that comes round: keeping policies up to date, sending reports.

Promises: one round at a time, and none after the service has stopped; a round that fails is logged, and the next one
comes all the same.
"""

from collections.abc import Awaitable, Callable

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure


class Chore(Service):
    """
    One kind of work.

    :param pause: from the beginning of one round to that of the next, where it does not take longer, seconds.
    :param prepare: done once, when the service starts.
    """

    _log = Logger()

    def __init__(
        self,
        work: Callable[[], Awaitable[None]],
        pause: float,
        clock: IReactorTime,
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        self._work = work
        self._pause = pause
        self._clock = clock
        self._prepare = prepare
        self._timer: IDelayedCall | None = None
        self._round: Deferred[None] | None = None

    def startService(self) -> None:
        """The first round comes after a pause."""
        super().startService()
        self._prepare()
        self._timer = self._clock.callLater(self._pause, self._tick)

    def stopService(self) -> None:
        """End the round that is under way."""
        super().stopService()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._round is not None:
            self._round.cancel()

    def _tick(self) -> None:
        self._timer = self._clock.callLater(self._pause, self._tick)
        if self._round is None:
            this = Deferred.fromCoroutine(self._go_round())
            this.addErrback(self._failed)
            if not this.called:
                self._round = this
                this.addBoth(self._ended)

    async def _go_round(self) -> None:
        await self._work()

    def _ended(self, _: object) -> None:
        self._round = None

    def _failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self._log.failure("a round of {work}", failure, work=self._work)
