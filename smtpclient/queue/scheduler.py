"""
The scheduler: messages in, one request after another to every destination, messages out to completion.

A message that was claimed is accepted here: its recipients are routed, sorted by domain and local part, and given to
the queues of their destinations. Destinations take turns (``destinations``), messages take turns inside a destination
(``destination_queue``), a window says how many requests to a destination may be under way (``concurrency``), requests
are made by ``dispatch``. When the last request of a message has ended, ``completion`` decides about its file.

Promises:

* one message is never active twice, and one recipient is never in two requests;
* a delivery that raises costs a warning and negative feedback, its recipients stay queued, the service goes on;
* memory: at most ``active_limit`` messages; a message with more than ``recipient_minimum`` recipients is only taken
  while fewer than ``recipient_limit`` recipients are in memory, or alone;
* no destination fills the active queue (``admission``);
* the cost of a message does not depend on how many others there are.

Does not: read the queue directory (``poller``), log outcomes (``delivery.settlement``), know SMTP.

Known limits: a message is read whole, so one of a million recipients is in memory with all of them; sorting them
is one pause of the reactor, about 50 ms for 50,000.
"""

from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from smtpclient.interfaces import IMessageContent
from smtpclient.mail.address import external
from smtpclient.mail.envelope import Envelope, QueuedMessage, Recipient
from smtpclient.mail.outcome import SiteFailure
from smtpclient.observe.maillog import MailLog
from smtpclient.queue.active_message import ActiveMessage
from smtpclient.queue.admission import Admission, RouteTo
from smtpclient.queue.completion import Completion
from smtpclient.queue.destination_queue import DestinationState
from smtpclient.queue.destinations import Key
from smtpclient.queue.dispatch import Defer, Deliver, Dispatch
from smtpclient.queue.scheduler_settings import SchedulerSettings

_Groups = dict[Key, list[Recipient]]

_SLICE = 250  # recipients routed, or destinations that get mail, in one turn of the reactor

_EXPIRE = SiteFailure("4.7.0", "message is administratively expired")
_NO_ROUTE = SiteFailure("4.3.0", "address resolver failure")


def _nothing(*_: object) -> None:
    return


