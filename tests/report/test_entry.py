"""Tests for :mod:`smtpclient.report.entry`."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.mail.envelope import Notify, Recipient
from smtpclient.report.entry import Entry, EntryParser, encode, from_outcome, newest
from tests.report.world import bounced, deferred, entry

LOOSE = settings(max_examples=200, deadline=None, derandomize=True)

# What bounce(8) of Postfix 3.7 wrote for one recipient.
POSTFIX = b"""
<u1@example.com>: host mx.example.com[127.0.0.2] said: 550 5.1.1 unknown (in
    reply to RCPT TO command)
recipient=u1@example.com
original_recipient=alias@example.org
offset=480
dsn_orig_rcpt=rfc822;alias@example.org
notify_flags=6
status=5.1.1
action=failed
diag_type=smtp
diag_text=550 5.1.1 unknown
mta_type=dns
mta_mname=mx.example.com
reason=host mx.example.com[127.0.0.2] said: 550 5.1.1 unknown (in reply to RCPT TO command)

"""


def parse(data: bytes, kind: str = "bounce", block: int = 1 << 20) -> list[Entry]:
    """All entries, read in blocks."""
    parser = EntryParser(kind)
    return [found for start in range(0, len(data), block) for found in parser.feed(data[start : start + block])]


class FromOutcome(SynchronousTestCase):
    """What is recorded of an outcome."""

    def test_reply(self) -> None:
        """A server's reply is recorded with the name of the server."""
        recorded = from_outcome(bounced(), "failed")
        self.assertEqual(
            (recorded.diagnostic_type, recorded.diagnostic, recorded.mta_type, recorded.mta),
            ("smtp", "550 5.1.1 unknown", "dns", "mx.example.com"),
        )

    def test_no_reply(self) -> None:
        """Where no reply decided, no server is named, even if one was spoken of."""
        recorded = from_outcome(deferred(), "delayed")
        self.assertEqual((recorded.diagnostic_type, recorded.diagnostic, recorded.mta_type, recorded.mta), ("",) * 4)

    def test_prefix(self) -> None:
        """A prefix stands before the reason."""
        self.assertTrue(from_outcome(bounced(), "failed", "delivery via x: ").reason.startswith("delivery via x: host"))


class Encode(SynchronousTestCase):
    """Writing."""

    def test_form(self) -> None:
        """An entry has Postfix's lines, in its order, between blank lines."""
        self.assertEqual(
            encode(from_outcome(bounced(), "failed")).decode().split("\n"),
            [
                "",
                "<nobody@example.com>: host mx.example.com[192.0.2.1] said: 550 5.1.1 unknown"
                " (in reply to RCPT TO command)",
                "recipient=nobody@example.com",
                "offset=512",
                "dsn_orig_rcpt=rfc822;nobody@example.com",
                "status=5.1.1",
                "action=failed",
                "diag_type=smtp",
                "diag_text=550 5.1.1 unknown",
                "mta_type=dns",
                "mta_mname=mx.example.com",
                "reason=host mx.example.com[192.0.2.1] said: 550 5.1.1 unknown (in reply to RCPT TO command)",
                "",
                "",
            ],
        )

    def test_what_is_empty_is_left_out(self) -> None:
        """No line is written for what is not known; an original recipient only when it differs."""
        recorded = entry(recipient=Recipient("a@example.com", original="A@Example.com"))
        self.assertEqual(
            encode(recorded),
            b"\n<a@example.com>: it failed\nrecipient=a@example.com\nstatus=5.0.0\naction=failed\nreason=it failed\n\n",
        )

    def test_quoted_address(self) -> None:
        """Addresses stand in their external form and are read back in their internal one."""
        recorded = entry("user name@example.com")
        self.assertIn(b'\nrecipient="user name"@example.com\n', encode(recorded))
        self.assertEqual(parse(encode(recorded)), [recorded])

    def test_null_recipient(self) -> None:
        """The null address is written as <> and read back as such."""
        self.assertIn(b"\nrecipient=<>\n", encode(entry("")))
        self.assertEqual(parse(encode(entry(""))), [entry("")])

    @LOOSE
    @given(st.text(), st.text(), st.binary(max_size=30), st.sampled_from([*Notify, Notify(0), Notify(14)]))
    def test_any_text_makes_one_entry(self, reason: str, reply: str, name: bytes, notify: Notify) -> None:
        """Whatever an address or a server said, one entry is written and one is read, of the same recipient."""
        address = name.decode("utf-8", "surrogateescape") + "@example.com"
        written = entry(recipient=Recipient(address, notify=notify), reason=reason, diagnostic=reply)
        (read,) = parse(encode(written))
        self.assertEqual((read.recipient.notify, read.status, read.action), (notify, "5.0.0", "failed"))
        if address.isprintable():
            self.assertEqual(read.recipient.address, address)


