"""
A Milter that edits messages, so that Postfix writes queue files with pointers in them.

It asks for nothing but the end of each message, and answers with the edits that a function gives for its sender.
"""

import socketserver
import struct
from collections.abc import Callable

from tests.interop.threaded_server import ThreadedServer

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


class EditingMilter(ThreadedServer):
    """
    The server.

    :param edits: what to do to the message of a sender.
    """

    def __init__(self, edits: Callable[[str], list[Edit]], address: str = "127.0.0.1") -> None:
        self._edits = edits
        super().__init__(address)

    def talk(self, session: socketserver.StreamRequestHandler) -> None:
        """Answer smtpd(8) until it closes."""
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
