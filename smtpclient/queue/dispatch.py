"""
Making requests: whoever's turn it is, one after the other, and what is learnt from how they end.

Promises: a delivery that raises costs a warning and negative feedback for its destination (none, where it says that it
was interrupted); its recipients stay queued and nothing else notices. One turn of the reactor starts at most
:data:`STARTS` requests. A delivery that ends at once does not make the stack deeper.

Does not: decide where a recipient's mail goes, or what becomes of a message (``scheduler``).
"""

from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from smtpclient.mail.envelope import QueuedMessage, Recipient
from smtpclient.mail.outcome import Outcome, SiteFailure
from smtpclient.mail.request import DeliveryInterrupted, DeliveryRequest, DeliveryResult, Fits, Later
from smtpclient.observe.maillog import MailLog
from smtpclient.queue.active_message import ActiveMessage
from smtpclient.queue.destination_queue import Destination
from smtpclient.queue.destinations import Destinations
from smtpclient.queue.scheduler_settings import SchedulerSettings
from smtpclient.queue.spool import CorruptQueueFile

Deliver = Callable[[DeliveryRequest], Awaitable[DeliveryResult]]
Defer = Callable[[DeliveryRequest, SiteFailure], Awaitable[DeliveryResult]]

STARTS = 100
"""How many requests are started in one turn of the reactor."""

_TRANSPORT = SiteFailure("4.3.0", "unknown mail transport error")
_NO_VERDICT = SiteFailure("", "")  # the delivery says nothing about its destination


