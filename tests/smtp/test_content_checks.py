"""header_checks(5) on the way out: actions, their faults, and what the log says."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import ILogObserver, LogEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import provider

from smtpclient.config.tables import Tables
from smtpclient.observe.maillog import MailLog
from smtpclient.smtp.content_checks import Checked, ContentChecks, MessageChecks
from smtpclient.smtp.mime import Place
from tests.smtp.cutting import cut

HEADER, MIME, NESTED, BODY = (
    "smtp_header_checks",
    "smtp_mime_header_checks",
    "smtp_nested_header_checks",
    "smtp_body_checks",
)


class ChecksTestCase(SynchronousTestCase):
    """Tests with tables of patterns, and what is logged."""

    def setUp(self) -> None:
        self.log: list[str] = []

    def checks(self, **tables: str) -> MessageChecks:
        """What looks at a message, by the tables of these parameters."""
        maillog = MailLog()

        @provider(ILogObserver)
        def observe(event: LogEvent) -> None:
            self.log.append(event["mail_line"])

        maillog.publisher.addObserver(observe)
        opened = {}
        for name, text in tables.items():
            path = self.mktemp()
            with open(path, "w") as file:
                file.write(text + "\n")
            opened[name] = Tables(f"pcre:{path}")
        return MessageChecks(ContentChecks(opened, maillog), "QUEUEID")

    def field(self, rule: str, text: bytes = b"Subject: words") -> Checked:
        """What a rule makes of a field of the message's header."""
        return self.checks(smtp_header_checks=rule).field(Place.MESSAGE, text.partition(b":")[0].lower(), text)


class Actions(ChecksTestCase):
    """What each action does to a field."""

    def test_nothing(self) -> None:
        """DUNNO, OK and no answer leave it, without a word."""
        for rule in ("/subject/ DUNNO", "/subject/ ok then", "/other/ IGNORE"):
            self.assertEqual(self.field(rule), Checked(b"Subject: words"))
        self.assertEqual(self.log, [])

    def test_ignore(self) -> None:
        """IGNORE leaves it out, without a word."""
        self.assertEqual(self.field("/subject/ ignore for ever"), Checked(None))
        self.assertEqual(self.log, [])

    def test_strip(self) -> None:
        """STRIP leaves it out and says so."""
        self.assertEqual(self.field("/subject/ STRIP"), Checked(None))
        self.assertEqual(self.field("/subject/ STRIP for (reasons)"), Checked(None))
        wanted = "QUEUEID: strip: header Subject: words"
        self.assertEqual(self.log, [wanted, wanted + ": for (reasons)"])

    def test_tell(self) -> None:
        """INFO and WARN leave it and say so, with no more than 60 characters of it."""
        text = b"Subject: " + b"x" * 100
        self.assertEqual(self.field("/subject/ INFO   a b ", text), Checked(text))
        self.assertEqual(self.field("/subject/ WARN", text), Checked(text))
        shown = "header Subject: " + "x" * 51
        self.assertEqual(self.log, [f"QUEUEID: info: {shown}: a b", f"QUEUEID: warning: {shown}"])

    def test_replace(self) -> None:
        """REPLACE sends another field in its place."""
        self.assertEqual(self.field("/subject: (.*)/ REPLACE X-Subject: <$1>"), Checked(b"X-Subject: <words>"))
        self.assertEqual(self.log, ["QUEUEID: replace: header Subject: words: X-Subject: <words>"])

    def test_prepend(self) -> None:
        """PREPEND sends another field before it."""
        self.assertEqual(self.field("/subject/ PREPEND X: y"), Checked(b"Subject: words", b"X: y\n"))
        self.assertEqual(self.log, ["QUEUEID: prepend: header Subject: words: X: y"])

    def test_faults(self) -> None:
        """A change without text, or to what is no field, is not made; nothing is decided about the mail."""
        for rule in ("REPLACE", "PREPEND", "REPLACE no field", "PREPEND :", "REJECT 5.7.1 go away", "redirect a@x"):
            self.assertEqual(self.field(f"/subject/ {rule}"), Checked(b"Subject: words"))
        wanted = 'in smtp_header_checks map -- need "headername: headervalue"'
        self.assertEqual(
            self.log,
            [
                "warning: REPLACE action without text in smtp_header_checks map",
                "warning: PREPEND action without text in smtp_header_checks map",
                f'warning: bad REPLACE header text "no field" {wanted}',
                f'warning: bad PREPEND header text ":" {wanted}',
                "warning: unsupported command in smtp_header_checks map: REJECT 5.7.1 go away",
                "warning: unsupported command in smtp_header_checks map: redirect a@x",
            ],
        )

    def test_line_end_in_a_field(self) -> None:
        """What a pattern takes from a folded field cannot become a field of its own."""
        text = b"Subject: a\n b"
        self.assertEqual(
            self.field("/^(Subject: a\n)/s REPLACE $1X: y".replace("\n", r"\n"), text).text, b"Subject: a\n\tX: y"
        )
        self.assertEqual(self.field("/^(.*)$/s REPLACE $1", text).text, text)
        self.assertEqual(self.field(r"/^(.*\n)/s PREPEND $1", text).before, b"Subject: a\n\t\n")

    def test_other_bytes(self) -> None:
        """What is not UTF-8 is looked up and comes out as it was."""
        self.assertEqual(
            self.field("/^Subject: (.*)/ REPLACE X: $1", b"Subject: \xff\xc3\xa4").text, b"X: \xff\xc3\xa4"
        )


