"""
One question to one of Postfix's daemons, over its UNIX socket.

The daemon speaks first, a list that names its protocol; then it takes one list and answers with one::

    daemon:  protocol=delivery_status_protocol
    we:      nrequest=0 flags=0 queue_id=3A66D21A822 ...
    daemon:  status=0

Promises: an answer, or :exc:`Unanswered` with words for the operator that name the socket; nothing is left open either
way. At most :data:`AT_ONCE` questions are under way to one socket, the others wait for their turn. A daemon that is
only too busy to take the connection is tried again until the time is over.

Does not: keep connections. Daemons of this kind serve one client at a time: one that is kept open keeps a process.

Known limits: when the time is over before the answer is there, the daemon may do, or have done, what it was asked. The
path of the socket may have 107 bytes.
"""

import os
from collections.abc import Callable
from typing import Any, cast

from twisted.internet import error
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.internet.defer import TimeoutError as OutOfTime
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from smtpclient.postfix.attributes import Fields, Parser, WireError

AT_ONCE = 8
"""Questions that are under way to one daemon: each of them costs a process."""

PATIENCE = 600.0
"""Seconds for a question; what takes longest is a report, a message that goes to disk."""

_LONGEST_PATH = 107  # sun_path holds 108 bytes, one of them the NUL
_PAUSE = 0.1  # seconds until a daemon whose queue of connections is full is tried again


class Unanswered(OSError):
    """A daemon did not answer, or its answer was no; the words are for the operator."""


class _Conversation(Protocol):
    """One connection: lists that come are kept until somebody asks for them."""

    def __init__(self) -> None:
        self._parser = Parser()
        self._waiting: Deferred[None] | None = None
        self._over: Exception | None = None

    async def next_list(self) -> Fields:
        """
        The next list.

        :raises WireError: when what comes is none.
        :raises ConnectionLost: when none comes any more.
        """
        while (fields := self._parser.next_list()) is None:
            if self._over is not None:
                raise self._over
            self._waiting = Deferred()
            await self._waiting
        return fields

    def send(self, data: bytes) -> None:
        """Send a list."""
        self.transport.write(data)  # type: ignore[union-attr]

    def close(self) -> None:
        """Nothing more is wanted."""
        self.transport.abortConnection()  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        """Look for lists."""
        try:
            self._parser.feed(data)
        except WireError as why:
            self._over = why
            self.close()
        self._wake()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """No more will come."""
        self._over = self._over or error.ConnectionLost()
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.called:
            waiting.callback(None)


class _Conversations(Factory):
    noisy = False
    protocol = _Conversation


class Caller:
    """
    Asks daemons.

    :param reactor: provides ``IReactorUNIX``.
    :param directory: what the paths of sockets begin at: Postfix's queue directory.
    :param patience: seconds for a question, with the time until it has its turn.
    """

    def __init__(self, reactor: Any, clock: IReactorTime, directory: str, patience: float = PATIENCE) -> None:
        self._reactor = reactor
        self._clock = clock
        self._directory = directory
        self._patience = patience
        self._turns: dict[str, DeferredSemaphore] = {}

    async def ask(
        self, path: str, protocol: str, request: bytes, greeted: Callable[[Fields], object] = Fields.end
    ) -> Fields:
        """
        Put one question; give back the answer, of which nothing has been taken yet.

        :param path: of the socket, for instance ``private/bounce``.
        :param protocol: what the daemon has to greet with.
        :param greeted: takes what the greeting has behind that.
        :raises Unanswered: when there is no answer.
        """
        if len(os.fsencode(os.path.join(self._directory, path))) > _LONGEST_PATH:
            raise Unanswered(f"{path}: the path of the socket is too long")
        asking = Deferred.fromCoroutine(self._in_turn(path, protocol, request, greeted))
        try:
            return await asking.addTimeout(self._patience, self._clock)
        except OutOfTime:
            raise Unanswered(f"{path}: no answer within {self._patience:g} seconds") from None
        except error.ConnectionLost:
            raise Unanswered(f"{path}: the connection was lost before the answer") from None
        except (WireError, error.ConnectError) as why:
            raise Unanswered(f"{path}: {_words(why)}") from why

    async def _in_turn(self, path: str, protocol: str, request: bytes, greeted: Callable[[Fields], object]) -> Fields:
        async with self._turns.setdefault(path, DeferredSemaphore(AT_ONCE)):
            conversation = await self._connect(os.path.join(self._directory, path))
            try:
                greeting = await conversation.next_list()
                spoken = greeting.text("protocol")
                if spoken != protocol:
                    raise WireError(f"expected {protocol}, not {spoken}")
                greeted(greeting)
                conversation.send(request)
                return await conversation.next_list()
            finally:
                conversation.close()

    async def _connect(self, path: str) -> _Conversation:
        endpoint = UNIXClientEndpoint(self._reactor, path)
        while True:
            try:
                conversation = await endpoint.connect(_Conversations())
            except error.ConnectingCancelledError:
                raise CancelledError from None
            except error.ConnectError as why:
                # Twisted does not wait where a socket's backlog is full, and has no number for it (EAGAIN).
                if type(why) is not error.ConnectError or why.osError:
                    raise
            else:
                return cast(_Conversation, conversation)
            await deferLater(self._clock, _PAUSE)


def _words(why: Exception) -> str:
    number = getattr(why, "osError", None)
    return os.strerror(number) if isinstance(number, int) else str(why)
