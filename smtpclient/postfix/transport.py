"""
One connection of Postfix's queue manager: the greeting, a request, the answer.

The queue manager reads and writes without looking at anything else meanwhile, so whatever is said to it goes out whole
and what it says is taken at once, however much is under way. It may also go away: without a request, for it has changed
its mind; or before the answer, for it was reloaded. What is under way goes on then, since the server at the other end
may have taken the message already.

Promises: there is one answer to each request, within the time that the queue manager waits; nothing of a request that
is not understood is delivered.

Does not: accept connections (``smtpclient.postfix.descriptors``).
"""

from collections.abc import Awaitable, Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from smtpclient.observe.maillog import MailLog
from smtpclient.postfix.attributes import WireError
from smtpclient.postfix.deliveries import NOT_DONE
from smtpclient.postfix.request import GREETING, Request, RequestReader

REQUEST_TIMEOUT = 60.0
"""Seconds from the first byte of a request to its last; the queue manager sends it in one go."""

_INSISTENCE = 10.0  # seconds until what did not end by being cancelled is cancelled again

Answer = Callable[[Request], Awaitable[bytes]]


class Visit(Protocol):
    """
    One connection.

    :param over: called once, when the connection is closed and nothing of it is under way any more.
    """

    _log = Logger()

    def __init__(self, factory: "Visits", over: Callable[["Visit"], object]) -> None:
        self._factory = factory
        self._over = over
        self._reader = RequestReader()
        self._request: Request | None = None
        self._task: Deferred[bytes] | None = None
        self._timer: IDelayedCall | None = None
        self._is_answered = False
        self._is_connected = True

    def connectionMade(self) -> None:
        """Speak first."""
        self._say(GREETING)

    def dataReceived(self, data: bytes) -> None:
        """Take the request as it comes."""
        if self._request is not None:
            return  # nobody says more than that
        if self._timer is None:
            self._timer = self._factory.clock.callLater(REQUEST_TIMEOUT, self._give_up)
        try:
            self._request = self._reader.feed(data)
        except WireError as why:
            self._factory.maillog.warning(self._factory.process, f"a request that cannot be understood: {why}")
            self._hang_up()
            return
        if self._request is not None:
            self._begin(self._request)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The queue manager has its answer, or is gone."""
        self._is_connected = False
        if self._task is None:
            self._stop_timer()
        self._end_if_over()

    def interrupt(self) -> None:
        """Let what is under way come to an end now; it is answered as not done."""
        self._answer(NOT_DONE)
        if self._task is not None:
            self._stop_timer()
            self._timer = self._factory.clock.callLater(_INSISTENCE, self.interrupt)
            self._task.cancel()
        elif self._is_connected:
            self._hang_up()

    def _begin(self, request: Request) -> None:
        self._stop_timer()
        self._timer = self._factory.clock.callLater(self._factory.longest, self._take_too_long)
        task = self._task = Deferred.fromCoroutine(_answer(self._factory.answer, request))
        task.addBoth(self._ended)

    def _ended(self, result: bytes | Failure) -> None:
        self._task = None
        self._stop_timer()
        if isinstance(result, Failure):
            if not result.check(CancelledError):
                self._log.failure("a request came to no end", result)
            result = NOT_DONE
        self._answer(result)
        self._end_if_over()

    def _take_too_long(self) -> None:
        queue_id = self._request.envelope.queue_id if self._request is not None else ""
        words = (
            f"the delivery takes longer than {self._factory.longest:g} seconds, and the queue manager would not wait"
        )
        self._factory.maillog.warning(self._factory.process, words, queue_id)
        self.interrupt()

    def _give_up(self) -> None:
        self._factory.maillog.warning(
            self._factory.process, f"half a request, and nothing more within {REQUEST_TIMEOUT:g} seconds"
        )
        self._hang_up()

    def _answer(self, answer: bytes) -> None:
        if self._request is not None and not self._is_answered:
            self._is_answered = True
            self._say(answer)

    def _say(self, data: bytes) -> None:
        if self._is_connected and self.transport is not None:
            self.transport.write(data)

    def _hang_up(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _end_if_over(self) -> None:
        if not self._is_connected and self._task is None:
            over, self._over = self._over, _nothing
            over(self)


def _nothing(_visit: Visit) -> None:
    return


async def _answer(answer: Answer, request: Request) -> bytes:
    return await answer(request)


class Visits(Factory):
    """
    All connections of one process.

    :param answer: deals with a request.
    :param longest: how long a delivery may take, seconds.
    :param over: called when a connection and all of it is over.
    :param process: the name that log lines carry.
    """

    noisy = False

    def __init__(
        self,
        answer: Answer,
        clock: IReactorTime,
        maillog: MailLog,
        process: str,
        longest: float,
        over: Callable[[], object],
    ) -> None:
        self.answer = answer
        self.clock = clock
        self.maillog = maillog
        self.process = process
        self.longest = longest
        self._over = over
        self._visits: set[Visit] = set()

    def buildProtocol(self, addr: IAddress | None) -> Visit:
        """What talks to one connection."""
        visit = Visit(self, self._left)
        self._visits.add(visit)
        return visit

    def interrupt(self) -> None:
        """Let everything that is under way come to an end now."""
        for visit in list(self._visits):
            visit.interrupt()

    def _left(self, visit: Visit) -> None:
        self._visits.discard(visit)
        self._over()
