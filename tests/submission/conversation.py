"""A client that says exactly what it is told, for servers on 127.0.0.1; blocking, so for a thread."""

import socket
import ssl
from collections.abc import Sequence
from typing import BinaryIO


class Conversation:
    """One connection, from the greeting on."""

    def __init__(self, port: int, timeout: float = 60.0) -> None:
        self._socket: socket.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self._lines: BinaryIO = self._socket.makefile("rb")
        self.greeting = self.reply()

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._socket.sendall(data)

    def reply(self) -> str:
        """The next reply; several lines are joined by ``/``; nothing when the connection is closed."""
        lines = []
        while line := self._lines.readline():
            lines.append(line.decode().rstrip("\r\n"))
            if line[3:4] != b"-":
                break
        return "/".join(lines)

    def say(self, *lines: bytes | str) -> list[str]:
        """Send lines one by one, each after the reply to the one before."""
        replies = []
        for line in lines:
            self.send((line if isinstance(line, bytes) else line.encode()) + b"\r\n")
            replies.append(self.reply())
        return replies

    def at_once(self, data: bytes, replies: int) -> list[str]:
        """Send everything in one write and read so many replies."""
        self.send(data)
        return [self.reply() for _ in range(replies)]

    def start_tls(self) -> None:
        """Go on inside TLS."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self._lines.close()
        self._socket = context.wrap_socket(self._socket)
        self._lines = self._socket.makefile("rb")

    def close(self) -> None:
        """Hang up."""
        self._lines.close()
        self._socket.close()


def talk(port: int, lines: Sequence[bytes | str]) -> list[str]:
    """A whole conversation, after the greeting."""
    conversation = Conversation(port)
    try:
        return conversation.say(*lines)
    finally:
        conversation.close()
