"""What is changed of messages on their way out, for which server, and in which order."""

import email
import email.policy
import tracemalloc
from collections.abc import Mapping
from email.message import EmailMessage
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import provider
from zope.interface.verify import verifyObject

from smtpclient.config.parameters import Parameters
from smtpclient.config.tables import Tables
from smtpclient.interfaces import IContentReader
from smtpclient.mail.envelope import Recipient
from smtpclient.mail.outcome import Disposition
from smtpclient.observe.maillog import MailLog
from smtpclient.smtp.capability import Capabilities
from smtpclient.smtp.content_changes import ChangingReader, ContentChanges, Unsendable
from smtpclient.smtp.generic import GenericMaps
from smtpclient.smtp.settings import DialogueSettings
from tests.mail.messages import MemoryContent, MemoryReader, envelope
from tests.smtp.cutting import cut, pieces
from tests.smtp.scripted_server import Script
from tests.smtp.test_transaction import Run, TransactionTestCase

CONVERTING = ContentChanges()
PLAIN = Capabilities(True, {"SIZE": ""})
EIGHT_BIT = Capabilities(True, {"SIZE": "", "8BITMIME": ""})

MESSAGE = """\
From: Jürgen <j@x.test>
MIME-Version: 1.0
Content-Transfer-Encoding: 8bit
Content-Type: multipart/mixed; boundary=b

Prolog in Köln
--b
Content-Transfer-Encoding: 8bit
Content-Type: text/plain; charset=utf-8

Grüße = \u0020
--b
Content-Type: message/rfc822
Content-Transfer-Encoding: 8bit

Subject: Größe
Content-Type: text/html
Content-Transfer-Encoding: binary

<ü>
--b
Content-Transfer-Encoding: base64

AAAA
--b

undeclared ö
--b--
""".encode()

CONVERTED = """\
From: Jürgen <j@x.test>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b
Content-Transfer-Encoding: 7bit

Prolog in Köln
--b
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

Gr=C3=BC=C3=9Fe =3D =20
--b
Content-Type: message/rfc822
Content-Transfer-Encoding: 7bit

Subject: Größe
Content-Type: text/html
Content-Transfer-Encoding: quoted-printable

<=C3=BC>
--b
Content-Transfer-Encoding: base64

AAAA
--b

undeclared ö
--b--
""".encode()


def changed(text: bytes, *places: int, changes: ContentChanges = CONVERTING, **mail: Any) -> bytes:
    """What is sent of a message to a server that has nothing, given in pieces."""
    stage = changes.content_filter(envelope(**mail), PLAIN)
    if stage is None:
        return text
    return b"".join([stage.feed(piece) for piece in cut(text, places)]) + stage.finish()


