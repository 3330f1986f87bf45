"""An address of our own that this machine has not (``smtp_bind_address``), by the whole service."""

import errno
from typing import Any

from twisted.internet.error import ConnectBindError
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.mail.outcome import Outcome
from tests.test_outbound import Stage

WARNING = "warning: bind 192.0.2.9: Cannot assign requested address"


class BindAddress(SynchronousTestCase):
    """The service relays to a server."""

    def deliver(self, **parameters: str) -> Outcome:
        """What becomes of a message, with the lines of the log in ``lines``."""
        stage = Stage(self, smtp_bind_address="192.0.2.9", **parameters)
        connect = stage.reactor.connectTCP

        def connect_from_nowhere(host: str, port: int, factory: Any, timeout: float, bindAddress: Any) -> Any:
            if bindAddress is None:
                return connect(host, port, factory, timeout)
            why = Failure(ConnectBindError(errno.EADDRNOTAVAIL, "x"))
            return stage.reactor.callLater(0, factory.clientConnectionFailed, None, why)

        self.patch(stage.reactor, "connectTCP", connect_from_nowhere)
        outcomes: list[Outcome] = []
        stage.outbound.outcomes.subscribe(lambda envelope, outcome: outcomes.append(outcome))
        stage.submit("you@there.test")
        stage.reactor.advance(60)
        self.lines = stage.lines
        return outcomes[0]

    def test_any_other_serves_as_well(self) -> None:
        """By default mail goes out from the address that the system chooses, and each connection is warned of."""
        outcome = self.deliver()
        self.assertEqual("sent", outcome.disposition.value)
        self.assertEqual([WARNING], [line for line in self.lines if "bind" in line])

    def test_no_other_will_do(self) -> None:
        """``smtp_bind_address_enforce = yes`` has it wait; what is wrong is the log's business, not the sender's."""
        outcome = self.deliver(smtp_bind_address_enforce="yes")
        self.assertEqual(
            ("deferred", "4.4.0", "server configuration error"),
            (outcome.disposition.value, outcome.status, outcome.reason),
        )
        self.assertIn(WARNING, self.lines)
