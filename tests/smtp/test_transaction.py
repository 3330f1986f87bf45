"""Mail transactions, with and without PIPELINING, against servers that do all kinds of things."""

from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.mail.envelope import Recipient
from smtpclient.smtp.channel import SessionOver
from smtpclient.smtp.handshake import Introduction
from smtpclient.smtp.settings import DialogueSettings
from smtpclient.smtp.transaction import Transaction
from smtpclient.smtp.verdict import Stage
from tests.mail.messages import TEXT, MemoryContent, MemoryReader, envelope, recipients
from tests.smtp.in_memory import PEER, Conversation
from tests.smtp.scripted_server import GOOD, PIPELINING, Script
from tests.smtp.test_channel import Recorder

HOST = "mx.example[192.0.2.1]"
SENT = "sent 2.0.0 250 2.0.0 Ok: queued"
WIRE = TEXT.replace(b"\n", b"\r\n") + b".\r\n"


def said(words: str, command: str) -> str:
    """The reason for a refused command."""
    return f"host {HOST} said: {words} (in reply to {command} command)"


def lost(doing: str) -> str:
    """The verdict on a lost connection."""
    return f"deferred 4.4.2 lost connection with {HOST} while {doing}"


def late(doing: str) -> str:
    """The verdict on a time-out."""
    return f"deferred 4.4.2 conversation with {HOST} timed out while {doing}"


@dataclass(frozen=True)
class Row:
    """
    One case.

    :param on: what the server does.
    :param wanted: the verdicts on the recipients u1, u2 and so on: disposition, status, reason.
    :param verbs: the commands of the transaction that reach the server, without and with PIPELINING.
    :param end: ``reuse``: the session is ready for the next message; ``reset``: after RSET; ``over``: it has ended.
    """

    on: dict[str, Any]
    wanted: list[str]
    verbs: str
    pipelined_verbs: str = ""
    end: str = "reuse"


DATA = "end of data -- message may be sent more than once"

