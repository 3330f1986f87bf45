"""
Mail servers in memory, as bad as the dice say, with a memory of what they have accepted.
"""

import re
from dataclasses import dataclass, field
from random import Random

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

_ID = re.compile(rb"^X-Id: (\d+)", re.M)
_REPORTED = re.compile(rb"^Final-Recipient: rfc822; *(\S+)", re.M)


@dataclass(eq=False)
class Acceptance:
    """
    A final dot that was accepted.

    :param confirmed: the client has said something after our reply, and so has heard it.
    """

    message: int
    recipient: str
    moment: float
    confirmed: bool = False


@dataclass
class Ledger:
    """What all servers of a world have accepted."""

    accepted: list[Acceptance] = field(default_factory=list)
    reports: list[tuple[int, str]] = field(default_factory=list)


@dataclass
class Manners:
    """
    How a server behaves; chances between 0 and 1.

    :param temper: that something goes wrong at any one step.
    :param haste: that a message is thought over for a while, and what stands behind it answered meanwhile.
    """

    random: Random
    temper: float = 0.0
    pipelining: bool = True
    haste: float = 0.0

    def moody(self) -> str:
        """What goes wrong at this step, or nothing."""
        if self.random.random() >= self.temper:
            return ""
        return self.random.choice(("4xx", "4xx", "421", "close", "hang", "garbage", "deaf"))


class MailServer(Factory):
    """One host."""

    noisy = False

    def __init__(self, name: str, ledger: Ledger, manners: Manners, clock: IReactorTime) -> None:
        self.name, self.ledger, self.manners, self.clock = name, ledger, manners, clock

    def buildProtocol(self, addr: IAddress | None) -> "Visit":
        """Take a call."""
        assert addr is None or isinstance(addr, IPv4Address)
        return Visit(self)


class Visit(Protocol):
    """One session, seen from the server."""

    def __init__(self, server: MailServer) -> None:
        self.server = server
        self.buffer = b""
        self.in_content = False
        self.silent = False
        self.recipients: list[str] = []
        self.pending: list[Acceptance] = []

    def connectionMade(self) -> None:
        self._do("220 hello ESMTP", "421 4.3.2 not now")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.pending.clear()

    def _do(self, good: str, bad: str) -> bool:
        """Answer a step in the server's mood; true when the answer was the good one."""
        assert self.transport is not None
        mood = self.server.manners.moody()
        if mood == "hang":
            self.silent = True
        elif mood == "deaf":
            self.silent = True  # what it has read already is not answered, either
            self.transport.pauseProducing()  # type: ignore[attr-defined]
        elif mood == "close":
            self._close()
        elif mood == "4xx":
            self._say(bad)
        elif mood == "421":
            self._say("421 4.3.2 closing")
            self._close()
        else:
            self._say(("what was that?\r\n" if mood == "garbage" else "") + good)
            return True
        return False

    def _close(self) -> None:
        """Hang up; what else has been said is not heard."""
        assert self.transport is not None
        self.silent = True
        self.transport.loseConnection()

    def _say(self, line: str) -> None:
        assert self.transport is not None
        self.transport.write(line.encode() + b"\r\n")

    def dataReceived(self, data: bytes) -> None:
        if self.silent:
            return
        self.buffer += data
        while not self.silent:
            if self.in_content:
                head, end, rest = self.buffer.partition(b"\r\n.\r\n")
                if not end:
                    return
                self.buffer, self.in_content = rest, False
                self._dot(head)
                continue
            line, end, rest = self.buffer.partition(b"\r\n")
            if not end:
                return
            self.buffer = rest
            self._command(line.decode())

    def _confirm(self) -> None:
        """The client would not have said this, had it not heard our last words."""
        for acceptance in self.pending:
            acceptance.confirmed = True
        self.pending = []

    def _dot(self, content: bytes) -> None:
        self._confirm()
        found = _ID.search(content)
        number = int(found[1]) if found else -1
        ledger, now = self.server.ledger, self.server.clock.seconds()
        manners = self.server.manners
        mood = manners.random.random() < manners.temper / 2
        acceptances = [Acceptance(number, recipient, now) for recipient in self.recipients]
        if manners.random.random() < manners.haste:
            is_good = manners.random.random() < 0.5
            if is_good:
                ledger.accepted += acceptances
                self._note_reports(number, content)
            self.server.clock.callLater(2.0, self._answer_late, acceptances if is_good else [])
        elif mood:
            # Taken, and the connection is gone before anybody hears of it.
            assert self.transport is not None
            ledger.accepted += acceptances
            self._note_reports(number, content)
            self.silent = True
            self.transport.abortConnection()  # type: ignore[attr-defined]
        elif self._do("250 2.0.0 taken", "451 4.3.0 no room"):
            ledger.accepted += acceptances
            self._note_reports(number, content)
            self.pending = acceptances

    def _answer_late(self, acceptances: list[Acceptance]) -> None:
        assert self.transport is not None
        if not self.silent and self.transport.connected:  # type: ignore[attr-defined]
            self._say("250 2.0.0 taken" if acceptances else "451 4.3.0 no room")
            self.pending += acceptances

    def _note_reports(self, number: int, content: bytes) -> None:
        for address in _REPORTED.findall(content):
            self.server.ledger.reports.append((number, address.decode()))

    def _command(self, line: str) -> None:
        verb = line[:4].upper()
        if verb not in ("MAIL", "RCPT", "DATA"):  # which may have been said together with the dot
            self._confirm()
        if verb == "EHLO":
            pipelining = "250-PIPELINING\r\n" if self.server.manners.pipelining else ""
            self._do(f"250-{self.server.name}\r\n{pipelining}250 8BITMIME", "421 4.3.2 not now")
        elif verb == "MAIL":
            self.recipients = []
            self._do("250 2.1.0 ok", "451 4.3.0 not now")
        elif verb == "RCPT":
            self._rcpt(line[line.index("<") + 1 : line.rindex(">")])
        elif verb == "DATA":
            if self.recipients and self._do("354 go on", "451 4.3.0 not now"):
                self.in_content, self.buffer = True, b"\r\n" + self.buffer
            elif not self.recipients:
                self._say("554 5.5.1 nobody to deliver to")
        elif verb == "QUIT":
            self._say("221 2.0.0 bye")
            self._close()
        else:
            self.recipients = []
            self._say("250 2.0.0 ok")

    def _rcpt(self, address: str) -> None:
        if address.startswith("nobody"):
            self._say("550 5.1.1 no such user")
        elif self._do("250 2.1.5 ok", "450 4.2.1 try later"):
            self.recipients.append(address)
