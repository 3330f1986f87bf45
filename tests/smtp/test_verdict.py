"""The table of verdicts, row by row."""

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.mail.outcome import Disposition
from smtpclient.smtp import verdict
from smtpclient.smtp.channel import ConnectionLost, ProtocolBroken, TimedOut
from smtpclient.smtp.reply import Reply
from smtpclient.smtp.verdict import Stage, Verdict
from tests.smtp.in_memory import PEER

SENT, DEFERRED, BOUNCED = Disposition.SENT, Disposition.DEFERRED, Disposition.BOUNCED


def reply(text: str) -> Reply:
    """A reply of one line."""
    return Reply(int(text[:3]), text)


def short(fate: Verdict) -> tuple[Disposition, str, str]:
    """What counts in a verdict."""
    return fate.disposition, fate.status, fate.reason


class Replies(SynchronousTestCase):
    """What a reply means."""

    maxDiff = None

    def test_sent(self) -> None:
        """2xx to the final dot is sent, with the reply's status or 2.0.0, in the reply's words."""
        table = {
            "250 2.6.0 queued": (SENT, "2.6.0", "250 2.6.0 queued"),
            "250 Ok": (SENT, "2.0.0", "250 Ok"),
            "299": (SENT, "2.0.0", "299"),
        }
        self.assertEqual({text: short(verdict.sent(reply(text))) for text in table}, table)

    def test_refusals(self) -> None:
        """4xx defers, 5xx bounces, and everything that is no refusal is a protocol error that bounces."""
        table = {
            "450 4.7.1 greylisted": (DEFERRED, "4.7.1", ""),
            "421 busy": (DEFERRED, "4.0.0", ""),
            "450 5.1.1 mixed": (DEFERRED, "4.0.0", ""),
            "550 5.1.1 unknown": (BOUNCED, "5.1.1", ""),
            "552 too many": (BOUNCED, "5.0.0", ""),
            "250 2.0.0 Ok": (BOUNCED, "5.5.0", "Protocol error: "),
            "354 what": (BOUNCED, "5.5.0", ""),
            "199 hm": (BOUNCED, "5.5.0", ""),
            "000 nil": (BOUNCED, "5.5.0", ""),
            "600 what": (BOUNCED, "5.5.0", ""),
            "999 what": (BOUNCED, "5.5.0", ""),
        }
        wanted = {
            text: (fate, status, f"{prefix}host mx.example[192.0.2.1] said: {text} (in reply to RCPT TO command)")
            for text, (fate, status, prefix) in table.items()
        }
        self.assertEqual({text: short(verdict.said(PEER, reply(text), Stage.RCPT)) for text in table}, wanted)

    def test_refusal_concerns_the_message(self) -> None:
        """A refused command says nothing about the server as a whole, and nothing is in doubt."""
        fate = verdict.said(PEER, reply("450 4.7.1 no"), Stage.MAIL)
        self.assertEqual(
            (fate.site, fate.in_doubt, fate.reply, fate.stage), (False, False, "450 4.7.1 no", "MAIL FROM command")
        )

    def test_refused_to_talk(self) -> None:
        """Greeting, EHLO and HELO: the same rules in other words, and the server as a whole is of no use."""
        table = {
            "450 4.3.2 later": (DEFERRED, "4.3.2"),
            "421 busy": (DEFERRED, "4.0.0"),
            "554 5.7.1 no": (BOUNCED, "5.7.1"),
            "354 go ahead": (BOUNCED, "5.5.0"),
        }
        found = {text: verdict.refused(PEER, reply(text), Stage.GREETING) for text in table}
        self.assertEqual(
            {text: short(fate) for text, fate in found.items()},
            {text: (*row, f"host mx.example[192.0.2.1] refused to talk to me: {text}") for text, row in table.items()},
        )
        self.assertEqual({fate.site for fate in found.values()}, {True})

    def test_soft_greeting(self) -> None:
        """With smtp_skip_5xx_greeting a 5xx greeting defers, with the same code in the class 4."""
        found = {
            text: short(verdict.refused(PEER, reply(text), Stage.GREETING, soft=True))[:2]
            for text in ("554 5.7.1 no", "554 no", "450 4.3.2 later")
        }
        self.assertEqual(
            found,
            {
                "554 5.7.1 no": (DEFERRED, "4.7.1"),
                "554 no": (DEFERRED, "4.0.0"),
                "450 4.3.2 later": (DEFERRED, "4.3.2"),
            },
        )

    def test_before_the_dot(self) -> None:
        """A reply that is no refusal, before the content has ended, defers: nobody has the whole message."""
        fate = verdict.premature(PEER, reply("250 Ok"))
        words = "Protocol error: host mx.example[192.0.2.1] said: 250 Ok (before end of DATA command)"
        self.assertEqual((*short(fate), fate.protocol_error), (DEFERRED, "4.5.0", words, True))

    def test_protocol_errors(self) -> None:
        """Which codes the postmaster may want to see: syntax, sequence, and what no refusal can be."""
        codes = {code for code in range(1000) if verdict.is_protocol_error(code)}
        self.assertEqual(codes, {*range(400), *range(500, 510), 555, *range(600, 1000)})
        self.assertTrue(verdict.said(PEER, reply("503 5.5.1 sequence"), Stage.MAIL).protocol_error)
        self.assertFalse(verdict.said(PEER, reply("550 5.1.1 unknown"), Stage.RCPT).protocol_error)


