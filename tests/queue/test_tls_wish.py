"""What a message asks of TLS (RFC 8689): taken in, kept in the queue file, said to the next server, kept in reports."""

import os
from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.mail.envelope import Envelope, Recipient, Return, TlsWish, Utf8
from smtpclient.queue.intake import Rules, Submission, prepare
from smtpclient.queue.queuefile import read_message
from smtpclient.smtp.capability import Capabilities
from smtpclient.smtp.command import mail_from
from smtpclient.submission.acceptance import Refused
from smtpclient.submission.command import parse_mail
from tests.queue.disk import NOW, DirectFiles, message, queue_file

RULES = Rules("host.example", "example.com")
NOTHING = TlsWish(0)


class Wishes(SynchronousTestCase):
    """From the submitter to the next server."""

    def taken(self, header: bytes, **details: Any) -> TlsWish:
        """What is kept of a submission."""
        submission = Submission("a@x.example", [Recipient("b@y.example")], header + b"Subject: x\n\nx\n", **details)
        return prepare(submission, RULES, NOW, Random(1)).tls

    def test_header_field(self) -> None:
        """``TLS-Required: No`` is heeded, and nothing else in that field; REQUIRETLS is stronger."""
        rows = {
            b"": NOTHING,
            b"TLS-Required: No\n": TlsWish.OPTIONAL,
            b"tls-required:nO \n": TlsWish.OPTIONAL,
            b"TLS-Required: Yes\n": NOTHING,
            b"TLS-Required: No, not at all\n": NOTHING,
            b"X-TLS-Required: No\n": NOTHING,
        }
        self.assertEqual({header: self.taken(header) for header in rows}, rows)
        self.assertEqual({self.taken(header, require_tls=True) for header in rows}, {TlsWish.REQUIRED})

    def kept(self, **details: Any) -> Envelope:
        """The envelope that a queue file gives back."""
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(queue_file(message(**details)))
        fd = os.open(path, os.O_RDONLY)
        self.addCleanup(os.close, fd)
        return read_message(DirectFiles(), fd, path, "ID").envelope

    def test_queue_file(self) -> None:
        """The bits beside those of SMTPUTF8 hold it, as in Postfix 3.11 and later."""
        utf8 = Utf8.REQUESTED | Utf8.SENDER
        for wish in (NOTHING, TlsWish.OPTIONAL, TlsWish.REQUIRED):
            found = self.kept(tls=wish, utf8=utf8, ret=Return.FULL)
            self.assertEqual((found.tls, found.utf8), (wish, utf8))
        self.assertIn(b" 37", queue_file(message(tls=TlsWish.REQUIRED, utf8=utf8))[:97])

    def test_no_content_in_reports(self) -> None:
        """A report on a message that must not be seen returns its header only, whatever its sender asked for."""
        self.assertEqual(self.kept(tls=TlsWish.REQUIRED, ret=Return.FULL).ret, Return.HEADERS)
        self.assertEqual(self.kept(tls=TlsWish.OPTIONAL, ret=Return.FULL).ret, Return.FULL)

    def test_said_to_the_next_server(self) -> None:
        """MAIL has REQUIRETLS where it is asked for and offered."""
        rows = {
            (TlsWish.REQUIRED, True): b"MAIL FROM:<a@sender.example> REQUIRETLS\r\n",
            (TlsWish.REQUIRED, False): b"MAIL FROM:<a@sender.example>\r\n",
            (TlsWish.OPTIONAL, True): b"MAIL FROM:<a@sender.example>\r\n",
            (NOTHING, True): b"MAIL FROM:<a@sender.example>\r\n",
        }
        said = {}
        for wish, offered in rows:
            capabilities = Capabilities(True, {"REQUIRETLS": ""} if offered else {})
            envelope = Envelope("ID", "a@sender.example", NOW, NOW, 0, 0, tls=wish)
            said[wish, offered] = mail_from(envelope, capabilities)
        self.assertEqual(said, rows)

    def test_submitted(self) -> None:
        """A client may ask for it inside TLS, where it is offered, and with no value."""
        argument = b"FROM:<a@x.example> REQUIRETLS"
        self.assertTrue(parse_mail(argument, "x.example", private=True).require_tls)
        self.assertFalse(parse_mail(argument[:18], "x.example", private=True).require_tls)
        refused = self.assertRaises(Refused, parse_mail, argument, "x.example")
        self.assertEqual(refused.code, 555)
        refused = self.assertRaises(Refused, parse_mail, argument + b"=1", "x.example", private=True)
        self.assertEqual(refused.code, 501)
