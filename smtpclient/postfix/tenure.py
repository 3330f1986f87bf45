"""
How long a process serves below Postfix's master, and what master is told meanwhile.

Postfix's own delivery agents deal with one request at a time, and master starts as many of them as are busy. One of
ours deals with many, so it calls itself busy only where it has as many as it takes; master starts another one then, if
master.cf allows for more.

A process ends, with exit status 0:

* when nobody has connected for ``max_idle``;
* when it has served ``max_use`` requests, where that is set, and there is nothing to do for a moment;
* when the status channel ends, for master is gone or was reloaded: it takes no connection any more, lets what is under
  way come to an end within :data:`DRAIN`, and interrupts what does not. Master starts the next process when this one
  has ended, and that one reads the new main.cf.

Promises: a process that has got as far as its first connection has told master that it works; master takes one that
dies before that for broken, and starts no other for a minute.
"""

from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

DRAIN = 30.0
"""Seconds for what is under way when Postfix is reloaded."""


class Listening(Protocol):
    """What accepts connections."""

    def listen(self) -> None:
        """Do."""

    def pause(self) -> None:
        """Do not."""


class Status(Protocol):
    """What tells master."""

    def taken(self) -> None:
        """There is no room."""

    def available(self) -> None:
        """There is."""


class Tenure:
    """
    The time that one process serves.

    :param most: connections at once.
    :param max_idle: seconds.
    :param max_use: connections; 0: any number.
    :param interrupt: brings what is under way to an end.
    :param leave: ends the process; called once, when nothing is under way.
    """

    def __init__(
        self,
        clock: IReactorTime,
        listening: Listening,
        status: Status,
        *,
        most: int,
        max_idle: float,
        max_use: int,
        interrupt: Callable[[], object],
        leave: Callable[[], object],
    ) -> None:
        self._clock = clock
        self._listening = listening
        self._status = status
        self._most = most
        self._max_idle = max_idle
        self._max_use = max_use
        self._interrupt = interrupt
        self._leave = leave
        self._timer: IDelayedCall | None = None
        self._present = 0
        self._served = 0
        self._has_begun = False
        self._is_full = False
        self._has_master = True
        self._is_over = False

    def begin(self) -> None:
        """Take connections."""
        self._listening.listen()
        self._wait_for_somebody()

    def arrived(self) -> None:
        """Somebody has connected."""
        if self._has_master:
            self._stop_timer()
        self._present += 1
        if not self._has_begun and self._has_master:
            self._has_begun = True
            self._status.taken()
            self._status.available()
        if self._present >= self._most and not self._is_full and self._has_master:
            self._is_full = True
            self._listening.pause()
            self._status.taken()

    def left(self) -> None:
        """A connection and all of it is over."""
        self._present -= 1
        self._served += 1
        if not self._has_master:
            if not self._present:
                self._end()
            return
        if self._is_full:
            self._is_full = False
            self._status.available()
            self._listening.listen()
        if not self._present:
            if self._max_use and self._served >= self._max_use:
                self._end()
            else:
                self._wait_for_somebody()

    def master_gone(self) -> None:
        """Take nobody any more, and end as soon as may be."""
        self._has_master = False
        self._listening.pause()
        self._stop_timer()
        if self._present:
            self._timer = self._clock.callLater(DRAIN, self._interrupt)
        else:
            self._end()

    def _wait_for_somebody(self) -> None:
        self._timer = self._clock.callLater(self._max_idle, self._end)

    def _end(self) -> None:
        self._has_master = False
        self._listening.pause()
        self._stop_timer()
        if not self._is_over:
            self._is_over = True
            self._leave()

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
