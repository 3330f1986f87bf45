"""The channel: replies, time limits, back pressure and ends."""

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.error import ConnectionLost as TransportLost
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from smtpclient.smtp.channel import (
    CLOSING_LIMIT,
    PATIENCE,
    UNREAD_LIMIT,
    Channel,
    ConnectionLost,
    ProtocolBroken,
    SessionOver,
    TimedOut,
)
from smtpclient.smtp.deadline import GRACE
from smtpclient.smtp.reply import REPLY_LIMIT, Reply

LIMIT = 30.0


class Transport(StringTransport):
    """Remembers how it was closed; tells the protocol when the test says so."""

    aborted = False
    no_delay = False

    def abortConnection(self) -> None:
        """Drop."""
        self.aborted = True
        super().abortConnection()

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Switch Nagle's algorithm off."""
        self.no_delay = enabled


class Recorder:
    """A trace."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def sent(self, line: str) -> None:
        """A command."""
        self.lines.append("> " + line)

    def received(self, reply: Reply) -> None:
        """A reply."""
        self.lines.append("< " + reply.text)


class ChannelTestCase(SynchronousTestCase):
    """A channel on a transport in memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.transport = Transport()
        self.channel = Channel(self.clock)
        self.channel.makeConnection(self.transport)

    def start(self, coroutine: Coroutine[Deferred[Any], Any, Any]) -> "Deferred[Any]":
        """Let a coroutine go as far as it can."""
        return Deferred.fromCoroutine(coroutine)

    def read(self, limit: float = LIMIT) -> "Deferred[Reply]":
        """Begin to wait for a reply."""
        return self.start(self.channel.reply(limit))

    def lose(self, why: Exception | None = None) -> None:
        """The connection ends."""
        self.channel.connectionLost(Failure(why or ConnectionDone()))

    def assert_dropped(self) -> None:
        """The socket was aborted, and no timer is left."""
        self.assertTrue(self.transport.aborted)
        self.assertTrue(self.channel.over)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class Replies(ChannelTestCase):
    """One reply at a time."""

    def test_waits(self) -> None:
        """A reply that has not arrived is waited for."""
        reading = self.read()
        self.assertNoResult(reading)
        self.channel.dataReceived(b"250 O")
        self.assertNoResult(reading)
        self.channel.dataReceived(b"k\r\n")
        self.assertEqual(self.successResultOf(reading), Reply(250, "250 Ok"))

    def test_keeps_what_came_early(self) -> None:
        """Replies that arrive together are read one by one, in their order."""
        self.channel.dataReceived(b"250 a\r\n251 b\r\n252 c\r\n")
        self.assertEqual([self.successResultOf(self.read()).code for _ in range(3)], [250, 251, 252])

    def test_reply_before_the_end_is_heard(self) -> None:
        """What arrived before the connection died is still read; then the end is told, as often as one asks."""
        self.channel.dataReceived(b"421 bye\r\n")
        self.lose()
        self.assertEqual(self.successResultOf(self.read()).code, 421)
        for _ in range(2):
            self.failureResultOf(self.read(), ConnectionLost)

    def test_end_while_waiting(self) -> None:
        """A connection that dies under a reader raises, and leaves no timer."""
        reading = self.read()
        self.lose(TransportLost())
        self.failureResultOf(reading, ConnectionLost)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_garbage_is_counted(self) -> None:
        """The lines that were no replies are known when the session ends."""
        self.channel.dataReceived(b"x\r\ny\r\n250 a\r\nz\r\n250 b\r\n")
        self.successResultOf(self.read())
        self.successResultOf(self.read())
        self.assertEqual(self.channel.garbage, 3)

    def test_usable(self) -> None:
        """A channel on which anything unasked has arrived, even half a line, is not fit for the next message."""
        self.assertTrue(self.channel.usable)
        self.channel.dataReceived(b"2")
        self.assertFalse(self.channel.usable)
        self.channel.dataReceived(b"50 a\r\n")
        self.assertEqual((self.channel.usable, self.channel.has_reply), (False, True))
        self.successResultOf(self.read())
        self.assertEqual((self.channel.usable, self.channel.has_reply), (True, False))

    def test_drop_unread(self) -> None:
        """Everything that was not read can be told and forgotten."""
        self.channel.dataReceived(b"250 a\r\n250 b\r\n250 c")
        self.assertEqual(self.channel.drop_unread(), "250 a\n250 b\n250 c")
        self.assertTrue(self.channel.usable)
        self.assertEqual(self.channel.drop_unread(), "")

    def test_trace(self) -> None:
        """A trace sees each command of a batch, and each reply as it is read."""
        self.channel.trace = trace = Recorder()
        self.channel.command(b"MAIL FROM:<a>\r\nRCPT TO:<\xe9>\r\n")
        self.channel.dataReceived(b"250-a\r\n250 b\r\n550 no\r\n")
        self.successResultOf(self.read())
        self.assertEqual(trace.lines, ["> MAIL FROM:<a>", "> RCPT TO:<\udce9>", "< 250-a\n250 b"])
        self.assertEqual(self.transport.value(), b"MAIL FROM:<a>\r\nRCPT TO:<\xe9>\r\n")


