"""
What one end says to the other, sent together: one frame, one write, for all that is said in a turn of the reactor.

The reactor finds several sockets ready at once when there is much to do, and several deliveries end, or begin, in one
of its turns. To encode and write what is said of each by itself would cost both ends as many system calls and wake-ups.

Promises: what was said goes out in that order, after this turn of the reactor at the latest; what one frame cannot hold
goes out in several.

Does not: say anything by itself, or notice that nobody listens any more: the connection does that.
"""

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

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
