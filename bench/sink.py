"""
A server that takes everything, for where smtp-sink(1) is not installed: ``python -m bench.sink ADDRESS:PORT [PAUSE]``.

With a pause it says one byte of its replies at a time, so many seconds apart: a slow server.
"""

import sys

from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol

_EHLO = b"250-sink.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n"
_REPLIES = {b"EHLO": _EHLO, b"DATA": b"354 Go on\r\n", b"QUIT": b"221 Bye\r\n"}


class SinkServer(Protocol):
    """One connection."""

    pause = 0.0
    count = 0

    def connectionMade(self) -> None:
        """Greet."""
        self._rest = b""
        self._in_content = False
        self._waiting = b""
        self._say(b"220 sink.example ESMTP\r\n")

    def dataReceived(self, data: bytes) -> None:
        """Answer what is whole."""
        self._rest += data
        while True:
            mark = b"\r\n.\r\n" if self._in_content else b"\r\n"
            line, found, rest = self._rest.partition(mark)
            if not found:
                # Of the content only what the mark may begin in is of interest.
                self._rest = self._rest[-4:] if self._in_content else self._rest
                return
            self._rest = rest
            if self._in_content:
                SinkServer.count += 1
                self._in_content = False
                self._say(b"250 2.0.0 Ok\r\n")
            else:
                verb = line[:4].upper()
                self._in_content = verb == b"DATA"
                self._rest = b"\r\n" + self._rest if self._in_content else self._rest
                self._say(_REPLIES.get(verb, b"250 2.0.0 Ok\r\n"))

    def _say(self, reply: bytes) -> None:
        if not self.pause:
            self.transport.write(reply)
            return
        is_idle = not self._waiting
        self._waiting += reply
        if is_idle:
            reactor.callLater(self.pause, self._drip)

    def _drip(self) -> None:
        self.transport.write(self._waiting[:1])
        self._waiting = self._waiting[1:]
        if self._waiting and self.connected:
            reactor.callLater(self.pause, self._drip)


def _tell() -> None:
    sys.stdout.write(f"mesg={SinkServer.count}\n")
    sys.stdout.flush()
    reactor.callLater(0.05, _tell)


def main(where: str, pause: str = "0") -> None:
    """Serve until killed."""
    address, _, port = where.rpartition(":")
    SinkServer.pause = float(pause)
    factory = Factory.forProtocol(SinkServer)
    factory.noisy = False
    reactor.listenTCP(int(port), factory, backlog=2000, interface=address)
    _tell()
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
