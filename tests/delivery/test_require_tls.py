"""Tests for :mod:`smtpclient.delivery.require_tls`: the last look before a message with REQUIRETLS goes out."""

from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.delivery.require_tls import lacking
from smtpclient.mail.envelope import Envelope, TlsWish
from smtpclient.mail.outcome import Disposition, Peer
from smtpclient.smtp.capability import Capabilities


class Sessions(SynchronousTestCase):
    """Every kind of session, for every wish."""

    def test_table(self) -> None:
        """Only a server that has shown who it is, and offers REQUIRETLS, gets what asks for it; the rest is free."""
        rows = {
            (TlsWish.REQUIRED, True, True): "",
            (TlsWish.REQUIRED, True, False): "5.7.30",
            (TlsWish.REQUIRED, False, True): "5.7.10",
            (TlsWish.REQUIRED, False, False): "5.7.10",
            (TlsWish.REQUIRED | TlsWish.OPTIONAL, False, True): "5.7.10",
            (TlsWish.OPTIONAL, False, False): "",
            (TlsWish(0), False, False): "",
        }
        found = {}
        for wish, verified, offered in rows:
            session: Any = SimpleNamespace(
                peer=Peer("mx.example.org", "192.0.2.1", 25),
                is_verified=verified,
                capabilities=Capabilities(True, {"REQUIRETLS": ""} if offered else {}),
            )
            why = lacking(Envelope("ID", "a@x.example", 0.0, 0.0, 1, 0, tls=wish), session)
            self.assertTrue(why is None or why.disposition is Disposition.BOUNCED)
            found[wish, verified, offered] = why.status if why is not None else ""
        self.assertEqual(found, rows)
