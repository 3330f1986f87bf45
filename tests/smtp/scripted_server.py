"""
An SMTP server that does what a script says: for tests, on real sockets or in memory.

A :class:`Script` maps events to steps. The events, in the order of a session: ``connect``, ``ehlo``, ``helo``,
``lhlo``, ``mail``, ``rcpt``, ``data``, ``content`` (354 was sent, content is coming), ``eod`` (the lone dot was read),
``rset``, ``quit`` and ``other``. What is not in the script is answered as a good server would.

Steps are a string or a list of strings, done in order:

=================  =====================================================================
``250 2.1.0 Ok``   send this line and CRLF; a line feed inside makes more lines
``!raw 250 ok\\n``  send this, with ``\\r \\n \\t \\0`` for what they stand for, and nothing added
``!fill N TEXT``   send TEXT, as with ``!raw``, N times
``!default``       what would happen without a script
``!content``       read content now, after a reply other than 354
``!read N``        (content) read at least so many bytes of it
``!later S TEXT``  send TEXT and CRLF after so many seconds, and go on meanwhile
``!sleep S``       say nothing and read nothing for so many seconds
``!hang``          do nothing more
``!noread``        stop reading from the socket, and do nothing more
``!pause S``       stop reading from the socket for so many seconds
``!close``         close the connection
``!reset``         reset it
=================  =====================================================================

After ``lhlo`` it is an LMTP server: it has one reply to the dot for each recipient.

For ``rcpt`` a mapping from a part of the line to steps is taken, too; ``*`` is for all others. A tuple holds the steps
for each occurrence of an event in a session; the last ones are for all further occurrences.
"""

import socket
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IListeningPort, IReactorTCP, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.tcp import Port
from twisted.python.failure import Failure

Steps = str | list[str] | tuple[str | list[str], ...]

GOOD = ("SIZE 10240000", "8BITMIME")
PIPELINING = ("PIPELINING", *GOOD)

_ESCAPES = {r"\r": "\r", r"\n": "\n", r"\t": "\t", r"\0": "\0"}
_REPLIES = {
    "connect": "220 {host} ESMTP scripted",
    "helo": "250 {host}",
    "mail": "250 2.1.0 Ok",
    "rcpt": "250 2.1.5 Ok",
    "data": "354 End data with <CR><LF>.<CR><LF>",
    "eod": "250 2.0.0 Ok: queued",
    "rset": "250 2.0.0 Ok",
    "other": "502 5.5.2 Error: command not recognized",
}


@dataclass(frozen=True)
class Script:
    """
    What a server does.

    :param on: events and their steps.
    :param ehlo: the keywords of its reply to EHLO; None: it does not know EHLO.
    :param keep_content: remember what was sent.
    """

    on: Mapping[str, Steps | Mapping[str, Steps]] = field(default_factory=dict)
    ehlo: Sequence[str] | None = GOOD
    host: str = "mx.example"
    keep_content: bool = True

    def steps(self, event: str, line: str, occurrence: int = 0) -> list[str]:
        """What to do at an event."""
        steps = self.on.get(event, "!default")
        if isinstance(steps, Mapping):
            steps = next((steps[part] for part in steps if part in line), steps.get("*", "!default"))
        if isinstance(steps, tuple):
            steps = steps[min(occurrence, len(steps) - 1)]
        return [steps] if isinstance(steps, str) else list(steps)


