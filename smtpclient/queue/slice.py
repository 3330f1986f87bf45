"""
How long the poller may work before others have their turn.

It always has :data:`SLICE`, and as long as all else in the last turn of the reactor has taken, where that was more:
mail that comes in as fast as it goes out waits behind other mail for its destination, and can follow that in one
session.

Promises: no slice is longer than :data:`LONGEST`, or takes more pieces of work than :data:`STEPS` for each
:data:`SLICE` in it, should the clock stand still or be set back.

Does not: keep time; whoever works says what time it is.
"""

from math import inf

SLICE = 0.005
"""What there always is, seconds."""

LONGEST = 0.03
"""What there is at most, seconds."""

STEPS = 50


class Slice:
    """The slices of one worker, one after the other."""

    def __init__(self) -> None:
        self._begun = 0.0
        self._length = SLICE
        self._steps = 0  # that are left
        self._ended = inf  # when the last one did, if the next was to follow at once

    def begin(self, now: float) -> None:
        """A slice begins."""
        self._begun = now
        self._length = min(max(now - self._ended, SLICE), LONGEST)
        self._steps = int(STEPS * self._length / SLICE)

    def step(self, now: float) -> bool:
        """A piece of work is done; whether there is time for another."""
        self._steps -= 1
        return self._steps > 0 and 0 <= now - self._begun < self._length

    def end(self, now: float, pause: float) -> None:
        """
        The slice is over.

        :param pause: until the next one, seconds. Behind a pause nothing is known of others.
        """
        self._ended = inf if pause else now
