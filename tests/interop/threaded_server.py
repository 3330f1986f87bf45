"""
A server in threads of its own, for tests that wait without a reactor.
"""

import socketserver
import threading
from abc import ABC, abstractmethod
from contextlib import suppress


class ThreadedServer(ABC):
    """
    Talks to each client in a thread.

    :ivar port: where it listens, as soon as it is made.
    """

    def __init__(self, address: str) -> None:
        server = self

        class Session(socketserver.StreamRequestHandler):
            """One connection."""

            def handle(self) -> None:
                """Talk until either end has had enough."""
                with suppress(ConnectionError):  # the client has gone, which is no fault of the server
                    server.talk(self)

        class Server(socketserver.ThreadingTCPServer):
            """Many connections."""

            allow_reuse_address = True
            daemon_threads = True
            request_queue_size = 100

        self._server = Server((address, 0), Session)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @abstractmethod
    def talk(self, session: socketserver.StreamRequestHandler) -> None:
        """Serve one connection, from its beginning to its end."""

    def stop(self) -> None:
        """Accept no more connections."""
        self._server.shutdown()
        self._server.server_close()
