"""XFORWARD: what a content filter is told, and that its answer costs no mail."""

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.smtp import xforward
from smtpclient.smtp.capability import Capabilities
from smtpclient.smtp.settings import DialogueSettings
from tests.delivery.memory_network import World, short
from tests.mail.messages import envelope
from tests.smtp.scripted_server import Script

ALL = "NAME ADDR PORT PROTO HELO IDENT SOURCE"
CLIENT = {
    "log_client_name": "client.example",
    "log_client_address": "192.0.2.7",
    "log_client_port": "1234",
    "log_protocol_name": "ESMTP",
    "log_helo_name": "he lo=\r\nRSET",
    "rewrite_context": "remote",
}


def told(keywords: str | None, **attributes: str) -> list[bytes]:
    """The commands for a server that asks for these."""
    offer = Capabilities(True, {} if keywords is None else {"XFORWARD": keywords})
    return xforward.commands(envelope(attributes=attributes), offer)


class Commands(SynchronousTestCase):
    """The lines."""

    def test_groups(self) -> None:
        """Two commands, in Postfix's order; values are xtext, whatever stands in them."""
        self.assertEqual(
            told(ALL, **CLIENT),
            [
                b"XFORWARD NAME=client.example ADDR=192.0.2.7 PORT=1234\r\n",
                b"XFORWARD PROTO=ESMTP HELO=he+20lo+3D+0D+0ARSET IDENT=3A66D21A822 SOURCE=REMOTE\r\n",
            ],
        )

    def test_only_what_is_asked_for_and_known(self) -> None:
        """What the server did not name, or nobody knows, is not told."""
        self.assertEqual(told("addr HELO", log_client_address="192.0.2.7"), [b"XFORWARD ADDR=192.0.2.7\r\n"])
        self.assertEqual(told("NAME"), [])
        self.assertEqual(told("", **CLIENT), [])
        self.assertEqual(told(None, **CLIENT), [])


class Deliveries(SynchronousTestCase):
    """In the dialogue."""

    def deliver(self, *, send: bool, keywords: tuple[str, ...] = (), **on: str) -> tuple[list[str], str]:
        """One message with a known client: what became of it, and the commands."""
        dialogue = DialogueSettings("me.example", send_xforward=send)
        world = World({"a": Script({"other": "250 2.0.0 Ok", **on}, (f"XFORWARD {ALL}", *keywords))}, dialogue=dialogue)
        result = world.deliver(attributes=CLIENT)
        return short(result), world.verbs("a")

    def test_sent(self) -> None:
        """Before MAIL, with and without PIPELINING; only where it is wanted."""
        for keywords in ((), ("PIPELINING",)):
            found = self.deliver(send=True, keywords=keywords)
            self.assertEqual(found, (["sent 2.0.0"], "EHLO XFORWARD XFORWARD MAIL RCPT DATA . QUIT"))
            self.assertEqual(self.deliver(send=False, keywords=keywords)[1], "EHLO MAIL RCPT DATA . QUIT")

    def test_refused(self) -> None:
        """A refusal costs no mail."""
        for keywords in ((), ("PIPELINING",)):
            self.assertEqual(self.deliver(send=True, keywords=keywords, other="550 5.7.1 no")[0], ["sent 2.0.0"])
