"""Tests for :mod:`smtpclient.report.delivery_status`."""

from collections.abc import Sequence
from email import message_from_bytes, policy
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.mail.envelope import NewMessage, Notify, Recipient, Utf8
from smtpclient.report.delivery_status import Report, assemble, status_blocks, text_blocks
from smtpclient.report.entry import Entry, from_outcome
from smtpclient.report.original import from_bytes
from smtpclient.report.report_text import Kind
from smtpclient.report.settings import ReportSettings
from tests.report.world import (
    MAIL,
    NOW,
    bounced,
    deferred,
    entry,
    envelope,
    groups,
    parsed,
    part_bytes,
    parts,
    sent,
    whole,
)

GOLDEN = Path(__file__).with_name("undelivered.eml")


def report(kind: Kind = Kind.FAILURE, entries: Sequence[Entry] = (), **changes: Any) -> NewMessage:
    """A report, by default to the sender, with the whole message."""
    values: dict[str, Any] = {
        "kind": kind,
        "settings": ReportSettings("mail.example.org", "example.org", threaded=True),
        "envelope": envelope(),
        "entries": entries or [from_outcome(bounced(), "failed")],
        "recipient": "author@example.org",
        "to_postmaster": False,
        "original": from_bytes(MAIL, whole=True),
        "now": NOW,
    }
    made = Report(**{**values, **changes})
    return assemble(made, list(text_blocks(made)), list(status_blocks(made)), Random(7))


class Whole(SynchronousTestCase):
    """The report as a message."""

    maxDiff = None

    def test_golden(self) -> None:
        """A report on two recipients is, byte for byte, the one in the file beside this test."""
        entries = [
            from_outcome(bounced(), "failed"),
            entry("a b@example.com", "mail for example.com loops back to myself", status="5.4.6"),
        ]
        self.assertEqual(whole(report(entries=entries)).decode(), GOLDEN.read_text("utf-8"))

    def test_envelope(self) -> None:
        """It goes from the null sender to the sender alone, and says that it was made here."""
        made = report()
        self.assertEqual(
            (made.sender, made.recipients, made.encoding, made.utf8, made.attributes),
            ("", [Recipient("author@example.org")], "7bit", Utf8(0), {"log_message_origin": "local"}),
        )

    def test_envelope_of_a_copy(self) -> None:
        """A copy for the postmaster goes from the double-bounce address, so that its own failure ends there."""
        made = report(to_postmaster=True, recipient="postmaster@example.org")
        self.assertEqual(
            (made.sender, made.recipients), ("double-bounce@example.org", [Recipient("postmaster@example.org")])
        )

    def test_standard_parser(self) -> None:
        """The standard library finds a multipart/report of three parts without a defect in it."""
        found = message_from_bytes(whole(report()), policy=policy.default)
        self.assertEqual(
            [part.get_content_type() for part in found.walk()],
            [
                "multipart/report",
                "text/plain",
                "message/delivery-status",
                "text/plain",
                "text/plain",
                "message/rfc822",
                "text/plain",
            ],
        )
        self.assertEqual([part.defects for part in found.walk()], [[]] * 7)
        self.assertEqual(found.get_param("report-type"), "delivery-status")

    def test_header(self) -> None:
        """The header has what RFC 5322, RFC 3834 and mail readers ask for."""
        found = parsed(report())
        self.assertEqual(
            {name: found[name] for name in ("From", "To", "Subject", "Date", "Auto-Submitted", "MIME-Version")},
            {
                "From": "MAILER-DAEMON@example.org (Mail Delivery System)",
                "To": "author@example.org",
                "Subject": "Undelivered Mail Returned to Sender",
                "Date": "Sat, 22 Nov 2025 07:35:35 +0000",
                "Auto-Submitted": "auto-replied",
                "MIME-Version": "1.0",
            },
        )
        self.assertRegex(found["Message-ID"], r"^<20251122073535\.[0-9a-f]{16}@mail\.example\.org>$")
        self.assertEqual(parsed(report(to_postmaster=True))["Auto-Submitted"], "auto-generated")

    def test_thread(self) -> None:
        """It refers to the message and to what that refers to, so that mail readers show them together."""
        original = from_bytes(b"References: <0@example.org>\n" + MAIL, whole=True)
        found = parsed(report(original=original))
        self.assertEqual(
            (found["In-Reply-To"], found["References"]), ("<1@example.org>", "<0@example.org> <1@example.org>")
        )

    def test_thread_is_not_wanted(self) -> None:
        """Unless that is switched off."""
        found = parsed(report(settings=ReportSettings("mail.example.org", "example.org", threaded=False)))
        self.assertEqual((found["In-Reply-To"], found["References"]), (None, None))

    def test_two_reports_differ(self) -> None:
        """Message id and boundary come from the random source, so that no two reports have the same."""
        made = Report(
            Kind.FAILURE,
            ReportSettings("h", "o"),
            envelope(),
            [entry()],
            "a@example.org",
            False,
            from_bytes(MAIL, whole=True),
            NOW,
        )
        one, two = (parsed(assemble(made, [b"x\n"], [b"y: z\n"], Random(seed))) for seed in (1, 2))
        self.assertNotEqual(one["Message-ID"], two["Message-ID"])
        self.assertNotEqual(one.get_boundary(), two.get_boundary())

    def test_boundary_is_not_in_the_content(self) -> None:
        """A boundary that a message foresaw is not taken."""
        foreseen = parsed(report()).get_boundary()
        assert foreseen is not None
        original = from_bytes(b"Subject: x\n\n--" + foreseen.encode() + b"\n", whole=True)
        made = report(original=original)
        self.assertNotEqual(parsed(made).get_boundary(), foreseen)
        self.assertEqual(part_bytes(made, 2), original.data)