class TimeLimits(ChannelTestCase):
    """How long one waits."""

    def test_at_the_limit(self) -> None:
        """The wait ends at the limit, not before, and the connection is dropped."""
        reading = self.read()
        self.clock.advance(LIMIT - 0.001)
        self.assertNoResult(reading)
        self.clock.advance(0.001)
        self.failureResultOf(reading, TimedOut)
        self.assert_dropped()

    def test_begins_with_the_wait(self) -> None:
        """Time in which nobody waits does not count."""
        self.clock.advance(10 * LIMIT)
        reading = self.read()
        self.clock.advance(LIMIT - 0.001)
        self.channel.dataReceived(b"250 ok\r\n")
        self.successResultOf(reading)
        self.clock.advance(10 * LIMIT)
        self.assertFalse(self.channel.over)

    def test_after_a_standstill(self) -> None:
        """What a server has said while this process stood still, or while the clock was set, is read before the end."""
        reading = self.read()
        self.clock.advance(LIMIT + 3600)
        self.assertNoResult(reading)
        self.channel.dataReceived(b"250 ok\r\n")
        self.successResultOf(reading)
        reading = self.read()
        self.clock.advance(LIMIT + 3600)
        self.clock.advance(min(GRACE, LIMIT))
        self.failureResultOf(reading, TimedOut)
        self.assert_dropped()

    def test_each_line_begins_it_anew(self) -> None:
        """A server that sends line after line of one reply, each in time, is waited for."""
        reading = self.read()
        for _ in range(PATIENCE - 2):
            self.clock.advance(LIMIT - 1)
            self.channel.dataReceived(b"250-still here\r\n")
        self.clock.advance(LIMIT - 1)
        self.channel.dataReceived(b"250 done\r\n")
        self.successResultOf(reading)

    def test_not_for_ever(self) -> None:
        """After ten limits, lines in time or not, the wait is over: also for a server that sends no codes at all."""
        for line in (b"250-still here\r\n", b"no code\r\n"):
            self.setUp()
            reading, waited = self.read(), 0.0
            while not self.channel.over:
                self.clock.advance(1.0)
                waited += 1.0
                self.channel.dataReceived(line)
            self.failureResultOf(reading, TimedOut)
            self.assertEqual(waited, PATIENCE * LIMIT)
            self.assert_dropped()

    def test_a_byte_a_second(self) -> None:
        """Bytes that end no line buy no time."""
        reading = self.read()
        for _ in range(int(LIMIT)):
            self.channel.dataReceived(b"2")
            self.clock.advance(1.0)
        self.failureResultOf(reading, TimedOut)

    def test_one_timer(self) -> None:
        """Any number of waits use one DelayedCall, which is never reset."""
        resets = []
        for number in range(50):
            reading = self.read(LIMIT + number)
            [timer] = self.clock.getDelayedCalls()
            self.patch(timer, "reset", resets.append)
            self.clock.advance(1.0)
            self.channel.dataReceived(b"250 ok\r\n")
            self.successResultOf(reading)
        self.assertEqual((len(self.clock.getDelayedCalls()), resets), (1, []))

    def test_shorter_limit_after_a_longer_one(self) -> None:
        """A limit that is shorter than the one before it is kept."""
        self.channel.dataReceived(b"250 ok\r\n")
        reading = self.read(600.0)
        self.successResultOf(reading)
        reading = self.read(600.0)
        self.channel.dataReceived(b"250 ok\r\n")
        self.successResultOf(reading)
        reading = self.read(20.0)
        self.clock.advance(20.0)
        self.failureResultOf(reading, TimedOut)
        self.assert_dropped()


