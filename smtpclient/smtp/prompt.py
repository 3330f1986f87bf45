"""
Sending at once: what is written to a socket goes to the system now, not in the reactor's next turn.

Twisted keeps what is written until the reactor has asked the system whether there is room. For a command line there
always is, and the question costs more than the answer: two changes of what is watched, an event, another round through
the reactor. :class:`Prompt` tries first, and has the reactor ask only for what the system did not take.

Promises: bytes leave in the order in which they are written, whatever is tried, for they go through the connection's
own buffer; an error is left to the reactor, which meets it again and ends the connection in its own time, never inside
:meth:`Prompt.write`.

Does not: close, read, or know of TLS. What TLS sends later by itself goes the usual way.
"""

from collections.abc import Callable

from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import ITransport


def prompt(transport: ITransport) -> Callable[[bytes], None]:
    """What to write to a connection with; one in memory, or of a kind that we do not know, is written to as ever."""
    return Prompt(transport).write if isinstance(transport, FileDescriptor) else transport.write


class Prompt:
    """
    The writing side of one connection.

    The connection says that it has something to send, or no more, by calling its own ``startWriting`` and
    ``stopWriting``. These are ours from now on, so that the reactor watches only what has to wait.

    :param transport: stands; nobody else makes it prompt.
    """

    def __init__(self, transport: FileDescriptor) -> None:
        self._transport = transport
        self._watch = transport.startWriting
        self._forget = transport.stopWriting
        self._is_watched = False
        self._is_writing = False
        self._has_more = False
        transport.startWriting = self._start  # type: ignore[method-assign]
        transport.stopWriting = self._stop  # type: ignore[method-assign]

    def write(self, data: bytes) -> None:
        """Send as much as the system takes now, and the rest when it takes more."""
        transport = self._transport
        self._is_writing = True
        transport.write(data)
        self._is_writing = False
        # What waits already goes first: it is the same buffer.
        if self._has_more and not self._is_watched:
            transport.doWrite()
        if self._has_more:
            self._start()

    def _start(self) -> None:
        self._has_more = True
        # A connection that is to close says so in this way, too, with nothing to send.
        if not (self._is_writing or self._is_watched):
            self._is_watched = True
            self._watch()

    def _stop(self) -> None:
        self._has_more = False
        if self._is_watched:
            self._is_watched = False
            self._forget()