class People(SynchronousTestCase):
    """The part for people."""

    def text(self, message: NewMessage) -> str:
        """The first part."""
        return part_bytes(message, 0).decode()

    def test_introduction(self) -> None:
        """The sender is told what has happened, by whom, before the list."""
        text = self.text(report())
        self.assertTrue(text.startswith("This is the mail system at host mail.example.org.\n"))
        self.assertIn("\n<nobody@example.com>: host mx.example.com[192.0.2.1] said: 550 5.1.1 unknown\n    (in", text)

    def test_postmaster_needs_no_introduction(self) -> None:
        """A copy has only the list."""
        self.assertTrue(self.text(report(to_postmaster=True)).startswith("\n<nobody@example.com>: host"))

    def test_delay(self) -> None:
        """A warning counts from when the message was made, and to when it is given up."""
        text = self.text(report(Kind.DELAY, [entry()]))
        self.assertIn("For 60 minutes your message", text)
        self.assertIn("until it is 5 days old", text)

    def test_original_address(self) -> None:
        """Where a recipient was rewritten, the sender sees the one that was given."""
        recipient = Recipient("a@example.com", original="team@example.org")
        self.assertIn(
            "\n<a@example.com> (expanded from <team@example.org>): it",
            self.text(report(entries=[entry(recipient=recipient)])),
        )

    def test_utf8(self) -> None:
        """What is not ASCII is declared."""
        made = report(entries=[entry(reason="naïve")])
        self.assertEqual(parts(made)[0]["Content-Type"], "text/plain; charset=utf-8")
        self.assertEqual(parts(made)[0]["Content-Transfer-Encoding"], "8bit")
        self.assertEqual((made.encoding, parsed(made)["Content-Transfer-Encoding"]), ("8bit", "8bit"))


