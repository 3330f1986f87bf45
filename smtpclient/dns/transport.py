"""
One query to one name server, over UDP or TCP: bytes out, bytes in.

Each UDP query has a socket of its own, connected to the server: the kernel gives it a random source port, drops
what other addresses send, and says at once when nobody listens. The socket is read by the reactor directly and not
through ``listenUDP``, which writes two lines to the log for each query, leaves a timer behind, and under epoll
takes the kernel's "connection refused" for the end of the port.

Promises: when a call returns, fails or is cancelled, its socket is closed and its timer gone; bytes that do not
belong to the query are passed over, and the wait goes on; a TCP answer is read up to its announced length, which
is at most 65535 bytes, and no further.

Does not: look into the answer beyond the question (``smtpclient.dns.message``), or try anything twice.
"""

import errno
import os
import socket
from collections.abc import Callable
from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.error import ConnectError, ConnectionClosed, ConnectionDone
from twisted.internet.interfaces import IReactorFDSet, IReactorTCP, IReactorTime, IReadDescriptor
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.tcp import Client
from twisted.python.failure import Failure
from zope.interface import implementer

from smtpclient.dns.servers import NameServer

_LARGEST_DATAGRAM = 4096  # without EDNS a server may send 512; some send more
_DATAGRAMS_AT_A_TIME = 16  # so that a flood of forged answers does not starve everything else
_LENGTH = 2


class QueryFailed(Exception):
    """The server could not be asked, or did not answer; the text says why."""


class NoAnswer(QueryFailed):
    """The server said nothing in the time it had."""


class QueryTransport:
    """
    The way to name servers.

    :param reactor: gives :class:`IReactorFDSet`, :class:`IReactorTCP` and :class:`IReactorTime`.
    :param belongs: whether bytes that arrived are an answer to a query.
    """

    def __init__(self, reactor: IReactorFDSet, belongs: Callable[[bytes, bytes], bool]) -> None:
        self._reactor = reactor
        self._clock = cast(IReactorTime, reactor)
        self._belongs = belongs

    async def datagram(self, server: NameServer, query: bytes, timeout: float) -> bytes:
        """
        Ask over UDP.

        :param timeout: seconds.
        :raises NoAnswer: when the time is over.
        :raises QueryFailed: when there is no socket to be had, no route, or nobody listening.
        """
        try:
            sock = _connected_socket(server)
        except OSError as error:
            raise QueryFailed(f"cannot send: {error.strerror or error}") from None
        arrived: Deferred[bytes] = Deferred()
        receiver = _Datagram(sock, lambda data: self._belongs(query, data), arrived)
        try:
            sock.send(query)
            self._reactor.addReader(receiver)
            arrived.addTimeout(timeout, self._clock)
            return await arrived
        except DeferredTimeoutError:
            raise NoAnswer(f"no answer in {timeout:g} s") from None
        except OSError as error:
            raise QueryFailed(error.strerror or str(error)) from None
        finally:
            self._reactor.removeReader(receiver)
            sock.close()

    async def stream(self, server: NameServer, query: bytes, timeout: float) -> bytes:
        """
        Ask over TCP, on a connection of its own.

        :param timeout: seconds, for connecting and answering together.
        :raises NoAnswer: when the time is over.
        :raises QueryFailed: when no connection can be made, it ends early, or the answer is to another question.
        """
        asking = Deferred.fromCoroutine(self._ask_stream(server, query, timeout))
        asking.addTimeout(timeout, self._clock)
        try:
            data = await asking
        except DeferredTimeoutError:
            raise NoAnswer(f"no answer over TCP in {timeout:g} s") from None
        except ConnectionDone:
            raise QueryFailed("closed the TCP connection without an answer") from None
        except (ConnectError, ConnectionClosed) as error:
            raise QueryFailed(f"TCP: {error}") from None
        if not self._belongs(query, data):
            raise QueryFailed("the answer over TCP is to another question")
        return data

    async def _ask_stream(self, server: NameServer, query: bytes, timeout: float) -> bytes:
        # Few answers take TCP, and the module takes 7 ms.
        from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint  # noqa: PLC0415

        endpoint_class = TCP6ClientEndpoint if ":" in server.address else TCP4ClientEndpoint
        # One second more, so that it is always the deadline of the whole that ends an attempt to connect.
        endpoint = endpoint_class(cast(IReactorTCP, self._reactor), server.address, server.port, timeout + 1)
        factory = Factory.forProtocol(_Stream)
        factory.noisy = False
        stream = cast(_Stream, await endpoint.connect(factory))
        try:
            return await stream.ask(query)
        finally:
            await stream.abort()


def _connected_socket(server: NameServer) -> socket.socket:
    """
    A UDP socket that talks to one server only; the kernel picks a free source port at random.

    :raises OSError: no descriptor left, no such family, no route.
    """
    family = socket.AF_INET6 if ":" in server.address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.connect((server.address, server.port))
    except OSError:
        sock.close()
        raise
    return sock


@implementer(IReadDescriptor)
class _Datagram:
    """The reading end of one UDP query."""

    def __init__(self, sock: socket.socket, wanted: Callable[[bytes], bool], arrived: Deferred[bytes]) -> None:
        self._sock = sock
        self._wanted = wanted
        self._arrived = arrived
        # Only what was sent between the making of the socket and its connecting can come from elsewhere.
        self._peer = sock.getpeername()

    def logPrefix(self) -> str:
        """The name under which the reactor speaks of it."""
        return "DNS query"

    def fileno(self) -> int:
        """What the reactor waits on."""
        return self._sock.fileno()

    def doRead(self) -> None:
        """Take what has arrived; a datagram that nobody asked for changes nothing."""
        for _ in range(_DATAGRAMS_AT_A_TIME):
            if self._arrived.called:
                return
            try:
                data, sender = self._sock.recvfrom(_LARGEST_DATAGRAM)
            except BlockingIOError:
                return
            except OSError as error:
                self._arrived.errback(error)
                return
            if sender == self._peer and self._wanted(data):
                self._arrived.callback(data)

    def connectionLost(self, reason: Failure) -> None:
        """The kernel has an error for us (nobody listens there, most often), or the reactor is being stopped."""
        if not self._arrived.called:
            number = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or errno.ECONNABORTED
            self._arrived.errback(OSError(number, os.strerror(number)))


class _Stream(Protocol):
    """A TCP connection that carries one query and one answer, each behind its length (RFC 1035 section 4.2.2)."""

    transport: Client

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._arrived: Deferred[bytes] = Deferred()
        self._closed: Deferred[None] = Deferred()

    def ask(self, query: bytes) -> Deferred[bytes]:
        """Send the query; the answer's bytes."""
        self.transport.write(len(query).to_bytes(_LENGTH) + query)
        return self._arrived

    def abort(self) -> Deferred[None]:
        """Close at once, whatever the other end does."""
        self.transport.abortConnection()
        return self._closed

    def dataReceived(self, data: bytes) -> None:
        """Collect the answer; what stands behind it is nothing we asked for."""
        if self._arrived.called:
            return
        self._buffer += data
        end = _LENGTH + int.from_bytes(self._buffer[:_LENGTH])
        if len(self._buffer) >= _LENGTH and len(self._buffer) >= end:
            self._arrived.callback(bytes(self._buffer[_LENGTH:end]))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The other end, or we, closed."""
        if not self._arrived.called:
            self._arrived.errback(reason)
        self._closed.callback(None)
