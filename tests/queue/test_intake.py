"""What is done to a new message before it is queued, and what is refused."""

import random
import tracemalloc
from collections.abc import Iterable, Iterator
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.parameters import Parameters
from smtpclient.mail.envelope import NewMessage, Notify, Recipient, Return, Utf8
from smtpclient.observe.maillog import MailLog
from smtpclient.queue.intake import (
    LONGEST_ADDRESS,
    IntakeError,
    PreparedContent,
    Rules,
    Submission,
    local_trace,
    log_arrival,
    prepare,
)

NOW = 1795342369.25  # Sun, 22 Nov 2026 10:12:49 +0000
RULES = Rules(myhostname="mail.example.test", myorigin="example.test")
WHOLE = b"Message-ID: <1@x>\nDate: today\nFrom: s@x.test\n"


def prepared(
    content: bytes | Iterable[bytes] = WHOLE,
    *recipients: str | Recipient,
    rules: Rules = RULES,
    sender: str = "s@x.test",
    **details: object,
) -> NewMessage:
    """A message for ``r@y.test``, or whom it is for, made ready."""
    given = [one if isinstance(one, Recipient) else Recipient(one) for one in recipients or ("r@y.test",)]
    submission = replace(Submission(sender, given, content), **details)  # type: ignore[arg-type]
    return prepare(submission, rules, NOW, random.Random(1))


def text(message: NewMessage) -> bytes:
    """The content of a message."""
    return b"".join(message.content if not isinstance(message.content, bytes) else [message.content])


def header(message: NewMessage) -> list[str]:
    """The lines of a message's header."""
    return text(message).partition(b"\n\n")[0].decode("utf-8", "surrogateescape").splitlines()


