"""
How many deliveries to one destination may run at once, learnt from how the last ones went.

A :class:`Window` begins at the initial concurrency. A delivery that found the destination usable is positive
feedback and lets the window grow, up to the limit; one that could not use it at all is negative feedback and
lets it shrink, down to one. Below one there is no window: instead, failures are counted in *cohorts* - each counts
as one part of the window it happened in, a success sets the count back to nothing - and at the cohort limit the
destination is dead until somebody revives it.

====================  ==================================================================================
state                 next state
====================  ==================================================================================
open, success         grows by positive feedback while more than ``size - initial`` deliveries run
open, failure         shrinks by negative feedback; dead when the cohorts reach their limit
dead, success         open again at the initial window: a delivery that was under way has got through
dead, failure         dead
dead, revived         open again at the initial window
====================  ==================================================================================

Feedback of less than one accumulates: the window moves when the sum has reached one. Negative feedback acts at the
beginning of such a cycle, positive feedback at its end, and each movement ends the cycle of the other: so the two can
cancel each other out, and the window does not swing. The names, defaults and meaning of the parameters are those of
Postfix's scheduler.

A *failed* delivery here is a failure of the site, never of one message or one recipient
(:class:`smtpclient.mail.outcome.SiteFailure`).

Promises: values only; ``1 <= size``, and ``size <= limit`` where there is a limit.

Does not: count what runs, know how long a destination stays dead.
"""

import enum
import math
from dataclasses import dataclass, replace
from typing import Self

_ROUNDING = 1e-9  # six sixths must make one


class Per(enum.Enum):
    """What a feedback is divided by."""

    DELIVERY = "1"
    CONCURRENCY = "concurrency"
    SQRT_CONCURRENCY = "sqrt_concurrency"


_DIVISORS = {"concurrency": Per.CONCURRENCY, "sqrt_concurrency": Per.SQRT_CONCURRENCY}


@dataclass(frozen=True, slots=True)
class Feedback:
    """
    How far one delivery moves the window.

    :param amount: from 0 to 1.
    """

    amount: float = 1.0
    per: Per = Per.DELIVERY

    @classmethod
    def parse(cls, text: str) -> Self:
        """
        Read ``NUMBER``, ``NUMBER/NUMBER``, ``NUMBER/concurrency`` or ``NUMBER/sqrt_concurrency``; blanks do not matter.

        :raises ValueError: when it is none of them, or the number (or the fraction) is not from 0 to 1.
        """
        number, slash, divisor = (part.strip() for part in text.partition("/"))
        try:
            if divisor in _DIVISORS:
                feedback = cls(float(number), _DIVISORS[divisor])
            else:
                feedback = cls(float(number) / float(divisor) if slash else float(number))
        except (ValueError, ZeroDivisionError):
            feedback = cls(math.nan)
        if not 0 <= feedback.amount <= 1:
            forms = "number/number, number/concurrency or number/sqrt_concurrency"
            raise ValueError(f"{text!r}: expected a number from 0 to 1, or {forms}")
        return feedback

    def at(self, size: int) -> float:
        """The feedback of one delivery when the window is this wide."""
        if self.per is Per.CONCURRENCY:
            return self.amount / size
        if self.per is Per.SQRT_CONCURRENCY:
            return self.amount / math.sqrt(size)
        return self.amount


@dataclass(frozen=True, slots=True)
class ConcurrencyLimits:
    """
    What the operator allows for every destination of one transport.

    :param initial: where a window begins.
    :param limit: how far it may grow; zero: as far as it likes.
    :param failed_cohort_limit: how many cohorts must fail for a destination to be dead; zero: it never is.
    """

    initial: int = 5
    limit: int = 20
    positive: Feedback = Feedback()
    negative: Feedback = Feedback()
    failed_cohort_limit: int = 1

    def window(self) -> "Window":
        """The window of a destination of which nothing is known."""
        return Window(self, max(1, min(self.initial, self.limit) if self.limit else self.initial))


@dataclass(frozen=True, slots=True)
class Window:
    """
    The window of one destination.

    :param size: how many deliveries may run at once while it is open.
    :param success: positive feedback that has not yet moved the window.
    :param failure: what is left of the last step down before negative feedback moves the window again.
    :param failed_cohorts: failures since the last success.
    :param dead: the destination is not to be contacted.
    """

    limits: ConcurrencyLimits
    size: int
    success: float = 0.0
    failure: float = 0.0
    failed_cohorts: float = 0.0
    dead: bool = False

    def succeeded(self, running: int) -> "Window":
        """
        The window after a delivery that found the destination usable.

        :param running: how many deliveries ran to it, the one that ended included; a window that is much wider than
            that learns nothing from success.
        """
        limits = self.limits
        if self.dead:
            return limits.window()
        if (limits.limit and self.size >= limits.limit) or self.size >= running + limits.initial:
            return replace(self, failed_cohorts=0.0) if self.failed_cohorts else self
        size, failure = self.size, self.failure
        success = self.success + limits.positive.at(size)
        if success >= 1 - _ROUNDING:
            size, success, failure = size + 1, max(success - 1, 0.0), 0.0
        return Window(limits, size, success, failure)

    def failed(self) -> "Window":
        """The window after a delivery that could not use the destination at all."""
        if self.dead:
            return self
        limits = self.limits
        cohorts = self.failed_cohorts + 1 / self.size
        if limits.failed_cohort_limit and cohorts >= limits.failed_cohort_limit - _ROUNDING:
            return replace(self, failed_cohorts=cohorts, dead=True)
        size, success = self.size, self.success
        failure = self.failure - limits.negative.at(size)
        if failure < -_ROUNDING:
            size, failure, success = max(size - 1, 1), failure + 1, 0.0
        return Window(limits, size, success, failure, cohorts)
