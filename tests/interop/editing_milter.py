"""
A Milter that edits messages, so that Postfix writes queue files with pointers in them.

It asks for nothing but the end of each message, and answers with the edits that a function gives for its sender.
"""

import socketserver
import struct
import threading
from collections.abc import Callable

Edit = tuple[bytes, bytes]

_ACTIONS = 0x7F  # add header, change body, add and delete recipient, change header, quarantine, change sender
_SKIP = 0x01 | 0x02 | 0x08 | 0x10 | 0x20 | 0x40 | 0x100 | 0x200  # all but MAIL and the end of the message


def add_header(name: bytes, value: bytes) -> Edit:
    """Append a header."""
    return b"h", name + b"\0" + value + b"\0"


def insert_header(index: int, name: bytes, value: bytes) -> Edit:
    """Put a header at a position."""
    return b"i", struct.pack(">I", index) + name + b"\0" + value + b"\0"


def change_header(index: int, name: bytes, value: bytes) -> Edit:
    """Give the n-th header of a name another value; an empty one removes it."""
    return b"m", struct.pack(">I", index) + name + b"\0" + value + b"\0"


def replace_body(body: bytes) -> Edit:
    """Replace the body; several of them follow each other."""
    return b"b", body


def add_recipient(address: bytes) -> Edit:
    """Add a recipient."""
    return b"+", b"<" + address + b">\0"


def delete_recipient(address: bytes) -> Edit:
    """Remove a recipient."""
    return b"-", b"<" + address + b">\0"


class EditingMilter:
    """
    The server, running in threads of its own.

    :param edits: what to do to the message of a sender.
    """

    def __init__(self, edits: Callable[[str], list[Edit]], address: str = "127.0.0.1") -> None:
        milter = self
        self._edits = edits

        class Session(socketserver.StreamRequestHandler):
            """One connection from smtpd(8)."""

            def handle(self) -> None:
                """Answer until it is closed."""
                milter._talk(self)

        class Server(socketserver.ThreadingTCPServer):
            """Many connections."""

            allow_reuse_address = True
            daemon_threads = True

        self._server = Server((address, 0), Session)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Accept no more connections."""
        self._server.shutdown()
        self._server.server_close()

    def _talk(self, session: socketserver.StreamRequestHandler) -> None:
        sender = ""
        while len(header := session.rfile.read(4)) == 4:
            packet = session.rfile.read(struct.unpack(">I", header)[0])
            command, data = packet[:1], packet[1:]
            if command == b"O":
                _send(session, b"O", struct.pack(">III", 6, _ACTIONS, _SKIP))
            elif command == b"M":
                sender = data.split(b"\0")[0].strip(b"<>").decode("utf-8", "replace")
                _send(session, b"c")
            elif command == b"E":
                for kind, value in self._edits(sender):
                    _send(session, kind, value)
                _send(session, b"c")
            elif command == b"Q":
                return


def _send(session: socketserver.StreamRequestHandler, command: bytes, data: bytes = b"") -> None:
    session.wfile.write(struct.pack(">I", 1 + len(data)) + command + data)
