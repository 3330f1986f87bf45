"""
The whole, put together: :class:`Outbound` is a service that takes mail and delivers it.

    outbound = Outbound(parameters, reactor=reactor)
    outbound.startService()
    receipt = await outbound.submit("me@example.com", ["you@example.net"], b"Subject: hello\n\nHello.\n")
    outcomes = await receipt.finished()

It is an ``IService``: hand it to ``setServiceParent``, or to twistd with the plugin. Any number of them may live in one
process, each on a queue directory of its own. Everything that varies is an argument.

Promises:

* :meth:`Outbound.submit` returns when the message is on disk, and raises otherwise;
* every outcome goes to ``outbound.outcomes``, after it was recorded;
* :meth:`Outbound.stopService` takes no more mail, lets what is under way end within ``drain_time``, says QUIT on idle
  sessions and gives back the queue directory. What was not delivered is in the queue.

Does not: drop privileges or change root (twistd does); rotate the log (:meth:`Outbound.reopen_log` is for who does).
"""

import dataclasses
from collections.abc import Awaitable, Sequence
from random import Random
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred

from smtpclient.config.options import MOST_WORKERS
from smtpclient.config.parameters import Parameters
from smtpclient.delivery import refusal
from smtpclient.delivery.assembly import Delivery
from smtpclient.delivery.routing import Routing
from smtpclient.interfaces import IBounceService, IDeferService, IResolver, ITraceService
from smtpclient.mail.envelope import NewMessage, Recipient
from smtpclient.mail.outcome import Delays, Disposition, Outcome, SiteFailure
from smtpclient.mail.request import DeliveryRequest, DeliveryResult
from smtpclient.observe.maillog import MailLog, MailLogFile, ToTwisted
from smtpclient.observe.outcomes import Outcomes
from smtpclient.queue import descriptors, intake
from smtpclient.queue.completion import Completion, Ending
from smtpclient.queue.dispatch import Deliver
from smtpclient.queue.files import Files
from smtpclient.queue.poller import Poller, PollerSettings
from smtpclient.queue.schedule import ScheduleSettings
from smtpclient.queue.scheduler import Scheduler
from smtpclient.queue.scheduler_settings import SchedulerSettings
from smtpclient.queue.small_files import ROOM
from smtpclient.queue.trigger import DOORS, Doors, Trigger, open_doors
from smtpclient.receipts import Receipt, Receipts
from smtpclient.workers import crew
from smtpclient.workers.crew import Crew

_DESCRIPTORS = 1024
_GONE = (Ending.REMOVED, Ending.EXPIRED, Ending.CORRUPT)