class HeaderTests(SynchronousTestCase):
    """The header as it is queued."""

    def refused(self, content: bytes, rules: Rules = RULES, **details: object) -> tuple[str, str]:
        """Status and text of the refusal."""
        error = self.assertRaises(IntakeError, prepared, content, rules=rules, **details)
        return error.status, error.text

    def test_a_complete_message_passes(self) -> None:
        """What lacks nothing is stored as it is."""
        content = WHOLE + b"To: r@y.test\nX-1: \x00\xff\n\nbody\x00\n\n.\n"
        self.assertEqual(content, text(prepared(content)))

    def test_missing_fields_of_local_mail(self) -> None:
        """Message-ID, Date and From are put behind the fields that are there; To is not made up."""
        lines = header(prepared(b"Subject: x\n\nbody\n", full_name="Root"))
        self.assertEqual("Subject: x", lines[0])
        self.assertRegex(lines[1], r"^Message-ID: <20261122101249\.[0-9a-f]{20}@mail\.example\.test>$")
        self.assertRegex(lines[2], r"^Date: \w{3}, 2[123] Nov 2026 \d\d:\d\d:49 [+-]\d{4}$")
        self.assertEqual(["From: Root <s@x.test>"], lines[3:])

    def test_mail_from_elsewhere_keeps_its_header(self) -> None:
        """Mail that is only passed on gets no fields and no domains."""
        content = b"From: root\n\nbody\n"
        self.assertEqual(content, text(prepared(content, local=False)))

    def test_missing_fields_of_a_resent_message(self) -> None:
        """Where a message was resent, it is the Resent- fields that may be missing."""
        lines = header(prepared(b"Resent-To: r@y.test\nTo: a@b.test\nResent-Bcc: h@y.test\n\n"))
        self.assertEqual(["Resent-To: r@y.test", "To: a@b.test"], lines[:2])
        self.assertEqual(["Resent-Message-ID", "Resent-Date", "Resent-From"], [one.split(":")[0] for one in lines[2:]])

    def test_message_ids_differ(self) -> None:
        """Two messages of one second have different Message-IDs."""
        chance = random.Random(1)
        submission = Submission("", [Recipient("r@y.test")], b"")
        ids = {text(prepare(submission, RULES, NOW, chance)).splitlines()[0] for _ in range(100)}
        self.assertEqual(100, len(ids))

    def test_the_sender_in_from(self) -> None:
        """The sender's address is quoted, the name is made a phrase; the null sender is the mail system."""
        table = {
            ("", ""): "MAILER-DAEMON@example.test",
            ("s@x.test", ""): "s@x.test",
            ("a b@x.test", "A B"): 'A B <"a b"@x.test>',
            ("s@x.test", "John Q. (the) Public"): '"John Q. (the) Public" <s@x.test>',
            ("s@x.test", 'a"\\b'): '"a\\"\\\\b" <s@x.test>',
            ("s@x.test", "Jos\xe9"): "=?utf-8?b?Sm9zw6k=?= <s@x.test>",
            ("s@x.test", "evil\r\nBcc: x\x00"): '"evil Bcc: x" <s@x.test>',
            ("root", "Root"): "Root <root@example.test>",
        }
        made = {key: header(prepared(b"", sender=key[0], full_name=key[1]))[-1] for key in table}
        self.assertEqual({key: f"From: {value}" for key, value in table.items()}, made)

    def test_a_name_that_is_no_text(self) -> None:
        """Bytes of a name that are not UTF-8 do not get in the way."""
        self.assertIn("=?utf-8?", header(prepared(b"", full_name="Jos\udce9"))[-1])
        self.assertEqual("a b", prepared(b"", full_name="a\nb").full_name)

    def test_a_long_name_is_folded(self) -> None:
        """A long name in encoded words is still one field."""
        lines = header(prepared(b"", full_name="\xe9" * 80))
        at = next(number for number, line in enumerate(lines) if line.startswith("From:"))
        self.assertTrue(all(line.startswith(" ") for line in lines[at + 1 :]), lines)

    def test_received(self) -> None:
        """The trace and the date are the first field."""
        lines = header(prepared(b"Received: x\n\n", trace=local_trace(RULES, 7)))
        self.assertEqual("Received: by mail.example.test (smtpclient, from userid 7);", lines[0])
        self.assertRegex(lines[1], r"^\t\w{3}, 2[123] Nov 2026 .*$")
        self.assertEqual("Received: x", lines[2])

    def test_dropped_fields(self) -> None:
        """Bcc and the like are gone with all their lines, whatever the case of their names."""
        content = WHOLE + b"BCC: a@b.test,\n c@d.test\nReturn-Path: <x>\nContent-Length: 3\nX: 1\n\nBcc: body\n"
        self.assertEqual(WHOLE + b"X: 1\n\nBcc: body\n", text(prepared(content)))

    def test_dropped_fields_are_configured(self) -> None:
        """What is dropped is what the operator lists."""
        rules = replace(RULES, message_drop_headers=frozenset({"x"}))
        self.assertEqual(WHOLE + b"Bcc: a\n", text(prepared(WHOLE + b"X: 1\nBcc: a\n", rules=rules, local=False)))

    def test_addresses_get_a_domain(self) -> None:
        """Addresses in the header of local mail are complete."""
        lines = header(prepared(b"From: root (Cron)\nTo: a@b.test, root\nSubject: root\n\n"))
        self.assertEqual(
            ["From: root@example.test (Cron)", "To: a@b.test, root@example.test", "Subject: root"], lines[:3]
        )

    def test_content_without_header(self) -> None:
        """Text that begins at once gets a header, an empty line and loses nothing."""
        self.assertTrue(text(prepared(b"hello: world\r\nthere\r")).endswith(b"\n\nthere \n"))
        self.assertTrue(text(prepared(b"hello\r\nworld")).endswith(b"From: s@x.test\n\nhello\nworld\n"))

    def test_too_many_hops(self) -> None:
        """As Postfix counts: our own Received field is a hop, and the limit itself is one too many."""
        trace = local_trace(RULES, 0)
        prepared(b"Received: x\n" * 48, trace=trace)
        self.assertEqual(("5.4.0", "too many hops"), self.refused(b"Received: x\n" * 49, trace=trace))
        prepared(b"Received: x\n" * 49)
        self.assertEqual(("5.4.0", "too many hops"), self.refused(b"Received: x\n" * 50))

    def test_a_header_too_large(self) -> None:
        """A field over header_size_limit is refused, not cut: a list of recipients must not lose its end."""
        rules = replace(RULES, header_size_limit=100)
        self.assertEqual(
            ("5.3.4", "To: field is larger than 100 bytes"), self.refused(b"To: " + b"a@b.test, " * 20, rules)
        )


