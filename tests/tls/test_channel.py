"""Where TLS begins on a channel: nothing that came in clear text is left over."""

from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.smtp.channel import Channel, ProtocolBroken, TimedOut
from smtpclient.tls.context import Connecting


class TlsTransport(StringTransport):
    """A transport that notes that TLS begins."""

    tls: Any = None

    def startTLS(self, creator: Any) -> None:
        """Note it."""
        self.tls = creator


class Beginnings(SynchronousTestCase):
    def setUp(self) -> None:
        """A channel on which STARTTLS has been said."""
        self.clock = Clock()
        self.channel = Channel(self.clock)
        self.transport = TlsTransport()
        self.channel.makeConnection(self.transport)
        self.creator = Connecting(SSL.Context(SSL.TLS_CLIENT_METHOD))

    def receive(self, data: bytes) -> None:
        """The reply to STARTTLS, and what comes with it."""
        self.channel.dataReceived(data)
        self.successResultOf(Deferred.fromCoroutine(self.channel.reply(1.0)))

    def begin(self) -> "Deferred[None]":
        """The handshake."""
        return Deferred.fromCoroutine(self.channel.start_tls(self.creator, 5.0))

    def test_nothing_left(self) -> None:
        """TLS begins, and has begun when the handshake is over."""
        self.receive(b"220 go\r\n")
        beginning = self.begin()
        self.assertIs(self.transport.tls, self.creator)
        self.assertNoResult(beginning)
        self.channel.handshakeCompleted()
        self.successResultOf(beginning)
        self.assertLessEqual(len(self.clock.getDelayedCalls()), 1)

    def test_anything_left(self) -> None:
        """With a reply, a line of one, or a single byte unread TLS is refused, and the connection is gone."""
        for rest in (b"250 evil\r\n", b"250-evil\r\n", b"2", b"garbage\r\n250 evil\r\n"):
            self.setUp()
            self.receive(b"220 go\r\n" + rest)
            self.failureResultOf(self.begin(), ProtocolBroken)
            self.assertIsNone(self.transport.tls)
            self.assertTrue(self.channel.over)

    def test_dropped(self) -> None:
        """What is dropped is told, and TLS can begin; it is never read."""
        rows = {
            b"250 evil\r\n": "250 evil",
            b"250-evil\r\n250 SIZE 1\r\n550 no\r\n": "250-evil\n250 SIZE 1\n550 no",
            b"250-evil\r\n25": "250-evil\n25",
            b"2\x00\xff": "2??",
            b"": "",
        }
        found = {}
        for rest in rows:
            self.setUp()
            self.receive(b"220 go\r\n" + rest)
            found[rest] = self.channel.drop_unread()
            beginning = self.begin()
            self.channel.handshakeCompleted()
            self.successResultOf(beginning)
            self.assertFalse(self.channel.has_reply)
        self.assertEqual(found, rows)

    def test_silence(self) -> None:
        """A handshake that does not end is given up in time."""
        self.receive(b"220 go\r\n")
        beginning = self.begin()
        self.clock.pump([4.9])
        self.assertNoResult(beginning)
        self.clock.advance(0.2)
        self.failureResultOf(beginning, TimedOut)
        self.assertTrue(self.transport.disconnecting or self.transport.aborting)

    def test_cancelled(self) -> None:
        """Whoever loses interest leaves no connection behind."""
        self.receive(b"220 go\r\n")
        beginning = self.begin()
        beginning.cancel()
        self.failureResultOf(beginning)
        self.assertTrue(self.channel.over)