class Scheduler:
    """
    Schedules the deliveries of one queue.

    :param deliver: makes one request and returns its settled outcomes; see :class:`smtpclient.queue.dispatch.Dispatch`.
    :param defer: the same without contacting anybody: every recipient is deferred with the failure given.
    :param route: the transport and next hop of a recipient of mail from a sender.
    :param content: the content of an active message.
    :param read: reads an active message again, for what a broken delivery has left of it.
    :ivar active: the messages in the active queue, by queue id.
    :ivar admission: how much mail which destination may have.
    """

    _log = Logger()

    def __init__(
        self,
        deliver: Deliver,
        defer: Defer,
        route: RouteTo,
        content: Callable[[Envelope], IMessageContent],
        read: Callable[[str], QueuedMessage],
        completion: Completion,
        settings: SchedulerSettings,
        clock: IReactorTime,
        maillog: MailLog,
    ) -> None:
        self._route = route
        self._content = content
        self._completion = completion
        self._settings = settings
        self._clock = clock
        self._maillog = maillog
        self._dispatch = Dispatch(deliver, defer, read, self._request_ended, settings, clock, maillog)
        self._destinations = self._dispatch.destinations
        self.active: dict[str, ActiveMessage] = {}
        self.admission = Admission(self.active, self._destinations, route, settings, clock, maillog)
        self._drained: list[Deferred[None]] = []  # who waits for the last message to leave
        self._on_room: Callable[[], object] = _nothing
        self._on_postponed: Callable[[str, float], object] = _nothing

    # -- what others see ------------------------------------------------------------------------------------------

    @property
    def room(self) -> int:
        """How many more messages may be claimed."""
        return 0 if self._dispatch.stopped else max(self._settings.active_limit - len(self.active), 0)

    def __contains__(self, queue_id: object) -> bool:
        return queue_id in self.active

    def __len__(self) -> int:
        return len(self.active)

    @property
    def recipients(self) -> int:
        """How many recipients are in memory."""
        return self.admission.recipients

    @property
    def running(self) -> int:
        """How many requests are under way."""
        return self._destinations.running

    def destinations(self) -> Iterator[DestinationState]:
        """A snapshot of each destination that has mail or is dead."""
        return self._destinations.states()

    def observe(
        self,
        on_room: Callable[[], object],
        on_postponed: Callable[[str, float], object],
        on_deferred: Callable[[str, float], object] | None = None,
    ) -> None:
        """
        Tell somebody what happens here.

        :param on_room: called when a message has left the active queue.
        :param on_postponed: called with queue id and time, seconds since the epoch, when a message was put back
            untried because all its destinations have more than their share.
        :param on_deferred: the same for every message that was put back, tried or not.
        """
        self._completion.on_deferred = on_deferred
        self._on_room = on_room
        self._on_postponed = on_postponed

    def stand_by(self, change: int) -> None:
        """
        A delivery under way waits for what others hold, and does not count among all deliveries together.

        :param change: 1, or -1 when it goes on.
        """
        self._dispatch.stand_by(change)

    def forget_dead(self) -> None:
        """Let every dead destination be tried again."""
        self._destinations.forget_dead()
        self._dispatch.start()

    # -- a message comes in ---------------------------------------------------------------------------------------

    def accept(self, message: QueuedMessage, *, fresh: bool = False, expire: bool = False) -> None:
        """
        Take a message that was claimed.

        :param fresh: nothing can have been recorded of it yet: it has arrived since the service started, and was never
            tried.
        :param expire: do not try it; report what remains as failed.
        :raises ValueError: when it is active already.
        """
        envelope, recipients = message.envelope, message.recipients
        queue_id, count = envelope.queue_id, len(recipients)
        if queue_id in self.active:
            raise ValueError(f"{queue_id} is active already")
        active = ActiveMessage(message, self._content(envelope), self._clock.seconds(), fresh, expire)
        self.active[queue_id] = active
        self.admission.recipients += count
        if fresh and count == 1:
            self._enqueue(active, self._key(active, recipients[0]), recipients)
            self._activated(active)
            return
        if not count:
            self._announce(active)
        if not fresh or count > _SLICE:
            active.running += 1  # the activation counts as a request
            self._dispatch.spawn(self._activate_in_turns(active))
            return
        for key, group in self._grouped(active, recipients, {}).items():
            self._enqueue(active, key, group)
        self._activated(active)

    async def _activate_in_turns(self, active: ActiveMessage) -> None:
        """Activate a message that has a past, or is too big for one turn of the reactor."""
        groups: _Groups = {}
        everybody = active.message.recipients
        for start in range(0, len(everybody), _SLICE):
            if start:
                await deferLater(self._clock, 0)
            self._grouped(active, everybody[start : start + _SLICE], groups)
        # A message that is only put back keeps what is known of why it waits.
        room = self.admission.room
        if not active.fresh and any(room(active, self._destinations.at(key), len(groups[key])) > 0 for key in groups):
            await self._completion.begin(active.queue_id)
        for number, (key, recipients) in enumerate(groups.items(), 1):
            if self._dispatch.stopped:
                break
            self._enqueue(active, key, recipients)
            if number % _SLICE == 0:
                self._dispatch.start()
                await deferLater(self._clock, 0)
        active.running -= 1
        self._activated(active)

    def _grouped(self, active: ActiveMessage, recipients: Sequence[Recipient], groups: _Groups) -> _Groups:
        """Some recipients, put into groups by where their mail goes."""
        for recipient in recipients:
            groups.setdefault(self._key(active, recipient), []).append(recipient)
        return groups

    def _key(self, active: ActiveMessage, recipient: Recipient) -> Key:
        """Where the mail of a recipient goes."""
        if active.expire:
            return _EXPIRE
        try:
            route = self._route(recipient.address, active.message.envelope.sender)
            return route.transport, route.next_hop
        except Exception as error:
            words = f"cannot route <{external(recipient.address)}>: {str(error) or type(error).__name__}"
            self._maillog.warning("qmgr", words, active.queue_id)
            return _NO_ROUTE

    def _enqueue(self, active: ActiveMessage, key: Key, recipients: Sequence[Recipient]) -> None:
        """Let recipients wait at their destination, if there is room for them."""
        destination, count = self._destinations.at(key), len(recipients)
        admission = self.admission
        room = admission.room(active, destination, count)
        if room <= 0:
            admission.hold_back(active, destination, count)
            self._destinations.update(destination)
            return
        if not active.announced:
            self._announce(active)
        destination.add(active, recipients if count == 1 else sorted(recipients, key=_by_domain))
        admission.watch(destination, room)
        if len(destination.jobs) == 1:  # where others wait already, it has its place among the turns
            self._destinations.update(destination)

    def _activated(self, active: ActiveMessage) -> None:
        """Every recipient waits, or is held back."""
        dispatch = self._dispatch
        if dispatch.stopped or not active.waiting:
            completion = self._complete(active)
            if completion is not None:
                dispatch.spawn(completion)
        dispatch.start()

    def _announce(self, active: ActiveMessage) -> None:
        active.announced = True
        message, envelope = active.message, active.message.envelope
        count = len(message.recipients) + message.finished
        words = f"from=<{external(envelope.sender)}>, size={envelope.size}, nrcpt={count} (queue active)"
        self._maillog.info("qmgr", words, active.queue_id)

    # -- a message goes out ---------------------------------------------------------------------------------------

    def conclude(self, queue_id: str, delivered: int) -> bool:
        """
        Remove the file of a message whose last recipients have just been delivered, instead of marking them in it.

        It is the same to whoever reads the queue after a crash, and costs a third.

        :param delivered: how many recipients, none of them to be reported.
        :return: False when the file has more to say, or cannot be removed; the recipients are to be marked then.
        """
        active = self.active.get(queue_id)
        if active is None or not active.needs_only(delivered):
            return False
        active.removed = self._completion.remove_early(queue_id)
        return active.removed

    def needs_only(self, queue_id: str, delivered: int) -> bool:
        """Whether the file of a message has nothing more to say once so many more of its recipients are delivered."""
        active = self.active.get(queue_id)
        return active is not None and active.needs_only(delivered)

    def removed(self, queue_id: str) -> None:
        """Take note that somebody else has removed the file of a message that needed nothing more."""
        active = self.active.get(queue_id)
        if active is not None:
            active.removed = True

    def _request_ended(self, active: ActiveMessage, recipients: int) -> Coroutine[Deferred[Any], Any, None] | None:
        if self.active.get(active.queue_id) is not active:
            return None  # it was dropped: the delivery went on although it was broken off
        if active.removed and not active.running:
            self._completion.removed(active.queue_id)
            self._forget(active)
            return None
        self.admission.count_off(active, recipients)
        return self._complete(active)

    def _complete(self, active: ActiveMessage) -> Coroutine[Deferred[Any], Any, None] | None:
        """Complete a message, if this was the last of its requests; what is left to be done for that, if anything."""
        if active.running or active.ending:
            return None
        if active.waiting or active.interrupted:
            # Requests that will not be made: the file stays in active/, and the next start puts it back.
            if self._dispatch.stopped:
                self._drop(active)
            return None
        active.ending = True
        return self._end(active)

    async def _end(self, active: ActiveMessage) -> None:
        """Let completion decide, and forget the message."""
        untried = active.held_back > 0 and active.held_back == len(active.message.recipients)
        try:
            if untried:
                self._completion.postpone(active.queue_id, active.held_back_until)
            else:
                await self._completion.finish(active.tally())
        except Exception as error:
            self._maillog.error("qmgr", f"the message stays in active/ for now: {error}", active.queue_id)
            self._log.failure("{queue_id}: completion failed", queue_id=active.queue_id)
        self._drop(active)
        if untried:
            self._on_postponed(active.queue_id, active.held_back_until)

    def _drop(self, active: ActiveMessage) -> None:
        """Forget a message; its file is somebody else's from now on."""
        if self.active.get(active.queue_id) is active:
            self._forget(active)

    def _forget(self, active: ActiveMessage) -> None:
        del self.active[active.queue_id]
        self.admission.recipients -= active.counted
        self._on_room()
        while self._drained and not self.active:
            self._drained.pop().callback(None)

    # -- stop and go ----------------------------------------------------------------------------------------------

    async def drain(self, timeout: float) -> None:
        """
        Start nothing any more, and wait until what is under way has ended.

        Messages that then have recipients left to be tried stay in ``active/``, where the next start finds them.

        :param timeout: seconds after which deliveries are broken off.
        """
        self._dispatch.stop()
        for active in list(self.active.values()):
            if not active.running and not active.ending:
                self._drop(active)
        if self.active:
            drained: Deferred[None] = Deferred()
            self._drained.append(drained)
            timer = self._clock.callLater(timeout, self._break_off)
            await drained
            if timer.active():
                timer.cancel()

    def resume(self) -> None:
        """Work again after :meth:`drain`."""
        self._dispatch.stopped = False

    def _break_off(self) -> None:
        self._dispatch.break_off()
        for active in list(self.active.values()):
            self._drop(active)  # a delivery that will not be cancelled has had its chance


def _by_domain(recipient: Recipient) -> tuple[str, str]:
    """The order of recipients in a request: by domain, then by local part."""
    local, _, domain = recipient.address.rpartition("@")
    return domain.lower(), local