class Conversion(SynchronousTestCase):
    """8-bit content for servers without 8BITMIME."""

    maxDiff = None

    def test_every_part(self) -> None:
        """Parts and attached messages are converted where they say 8bit, and say what they are; nothing else is."""
        self.assertEqual(changed(MESSAGE), CONVERTED)

    def test_when(self) -> None:
        """Only when the server lacks 8BITMIME, the message is not known as 7-bit, and the operator lets it be."""
        self.assertIsNone(ContentChanges().content_filter(envelope(), EIGHT_BIT))
        self.assertIsNone(ContentChanges().content_filter(envelope(encoding="7bit"), PLAIN))
        self.assertIsNone(ContentChanges(convert=False).content_filter(envelope(encoding="8bit"), PLAIN))
        for encoding in ("", "8bit"):
            self.assertIsNotNone(ContentChanges().content_filter(envelope(encoding=encoding), PLAIN))

    def test_attached_message_that_cannot_be_7bit(self) -> None:
        """What is encoded says so: a message in UTF-8, and what other messages there are."""
        for subtype in (b"global", b"delivery-status"):
            text = b"Content-Type: message/" + subtype + b"\nContent-Transfer-Encoding: 8bit\n\nX: \xc3\xbc\n"
            self.assertIn(b"Encoding: quoted-printable\n\nX: =C3=BC\n", changed(text))

    def test_no_header_end(self) -> None:
        """A header that ends with text is followed by an empty line, and its body is converted all the same."""
        text = b"Content-Transfer-Encoding: 8bit\n\xc3\xbc"
        self.assertEqual(changed(text), b"Content-Transfer-Encoding: quoted-printable\n\n=C3=BC")

    def test_header_only(self) -> None:
        """A message without body says what its body would be."""
        self.assertEqual(
            changed(b"Content-Transfer-Encoding: 8bit\n"), b"Content-Transfer-Encoding: quoted-printable\n"
        )

    def test_nested_too_deeply(self) -> None:
        """What cannot be followed cannot be converted, and is not sent to such a server."""
        text = b"".join([b"Content-Type: multipart/x; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(102)])
        why = self.assertRaises(Unsendable, changed, text)
        self.assertEqual((why.status, str(why)), ("5.6.0", "MIME nesting exceeds safety limit"))
        why = self.assertRaises(Unsendable, changed, text.removesuffix(b"\n\n--b101\n"))
        self.assertEqual(why.status, "5.6.0")

    def test_memory(self) -> None:
        """It does not grow with the message, nor with its lines."""
        for block in ("ü\n".encode() * 20000, "ü".encode() * 30000):
            stage = ContentChanges().content_filter(envelope(), PLAIN)
            assert stage is not None
            stage.feed(b"Content-Transfer-Encoding: 8bit\nContent-Type: multipart/x; boundary=b\n\n--b\n")
            stage.feed(b"Content-Transfer-Encoding: 8bit\n\n")
            stage.feed(block)
            tracemalloc.start()
            try:
                for _ in range(8):
                    stage.feed(block)
                self.assertLess(tracemalloc.get_traced_memory()[0], 200_000)
            finally:
                tracemalloc.stop()


def _entity(kind: str, inner: list[EmailMessage], text: str) -> EmailMessage:
    """A body of one of three kinds, around others."""
    made = EmailMessage(email.policy.default.clone(cte_type="8bit"))
    if kind == "leaf" or not inner:
        made.set_content(text, cte="8bit")
    elif kind == "message":
        made.set_content(inner[0], cte="8bit")
    else:
        made.make_mixed()
        made.set_boundary(f"b---{len(text)}.{len(bytes(inner[0]))}")
        for one in inner:
            made.attach(one)
    made["Subject"] = "words"
    return made


_TEXTS = st.text(alphabet="ab =äö.\t日-\n", max_size=120).map(lambda text: text.replace("--", "x") + "\n")
_LEAVES = _TEXTS.map(lambda text: _entity("leaf", [], text))
_MESSAGES = st.recursive(
    _LEAVES,
    lambda inner: st.builds(
        _entity, st.sampled_from(["message", "mixed"]), st.lists(inner, min_size=1, max_size=3), _TEXTS
    ),
    max_leaves=6,
)


def _texts(message: EmailMessage) -> list[bytes]:
    """What the leaves of a message say, decoded."""
    return [part.get_payload(decode=True) for part in message.walk() if not part.is_multipart()]


def _parsed(text: bytes) -> EmailMessage:
    return email.message_from_bytes(text, policy=email.policy.default)


class Properties(SynchronousTestCase):
    """Any message."""

    @settings(max_examples=80, deadline=None, derandomize=True)
    @given(_MESSAGES)
    def test_valid_messages(self, message: EmailMessage) -> None:
        """What is sent is 7-bit and says, once decoded, what it said before."""
        text = message.as_bytes(policy=email.policy.default.clone(cte_type="8bit", linesep="\n"))
        sent = changed(text)
        self.assertTrue(sent.isascii())
        self.assertEqual(_texts(_parsed(sent)), _texts(_parsed(text)))
        self.assertEqual(
            [part.get_content_type() for part in _parsed(sent).walk()],
            [part.get_content_type() for part in _parsed(text).walk()],
        )

    @settings(max_examples=100, deadline=None, derandomize=True)
    @given(st.lists(st.integers(0, len(MESSAGE)), max_size=10))
    def test_cuts_do_not_matter(self, places: list[int]) -> None:
        """Wherever the blocks are cut, the same is sent."""
        self.assertEqual(changed(MESSAGE, *places), CONVERTED)

    @settings(max_examples=150, deadline=None, derandomize=True)
    @given(
        st.lists(
            st.sampled_from([*MESSAGE.splitlines(keepends=True), b"\n", b"\r\n", b"\0", b"--b", b" ", b"x" * 3000]),
            max_size=20,
        ),
        st.lists(st.integers(0, 3000), max_size=6),
    )
    def test_any_lines(self, lines: list[bytes], places: list[int]) -> None:
        """Lines in any order raise nothing, and are sent the same however they are cut."""
        changes = ContentChanges(generic=_generic("j@x.test = k@y.test"))
        text = b"".join(lines)
        self.assertEqual(changed(text, *places, changes=changes), changed(text, changes=changes))


def _generic(entry: str) -> GenericMaps:
    return GenericMaps(Tables("inline:{{" + entry + "}}"), "here.test", lambda domain: False)


class Order(SynchronousTestCase):
    """All changes together, by the parameters."""

    maxDiff = None

    def setUp(self) -> None:
        self.log: list[str] = []

    def changes(self, values: Mapping[str, str], **rules: str) -> ContentChanges:
        """What these parameters and tables of patterns ask for."""
        maillog = MailLog()

        @provider(ILogObserver)
        def observe(event: LogEvent) -> None:
            self.log.append(event["mail_line"])

        maillog.publisher.addObserver(observe)
        settings = {"myhostname": "me.here.test", "myorigin": "here.test", **values}
        for name, text in rules.items():
            settings[name] = f"regexp:{self.mktemp()}"
            with open(settings[name].removeprefix("regexp:"), "w") as file:
                file.write(text + "\n")
        return ContentChanges.from_parameters(Parameters.from_values(settings), maillog)

    def test_defaults(self) -> None:
        """With no parameter set, only conversion may happen."""
        self.assertEqual(self.changes({}), ContentChanges())
        self.assertEqual(self.changes({"disable_mime_output_conversion": "yes"}), ContentChanges(convert=False))

    def test_checks_see_what_is_converted(self) -> None:
        """Checks look at encoded lines and at the new field; the old one is gone before."""
        changes = self.changes(
            {},
            smtp_header_checks="/^Content-Transfer-Encoding: (.*)/ REPLACE X-Encoding: $1",
            smtp_mime_header_checks="/^Content-Transfer-Encoding/ REPLACE X-Never: seen",
            smtp_body_checks="/=C3=BC/ REPLACE seen",
        )
        text = b"Content-Transfer-Encoding: 8bit\n\n\xc3\xbc\n"
        self.assertEqual(changed(text, changes=changes), b"X-Encoding: quoted-printable\n\nseen\n")
        self.assertEqual(
            self.log[0],
            "3A66D21A822: replace: header Content-Transfer-Encoding: quoted-printable: X-Encoding: quoted-printable",
        )

    def test_addresses_are_replaced_in_what_is_checked(self) -> None:
        """A field that a check puts in place of another is rewritten, one that it puts before it is not."""
        changes = self.changes(
            {"smtp_generic_maps": "inline:{j@x.test=k@y.test}"},
            smtp_header_checks="/^X-(.*)/ REPLACE $1\n/^To/ PREPEND Cc: j@x.test\n/^Cc/ IGNORE",
        )
        text = b"X-From : j@x.test\nTo: j@x.test\nCc: j@x.test\nX: j@x.test\n\nFrom: j@x.test\n"
        wanted = b"From: k@y.test\nCc: j@x.test\nTo: k@y.test\nX: j@x.test\n\nFrom: j@x.test\n"
        self.assertEqual(changed(text, changes=changes), wanted)

    def test_addresses_of_the_own_header_only(self) -> None:
        """Addresses in attached messages and parts stay; those of every address field of the header do not."""
        changes = self.changes({"smtp_generic_maps": "inline:{j@x.test=k@y.test}"})
        inner = b"From: j@x.test\nTo: j@x.test\n\nj@x.test\n"
        text = b"Resent-Sender: j@x.test\nerrors-to: j@x.test\nContent-Type: message/rfc822\n\n" + inner
        self.assertEqual(
            changed(text, changes=changes, encoding="7bit"),
            b"Resent-Sender: k@y.test\nerrors-to: k@y.test\nContent-Type: message/rfc822\n\n" + inner,
        )

    def test_last_line_of_a_checked_body(self) -> None:
        """It is sent although it has no end."""
        changes = self.changes({}, smtp_body_checks="/^a/ REPLACE b")
        self.assertEqual(changed(b"\nx\na", changes=changes), b"\nx\nb")

    def test_extension(self) -> None:
        """Delimiter, own domains and the spreading of extensions are those of the parameters."""
        values = {
            "smtp_generic_maps": "inline:{j=k@y.test}",
            "recipient_delimiter": "+",
            "mydestination": "!no.test, a.test",
        }
        for propagate, wanted in (("canonical, generic", "k+e@y.test"), ("", "k@y.test")):
            generic = self.changes({**values, "propagate_unmatched_extensions": propagate}).generic
            assert generic is not None
            found = [generic.envelope_address(f"j+e@{domain}") for domain in ("A.test", "here.test", "no.test")]
            self.assertEqual(found, [wanted, wanted, "j+e@no.test"])

    def test_limit_of_a_field(self) -> None:
        """It is that of ``header_size_limit``."""
        changes = self.changes({"header_size_limit": "50"})
        self.assertLess(len(changed(b"X: " + b"a\n b" * 1000 + b"\n\n", changes=changes)), 100)


class Commands(SynchronousTestCase):
    """What MAIL and RCPT say."""

    def test_size(self) -> None:
        """It is not known where conversion may happen."""
        self.assertEqual(ContentChanges().announced(envelope(size=10), PLAIN).size, 0)
        for changes, capabilities, encoding in (
            (ContentChanges(), EIGHT_BIT, ""),
            (ContentChanges(), PLAIN, "7bit"),
            (ContentChanges(convert=False), PLAIN, "8bit"),
        ):
            one = envelope(size=10, encoding=encoding)
            self.assertIs(changes.announced(one, capabilities), one)

    def test_addresses(self) -> None:
        """Sender and recipients are replaced; what belongs to the recipient otherwise stays."""
        changes = ContentChanges(generic=_generic("j@x.test = k@y.test"))
        self.assertEqual(changes.announced(envelope(sender="j@x.test"), EIGHT_BIT).sender, "k@y.test")
        self.assertEqual(changes.announced(envelope(sender=""), EIGHT_BIT).sender, "")
        recipients = [Recipient("j@x.test", "o@x.test", 5, "rfc822;o@x.test"), Recipient("a@x.test")]
        wanted = [Recipient("k@y.test", "o@x.test", 5, "rfc822;o@x.test"), Recipient("a@x.test")]
        self.assertEqual(changes.addressed(recipients), wanted)
        self.assertIs(ContentChanges().addressed(recipients), recipients)

    def test_no_address(self) -> None:
        """Where a table answers nonsense, the mail waits for the operator."""
        changes = ContentChanges(generic=_generic("j@x.test = ;"))
        for act in (
            lambda: changes.announced(envelope(sender="j@x.test"), EIGHT_BIT),
            lambda: changes.addressed([Recipient("j@x.test")]),
            lambda: changed(b"To: j@x.test\n\n", changes=changes),
        ):
            why = self.assertRaises(Unsendable, act)
            self.assertEqual(why.status, "4.3.5")


class Reading(SynchronousTestCase):
    """Changed content, read block by block."""

    def read(self, *blocks: bytes | Exception, text: bytes = b"") -> list[bytes]:
        """The blocks that are sent of a message."""
        stage = ContentChanges().content_filter(envelope(), PLAIN)
        assert stage is not None
        self.inner = MemoryReader(blocks or (text,))
        self.reader = ChangingReader(self.inner, stage)
        return self.successResultOf(Deferred.fromCoroutine(self.rest()))

    async def rest(self) -> list[bytes]:
        """All blocks to the end."""
        found = []
        while block := await self.reader.next_block():
            found.append(block)
        return found

    def test_interface(self) -> None:
        """It is read as any content is."""
        self.read(b"")
        self.assertTrue(verifyObject(IContentReader, self.reader))

    def test_small_blocks(self) -> None:
        """Blocks of which nothing can be sent yet are not sent: an empty one would be the end."""
        found = self.read(*pieces(MESSAGE, 3))
        self.assertEqual(b"".join(found), CONVERTED)
        self.assertNotIn(b"", found)

    def test_large_block(self) -> None:
        """A block that would take long is sent in slices."""
        found = self.read(text=b"\n" + b"x" * 300_000)
        self.assertEqual(b"".join(found), b"\n" + b"x" * 300_000)
        self.assertGreater(len(found), 4)

    def test_end(self) -> None:
        """Behind the end there is nothing, however often one asks."""
        self.read(text=b"To: x")
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(self.rest())), [])

    def test_close(self) -> None:
        """Closing closes what is read."""
        self.read(b"")
        self.reader.close()
        self.assertTrue(self.inner.closed)