class Failures(SynchronousTestCase):
    """What a dead connection means."""

    maxDiff = None

    def test_words_of_every_stage(self) -> None:
        """A lost connection and a time-out at every stage, in Postfix's words."""
        doing = {
            Stage.GREETING: "receiving the initial server greeting",
            Stage.EHLO: "performing the EHLO handshake",
            Stage.HELO: "performing the HELO handshake",
            Stage.LHLO: "performing the LHLO handshake",
            Stage.STARTTLS: "performing the STARTTLS handshake",
            Stage.MAIL: "sending MAIL FROM",
            Stage.RCPT: "sending RCPT TO",
            Stage.DATA: "sending DATA command",
            Stage.BDAT: "sending message body",
            Stage.CONTENT: "sending message body",
            Stage.DOT: "sending end of data -- message may be sent more than once",
            Stage.RSET: "sending final RSET",
            Stage.QUIT: "sending QUIT command",
        }
        lost = {stage: short(verdict.over(PEER, ConnectionLost("closed"), stage)) for stage in Stage}
        late = {stage: short(verdict.over(PEER, TimedOut(), stage)) for stage in Stage}
        host = "mx.example[192.0.2.1]"
        self.assertEqual(
            lost,
            {stage: (DEFERRED, "4.4.2", f"lost connection with {host} while {what}") for stage, what in doing.items()},
        )
        self.assertEqual(
            late,
            {
                stage: (DEFERRED, "4.4.2", f"conversation with {host} timed out while {what}")
                for stage, what in doing.items()
            },
        )

    def test_names_of_every_stage(self) -> None:
        """What a reply answers, at every stage."""
        names = {
            Stage.GREETING: "",
            Stage.EHLO: "EHLO command",
            Stage.HELO: "HELO command",
            Stage.LHLO: "LHLO command",
            Stage.STARTTLS: "STARTTLS command",
            Stage.MAIL: "MAIL FROM command",
            Stage.RCPT: "RCPT TO command",
            Stage.DATA: "DATA command",
            Stage.BDAT: "BDAT command",
            Stage.CONTENT: "end of DATA command",
            Stage.DOT: "end of DATA command",
            Stage.RSET: "RSET command",
            Stage.QUIT: "QUIT command",
        }
        self.assertEqual({stage: stage.command for stage in Stage}, names)

    def test_doubt(self) -> None:
        """Only a connection that ends after the final dot leaves doubt, however it ends."""
        for why in (ConnectionLost("closed"), TimedOut(), ProtocolBroken("sent a reply without end")):
            doubtful = {stage for stage in Stage if verdict.over(PEER, why, stage).in_doubt}
            self.assertEqual(doubtful, {Stage.DOT})

    def test_reply_without_end(self) -> None:
        """A server that breaks the protocol defers, and the postmaster may want to see it."""
        fate = verdict.over(PEER, ProtocolBroken("sent a reply without end"), Stage.MAIL)
        words = "host mx.example[192.0.2.1] sent a reply without end while sending MAIL FROM"
        self.assertEqual((*short(fate), fate.protocol_error, fate.site), (DEFERRED, "4.5.0", words, True, True))


class WithoutDialogue(SynchronousTestCase):
    """Verdicts that no reply gives."""

    maxDiff = None

    def test_words(self) -> None:
        """Each in Postfix's words, with Postfix's codes."""
        host = "mx.example[192.0.2.1]"
        table = {
            (DEFERRED, "4.4.1", f"connect to {host}:25: Connection refused"): verdict.unreachable(
                PEER, "Connection refused"
            ),
            (DEFERRED, "4.4.0", "server configuration error"): verdict.cannot_bind(),
            (BOUNCED, "5.3.4", f"message size 5000 exceeds size limit 1000 of server {host}"): verdict.too_big(
                PEER, 5000, 1000
            ),
            (BOUNCED, "5.6.7", f"SMTPUTF8 is required, but was not offered by host {host}"): verdict.needs_smtputf8(
                PEER
            ),
            (BOUNCED, "5.4.6", "mail for a.example loops back to myself"): verdict.loops("a.example", best=True),
            (DEFERRED, "4.4.6", "mail for a.example loops back to myself"): verdict.loops("a.example", best=False),
            (BOUNCED, "5.1.3", "bad address syntax: <a\\nb> cannot be put in a command"): verdict.unsafe_address(
                "a\nb"
            ),
            (DEFERRED, "4.3.0", f"local data error while talking to {host}: bad disk"): verdict.local_data(
                PEER, "bad disk"
            ),
        }
        self.assertEqual([short(fate) for fate in table.values()], list(table))

    def test_unsafe_address_is_shown_harmlessly(self) -> None:
        """Whatever an address holds, the reason is printable ASCII on one line."""
        shown = verdict.unsafe_address("a\r\n\0\x1b\udce9\u2028é@b").reason
        self.assertTrue(shown.isascii() and shown.isprintable(), shown)

    def test_which_concern_the_server(self) -> None:
        """A server that cannot be reached, or is ourselves, is of no use to other recipients either."""
        self.assertTrue(verdict.unreachable(PEER, "why").site)
        self.assertTrue(verdict.cannot_bind().site)
        self.assertTrue(verdict.loops("a.example", best=False).site)
        self.assertFalse(verdict.too_big(PEER, 2, 1).site)
        self.assertFalse(verdict.local_data(PEER, "why").site)
