"""
A worker: a process that delivers what the service asks it to, and nothing else.

``python -m smtpclient.workers.worker`` is started by :mod:`smtpclient.workers.crew`, which speaks to it over
descriptors 3 and 4. It has the means of the service (``smtpclient.delivery.assembly``) and does what smtp(8) does for a
queue manager: it opens the queue file itself, delivers, records, logs and marks. It takes no lock of the queue
directory: that one is the service's.

Promises: it ends at once when the service is gone, whatever is under way, for the next service will take all of it
over; signals that a terminal or an init system sends to the whole group do not end it, for the service has a drain to
make.

A request that was sent ahead (``member``) waits here until the one in whose place it is to begin is over, or would
have it follow in its session. Of several that wait the first one takes a place that becomes free, whosever that was.

Does not: look at the queue, complete messages, read main.cf; bound how much is under way at a destination: the service
does.
"""

import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.process import ProcessWriter
from twisted.internet.protocol import Protocol
from twisted.internet.stdio import StandardIO
from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    Logger,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
    textFileLogObserver,
)
from twisted.python.failure import Failure

from smtpclient.config.parameters import ConfigurationError, Parameters
from smtpclient.delivery.assembly import Delivery
from smtpclient.mail.envelope import NewMessage
from smtpclient.mail.request import DeliveryRequest, Fits, Later
from smtpclient.observe.maillog import MailLog, MailLogFile
from smtpclient.observe.outcomes import Outcomes
from smtpclient.queue import intake
from smtpclient.queue.record import CorruptQueueFile
from smtpclient.smtp.prompt import prompt
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
    settled,
)
from smtpclient.workers.outbox import Outbox, Write
from smtpclient.workers.task import Destination, Running, Task
from smtpclient.workers.turns import Turns
from smtpclient.workers.wire import Reader

IN, OUT = 3, 4
"""The descriptors that a worker is spoken to and speaks over."""

_PREFIXES = {LogLevel.info: "", LogLevel.warn: "warning: ", LogLevel.error: "error: "}