class Programs(SynchronousTestCase):
    """The part for programs."""

    maxDiff = None

    def test_message_fields(self) -> None:
        """The first group is of the message."""
        made = report(envelope=envelope(envelope_id="QQ314159"))
        self.assertEqual(
            groups(made)[0],
            {
                "Reporting-MTA": "dns; mail.example.org",
                "Original-Envelope-Id": "QQ314159",
                "X-smtpclient-Queue-ID": "ABCDE1234",
                "X-smtpclient-Sender": "rfc822; author@example.org",
                "Arrival-Date": "Sat, 22 Nov 2025 06:35:35 +0000",
            },
        )

    def test_null_sender(self) -> None:
        """A null sender has no field."""
        self.assertNotIn("X-smtpclient-Sender", groups(report(envelope=envelope("")))[0])

    def test_unprintable_envelope_id(self) -> None:
        """An envelope id that cannot stand there is left out."""
        self.assertNotIn("Original-Envelope-Id", groups(report(envelope=envelope(envelope_id="a b")))[0])

    def test_reply(self) -> None:
        """A server's reply is given with the server."""
        self.assertEqual(
            groups(report())[1],
            {
                "Final-Recipient": "rfc822; nobody@example.com",
                "Original-Recipient": "rfc822; nobody@example.com",
                "Action": "failed",
                "Status": "5.1.1",
                "Remote-MTA": "dns; mx.example.com",
                "Diagnostic-Code": "smtp; 550 5.1.1 unknown",
            },
        )

    def test_no_reply(self) -> None:
        """Another reason has its own type, and no server."""
        self.assertEqual(
            groups(report(entries=[entry()]))[1],
            {
                "Final-Recipient": "rfc822; nobody@example.com",
                "Action": "failed",
                "Status": "5.0.0",
                "Diagnostic-Code": "X-Postfix; it failed",
            },
        )

    def test_expired(self) -> None:
        """A recipient given up after deferrals has failed, with the status of the last deferral."""
        group = groups(report(entries=[from_outcome(deferred(), "delayed")]))[1]
        self.assertEqual((group["Action"], group["Status"]), ("failed", "4.4.1"))

    def test_delayed(self) -> None:
        """A warning says until when it is tried."""
        group = groups(report(Kind.DELAY, [from_outcome(deferred(), "delayed")]))[1]
        self.assertEqual((group["Action"], group["Status"]), ("delayed", "4.4.1"))
        self.assertEqual(group["Will-Retry-Until"], "Thu, 27 Nov 2025 06:35:35 +0000")

    def test_relayed(self) -> None:
        """A success says who took it and with what reply."""
        self.assertEqual(
            groups(report(Kind.SUCCESS, [from_outcome(sent(), "relayed")]))[1],
            {
                "Final-Recipient": "rfc822; friend@example.com",
                "Action": "relayed",
                "Status": "2.0.0",
                "Remote-MTA": "dns; mx.example.com",
                "Diagnostic-Code": "smtp; 250 2.0.0 Ok: queued as 1",
            },
        )

    def test_what_others_recorded(self) -> None:
        """A status or an action that RFC 3464 does not know is not passed on."""
        strange = entry(status="9.9", action="exploded")
        said = {kind: groups(report(kind, [strange]))[1] for kind in Kind}
        self.assertEqual(
            {kind: (group["Status"], group["Action"]) for kind, group in said.items()},
            {
                Kind.FAILURE: ("5.0.0", "failed"),
                Kind.DELAY: ("4.0.0", "delayed"),
                Kind.SUCCESS: ("2.0.0", "relayed"),
                Kind.PROBE: ("4.0.0", "undeliverable"),
            },
        )

    def test_long_reply_is_folded(self) -> None:
        """A long reply takes several lines and unfolds to itself."""
        reply = "550 " + "5.1.1 no such user here, " * 100 + "sorry"
        made = report(entries=[entry(diagnostic=reply)])
        self.assertLessEqual(max(map(len, whole(made).split(b"\n"))), 79)
        self.assertEqual(groups(made)[1]["Diagnostic-Code"], "smtp; " + reply)

    def test_mail_name(self) -> None:
        """Fields of our own carry the mail system's name, made fit for it."""
        for name, prefix in {"Acme Mail!": "X-Acme-Mail", "": "X-Mail"}.items():
            made = report(settings=ReportSettings("h", "o", mail_name=name))
            self.assertIn(prefix + "-Queue-ID", groups(made)[0])

    def test_many_recipients_are_many_blocks(self) -> None:
        """The report is made recipient by recipient, not at once."""
        made = Report(
            Kind.FAILURE,
            ReportSettings("h", "o"),
            envelope(),
            [entry(f"{number}@example.com") for number in range(1000)],
            "a@example.org",
            False,
            None,
            NOW,
        )
        self.assertEqual((len(list(text_blocks(made))), len(list(status_blocks(made)))), (1001, 1001))