class Parse(SynchronousTestCase):
    """Reading."""

    def test_postfix_wrote_it(self) -> None:
        """What Postfix's bounce(8) wrote is understood, line that it has wrapped included."""
        (read,) = parse(POSTFIX)
        self.assertEqual(
            read,
            Entry(
                recipient=Recipient(
                    "u1@example.com",
                    original="alias@example.org",
                    offset=480,
                    orcpt="rfc822;alias@example.org",
                    notify=Notify.SUCCESS | Notify.FAILURE,
                ),
                status="5.1.1",
                action="failed",
                reason="host mx.example.com[127.0.0.2] said: 550 5.1.1 unknown (in reply to RCPT TO command)",
                diagnostic_type="smtp",
                diagnostic="550 5.1.1 unknown",
                mta_type="dns",
                mta="mx.example.com",
            ),
        )

    def test_blocks_of_any_size(self) -> None:
        """Where a block ends makes no difference."""
        data = POSTFIX + encode(entry()) + POSTFIX
        expected = parse(data)
        self.assertEqual(len(expected), 3)
        self.assertEqual(
            {size: parse(data, block=size) for size in (1, 2, 7, 64)}, dict.fromkeys((1, 2, 7, 64), expected)
        )

    def test_status_is_missing(self) -> None:
        """An entry without status and action has those that its file stands for."""
        data = b"\nrecipient=a@example.com\nreason=out of paper\n\n"
        self.assertEqual(
            [(kind, parse(data, kind)[0].status, parse(data, kind)[0].action) for kind in ("bounce", "defer", "trace")],
            [("bounce", "5.0.0", "failed"), ("defer", "4.0.0", "delayed"), ("trace", "2.0.0", "relayed")],
        )
        self.assertEqual(parse(data)[0].reason, "out of paper")

    def test_torn_entry_does_not_count(self) -> None:
        """However much of an entry is missing, it is not read."""
        data = encode(from_outcome(bounced(), "failed"))
        self.assertEqual([parse(data[:end]) for end in range(len(data))], [[]] * len(data))

    def test_writing_on_behind_a_torn_entry(self) -> None:
        """Behind an entry that a crash has torn, the next one is read, and only that."""
        data = encode(from_outcome(bounced("torn@example.com"), "failed"))
        for following in (encode(entry()), encode(entry()).replace(b"<nobody@example.com>: it failed\n", b"")):
            for end in range(data.index(b"\nreason=")):
                self.assertEqual(parse(data[:end] + following), [entry()], data[:end])

    def test_unknown_lines_are_passed_over(self) -> None:
        """Lines that mean nothing, and numbers that are none, do no harm."""
        data = b"\nrecipient=a@example.com\n???\n  x\nfuture=1\noffset=many\nnotify_flags=-3\nreason=r\n\n"
        self.assertEqual(parse(data), [entry("a@example.com", "r")])

    def test_entry_without_recipient(self) -> None:
        """An entry that names nobody is none."""
        self.assertEqual(parse(b"\nreason=r\nstatus=5.0.0\n\n"), [])

    @LOOSE
    @given(st.binary())
    def test_any_bytes(self, data: bytes) -> None:
        """No bytes stop the reader, and what follows them is still read."""
        read = parse(data + b"\n\n" + encode(entry("after@example.com")))
        self.assertEqual(read[-1].recipient.address, "after@example.com")


class Newest(SynchronousTestCase):
    """One entry per recipient."""

    def test_last_record_counts(self) -> None:
        """A recipient that was recorded twice is reported once, with the later reason, at the earlier place."""
        records = [from_outcome(bounced("a@example.com"), "failed"), entry("b@example.com")]
        again = from_outcome(bounced("a@example.com"), "failed", "again: ")
        self.assertEqual(newest([*records, again]), [again, records[1]])

    def test_the_same_address_twice_in_a_message(self) -> None:
        """Two recipients with the same address at different places of the envelope are two."""
        two = [from_outcome(bounced(offset=offset), "failed") for offset in (100, 200)]
        self.assertEqual(newest(two), two)


class Wanted(SynchronousTestCase):
    """Whether the sender wants to hear."""

    def test_table(self) -> None:
        """Who did not say hears of everything; otherwise only of what was asked for."""
        cases = {
            (Notify(0), Notify.FAILURE): True,
            (Notify.FAILURE, Notify.FAILURE): True,
            (Notify.SUCCESS | Notify.DELAY, Notify.FAILURE): False,
            (Notify.SUCCESS | Notify.DELAY, Notify.DELAY): True,
            (Notify.NEVER, Notify.FAILURE): False,
        }
        self.assertEqual({case: entry(notify=case[0]).wanted(case[1]) for case in cases}, cases)