class EnvelopeTests(SynchronousTestCase):
    """Sender, recipients and what is noted beside them."""

    def test_the_envelope_passes(self) -> None:
        """What the submitter asked for is in the result."""
        details = {
            "encoding": "7bit",
            "envelope_id": "id",
            "ret": Return.HEADERS,
            "full_name": "Root",
            "attributes": {"log_message_origin": "local"},
        }
        message = prepared(WHOLE, Recipient("r@y.test", orcpt="rfc822;o@y.test", notify=Notify.NEVER), **details)
        self.assertEqual(details, {name: getattr(message, name) for name in details})
        self.assertEqual((Recipient("r@y.test", "", -1, "rfc822;o@y.test", Notify.NEVER),), message.recipients)

    def test_recipients_without_domain(self) -> None:
        """They get myorigin, and keep what was given as the original; ORCPT is set where it was not."""
        message = prepared(WHOLE, "root", "r@y.test", "jos\xe9@y.test")
        self.assertEqual(
            (
                Recipient("root@example.test", "root", -1, "rfc822;root@example.test"),
                Recipient("r@y.test", "", -1, "rfc822;r@y.test"),
                Recipient("jos\xe9@y.test", "", -1, "utf-8;jos\xe9@y.test"),
            ),
            message.recipients,
        )

    def test_recipients_given_twice(self) -> None:
        """One recipient gets one copy, unless its two mentions ask for different notifications."""
        message = prepared(WHOLE, "a@y.test", "A@Y.test", "b@y.test", Recipient("a@y.test", notify=Notify.NEVER))
        self.assertEqual(["a@y.test", "b@y.test", "a@y.test"], [one.address for one in message.recipients])

    def test_recipients_of_the_header(self) -> None:
        """They are added to those of the envelope, with the wishes for notification."""
        content = WHOLE + b"To: a@y.test, r@y.test\nBcc: h\n\n"
        message = prepared(content, Recipient("r@y.test", notify=Notify.DELAY), header_recipients=Notify.DELAY)
        found = {one.address: one.notify for one in message.recipients}
        self.assertEqual(dict.fromkeys(["r@y.test", "a@y.test", "h@example.test"], Notify.DELAY), found)
        self.assertEqual(3, len(message.recipients))
        self.assertNotIn(b"Bcc", text(message))

    def test_refused_addresses(self) -> None:
        """What is no address is refused with a status and the reason."""
        too_long = "x" * LONGEST_ADDRESS + "@y.test"
        table = {
            "a\nb@y.test": "recipient address holds a control character: <a?b@y.test>",
            "a@y.test\x7f": "recipient address holds a control character: <a@y.test?>",
            "": "bad recipient address syntax: <>",
            "@y.test": "bad recipient address syntax: <@y.test>",
            "a@": "bad recipient address syntax: <a@>",
            "a@.": "bad recipient address syntax: <a@.>",
            "a@y test": "bad recipient address syntax: <a@y test>",
            "a@b>c": "bad recipient address syntax: <a@b>c>",
            "a\udce9@y.test": "recipient address is not valid UTF-8: <a?@y.test>",
            too_long: f"recipient address is longer than 512 bytes: <{'x' * 100}...>",
        }
        refusals = {}
        for one in table:
            error = self.assertRaises(IntakeError, prepared, WHOLE, one)
            self.assertEqual("5.1.3", error.status)
            refusals[one] = error.text
        self.assertEqual(table, refusals)

    def test_refused_sender(self) -> None:
        """The sender is held to the same rules."""
        error = self.assertRaises(IntakeError, prepared, WHOLE, sender="a\r@x.test")
        self.assertEqual("5.1.7 sender address holds a control character: <a?@x.test>", str(error))

    def test_no_recipients(self) -> None:
        """A message for nobody is refused, also where its header was to name them."""
        submission = Submission("s@x.test", [], WHOLE)
        for one in (submission, replace(submission, header_recipients=Notify(0))):
            error = self.assertRaises(IntakeError, prepare, one, RULES, NOW, random.Random())
            self.assertEqual(("5.1.3", "no recipient addresses given"), (error.status, error.text))

    def test_unreadable_recipients_of_the_header(self) -> None:
        """One recipient that cannot be read fails the message, with the field's name."""
        error = self.assertRaises(IntakeError, prepared, b"To: a b@c, d@e\n", header_recipients=Notify(0))
        self.assertEqual(("5.1.3", 'To: header: no comma before "b" in "a b@c, d@e"'), (error.status, error.text))

    def test_an_envelope_id_that_is_no_line(self) -> None:
        """An envelope id that would break a record is refused."""
        self.assertEqual("5.5.4", self.assertRaises(IntakeError, prepared, WHOLE, envelope_id="a\nb").status)

    def test_encoding(self) -> None:
        """8-bit content is what the submitter declares, or the header."""
        table = {
            ("", b"8bit"): "8bit",
            ("", b" BINARY (x)"): "8bit",
            ("", b"7bit"): "",
            ("", b"base64"): "",
            ("7bit", b"8bit"): "7bit",
            ("8bit", b"7bit"): "8bit",
        }
        found = {
            key: prepared(b"Content-Transfer-Encoding: " + key[1] + b"\n\n\xff", encoding=key[0]).encoding
            for key in table
        }
        self.assertEqual(table, found)
        self.assertEqual("", prepared(b"\n\xff").encoding)

    def test_utf8(self) -> None:
        """What needs SMTPUTF8 is noted as Postfix notes it; only local mail asks for it without being told."""
        asked, of_header, of_sender = Utf8.REQUESTED, Utf8.HEADER, Utf8.SENDER
        plain, utf8, latin1 = b"Subject: x\n\n\xc3\xa9", b"Subject: \xc3\xa9\n\n", b"Subject: \xe9\n\n"
        table = {
            ("s@x.test", "r@y.test", plain, True): Utf8(0),
            ("s@x.test", "r@y.test", latin1, True): Utf8(0),
            ("s@x.test", "r@y.test", utf8, True): asked | of_header,
            ("s\xe9@x.test", "r@y.test", WHOLE, True): asked | of_sender,
            ("s\xe9@x.test", "r@y.test", plain, True): asked | of_header | of_sender,
            ("s@x.test", "r@\xe9.test", plain, True): asked,
            ("s@x.test", "r@y.test", utf8, False): of_header,
            ("s\xe9@x.test", "r@\xe9.test", utf8, False): of_header | of_sender,
        }
        found = {key: prepared(key[2], key[1], sender=key[0], local=key[3]).utf8 for key in table}
        self.assertEqual(table, found)
        self.assertEqual(asked | of_header, prepared(utf8, local=False, utf8=asked).utf8)
        self.assertEqual(asked, prepared(plain, utf8=asked).utf8)