ROWS = {
    "all is well": Row({}, [SENT], "MAIL RCPT DATA ."),
    "MAIL 4xx": Row(
        {"mail": "450 4.7.1 greylisted"},
        ["deferred 4.7.1 " + said("450 4.7.1 greylisted", "MAIL FROM")],
        "MAIL",
        "MAIL RCPT DATA",
        "reset",
    ),
    "MAIL 5xx, three recipients": Row(
        {"mail": "550 5.7.1 bad sender"},
        ["bounced 5.7.1 " + said("550 5.7.1 bad sender", "MAIL FROM")] * 3,
        "MAIL",
        "MAIL RCPT RCPT RCPT DATA",
        "reset",
    ),
    "MAIL 421 and close": Row(
        {"mail": ["421 4.3.2 closing", "!close"]},
        ["deferred 4.3.2 " + said("421 4.3.2 closing", "MAIL FROM")],
        "MAIL",
        "MAIL",
        "reset or over",
    ),
    "MAIL 421, left open": Row(
        {"mail": "421 4.3.2 closing"},
        ["deferred 4.3.2 " + said("421 4.3.2 closing", "MAIL FROM")],
        "MAIL",
        "MAIL RCPT DATA",
        "reset",
    ),
    "close at MAIL": Row({"mail": "!close"}, [lost("sending MAIL FROM")], "MAIL", "MAIL", "over"),
    "MAIL 555": Row(
        {"mail": "555 5.5.4 unsupported SIZE"},
        ["bounced 5.5.4 " + said("555 5.5.4 unsupported SIZE", "MAIL FROM")],
        "MAIL",
        "MAIL RCPT DATA",
        "reset",
    ),
    "MAIL 552 because of SIZE": Row(
        {"mail": "552 5.3.4 too big"},
        ["bounced 5.3.4 " + said("552 5.3.4 too big", "MAIL FROM")],
        "MAIL",
        "MAIL RCPT DATA",
        "reset",
    ),
    "RCPT 4xx": Row(
        {"rcpt": "450 4.2.1 mailbox busy"},
        ["deferred 4.2.1 " + said("450 4.2.1 mailbox busy", "RCPT TO")],
        "MAIL RCPT",
        "MAIL RCPT DATA",
        "reset",
    ),
    "RCPT 5xx": Row(
        {"rcpt": "550 5.1.1 unknown user"},
        ["bounced 5.1.1 " + said("550 5.1.1 unknown user", "RCPT TO")],
        "MAIL RCPT",
        "MAIL RCPT DATA",
        "reset",
    ),
    "RCPT good, 450, 550, good, 551": Row(
        {"rcpt": {"u2@": "450 4.2.1 busy", "u3@": "550 5.1.1 unknown", "u5@": "551 5.1.6 moved"}},
        [
            SENT,
            "deferred 4.2.1 " + said("450 4.2.1 busy", "RCPT TO"),
            "bounced 5.1.1 " + said("550 5.1.1 unknown", "RCPT TO"),
            SENT,
            "bounced 5.1.6 " + said("551 5.1.6 moved", "RCPT TO"),
        ],
        "MAIL RCPT RCPT RCPT RCPT RCPT DATA .",
    ),
    "RCPT 552: too many": Row(
        {"rcpt": {"u3@": "552 too many recipients"}},
        [SENT, SENT, "bounced 5.0.0 " + said("552 too many recipients", "RCPT TO")],
        "MAIL RCPT RCPT RCPT DATA .",
    ),
    "RCPT 452: too many": Row(
        {"rcpt": {"u3@": "452 4.5.3 too many recipients"}},
        [SENT, SENT, "deferred 4.5.3 " + said("452 4.5.3 too many recipients", "RCPT TO")],
        "MAIL RCPT RCPT RCPT DATA .",
    ),
    "RCPT 251": Row({"rcpt": "251 2.1.5 will forward"}, [SENT], "MAIL RCPT DATA ."),
    "RCPT 354": Row(
        {"rcpt": "354 what"},
        ["bounced 5.5.0 " + said("354 what", "RCPT TO")],
        "MAIL RCPT",
        "MAIL RCPT DATA",
        "reset",
    ),
    "second RCPT 421 and close": Row(
        {"rcpt": {"u2@": ["421 4.3.2 closing", "!close"]}},
        [
            lost("sending RCPT TO"),
            "deferred 4.3.2 " + said("421 4.3.2 closing", "RCPT TO"),
            lost("sending RCPT TO"),
        ],
        "MAIL RCPT RCPT",
        "MAIL RCPT RCPT",
        "over",
    ),
    "second RCPT 421, left open": Row(
        {"rcpt": {"u2@": "421 4.3.2 closing"}},
        [SENT, "deferred 4.3.2 " + said("421 4.3.2 closing", "RCPT TO"), SENT],
        "MAIL RCPT RCPT RCPT DATA .",
    ),
    "close at the first RCPT": Row({"rcpt": "!close"}, [lost("sending RCPT TO")] * 2, "MAIL RCPT", "MAIL RCPT", "over"),
    "DATA 4xx": Row(
        {"data": "451 4.3.0 not now"},
        ["deferred 4.3.0 " + said("451 4.3.0 not now", "DATA")],
        "MAIL RCPT DATA",
        end="reset",
    ),
    "close at DATA": Row({"data": "!close"}, [lost("sending DATA command")], "MAIL RCPT DATA", end="over"),
    "DATA 250": Row(
        {"data": "250 2.0.0 Ok"},
        [f"bounced 5.5.0 Protocol error: {said('250 2.0.0 Ok', 'DATA')}"],
        "MAIL RCPT DATA",
        end="reset",
    ),
    "DATA 354 in two lines": Row({"data": "354-come\n354 on"}, [SENT], "MAIL RCPT DATA ."),
    "DATA 399": Row({"data": ["399 go", "!content"]}, [SENT], "MAIL RCPT DATA ."),
    "DATA 421 without being asked": Row(
        {"rcpt": ["250 2.1.5 Ok", "421 4.4.2 idle", "!close"]},
        ["deferred 4.4.2 " + said("421 4.4.2 idle", "DATA")],
        "MAIL RCPT",
        "MAIL RCPT",
        "reset or over",
    ),
    "dot 4xx": Row(
        {"eod": "451 4.3.0 queue error"},
        ["deferred 4.3.0 " + said("451 4.3.0 queue error", "end of DATA")] * 2,
        "MAIL RCPT RCPT DATA .",
    ),
    "dot 5xx": Row(
        {"eod": "554 5.7.1 spam"},
        ["bounced 5.7.1 " + said("554 5.7.1 spam", "end of DATA")],
        "MAIL RCPT DATA .",
    ),
    "close at the dot": Row({"eod": "!close"}, [lost("sending " + DATA)], "MAIL RCPT DATA .", end="over"),
    "silence at the dot": Row({"eod": "!hang"}, [late("sending " + DATA)], "MAIL RCPT DATA .", end="over"),
    "dot 421 and close": Row(
        {"eod": ["421 4.3.2 closing", "!close"]},
        ["deferred 4.3.2 " + said("421 4.3.2 closing", "end of DATA")],
        "MAIL RCPT DATA .",
        end="reuse or over",
    ),
    "dot answered in two lines": Row(
        {"eod": "250-2.0.0 first\n250 2.6.0 second"},
        ["sent 2.6.0 250-2.0.0 first 250 2.6.0 second"],
        "MAIL RCPT DATA .",
    ),
    "dot answered late but in time": Row({"eod": ["!sleep 599", "!default"]}, [SENT], "MAIL RCPT DATA ."),
    "dot 199": Row({"eod": "199 hm"}, ["bounced 5.5.0 " + said("199 hm", "end of DATA")], "MAIL RCPT DATA ."),
    "dot 250 and close": Row(
        {"eod": ["250 2.0.0 Ok: queued", "!close"]}, [SENT], "MAIL RCPT DATA .", end="reuse or over"
    ),
    "garbage before the reply to the dot": Row(
        {"eod": ["garbage", "250 2.0.0 Ok: queued"]},
        ["sent 2.0.0 garbage 250 2.0.0 Ok: queued"],
        "MAIL RCPT DATA .",
    ),
    "no code, then silence": Row(
        {"mail": ["sure, go ahead", "!hang"]}, [late("sending MAIL FROM")], "MAIL", "MAIL", "over"
    ),
    "no code, then 250": Row({"mail": ["sure, go ahead", "250 2.1.0 Ok"]}, [SENT], "MAIL RCPT DATA ."),
    "no code, then close": Row(
        {"rcpt": ["sure", "!close"]}, [lost("sending RCPT TO")], "MAIL RCPT", "MAIL RCPT", "over"
    ),
    "empty line before the reply": Row({"mail": ["", "250 2.1.0 Ok"]}, [SENT], "MAIL RCPT DATA ."),
    "blank before the code": Row({"mail": [" 250 Ok", "250 2.1.0 Ok"]}, [SENT], "MAIL RCPT DATA ."),
    "TAB behind the code": Row({"mail": ["!raw 250\\tOk\\r\\n", "250 Ok"]}, [SENT], "MAIL RCPT DATA ."),
    "four digits": Row({"mail": ["2500 Ok", "250 2.1.0 Ok"]}, [SENT], "MAIL RCPT DATA ."),
    "LF only": Row({"mail": "!raw 250 Ok\\n", "eod": "!raw 250 2.0.0 Ok: queued\\n"}, [SENT], "MAIL RCPT DATA ."),
    "reply of 20 lines": Row(
        {"rcpt": ["!fill 20 550-5.1.1 line\\r\\n", "550 5.1.1 last"]},
        ["bounced 5.1.1 " + said("550-5.1.1 line " * 20 + "550 5.1.1 last", "RCPT TO")],
        "MAIL RCPT",
        "MAIL RCPT DATA",
        "reset",
    ),
    "reply byte by byte": Row(
        {"mail": ["!raw 2", "!sleep 1", "!raw 50 2.1.0 Ok\\r", "!sleep 1", "!raw \\n"]}, [SENT], "MAIL RCPT DATA ."
    ),
    "reply without line end": Row(
        {"mail": ["!raw 250 2.1.0 Ok", "!hang"]}, [late("sending MAIL FROM")], "MAIL", "MAIL", "over"
    ),
    "reply without last line": Row(
        {"mail": ["250-2.1.0 one", "250-2.1.0 two", "!hang"]}, [late("sending MAIL FROM")], "MAIL", "MAIL", "over"
    ),
    "600": Row(
        {"mail": "600 what"}, ["bounced 5.5.0 " + said("600 what", "MAIL FROM")], "MAIL", "MAIL RCPT DATA", "reset"
    ),
    "000": Row(
        {"rcpt": "000 what"}, ["bounced 5.5.0 " + said("000 what", "RCPT TO")], "MAIL RCPT", "MAIL RCPT DATA", "reset"
    ),
    "299 everywhere": Row({"rcpt": "299 ok", "eod": "299 2.0.0 ok"}, ["sent 2.0.0 299 2.0.0 ok"], "MAIL RCPT DATA ."),
    "enhanced codes of other classes": Row(
        {
            "rcpt": {
                "u1@": "550 4.2.1 mixed",
                "u2@": "450 5.1.1 mixed",
                "u3@": "550 5.1 short",
                "u4@": "550 5.1.1000 long",
            }
        },
        [
            "bounced 5.0.0 " + said("550 4.2.1 mixed", "RCPT TO"),
            "deferred 4.0.0 " + said("450 5.1.1 mixed", "RCPT TO"),
            "bounced 5.0.0 " + said("550 5.1 short", "RCPT TO"),
            "bounced 5.0.0 " + said("550 5.1.1000 long", "RCPT TO"),
        ],
        "MAIL RCPT RCPT RCPT RCPT",
        "MAIL RCPT RCPT RCPT RCPT DATA",
        "reset",
    ),
}
# What only a server that pipelines can do.
PIPELINED_ROWS = {
    "all recipients refused, DATA 354, dot refused": Row(
        {"rcpt": "550 5.1.1 unknown", "data": "354 go", "eod": "554 5.5.1 no valid recipients"},
        ["bounced 5.1.1 " + said("550 5.1.1 unknown", "RCPT TO")] * 2,
        "MAIL RCPT RCPT DATA .",
    ),
    "all recipients refused, DATA 354, dot accepted": Row(
        {"rcpt": "450 4.1.1 later", "data": "354 go"},
        ["deferred 4.1.1 " + said("450 4.1.1 later", "RCPT TO")],
        "MAIL RCPT DATA .",
    ),
    "all recipients refused, DATA 354, close at the dot": Row(
        {"rcpt": "550 5.1.1 unknown", "data": "354 go", "eod": "!close"},
        ["bounced 5.1.1 " + said("550 5.1.1 unknown", "RCPT TO")],
        "MAIL RCPT DATA .",
        end="over",
    ),
    "MAIL refused, the rest accepted": Row(
        {"mail": "550 5.7.1 no", "rcpt": "250 2.1.5 Ok", "data": "354 go"},
        ["bounced 5.7.1 " + said("550 5.7.1 no", "MAIL FROM")],
        "MAIL RCPT DATA .",
    ),
}


