"""
Sending at once: what is written to a socket or a pipe goes to the system now, not in the reactor's next turn.

Twisted keeps what is written until the reactor has asked the system whether there is room. For a command line, or a
message between processes, there nearly always is, and the question costs more than the answer: two changes of what is
watched (of a pipe four: whether somebody still listens is watched, too), an event, another round through the reactor.
:class:`Prompt` offers it to the system first, and has the reactor ask only for what was not taken.

Promises: bytes leave in the order in which they are written: while something waits in the buffer of Twisted,
everything goes through that; an error is left to the reactor, which meets it again and ends the connection in its own
time, never inside a method here; nothing is sent past TLS.

Does not: close, or read. What TLS sends later by itself goes the usual way.
"""

import os
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.process import ProcessWriter
from twisted.internet.tcp import Connection


def prompt(transport: Any) -> "Prompt | Unhurried":
    """
    What to write to a connection, or to the writing end of a pipe, with.

    :param transport: one in memory, or of a kind that we do not know, is written to as ever.
    """
    if isinstance(transport, Connection):
        return Prompt(transport, transport.socket.send)
    if isinstance(transport, ProcessWriter):
        return Prompt(transport, partial(os.write, transport.fileno()))
    return Unhurried(transport)


class Unhurried:
    """The writing side of a connection that sends when it likes to."""

    def __init__(self, transport: Any) -> None:
        self.write = transport.write

    def offer(self, data: bytes) -> bytes:
        """What is left to be written of this: all of it."""
        return data


class Prompt:
    """
    The writing side of one connection or pipe.

    The connection says that it has something to send, or no more, by calling its own ``startWriting`` and
    ``stopWriting``. These are ours from now on, so that the reactor watches only what has to wait.

    :param transport: stands; nobody else makes it prompt.
    :param send: gives it bytes, never waiting; how many the system has taken, or an :class:`OSError`.
    """

    def __init__(self, transport: Connection | ProcessWriter, send: Callable[[bytes], int]) -> None:
        self._transport = transport
        self._send = send
        self._watch = transport.startWriting
        self._forget = transport.stopWriting
        self._is_watched = False
        self._is_writing = False
        self._has_more = False
        transport.startWriting = self._start  # type: ignore[method-assign]
        transport.stopWriting = self._stop  # type: ignore[method-assign]

    def offer(self, data: bytes) -> bytes:
        """Send what the system takes now, unless something waits already; what it did not take is to be written."""
        transport = self._transport
        if self._has_more or not transport.connected or getattr(transport, "TLS", False):  # which a pipe has not
            return data
        try:
            return data[self._send(data) :]
        except OSError:
            return data

    def write(self, data: bytes) -> None:
        """Send as much as the system takes now, and the rest when it takes more."""
        rest = self.offer(data)
        if not rest:
            return
        transport = self._transport
        self._is_writing = True
        transport.write(rest)
        self._is_writing = False
        # Under TLS nothing has been tried; and what waits already goes first: it is the same buffer.
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
