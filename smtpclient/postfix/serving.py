"""
A delivery agent at work below Postfix's master: connections in, requests to the agent, and an end when it is time.

Promises: what has been accepted is served; the process ends when its time is over (``smtpclient.postfix.tenure``) and
nothing is under way; one that hangs is ended by the system (SIGALRM) before the queue manager loses its patience.
"""

import signal
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from smtpclient.observe.maillog import MailLog
from smtpclient.postfix.agent import Agent
from smtpclient.postfix.descriptors import LISTEN, STATUS, ListeningSocket, StatusChannel, adopt
from smtpclient.postfix.invocation import Invocation
from smtpclient.postfix.main_cf import ProcessSettings
from smtpclient.postfix.tenure import Tenure
from smtpclient.postfix.transport import Visits
from smtpclient.queue import descriptors

SHARE = 0.9
"""How much of the time that the queue manager waits for an answer a delivery may take."""

MARGIN = 5.0
"""But so many seconds are left at least for what is to be recorded then, or half of the time where there is little."""

MOST = 50
"""Deliveries at once before master is asked for another process, where it may have several."""


class Serving:
    """
    One process.

    :param reactor: connections, descriptors, time.
    :param leave: called in the end.
    """

    _log = Logger()

    def __init__(
        self,
        start: Invocation,
        settings: ProcessSettings,
        agent: Agent,
        reactor: Any,
        maillog: MailLog,
        leave: Callable[[], object],
    ) -> None:
        self._agent = agent
        self._reactor = reactor
        self._leave = leave
        fds = range(LISTEN, LISTEN + start.sockets)
        self._sockets = [ListeningSocket(reactor, fd, self._take) for fd in fds]
        self._status = StatusChannel(reactor, STATUS, start.generation, self._master_gone)
        patience = settings.daemon_timeout
        longest = min(patience * SHARE, max(patience - MARGIN, patience / 2))
        self._watchdog = max(int(settings.daemon_timeout / 2), 4)
        self._visits = Visits(agent.answer, reactor, maillog, start.process, longest, self._left)
        self._tenure = Tenure(
            reactor,
            self,
            self._status,
            most=most(settings.deliveries, is_alone=start.is_alone),
            max_idle=settings.max_idle,
            max_use=settings.max_use,
            interrupt=self._visits.interrupt,
            leave=self._end,
        )

    def begin(self) -> None:
        """Take connections, until it is time to leave."""
        self._be_alive()
        self._agent.begin()
        self._status.start()
        self._tenure.begin()

    def _be_alive(self) -> None:
        """Have the system end a process that does nothing any more: master starts another, and no mail waits for it."""
        signal.alarm(self._watchdog)
        self._reactor.callLater(self._watchdog / 4, self._be_alive)

    def listen(self) -> None:
        """Accept at all sockets."""
        for each in self._sockets:
            each.listen()

    def pause(self) -> None:
        """Accept at none."""
        for each in self._sockets:
            each.pause()

    def _take(self, connection: socket.socket) -> None:
        try:
            adopt(self._reactor, connection, self._visits)
        except OSError as why:
            self._log.warn("a connection of the queue manager is lost: {why}", why=why)
            return
        self._tenure.arrived()

    def _left(self) -> None:
        self._tenure.left()

    def _master_gone(self) -> None:
        self._tenure.master_gone()

    def _end(self) -> None:
        Deferred.fromCoroutine(self._agent.close()).addErrback(self._not_closed).addBoth(lambda _: self._leave())

    def _not_closed(self, why: Failure) -> None:
        self._log.failure("something was left open", why)


def most(wanted: int, *, is_alone: bool) -> int:
    """
    How many deliveries one process takes at once.

    :param wanted: as set; 0: not set.
    :param is_alone: there is no other process to take more.
    """
    possible = descriptors.delivery_limit(descriptors.available())
    return min(wanted or (possible if is_alone else MOST), possible)
