"""
What the running service says of its destinations: the page ``/destinations`` of ``--admin``.

Does not: look for the service. The operator says where it listens, as ``HOST:PORT`` or as the path of a UNIX socket.
"""

import http.client
import json
import socket
from typing import Any

PAGE = "/destinations"
TIMEOUT = 5.0
_LARGEST = 64 * 1024 * 1024


class NoAnswer(Exception):
    """The service did not say; the text says why."""


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a UNIX socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT)
        self._path = path

    def connect(self) -> None:
        """Connect to the path."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(self._path)


def destinations(where: str) -> list[dict[str, Any]]:
    """
    The states of all destinations.

    :param where: ``HOST:PORT``, ``[ADDRESS]:PORT``, ``http://HOST:PORT`` or ``/path``.
    :raises NoAnswer: when there is none that can be read.
    """
    bare = where.removeprefix("http://").rstrip("/")
    connection: http.client.HTTPConnection
    try:
        connection = (
            _UnixConnection(where) if where.startswith("/") else http.client.HTTPConnection(bare, timeout=TIMEOUT)
        )
    except http.client.InvalidURL as why:
        raise NoAnswer(f"--admin {where}: {why}; expected HOST:PORT or the path of a UNIX socket") from None
    try:
        connection.request("GET", PAGE)
        answer = connection.getresponse()
        text = answer.read(_LARGEST)
        states = json.loads(text) if answer.status == http.client.OK else None
    except (OSError, ValueError, http.client.HTTPException) as why:
        raise NoAnswer(f"--admin {where}: {why}") from None
    finally:
        connection.close()
    if not isinstance(states, list) or not all(isinstance(state, dict) for state in states):
        raise NoAnswer(f"--admin {where}: there is no page of destinations")
    return states
