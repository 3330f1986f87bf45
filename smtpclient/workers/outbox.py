"""
What one end says to the other, sent together: one frame, one write, for all that is said in a turn of the reactor.

The reactor finds several sockets ready at once when there is much to do, and several deliveries end, or begin, in one
of its turns. To encode and write what is said of each by itself would cost both ends as many system calls and wake-ups.

Promises: what was said goes out in that order, after this turn of the reactor at the latest; what one frame cannot hold
goes out in several; what the system takes at once is not kept for another turn.

Does not: say anything by itself, or notice that nobody listens any more: the connection does that.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.process import ProcessWriter

from smtpclient.workers.message import Message
from smtpclient.workers.wire import encode

Write = Callable[[bytes], object]


class Outbox:
    """
    What is to be said over one pipe.

    :param write: sends bytes.
    :param too_long: told of a message that no frame can hold, and why.
    """

    def __init__(self, clock: IReactorTime, write: Write, too_long: Callable[[Message, ValueError], object]) -> None:
        self._clock = clock
        self._write = write
        self._too_long = too_long
        self._messages: list[Message] = []
        self._turn: IDelayedCall | None = None
        self._is_held = False

    def say(self, message: Message) -> None:
        """Have a message sent, with others of this turn."""
        self._messages.append(message)
        if self._turn is None and not self._is_held:
            self._turn = self._clock.callLater(0, self._next_turn)

    def say_now(self, message: Message) -> None:
        """Send a message, and all that was said before."""
        self._messages.append(message)
        self.flush()

    def hold(self) -> None:
        """Much may be said until :meth:`flush`, which is sure to come."""
        self._is_held = True

    def flush(self) -> None:
        """Send what was said."""
        self._is_held = False
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        messages = self._messages
        if not messages:
            return
        self._messages = []
        try:
            self._write(encode(*messages))
        except ValueError:
            for message in messages:
                self._send_alone(message)

    def _next_turn(self) -> None:
        self._turn = None
        self.flush()

    def _send_alone(self, message: Message) -> None:
        try:
            self._write(encode(message))
        except ValueError as why:
            self._too_long(message, why)


def prompt(writer: Any) -> Write:
    """
    What sends over a pipe at once as long as the system takes it.

    Twisted would have the reactor wait until there is room first, and look meanwhile whether somebody still listens:
    four changes of what is watched, and one more event, for each write.

    :param writer: the writing end of a pipe of Twisted's; anything else is written to as ever.
    """
    return _PromptWriter(writer).write if isinstance(writer, ProcessWriter) else writer.write


class _PromptWriter:
    """
    One pipe that is written to at once.

    The pipe says that it has something left, or no more, by calling its own ``startWriting`` and ``stopWriting``.
    """

    def __init__(self, writer: ProcessWriter) -> None:
        self._writer = writer
        self._start, self._stop = writer.startWriting, writer.stopWriting
        self._has_more = False
        writer.startWriting = self._begin  # type: ignore[method-assign]
        writer.stopWriting = self._end  # type: ignore[method-assign]

    def write(self, data: bytes) -> None:
        """Send as much as the system takes now, and the rest when it takes more."""
        writer = self._writer
        if not self._has_more and writer.connected and not writer.disconnecting:
            sent = writer.writeSomeData(data)
            # An error is left to the reactor, which meets it again.
            data = data[sent:] if isinstance(sent, int) and sent > 0 else data
        if data:
            writer.write(data)

    def _begin(self) -> None:
        self._has_more = True
        self._start()

    def _end(self) -> None:
        self._has_more = False
        self._stop()
