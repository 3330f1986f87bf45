"""
One worker as the service sees it: a process, and the requests that it has.

Promises: every request that is given to a member ends: with what came of it, or with
:exc:`~smtpclient.mail.request.DeliveryInterrupted` once the process is gone. Nothing is given up before the process
has ended for certain, so that no second worker is at work on what the first one may still deliver.

Does not: choose (``placement``), start again (``crew``).

Known limits: a worker that hangs keeps its requests until somebody ends it; ``kill -9`` does no harm.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from smtpclient.mail.envelope import Envelope
from smtpclient.mail.outcome import Outcome
from smtpclient.mail.request import DeliveryInterrupted, DeliveryRequest, DeliveryResult
from smtpclient.observe.maillog import MailLog
from smtpclient.queue.record import CorruptQueueFile
from smtpclient.workers.message import (
    Begin,
    Broken,
    Cancel,
    Deliver,
    Done,
    Logged,
    Message,
    Queued,
    Ready,
    Refused,
    Reopen,
    Stop,
)
from smtpclient.workers.wire import MalformedFrame, Reader, encode

TO, FROM, WORDS = 3, 4, 2
"""The worker's descriptors: what it is told, what it says, what it says when something is wrong with it."""

_LAST_WORDS = 500


class DeliveryFailed(Exception):
    """A delivery raised in a worker; the text is the exception's there."""


class Member(ProcessProtocol):
    """
    One process.

    :param published: told of every outcome, after it was settled.
    :param removed: told of a message whose file a worker has removed, because it needed nothing more.
    :param queued: told that a report was put into ``incoming/``.
    :param changed: told when this member is ready, and when its process has ended.
    """

    _log = Logger()

    def __init__(
        self,
        begin: Begin,
        maillog: MailLog,
        *,
        published: Callable[[Envelope, Outcome], object],
        removed: Callable[[str], object],
        queued: Callable[[], object],
        changed: Callable[["Member"], object],
    ) -> None:
        self._begin = begin
        self._maillog = maillog
        self._published = published
        self._removed = removed
        self._queued = queued
        self._changed = changed
        self._reader = Reader()
        self._requests: dict[int, tuple[DeliveryRequest, Deferred[DeliveryResult]]] = {}
        self._last = 0
        self._words = ""
        self.ready = False
        self.ended = ""
        self.refused = ""

    @property
    def load(self) -> int:
        """How many requests are under way."""
        return len(self._requests)

    @property
    def pid(self) -> int | None:
        """Its process id, as long as it lives."""
        transport: Any = self.transport
        found: int | None = transport.pid if transport is not None else None
        return found

    # -- what is asked of it --------------------------------------------------------------------------------------

    async def deliver(self, request: DeliveryRequest, *, sole: bool) -> DeliveryResult:
        """
        Have a request delivered.

        :param sole: its recipients are all that is left of the message.
        :raises DeliveryInterrupted: when the process has ended before it was done.
        :raises CorruptQueueFile: when the queue file cannot be read.
        :raises DeliveryFailed: when the delivery has raised there.
        :raises ValueError: when the request is too long to be sent.
        """
        self._last += 1
        number = self._last
        frame = encode(
            Deliver(
                number,
                request.transport,
                request.next_hop,
                request.activated,
                request.backlog(),
                sole,
                request.envelope,
                request.recipients,
            )
        )
        waiting: Deferred[DeliveryResult] = Deferred(lambda _: self._say(encode(Cancel(number))))
        self._requests[number] = (request, waiting)
        self._say(frame)
        return await waiting

    def reopen_log(self) -> None:
        """Go on in a new log file."""
        self._say(encode(Reopen()))

    def stop(self) -> None:
        """End, once everything under way has ended."""
        self.ready = False
        self._say(encode(Stop()))

    def kill(self) -> None:
        """End, at once."""
        self.ready = False
        if self.transport is not None and self.pid is not None:
            self.transport.signalProcess("KILL")

    def _say(self, frame: bytes) -> None:
        if self.transport is not None and not self.ended:
            self.transport.writeToChild(TO, frame)

    # -- what becomes of it ---------------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        """The process has been started."""
        self._say(encode(self._begin))

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """The process says something."""
        if childFD != FROM:
            self._words = (self._words + data.decode("utf-8", "replace"))[-_LAST_WORDS:]
            self._log.warn("worker {pid}: {words}", pid=self.pid, words=data.decode("utf-8", "replace").rstrip())
            return
        try:
            for message in self._reader.feed(data):
                self._take(message)
        except MalformedFrame as why:
            self._maillog.error("master", f"worker {self.pid} cannot be understood and is ended: {why}")
            self.kill()

    def childConnectionLost(self, childFD: int) -> None:
        """One who cannot be spoken to is of no more use, and must not go on by itself."""
        if childFD != WORDS:
            self.kill()

    def processEnded(self, reason: Failure) -> None:
        """Whatever it had is to be tried again, as far as the queue files say that it is not done."""
        self.ready = False
        self.ended = _how(reason)
        interrupted = DeliveryInterrupted(f"the worker that had it has ended: {self.ended}")
        requests, self._requests = self._requests, {}
        for _, waiting in requests.values():
            if not waiting.called:
                waiting.errback(interrupted)
        self._changed(self)

    @property
    def last_words(self) -> str:
        """The end of what it said before it ended unexpectedly; empty: nothing."""
        lines = self._words.strip().splitlines()
        return lines[-1] if lines else ""

    def _take(self, message: Message) -> None:
        match message:
            case Done():
                self._done(message)
            case Broken():
                self._broken(message)
            case Logged():
                write = {"warn": self._maillog.warning, "error": self._maillog.error}.get(message.level)
                (write or self._maillog.info)(message.process, message.text, message.queue_id)
            case Queued():
                self._queued()
            case Ready():
                self.ready = True
                self._changed(self)
            case Refused():
                self.refused = message.why
                self.stop()
            case _:
                raise MalformedFrame(f"{type(message).__name__} is not for a service")

    def _done(self, message: Done) -> None:
        request, waiting = self._taken(message.number)
        for outcome in message.outcomes:
            self._published(request.envelope, outcome)
        if message.removed:
            self._removed(request.envelope.queue_id)
        if not waiting.called:
            waiting.callback(DeliveryResult(message.outcomes, message.site_failure))

    def _broken(self, message: Broken) -> None:
        _, waiting = self._taken(message.number)
        if waiting.called:
            return
        if message.corrupt_path:
            waiting.errback(CorruptQueueFile(message.corrupt_path, message.corrupt_offset, message.why))
        elif message.cancelled:
            waiting.errback(DeliveryInterrupted("the worker has broken it off"))
        else:
            waiting.errback(DeliveryFailed(message.why))

    def _taken(self, number: int) -> "tuple[DeliveryRequest, Deferred[DeliveryResult]]":
        found = self._requests.pop(number, None)
        if found is None:
            raise MalformedFrame(f"there is no request {number}")
        return found


def _how(reason: Failure) -> str:
    """How a process has ended, in words."""
    ended = reason.value
    if isinstance(ended, ProcessTerminated) and ended.signal:
        return f"killed by signal {ended.signal}"
    if isinstance(ended, (ProcessDone, ProcessTerminated)):
        return f"exit code {ended.exitCode or 0}"
    return str(ended)
