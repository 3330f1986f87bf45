"""Commands as bytes."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.mail.address import is_safe, to_bytes
from smtpclient.mail.envelope import Notify, Recipient, Return, Utf8
from smtpclient.smtp import command
from smtpclient.smtp.capability import Capabilities
from tests.mail.messages import envelope

NOTHING = Capabilities(True)
ALL = Capabilities(True, {"SIZE": "1000000", "8BITMIME": "", "SMTPUTF8": "", "DSN": ""})
ANY_TEXT = st.text(st.characters(codec=None, categories=None), max_size=40)


class Lines(SynchronousTestCase):
    """What may become a line."""

    def test_control_characters_are_refused(self) -> None:
        """No control character of ASCII passes, wherever it stands and in whichever command."""
        for code in (*range(32), 127):
            bad = f"a{chr(code)}RSET"
            for make in (
                command.line,
                command.ehlo,
                command.helo,
                lambda text: command.mail_from(envelope(sender=text), ALL),
                lambda text: command.mail_from(envelope(sender=text + "@example.org"), ALL, quote=False),
                lambda text: command.rcpt_to(Recipient("a@" + text), ALL),
                lambda text: command.rcpt_to(Recipient(text), ALL, quote=False),
            ):
                with self.assertRaises(command.UnsafeArgument):
                    make(bad)

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(ANY_TEXT, ANY_TEXT, ANY_TEXT)
    def test_one_command_is_one_line(self, first: str, second: str, third: str) -> None:
        """Whatever text a message brings, a command is one line, or is refused."""
        recipient = Recipient(first, orcpt=second, notify=Notify.SUCCESS)
        message = envelope(sender=first, envelope_id=third)
        for make in (
            lambda: command.rcpt_to(recipient, ALL),
            lambda: command.rcpt_to(recipient, ALL, quote=False),
            lambda: command.mail_from(message, ALL),
        ):
            try:
                made = make()
            except command.UnsafeArgument:
                continue
            self.assertEqual((made[-2:], made.count(b"\r"), made.count(b"\n"), made.count(b"\0")), (b"\r\n", 1, 1, 0))

    def test_domain_cannot_become_a_parameter(self) -> None:
        """A domain that would end the address early is refused; a local part is quoted and may hold anything."""
        for domain in ("b> SIZE=1", "b>", "<b", "b c"):
            with self.assertRaises(command.UnsafeArgument):
                command.rcpt_to(Recipient("a@" + domain), NOTHING)
        self.assertEqual(command.rcpt_to(Recipient("a> b@c"), NOTHING), b'RCPT TO:<"a> b"@c>\r\n')

    def test_plain_commands(self) -> None:
        """The commands without anything from a message."""
        self.assertEqual((command.DATA, command.RSET, command.QUIT), (b"DATA\r\n", b"RSET\r\n", b"QUIT\r\n"))
        self.assertEqual((command.ehlo("me.example"), command.helo("me")), (b"EHLO me.example\r\n", b"HELO me\r\n"))


class Mail(SynchronousTestCase):
    """MAIL and its parameters."""

    def mail(self, capabilities: Capabilities, **changes: object) -> str:
        """The command without its line end."""
        return command.mail_from(envelope(size=1234, **changes), capabilities).decode().removesuffix("\r\n")

    def test_nothing_offered(self) -> None:
        """To a server without extensions no parameter is sent, whatever the message wishes."""
        wishes = {
            "encoding": "8bit",
            "utf8": Utf8.REQUESTED | Utf8.SENDER,
            "envelope_id": "id",
            "ret": Return.FULL,
        }
        self.assertEqual(self.mail(NOTHING, **wishes), "MAIL FROM:<sender@example.org>")

    def test_nothing_wished(self) -> None:
        """A plain message uses SIZE alone."""
        self.assertEqual(self.mail(ALL), "MAIL FROM:<sender@example.org> SIZE=1234")

    def test_size_unknown(self) -> None:
        """A size of 0 is not announced."""
        self.assertEqual(command.mail_from(envelope(size=0), ALL), b"MAIL FROM:<sender@example.org>\r\n")

    def test_encodings(self) -> None:
        """BODY says what the submitter declared, and nothing where it declared nothing."""
        offer = Capabilities(True, {"8BITMIME": ""})
        sent = {encoding: self.mail(offer, encoding=encoding)[30:] for encoding in ("8bit", "7bit", "", "binary")}
        self.assertEqual(sent, {"8bit": " BODY=8BITMIME", "7bit": " BODY=7BIT", "": "", "binary": ""})

    def test_smtputf8(self) -> None:
        """SMTPUTF8 is said only where it was asked for and something needs it."""
        offer = Capabilities(True, {"SMTPUTF8": ""})
        sent = {
            flags: self.mail(offer, utf8=flags)[30:]
            for flags in (Utf8(0), Utf8.REQUESTED, Utf8.HEADER, Utf8.REQUESTED | Utf8.RECIPIENT)
        }
        self.assertEqual(
            sent,
            {Utf8(0): "", Utf8.REQUESTED: "", Utf8.HEADER: "", Utf8.REQUESTED | Utf8.RECIPIENT: " SMTPUTF8"},
        )

    def test_smtputf8_for_a_recipient(self) -> None:
        """A recipient of this transaction that is not ASCII needs it, too, where it was asked for."""
        offer = Capabilities(True, {"SMTPUTF8": ""})
        jurgen, ascii_only = Recipient("j\u00fcrgen@example.org"), Recipient("u@example.org")
        asked, unasked = envelope(utf8=Utf8.REQUESTED), envelope()
        self.assertTrue(command.mail_from(asked, offer, [ascii_only, jurgen]).endswith(b" SMTPUTF8\r\n"))
        self.assertTrue(command.mail_from(asked, offer, [ascii_only]).endswith(b"org>\r\n"))
        self.assertTrue(command.mail_from(unasked, offer, [jurgen]).endswith(b"org>\r\n"))

    def test_dsn(self) -> None:
        """ENVID is encoded as RFC 3461 asks, then comes RET."""
        offer = Capabilities(True, {"DSN": ""})
        full = self.mail(offer, envelope_id="env+1 =é", ret=Return.HEADERS)
        self.assertEqual(full[30:], " ENVID=env+2B1+20+3D+C3+A9 RET=HDRS")
        self.assertEqual(self.mail(offer, ret=Return.FULL)[30:], " RET=FULL")

    def test_null_sender(self) -> None:
        """The null sender is an empty path."""
        self.assertEqual(self.mail(NOTHING, sender=""), "MAIL FROM:<>")

    def test_quoting(self) -> None:
        """The local part is quoted unless smtp_quote_rfc821_envelope says not to."""
        message = envelope(sender="a b@example.org")
        self.assertEqual(command.mail_from(message, NOTHING), b'MAIL FROM:<"a b"@example.org>\r\n')
        self.assertEqual(command.mail_from(message, NOTHING, quote=False), b"MAIL FROM:<a b@example.org>\r\n")

    def test_bytes_pass(self) -> None:
        """UTF-8, and what is none, goes out as it came in."""
        self.assertIn("jürgen@example".encode(), command.mail_from(envelope(sender="jürgen@example"), NOTHING))
        self.assertIn(b"<\xe9@example>", command.mail_from(envelope(sender="\udce9@example"), NOTHING))


class Rcpt(SynchronousTestCase):
    """RCPT and its parameters."""

    def test_notify(self) -> None:
        """NEVER stands alone; the others are joined in the order of RFC 3461."""
        wishes = {
            Notify(0): "",
            Notify.NEVER: " NOTIFY=NEVER",
            Notify.NEVER | Notify.SUCCESS: " NOTIFY=NEVER",
            Notify.DELAY | Notify.SUCCESS: " NOTIFY=SUCCESS,DELAY",
            Notify.SUCCESS | Notify.FAILURE | Notify.DELAY: " NOTIFY=SUCCESS,FAILURE,DELAY",
        }
        sent = {notify: command.rcpt_to(Recipient("a@b", notify=notify), ALL).decode()[30:-2] for notify in wishes}
        self.assertEqual(sent, wishes)

    def test_orcpt(self) -> None:
        """ORCPT keeps its type, its address is encoded; one without a proper type would cost the recipient."""
        forms = {
            "rfc822;orig+x@example.org": " ORCPT=rfc822;orig+2Bx@example.org",
            "utf-8;j\u00fc=\\+ @example.org": " ORCPT=utf-8;j\\x{FC}\\x{3D}\\x{5C}\\x{2B}\\x{20}@example.org",
            "utf-8;not\udce9@example.org": "",
            "rfc822;with blank@example": " ORCPT=rfc822;with+20blank@example",
            "no type": " ORCPT=rfc822;a@b",
            ";empty type": " ORCPT=rfc822;a@b",
            "rfc822 X=1;a@b": " ORCPT=rfc822;a@b",
        }
        sent = {orcpt: command.rcpt_to(Recipient("a@b", orcpt=orcpt), ALL).decode()[13:-2] for orcpt in forms}
        self.assertEqual(sent, forms)

    def test_orcpt_of_our_own(self) -> None:
        """Where the sender gave none, a server with DSN is told the original recipient, in its quoted form."""
        sent = {
            command.rcpt_to(Recipient("a@b"), ALL).decode()[13:-2]: " ORCPT=rfc822;a@b",
            command.rcpt_to(Recipient("a@b", "o p@c"), ALL).decode()[13:-2]: ' ORCPT=rfc822;"o+20p"@c',
            command.rcpt_to(Recipient("a@b"), ALL, original="x+y@z").decode()[13:-2]: " ORCPT=rfc822;x+2By@z",
            command.rcpt_to(Recipient("a@b", "\u00fc@c"), ALL).decode()[13:-2]: " ORCPT=rfc822;+C3+BC@c",
            command.rcpt_to(Recipient("a@b", "\u00fc@c"), ALL, utf8=True).decode()[13:-2]: " ORCPT=utf-8;\\x{FC}@c",
        }
        self.assertEqual(list(sent), list(sent.values()))

    def test_orcpt_stands_before_notify(self) -> None:
        """Both, in the order that Postfix uses."""
        recipient = Recipient("a@b", orcpt="rfc822;a@b", notify=Notify.FAILURE)
        self.assertEqual(command.rcpt_to(recipient, ALL), b"RCPT TO:<a@b> ORCPT=rfc822;a@b NOTIFY=FAILURE\r\n")

    def test_no_dsn(self) -> None:
        """A server without DSN hears of none of it."""
        recipient = Recipient("a@b", orcpt="rfc822;a@b", notify=Notify.FAILURE)
        self.assertEqual(command.rcpt_to(recipient, NOTHING), b"RCPT TO:<a@b>\r\n")


class Xtext(SynchronousTestCase):
    """RFC 3461 section 4."""

    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(ANY_TEXT)
    def test_can_be_undone(self, text: str) -> None:
        """Xtext is ASCII without blank, plus and equals sign, and decodes to the bytes of the text."""
        encoded = command.xtext(text)
        plain, *escaped = encoded.split("+")
        decoded = plain.encode() + b"".join(bytes.fromhex(part[:2]) + part[2:].encode() for part in escaped)
        safe = "".join(character if is_safe(character) or character.isascii() else "?" for character in text)
        self.assertEqual(decoded, to_bytes(safe))
        self.assertEqual(set(encoded) & set(" =\x7f") | {c for c in encoded if not "!" <= c <= "~"}, set())