class Returned(SynchronousTestCase):
    """The message that is returned."""

    def test_types(self) -> None:
        """What is returned has the type for a message or a header, of this kind of report."""
        utf8 = envelope(utf8=Utf8.REQUESTED)
        cases = {
            (True, False): ("message/rfc822", "Undelivered Message"),
            (False, False): ("text/rfc822-headers", "Undelivered Message Headers"),
            (True, True): ("message/global", "Undelivered Message"),
            (False, True): ("message/global-headers", "Undelivered Message Headers"),
        }
        found = {}
        for everything, international in cases:
            original = from_bytes(MAIL, whole=everything)
            part = parts(report(original=original, envelope=utf8 if international else envelope()))[2]
            found[everything, international] = (part.get_content_type(), part["Content-Description"])
        self.assertEqual(found, cases)
        self.assertEqual(parts(report(Kind.SUCCESS))[2]["Content-Description"], "Message")

    def test_nothing_is_changed(self) -> None:
        """The message comes back byte for byte."""
        data = MAIL + b"--x\n\n\xff\x00\r end\n"
        self.assertEqual(part_bytes(report(original=from_bytes(data, whole=True)), 2), data)

    def test_8bit(self) -> None:
        """An 8-bit message makes its part and the report 8-bit."""
        made = report(original=from_bytes(MAIL + "é\n".encode(), whole=True))
        self.assertEqual((made.encoding, parsed(made)["Content-Transfer-Encoding"]), ("8bit", "8bit"))
        self.assertEqual(parts(made)[2]["Content-Transfer-Encoding"], "8bit")
        self.assertIsNone(parts(made)[0]["Content-Transfer-Encoding"])

    def test_unreadable(self) -> None:
        """A message that could not be read is reported on without it."""
        made = report(original=None)
        self.assertEqual([part.get_content_type() for part in parts(made)], ["text/plain", "message/delivery-status"])
        self.assertNotIn(b"attached.", whole(made))


class International(SynchronousTestCase):
    """RFC 6533."""

    def utf8_report(self, **changes: Any) -> NewMessage:
        """A report about a message that asked for SMTPUTF8, to an address that needs it."""
        sender = "jürgen@example.org"
        values: dict[str, Any] = {
            "entries": [entry("zoë@example.com", reason="naïve")],
            "envelope": envelope(sender, utf8=Utf8.REQUESTED | Utf8.SENDER),
            "recipient": sender,
        }
        return report(**{**values, **changes})

    def test_types(self) -> None:
        """The report is global, and says so."""
        made = self.utf8_report()
        self.assertEqual(parsed(made).get_param("report-type"), "global-delivery-status")
        self.assertEqual(parts(made)[1].get_content_type(), "message/global-delivery-status")
        self.assertEqual(parts(made)[1]["Content-Transfer-Encoding"], "8bit")

    def test_addresses(self) -> None:
        """Addresses have the type utf-8 and stand as they are; so do reasons."""
        status = groups(self.utf8_report())
        self.assertEqual(status[0]["X-smtpclient-Sender"], "utf-8; jürgen@example.org")
        self.assertEqual(status[1]["Final-Recipient"], "utf-8; zoë@example.com")
        self.assertEqual(status[1]["Diagnostic-Code"], "X-Postfix; naïve")

    def test_what_it_needs_on_its_way(self) -> None:
        """It asks for SMTPUTF8 where its own envelope and header need it, and not only because the message did."""
        self.assertEqual(self.utf8_report().utf8, Utf8.REQUESTED | Utf8.HEADER | Utf8.RECIPIENT)
        self.assertEqual(self.utf8_report(recipient="postmaster@example.org").utf8, Utf8.REQUESTED)

    def test_header_alone_is_8bit(self) -> None:
        """A report that is 8-bit in its own header only says so."""
        made = report(recipient="jürgen@example.org")
        self.assertEqual((made.encoding, parsed(made)["Content-Transfer-Encoding"]), ("8bit", "8bit"))

    def test_message_did_not_ask(self) -> None:
        """In a report for readers of ASCII, addresses are escaped and other text has question marks."""
        made = self.utf8_report(envelope=envelope("jürgen@example.org"))
        status = groups(made)
        self.assertTrue(part_bytes(made, 1).isascii())
        self.assertEqual(status[0]["X-smtpclient-Sender"], "utf-8; j\\x{FC}rgen@example.org")
        self.assertEqual(status[1]["Final-Recipient"], "utf-8; zo\\x{EB}@example.com")
        self.assertEqual(status[1]["Diagnostic-Code"], "X-Postfix; na?ve")
        self.assertEqual(made.utf8, Utf8(0))