@dataclass
class Run:
    """One transaction that has been run."""

    conversation: Conversation
    transaction: Transaction
    content: MemoryContent
    raised: BaseException | None = None
    wanted: list[str] = field(default_factory=list)

    @property
    def verdicts(self) -> list[str]:
        """Disposition, status and reason for each recipient."""
        fates = [fate for _, fate in sorted(self.transaction.verdicts.items())]
        return [f"{fate.disposition.value} {fate.status} {fate.reason}" for fate in fates]

    @property
    def verbs(self) -> str:
        """The commands of the transaction."""
        return " ".join(verb.partition(" ")[0] for verb in self.conversation.server.verbs[1:])

    @property
    def end(self) -> str:
        """What may be done with the session."""
        if not self.transaction.reusable:
            return "over"
        return "reset" if self.transaction.needs_reset else "reuse"


class TransactionTestCase(SynchronousTestCase):
    """Transactions with a scripted server in memory."""

    maxDiff = None

    def prepare(
        self,
        script: Script,
        whom: tuple[Recipient, ...],
        content: MemoryContent,
        settings: DialogueSettings,
        **mail: Any,
    ) -> Run:
        """A transaction over an introduced session."""
        conversation = Conversation(script)
        found = conversation.run(Introduction(conversation.channel, settings, PEER).run())
        transaction = Transaction(conversation.channel, settings, PEER, found, envelope(**mail), whom, content)
        return Run(conversation, transaction, content)

    def transact(
        self,
        on: dict[str, Any],
        *,
        count: int = 1,
        whom: tuple[Recipient, ...] = (),
        content: MemoryContent | None = None,
        pipelined: bool = False,
        settings: DialogueSettings | None = None,
        **mail: Any,
    ) -> Run:
        """Run one."""
        run = self.prepare(
            Script(on, PIPELINING if pipelined else GOOD),
            whom or recipients(*(f"u{number}@example.org" for number in range(1, count + 1))),
            content or MemoryContent(),
            settings or DialogueSettings("me.example"),
            **mail,
        )
        try:
            run.conversation.run(run.transaction.run())
        except Exception as why:
            run.raised = why
        run.conversation.flush()
        return run


