"""From a server's hands into the queue, or a reply that says why not."""

import errno
from dataclasses import dataclass

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.mail.envelope import NewMessage, Recipient
from smtpclient.queue.intake import IntakeError, Submission
from smtpclient.submission.acceptance import Acceptor, Refused
from smtpclient.submission.access import Client
from tests.submission.memory_queue import RULES, MemoryQueue, acceptor

SUBMISSION = Submission("s@x.test", [Recipient("r@y.test")], b"Subject: x\n\n")


class AcceptTests(SynchronousTestCase):
    """:meth:`Acceptor.accept`."""

    def test_accepted(self) -> None:
        """The queue gets the message as intake makes it, and its id comes back."""
        queue = MemoryQueue()
        self.assertEqual("ID1", self.successResultOf(acceptor(queue).accept(SUBMISSION)))
        self.assertIn(b"Message-ID: <19700101000000.", queue.contents[0])

    def test_a_receipt_has_the_id(self) -> None:
        """A queue may give back an object with the id in it, or nothing of the kind."""

        @dataclass
        class Receipt:
            queue_id: str

        async def enqueue(message: NewMessage) -> object:
            return Receipt("ABC") if message.sender else None

        given = Acceptor(enqueue, RULES, Clock())
        self.assertEqual("ABC", self.successResultOf(given.accept(SUBMISSION)))
        self.assertEqual("", self.successResultOf(given.accept(Submission("", SUBMISSION.recipients, b""))))

    def test_refusals(self) -> None:
        """5xx where the message is at fault, 4xx where we are."""
        table = {
            IntakeError("5.3.4", "message is larger"): "552 5.3.4 Error: message is larger",
            IntakeError("5.1.3", "bad recipient"): "553 5.1.3 Error: bad recipient",
            IntakeError("5.1.7", "bad sender"): "553 5.1.7 Error: bad sender",
            IntakeError("5.4.0", "too many hops"): "554 5.4.0 Error: too many hops",
            OSError(errno.ENOSPC, "full"): "452 4.3.1 Insufficient system storage",
            OSError(errno.EDQUOT, "full"): "452 4.3.1 Insufficient system storage",
            OSError(errno.EIO, "broken", "/spool/x"): "451 4.3.0 Error: queue file write error",
            RuntimeError("a defect"): "451 4.3.0 Error: queue file write error",
            Refused(450, "4.2.0 later"): "450 4.2.0 later",
        }
        self.assertEqual(list(table.values()), [self.refusal(error) for error in table])
        self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))
        self.assertEqual(1, len(self.flushLoggedErrors(OSError)))

    def refusal(self, error: Exception) -> str:
        """The reply when the queue fails."""
        queue = MemoryQueue(failure=error)
        return str(self.failureResultOf(acceptor(queue).accept(SUBMISSION), Refused).value)

    def test_a_refused_message_is_not_queued(self) -> None:
        """What intake refuses does not reach the queue."""
        queue = MemoryQueue()
        failure = self.failureResultOf(acceptor(queue).accept(Submission("", [Recipient("")], b"")), Refused)
        self.assertEqual(553, failure.value.code)
        self.assertEqual([], queue.messages)


class TraceTests(SynchronousTestCase):
    """The Received field of a message from a client."""

    def test_trace(self) -> None:
        """Name and address of the client, us, the protocol; a single recipient and no list of them."""
        given = acceptor(MemoryQueue())
        table = {
            ("foo.test", "192.0.2.1", ("r@y.test",)): "from foo.test ([192.0.2.1])\n\tby mail.example.test (smtpclient)"
            " with ESMTP\n\tfor <r@y.test>",
            ("[192.0.2.1]", "2001:db8::1", ("a@x", "b@x")): "from [192.0.2.1] ([IPv6:2001:db8::1])\n\t"
            "by mail.example.test (smtpclient) with ESMTP",
            ("", "", ()): "from unknown ([local])\n\tby mail.example.test (smtpclient) with ESMTP",
        }
        made = {key: given.trace(key[0], Client(key[1]), "ESMTP", key[2]) for key in table}
        self.assertEqual(table, made)

    def test_what_the_client_says_cannot_forge(self) -> None:
        """A name with line ends, comments or letters beyond ASCII is made harmless, and is bounded."""
        trace = acceptor(MemoryQueue()).trace("a\r\nX: (y) \xe9", Client("192.0.2.1"), "ESMTP")
        self.assertTrue(trace.startswith("from a??X:??y??? ([192.0.2.1])\n\tby "), trace)
        trace = acceptor(MemoryQueue()).trace("a" * 5000, Client("192.0.2.1"), "ESMTP")
        self.assertLess(len(trace), 400)


class RefusedTests(SynchronousTestCase):
    """Replies."""

    def test_one_ascii_line(self) -> None:
        """Whatever text went in, a reply is one line of ASCII."""
        self.assertEqual("550 5.0.0 a?b ?", str(Refused(550, "5.0.0 a\nb \xe9")))