class Outbound(MultiService):
    """
    One queue directory and the mail in it.

    :param reactor: connections, datagrams, UNIX sockets, time, threads.
    :param bounce: a service, or ``NAME[:ARGUMENTS]`` of one (see ``smtpclient.report.providers``).
    :param defer: the same for deferrals.
    :param trace: the same for successes.
    :param resolver: where names are looked up; None: the servers of ``dns_servers``.
    :param files: every file operation of the queue; None: the real ones, with threads of our own.
    :param random: shuffles exchangers, makes ids; None: the system's.
    :param maillog: where lines go; None: one of its own, with ``maillog_file`` or Twisted's log behind it.
    :param drain_time: how long :meth:`stopService` lets deliveries end, seconds.
    :param doors: listen on ``public/qmgr`` for programs beside this one that put mail into the queue.
    :param workers: deliver in so many processes of their own; 0: in this one. Report services must be given by name
        then, and there is no resolver, files or maillog but the usual ones.
    :raises ValueError: when a service that is named does not exist, or a parameter makes no sense here.
    """

    def __init__(
        self,
        parameters: Parameters,
        *,
        reactor: Any,
        bounce: IBounceService | str = "queue",
        defer: IDeferService | str = "queue",
        trace: ITraceService | str = "queue",
        resolver: IResolver | None = None,
        files: Files | None = None,
        random: Random | None = None,
        maillog: MailLog | None = None,
        drain_time: float = 30.0,
        doors: bool = True,
        workers: int = 0,
    ) -> None:
        super().__init__()
        self.parameters = parameters
        self.outcomes = Outcomes()
        self._reactor = reactor
        self._receipts = Receipts()
        self.outcomes.subscribe(self._receipts.note)
        self._own_subscribers = self.outcomes.subscribers
        self._log_file: MailLogFile | None = None
        self.maillog = maillog or self._new_log()
        self._delivery = Delivery(
            parameters,
            reactor=reactor,
            maillog=self.maillog,
            submit=self._enqueue,
            outcomes=self.outcomes,
            conclude=self._conclude,
            bounce=bounce,
            defer=defer,
            trace=trace,
            resolver=resolver,
            files=files,
            random=random,
            room=0 if workers else ROOM,
        )
        self.spool, self.agent = self._delivery.spool, self._delivery.agent
        self._settlement = self._delivery.settlement
        self.routing = Routing.from_parameters(parameters, self.maillog)
        # With files of one's own, in tests, the machine must not have a say.
        deliver = self._deliver if workers else self._delivery.deliver
        self.scheduler = self._new_scheduler(deliver, descriptors.available() if files is None else _DESCRIPTORS)
        self.agent.means.watch_places(self.scheduler.stand_by)
        polling = dataclasses.replace(PollerSettings.from_parameters(parameters), stop_patience=drain_time)
        self.poller = Poller(self.spool, self.scheduler, polling, reactor, self.maillog)
        self._crew: Crew | None = None
        if workers:
            self._crew = self._new_crew(workers, (resolver, files), (bounce, defer, trace))
            self._crew.setServiceParent(self)
        # Behind the workers: services are stopped last first, and this one knows what they are not to begin any more.
        self.poller.setServiceParent(self)
        self._trigger = Trigger(self.poller.trigger, reactor)
        self._wants_doors = doors
        self._doors: Doors | None = None
        self.rules = intake.Rules.from_parameters(parameters)
        self._add_chores()

    # -- what is made of the parameters ---------------------------------------------------------------------------

    def _add_chores(self) -> None:
        """What goes on beside the deliveries."""
        self._delivery.domains.chores(self.submit).setServiceParent(self)
        if self.spool.beside_postfix:
            # Few need it, and what it takes of Twisted is a twentieth of all that would be imported.
            from smtpclient.queue.takeover import TakeoverWatch  # noqa: PLC0415

            watch = TakeoverWatch(self._is_taken_over, self.poller.stopService, self._reactor, self.maillog)
            watch.setServiceParent(self)

    def _new_log(self) -> MailLog:
        maillog = MailLog(self._reactor.seconds)
        path = self.parameters.text("maillog_file")
        if path:
            self._log_file = MailLogFile(path, self.parameters.text("myhostname"), self.parameters.text("syslog_name"))
            maillog.write_to(self._log_file.write)
        else:
            maillog.publisher.addObserver(ToTwisted())
        return maillog

    def _new_scheduler(self, deliver: Deliver, available: int) -> Scheduler:
        settings = SchedulerSettings.from_parameters(self.parameters)
        completion = Completion(
            self.spool,
            *self._delivery.reports,
            ScheduleSettings.from_parameters(self.parameters),
            self._reactor,
            self.maillog,
            self._ended,
        )
        return Scheduler(
            deliver,
            self._postpone,
            self.routing.route,
            self.spool.content,
            self.spool.read,
            completion,
            dataclasses.replace(settings, delivery_limit=descriptors.delivery_limit(available)),
            self._reactor,
            self.maillog,
        )

    def _new_crew(self, size: int, own: Sequence[object], services: Sequence[object]) -> Crew:
        if any(each is not None for each in own):
            raise ValueError("workers: a resolver or files cannot be given: they would be of this process alone")
        names = [name for name in services if isinstance(name, str)]
        if len(names) < len(services):
            raise ValueError("workers: report services must be named, for each worker makes its own")
        if not 0 < size <= MOST_WORKERS:
            raise ValueError(f"workers: {size}; this is a number from 0 to {MOST_WORKERS}")
        return Crew(
            size,
            crew.begin(self.parameters, *names, writes_log=self._log_file is not None),
            crew.Surroundings(
                self.outcomes.publish,
                self._is_heard_of,
                self.scheduler.needs_only,
                self.scheduler.removed,
                lambda: self._trigger.heard(b"W"),
            ),
            self._reactor,
            self.maillog,
        )

    # -- the way of a request -------------------------------------------------------------------------------------

    def _deliver(self, request: DeliveryRequest) -> Awaitable[DeliveryResult]:
        if self._crew is None or request.transport in refusal.TRANSPORTS:
            return self._delivery.deliver(request)
        return self._crew.deliver(request)

    def _is_heard_of(self, queue_id: str) -> bool:
        """Whether somebody wants to hear what becomes of a message; receipts hear of all, and few are held."""
        return self.outcomes.subscribers > self._own_subscribers or queue_id in self._receipts

    def _conclude(self, queue_id: str, delivered: int) -> bool:
        return self.scheduler.conclude(queue_id, delivered)

    async def _postpone(self, request: DeliveryRequest, failure: SiteFailure) -> DeliveryResult:
        """Settle a request whose destination is not to be contacted now."""
        now = self._reactor.seconds()
        delays = Delays(max(request.activated - request.envelope.arrival, 0.0), max(now - request.activated, 0.0))
        outcomes = [
            Outcome(recipient, Disposition.DEFERRED, failure.status, failure.reason, delays=delays)
            for recipient in request.recipients
        ]
        return DeliveryResult(tuple(await self._settlement.settle(request, outcomes)))

    def _ended(self, queue_id: str, ending: Ending) -> None:
        # One that has vanished may only be held by an operator.
        if ending in _GONE or (ending is Ending.VANISHED and self.spool.find(queue_id) is None):
            self._receipts.left(queue_id)

    def _is_taken_over(self) -> bool:
        return self._doors is not None and self._doors.taken_over

    # -- mail comes in --------------------------------------------------------------------------------------------

    async def submit(self, sender: str, recipients: Sequence[str], message: bytes, **wishes: Any) -> Receipt:
        """
        Take a message: header, blank line, body, with LF or CRLF line ends.

        Fields that mail of our own must have and that are missing are added (Date, Message-ID, From), Bcc is
        removed.

        :param sender: the envelope's; an empty one is the null sender.
        :param wishes: further fields of :class:`smtpclient.queue.intake.Submission`, for instance ``envelope_id``.
        :return: when the message is on disk.
        :raises IntakeError: when the message is not one that can be sent; with an enhanced status code.
        :raises OSError: when it cannot be stored.
        """
        submission = intake.Submission(
            sender,
            [Recipient(recipient) for recipient in recipients],
            message,
            **{"attributes": {"log_message_origin": "local", "rewrite_context": "local"}, **wishes},
        )
        now = self._reactor.seconds()
        return await self.enqueue(intake.prepare(submission, self.rules, now, self._delivery.random))

    async def enqueue(self, message: NewMessage) -> Receipt:
        """
        Take a message that is ready to be stored as it is.

        :return: when the message is on disk.
        :raises OSError: when it cannot be stored.
        """
        queue_id = await self.spool.create(message)
        intake.log_arrival(self.maillog, queue_id, message)
        if self.running:
            self._trigger.heard(b"W")
        return self._receipts.issue(queue_id, len(message.recipients))

    async def _enqueue(self, message: NewMessage) -> str:
        """Take a report of our own."""
        return (await self.enqueue(message)).queue_id

    # -- the life of the service ----------------------------------------------------------------------------------

    def startService(self) -> None:
        """
        Take the queue directory over and begin.

        :raises SpoolError: when the queue directory cannot be used; the text is for the operator.
        :raises TriggerError: when the trigger socket cannot be made.
        """
        if self._log_file is not None:
            self._log_file.after_fork()
        self.spool.prepare()
        try:
            self.start_threads()
            self._delivery.begin()
            if self._wants_doors:
                names = DOORS[:1] if self.spool.beside_postfix else DOORS
                self._doors = open_doors(self._reactor, self.spool.directory, self._trigger, names)
            super().startService()
        except BaseException:
            self.stop_threads()
            self.spool.close()
            raise

    def stopService(self) -> "Deferred[None]":
        """End what is under way, and give the queue directory back."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._doors is not None:
            await self._doors.close()
            self._doors = None
        await super().stopService()
        await self._delivery.close()
        self.spool.close()
        self.stop_threads()
        self._receipts.stop()
        if self._log_file is not None:
            self._log_file.close()

    def start_threads(self) -> None:
        """Begin to do in threads what blocks; for who only asks and never starts the service."""
        self._delivery.start_threads()

    def stop_threads(self) -> None:
        """End the threads."""
        self._delivery.stop_threads()

    def reopen_log(self) -> None:
        """Go on in a new log file after the old one was moved away."""
        if self._log_file is not None:
            self._log_file.reopen()
        if self._crew is not None:
            self._crew.reopen_log()
