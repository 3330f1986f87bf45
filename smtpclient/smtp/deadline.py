"""
Limits of time: what one that was missed by far means, and how long a server may take for the content of one message
(``smtp_per_request_deadline`` and ``smtp_min_data_rate``).

Without these parameters a server may take a little now and then, for ever: each piece has the whole time limit. With
them there is one limit for the whole, and what is sent earns time at the rate that a server must keep up; never more
than the limit.
"""

STANDSTILL = 0.5
GRACE = 10.0
"""Seconds: a timer that rings later than the one was kept from ringing; so long is then waited anew."""


def missed(deadline: float, now: float, limit: float) -> float:
    """
    A deadline that has come, or a later one, where it was missed by far.

    Then the process or the machine stood still, or the clock was set. What the server has said meanwhile is not yet
    read; to break off now would be to send again what it may have accepted.

    :param deadline: seconds since the epoch, as ``now``.
    :param limit: how long is waited at most, seconds.
    """
    return now + min(limit, GRACE) if now > deadline + STANDSTILL else deadline


class Pace:
    """
    The time that one content has left.

    :param rate: bytes per second.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._left: float | None = None

    def begin(self) -> None:
        """A new content."""
        self._left = None

    def allowance(self, limit: float, size: int) -> float:
        """
        How long the server may take to make room for more.

        :param limit: for the whole, seconds.
        :param size: of what was written now, bytes.
        """
        self._left = limit if self._left is None else min(max(self._left, 0.0) + size / self._rate, limit)
        return self._left

    def spent(self, seconds: float) -> None:
        """So long it took."""
        if self._left is not None:
            self._left -= seconds
