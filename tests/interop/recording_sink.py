"""
An SMTP server that accepts everything and keeps the very bytes of each message.
"""

import re
import socketserver
import threading
from dataclasses import dataclass, field

from tests.interop.threaded_server import ThreadedServer

_GREETING = b"220 sink.test ESMTP\r\n"
_EHLO = (
    b"250-sink.test\r\n250-PIPELINING\r\n250-SIZE\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n"
    b"250 ENHANCEDSTATUSCODES\r\n"
)


@dataclass
class Transaction:
    """One message as it came: the commands' arguments, and all bytes from the 354 to the end."""

    mail: str
    recipients: list[str] = field(default_factory=list)
    wire: bytes = b""


class RecordingSink(ThreadedServer):
    """
    The server.

    :param ehlo: what it answers to EHLO.
    :ivar transactions: what has been delivered, in order.
    :ivar sessions: how many there have been.
    :ivar greetings: by what words they were opened.
    :ivar xforwarded: the arguments of XFORWARD.
    :ivar arrived: set when a message has come to its final dot.
    :ivar may_answer: as long as it is not set, the final dot is not answered, and the message does not count.
    """

    def __init__(self, address: str = "127.0.0.1", ehlo: bytes = _EHLO) -> None:
        self.transactions: list[Transaction] = []
        self._ehlo = ehlo
        self.sessions = 0
        self.greetings: set[str] = set()
        self.xforwarded: list[str] = []
        self.arrived = threading.Event()
        self.may_answer = threading.Event()
        self.may_answer.set()
        self._news = threading.Condition()
        super().__init__(address)

    def wait(self, count: int, timeout: float) -> bool:
        """Wait until so many messages have come; False when the time is over."""
        with self._news:
            return self._news.wait_for(lambda: len(self.transactions) >= count, timeout)

    def opinion(self, address: str) -> bytes:
        """The reply to a recipient: no to who begins with ``no``, later to who begins with ``later``."""
        if address.startswith("no"):
            return b"550 5.1.1 unknown\r\n"
        return b"450 4.2.1 busy\r\n" if address.startswith("later") else b"250 2.1.5 Ok\r\n"

    def talk(self, session: socketserver.StreamRequestHandler) -> None:
        """Talk until the client says QUIT or goes away."""
        with self._news:
            self.sessions += 1
        session.wfile.write(_GREETING)
        current = Transaction("")
        while line := self._line(session):
            verb, _, argument = line.decode("utf-8", "replace").rstrip("\r\n").partition(" ")
            reply = b"250 2.0.0 Ok\r\n"
            match verb.upper():
                case "EHLO" | "LHLO":
                    self.greetings.add(verb)
                    reply = self._ehlo
                case "XFORWARD":
                    self.xforwarded.append(argument)
                case "MAIL":
                    current = Transaction(argument)
                case "RCPT":
                    reply = self.opinion(address_of(argument))
                    if reply.startswith(b"2"):
                        current.recipients.append(argument)
                case "DATA" if not current.recipients:
                    reply = b"554 5.5.1 nobody there\r\n"
                case "DATA":
                    session.wfile.write(b"354 Go on\r\n")
                    try:
                        current.wire = _read_message(session)
                    except ConnectionError:
                        return
                    self.arrived.set()
                    if not self.may_answer.wait(300):
                        return
                    with self._news:
                        self.transactions.append(current)
                        self._news.notify_all()
                case "QUIT":
                    session.wfile.write(b"221 2.0.0 Bye\r\n")
                    return
            session.wfile.write(reply)

    @staticmethod
    def _line(session: socketserver.StreamRequestHandler) -> bytes:
        """The next line; nothing where the client has gone, however it went."""
        try:
            return session.rfile.readline()
        except ConnectionError:
            return b""


def _read_message(session: socketserver.StreamRequestHandler) -> bytes:
    """All bytes up to and including the line that is a dot."""
    lines = [b"\r\n"]  # so that a message may begin with its end
    while True:
        line = session.rfile.readline()
        if not line:
            raise ConnectionError("the client has gone away inside a message")
        lines.append(line)
        if line == b".\r\n" and lines[-2].endswith(b"\r\n"):
            return b"".join(lines[1:])


def address_of(argument: str) -> str:
    """The address in the argument of MAIL or RCPT, without quotes."""
    found = re.match(r"(?:FROM|TO):<(.*?)>(?: |$)", argument, re.I)
    assert found is not None, argument
    return found[1]
