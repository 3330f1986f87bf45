"""
Receipts: what ``Outbound.submit`` gives back, and what resolves them.

A :class:`Receipt` is held by whoever submitted; :class:`Receipts` only knows those that somebody still holds, so a
program that throws its receipts away pays nothing for them. Any number of coroutines may wait on one, and while one
does the receipt is held here too: often nothing else holds that coroutine.

``first_attempt`` ends when every recipient has been tried once; ``finished`` when every recipient is sent or bounced,
or the message has left the queue in another way: it expired, or an operator deleted it.
"""

from collections.abc import Callable
from weakref import ref

from twisted.internet.defer import Deferred

from smtpclient.mail.envelope import Envelope
from smtpclient.mail.outcome import Disposition, Outcome


class StillQueued(Exception):
    """The service stopped before there was an answer; the message is safe in the queue."""


class Receipt:
    """
    One submitted message, durable since before this object was made.

    :param queue_id: the name of its queue file, as in the log.
    :param recipients: how many there are.
    :param awaited: takes the receipt in for as long as somebody waits on it.
    """

    def __init__(self, queue_id: str, recipients: int, awaited: "set[Receipt]") -> None:
        self.queue_id = queue_id
        self._awaited = awaited
        self._recipients = recipients
        self._latest: dict[tuple[str, int], Outcome] = {}
        self._left_queue = False
        self._stopped = False
        self._waiters: list[tuple[Callable[[], bool], Deferred[None]]] = []

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """The latest outcome of each recipient that has been tried."""
        return tuple(self._latest.values())

    async def first_attempt(self) -> tuple[Outcome, ...]:
        """
        Wait until every recipient has been tried.

        :raises StillQueued: when the service stops first.
        """
        await self._until(self._tried)
        return self.outcomes

    async def finished(self) -> tuple[Outcome, ...]:
        """
        Wait until nothing is left to do for any recipient.

        :return: the last outcome of each; one that is still ``DEFERRED`` belongs to a message that expired or was
            deleted.
        :raises StillQueued: when the service stops first.
        """
        await self._until(self._done)
        return self.outcomes

    def _tried(self) -> bool:
        return self._left_queue or len(self._latest) >= self._recipients

    def _done(self) -> bool:
        return self._left_queue or (
            len(self._latest) >= self._recipients
            and all(outcome.disposition is not Disposition.DEFERRED for outcome in self._latest.values())
        )

    async def _until(self, ready: Callable[[], bool]) -> None:
        if not ready() and not self._stopped:
            waiter: Deferred[None] = Deferred()
            self._waiters.append((ready, waiter))
            self._awaited.add(self)
            await waiter
        if not ready():
            raise StillQueued(f"{self.queue_id} is still queued")

    def note(self, outcome: Outcome) -> None:
        """Take note of an outcome."""
        self._latest[outcome.recipient.address, outcome.recipient.offset] = outcome
        self._wake()

    def leave(self) -> None:
        """Take note that the message is no longer queued."""
        self._left_queue = True
        self._wake()

    def stop(self) -> None:
        """Nobody will answer any more."""
        self._stopped = True
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiters = self._waiters, []
        for ready, waiter in waiting:
            if self._stopped or ready():
                waiter.callback(None)
            else:
                self._waiters.append((ready, waiter))
        if not self._waiters:
            self._awaited.discard(self)


class Receipts:
    """The receipts that somebody holds."""

    def __init__(self) -> None:
        # Asked twice for every message, nearly always in vain: plainer than a WeakValueDictionary, and much quicker.
        self._held: dict[str, ref[Receipt]] = {}
        self._awaited: set[Receipt] = set()

    def issue(self, queue_id: str, recipients: int) -> Receipt:
        """
        A receipt for a message that has just been queued.

        To be called in the same turn of the reactor in which the queue gave out the id: until then it takes the
        message for unfinished and does not deliver it.
        """
        receipt = Receipt(queue_id, recipients, self._awaited)

        def forget(gone: "ref[Receipt]") -> None:
            if self._held.get(queue_id) is gone:  # the id may have been given out again
                del self._held[queue_id]

        self._held[queue_id] = ref(receipt, forget)
        return receipt

    def __contains__(self, queue_id: object) -> bool:
        """Whether somebody holds the receipt of a message."""
        return queue_id in self._held

    def note(self, envelope: Envelope, outcome: Outcome) -> None:
        """A subscriber to outcomes."""
        held = self._held.get(envelope.queue_id)
        if held is not None and (receipt := held()) is not None:
            receipt.note(outcome)

    def left(self, queue_id: str) -> None:
        """A message has left the queue."""
        held = self._held.pop(queue_id, None)
        if held is not None and (receipt := held()) is not None:
            receipt.leave()

    def stop(self) -> None:
        """The service stops: whoever waits is told so."""
        for held in list(self._held.values()):
            if (receipt := held()) is not None:
                receipt.stop()