class ContentTests(SynchronousTestCase):
    """Content of any size."""

    def test_size_limit_of_bytes(self) -> None:
        """Content that is there as a whole is refused at once."""
        rules = replace(RULES, message_size_limit=1000)
        for content in (b"\n" + b"x" * 1000, [b"\n", b"x" * 1000]):
            error = self.assertRaises(IntakeError, prepared, content, rules=rules)
            self.assertEqual("5.3.4", error.status)
            self.assertEqual("message is larger than 1000 bytes (message_size_limit)", error.text)

    def test_size_limit_of_blocks(self) -> None:
        """Content that is read while it is stored is refused when it turns out too large."""
        message = prepared(iter([b"\n"] + [b"x" * 600] * 2), rules=replace(RULES, message_size_limit=1000))
        self.assertEqual("5.3.4", self.assertRaises(IntakeError, text, message).status)

    def test_no_size_limit(self) -> None:
        """Zero means that every size is taken."""
        self.assertEqual(
            20_000_001,
            len(text(prepared(b"\n" + b"x" * 19_999_999, rules=replace(RULES, message_size_limit=0), local=False))),
        )

    def test_content_can_be_read_again(self) -> None:
        """What is given as bytes or as a list can be iterated again, with the same result."""
        for content in (WHOLE + b"\r\nbody", [WHOLE, b"\r", b"\nbody"]):
            message = prepared(content)
            self.assertEqual(WHOLE + b"\nbody\n", text(message))
            self.assertEqual(WHOLE + b"\nbody\n", text(message))

    def test_a_stream_is_read_once(self) -> None:
        """A stream gives its content once; the second reader is told so rather than given nothing."""
        message = prepared(iter([WHOLE, b"\nbody"]))
        self.assertEqual(WHOLE + b"\nbody\n", text(message))
        self.assertIn("cannot be read again", str(self.assertRaises(ValueError, text, message)))

    def test_memory_does_not_grow_with_the_message(self) -> None:
        """A stream of 64 MB passes through a few hundred kilobytes."""

        def stream() -> Iterator[bytes]:
            yield WHOLE + b"\n"
            for _ in range(1000):
                yield b"x" * 63_998 + b"\r\n"

        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        rules = replace(RULES, message_size_limit=0)
        content = prepared(stream(), rules=rules).content
        assert isinstance(content, PreparedContent)
        self.assertEqual(63_999_000 + len(WHOLE) + 1, sum(map(len, content)))
        self.assertLess(tracemalloc.get_traced_memory()[1], 2_000_000)

    @settings(max_examples=100, deadline=None, derandomize=True)
    @given(
        st.lists(st.sampled_from([b"From: a", b"To: b", b"x", b"\r", b"\n", b"\r\n", b".", b" ", b":", b"\xff"])),
        st.booleans(),
    )
    def test_any_content(self, pieces: list[bytes], local: bool) -> None:
        """Any bytes become a message of whole lines without CR, the same whether given whole or in pieces."""
        whole = text(prepared(b"".join(pieces), local=local))
        self.assertEqual(whole, text(prepared(iter(pieces), local=local)))
        self.assertNotIn(b"\r", whole)
        self.assertTrue(whole.endswith(b"\n") or not whole)


