"""A daemon on a real UNIX socket that does what a test says."""

from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

from smtpclient.postfix.attributes import Fields, Parser, encode

GREETING = encode([("protocol", "delivery_status_protocol")])
DONE = encode([("status", 0)])

Answer = Callable[[Fields], bytes | None]


class ScriptedDaemon(Factory):
    """
    Greets, takes lists, and answers.

    :param greeting: the first bytes.
    :param answer: for each list what to say to it; None: hang up.
    :ivar connections: those that are open.
    :ivar lists: what has come, in its order.
    """

    noisy = False

    def __init__(self, answer: Answer = lambda fields: DONE, greeting: bytes = GREETING) -> None:
        self.answer = answer
        self.greeting = greeting
        self.connections: list[Serving] = []
        self.lists: list[Fields] = []

    def buildProtocol(self, addr: object) -> Protocol:
        """One connection."""
        return Serving(self)

    def listen(self, case: TestCase, reactor: Any, path: str) -> None:
        """Listen until the test is over."""
        port = reactor.listenUNIX(path, self)
        case.addCleanup(self.close)
        case.addCleanup(port.stopListening)

    def close(self) -> None:
        """Hang up on everybody."""
        for connection in self.connections:
            connection.hang_up()


class Serving(Protocol):
    """One connection of a scripted daemon."""

    def __init__(self, daemon: ScriptedDaemon) -> None:
        self._daemon = daemon
        self._parser = Parser()

    def connectionMade(self) -> None:
        self._daemon.connections.append(self)
        self.say(self._daemon.greeting)

    def dataReceived(self, data: bytes) -> None:
        self._parser.feed(data)
        while (fields := self._parser.next_list()) is not None:
            self._daemon.lists.append(fields)
            answer = self._daemon.answer(fields)
            if answer is None:
                self.hang_up()
            else:
                self.say(answer)

    def connectionLost(self, reason: object = None) -> None:
        self._daemon.connections.remove(self)

    def say(self, data: bytes) -> None:
        """Say it at once."""
        self.transport.write(data)  # type: ignore[union-attr]

    def hang_up(self) -> None:
        """End it."""
        self.transport.loseConnection()  # type: ignore[union-attr]