class Rows(TransactionTestCase):
    """Every row of the tables."""

    def check(self, rows: dict[str, Row], *, pipelined: bool) -> None:
        """Verdicts, commands and the state of the session, as the rows say."""
        wrong = {}
        for name, row in rows.items():
            run = self.transact(row.on, count=len(row.wanted), pipelined=pipelined)
            verbs = (row.pipelined_verbs if pipelined else "") or row.verbs
            if (run.verdicts, run.verbs) != (row.wanted, verbs) or run.end not in row.end.split(" or "):
                wrong[name] = (run.verdicts, run.verbs, run.end)
            self.assertEqual(run.conversation.server.pipelined, pipelined, name)
            doubtful = [fate.in_doubt for fate in run.transaction.verdicts.values()]
            self.assertEqual(doubtful, ["more than once" in fate for fate in run.verdicts], name)
        self.assertEqual(wrong, {})

    def test_one_by_one(self) -> None:
        """Without PIPELINING each command waits for the reply to the one before."""
        self.check(ROWS, pipelined=False)

    def test_pipelined(self) -> None:
        """With PIPELINING the same replies give the same verdicts."""
        self.check({**ROWS, **PIPELINED_ROWS}, pipelined=True)


class Dialogue(TransactionTestCase):
    """What goes over the line."""

    def test_content(self) -> None:
        """The server gets the content, encoded, however it comes in blocks; the reader is closed."""
        for blocks in ([TEXT], [TEXT[:7], TEXT[7:9], TEXT[9:]], [TEXT[i : i + 1] for i in range(len(TEXT))]):
            run = self.transact({}, content=MemoryContent(*blocks))
            self.assertEqual(run.conversation.server.contents, [WIRE])
            self.assertTrue(run.content.readers[0].closed)

    def test_empty_content(self) -> None:
        """A message without a byte is a lone dot."""
        run = self.transact({}, content=MemoryContent(b""))
        self.assertEqual((run.conversation.server.contents, run.verdicts), ([b".\r\n"], [SENT]))

    def test_content_is_not_read_in_vain(self) -> None:
        """Content is opened after a 354 only."""
        for on in ({"mail": "550 no"}, {"rcpt": "550 no"}, {"data": "451 no"}, {"rcpt": "550 no", "data": "354 go"}):
            for pipelined in (False, True):
                self.assertEqual(self.transact(on, pipelined=pipelined).content.readers, [])

    def test_empty_message_ends_an_unwanted_354(self) -> None:
        """Where nobody is to get the message, the content that is sent is none."""
        run = self.transact({"rcpt": "550 no", "data": "354 go"}, pipelined=True)
        self.assertEqual(run.conversation.server.contents, [b".\r\n"])

    def test_commands(self) -> None:
        """MAIL and RCPT say what the server's extensions allow; the line length and quoting follow the settings."""
        run = self.transact({}, whom=(Recipient("a b@example.org"),), size=1234, encoding="8bit")
        self.assertEqual(
            run.conversation.server.commands[1:3],
            ["MAIL FROM:<sender@example.org> SIZE=1234 BODY=8BITMIME", 'RCPT TO:<"a b"@example.org>'],
        )
        settings = DialogueSettings("me", quote_envelope=False, line_length_limit=5)
        run = self.transact(
            {}, whom=(Recipient("a b@example.org"),), settings=settings, content=MemoryContent(b"123456\n")
        )
        self.assertEqual(run.conversation.server.commands[2], "RCPT TO:<a b@example.org>")
        self.assertEqual(run.conversation.server.contents, [b"12345\r\n 6\r\n.\r\n"])

    def test_many_recipients(self) -> None:
        """Two hundred recipients in one segment are two hundred verdicts."""
        run = self.transact({"rcpt": {"u7": "550 5.1.1 no"}}, count=200, pipelined=True)
        self.assertEqual(len(run.verdicts), 200)
        self.assertEqual({index for index, fate in enumerate(run.verdicts) if fate != SENT}, {6, *range(69, 79)})

    def test_trace(self) -> None:
        """A trace shows the commands and the dot, also that of an empty message, and nothing of the content."""
        for on in ({}, {"rcpt": "550 no", "data": "354 go"}):
            script = Script(on, PIPELINING)
            run = self.prepare(script, recipients("u@a.example"), MemoryContent(), DialogueSettings("me"))
            run.conversation.channel.trace = trace = Recorder()
            run.conversation.run(run.transaction.run())
            self.assertEqual(
                [line for line in trace.lines if line[0] == ">"],
                ["> MAIL FROM:<sender@example.org> SIZE=49", "> RCPT TO:<u@a.example>", "> DATA", "> ."],
            )