class WhichTable(ChecksTestCase):
    """Which table is asked."""

    def test_by_place(self) -> None:
        """Fields of the message, of parts and of attached messages have tables of their own; so have those of MIME."""
        names = {HEADER: "h", MIME: "m", NESTED: "n"}
        checks = self.checks(**{name: f"/^(.*)$/ REPLACE {letter}: $1" for name, letter in names.items()})
        asked = [
            checks.field(place, name, b"x")
            for place in Place
            for name in (b"subject", b"content-type", b"content-length", b"mime-version")
        ]
        letters = "".join([(one.text or b"")[:1].decode() for one in asked])
        self.assertEqual(letters, "hmhm" + "mmmm" + "nmnm")

    def test_no_table(self) -> None:
        """Without one nothing is done."""
        self.assertEqual(self.checks().field(Place.PART, b"x", b"X: y"), Checked(b"X: y"))

    def test_which_are_there(self) -> None:
        """Whoever passes content on knows whether to ask."""
        tables = Tables("static:DUNNO")
        for names, wanted in (((), (False, False)), ((HEADER, BODY), (True, True)), ((NESTED,), (True, False))):
            checks = ContentChecks(dict.fromkeys(names, tables), MailLog())
            self.assertEqual((checks.has_header, checks.has_body), wanted)


RULES = """\
/^drop/ IGNORE
/^strip/ STRIP
/^before/ PREPEND text
/^(other)/ REPLACE $1wise
/^$/ REPLACE never
"""


class Body(ChecksTestCase):
    """Lines of the body."""

    def send(self, text: bytes, *places: int) -> bytes:
        """What is sent of a body that is given in pieces."""
        checks = self.checks(smtp_body_checks=RULES)
        return b"".join([checks.body(piece) for piece in cut(text, places)]) + checks.finish()

    def test_lines(self) -> None:
        """Lines are left out with their ends, replaced and put in; an empty one is never looked up."""
        self.assertEqual(self.send(b"a\ndrop\n\nstrip\nbefore\nother\nb"), b"a\n\ntext\nbefore\notherwise\nb")
        self.assertEqual(self.log[0], "QUEUEID: strip: body strip")

    def test_last_line_without_end(self) -> None:
        """It is looked at too."""
        self.assertEqual(self.send(b"a\nother"), b"a\notherwise")
        self.assertEqual(self.send(b"a\ndrop"), b"a\n")

    def test_long_line(self) -> None:
        """It is looked at in pieces of 2048 bytes; its end stays as long as anything of it does."""
        filler = b"x" * 2048
        self.assertEqual(self.send(filler + b"drop\nb\n"), filler + b"\nb\n")
        self.assertEqual(self.send(b"drop" + filler + b"\nb\n"), filler[:4] + b"\nb\n")
        self.assertEqual(self.send(filler + b"other\n"), filler + b"otherwise\n")
        self.assertEqual(self.send(b"drop" + filler[4:] + b"drop\nb\n"), b"b\n")
        self.assertEqual(self.send(filler + b"\ndrop\n"), filler + b"\n")

    @settings(max_examples=100, deadline=None, derandomize=True)
    @given(
        st.lists(st.sampled_from([b"drop", b"other", b"before", b"\n", b"\n", b"x" * 2045, b"\xff"]), max_size=12),
        st.lists(st.integers(0, 6000), max_size=6),
    )
    def test_cuts_do_not_matter(self, parts: list[bytes], places: list[int]) -> None:
        """What is sent depends on the text alone."""
        self.assertEqual(self.send(b"".join(parts), *places), self.send(b"".join(parts)))
