"""
One connection of the submission server, without what it is about: reading lines and content, replies, limits, the end.

Built on ``twisted.mail.smtp.ESMTP``. What arrives is read according to two things: ``mode``, which is Twisted's and
names what comes next (``COMMAND``, ``AUTH``, ``DATA``), and whether a reply is being waited for. While it is, nothing
is read from the connection and what has been read is left alone, so that replies come in the order of the commands,
however many of them a client sends at once.

Promises: lines, errors, sessions and time are bounded; a line that is too long ends the session, so that its rest is
never obeyed; the session ends also where the client does not read.
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.mail import smtp
from twisted.python.failure import Failure

from smtpclient.observe.maillog import MailLog
from smtpclient.submission.acceptance import Refused
from smtpclient.submission.access import Client, client_of

LONGEST_LINE = 12288  # bytes; RFC 4954 section 4 for AUTH, more than anything else needs
GRACE = 10.0  # seconds for the last reply of a session to be taken

_OTHER_PROTOCOLS = (b"GET ", b"POST ", b"PUT ", b"HEAD ", b"OPTIONS ", b"CONNECT ")


@dataclass(frozen=True, slots=True)
class Limits:
    """
    What one client may use up.

    :param recipients: of one message; RFC 5321 section 4.5.3.1.8 asks for 100.
    :param errors: 5xx replies in one session.
    :param sessions: at the same time, of all clients together.
    :param timeout: for the next command or piece of content, seconds; RFC 5321 section 4.5.3.2.7.
    """

    recipients: int = 1000
    errors: int = 20
    sessions: int = 100
    timeout: float = 300.0


class Sessions:
    """Those that there are."""

    def __init__(self) -> None:
        self._running: set[Session] = set()
        self._waiting: list[Deferred[None]] = []

    def __len__(self) -> int:
        return len(self._running)

    def begin(self, session: "Session") -> None:
        """One more."""
        self._running.add(session)

    def ended(self, session: "Session") -> bool:
        """One fewer; False when it was not among them."""
        if session not in self._running:
            return False
        self._running.remove(session)
        if not self._running:
            waiting, self._waiting = self._waiting, []
            for one in waiting:
                one.callback(None)
        return True

    def shut_down(self) -> None:
        """End them all, each after the reply to the message that it is handing in."""
        for session in tuple(self._running):
            session.shut_down()

    async def all_ended(self) -> None:
        """Wait until there are none."""
        if self._running:
            waiting: Deferred[None] = Deferred()
            self._waiting.append(waiting)
            await waiting


class Session(smtp.ESMTP):
    """
    Reads what a client sends, in order.

    :param sessions: those that there are; this one adds and removes itself.
    """

    transport: Any  # TCP, TLS or UNIX: whatever the endpoint makes

    def __init__(self, clock: IReactorTime, limits: Limits, sessions: Sessions, maillog: MailLog | None) -> None:
        super().__init__()
        self.client = Client("")
        self.limits = limits
        self._clock = clock
        self._sessions = sessions
        self._maillog = maillog
        self._input = b""
        self._reading = False
        self._waiting = False
        self._closing = False
        self._lost = False
        self._errors = 0
        self._abort: IDelayedCall | None = None

    @abstractmethod
    def take_content(self, data: bytes) -> bytes:
        """
        Take bytes while ``mode`` is ``DATA``.

        :return: what lies behind the end of the content, if that has come.
        """

    @abstractmethod
    def forget_message(self) -> None:
        """No message is being handed in any more."""

    def connectionMade(self) -> None:
        """Greet, or turn away when there are too many."""
        self.client = client_of(self)
        self.timeout = self.limits.timeout  # type: ignore[assignment]
        if len(self._sessions) >= self.limits.sessions:
            self.end(421, "4.3.2 Error: too many connections")
            return
        self._sessions.begin(self)
        self.log(f"connect from {self.client.name}")
        super().connectionMade()

    def greeting(self) -> bytes:
        """The text behind 220."""
        return bytes(self.host) + b" ESMTP smtpclient"

    def dataReceived(self, data: bytes) -> None:
        """Take bytes of any kind."""
        if not self._waiting:
            self.resetTimeout()
        self._input += data
        self._read()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Forget an unfinished message; one that is being queued gets there."""
        super().connectionLost(reason)
        if self._abort is not None and self._abort.active():
            self._abort.cancel()
        self._lost = True
        self.forget_message()
        if self._sessions.ended(self):
            self.log(f"disconnect from {self.client.name}")

    def timeoutConnection(self) -> None:
        """Give up on a client that says nothing."""
        self.end(421, f"4.4.2 {bytes(self.host).decode()} Error: timeout exceeded")

    def callLater(self, period: float, func: Callable[[], None]) -> IDelayedCall:
        """Time is the factory's."""
        return self._clock.callLater(period, func)

    def shut_down(self) -> None:
        """End the session as soon as nothing is being waited for."""
        self._closing = True
        if not self._waiting:
            self.end(421, "4.3.2 Service shutting down")

    def sendCode(self, code: int, message: bytes = b"") -> None:
        """Reply; a client that earns too many errors is done."""
        super().sendCode(code, message)
        if code >= 500:
            self._errors += 1
            if self._errors == self.limits.errors:
                self.end(421, "4.7.0 Error: too many errors")

    def reply(self, code: int, text: str) -> None:
        """Reply in one line."""
        self.sendCode(code, text.encode("ascii", "replace"))

    def end(self, code: int, text: str) -> None:
        """Reply and close, also on a client that does not read what we send."""
        self.reply(code, text)
        self.setTimeout(None)
        self.transport.loseConnection()
        if self._abort is None:
            self._abort = self.callLater(GRACE, self.transport.abortConnection)

    def log(self, text: str, queue_id: str = "") -> None:
        """Say something in the mail log."""
        if self._maillog is not None:
            self._maillog.info("smtpd", text, queue_id)

    def wait(self) -> None:
        """A reply will come later; until then nothing is read."""
        self._waiting = True
        self.setTimeout(None)
        self.transport.pauseProducing()

    def reply_at_last(self, code: int, text: str) -> None:
        """The reply has come; go on with what the client sent meanwhile, if it is still there."""
        self._waiting = False
        if self._lost:
            return
        self.reply(code, text)
        if self._closing:
            self.end(421, "4.3.2 Service shutting down")
            return
        self.setTimeout(self.timeout)
        self.transport.resumeProducing()
        self._read()

    @property
    def unread(self) -> bool:
        """Whether the client has sent more than the command that is being obeyed."""
        return bool(self._input)

    def _read(self) -> None:
        if self._reading:
            return
        self._reading = True
        try:
            while self._input and not self._waiting and not self.transport.disconnecting:
                if self.mode == smtp.DATA:
                    data, self._input = self._input, b""
                    self._input = self.take_content(data)
                elif not self._line():
                    break
        finally:
            self._reading = False

    def _line(self) -> bool:
        """Take one line; False when there is no whole one."""
        line, end, rest = self._input.partition(b"\n")
        if len(line) > LONGEST_LINE:
            # Its rest must not be taken for commands.
            self.end(500, "5.5.2 Error: line too long")
            return False
        if not end:
            return False
        self._input = rest
        if line.endswith(b"\r"):
            self.lineReceived(line[:-1])
        else:
            self.reply(500, "5.5.2 Error: bare <LF> received")
        return True

    def state_COMMAND(self, line: bytes) -> None:
        """Obey one command."""
        if line.upper().startswith(_OTHER_PROTOCOLS):
            # A browser that was tricked into speaking to us would go on with commands of somebody's choice.
            self.end(521, "5.7.0 Error: this is SMTP")
            return
        try:
            super().state_COMMAND(line)
        except Refused as refused:
            self.reply(refused.code, refused.text)

    def lookupMethod(self, command: bytes) -> Callable[[bytes], None] | None:
        """What obeys a command; None: nothing does."""
        return super().lookupMethod(command) if command.isalnum() else None

    def sendSyntaxError(self) -> None:
        """An empty line."""
        self.reply(500, "5.5.2 Error: bad syntax")

    def do_UNKNOWN(self, rest: bytes) -> None:
        """Any other verb."""
        self.reply(500, "5.5.2 Error: command not recognized")