class OverTheWire(TransactionTestCase):
    """Whole transactions with a server that lacks 8BITMIME."""

    def deliver(self, changes: ContentChanges, text: bytes, sender: str = "j@x.test") -> Run:
        """Send a message to r@x.test."""
        dialogue = DialogueSettings("me.example", changes=changes)
        script, content = Script(ehlo=("SIZE",)), MemoryContent(text)
        run = self.prepare(script, (Recipient("r@x.test"),), content, dialogue, sender=sender)
        run.conversation.run(run.transaction.run())
        run.conversation.flush()
        return run

    def test_converted(self) -> None:
        """The server gets converted content, and no size."""
        run = self.deliver(ContentChanges(), MESSAGE)
        self.assertEqual(run.conversation.server.contents, [CONVERTED.replace(b"\n", b"\r\n") + b".\r\n"])
        self.assertEqual(run.conversation.server.commands[1], "MAIL FROM:<j@x.test>")
        self.assertTrue(run.content.readers[0].closed)

    def test_not_converted(self) -> None:
        """Where the operator wants none, it gets what was queued, and its size."""
        run = self.deliver(ContentChanges(convert=False), MESSAGE)
        self.assertEqual(run.conversation.server.contents, [MESSAGE.replace(b"\n", b"\r\n") + b".\r\n"])
        self.assertEqual(run.conversation.server.commands[1], "MAIL FROM:<j@x.test> SIZE=49")

    def test_other_addresses(self) -> None:
        """The server sees other addresses; the verdict names those of the envelope."""
        run = self.deliver(ContentChanges(generic=_generic("r@x.test = s@y.test")), b"To: r@x.test\n")
        self.assertEqual(run.conversation.server.contents, [b"To: s@y.test\r\n.\r\n"])
        self.assertEqual(run.conversation.server.commands[2], "RCPT TO:<s@y.test>")
        self.assertEqual(run.transaction.verdicts[0].disposition, Disposition.SENT)
        run = self.deliver(ContentChanges(generic=_generic('r@x.test = "r\\\x01"@y')), b"To: r@x.test\n")
        self.assertIn("bad address syntax", run.transaction.verdicts[0].reason)

    def test_table_without_sense(self) -> None:
        """The mail waits; nothing was said of it, and the session is good for another."""
        run = self.deliver(ContentChanges(generic=_generic("j@x.test = ;")), b"")
        self.assertEqual((run.verbs, run.end), ("", "reuse"))
        self.assertRegex(run.verdicts[0], "^deferred 4.3.5 smtp_generic_maps: lookup of j@x.test")

    def test_too_deep(self) -> None:
        """Content that cannot be converted is not sent to its end, and comes back to its sender."""
        text = b"".join([b"Content-Type: multipart/x; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(102)])
        run = self.deliver(ContentChanges(), text)
        self.assertEqual(run.verdicts, ["bounced 5.6.0 MIME nesting exceeds safety limit"])
        self.assertEqual((run.conversation.server.contents, run.end), ([], "over"))
        self.assertTrue(run.content.readers[0].closed)
