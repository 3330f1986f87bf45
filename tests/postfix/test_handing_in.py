"""New mail, handed to the cleanup(8) of a real Postfix."""

import os
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from smtpclient.mail.envelope import NewMessage, Recipient
from smtpclient.postfix.call import Caller, Unanswered
from smtpclient.postfix.handing_in import HandingIn
from tests.interop.private_postfix import ACCEPTING, PrivatePostfix, missing

NOW = 1_800_000_000.0


class HandingInTests(TestCase):
    """Postfix without a queue manager: what is taken stays in ``incoming/``."""

    skip = missing() or None
    timeout = 120

    def setUp(self) -> None:
        self.postfix = PrivatePostfix({"virtual_alias_maps": "inline:{{boss@mx.postfix.test=me@there.test}}"})
        self.addCleanup(self.postfix.remove)
        self.addCleanup(self.postfix.stop)
        self.postfix.start(ACCEPTING)
        self.way_in = HandingIn(Caller(reactor, reactor, self.postfix.queue, patience=30), "mx.postfix.test", "Test")

    def message(self, recipient: str, content: bytes = b"Subject: x\n\n.hello\nno end") -> NewMessage:
        """One to somebody."""
        return NewMessage("double-bounce@mx.postfix.test", [Recipient(recipient)], content)

    async def test_taken(self) -> None:
        """It lies in the queue under the id that is told, its addresses rewritten, its content as it was."""
        queue_id = await self.way_in.submit(self.message("boss"), NOW)
        self.assertEqual(os.listdir(f"{self.postfix.queue}/incoming"), [queue_id])
        shown = self.postfix.run("postcat", str(Path(self.postfix.queue, "incoming", queue_id)))
        self.assertIn("\nrecipient: me@there.test\n", shown)
        self.assertIn("\nsender: double-bounce@mx.postfix.test\n", shown)
        self.assertIn("Received: by mx.postfix.test (Test);\n", shown)
        self.assertIn("\nSubject: x\n", shown)
        self.assertIn("\n\n.hello\nno end\n", shown)

    async def test_nobody_at_the_socket(self) -> None:
        """Then it was not taken."""
        self.postfix.stop()
        await self.assertFailure(_deferred(self.way_in, self.message("boss")), Unanswered)

    async def test_an_address_that_breaks_lines(self) -> None:
        """It is refused before anything is said."""
        await self.assertFailure(_deferred(self.way_in, self.message("a\nb")), ValueError)
        self.assertEqual(os.listdir(f"{self.postfix.queue}/incoming"), [])

    async def test_a_message_that_cleanup_does_not_take(self) -> None:
        """A yes is a yes, and this is none."""
        self.postfix.stop()
        self.postfix.set({"message_size_limit": "100"})
        self.postfix.start(ACCEPTING)
        await self.assertFailure(_deferred(self.way_in, self.message("boss", b"x" * 10_000)), Unanswered)


def _deferred(way_in: HandingIn, message: NewMessage) -> "Deferred[str]":
    return Deferred.fromCoroutine(way_in.submit(message, NOW))