class Worker(Protocol):
    """
    One worker, at the end of its socket.

    :param reactor: connections, datagrams, time, threads.
    :param leave: ends the process, at once and with this exit code.
    """

    _log = Logger()

    def __init__(self, reactor: Any, leave: Callable[[int], object] = os._exit) -> None:
        self._reactor = reactor
        self._leave = leave
        self._reader = Reader()
        self._outbox = Outbox(reactor, self._write, self._too_long)
        self._delivery: Delivery | None = None
        self._maillog = MailLog(reactor.seconds)
        self._log_file: MailLogFile | None = None
        self._tasks: dict[int, Task] = {}
        self._turns = Turns(reactor)
        self._destinations: dict[tuple[str, str], Destination] = {}  # of the requests that are here
        self._sole: dict[str, Task] = {}  # by queue id: those with the last recipients
        self._stopping = False

    # -- what the service says ------------------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        """Take messages; whoever cannot be understood is not our service."""
        self._outbox.hold()
        try:
            for message in self._reader.feed(data):
                self._take(message)
        except ValueError:
            self._log.failure("the service cannot be understood")
            self._leave(os.EX_PROTOCOL)
        finally:
            self._outbox.flush()

    def connectionLost(self, reason: Failure | None = None) -> None:
        """The service is gone, or has no use for us; what is under way belongs to the next one."""
        self._leave(os.EX_OK if self._stopping and not self._tasks else os.EX_TEMPFAIL)

    def _take(self, message: Message) -> None:
        match message:
            case Deliver():
                self._ask(message)
            case Cancel():
                self._cancel(message.number)
            case Begin():
                self._begin(message)
            case Reopen():
                self._reopen()
            case Stop():
                self._stop()
            case _:
                raise ValueError(f"{type(message).__name__} is not for a worker")

    def _write(self, frame: bytes) -> None:
        if self.transport is not None:
            self.transport.write(frame)

    def _too_long(self, message: Message, why: ValueError) -> None:
        """Something cannot be said: what came of a request, for nothing else is long. The queue file knows it."""
        if isinstance(message, Done):
            self._outbox.say(Broken(message.number, str(why)))

    # -- its life -------------------------------------------------------------------------------------------------

    def _begin(self, begin: Begin) -> None:
        try:
            parameters = Parameters.from_values(begin.settings, sources=begin.sources)
            self._open_log(parameters, writes_log=begin.writes_log)
            self._delivery = Delivery(
                parameters,
                reactor=self._reactor,
                maillog=self._maillog,
                submit=self._submit,
                outcomes=Outcomes(),
                conclude=self._conclude,
                bounce=begin.bounce,
                defer=begin.defer,
                trace=begin.trace,
            )
        except (ConfigurationError, ValueError, OSError) as why:
            self._outbox.say_now(Refused(str(why)))
            return
        self._delivery.start_threads()
        self._delivery.begin()
        self._outbox.say_now(Ready())

    def _open_log(self, parameters: Parameters, *, writes_log: bool) -> None:
        """Write the mail log ourselves, or have the service write it."""
        path = parameters.text("maillog_file") if writes_log else ""
        if path:
            try:
                self._log_file = MailLogFile(path, parameters.text("myhostname"), parameters.text("syslog_name"))
            except OSError:  # the service may have opened it with other rights, or outside its jail
                path = ""
        if self._log_file is not None:
            self._maillog.write_to(self._log_file.write)
        else:
            self._maillog.publisher.addObserver(cast(ILogObserver, self._pass_on))

    def _pass_on(self, event: LogEvent) -> None:
        level = event["log_level"]
        text = event["mail_text"].removeprefix(_PREFIXES[level])
        self._outbox.say_now(Logged(level.name, event["process"], event["queue_id"], text))

    def _reopen(self) -> None:
        if self._log_file is not None:
            try:
                self._log_file.reopen()
            except OSError as why:
                self._maillog.warning("smtp", f"a worker stays with the old log file: {why}")

    def _stop(self) -> None:
        """Begin nothing any more, and end."""
        self._stopping = True
        for destination in list(self._destinations.values()):
            while destination.ahead:
                self._break_off(destination.ahead.popleft())
        self._end_if_idle()

    def _end_if_idle(self) -> None:
        if self._stopping and not self._tasks:
            ending = Deferred.fromCoroutine(self._end())
            ending.addErrback(partial(self._log.failure, "the end of a worker failed"))

    async def _end(self) -> None:
        try:
            if self._delivery is not None:
                await self._delivery.close()
                self._delivery.stop_threads()
        finally:
            self._outbox.flush()
            self._leave(os.EX_OK)

    # -- the way of a request -------------------------------------------------------------------------------------

    def _ask(self, message: Deliver) -> None:
        """Take a request: it begins now, or in the place of another one."""
        if self._delivery is None:
            raise ValueError("a delivery before the parameters")
        key = message.transport, message.next_hop
        destination = self._destinations.get(key)
        if destination is None:
            destination = self._destinations[key] = Destination(key)
        destination.backlog = message.backlog
        destination.tasks += 1
        task = self._tasks[message.number] = Task(message, destination)
        if message.sole:
            self._sole[message.envelope.queue_id] = task
        front = self._tasks.get(message.behind) if message.behind else None
        if front is None:  # over, meanwhile: its place is free
            self._start(self._delivery, task)
        else:
            front.is_given_on = True
            destination.ahead.append(task)

    def _start(self, delivery: Delivery, task: Task, request: DeliveryRequest | None = None) -> None:
        """Begin a delivery, and let it go on by itself."""
        running = task.running = Running()
        running.end = Deferred.fromCoroutine(self._run(delivery, task, running, request))

    async def _run(self, delivery: Delivery, task: Task, running: Running, request: DeliveryRequest | None) -> None:
        """Make deliveries, each in the place of the one before, and say what has come of them; raises nothing."""
        following: Task | None = task
        try:
            while following is not None:
                task = following
                self._outbox.say(await self._deliver(delivery, task, request))
                following, request = self._over(task), None
                if following is not None:
                    following.running = running
        except Exception:
            self._log.failure("a delivery came to no end that could be told")
            self._leave(os.EX_SOFTWARE)
        if self._stopping:
            self._end_if_idle()

    def _over(self, task: Task) -> Task | None:
        """Forget a request; who is to begin in its place."""
        asked, destination = task.asked, task.destination
        del self._tasks[asked.number]
        if asked.sole:
            self._sole.pop(asked.envelope.queue_id, None)
        destination.tasks -= 1
        if not destination.tasks:
            del self._destinations[destination.key]
        return destination.ahead.popleft() if task.is_given_on and destination.ahead else None

    def _follow(self, task: Task, fits: Fits, behind: object, later: Later | None = None, /) -> bool:
        """Have the next one begin while this one waits for its end; see :class:`smtpclient.mail.request`."""
        ahead = task.destination.ahead
        if not (task.is_given_on and ahead and self._delivery):
            return False
        following = ahead[0]
        if not fits(following.asked.envelope, following.asked.recipients):
            return False
        del ahead[0]
        task.is_given_on = False
        request = self._request(self._delivery, following, behind)
        begin = partial(self._start, self._delivery, following, request)
        if later is None:
            begin()
        else:
            later(request, begin)
        return True

    def _cancel(self, number: int) -> None:
        """Break a delivery off, unless it is over."""
        task = self._tasks.get(number)
        if task is None:
            return
        if task in task.destination.ahead:
            task.destination.ahead.remove(task)
            self._break_off(task)
        elif task.running is None:
            task.cancelled = True
        elif task.running.end is not None:
            task.running.end.cancel()

    def _break_off(self, task: Task) -> None:
        """End what has not begun."""
        task.is_given_on = False
        self._over(task)
        self._outbox.say(Broken(task.asked.number, "cancelled", cancelled=True))

    def _request(self, delivery: Delivery, task: Task, behind: object = None) -> DeliveryRequest:
        return task.request(delivery.spool.content(task.asked.envelope), partial(self._follow, task), behind)

    async def _deliver(self, delivery: Delivery, task: Task, request: DeliveryRequest | None) -> Message:
        """Deliver when it is its turn; what has come of it."""
        asked, destination = task.asked, task.destination
        envelope = asked.envelope
        try:
            if not asked.behind:  # the others have a place, and most likely a session
                destination.coming += 1
                try:
                    await self._turns.come()
                finally:
                    destination.coming -= 1
            if task.cancelled:
                raise CancelledError
            result = await delivery.deliver(request or self._request(delivery, task))
        except CorruptQueueFile as why:
            return Broken(asked.number, why.why, why.path, why.offset)
        except CancelledError:
            return Broken(asked.number, "cancelled", cancelled=True)
        except Exception as why:
            self._log.failure("{queue_id}: delivery failed", queue_id=envelope.queue_id)
            return Broken(asked.number, str(why) or type(why).__name__)
        if task.removed and not asked.told and result.site_failure is None:
            return Removed(asked.number)
        return Done(asked.number, settled(asked, result.outcomes), result.site_failure, task.removed)

    def _conclude(self, queue_id: str, delivered: int) -> bool:
        """Remove a message whose last recipients these were, instead of marking them in it."""
        task = self._sole.get(queue_id)
        if task is None or len(task.asked.recipients) != delivered or self._delivery is None:
            return False
        try:
            task.removed = self._delivery.spool.remove(queue_id)
        except OSError:
            return False
        return task.removed

    async def _submit(self, message: NewMessage) -> str:
        """Queue a report of our own."""
        if self._delivery is None:
            raise ValueError("a report before the parameters")
        queue_id = await self._delivery.spool.create(message)
        intake.log_arrival(self._maillog, queue_id, message)
        self._outbox.say_now(Queued(queue_id))
        return queue_id


class _Pipes(StandardIO):
    """The two pipes of a worker; what is said goes out at once."""

    _writer: ProcessWriter | None
    _prompt: Write | None = None

    def write(self, data: bytes) -> None:
        """Say something, as long as there is somebody to listen."""
        if self._writer is not None:
            if self._prompt is None:
                self._prompt = prompt(self._writer).write
            self._prompt(data)


def _ignore_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def main() -> None:
    """Work until the service says that it is enough, or ends."""
    _ignore_signals()
    from twisted.internet import reactor  # noqa: PLC0415 -- there is none before somebody wants one

    threshold = FilteringLogObserver(
        textFileLogObserver(sys.stderr), [LogLevelFilterPredicate(defaultLogLevel=LogLevel.warn)]
    )
    globalLogBeginner.beginLoggingTo([threshold], redirectStandardIO=False)
    anything: Any = reactor
    _Pipes(Worker(anything), stdin=IN, stdout=OUT, reactor=anything)  # type: ignore[call-arg]
    # The reactor takes SIGTERM for itself when it starts, and that of SIGCHLD is wanted.
    anything.callWhenRunning(_ignore_signals)
    anything.run()


if __name__ == "__main__":
    main()
