"""
A worker: a process that delivers what the service asks it to, and nothing else.

``python -m smtpclient.workers.worker`` is started by :mod:`smtpclient.workers.crew`, which speaks to it over
descriptors 3 and 4. It has the means of the service (``smtpclient.delivery.assembly``) and does what smtp(8) does for a
queue manager: it opens the queue file itself, delivers, records, logs and marks. It takes no lock of the queue
directory: that one is the service's.

Promises: it ends at once when the service is gone, whatever is under way, for the next service will take all of it
over; signals that a terminal or an init system sends to the whole group do not end it, for the service has a drain to
make.

Does not: look at the queue, complete messages, read main.cf.
"""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred
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
from smtpclient.mail.request import DeliveryRequest
from smtpclient.observe.maillog import MailLog, MailLogFile
from smtpclient.observe.outcomes import Outcomes
from smtpclient.queue import intake
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
from smtpclient.workers.turns import Turns
from smtpclient.workers.wire import Reader, encode

IN, OUT = 3, 4
"""The descriptors that a worker is spoken to and speaks over."""

_PREFIXES = {LogLevel.info: "", LogLevel.warn: "warning: ", LogLevel.error: "error: "}


@dataclass(slots=True)
class _Destination:
    """
    What a worker knows of mail for one destination.

    :param backlog: how many messages waited there when the service sent the latest request.
    :param requests: how many are here.
    :param waiting: how many of these have not begun.
    """

    backlog: int = 0
    requests: int = 0
    waiting: int = 0

    def wanted(self) -> int:
        """How many messages sessions are worth keeping for."""
        return self.backlog + self.waiting


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
        self._delivery: Delivery | None = None
        self._maillog = MailLog(reactor.seconds)
        self._log_file: MailLogFile | None = None
        self._tasks: dict[int, Deferred[None]] = {}
        self._turns = Turns(reactor)
        self._destinations: dict[tuple[str, str], _Destination] = {}  # of the requests that are here
        self._sole: dict[str, int] = {}  # by queue id: how many recipients are the last ones
        self._removed: set[str] = set()
        self._stopping = False

    # -- what the service says ------------------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        """Take messages; whoever cannot be understood is not our service."""
        try:
            for message in self._reader.feed(data):
                self._take(message)
        except ValueError:
            self._log.failure("the service cannot be understood")
            self._leave(os.EX_PROTOCOL)

    def connectionLost(self, reason: Failure | None = None) -> None:
        """The service is gone, or has no use for us; what is under way belongs to the next one."""
        self._leave(os.EX_OK if self._stopping and not self._tasks else os.EX_TEMPFAIL)

    def _take(self, message: Message) -> None:
        match message:
            case Deliver():
                self._start(message)
            case Cancel():
                if message.number in self._tasks:
                    self._tasks[message.number].cancel()
            case Begin():
                self._begin(message)
            case Reopen():
                self._reopen()
            case Stop():
                self._stopping = True
                self._end_if_idle()
            case _:
                raise ValueError(f"{type(message).__name__} is not for a worker")

    def _say(self, message: Message) -> None:
        if self.transport is not None:
            self.transport.write(encode(message))

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
            self._say(Refused(str(why)))
            return
        self._delivery.start_threads()
        self._delivery.begin()
        self._say(Ready())

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
        self._say(Logged(level.name, event["process"], event["queue_id"], text))

    def _reopen(self) -> None:
        if self._log_file is not None:
            try:
                self._log_file.reopen()
            except OSError as why:
                self._maillog.warning("smtp", f"a worker stays with the old log file: {why}")

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
            self._leave(os.EX_OK)

    # -- the way of a request -------------------------------------------------------------------------------------

    def _start(self, message: Deliver) -> None:
        """Begin a delivery, and let it go on by itself."""
        if self._delivery is None:
            raise ValueError("a delivery before the parameters")
        key = (message.transport, message.next_hop)
        destination = self._destinations.setdefault(key, _Destination())
        destination.backlog = message.backlog
        destination.requests += 1
        if message.sole:
            self._sole[message.envelope.queue_id] = len(message.recipients)
        task = Deferred.fromCoroutine(self._deliver(self._delivery, message, destination))
        if not task.called:
            self._tasks[message.number] = task
        task.addBoth(self._ended, message, key, destination)

    def _ended(self, result: object, message: Deliver, key: tuple[str, str], destination: _Destination) -> None:
        self._tasks.pop(message.number, None)
        destination.requests -= 1
        if not destination.requests:
            self._destinations.pop(key, None)
        self._sole.pop(message.envelope.queue_id, None)
        self._removed.discard(message.envelope.queue_id)
        if isinstance(result, Failure):
            self._log.failure("a delivery came to no end that could be told", result)
            self._leave(os.EX_SOFTWARE)
        self._end_if_idle()

    async def _deliver(self, delivery: Delivery, message: Deliver, destination: _Destination) -> None:
        """Deliver when it is its turn, and say what has come of it."""
        envelope = message.envelope
        request = DeliveryRequest(
            envelope,
            message.recipients,
            message.transport,
            message.next_hop,
            delivery.spool.content(envelope),
            message.activated,
            destination.wanted,
        )
        try:
            destination.waiting += 1
            try:
                await self._turns.come()
            finally:
                destination.waiting -= 1
            result = await delivery.deliver(request)
        except CorruptQueueFile as why:
            self._say(Broken(message.number, why.why, why.path, why.offset))
        except CancelledError:
            self._say(Broken(message.number, "cancelled", cancelled=True))
        except Exception as why:
            self._log.failure("{queue_id}: delivery failed", queue_id=envelope.queue_id)
            self._say(Broken(message.number, str(why) or type(why).__name__))
        else:
            removed = envelope.queue_id in self._removed
            self._say(Done(message.number, result.outcomes, result.site_failure, removed))

    def _conclude(self, queue_id: str, delivered: int) -> bool:
        """Remove a message whose last recipients these were, instead of marking them in it."""
        if self._sole.get(queue_id) != delivered or self._delivery is None:
            return False
        try:
            removed = self._delivery.spool.remove(queue_id)
        except OSError:
            return False
        if removed:
            self._removed.add(queue_id)
        return removed

    async def _submit(self, message: NewMessage) -> str:
        """Queue a report of our own."""
        if self._delivery is None:
            raise ValueError("a report before the parameters")
        queue_id = await self._delivery.spool.create(message)
        intake.log_arrival(self._maillog, queue_id, message)
        self._say(Queued(queue_id))
        return queue_id


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
    StandardIO(Worker(anything), stdin=IN, stdout=OUT, reactor=anything)  # type: ignore[call-arg]
    # The reactor takes SIGTERM for itself when it starts, and that of SIGCHLD is wanted.
    anything.callWhenRunning(_ignore_signals)
    anything.run()


if __name__ == "__main__":
    main()