class EarlyReply(TransactionTestCase):
    """A server that answers before it has all of the content."""

    def run_early(self, words: str, *blocks: bytes) -> Run:
        """Have the server say something as soon as the 354 is out."""
        return self.transact({"data": [f"!raw 354 go\\r\\n{words}\\r\\n", "!content"]}, content=MemoryContent(*blocks))

    def test_refusal(self) -> None:
        """Its 4xx or 5xx is the verdict, and it does not get the rest, so that it cannot change its mind."""
        for words, wanted in (("452 4.3.1 disk full", "deferred 4.3.1 "), ("552 5.3.4 too big", "bounced 5.3.4 ")):
            run = self.run_early(words)
            self.assertEqual(run.verdicts, [wanted + said(words, "end of DATA")])
            self.assertEqual((run.conversation.server.contents, run.end), ([], "over"))
            self.assertTrue(run.conversation.channel.over)

    def test_no_refusal(self) -> None:
        """A 2xx or 3xx there cannot be meant for this message: nothing is lost, and nothing is in doubt."""
        for words in ("250 2.0.0 queued", "354 go on"):
            run = self.run_early(words)
            self.assertEqual(
                run.verdicts, [f"deferred 4.5.0 Protocol error: host {HOST} said: {words} (before end of DATA command)"]
            )
            self.assertEqual((run.conversation.server.contents, run.end), ([], "over"))
            self.assertFalse(run.transaction.verdicts[0].in_doubt)

    def test_while_the_disk_is_read(self) -> None:
        """A reply is heard that came, with the end of the connection, while the next block was on its way."""
        reading: list[Deferred[bytes]] = []

        class SlowReader(MemoryReader):
            async def next_block(self) -> bytes:
                if len(self._blocks) == 1:
                    reading.append(Deferred())
                    await reading[0]
                return await super().next_block()

        class SlowContent(MemoryContent):
            def open(self) -> MemoryReader:
                return SlowReader((b"Subject: x\n", b"\n", b"text\n"))

        script = Script({"data": ["354 go", "!sleep 1", "452 4.3.1 disk full", "!close"]})
        run = self.prepare(script, recipients("u@a.example"), SlowContent(), DialogueSettings("me"))
        running = Deferred.fromCoroutine(run.transaction.run())
        run.conversation.flush()
        run.conversation.clock.advance(1.0)
        run.conversation.flush()
        self.assertNoResult(running)
        reading[0].callback(b"")
        self.successResultOf(running)
        self.assertEqual(run.verdicts, ["deferred 4.3.1 " + said("452 4.3.1 disk full", "end of DATA")])

    def test_while_the_transport_is_full(self) -> None:
        """A reply that comes while the end of the content has not left us is early, too."""
        run = self.prepare(Script(), recipients("u@a.example"), MemoryContent(), DialogueSettings("me"))
        channel = run.conversation.channel
        self.patch(channel, "begin_content", channel.pauseProducing)
        running = Deferred.fromCoroutine(run.transaction.run())
        run.conversation.server._script = Script({"eod": "!hang"})
        run.conversation.flush()
        channel.dataReceived(b"452 4.3.1 full\r\n")
        self.successResultOf(running)
        self.assertEqual(run.verdicts, ["deferred 4.3.1 " + said("452 4.3.1 full", "end of DATA")])