class Limits(ChannelTestCase):
    """What a server may send."""

    def test_reply_without_end(self) -> None:
        """A reply of a gigabyte ends the session after a megabyte."""
        reading = self.read()
        sent = 0
        while not self.channel.over:
            self.channel.dataReceived(b"x" * 65536)
            sent += 65536
        self.failureResultOf(reading, ProtocolBroken)
        self.assertLessEqual(sent, REPLY_LIMIT + 65536)
        self.assert_dropped()

    def test_reply_before_the_endless_one(self) -> None:
        """What was said before it is heard."""
        reading = self.read()
        self.channel.dataReceived(b"550 no\r\n" + b"x" * 2 * REPLY_LIMIT)
        self.assertEqual(self.successResultOf(reading).code, 550)
        self.failureResultOf(self.read(), ProtocolBroken)

    def test_replies_nobody_asked_for(self) -> None:
        """More than a few replies that nobody reads end the session."""
        self.channel.dataReceived(b"250 ok\r\n" * UNREAD_LIMIT)
        self.assertFalse(self.channel.over)
        self.channel.dataReceived(b"250 ok\r\n")
        self.assert_dropped()

    def test_many_replies_that_were_asked_for(self) -> None:
        """The replies to a thousand pipelined commands may come in one piece."""

        async def read_all() -> list[int]:
            return [(await self.channel.reply(LIMIT)).code for _ in range(1000)]

        reading = self.start(read_all())
        self.channel.dataReceived(b"250 ok\r\n" * 1000)
        self.assertEqual(self.successResultOf(reading), [250] * 1000)
        self.assertFalse(self.channel.over)

    def test_nothing_is_taken_after_the_end(self) -> None:
        """Bytes that come after a time-out are not looked at."""
        reading = self.read()
        self.clock.advance(LIMIT)
        self.failureResultOf(reading, TimedOut)
        self.channel.dataReceived(b"250 late\r\n")
        self.assertFalse(self.channel.has_reply)


