"""Every timed stage of a session at its default limit, on a clock that jumps."""

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.parameters import Parameters
from smtpclient.delivery.session import Session
from smtpclient.smtp.channel import TimedOut
from smtpclient.smtp.handshake import Introduction
from smtpclient.smtp.settings import DialogueSettings
from tests.mail.messages import MemoryContent, envelope, recipients
from tests.smtp.in_memory import PEER, Conversation
from tests.smtp.scripted_server import PIPELINING, Script

DEFAULTS = DialogueSettings.from_parameters(
    Parameters.from_values({"myhostname": "me.example", "smtp_skip_quit_response": "no"})
)


class Stages(SynchronousTestCase):
    """How long a silent server is waited for."""

    def open(self, script: Script) -> tuple[Conversation, Session]:
        """A session that has been introduced."""
        conversation = Conversation(script)
        found = conversation.run(Introduction(conversation.channel, DEFAULTS, PEER).run())
        return conversation, Session(conversation.channel, DEFAULTS, PEER, found, 0.0)

    def waited(self, conversation: Conversation, start: Callable[[], Coroutine[Deferred[Any], Any, Any]]) -> float:
        """How long something takes on the clock; the connection must be gone then, and no timer left."""
        began = conversation.clock.seconds()
        try:
            conversation.run(start())
        except TimedOut:
            pass
        self.assertTrue(conversation.channel.over)
        self.assertEqual(conversation.clock.getDelayedCalls(), [])
        return conversation.clock.seconds() - began

    def silent_at(self, event: str, *, pipelined: bool) -> float:
        """How long a transaction waits for a server that falls silent at an event."""
        script = Script({event: "!hang"}, PIPELINING) if pipelined else Script({event: "!hang"})
        conversation, session = self.open(script)
        return self.waited(
            conversation, lambda: session.transact(envelope(), recipients("u@a.example"), MemoryContent())
        )

    def test_introduction(self) -> None:
        """Greeting, EHLO and HELO: five minutes each."""
        waited = {}
        for event, ehlo in (("connect", PIPELINING), ("ehlo", PIPELINING), ("helo", None)):
            conversation = Conversation(Script({event: "!hang"}, ehlo))
            introduction = Introduction(conversation.channel, DEFAULTS, PEER)
            waited[event] = self.waited(conversation, introduction.run)
        self.assertEqual(waited, {"connect": 300.0, "ehlo": 300.0, "helo": 300.0})

    def test_transaction(self) -> None:
        """MAIL and RCPT five minutes, DATA two, the dot ten; with PIPELINING the same."""
        wanted = {"mail": 300.0, "rcpt": 300.0, "data": 120.0, "eod": 600.0}
        for pipelined in (False, True):
            waited = {event: self.silent_at(event, pipelined=pipelined) for event in wanted}
            self.assertEqual(waited, wanted)

    def test_content(self) -> None:
        """Three minutes in which the server takes nothing of the content."""
        conversation, session = self.open(Script({"eod": "!hang"}))
        self.patch(conversation.channel, "begin_content", conversation.channel.pauseProducing)
        waited = self.waited(
            conversation, lambda: session.transact(envelope(), recipients("u@a.example"), MemoryContent())
        )
        self.assertEqual(waited, 180.0)

    def test_reset_and_quit(self) -> None:
        """RSET twenty seconds, QUIT five minutes."""
        conversation, session = self.open(Script({"rset": "!hang"}))
        self.assertEqual(self.waited(conversation, session.reset), 20.0)
        conversation, session = self.open(Script({"quit": "!hang"}))
        self.assertEqual(self.waited(conversation, session.quit), 300.0)

    def test_limits_of_pipelined_commands_do_not_add_up(self) -> None:
        """Each of fifty pipelined RCPTs has its own five minutes, from when the one before was answered."""
        conversation, session = self.open(Script({"rcpt": ["!sleep 299", "!default"]}, PIPELINING))
        whom = recipients(*(f"u{number}@a.example" for number in range(50)))
        transaction = conversation.run(session.transact(envelope(), whom, MemoryContent()))
        self.assertEqual({fate.status for fate in transaction.verdicts.values()}, {"2.0.0"})
        self.assertEqual(conversation.clock.seconds(), 50 * 299.0)