class BadContent(TransactionTestCase):
    """Content that cannot be read."""

    def test_while_sending(self) -> None:
        """A disk that fails in the middle defers: the server is dropped and has no whole message."""
        run = self.transact({}, content=MemoryContent(b"Subject: x\n", OSError(5, "Input/output error")), count=2)
        words = f"deferred 4.3.0 local data error while talking to {HOST}: [Errno 5] Input/output error"
        self.assertEqual((run.verdicts, run.end), ([words] * 2, "over"))
        self.assertEqual(run.conversation.server.contents, [])
        self.assertTrue(run.content.readers[0].closed)
        self.assertTrue(run.conversation.channel.over)

    def test_at_the_start(self) -> None:
        """So does a file that cannot be opened."""

        class Missing(MemoryContent):
            def open(self) -> Any:
                raise FileNotFoundError(2, "No such file or directory")

        run = self.transact({}, content=Missing())
        self.assertEqual([fate[:14] for fate in run.verdicts], ["deferred 4.3.0"])
        self.assertTrue(run.conversation.channel.over)

    def test_refused_recipients_keep_their_verdict(self) -> None:
        """Only who was accepted is concerned."""
        run = self.transact(
            {"rcpt": {"u2": "550 5.1.1 no"}}, content=MemoryContent(OSError(5, "Input/output error")), count=2
        )
        self.assertEqual([fate[:14] for fate in run.verdicts], ["deferred 4.3.0", "bounced 5.1.1 "])

    def test_corrupt(self) -> None:
        """What is no content at all is for the queue to deal with: the connection is dropped, the error raised."""
        error = ValueError("not a record")
        run = self.transact({}, content=MemoryContent(b"Subject: x\n", error))
        self.assertIs(run.raised, error)
        self.assertTrue(run.conversation.channel.over)
        self.assertTrue(run.content.readers[0].closed)
        self.assertEqual(run.conversation.server.contents, [])