class Idle(ChannelTestCase):
    """A channel that nobody reads from."""

    def setUp(self) -> None:
        super().setUp()
        self.heard: list[str] = []

    def listen(self) -> None:
        """Ask to be told."""
        self.channel.on_idle_input = lambda: self.heard.append("over" if self.channel.over else "input")

    def test_input(self) -> None:
        """Whatever arrives is told, be it half a line."""
        self.listen()
        self.channel.dataReceived(b"4")
        self.assertEqual(self.heard, ["input"])

    def test_end(self) -> None:
        """The end is told."""
        self.listen()
        self.lose()
        self.assertEqual(self.heard, ["over"])

    def test_endless_reply(self) -> None:
        """So is the end that a broken server forces."""
        self.listen()
        self.channel.dataReceived(b"x" * 2 * REPLY_LIMIT)
        self.assertEqual(self.heard, ["over"])

    def test_not_while_someone_reads(self) -> None:
        """A reply that somebody waits for is no idle input, nor is an end that somebody waits through."""
        self.listen()
        reading = self.read()
        self.channel.dataReceived(b"250 ok\r\n")
        self.successResultOf(reading)
        reading = self.read()
        self.lose()
        self.failureResultOf(reading, SessionOver)
        self.assertEqual(self.heard, [])

    def test_not_the_bytes_that_ended_the_last_use(self) -> None:
        """Whoever reads its last reply and then leaves the channel idle is not told of that reply."""

        async def use() -> None:
            await self.channel.reply(LIMIT)
            self.listen()

        using = self.start(use())
        self.channel.dataReceived(b"250 queued\r\n")
        self.successResultOf(using)
        self.assertEqual(self.heard, [])


class Content(ChannelTestCase):
    """Blocks of content, at the pace of the server."""

    def send(self, data: bytes = b"block", limit: float = LIMIT) -> "Deferred[None]":
        """Begin to send a block."""
        return self.start(self.channel.content(data, limit))

    def test_no_pressure(self) -> None:
        """While the transport takes what it gets, blocks follow each other."""
        self.channel.begin_content()
        for _ in range(3):
            self.successResultOf(self.send())
        self.channel.end_content()
        self.assertEqual((self.transport.value(), self.transport.producer), (b"block" * 3, None))

    def test_the_channel_is_the_producer(self) -> None:
        """The transport tells the channel when it has enough of what was not taken at once, as a push producer."""
        verifyObject(IPushProducer, self.channel)
        self.channel.begin_content()
        self.successResultOf(self.send())
        self.assertEqual((self.transport.producer, self.transport.streaming), (self.channel, True))

    def test_pressure(self) -> None:
        """When the transport has enough, the block after it waits until the transport wants more."""
        self.channel.begin_content()
        self.channel.pauseProducing()
        sending = self.send()
        self.assertNoResult(sending)
        self.assertTrue(self.channel.full)
        self.channel.resumeProducing()
        self.successResultOf(sending)
        self.assertFalse(self.channel.full)

    def test_server_stops_reading(self) -> None:
        """When nothing is taken for the limit, the connection is dropped."""
        self.channel.begin_content()
        self.channel.pauseProducing()
        sending = self.send()
        self.clock.advance(LIMIT)
        self.failureResultOf(sending, TimedOut)
        self.assert_dropped()

    def test_lines_buy_no_time(self) -> None:
        """A server that talks and does not read stands still all the same."""
        self.channel.begin_content()
        self.channel.pauseProducing()
        sending = self.send()
        for _ in range(int(LIMIT)):
            self.channel.dataReceived(b"250-patience\r\n")
            self.clock.advance(1.0)
        self.failureResultOf(sending, TimedOut)

    def test_reply_ends_the_wait(self) -> None:
        """A server that has said something is heard, whether it reads on or not."""
        self.channel.begin_content()
        self.channel.pauseProducing()
        sending = self.send()
        self.channel.dataReceived(b"452 full\r\n")
        self.successResultOf(sending)
        self.assertEqual((self.channel.full, self.channel.has_reply), (True, True))

    def test_end(self) -> None:
        """A connection that dies under a waiting block raises, and so does the next block."""
        self.channel.begin_content()
        self.channel.pauseProducing()
        sending = self.send()
        self.channel.stopProducing()
        self.assertNoResult(sending)
        self.lose(TransportLost())
        self.failureResultOf(sending, ConnectionLost)
        self.failureResultOf(self.send(), ConnectionLost)

    def test_after_the_end(self) -> None:
        """To begin or end content on a dead connection does nothing."""
        self.lose()
        self.channel.begin_content()
        self.channel.end_content()
        self.assertIsNone(self.transport.producer)


