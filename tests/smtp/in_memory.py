"""
A conversation between a channel and a scripted server in memory, on a clock that jumps to whatever is due next.

Ten minutes of silence take no time here, so every stage can be tried at the limits that people use.
"""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.test import iosim

from smtpclient.mail.outcome import Peer
from smtpclient.smtp.channel import Channel
from tests.smtp.scripted_server import Script, ScriptedSession

T = TypeVar("T")

PEER = Peer("mx.example", "192.0.2.1", 25)


def connected(server: ScriptedSession, channel: Channel, clock: Clock) -> iosim.IOPump:
    """What carries bytes between the two ends of a connection."""
    return iosim.connect(
        server,
        iosim.FakeTransport(server, isServer=True),
        channel,
        iosim.FakeTransport(channel, isServer=False),
        clock=clock,
        greet=False,
    )


def played(coroutine: Coroutine[Deferred[Any], Any, T], clock: Clock, flush: Callable[[], object]) -> T:
    """
    What a coroutine returns or raises, however long it takes on the clock.

    :param flush: carries all bytes that are on their way.
    """
    results: list[Any] = []
    Deferred.fromCoroutine(coroutine).addBoth(results.append)
    flush()
    while not results:
        pending = clock.getDelayedCalls()
        assert pending, "everyone waits for ever"
        clock.advance(max(min(call.getTime() for call in pending) - clock.seconds(), 0.0))
        flush()
    if isinstance(results[0], Failure):
        results[0].raiseException()
    result: T = results[0]
    return result


class Conversation:
    """
    One connection, with both of its ends.

    :param script: what the server does.
    """

    def __init__(self, script: Script | None = None) -> None:
        self.clock = Clock()
        self.server = ScriptedSession(script or Script(), self.clock)
        self.channel = Channel(self.clock)
        self._pump = connected(self.server, self.channel, self.clock)

    def run(self, coroutine: Coroutine[Deferred[Any], Any, T]) -> T:
        """What the coroutine returns or raises, however long it takes on the clock."""
        return played(coroutine, self.clock, self.flush)

    def flush(self) -> None:
        """Carry bytes both ways until there are none."""
        self._pump.flush()