class ScriptedSession(Protocol):
    """
    One connection to the server.

    :ivar commands: every command line, and ``.`` for the end of content.
    :ivar contents: the bytes of every content, with the final dot.
    :ivar pipelined: more input stood behind a command before it was answered.
    :ivar grouped: how many messages had the next MAIL right behind their end.
    :ivar over: how the connection ended.
    """

    def __init__(self, script: Script, clock: IReactorTime) -> None:
        self._script = script
        self._clock = clock
        self._buffer = b""
        self._steps: list[str] = []
        self._event = ""
        self._busy = False
        self._timer: IDelayedCall | None = None
        self._in_content = False
        self._content = bytearray()
        self._counts: Counter[str] = Counter()
        self._said = ""  # at this event
        self._mail = False
        self._rcpts: set[int] = set()
        self._lmtp = False
        self._waiters: list[tuple[str, Deferred[None]]] = []
        self.commands: list[str] = []
        self.contents: list[bytes] = []
        self.received = 0
        self.pipelined = False
        self.grouped = 0
        self.over: Failure | None = None

    @property
    def verbs(self) -> list[str]:
        """The commands without their parameters."""
        return [command.split(" ", 1)[0] for command in self.commands]

    def connectionMade(self) -> None:
        """Greet."""
        self._begin("connect", "")
        self._go_on()

    def dataReceived(self, data: bytes) -> None:
        """Take input."""
        self.received += len(data)
        self._buffer += data
        self._go_on()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Note the end."""
        self.over = reason
        self._busy = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        waiters, self._waiters = self._waiters, []
        for _, waiter in waiters:
            waiter.callback(None)

    async def until(self, verb: str) -> None:
        """Return when a command has arrived; an empty verb: when the connection is over."""
        if self.over is None and verb not in self.verbs:
            waiter: Deferred[None] = Deferred()
            self._waiters.append((verb, waiter))
            await waiter

    def say(self, text: str) -> None:
        """Send something that no script foresaw."""
        self._send(text)

    # -- input ----------------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        while not self._busy:
            if self._steps:
                self._step(self._steps.pop(0))
            elif not (self._read_content() if self._in_content else self._read_command()):
                return

    def _read_command(self) -> bool:
        line, end, rest = self._buffer.partition(b"\r\n")
        if not end:
            return False
        self._buffer = rest
        text = line.decode("utf-8", "surrogateescape")
        self.commands.append(text)
        self.pipelined = self.pipelined or bool(rest)
        verb = text.split(" ", 1)[0].lower()
        known = verb in ("ehlo", "helo", "lhlo", "mail", "rcpt", "data", "rset", "quit")
        self._begin(verb if known else "other", text)
        self._awaited(text)
        return True

    def _read_content(self) -> bool:
        end = b"\r\n.\r\n"
        data, self._buffer = bytes(self._content[-len(end) :]) + self._buffer, b""
        del self._content[-len(end) :]
        at = data.find(end)
        if at < 0:
            self._content += data if self._script.keep_content else data[-len(end) :]
            return False
        self._content += data[: at + len(end)]
        self._buffer = data[at + len(end) :]
        self.contents.append(bytes(self._content[2:]))
        self.grouped += self._buffer.startswith(b"MAIL ")
        self._in_content = False
        self.commands.append(".")
        self._begin("eod", ".")
        self._awaited(".")
        return True

    def _awaited(self, text: str) -> None:
        verb = text.split(" ", 1)[0]
        due = [waiter for wanted, waiter in self._waiters if wanted == verb]
        self._waiters = [(wanted, waiter) for wanted, waiter in self._waiters if wanted != verb]
        for waiter in due:
            waiter.callback(None)

    # -- steps ----------------------------------------------------------------------------------------------------

    def _begin(self, event: str, line: str) -> None:
        self._event = event
        self._said = ""
        self._steps = self._script.steps(event, line, self._counts[event])
        self._counts[event] += 1

    def _step(self, step: str) -> None:
        verb, _, rest = step.partition(" ")
        if verb == "!default":
            self._default()
        elif verb == "!raw":
            self._write(_unescaped(rest))
        elif verb == "!fill":
            count, _, text = rest.partition(" ")
            self._write(_unescaped(text) * int(count))
        elif verb == "!later":
            seconds, _, text = rest.partition(" ")
            self._clock.callLater(float(seconds), self.transport.write, text.encode() + b"\r\n")
        elif verb == "!sleep":
            self._busy = True
            self._timer = self._clock.callLater(float(rest), self._wake_up)
        elif verb == "!pause":
            self._busy = True
            self.transport.pauseProducing()
            self._timer = self._clock.callLater(float(rest), self._resume)
        elif verb == "!read":
            if len(self._buffer) < int(rest):
                self._steps.insert(0, step)
                self._busy = True
                self._timer = self._clock.callLater(0.01, self._wake_up)
        elif verb == "!content":
            self._begin_content()
        elif verb.startswith("!"):
            self._stop(verb)
        else:
            self._send(step)

    def _stop(self, verb: str) -> None:
        self._busy = True
        if verb == "!close":
            self.transport.loseConnection()
        elif verb == "!reset":
            self.transport.abortConnection()
        elif verb == "!noread":
            self.transport.pauseProducing()
        elif verb != "!hang":
            raise ValueError(verb)

    def _wake_up(self) -> None:
        self._busy = False
        self._go_on()

    def _resume(self) -> None:
        self.transport.resumeProducing()
        self._wake_up()

    def _send(self, text: str) -> None:
        self._write(text.replace("\n", "\r\n") + "\r\n")
        if self._event == "data" and text.rpartition("\n")[2].startswith("354"):
            self._begin_content()

    def _write(self, text: str) -> None:
        self.transport.write(text.encode("utf-8", "surrogateescape"))
        self._said += text
        is_yes = self._said.rstrip("\r\n").rpartition("\n")[2].startswith("2")
        if self._event == "mail":
            self._mail = is_yes
        elif self._event == "rcpt" and is_yes:
            self._rcpts.add(len(self.commands))
        elif self._event in ("eod", "rset", "ehlo", "helo", "lhlo"):
            self._lmtp = self._lmtp or self._event == "lhlo"
            self._mail = False
            self._rcpts.clear()

    def _begin_content(self) -> None:
        self._in_content = True
        self._content = bytearray(b"\r\n")
        self._steps = [*self._steps, *(step for step in self._script.steps("content", "") if step != "!default")]

    def _default(self) -> None:
        host, event = self._script.host, self._event
        if event == "quit":
            self._send("221 2.0.0 Bye")
            self._stop("!close")
        elif event == "eod" and self._lmtp:
            for _ in range(len(self._rcpts)):
                self._send(_REPLIES[event])
        elif event in ("ehlo", "lhlo") and self._script.ehlo is not None:
            *lines, last = (host, *self._script.ehlo)
            self._send("\n".join([*("250-" + line for line in lines), "250 " + last]))
        elif event == "rcpt" and not self._mail:
            self._send("503 5.5.1 Error: need MAIL command")
        elif event == "data" and not self._rcpts:
            self._send("554 5.5.1 Error: no valid recipients" if self._mail else "503 5.5.1 Error: need RCPT command")
        else:
            self._send(_REPLIES.get(event, _REPLIES["other"]).format(host=host))


class ScriptedServer(Factory):
    """
    A listening server.

    :ivar sessions: every connection, in the order in which they came.
    """

    noisy = False

    def __init__(self, script: Script, reactor: IReactorTime) -> None:
        self._script = script
        self._reactor = reactor
        self._port: IListeningPort | None = None
        self.sessions: list[ScriptedSession] = []

    def listen(self, reactor: IReactorTCP, address: str = "127.0.0.1") -> int:
        """Listen at a free port; give its number."""
        port = reactor.listenTCP(0, self, interface=address)
        assert isinstance(port, Port)
        # So that a server that stops reading is noticed after some hundred kB, not after megabytes.
        port.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self._port = port
        number = port.getHost().port
        assert isinstance(number, int)
        return number

    def buildProtocol(self, addr: object) -> ScriptedSession:
        """A new connection."""
        session = ScriptedSession(self._script, self._reactor)
        self.sessions.append(session)
        return session

    async def close(self) -> None:
        """Stop listening, and end what is open."""
        if self._port is not None:
            stopped = self._port.stopListening()
            if stopped is not None:
                await stopped
        for session in self.sessions:
            if session.over is None:
                session.transport.abortConnection()
                await session.until("")


def _unescaped(text: str) -> str:
    for escape, character in _ESCAPES.items():
        text = text.replace(escape, character)
    return text
