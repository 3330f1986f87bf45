"""
What the tests of scheduling share: messages, and stand-ins for the agent, completion, and the log.
"""

from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent
from zope.interface import implementer, provider

from smtpclient.delivery.routing import Route
from smtpclient.interfaces import IContentReader, IMessageContent
from smtpclient.mail.address import domain_of
from smtpclient.mail.envelope import Envelope, QueuedMessage, Recipient
from smtpclient.mail.outcome import Disposition, Outcome, SiteFailure
from smtpclient.mail.request import DeliveryRequest, DeliveryResult
from smtpclient.observe.maillog import MailLog
from smtpclient.queue.active_message import Tally
from smtpclient.queue.admission import RouteTo
from smtpclient.queue.completion import Completion, Ending
from smtpclient.queue.concurrency import ConcurrencyLimits
from smtpclient.queue.destination_queue import LOCAL, TransportSettings
from smtpclient.queue.scheduler import Scheduler
from smtpclient.queue.scheduler_settings import SchedulerSettings

NOW = 1_800_000_000.0
DEFAULTS = SchedulerSettings()
DOWN = SiteFailure("4.4.1", "connect to mx.example[192.0.2.1]:25: Connection timed out")


def recipient(address: str, offset: int = 0, **fields: Any) -> Recipient:
    """One recipient."""
    return Recipient(address, offset=offset, **fields)


def message(queue_id: str, *addresses: str, sender: str = "from@sender.example", **fields: Any) -> QueuedMessage:
    """A message as read from a queue file; recipients stand at offsets 100, 101, ..."""
    envelope_fields = {
        name: fields.pop(name) for name in ("arrival", "created", "attributes", "size") if name in fields
    }
    envelope = Envelope(
        queue_id, sender, **{"arrival": NOW, "created": NOW, "size": 512, "content_offset": 200, **envelope_fields}
    )
    recipients = tuple(recipient(address, 100 + number) for number, address in enumerate(addresses))
    return QueuedMessage(envelope, recipients, **fields)


@implementer(IMessageContent)
class NoContent:
    """The content of a message that is never opened."""

    def open(self) -> IContentReader:
        """Nobody should."""
        raise AssertionError("opened")


def outcomes(
    request: DeliveryRequest, disposition: Disposition = Disposition.SENT, status: str = "", reason: str = "said so"
) -> tuple[Outcome, ...]:
    """The same outcome for every recipient of a request."""
    status = status or {"sent": "2.0.0", "deferred": "4.2.0", "bounced": "5.1.1"}[disposition.value]
    return tuple(Outcome(recipient, disposition, status, reason) for recipient in request.recipients)


def sent(request: DeliveryRequest) -> DeliveryResult:
    """Everybody got it."""
    return DeliveryResult(outcomes(request))


def deferred(request: DeliveryRequest) -> DeliveryResult:
    """Everybody has to wait, but the destination answered."""
    return DeliveryResult(outcomes(request, Disposition.DEFERRED))


def bounced(request: DeliveryRequest) -> DeliveryResult:
    """Everybody was refused."""
    return DeliveryResult(outcomes(request, Disposition.BOUNCED))


def unreachable(request: DeliveryRequest) -> DeliveryResult:
    """The destination could not be used."""
    return DeliveryResult(outcomes(request, Disposition.DEFERRED, DOWN.status, DOWN.reason), DOWN)


Answer = Callable[[DeliveryRequest], DeliveryResult]


class Agent:
    """
    Stands in for agent and settlement.

    :ivar answer: when set, what every delivery ends with, at once; else deliveries wait in ``pending``.
    :ivar started: every delivery so far.
    :ivar suspended: every request that was deferred without contacting anybody, and why.
    """

    def __init__(self) -> None:
        self.answer: Answer | None = None
        self.started: list[DeliveryRequest] = []
        self.pending: list[tuple[DeliveryRequest, Deferred[DeliveryResult]]] = []
        self.suspended: list[tuple[DeliveryRequest, SiteFailure]] = []
        self.suspensions_wait = False

    async def deliver(self, request: DeliveryRequest) -> DeliveryResult:
        """Begin a delivery."""
        self.started.append(request)
        if self.answer is not None:
            return self.answer(request)
        return await self._wait(request)

    async def defer(self, request: DeliveryRequest, failure: SiteFailure) -> DeliveryResult:
        """Defer without contacting anybody."""
        self.suspended.append((request, failure))
        if self.suspensions_wait:
            return await self._wait(request)
        return DeliveryResult(outcomes(request, Disposition.DEFERRED, failure.status, failure.reason))

    async def _wait(self, request: DeliveryRequest) -> DeliveryResult:
        waiting: Deferred[DeliveryResult] = Deferred()
        self.pending.append((request, waiting))
        return await waiting

    def finish(self, answer: Answer = sent, number: int = 0) -> None:
        """End one of the deliveries that wait."""
        request, waiting = self.pending.pop(number)
        waiting.callback(answer(request))

    def fail(self, error: Exception, number: int = 0) -> None:
        """Have one of them raise."""
        self.pending.pop(number)[1].errback(error)

    @property
    def running(self) -> list[str]:
        """The queue ids of the deliveries that wait."""
        return [request.envelope.queue_id for request, _ in self.pending]