class Dispatch:
    """
    Makes the requests of one scheduler.

    :param deliver: makes one request and returns its settled outcomes. A recipient whose outcome is missing stays
        queued, and its message cannot expire in this attempt.
    :param defer: the same without contacting anybody: every recipient is deferred with the failure given.
    :param read: reads an active message again, for what a broken delivery has left of it.
    :param ended: told when a request of a message is over, and how many recipients it had; returns what is to be done
        now that it was the last one, or None.
    """

    _log = Logger()

    def __init__(
        self,
        deliver: Deliver,
        defer: Defer,
        read: Callable[[str], QueuedMessage],
        ended: Callable[[ActiveMessage, int], Coroutine[Deferred[Any], Any, None] | None],
        settings: SchedulerSettings,
        clock: IReactorTime,
        maillog: MailLog,
    ) -> None:
        self._deliver = deliver
        self._defer = defer
        self._read = read
        self._ended = ended
        self._settings = settings
        self._clock = clock
        self._maillog = maillog
        self.destinations = Destinations(settings.transports, settings.delivery_limit, clock, self.start)
        self._places: set[Place] = set()
        self._tasks: set[Deferred[None]] = set()
        self._starting = False
        self._turn: IDelayedCall | None = None
        self.stopped = False
        self._is_broken_off = False

    def start(self) -> None:
        """Start what may start."""
        destinations = self.destinations
        # A delivery that ends inside its start must not start the next one in there: the loop below will.
        if (
            self._starting
            or self.stopped
            or not (destinations.untouched or destinations.busy or destinations.suspended)
        ):
            return
        self._starting = True
        try:
            for _ in range(STARTS):
                destination = destinations.next()
                if destination is None:
                    return
                if destination.suspension is not None:
                    destinations.spare_time.begin()
                else:
                    destinations.widening.begins(destination)
                active, recipients = destination.take()
                destinations.running += 1
                destinations.update(destination)
                self.begin(destination, active, recipients)
        finally:
            self._starting = False
        if self._turn is None:
            self._turn = self._clock.callLater(0, self._next_turn)

    def stand_by(self, change: int) -> None:
        """
        A delivery under way does nothing for now, and uses no descriptor: others may have its place.

        :param change: 1, or -1 when it goes on.
        """
        self.destinations.running -= change
        if change > 0:
            self.start()

    def stop(self) -> None:
        """Start nothing any more, and forget who waits."""
        self.stopped = True
        self._is_broken_off = False
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        self.destinations.clear()

    def break_off(self) -> None:
        """Cancel what is under way, and what would begin when that ends."""
        self._is_broken_off = True
        for task in [*(place.task for place in self._places), *self._tasks]:
            if task is not None:
                task.cancel()

    def spawn(self, coroutine: Coroutine[Deferred[Any], Any, None]) -> None:
        """Let something go on by itself, until it ends or is broken off."""
        task = Deferred.fromCoroutine(coroutine)
        if not task.called:
            self._tasks.add(task)
            task.addBoth(self._forget, task)
        elif isinstance(task.result, Failure):
            task.addErrback(self._forget, task)

    def _forget(self, result: object, task: "Deferred[None]") -> None:
        self._tasks.discard(task)
        if isinstance(result, Failure) and not (self.stopped and result.check(CancelledError)):
            self._log.failure("a task of the scheduler failed", result)

    def _next_turn(self) -> None:
        self._turn = None
        self.start()

    def begin(
        self,
        destination: Destination,
        active: ActiveMessage,
        recipients: tuple[Recipient, ...],
        behind: object = None,
        later: Later | None = None,
    ) -> None:
        """Make the request that was taken from a destination; or have it made when ``later`` says so."""
        active.waiting -= len(recipients)
        active.running += 1
        place = Place(self, destination)
        request = DeliveryRequest(
            active.message.envelope,
            recipients,
            destination.transport,
            destination.next_hop,
            active.content,
            active.activated,
            destination.backlog,
            place.follow,
            behind,
        )
        self._places.add(place)
        if later is None:
            self._begin(place, active, request, destination.suspension)
        else:
            # Its destination was alive, and what goes over a session that stands does not depend on that any more.
            later(request, partial(self._begin, place, active, request, None))

    def _begin(
        self, place: "Place", active: ActiveMessage, request: DeliveryRequest, suspension: SiteFailure | None
    ) -> None:
        place.task = Deferred.fromCoroutine(self._make(place, active, request, suspension))

    async def _make(
        self, place: "Place", active: ActiveMessage, request: DeliveryRequest, suspension: SiteFailure | None
    ) -> None:
        """
        Make one request and learn from it; raises nothing.

        :param suspension: why nobody is to try at all.
        """
        try:
            try:
                if self._is_broken_off and self.stopped:
                    raise CancelledError
                if suspension is None:
                    result = await self._deliver(request)
                else:
                    result = await self._defer(request, suspension)
            except Exception as error:
                result = await self._broken(active, request, error)
            completion = self._over(place, active, request, result, suspension)
            if completion is not None:
                await completion
        except Exception as error:
            if not (self.stopped and isinstance(error, CancelledError)):
                self._log.failure("{queue_id}: a request of the scheduler failed", queue_id=active.queue_id)
        finally:
            self._places.discard(place)

    def _over(
        self,
        place: "Place",
        active: ActiveMessage,
        request: DeliveryRequest,
        result: DeliveryResult,
        suspension: SiteFailure | None,
    ) -> Coroutine[Deferred[Any], Any, None] | None:
        """Count a request off, and let others begin; what is to be done if it was the last one of its message."""
        destination, destinations = place.destination, self.destinations
        active.settle(result.outcomes)
        active.running -= 1
        if place.is_given_on:
            destination.running += 1  # that it ran beside the one that has its place counts, and is counted off below
        else:
            destinations.running -= 1
        if suspension is not None:
            destinations.spare_time.end()
        else:
            if result.site_failure is None:
                destinations.succeeded(destination, place.begun)
            else:
                self._learn(destination, result.site_failure)
            if destination.settings.rate_delay and not self.stopped:
                destinations.pause(destination)
        destination.ended()
        destinations.update(destination)
        completion = self._ended(active, len(request.recipients))
        self.start()
        return completion

    def _learn(self, destination: Destination, failure: SiteFailure) -> None:
        """Take the feedback of a delivery that could not use its destination."""
        if failure is _TRANSPORT:
            self.destinations.failed(destination, failure, self._settings.transport_suspension)
        elif failure is not _NO_VERDICT:
            self.destinations.failed(destination, failure, self._settings.suspension)

    async def _broken(self, active: ActiveMessage, request: DeliveryRequest, error: Exception) -> DeliveryResult:
        """
        What is known after a delivery that raised.

        Some of its recipients may have been settled. Those that are still to be done according to the queue file are
        deferred, so that the operator sees them and their message can expire.
        """
        queue_id = active.queue_id
        if isinstance(error, CancelledError) and self.stopped:
            active.interrupted = True
            return DeliveryResult((), _NO_VERDICT)
        if isinstance(error, CorruptQueueFile):
            active.corrupt = str(error)
            return DeliveryResult((), _NO_VERDICT)
        queued: set[int] | None = None
        try:
            queued = {recipient.offset for recipient in self._read(queue_id).recipients}
        except FileNotFoundError:
            return DeliveryResult((), _NO_VERDICT)  # the message was taken away: completion will say so
        except Exception as again:
            self._maillog.warning("qmgr", f"cannot read the queue file again: {_words(again)}", queue_id)
        words = f"delivery via {request.transport}:{request.next_hop} failed: {_words(error)}"
        self._maillog.warning("qmgr", words + "; its recipients stay queued", queue_id)
        interrupted = isinstance(error, DeliveryInterrupted)
        if not interrupted:
            self._log.failure("{queue_id}: delivery failed", Failure(error), queue_id=queue_id)
        outcomes: tuple[Outcome, ...] = ()
        if queued is not None:
            left = tuple(recipient for recipient in request.recipients if recipient.offset in queued)
            active.lose_sight(len(request.recipients) - len(left))
            if left:
                outcomes = await self._note(request._replace(recipients=left))
        return DeliveryResult(outcomes, _NO_VERDICT if interrupted else _TRANSPORT)

    async def _note(self, request: DeliveryRequest) -> tuple[Outcome, ...]:
        """Defer what a broken delivery has left, as far as that can be done."""
        try:
            return (await self._defer(request, _TRANSPORT)).outcomes
        except Exception as error:
            words = f"cannot defer {len(request.recipients)} recipients: {_words(error)}; they stay queued all the same"
            self._maillog.warning("qmgr", words, request.envelope.queue_id)
            return ()


