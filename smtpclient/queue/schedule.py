"""
When a message is tried again, when its sender is warned, when it is given up: plain arithmetic on its age.

The rule is that of Postfix's queue manager. The pause before the next attempt is the message's age, but never less
than ``minimal_backoff_time`` and never more than ``maximal_backoff_time``: so the pause doubles the age from attempt to
attempt until it reaches the upper bound, and no counter of attempts has to be stored anywhere. A message is given up
at the end of the first attempt after its lifetime, never without one.

Age counts from :attr:`Envelope.created <smtpclient.mail.envelope.Envelope.created>`.

Promises: functions of their arguments alone; a clock that was set back makes no pause longer than the upper bound.

Does not: read a clock, touch a file.
"""

from dataclasses import dataclass
from typing import Self

from smtpclient.config.parameters import Parameters


@dataclass(frozen=True, slots=True)
class ScheduleSettings:
    """
    The parameters of the same names, in seconds.

    :param bounce_queue_lifetime: the lifetime of mail from the null sender, which is mostly bounces.
    """

    minimal_backoff_time: float = 300.0
    maximal_backoff_time: float = 4000.0
    maximal_queue_lifetime: float = 5 * 86400.0
    bounce_queue_lifetime: float = 5 * 86400.0

    @classmethod
    def from_parameters(cls, parameters: Parameters) -> Self:
        """Take them from the configuration."""
        return cls(
            minimal_backoff_time=parameters.seconds("minimal_backoff_time"),
            maximal_backoff_time=parameters.seconds("maximal_backoff_time"),
            maximal_queue_lifetime=parameters.seconds("maximal_queue_lifetime"),
            bounce_queue_lifetime=parameters.seconds("bounce_queue_lifetime"),
        )

    def lifetime(self, sender: str) -> float:
        """How long mail from this sender is tried, in seconds; zero: one attempt."""
        return self.maximal_queue_lifetime if sender else self.bounce_queue_lifetime


def next_attempt(now: float, created: float, minimal: float, maximal: float) -> float:
    """
    The time of the next attempt, seconds since the epoch.

    :param minimal: ``minimal_backoff_time``; where the two contradict each other, it wins.
    :param maximal: ``maximal_backoff_time``.
    """
    return now + max(min(now - created, maximal), minimal)


def expired(now: float, created: float, lifetime: float) -> bool:
    """Whether a message has been tried long enough, and the attempt that just ended was its last."""
    return now >= created + lifetime


def warning_due(now: float, warn_at: float) -> bool:
    """
    Whether the sender is to be told of the delay now.

    :param warn_at: when, seconds since the epoch; zero: no warning is wanted, or it was sent.
    """
    # The queue file holds whole seconds: a second early is on time.
    return warn_at > 0 and now >= warn_at - 1