class Ends(ChannelTestCase):
    """Every way to end."""

    def test_abort(self) -> None:
        """A channel that is aborted under a reader tells it, and leaves neither socket nor timer."""
        reading = self.read()
        self.channel.abort()
        self.failureResultOf(reading, ConnectionLost)
        self.assert_dropped()
        self.lose(TransportLost())

    def test_cancelled_reader(self) -> None:
        """A reader that is cancelled drops the connection: its replies would be taken for someone else's."""
        reading = self.read()
        reading.cancel()
        self.failureResultOf(reading, CancelledError)
        self.assert_dropped()
        self.lose()

    def test_forgotten_reader(self) -> None:
        """So does one that is thrown away; nobody wakes what is no more."""
        reading = self.channel.reply(LIMIT)
        reading.send(None)
        reading.close()
        self.assert_dropped()
        self.lose()

    def test_cancelled_content(self) -> None:
        """So does a cancelled block."""
        self.channel.begin_content()
        self.channel.pauseProducing()
        sending = self.start(self.channel.content(b"x", LIMIT))
        sending.cancel()
        self.failureResultOf(sending, CancelledError)
        self.assert_dropped()

    def test_close(self) -> None:
        """A polite close waits until the system has taken what was written, and then leaves no timer."""
        self.channel.command(b"QUIT\r\n")
        self.channel.close()
        self.assertEqual((self.transport.disconnecting, self.transport.aborted), (True, False))
        self.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_close_with_last_words(self) -> None:
        """Last words are shown and sent before the polite close; a channel that has ended says none."""
        self.channel.trace = trace = Recorder()
        self.channel.close(b"QUIT\r\n")
        self.channel.close(b"NOOP\r\n")
        self.assertEqual((self.transport.value(), self.transport.disconnecting), (b"QUIT\r\n", True))
        self.assertEqual(trace.lines, ["> QUIT"])
        self.lose()

    def test_close_against_a_server_that_does_not_read(self) -> None:
        """A polite close that comes to no end becomes an abort."""
        self.channel.close()
        self.clock.advance(CLOSING_LIMIT)
        self.assertTrue(self.transport.aborted)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.lose()

    def test_close_twice(self) -> None:
        """A channel that has ended is not closed again."""
        self.channel.abort()
        self.channel.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_who_ended_it(self) -> None:
        """A connection that we have ended is not lost; one that ended otherwise, or was given up, is."""
        found = {}
        ends: dict[str, Callable[[Channel], object]] = {
            "stands": lambda channel: None,
            "aborted": Channel.abort,
            "closed": Channel.close,
            "lost": lambda channel: channel.connectionLost(Failure(TransportLost())),
            "endless reply": lambda channel: channel.dataReceived(b"x" * 2 * REPLY_LIMIT),
        }
        for name, end in ends.items():
            self.setUp()
            end(self.channel)
            found[name] = (self.channel.over, self.channel.is_lost)
        self.assertEqual(
            found,
            {
                "stands": (False, False),
                "aborted": (True, False),
                "closed": (True, False),
                "lost": (True, True),
                "endless reply": (True, True),
            },
        )

    def test_gone(self) -> None:
        """One can wait until the socket is closed; where it is already, there is nothing to wait for."""
        self.channel.close()
        going = self.start(self.channel.gone())
        self.assertNoResult(going)
        self.lose()
        self.successResultOf(going)
        self.successResultOf(self.start(self.channel.gone()))

    def test_write_after_the_end(self) -> None:
        """What is written into a dead connection goes nowhere, and raises nothing."""
        self.lose()
        self.channel.command(b"QUIT\r\n")
        self.assertEqual(self.transport.value(), b"")

    def test_no_delay(self) -> None:
        """Small writes are sent at once; a transport that knows no such thing is taken as it is."""
        self.assertTrue(self.transport.no_delay)
        Channel(self.clock).makeConnection(StringTransport())
