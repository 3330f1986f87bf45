"""
One connection to a server: command lines out, replies in, one timer.

A :class:`Channel` keeps the replies that have arrived in a queue; whoever talks takes them one at a time with
:meth:`Channel.reply`. So pipelining is only a matter of when one reads, and a reply that arrived before the
connection died is still read. A time limit begins when we begin to wait, and again with each line that arrives.

Promises:

* a dead connection, a time-out and a broken protocol are exceptions (:class:`SessionOver`), after which the socket
  is gone: it is aborted, never closed politely towards a peer that does not read. So is one whose reader is cancelled;
* one ``DelayedCall`` a connection, and none that is ever reset to an earlier time;
* what a server may send without being asked is bounded: beyond ``UNREAD_LIMIT`` replies the connection ends;
* TLS never begins while something that came in clear text is unread: it could be taken for something said inside.

Does not: know SMTP. What to say and what a reply means is for the dialogue above.

Known limits: progress of content is seen when the transport has handed all it holds to the system. A server that takes
less than that, 64 KiB and a block, in the time limit counts as one that stands still.
"""

from collections import deque
from collections.abc import Callable
from typing import NoReturn, cast

from OpenSSL.SSL import Connection
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IConsumer,
    IHandshakeListener,
    IOpenSSLClientConnectionCreator,
    IPushProducer,
    IReactorTime,
    IReadDescriptor,
    ISystemHandle,
    ITCPTransport,
    ITLSTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from smtpclient.smtp.deadline import Deadline, Pace
from smtpclient.smtp.prompt import Prompt, Unhurried, prompt
from smtpclient.smtp.reply import Reply, ReplyParser, ReplyTooLong, Trace

UNREAD_LIMIT = 10
PATIENCE = 10  # so many limits may a reply take in all whose lines each come in time
# How long a polite close may take, seconds: a server that does not read would keep the socket.
CLOSING_LIMIT = 10.0


class SessionOver(Exception):
    """This connection is of no more use."""


class ConnectionLost(SessionOver):
    """The server, or the network, ended the connection."""


class ClosedByUs(ConnectionLost):
    """We have ended the connection."""


class TimedOut(SessionOver):
    """The server took longer than its stage allows."""


class ProtocolBroken(SessionOver):
    """The server sent what no client should listen to."""


