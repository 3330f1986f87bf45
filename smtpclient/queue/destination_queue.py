"""
The queue of one destination: whose mail waits for it, how much of it may go out at once, whether it is dead.

A destination is a transport and a next hop. Messages wait in it in the order in which they came, but after each request
the next one's turn comes: so a message of one recipient waits for at most one request of a message of fifty thousand.

A *suspended* destination is not contacted; its mail is deferred instead, at its own pace, with the reason why it is
suspended. That is what becomes of one that failed too often, until its time is over, and it is the whole life of those
that exist only to defer mail.

Promises: every operation takes the same time, however much mail waits.

Does not: know other destinations (``destinations``), start anything (``scheduler``).
"""

import sys
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Self

from smtpclient.config.parameters import Parameters
from smtpclient.mail.envelope import Recipient
from smtpclient.mail.outcome import SiteFailure
from smtpclient.queue.active_message import ActiveMessage
from smtpclient.queue.concurrency import ConcurrencyLimits, Feedback, Window

SUSPENDED_WIDTH = 20
"""How many messages of a suspended destination are deferred at once; their records share disk writes."""

_MEMORY = 60.0  # seconds after which half of what was seen of a destination's pace is forgotten


@dataclass(frozen=True, slots=True)
class TransportSettings:
    """
    How mail of one transport is scheduled.

    :param recipient_limit: how many recipients one request may have; zero: no limit.
    :param rate_delay: pause between the end of a delivery and the next one to the same destination, seconds; when it is
        not zero, deliveries to one destination follow each other.
    """

    concurrency: ConcurrencyLimits = ConcurrencyLimits()
    recipient_limit: int = 50
    rate_delay: float = 0.0
    window: Window = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Make the window that every destination begins with; it is a value, so they can share it."""
        object.__setattr__(self, "window", self.concurrency.window())

    @classmethod
    def from_parameters(cls, parameters: Parameters, transport: str) -> Self:
        """
        Take them from the configuration; a transport without parameters of its own has the defaults.

        :raises ValueError: when a feedback is none; the text says which and where it was set.
        """

        def name(suffix: str) -> str:
            return parameters.for_transport(transport, suffix)

        rate_delay = parameters.seconds(name("destination_rate_delay"))
        limit = 1 if rate_delay else parameters.integer(name("destination_concurrency_limit"))
        return cls(
            ConcurrencyLimits(
                initial=parameters.integer(name("initial_destination_concurrency")),
                limit=limit,
                positive=feedback(parameters, name("destination_concurrency_positive_feedback")),
                negative=feedback(parameters, name("destination_concurrency_negative_feedback")),
                failed_cohort_limit=parameters.integer(name("destination_concurrency_failed_cohort_limit")),
            ),
            recipient_limit=parameters.integer(name("destination_recipient_limit")),
            rate_delay=rate_delay,
        )


def feedback(parameters: Parameters, name: str) -> Feedback:
    """
    A feedback from the configuration.

    :raises ValueError: when it is none; the text says which and where it was set.
    """
    try:
        return Feedback.parse(parameters.text(name))
    except ValueError as error:
        raise ValueError(f"{parameters.source(name)}: {name}: {error}") from None


LOCAL = TransportSettings(
    ConcurrencyLimits(100, 100, Feedback(0.0), Feedback(0.0), failed_cohort_limit=0), recipient_limit=100
)
"""For transports that contact nobody: there is nothing to learn, only the number of coroutines to be kept in bounds."""


_Job = tuple[ActiveMessage, Sequence[Recipient], int]
"""A message, its recipients at one destination in the order in which they are to be delivered, how many were taken."""


@dataclass(frozen=True, slots=True)
class DestinationState:
    """
    What an operator wants to know of a destination: why is mail for it still here?

    :param messages: how many wait for it, in memory.
    :param recipients: how many they have.
    :param running: deliveries under way.
    :param window: how many there may be.
    :param suspended: why it is not contacted, or empty.
    :param until: when it will be tried again, seconds since the epoch; zero when it is not suspended.
    """

    transport: str
    next_hop: str
    messages: int
    recipients: int
    running: int
    window: int
    suspended: str = ""
    until: float = 0.0


class Destination:
    """
    One destination and what waits for it.

    :param now: seconds since the epoch.
    :param suspension: for one that only defers mail: why.
    """

    __slots__ = (
        "_finished",
        "_most",
        "_since",
        "has_answered",
        "is_frequent",
        "jobs",
        "key",
        "next_hop",
        "paused",
        "quick_until",
        "running",
        "settings",
        "suspended_until",
        "suspension",
        "transport",
        "turn",
        "waiting",
        "warned_at",
        "window",
    )

    def __init__(
        self,
        transport: str,
        next_hop: str,
        settings: TransportSettings,
        now: float,
        suspension: SiteFailure | None = None,
    ) -> None:
        self.transport = transport
        self.next_hop = next_hop
        # No transport has an empty name: one that only defers must not be taken for one of the transport "retry".
        self.key = ("" if suspension else transport, next_hop)
        self.settings = settings
        self.window = settings.window
        self.jobs: deque[_Job] = deque()
        self.waiting = 0  # recipients
        self.running = 0  # requests
        self.quick_until = 1  # the turn up to which its deliveries count as quick; 0: they do not (``widening``)
        self.paused = False  # between two deliveries that destination_rate_delay keeps apart
        self.turn: OrderedDict[Destination, None] | None = None  # where it stands in line, if it does
        self.suspension = suspension
        self.suspended_until = inf if suspension else 0.0
        self.has_answered = False  # since it was found, or revived
        self.is_frequent = False  # it had mail a moment before
        self.warned_at = -inf
        self._most = settings.recipient_limit or sys.maxsize  # recipients of one request
        self._finished = 0.0
        self._since = now

    def add(self, active: ActiveMessage, recipients: Sequence[Recipient]) -> None:
        """Let a message wait for its turn."""
        self.jobs.append((active, recipients, 0))
        self.waiting += len(recipients)

    @property
    def messages(self) -> int:
        """How many messages are in memory because of it; one with several requests may count twice."""
        return len(self.jobs) + self.running

    def backlog(self) -> int:
        """How many messages wait for the session of a request that ends now, or are sure to come soon."""
        return len(self.jobs) or int(self.is_frequent)

    def may_start(self) -> bool:
        """Whether somebody waits and another request may be made."""
        if not self.jobs or self.paused:
            return False
        return self.running < (self.window.size if self.suspension is None else SUSPENDED_WIDTH)

    def take(self) -> tuple[ActiveMessage, tuple[Recipient, ...]]:
        """
        The next request: a message and some of its recipients.

        :raises IndexError: when nobody waits.
        """
        active, recipients, taken = self.jobs.popleft()
        if len(recipients) > self._most:  # it takes several requests
            end = taken + self._most
            if end < len(recipients):
                self.jobs.append((active, recipients, end))
            recipients = recipients[taken:end]
        self.waiting -= len(recipients)
        self.running += 1
        return active, tuple(recipients)

    def ended(self) -> None:
        """Note that a request is over."""
        self.running -= 1
        self._finished += 1

    def idle(self) -> bool:
        """Whether nothing needs to be remembered of it."""
        if self.jobs or self.running or self.paused:
            return False
        return self.suspension is None or self.suspended_until == inf

    def succeeded(self) -> None:
        """It could be used. Said before :meth:`ended`."""
        self.has_answered = True
        self.window = self.window.succeeded(self.running)
        if self.suspension is not None:
            self.revive()

    def failed(self, failure: SiteFailure, until: float) -> bool:
        """
        It could not be used.

        :param until: when it may be tried again if this was one failure too many, seconds since the epoch.
        :return: whether it was.
        """
        was_dead = self.window.dead
        self.window = self.window.failed()
        if was_dead or not self.window.dead:
            return False
        reason = f"delivery temporarily suspended: {failure.reason or 'unknown error'}"
        # Whatever the failure was called, mail that is kept back for it is deferred.
        status = "4" + failure.status[1:] if failure.status else "4.0.0"
        self.suspension = SiteFailure(status, reason)
        self.suspended_until = until
        self.has_answered = False
        return True

    def revive(self) -> None:
        """Forget that it is dead."""
        if self.window.dead:
            self.window = self.settings.window
        if self.suspended_until != inf:
            self.suspension = None
            self.suspended_until = 0.0

    def clear(self) -> None:
        """Nobody waits any more."""
        self.jobs.clear()
        self.turn = None
        self.waiting = 0
        self.paused = False

    def time_to_halve(self, now: float) -> float:
        """How long it will take, at the pace seen lately, until half of what waits is gone, in seconds."""
        elapsed = now - self._since
        if elapsed > _MEMORY:
            self._finished /= 2
            self._since = now - elapsed / 2
            elapsed /= 2
        return len(self.jobs) / 2 * max(elapsed, 0.0) / self._finished if self._finished >= 1 else inf

    def state(self) -> DestinationState:
        """A snapshot."""
        suspended = self.suspension.reason if self.suspension else ""
        return DestinationState(
            self.transport,
            self.next_hop,
            len(self.jobs),
            self.waiting,
            self.running,
            self.window.size,
            suspended,
            self.suspended_until,
        )
