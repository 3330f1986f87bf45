"""
The server of a play, in the process that watches it: it takes mail as the addresses say, and remembers all of it.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.service.sink import Session
from tests.torture.letters import PATIENCE

_NUMBER = re.compile(rb"^X-Id: (\d+)", re.M)
_MESSAGE_ID = re.compile(rb"^Message-Id: (\S+)", re.M | re.I)
_REPORTED = re.compile(rb"^Final-Recipient: rfc822; *(\S+)\r\n(?:Original-Recipient: .*\r\n)?Action: (\w+)", re.M)


@dataclass(eq=False)
class Acceptance:
    """
    A final dot that was seen and answered with yes.

    :param body: the content behind the header.
    :param reported: recipients that it reports on, and what it says of them.
    :param confirmed: the client has said something after our reply, and so has heard it.
    """

    number: int
    sender: str
    recipients: tuple[str, ...]
    message_id: str
    body: bytes
    reported: tuple[tuple[str, str], ...]
    confirmed: bool = False


@dataclass
class Memory:
    """
    What the server of one play knows.

    :param patience: after how many silent seconds it hangs up; 0: never.
    :param alarm: called when it has heard something for the ``alarm_at``-th time, before it answers.
    :ivar heard: how often it has heard something: a call, a command, the end of a content.
    :ivar gave_up: how often it has hung up.
    """

    patience: float = 0.0
    alarm_at: int = 0
    alarm: Callable[[], None] | None = None
    accepted: list[Acceptance] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    heard: int = 0
    gave_up: int = 0

    def hear(self) -> None:
        """Count, and give the alarm when it is time."""
        self.heard += 1
        if self.heard == self.alarm_at and self.alarm is not None:
            self.alarm()

    def refusal(self, address: str) -> str:
        """Why an address is not taken this time, or nothing."""
        kind = address.partition("@")[0].rstrip("0123456789")
        self.asked[address] += 1
        if kind == "bounce" or (kind == "fickle" and self.asked[address] <= PATIENCE[kind]):
            return "550 5.1.1 no such user"
        return "450 4.2.0 mailbox busy" if self.asked[address] <= PATIENCE.get(kind, 0) else ""


class Visit(Session):
    """One connection."""

    def __init__(self, memory: Memory) -> None:
        super().__init__(None, 0.0)
        self.memory = memory
        self.sender = ""
        self.unconfirmed: Acceptance | None = None
        self._limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._hear()
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._limit is not None:
            self._limit.cancel()

    def _hear(self) -> None:
        self.memory.hear()
        if self._limit is not None:
            self._limit.cancel()
        if self.memory.patience:
            self._limit = asyncio.get_running_loop().call_later(self.memory.patience, self._hang_up)

    def _hang_up(self) -> None:
        self.memory.gave_up += 1
        self.say("421 4.4.2 sink.example timed out")
        self.transport.close()

    def refusal(self, address: str) -> str:
        return self.memory.refusal(address)

    def command(self, line: str) -> None:
        self._hear()
        if self.unconfirmed is not None:
            self.unconfirmed.confirmed, self.unconfirmed = True, None
        if line[:4].upper() == "MAIL":
            self.sender = line[line.index("<") + 1 : line.index(">")]
        super().command(line)

    def accept(self, content: bytes) -> None:
        self._hear()
        number, message_id = _NUMBER.search(content), _MESSAGE_ID.search(content)
        reported = [(address.decode(), action.decode()) for address, action in _REPORTED.findall(content)]
        self.unconfirmed = Acceptance(
            int(number[1]) if number else -1,
            self.sender,
            tuple(self.recipients),
            message_id[1].decode() if message_id else "",
            content.partition(b"\r\n\r\n")[2].replace(b"\r\n", b"\n") + b"\n",
            tuple(reported),
        )
        self.memory.accepted.append(self.unconfirmed)
        super().accept(content)


class Sink:
    """A port that is served for one play after the other."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.port = 0
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Visit(self.memory), "127.0.0.1", 0, backlog=100)
        self.port = self._server.sockets[0].getsockname()[1]