class RulesTests(SynchronousTestCase):
    """The operator's settings, and what is said of a message."""

    def test_from_parameters(self) -> None:
        """Every rule is the parameter of its name."""
        values = {
            "myhostname": "h.test",
            "myorigin": "o.test",
            "message_size_limit": "1000000",
            "header_size_limit": "20000",
            "hopcount_limit": "3",
            "message_drop_headers": "BCC, x-secret",
        }
        rules = Rules.from_parameters(Parameters.from_values(values))
        self.assertEqual(Rules("h.test", "o.test", 1_000_000, 20_000, 3, frozenset({"bcc", "x-secret"})), rules)

    def test_defaults_are_the_parameters(self) -> None:
        """Who makes rules without parameters gets the parameters' defaults."""
        rules = Rules.from_parameters(Parameters.from_values({"myhostname": "h.test"}))
        self.assertEqual(Rules("h.test", "h.test"), rules)

    def test_log_arrival(self) -> None:
        """The log ties the queue id to the Message-ID."""
        maillog = MailLog(lambda: NOW)
        lines: list[object] = []
        maillog.publisher.addObserver(lambda event: lines.append((event["process"], event["mail_line"])))
        log_arrival(maillog, "ABC", prepared(b"message-ID:\n <1@x>\n"))
        log_arrival(maillog, "ABC", prepared(b"Resent-Message-ID: <2@x>\nMessage-ID: <1@x>\n"))
        log_arrival(maillog, "ABC", NewMessage("", [Recipient("r@y.test")], b""))
        self.assertEqual([("cleanup", "ABC: message-id=<1@x>"), ("cleanup", "ABC: message-id=<2@x>")], lines)
