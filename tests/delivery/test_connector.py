"""The connector, on real sockets."""

import errno
import os
import socket

from twisted.internet import error, reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactor
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from smtpclient.config.parameters import Parameters
from smtpclient.delivery.connector import CannotBind, Connector, ConnectorSettings, Shortage, Unreachable
from tests.delivery.socket_world import silent_port
from tests.smtp.scripted_server import Script, ScriptedServer


class Settings(SynchronousTestCase):
    """Settings from the parameters."""

    def test_defaults(self) -> None:
        """The defaults are those of the parameter table: thirty seconds, any local address."""
        self.assertEqual(ConnectorSettings.from_parameters(Parameters.from_values()), ConnectorSettings())
        self.assertEqual(ConnectorSettings().timeout, 30.0)

    def test_everything_can_be_set(self) -> None:
        """Each parameter reaches its field."""
        parameters = Parameters.from_values(
            {
                "smtp_connect_timeout": "5s",
                "smtp_bind_address": "192.0.2.1",
                "smtp_bind_address6": "2001:db8::1",
                "smtp_bind_address_enforce": "yes",
            }
        )
        found = ConnectorSettings.from_parameters(parameters)
        self.assertEqual(found, ConnectorSettings(5.0, "192.0.2.1", "2001:db8::1", True))


class Asked(SynchronousTestCase):
    """What the reactor is asked for."""

    def connect(self, address: str, settings: ConnectorSettings) -> tuple[object, ...]:
        """Begin to connect; give host, port, time limit and local address."""
        memory = MemoryReactor()
        self.connecting = Deferred.fromCoroutine(Connector(memory, Clock(), settings).connect(address, 25))
        [(host, port, self.factory, timeout, bind)] = memory.tcpClients
        [self.connector] = memory.connectors
        return host, port, timeout, bind

    def test_default(self) -> None:
        """Thirty seconds, from any address."""
        self.assertEqual(self.connect("192.0.2.1", ConnectorSettings()), ("192.0.2.1", 25, 30.0, None))

    def test_local_addresses(self) -> None:
        """The local address is that of the family."""
        settings = ConnectorSettings(5.0, "192.0.2.9", "2001:db8::9")
        self.assertEqual(self.connect("192.0.2.1", settings), ("192.0.2.1", 25, 5.0, ("192.0.2.9", 0)))
        self.assertEqual(self.connect("2001:db8::1", settings), ("2001:db8::1", 25, 5.0, ("2001:db8::9", 0)))

    def test_no_limit_of_our_own(self) -> None:
        """With 0 the system's own limit ends the wait long before ours."""
        self.assertEqual(self.connect("192.0.2.1", ConnectorSettings(0.0))[2], 3600.0)

    def test_words(self) -> None:
        """Failures are told in the system's words."""
        table = {
            error.TimeoutError(): "Connection timed out",
            error.TCPTimedOutError(110): "Connection timed out",
            error.ConnectionRefusedError(111): "Connection refused",
            error.NoRouteError(113): "No route to host",
            error.NoRouteError(101): "Network is unreachable",
            error.ConnectBindError(99, "x"): "Cannot assign requested address",
            error.ConnectError(string="something else"): "An error occurred while connecting: something else.",
            RuntimeError(): "RuntimeError",
        }
        found = {}
        for why in table:
            self.connect("192.0.2.1", ConnectorSettings())
            self.factory.clientConnectionFailed(self.connector, Failure(why))
            found[why] = str(self.failureResultOf(self.connecting, Unreachable).value)
        self.assertEqual(found, table)

    def test_shortages(self) -> None:
        """What this machine has no more of is told apart."""
        for number in (errno.EMFILE, errno.ENOBUFS, errno.ENOMEM):
            self.connect("192.0.2.1", ConnectorSettings())
            self.factory.clientConnectionFailed(self.connector, Failure(error.ConnectBindError(number, "x")))
            found = str(self.failureResultOf(self.connecting, Shortage).value)
            self.assertEqual(found, os.strerror(number))

    def test_cancelled(self) -> None:
        """Who no longer wants the connection stops the connecting, and is told of nothing that comes later."""
        self.connect("192.0.2.1", ConnectorSettings())
        self.connecting.cancel()
        self.failureResultOf(self.connecting, CancelledError)
        self.factory.clientConnectionFailed(self.connector, Failure(error.UserError()))
        self.assertTrue(self.connector.stoppedConnecting)