class Hostile(SynchronousTestCase):
    """What others wrote cannot break a report."""

    @settings(max_examples=250, deadline=None, derandomize=True)
    @given(
        header=st.binary(max_size=200),
        body=st.binary(max_size=100),
        everything=st.booleans(),
        texts=st.tuples(st.text(max_size=80), st.text(max_size=80), st.text(max_size=80), st.text(max_size=80)),
        address=st.binary(max_size=40),
        flags=st.sampled_from([Utf8(0), Utf8.REQUESTED]),
        kind=st.sampled_from(Kind),
    )
    def test_structure_holds(
        self,
        header: bytes,
        body: bytes,
        everything: bool,
        texts: tuple[str, str, str, str],
        address: bytes,
        flags: Utf8,
        kind: Kind,
    ) -> None:
        """Whatever a header, a reason, a reply, a server's name or an address contains, the report has its parts."""
        reason, reply, host, envelope_id = texts
        name = address.decode("utf-8", "surrogateescape") + "@example.com"
        recorded = entry(
            recipient=Recipient(name, original=name, orcpt=envelope_id, notify=Notify.FAILURE),
            reason=reason,
            diagnostic=reply,
            mta=host,
        )
        original = from_bytes(header + b"\n\n" + body, everything)
        made = report(
            kind,
            [recorded, entry("last@example.com")],
            envelope=envelope(name, utf8=flags, envelope_id=envelope_id),
            original=original,
            recipient=name,
        )
        self.assertEqual(len(parts(made)), 3)
        self.assertEqual(parsed(made).defects, [])
        self.assertEqual(part_bytes(made, 2), original.data)
        text = part_bytes(made, 1)
        self.assertEqual(len(text.rstrip(b"\n").split(b"\n\n")), 3)
        self.assertEqual([group.get("Final-Recipient", "")[-16:] for group in groups(made)][2], "last@example.com")
        for line in whole(made).partition(b"\n\n")[0].split(b"\n") + text.split(b"\n"):
            self.assertLessEqual(len(line), 998)
            self.assertRegex(line, rb"^(|[A-Z][A-Za-z-]*:( .*)?| \S.*)$")

    def test_injection(self) -> None:
        """Line breaks in a sender, a message id or a reply add no field and no part."""
        boundary = parsed(report()).get_boundary()
        text = f"550 x\r\nAction: delivered\n\n--{boundary}\nBcc: victim@example.net"
        original = from_bytes(b"Message-ID: <a@b>\rBcc: <c@d>\nSubject: x\n\nhello\n", whole=True)
        made = report(
            entries=[entry(diagnostic=text, reason=text)], recipient="a\nBcc: v@example.org", original=original
        )
        self.assertIsNone(parsed(made)["Bcc"])
        self.assertEqual(groups(made)[1]["Action"], "failed")
        self.assertEqual(len(parts(made)), 3)
