"""Tests for :mod:`tests.ports`."""

import errno
import socket

from twisted.trial.unittest import SynchronousTestCase

from tests.ports import free_port


class PortTests(SynchronousTestCase):
    """A port that is kept."""

    def setUp(self) -> None:
        self.where = "127.0.0.1", free_port()

    def socket(self) -> socket.socket:
        """One that is closed when the test is over."""
        made = socket.socket()
        self.addCleanup(made.close)
        return made

    def test_nobody_listens(self) -> None:
        """Who connects is refused."""
        self.assertEqual(self.socket().connect_ex(self.where), errno.ECONNREFUSED)

    def test_others_do_not_get_it(self) -> None:
        """Who asks for it as this function does is told that it is in use."""
        error = self.assertRaises(OSError, self.socket().bind, self.where)
        self.assertEqual(error.errno, errno.EADDRINUSE)

    def test_a_server_may_listen(self) -> None:
        """The server that it is for listens there, again and again."""
        for _ in range(2):
            with socket.create_server(self.where) as server, socket.create_connection(self.where) as client:
                accepted, _ = server.accept()
                with accepted:
                    self.assertEqual(accepted.getpeername(), client.getsockname())