class Ends:
    """Stands in for completion: notes what it was asked."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.tallies: dict[str, Tally] = {}
        self.postponed: dict[str, float] = {}
        self.removals: list[str] = []
        self.begin_waits: Deferred[None] | None = None
        self.finish_waits: Deferred[None] | None = None
        self.error: Exception | None = None

    async def begin(self, queue_id: str) -> None:
        """Note it."""
        self.begun.append(queue_id)
        if self.begin_waits is not None:
            await self.begin_waits

    async def finish(self, tally: Tally) -> Ending:
        """Note it."""
        self.tallies[tally.message.envelope.queue_id] = tally
        if self.finish_waits is not None:
            await self.finish_waits
        if self.error is not None:
            raise self.error
        return Ending.DEFERRED if tally.remaining else Ending.REMOVED

    def removed(self, queue_id: str) -> None:
        """Note it."""
        self.removals.append(queue_id)

    def postpone(self, queue_id: str, due: float) -> Ending:
        """Note it."""
        self.postponed[queue_id] = due
        return Ending.DEFERRED


class Log:
    """A mail log that is read by the test."""

    def __init__(self, clock: Clock) -> None:
        self.maillog = MailLog(clock.seconds)
        self.lines: list[str] = []

        @provider(ILogObserver)
        def observe(event: LogEvent) -> None:
            self.lines.append(event["mail_line"])

        self.maillog.publisher.addObserver(observe)


def turn(clock: Clock) -> None:
    """Make the calls that are due now; a Clock by itself would go on with those that they plan."""
    for call in [call for call in clock.getDelayedCalls() if call.getTime() <= clock.seconds()]:
        if call.active():
            function, args, keywords = call.func, call.args, call.kw  # type: ignore[attr-defined]
            call.cancel()
            function(*args, **keywords)


def by_domain(recipient: str, sender: str) -> Route:
    """Everybody's mail goes to their domain; ``user@TRANSPORT--rest`` goes by that transport."""
    domain = domain_of(recipient)
    transport, dashes, rest = domain.partition("--")
    return Route(transport, rest) if dashes else Route("smtp", domain)


class Scene:
    """A scheduler with stand-ins around it, on a clock that stands still."""

    def __init__(
        self,
        settings: SchedulerSettings = DEFAULTS,
        route: RouteTo = by_domain,
        read: Callable[[str], QueuedMessage] | None = None,
    ) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.log = Log(self.clock)
        self.agent = Agent()
        self.ends = Ends()
        self.scheduler = Scheduler(
            self.agent.deliver,
            self.agent.defer,
            route,
            lambda envelope: NoContent(),
            read or self._gone,
            cast(Completion, self.ends),
            settings,
            self.clock,
            self.log.maillog,
        )

    @staticmethod
    def _gone(queue_id: str) -> QueuedMessage:
        raise FileNotFoundError(2, "No such file or directory", queue_id)

    def accept(self, queue_id: str, *addresses: str, **options: Any) -> None:
        """Have a fresh message scheduled."""
        self.scheduler.accept(message(queue_id, *addresses), **{"fresh": True, **options})

    def turn(self) -> None:
        """One turn of the reactor: what is due now, not what that leads to."""
        turn(self.clock)

    def turns(self) -> None:
        """As many turns as it takes."""
        self.clock.advance(0)


def windows(initial: int = 5, limit: int = 20, **options: float) -> SchedulerSettings:
    """Settings by which every transport has this window."""
    settings = TransportSettings(
        ConcurrencyLimits(initial, limit),
        recipient_limit=int(options.pop("recipient_limit", 50)),
        rate_delay=options.pop("rate_delay", 0.0),
    )
    return SchedulerSettings(
        transports=lambda name: settings if name == "smtp" else LOCAL, **{k: int(v) for k, v in options.items()}
    )


def addresses(request: DeliveryRequest) -> list[str]:
    """The recipients of a request."""
    return [recipient.address for recipient in request.recipients]