@implementer(IPushProducer, IHandshakeListener)
class Channel(Protocol):
    """
    A connection as the dialogue sees it.

    :param clock: where time-outs come from.
    :ivar trace: sees every line, if it is not None.
    :ivar pace: where it is not None, a time limit counts for a whole request or reply.
    :ivar conceal: takes out of a reply what nobody may see, if it is not None.
    :ivar garbage: how many lines that were no replies have been read.
    :ivar on_idle_input: called when something happens while nobody waits for it: bytes, or the end.
    """

    transport: ITCPTransport
    _out: Prompt | Unhurried

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._parser = ReplyParser()
        self._replies: deque[Reply] = deque()
        self._over: SessionOver | None = None
        self._waiter: Deferred[None] | None = None
        self._gone: Deferred[None] | None = None
        self._connected = self._paused = self._secure = False
        self._is_paced = False  # the transport tells when it has enough
        self._deadline = Deadline(clock, self._too_late)
        self.trace: Trace | None = None
        self.pace: Pace | None = None
        self.conceal: Callable[[Reply], Reply] | None = None
        self.garbage = 0
        self.on_idle_input: Callable[[], None] | None = None

    # -- what Twisted calls ---------------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        """Send small writes at once: a command that waits for an acknowledgement costs 40 ms."""
        self._connected = True
        self._out = prompt(self.transport)
        set_no_delay = getattr(self.transport, "setTcpNoDelay", None)  # a UNIX socket has none
        if set_no_delay is not None:
            set_no_delay(True)

    def dataReceived(self, data: bytes) -> None:
        """Take bytes from the server."""
        if self._over is not None:
            return
        # Whoever is woken below may leave the channel idle for its next user: what came now was not meant for that.
        on_idle_input = self.on_idle_input if self._waiter is None else None
        try:
            replies, lines = self._parser.feed(data)
        except ReplyTooLong as why:
            self._replies.extend(why.replies)
            self._end(ProtocolBroken("sent a reply without end"))
        else:
            if replies:
                self._replies.extend(replies)
                self._wake()
            elif lines:
                self._deadline.extend()
            # Whoever reads has read as much as it asked for.
            if len(self._replies) > UNREAD_LIMIT:
                self._end(ProtocolBroken("sent replies that nobody asked for"))
        if on_idle_input is not None:
            on_idle_input()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Note the end; replies that arrived before it can still be read."""
        self._connected = False
        self._deadline.stop()
        on_idle_input = self.on_idle_input if self._waiter is None else None
        if self._over is None:
            self._over = ConnectionLost("closed" if reason.check(ConnectionDone) else reason.getErrorMessage())
            self._over.__cause__ = reason.value
        self._wake()
        if on_idle_input is not None:
            on_idle_input()
        gone, self._gone = self._gone, None
        if gone is not None:
            gone.callback(None)

    def handshakeCompleted(self) -> None:
        """TLS stands."""
        self._secure = True
        self._wake()

    def pauseProducing(self) -> None:
        """The transport has enough to send."""
        self._paused = True

    def resumeProducing(self) -> None:
        """The transport has sent what it had."""
        self._paused = False
        self._wake()

    def stopProducing(self) -> None:
        """The transport will send no more; ``connectionLost`` follows."""

    # -- what the dialogue calls ----------------------------------------------------------------------------------

    @property
    def usable(self) -> bool:
        """Whether the connection stands, and the server has said nothing that was not asked for."""
        return self._over is None and not self._replies and self._parser.idle

    @property
    def over(self) -> bool:
        """Whether the connection has ended."""
        return self._over is not None

    @property
    def is_lost(self) -> bool:
        """Whether the connection has ended, or was given up, without our wish."""
        return self._over is not None and not isinstance(self._over, ClosedByUs)

    @property
    def has_reply(self) -> bool:
        """Whether a reply waits to be read."""
        return bool(self._replies)

    @property
    def full(self) -> bool:
        """Whether the end of the content that was written has not left us."""
        return self._paused

    def write(self, data: bytes) -> None:
        """Send bytes; into a connection that has ended they go nowhere, and the next :meth:`reply` says so."""
        if self._over is None:
            self._out.write(data)

    def command(self, lines: bytes, shown: str = "") -> None:
        """
        Send one or more command lines in one segment.

        :param shown: what is seen of them, where that is not all.
        """
        self._show(lines, shown)
        self.write(lines)

    def _show(self, lines: bytes, shown: str = "") -> None:
        if self.trace is not None:
            for line in [shown] if shown else lines.decode("utf-8", "surrogateescape").split("\r\n")[:-1]:
                self.trace.sent(line)

    async def reply(self, limit: float) -> Reply:
        """
        The next reply.

        :param limit: how long to wait for it, and for each further line of it, in seconds.
        :raises SessionOver: when there is none to come.
        """
        if not self._replies:
            self._raise_if_over()
            self._deadline.begin(limit, PATIENCE if self.pace is None else 1)
            while not self._replies:
                await self._event()
            self._deadline.end()
        return cast(Reply, self.at_hand())

    def at_hand(self) -> Reply | None:
        """The next reply, if it has arrived."""
        if not self._replies:
            return None
        reply = self._replies.popleft()
        if reply.garbage:
            self.garbage += reply.garbage
        if self.conceal is not None:
            reply = self.conceal(reply)
        if self.trace is not None:
            self.trace.received(reply)
        return reply

    async def content(self, data: bytes, limit: float) -> None:
        """
        Send a block of content; return when there is room for the next, or a reply has arrived.

        :param limit: how long the server may take nothing, in seconds.
        :raises SessionOver: when the connection ended, or stood still for too long.
        """
        self._raise_if_over()
        rest = self._out.offer(data)
        if rest:
            self._write_at_its_pace(rest)
        allowed = limit if self.pace is None else self.pace.allowance(limit, len(data))
        if self._paused:
            began = self._clock.seconds()
            self._deadline.begin(allowed)
            while self._paused and not self._replies:
                await self._event()
            self._deadline.end()
            if self.pace is not None:
                self.pace.spent(self._clock.seconds() - began)

    def replace_lines(self, replace: Callable[[str], str | None]) -> None:
        """Read what this gives in place of a line of a reply, where it gives anything."""
        self._parser.replace = replace

    def drop_unread(self) -> str:
        """Forget everything that has arrived and was not read; what that was, for the operator."""
        texts = [reply.text for reply in self._replies]
        self._replies.clear()
        rest = self._parser.drop()
        return "\n".join([*texts, rest] if rest else texts)

    async def start_tls(self, creator: IOpenSSLClientConnectionCreator, limit: float) -> None:
        """
        Do the TLS handshake. From here on everything goes through it.

        :param creator: makes the connection; judging the server's certificate is the caller's part.
        :param limit: how long the handshake may take, in seconds.
        :raises ProtocolBroken: when something that came in clear text is unread.
        :raises SessionOver: when TLS does not come about; the reason is its cause.
        """
        self._raise_if_over()
        if not self.usable:
            self._end(ProtocolBroken("sent plaintext where TLS was to begin"))
            self._raise_if_over()
        self._deadline.begin(limit)
        cast(ITLSTransport, self.transport).startTLS(creator)
        while not self._secure:
            await self._event()
        self._deadline.end()

    @property
    def tls(self) -> Connection:
        """The TLS connection, when the handshake is over and the end has not come."""
        return cast(Connection, cast(ISystemHandle, self.transport).getHandle())

    def begin_content(self) -> None:
        """From here on :meth:`content` is sent, at the pace at which the server takes it."""
        self._paused = False
        if self.pace is not None:
            self.pace.begin()

    def end_content(self) -> None:
        """The content is all written."""
        if self._is_paced and self._over is None:
            cast(IConsumer, self.transport).unregisterProducer()
        self._is_paced = False

    def _write_at_its_pace(self, data: bytes) -> None:
        """Write what the system did not take at once; the transport tells when it has enough of it."""
        if not self._is_paced:
            self._is_paced = True
            cast(IConsumer, self.transport).registerProducer(self, True)
        self._out.write(data)

    def abort(self) -> None:
        """Drop the connection without another word."""
        self._end(ClosedByUs("dropped"))

    def break_off(self, why: str) -> NoReturn:
        """
        Drop the connection because of what the server has said, with all that it has said after that.

        :param why: what it did, in words that follow its name.
        :raises ProtocolBroken: always.
        """
        broken = ProtocolBroken(why)
        self._replies.clear()
        self._end(broken)
        raise broken

    def close(self, last: bytes = b"") -> None:
        """
        Close the connection when what was written has gone out, at once if it has; what is still said is not read.

        After ``CLOSING_LIMIT`` seconds what was not taken is dropped.

        :param last: a command line to go out before.
        """
        if self._over is not None:
            return
        self._over = ClosedByUs("closed by us")
        if last:
            self._show(last)
            if not (rest := self._out.offer(last)):  # the system has all that was ever written: nothing has to wait
                cast(IReadDescriptor, self.transport).connectionLost(connectionDone)
                return
            self._out.write(rest)
        self._deadline.begin(CLOSING_LIMIT)
        self.transport.loseConnection()

    async def gone(self) -> None:
        """Return when the socket is closed, after :meth:`close` or :meth:`abort`; for one caller."""
        if self._connected:
            self._gone = Deferred()
            await self._gone

    # -- waiting --------------------------------------------------------------------------------------------------

    async def _event(self) -> None:
        """
        Wait for anything to happen.

        :raises SessionOver: when nothing will.
        """
        self._raise_if_over()
        waiter = self._waiter = Deferred()
        try:
            await waiter
        except BaseException:
            # Whoever waited was cancelled. The replies to what it has sent would be taken for someone else's.
            self._waiter = None
            self.abort()
            raise

    def _raise_if_over(self) -> None:
        if self._over is not None:
            raise self._over.with_traceback(None)

    def _too_late(self) -> None:
        if self._over is None:
            self._end(TimedOut())
        else:
            self.transport.abortConnection()  # it was to be closed politely

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.callback(None)

    def _end(self, why: SessionOver) -> None:
        if self._over is None:
            self._over = why
            self._deadline.stop()
            self.transport.abortConnection()
            self._wake()
