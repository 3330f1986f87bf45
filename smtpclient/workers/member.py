"""
One worker as the service sees it: a process, and the requests that it has.

Promises: every request that is given to a member ends: with what came of it, or with
:exc:`~smtpclient.mail.request.DeliveryInterrupted` once the process is gone. Nothing is given up before the process
has ended for certain, so that no second worker is at work on what the first one may still deliver.

Where a destination has all under way that it may have, its next requests are sent ahead: each in the place of one that
is under way, to begin when that is over, or to follow it in its session (``smtpclient.delivery.following``). So a
worker goes on with the next message without having to ask, and has one at hand when the end of a message goes out.

Does not: choose (``placement``), start again (``crew``).

Known limits: the last requests that were sent ahead may wait for a session that hangs, up to :data:`DEPTH` for each,
when all others of their destination are over and there is no more mail for it. A worker that hangs keeps its requests
until somebody ends it; ``kill -9`` does no harm.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from smtpclient.mail.envelope import Envelope, Recipient
from smtpclient.mail.outcome import Outcome
from smtpclient.mail.request import DeliveryInterrupted, DeliveryRequest, DeliveryResult
from smtpclient.observe.maillog import MailLog
from smtpclient.queue.record import CorruptQueueFile
from smtpclient.smtp.prompt import prompt
from smtpclient.workers.line import Asked, Line
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
    Removed,
    Reopen,
    Stop,
    outcomes,
)
from smtpclient.workers.outbox import Outbox
from smtpclient.workers.placement import NotBegun
from smtpclient.workers.wire import MalformedFrame, Reader

TO, FROM, WORDS = 3, 4, 2
"""The worker's descriptors: what it is told, what it says, what it says when something is wrong with it."""

DEPTH = 4
"""
How many requests are sent ahead for each that is under way, once so many were answered.

The one that follows has its envelope answered together with the end of the one in front, so that its own end goes out
at once: the next one must be at hand by then, however long it takes until the service has its turn of the processor. Of
the messages to one destination 50, 76 and 87 in a hundred followed another one with two, three and four, on two cores
with much else to do.
"""

MOST_AHEAD = 100
"""How many requests for one destination are sent ahead at most."""

_LAST_WORDS = 500


class DeliveryFailed(Exception):
    """A delivery raised in a worker; the text is the exception's there."""


class Front:
    """
    What a request that is sent ahead is told of the one in front, as ``behind``.

    :ivar member: has that one.
    :ivar number: its number there.
    """

    __slots__ = ("member", "number")

    def __init__(self, member: "Member", number: int) -> None:
        self.member = member
        self.number = number


_DELIVERED = DeliveryResult(())  # nobody wants to know more


def _fits(_envelope: Envelope, _recipients: Sequence[Recipient]) -> bool:
    return True  # the worker looks


