"""
The descriptors that Postfix's master leaves to a service: the status channel, and the sockets that it listens at.

They are shared with every process of the service and with master itself. So they are never shut down, no name of a
socket is ever removed, and no process started from here gets them. (Twisted's own way to adopt a listening socket does
both when it stops, and the service would be dead until Postfix is started again.)

Promises: whoever connects is accepted by one process; what master says to nobody is never waited for.
"""

import errno
import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

FLOW = (3, 4)
"""A pipe of receivers and the queue manager; a delivery agent does nothing with it."""

STATUS = 5
LISTEN = 6
"""The first of the listening sockets."""

_STATUS = struct.Struct("@iIi")
_TAKEN, _AVAILABLE = 0, 1
_PAUSE = 1.0  # seconds, where there are no descriptors left
_AT_ONCE = 10  # connections that are accepted before somebody else has a turn


class NoMaster(Exception):
    """This process was not started by a master."""


def keep_to_ourselves(sockets: int) -> None:
    """
    Let no process that is started from here have master's descriptors.

    :param sockets: how many listening sockets there are.
    :raises NoMaster: when they are not there.
    """
    try:
        for fd in (*FLOW, STATUS, *range(LISTEN, LISTEN + sockets)):
            os.set_inheritable(fd, False)
    except OSError:
        raise NoMaster("there are no descriptors of Postfix's master; this program is for master.cf") from None


@implementer(IReadDescriptor)
class StatusChannel:
    """
    What master knows of this process, and whether master is still there.

    :param generation: of master; a status with another one is of no interest to it.
    :param gone: called once, when master has gone or was reloaded.
    """

    def __init__(self, reactor: IReactorFDSet, fd: int, generation: int, gone: Callable[[], object]) -> None:
        self._reactor = reactor
        self._socket = socket.socket(fileno=os.dup(fd))
        os.close(fd)
        self._generation = generation
        self._gone = gone
        self._is_open = True

    def start(self) -> None:
        """Listen for the end."""
        self._reactor.addReader(self)

    def taken(self) -> None:
        """This process takes no connection for now; if need be master starts another one."""
        self._say(_TAKEN)

    def available(self) -> None:
        """This process takes connections."""
        self._say(_AVAILABLE)

    def _say(self, status: int) -> None:
        if self._is_open:
            # Twelve bytes go whole or not at all. Where master has gone, that is about to be read.
            with suppress(OSError):
                self._socket.send(_STATUS.pack(os.getpid(), self._generation, status), socket.MSG_DONTWAIT)

    def doRead(self) -> None:
        """Master says nothing, so what can be read is the end."""
        try:
            if self._socket.recv(64, socket.MSG_DONTWAIT):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._is_open = False
        self._reactor.removeReader(self)
        self._gone()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor has no more use for it."""
        self._is_open = False

    def fileno(self) -> int:
        """The descriptor."""
        return self._socket.fileno()

    def logPrefix(self) -> str:
        """What the reactor calls it."""
        return "master"


@implementer(IReadDescriptor)
class ListeningSocket:
    """
    One socket that the service listens at.

    :param take: gets each connection.
    """

    _log = Logger()

    def __init__(self, reactor: Any, fd: int, take: Callable[[socket.socket], object]) -> None:
        self._reactor = reactor
        self._socket = socket.socket(fileno=os.dup(fd))
        os.close(fd)
        self._take = take
        self._is_listening = False

    def listen(self) -> None:
        """Accept connections from now on."""
        self._is_listening = True
        self._reactor.addReader(self)

    def pause(self) -> None:
        """Leave connections to others, or to later."""
        self._is_listening = False
        self._reactor.removeReader(self)

    def doRead(self) -> None:
        """Accept who waits; somebody else may have been faster."""
        for _ in range(_AT_ONCE):
            if not self._is_listening:
                return
            try:
                # The socket is non-blocking for all who share it.
                connection, _address = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as why:
                if why.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    raise
                self._log.warn("no connection can be accepted: {why}", why=why)
                # It stays there to be accepted, and to look at it all the time would help nobody.
                self._reactor.removeReader(self)
                self._reactor.callLater(_PAUSE, self._look_again)
                return
            self._take(connection)

    def _look_again(self) -> None:
        if self._is_listening:
            self._reactor.addReader(self)

    def connectionLost(self, reason: Failure) -> None:
        """The reactor has no more use for it."""
        self._is_listening = False

    def fileno(self) -> int:
        """The descriptor."""
        return self._socket.fileno()

    def logPrefix(self) -> str:
        """What the reactor calls it."""
        return "service socket"


def adopt(reactor: Any, connection: socket.socket, factory: Any) -> None:
    """
    Have the reactor talk over an accepted connection.

    :raises OSError: when it cannot.
    """
    try:
        connection.setblocking(False)
        reactor.adoptStreamConnection(connection.fileno(), socket.AF_UNIX, factory)
    finally:
        connection.close()