class Sockets(TestCase):
    """Real connections."""

    def connector(self, **settings: object) -> Connector:
        """A connector on the real reactor."""
        return Connector(reactor, reactor, ConnectorSettings(**settings))  # type: ignore[arg-type]

    async def words(self, address: str, port: int, **settings: object) -> str:
        """Why a connection does not come about."""
        try:
            channel = await self.connector(**settings).connect(address, port)
        except Unreachable as why:
            return str(why)
        channel.abort()
        await channel.gone()
        return ""

    async def test_connects(self) -> None:
        """A server that listens is reached, over IPv4 and IPv6, and small writes are sent at once."""
        for address in ("127.0.0.1", "127.9.9.9", "::1"):
            server = ScriptedServer(Script(), reactor)
            try:
                port = server.listen(reactor, address)
            except error.CannotListenError:
                continue  # a machine without IPv6
            channel = await self.connector().connect(address, port)
            self.assertEqual((await channel.reply(5.0)).code, 220)
            self.assertTrue(channel.transport.getTcpNoDelay())
            channel.abort()
            await channel.gone()
            await server.close()

    async def test_local_address(self) -> None:
        """The connection comes from the address that is set."""
        server = ScriptedServer(Script(), reactor)
        port = server.listen(reactor)
        channel = await self.connector(bind_address="127.0.0.77").connect("127.0.0.1", port)
        self.assertEqual(channel.transport.getHost().host, "127.0.0.77")
        channel.abort()
        await channel.gone()
        await server.close()

    async def test_refused(self) -> None:
        """A port where nobody listens."""
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            self.assertEqual(await self.words("127.0.0.1", unused.getsockname()[1]), "Connection refused")

    async def test_timeout(self) -> None:
        """A host that does not answer is given up after the limit."""
        self.assertEqual(await self.words("127.0.0.1", silent_port(self), timeout=0.3), "Connection timed out")

    async def test_cancelled(self) -> None:
        """Who is cancelled while it connects is told so, and not that the host cannot be reached."""
        connecting = Deferred.fromCoroutine(self.connector().connect("127.0.0.1", silent_port(self)))
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)

    async def test_bad_local_address(self) -> None:
        """A local address that is not ours is warned of, and the connection comes from another."""
        server = ScriptedServer(Script(), reactor)
        port = server.listen(reactor)
        warnings: list[str] = []
        settings = ConnectorSettings(bind_address="192.0.2.55")
        channel = await Connector(reactor, reactor, settings, warnings.append).connect("127.0.0.1", port)  # type: ignore[arg-type]
        self.assertEqual(channel.transport.getHost().host, "127.0.0.1")
        self.assertEqual(warnings, ["bind 192.0.2.55: Cannot assign requested address"])
        channel.abort()
        await channel.gone()
        await server.close()

    async def test_bad_local_address_enforced(self) -> None:
        """Where it must be used there is no connection, and the warning says why."""
        server = ScriptedServer(Script(), reactor)
        port = server.listen(reactor)
        warnings: list[str] = []
        settings = ConnectorSettings(bind_address="192.0.2.55", bind_enforce=True)
        connecting = Connector(reactor, reactor, settings, warnings.append).connect("127.0.0.1", port)  # type: ignore[arg-type]
        await self.assertFailure(Deferred.fromCoroutine(connecting), CannotBind)
        self.assertEqual(warnings, ["bind 192.0.2.55: Cannot assign requested address"])
        self.assertEqual(server.sessions, [])
        await server.close()

    async def test_end(self) -> None:
        """Whoever wants to know hears of the end: at once when it is ours, and when the server's has arrived."""
        server = ScriptedServer(Script({"connect": ["220 mx", "!default"]}), reactor)
        port = server.listen(reactor)
        ends: list[str] = []
        channel = await self.connector().connect("127.0.0.1", port, lambda: ends.append("ours"))
        channel.close()
        self.assertEqual(ends, ["ours"])
        await channel.gone()
        closing = ScriptedServer(Script({"connect": "!close"}), reactor)
        channel = await self.connector().connect("127.0.0.1", closing.listen(reactor), lambda: ends.append("theirs"))
        await channel.gone()
        self.assertEqual(set(ends), {"ours", "theirs"})
        await server.close()
        await closing.close()

    async def test_last_words(self) -> None:
        """The server hears the last words and then the end, and here the end has come when they have been said."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        channel = await self.connector().connect("127.0.0.1", listener.getsockname()[1])
        server, _ = listener.accept()
        self.addCleanup(server.close)
        server.settimeout(60)
        self.assertTrue(channel._connected)
        channel.close(b"QUIT\r\n")
        self.assertEqual((server.recv(100), server.recv(100)), (b"QUIT\r\n", b""))
        self.assertEqual((channel._connected, channel.is_lost), (False, False))

    async def test_last_words_behind_others(self) -> None:
        """Last words go out behind everything that waits, whatever the server takes at once."""
        much = b"x" * (8 * 1024 * 1024)
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        channel = await self.connector().connect("127.0.0.1", listener.getsockname()[1])
        server, _ = listener.accept()
        self.addCleanup(server.close)
        channel.write(much)
        channel.close(b"QUIT\r\n")
        self.assertTrue(channel._connected)
        server.settimeout(60)
        heard = deferToThread(_all_from, server)
        await channel.gone()
        self.assertEqual(await heard, much + b"QUIT\r\n")


def _all_from(server: socket.socket) -> bytes:
    """Everything until the end."""
    heard = bytearray()
    while data := server.recv(65536):
        heard += data
    return bytes(heard)
