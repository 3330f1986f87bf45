"""The arguments of MAIL and RCPT."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.mail.address import is_safe
from smtpclient.mail.envelope import Notify, Recipient, Return, Utf8
from smtpclient.submission.acceptance import Refused
from smtpclient.submission.command import Mail, parse_mail, parse_rcpt

ORIGIN = "origin.test"


def mail(text: str | bytes) -> Mail | str:
    """What a MAIL command means, or the reply."""
    try:
        return parse_mail(text if isinstance(text, bytes) else text.encode(), ORIGIN)
    except Refused as refused:
        return str(refused)


def rcpt(text: str | bytes) -> Recipient | str:
    """What a RCPT command means, or the reply."""
    try:
        return parse_rcpt(text if isinstance(text, bytes) else text.encode(), ORIGIN)
    except Refused as refused:
        return str(refused)


class MailTests(SynchronousTestCase):
    """MAIL."""

    def test_senders(self) -> None:
        """Addresses in all their forms."""
        table: dict[str, Mail | str] = {
            "FROM:<s@x.test>": Mail("s@x.test"),
            "from: <s@x.test>": Mail("s@x.test"),
            "FROM:s@x.test": Mail("s@x.test"),
            "FROM:<>": Mail(""),
            "FROM:<root>": Mail(f"root@{ORIGIN}"),
            'FROM:<"a b>"@x.test>': Mail("a b>@x.test"),
            "FROM:<@a.test,@b.test:s@x.test>": Mail("s@x.test"),
            "FROM:<s\xe9@x.test> SMTPUTF8": Mail("s\xe9@x.test", utf8=Utf8.REQUESTED),
        }
        self.assertEqual(table, {text: mail(text) for text in table})

    def test_parameters(self) -> None:
        """What RFC 1870, 6152, 6531 and 3461 define."""
        table: dict[str, Mail | str] = {
            "FROM:<> SIZE=123": Mail("", size=123),
            "FROM:<> BODY=8bitmime": Mail("", encoding="8bit"),
            "FROM:<> body=7BIT": Mail("", encoding="7bit"),
            "FROM:<> RET=HDRS ENVID=a+2Bb+3D": Mail("", ret=Return.HEADERS, envelope_id="a+b="),
            "FROM:<> RET=full": Mail("", ret=Return.FULL),
            "FROM:<> ENVID=jos+C3+A9": Mail("", envelope_id="jos\xe9"),
        }
        self.assertEqual(table, {text: mail(text) for text in table})

    def test_refused(self) -> None:
        """Everything else is refused with the reason."""
        table = {
            "": "501 5.5.4 Syntax: MAIL FROM:<address>",
            "TO:<s@x.test>": "501 5.5.4 Syntax: MAIL FROM:<address>",
            "FROM:<s@x.test": "501 5.5.4 Syntax: MAIL FROM:<address>",
            "FROM:<s@x.test>SIZE=1": "501 5.5.4 Syntax: MAIL FROM:<address>",
            "FROM:<a b@x.test>": "501 5.1.7 Bad sender address syntax",
            "FROM:<a@>": "501 5.1.7 Bad sender address syntax",
            "FROM:<a@.>": "501 5.1.7 bad sender address syntax: <a@.>",
            "FROM:<> FOO": "555 5.5.4 Unsupported option: FOO",
            "FROM:<> AUTH=<>": "555 5.5.4 Unsupported option: AUTH=<>",
            "FROM:<> SIZE=x": "501 5.5.4 Bad message size syntax",
            "FROM:<> SIZE=-1": "501 5.5.4 Bad message size syntax",
            "FROM:<> SIZE=1 size=2": "501 5.5.4 Error: SIZE given twice",
            "FROM:<> BODY=BINARYMIME": "501 5.5.4 Unsupported BODY type: BINARYMIME",
            "FROM:<> RET=ALL": "501 5.5.4 Bad RET parameter syntax",
            "FROM:<> SMTPUTF8=1": "501 5.5.4 SMTPUTF8 takes no value",
            "FROM:<> ENVID=a+b": "501 5.5.4 Error: Bad ENVID parameter syntax",
            "FROM:<> ENVID=a+0Ab": "501 5.5.4 Error: Bad ENVID parameter syntax",
            "FROM:<> ENVID=" + "a" * 101: "501 5.5.4 Error: Bad ENVID parameter syntax",
            "FROM:<a\x00@x.test>": "501 5.5.4 Error: control character in command",
            "FROM:<a\r@x.test>": "501 5.5.4 Error: control character in command",
        }
        self.assertEqual(table, {text: mail(text) for text in table})
        self.assertEqual("500 5.5.2 Error: bad UTF-8 syntax", mail(b"FROM:<a\xff@x.test>"))


class RcptTests(SynchronousTestCase):
    """RCPT."""

    def test_recipients(self) -> None:
        """Addresses, and what the sender wants to hear."""
        table: dict[str, Recipient | str] = {
            "TO:<r@y.test>": Recipient("r@y.test"),
            "TO:<root>": Recipient(f"root@{ORIGIN}", "root"),
            'TO:<"a b"@y.test>': Recipient("a b@y.test"),
            "TO:<r@y.test> NOTIFY=never": Recipient("r@y.test", notify=Notify.NEVER),
            "TO:<r@y.test> NOTIFY=SUCCESS,delay ORCPT=rfc822;o+2Bo@z.test": Recipient(
                "r@y.test", orcpt="rfc822;o+o@z.test", notify=Notify.SUCCESS | Notify.DELAY
            ),
            "TO:<r@y.test> NOTIFY=FAILURE": Recipient("r@y.test", notify=Notify.FAILURE),
            "TO:<r@y.test> ORCPT=UTF-8;jos\\x{E9}@z.test": Recipient("r@y.test", orcpt="utf-8;jos\xe9@z.test"),
        }
        self.assertEqual(table, {text: rcpt(text) for text in table})

    def test_refused(self) -> None:
        """Everything else is refused with the reason."""
        bad_orcpt = "501 5.5.4 Error: Bad ORCPT parameter syntax"
        bad_notify = "501 5.5.4 Error: Bad NOTIFY parameter syntax"
        table = {
            "TO:<>": "501 5.1.3 Bad recipient address syntax",
            "TO:<a@b@c.test>": "501 5.1.3 Bad recipient address syntax",
            "TO:<" + "a" * 600 + "@y.test>": "501 5.1.3 recipient address is longer than 512 bytes: <"
            + "a" * 100
            + "...>",
            "FROM:<r@y.test>": "501 5.5.4 Syntax: RCPT TO:<address>",
            "TO:<r@y.test> NOTIFY=": bad_notify,
            "TO:<r@y.test> NOTIFY=SOON": bad_notify,
            "TO:<r@y.test> NOTIFY=NEVER,DELAY": bad_notify,
            "TO:<r@y.test> NOTIFY=DELAY,DELAY": bad_notify,
            "TO:<r@y.test> ORCPT=r@y.test": bad_orcpt,
            "TO:<r@y.test> ORCPT=rfc822;": bad_orcpt,
            "TO:<r@y.test> ORCPT=rfc/822;a": bad_orcpt,
            "TO:<r@y.test> ORCPT=rfc822;a+0D+0Ab": bad_orcpt,
            "TO:<r@y.test> ORCPT=utf-8;a\\x{0A}b": bad_orcpt,
            "TO:<r@y.test> ORCPT=utf-8;a\\x{D800}b": bad_orcpt,
            "TO:<r@y.test> ORCPT=utf-8;a\\x{FFFFFF}b": bad_orcpt,
        }
        self.assertEqual(table, {text: rcpt(text) for text in table})

    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(st.binary(max_size=20), st.lists(st.sampled_from([b"a", b"@", b"<", b">", b'"', b"\\", b" ", b"\r", b"="])))
    def test_any_argument(self, noise: bytes, pieces: list[bytes]) -> None:
        """Any bytes are an address that is safe in a command, or a reply of one line."""
        for argument in (noise, b"TO:<" + b"".join(pieces) + noise, b"TO:" + b"".join(pieces)):
            got = rcpt(argument)
            if isinstance(got, Recipient):
                self.assertTrue(is_safe(got.address) and "@" in got.address)
            else:
                self.assertRegex(got, r"^5\d\d 5\.\d\.\d [ -~]+$")