class Member(ProcessProtocol):
    """
    One process.

    :param clock: the reactor.
    :param published: told of every outcome, after it was settled.
    :param removed: told of a message whose file a worker has removed, because it needed nothing more.
    :param queued: told that a report was put into ``incoming/``.
    :param changed: told when this member is ready, and when its process has ended.
    """

    _log = Logger()

    def __init__(
        self,
        begin: Begin,
        clock: IReactorTime,
        maillog: MailLog,
        *,
        published: Callable[[Envelope, Outcome], object],
        removed: Callable[[str], object],
        queued: Callable[[], object],
        changed: Callable[["Member"], object],
    ) -> None:
        self._begin = begin
        self._clock = clock
        self._maillog = maillog
        self._published = published
        self._removed = removed
        self._queued = queued
        self._changed = changed
        self._reader = Reader()
        self._outbox = Outbox(clock, self._write, self._too_long)
        self._send: Callable[[bytes], object] | None = None
        self._requests: dict[int, Asked] = {}
        self._lines: dict[tuple[str, str], Line] = {}
        self._number = 0
        self._is_stopping = False
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

    def deliver(
        self, request: DeliveryRequest, *, sole: bool, told: bool = True, front: Front | None = None
    ) -> "Deferred[DeliveryResult]":
        """
        Have a request delivered; one that is told of a :class:`Front` here, in the place of that one.

        What is given back fails with :exc:`DeliveryInterrupted` when the process has ended before it was done,
        :exc:`CorruptQueueFile` when the queue file cannot be read, :exc:`DeliveryFailed` when the delivery has raised
        there, :exc:`ValueError` when the request is too long to be sent.

        :param sole: its recipients are all that is left of the message.
        :param told: somebody wants to hear of each outcome.
        :param front: what the request behind this one was told of it while another member had both; None: there is
            none.
        """
        self._number += 1
        number, behind = self._number, 0
        key = request.transport, request.next_hop
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = Line(key)
        ahead = cast(Front | None, request.behind)  # nobody else gives a request anything along
        if ahead is not None and ahead.member is self and line.last.pop(ahead.number, None) is not None:
            behind = ahead.number
            line.ahead[number] = None
        waiting: Deferred[DeliveryResult] = Deferred(lambda _: self._outbox.say_now(Cancel(number)))
        asked = self._requests[number] = line.last[number] = Asked(request, waiting, line, front)
        if front is not None:
            front.member, front.number = self, number
        self._outbox.say(
            Deliver(
                number,
                request.transport,
                request.next_hop,
                request.activated,
                request.backlog(),
                sole,
                request.envelope,
                request.recipients,
                told,
                behind,
            )
        )
        if not behind and asked.front is None:
            self._send_ahead(line)
        return waiting

    def _send_ahead(self, line: Line) -> None:
        """Have requests at hand for when those under way are over, if there is mail that could not begin otherwise."""
        while self.ready and len(line.ahead) < min(line.depth * len(line.last), MOST_AHEAD):
            number, asked = next(iter(line.last.items()))
            front = asked.front = Front(self, number)
            if not asked.request.follow(_fits, front):
                asked.front = None
                return

    def reopen_log(self) -> None:
        """Go on in a new log file."""
        self._outbox.say_now(Reopen())

    def stop(self) -> None:
        """End, once everything under way has ended; what waits is broken off."""
        self.ready = False
        self._is_stopping = True
        self._outbox.say_now(Stop())

    def kill(self) -> None:
        """End, at once."""
        self.ready = False
        if self.transport is not None and self.pid is not None:
            self.transport.signalProcess("KILL")

    def _write(self, frame: bytes) -> None:
        if self._send is not None and not self.ended:
            self._send(frame)

    def _too_long(self, message: Message, why: ValueError) -> None:
        """Something cannot be sent: a request, for nothing else is long."""
        if not isinstance(message, Deliver):
            raise why
        self._fail(message.number, why)

    # -- what becomes of it ---------------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        """The process has been started."""
        transport: Any = self.transport
        pipe = getattr(transport, "pipes", {}).get(TO)
        self._send = prompt(pipe).write if pipe is not None else partial(transport.writeToChild, TO)
        self._outbox.say_now(self._begin)

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """The process says something."""
        if childFD != FROM:
            self._words = (self._words + data.decode("utf-8", "replace"))[-_LAST_WORDS:]
            self._log.warn("worker {pid}: {words}", pid=self.pid, words=data.decode("utf-8", "replace").rstrip())
            return
        # What is over makes room, and what begins there is sent together.
        self._outbox.hold()
        try:
            for message in self._reader.feed(data):
                self._take(message)
        except MalformedFrame as why:
            self._maillog.error("master", f"worker {self.pid} cannot be understood and is ended: {why}")
            self.kill()
        finally:
            self._outbox.flush()

    def childConnectionLost(self, childFD: int) -> None:
        """One who cannot be spoken to is of no more use, and must not go on by itself."""
        if childFD != WORDS:
            self.kill()

    def processEnded(self, reason: Failure) -> None:
        """Whatever it had is to be tried again, as far as the queue files say that it is not done."""
        self.ready = False
        self.ended = _how(reason)
        words = f"the worker that had it has ended: {self.ended}"
        requests, self._requests, self._lines = self._requests, {}, {}
        # What waited for others goes where they go, so they go first.
        for number, asked in requests.items():
            if not asked.waiting.called:
                has_begun = number not in asked.line.ahead
                asked.waiting.errback(DeliveryInterrupted(words) if has_begun else NotBegun(words, asked.front))
        self._changed(self)

    @property
    def last_words(self) -> str:
        """The end of what it said before it ended unexpectedly; empty: nothing."""
        lines = self._words.strip().splitlines()
        return lines[-1] if lines else ""

    def _take(self, message: Message) -> None:
        match message:
            case Removed():
                self._over(message.number, _DELIVERED, removed=True)
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
        asked = self._asked(message.number)
        try:
            told = outcomes(asked.request.recipients, message.outcomes)
        except IndexError:
            raise MalformedFrame(f"request {message.number} has no such recipient") from None
        for outcome in told:
            self._published(asked.request.envelope, outcome)
        self._over(message.number, DeliveryResult(told, message.site_failure), removed=message.removed)

    def _over(self, number: int, result: DeliveryResult, *, removed: bool) -> None:
        """A request has come to its end."""
        asked = self._taken(number)
        line, waiting = asked.line, asked.waiting
        if removed:
            self._removed(asked.request.envelope.queue_id)
        if not waiting.called:
            waiting.callback(result)
        line.depth = min(line.depth + 1, DEPTH) if result.site_failure is None else 0
        self._send_ahead(line)

    def _broken(self, message: Broken) -> None:
        self._fail(message.number, self._why(message))

    def _fail(self, number: int, why: Exception) -> None:
        """A request is over, and has come to nothing."""
        asked = self._taken(number)
        if not asked.waiting.called:
            asked.waiting.errback(why)
        self._send_ahead(asked.line)

    def _why(self, message: Broken) -> Exception:
        if message.corrupt_path:
            return CorruptQueueFile(message.corrupt_path, message.corrupt_offset, message.why)
        if message.cancelled:
            # What had not begun when all is to end is left for the next start.
            return CancelledError() if self._is_stopping else DeliveryInterrupted("the worker has broken it off")
        return DeliveryFailed(message.why)

    def _asked(self, number: int) -> Asked:
        found = self._requests.get(number)
        if found is None:
            raise MalformedFrame(f"there is no request {number}")
        return found

    def _taken(self, number: int) -> Asked:
        """A request that is over; the first one that waits has begun in its place, if one was to."""
        found = self._asked(number)
        del self._requests[number]
        line = found.line
        line.ahead.pop(number, None)
        if line.last.pop(number, None) is None and line.ahead:
            del line.ahead[next(iter(line.ahead))]
        if not line.last and self._lines.get(line.key) is line:
            del self._lines[line.key]
        return found


def _how(reason: Failure) -> str:
    """How a process has ended, in words."""
    ended = reason.value
    if isinstance(ended, ProcessTerminated) and ended.signal:
        return f"killed by signal {ended.signal}"
    if isinstance(ended, (ProcessDone, ProcessTerminated)):
        return f"exit code {ended.exitCode or 0}"
    return str(ended)