class Place:
    """
    What one request takes up of what its destination may have under way.

    :ivar begun: the turn in which it was taken (``widening``).
    :ivar is_given_on: the next request has it.
    :ivar task: the request being made.
    """

    __slots__ = ("_dispatch", "begun", "destination", "is_given_on", "task")

    def __init__(self, dispatch: Dispatch, destination: Destination) -> None:
        self._dispatch = dispatch
        self.destination = destination
        self.begun = dispatch.destinations.widening.turn
        self.is_given_on = False
        self.task: Deferred[None] | None = None

    def follow(self, fits: Fits, behind: object, later: Later | None = None, /) -> bool:
        """
        Start the next request to the destination in the place of this one, which is nearly over; whether there was one.

        See :class:`smtpclient.mail.request.DeliveryRequest`. Only a request that could not start otherwise follows, and
        only where nobody else waits for the place; nothing else may come of it than an earlier start.
        """
        dispatch, destination = self._dispatch, self.destination
        destinations = dispatch.destinations
        # Who may start stands in line: then the place is for him.
        if self.is_given_on or not destination.jobs or destinations.untouched or destinations.busy:
            return False
        if dispatch.stopped or destination.suspension is not None or destination.settings.rate_delay:
            return False
        if destination.running > destination.window.size:
            return False  # there are more than the window has shrunk to, so this place is one too many
        active, recipients, _ = destination.jobs[0]
        if not fits(active.message.envelope, recipients):
            return False
        self.is_given_on = True
        destination.running -= 1  # there is one place for the two, so the destination stands in line as before
        active, recipients = destination.take()
        dispatch.begin(destination, active, recipients, behind, later)
        return True


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
