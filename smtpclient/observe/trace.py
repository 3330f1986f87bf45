"""
The dialogue line by line: into the log for hosts on ``debug_peer_list``, into memory for the postmaster.

Both are :class:`smtpclient.smtp.channel.Trace`. A transcript is bounded in lines and in the length of each, for the
server decides how much there is to remember.
"""

from collections.abc import Callable, Sequence

from smtpclient.mail.outcome import Peer
from smtpclient.observe.maillog import MailLog, printable
from smtpclient.smtp.reply import Reply, Trace

TRANSCRIPT_LINES = 1000
LINE_LENGTH = 2048


class DebugTrace:
    """
    Logs ``> host[address]:port: command`` and ``< host[address]:port: reply line``.

    :param seconds: a clock: then ``= host[address]:port: reply after 0.012 s`` follows each reply, counted from the
        last thing that was said on either side; None: the times are not logged.
    """

    def __init__(self, maillog: MailLog, peer: Peer, seconds: Callable[[], float] | None = None) -> None:
        self._maillog = maillog
        self._peer = peer
        self._seconds = seconds
        self._since = seconds() if seconds is not None else 0.0

    def sent(self, line: str) -> None:
        """Log a command."""
        if self._seconds is not None:
            self._since = self._seconds()
        self._maillog.info("smtp", f"> {self._peer}: {line}")

    def received(self, reply: Reply) -> None:
        """Log a reply, line by line."""
        for line in reply.text.split("\n"):
            self._maillog.info("smtp", f"< {self._peer}: {line}")
        if self._seconds is not None:
            now = self._seconds()
            self._maillog.info("smtp", f"= {self._peer}: reply after {max(now - self._since, 0.0):.3f} s")
            self._since = now


class Transcript:
    """Remembers a session as ``Out: command`` and ``In:  reply line``."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def _remember(self, line: str) -> None:
        if len(self.lines) < TRANSCRIPT_LINES:
            self.lines.append(printable(line[:LINE_LENGTH]))

    def sent(self, line: str) -> None:
        """Remember a command."""
        self._remember("Out: " + line)

    def received(self, reply: Reply) -> None:
        """Remember a reply, line by line."""
        for line in reply.text.split("\n"):
            self._remember("In:  " + line)


class Traces:
    """Several traces as one."""

    def __init__(self, traces: Sequence[Trace]) -> None:
        self._traces = tuple(traces)

    def sent(self, line: str) -> None:
        """Hand on a command."""
        for trace in self._traces:
            trace.sent(line)

    def received(self, reply: Reply) -> None:
        """Hand on a reply."""
        for trace in self._traces:
            trace.received(reply)
