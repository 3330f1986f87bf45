"""Sessions: one message after the other, and QUIT."""

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.delivery.session import Session
from smtpclient.observe.trace import Transcript
from smtpclient.smtp.handshake import Introduction
from smtpclient.smtp.settings import DialogueSettings
from tests.mail.messages import MemoryContent, envelope, recipients
from tests.smtp.in_memory import PEER, Conversation
from tests.smtp.scripted_server import PIPELINING, Script


class SessionCase(SynchronousTestCase):
    """A session with a scripted server in memory."""

    def open(self, script: Script, *, skip_quit_response: bool = False) -> Session:
        """A session that has been introduced."""
        self.conversation = Conversation(script)
        channel = self.conversation.channel
        channel.trace = transcript = Transcript()
        settings = DialogueSettings("me.example", skip_quit_response=skip_quit_response)
        found = self.conversation.run(Introduction(channel, settings, PEER).run())
        return Session(channel, settings, PEER, found, 0.0, transcript)

    def transact(self, session: Session, address: str = "u@a.example") -> str:
        """Carry one message; give the status of its recipient."""
        coroutine = session.transact(envelope(), recipients(address), MemoryContent())
        return self.conversation.run(coroutine).verdicts[0].status

    @property
    def verbs(self) -> str:
        """What the server was told."""
        self.conversation.flush()
        return " ".join(verb.partition(" ")[0] for verb in self.conversation.server.verbs)


class Sessions(SessionCase):
    """What a session does."""

    def test_uses(self) -> None:
        """A session knows how many messages it has carried."""
        session = self.open(Script(ehlo=PIPELINING))
        uses = [session.uses]
        for _ in range(3):
            self.transact(session)
            uses.append(session.uses)
        self.assertEqual((uses, self.verbs), ([0, 1, 2, 3], "EHLO" + " MAIL RCPT DATA ." * 3))

    def test_reset(self) -> None:
        """RSET is well when the server says so."""
        table: dict[str, bool] = {"!default": True, "502 no": False, "!close": False, "!hang": False, "354 x": False}
        found = {}
        for steps in table:
            session = self.open(Script({"rset": steps}))
            found[steps] = self.conversation.run(session.reset())
        self.assertEqual(found, table)

    def test_quit(self) -> None:
        """QUIT waits for its reply, whatever that is, and closes."""
        for steps in ("!default", "500 what", "!close", "!hang"):
            session = self.open(Script({"quit": steps}))
            self.conversation.run(session.quit())
            self.assertEqual(self.verbs, "EHLO QUIT")
            self.assertTrue(session.channel.over)
            self.assertEqual(self.conversation.clock.getDelayedCalls(), [])

    def test_quit_without_patience(self) -> None:
        """Where the reply is not wanted it is not waited for."""
        for skip, patient in ((True, True), (False, False)):
            session = self.open(Script({"quit": "!hang"}), skip_quit_response=skip)
            self.conversation.run(session.quit(patient=patient))
            self.assertEqual((self.verbs, self.conversation.clock.seconds()), ("EHLO QUIT", 0.0))

    def test_quit_on_a_dead_connection(self) -> None:
        """Nothing is said into a connection that has ended."""
        session = self.open(Script())
        session.channel.abort()
        self.conversation.run(session.quit())
        self.assertEqual(self.verbs, "EHLO")

    def test_protocol_errors(self) -> None:
        """A reply against the protocol, or a line that is none, makes the session suspect until its next message."""
        session = self.open(Script({"rcpt": {"odd@": "354 what", "garbage@": ["what", "250 ok"]}}))
        suspect = []
        for address in ("u@a", "odd@a", "u@a", "garbage@a", "u@a"):
            self.transact(session, address)
            suspect.append(bool(session.error_classes))
            if address == "odd@a":
                self.conversation.run(session.reset())
        self.assertEqual(suspect, [False, True, False, True, False])

    def test_transcript(self) -> None:
        """The first message's transcript holds the introduction; that of a further one only its own dialogue."""
        session = self.open(Script())
        assert session.transcript is not None
        self.transact(session)
        self.assertEqual(session.transcript.lines[1], "Out: EHLO me.example")
        self.transact(session, "second@a")
        self.assertEqual(session.transcript.lines[0], "Out: MAIL FROM:<sender@example.org> SIZE=49")
        self.assertIn("Out: RCPT TO:<second@a>", session.transcript.lines)


class SharesTests(SessionCase):
    """A server that says how many recipients, or messages, it takes at once."""

    def deliver(self, session: Session, count: int) -> list[str]:
        """Carry one message to so many; what becomes of each."""
        whom = recipients(*(f"u{number}@a.example" for number in range(count)))
        transaction = self.conversation.run(session.transact(envelope(), whom, MemoryContent()))
        return [transaction.verdicts[index].status for index in range(count)]

    def test_more_recipients_than_a_transaction_takes(self) -> None:
        """Further transactions in the same session serve the others."""
        session = self.open(Script(ehlo=(*PIPELINING, "LIMITS RCPTMAX=2")))
        self.assertEqual(["2.0.0"] * 5, self.deliver(session, 5))
        self.assertEqual("EHLO" + " MAIL RCPT RCPT DATA ." * 2 + " MAIL RCPT DATA .", self.verbs)
        self.assertEqual(1, session.uses)

    def test_a_share_that_is_refused_does_not_cost_the_next(self) -> None:
        """After a refused DATA comes RSET, and the next share has its chance."""
        script = Script({"data": ("451 4.3.0 not now", "!default")}, ehlo=(*PIPELINING, "LIMITS RCPTMAX=1"))
        self.assertEqual(["4.3.0", "2.0.0"], self.deliver(self.open(script), 2))
        self.assertEqual("EHLO MAIL RCPT DATA RSET MAIL RCPT DATA .", self.verbs)

    def test_a_session_that_ends_between_shares(self) -> None:
        """Who has been served has been served; the others wait."""
        script = Script({"mail": ("!default", "!close")}, ehlo=(*PIPELINING, "LIMITS RCPTMAX=1"))
        self.assertEqual(["2.0.0", "4.4.2", "4.4.2"], self.deliver(self.open(script), 3))

    def test_so_many_messages_and_no_more(self) -> None:
        """After MAILMAX transactions the session is spent, and who is left waits."""
        session = self.open(Script(ehlo=(*PIPELINING, "LIMITS RCPTMAX=1 MAILMAX=2")))
        self.assertEqual(["2.0.0", "2.0.0", "4.4.2"], self.deliver(session, 3))
        self.assertTrue(session.is_spent)
        self.assertEqual("EHLO" + " MAIL RCPT DATA ." * 2, self.verbs)