class UnsafeAddresses(TransactionTestCase):
    """Addresses that cannot be commands."""

    def test_recipient(self) -> None:
        """A recipient with a line break bounces alone, and never reaches the server."""
        whom = recipients("u1@a.example", "x\r\nRSET@a.example", "u3@a.example")
        for pipelined in (False, True):
            run = self.transact({}, whom=whom, pipelined=pipelined)
            bad = "bounced 5.1.3 bad address syntax: <x\\r\\nRSET@a.example> cannot be put in a command"
            self.assertEqual((run.verdicts, run.verbs), ([SENT, bad, SENT], "MAIL RCPT RCPT DATA ."))

    def test_only_recipient(self) -> None:
        """Where there is no other, nothing is said to the server."""
        run = self.transact({}, whom=recipients("a@b> SIZE=1"))
        self.assertEqual((run.verbs, run.end), ("", "reuse"))

    def test_sender(self) -> None:
        """A sender that cannot be a command bounces the message."""
        run = self.transact({}, count=2, sender="a\n@b")
        self.assertEqual([fate[:13] for fate in run.verdicts], ["bounced 5.1.3"] * 2)
        self.assertEqual((run.verbs, run.end), ("", "reuse"))


class Stale(TransactionTestCase):
    """Whether a session that was reused had ended before this message."""

    def test_which(self) -> None:
        """No answer to MAIL, or a 421, says nothing about the message; everything else does."""
        rows: dict[str, tuple[dict[str, Any], bool]] = {
            "close at MAIL": ({"mail": "!close"}, True),
            "silence at MAIL": ({"mail": "!hang"}, True),
            "half a reply to MAIL": ({"mail": ["!raw 250-x\\r\\n", "!close"]}, True),
            "421": ({"mail": "421 4.4.2 idle"}, True),
            "421 and close": ({"mail": ["421 4.4.2 idle", "!close"]}, True),
            "450": ({"mail": "450 4.4.2 no"}, False),
            "450 and close": ({"mail": ["450 4.4.2 no", "!close"]}, False),
            "close at RCPT": ({"rcpt": "!close"}, False),
            "421 at RCPT": ({"rcpt": "421 4.4.2 idle"}, False),
            "all is well": ({}, False),
        }
        for pipelined in (False, True):
            found = {name: self.transact(on, pipelined=pipelined).transaction.stale for name, (on, _) in rows.items()}
            self.assertEqual(found, {name: stale for name, (_, stale) in rows.items()})

    def test_with_an_unsafe_recipient(self) -> None:
        """A recipient that has its verdict from the start does not hide it."""
        run = self.transact({"mail": "!close"}, whom=recipients("u@a.example", "x\n@a.example"))
        self.assertTrue(run.transaction.stale)


class Cancelled(TransactionTestCase):
    """A transaction that is broken off."""

    def test_at_every_stage(self) -> None:
        """Whoever is cancelled while the server is silent leaves no connection and no timer behind."""
        for event in ("mail", "rcpt", "data", "eod"):
            run = self.prepare(
                Script({event: "!hang"}), recipients("u@a.example"), MemoryContent(), DialogueSettings("me")
            )
            running = Deferred.fromCoroutine(run.transaction.run())
            run.conversation.flush()
            running.cancel()
            self.failureResultOf(running, CancelledError)
            self.assertEqual(run.conversation.clock.getDelayedCalls(), [])
            with self.assertRaises(SessionOver):
                run.conversation.run(run.conversation.channel.reply(1.0))

    def test_stage(self) -> None:
        """The stage tells how far it came."""
        stages = {"mail": Stage.MAIL, "rcpt": Stage.RCPT, "data": Stage.DATA, "eod": Stage.DOT}
        found = {event: self.transact({event: "!close"}).transaction.stage for event in stages}
        self.assertEqual(found, stages)
