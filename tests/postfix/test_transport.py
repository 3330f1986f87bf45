"""A connection of the queue manager, in memory."""

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import LogEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.mail.envelope import Recipient
from smtpclient.observe.maillog import MailLog
from smtpclient.postfix.deliveries import NOT_DONE
from smtpclient.postfix.request import GREETING, Request, encode_answer
from smtpclient.postfix.transport import REQUEST_TIMEOUT, Visit, Visits
from tests.postfix import queue_manager

BOB = Recipient("bob@there.test", offset=800)


class VisitTests(SynchronousTestCase):
    """One connection, and a delivery that ends when the test says so."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.lines: list[str] = []
        self.asked: list[Request] = []
        self.answers: list[Deferred[bytes]] = []
        self.over = 0
        maillog = MailLog(self.clock.seconds)
        maillog.publisher.addObserver(self._logged)
        self.visits = Visits(self._answer, self.clock, maillog, "smtp", 900.0, self._left)
        self.visit: Visit = self.visits.buildProtocol(None)
        self.transport = StringTransport()
        self.visit.makeConnection(self.transport)

    def _logged(self, event: LogEvent) -> None:
        self.lines.append(event["mail_line"])

    def _left(self) -> None:
        self.over += 1

    def _answer(self, request: Request) -> "Deferred[bytes]":
        self.asked.append(request)
        self.answers.append(Deferred())
        return self.answers[-1]

    def close(self) -> None:
        """The queue manager closes."""
        self.visit.connectionLost(Failure(ConnectionDone()))

    def said(self) -> bytes:
        """What came behind the greeting."""
        return self.transport.value().removeprefix(GREETING)

    def test_a_request(self) -> None:
        """Greeting, request, answer, and the end when the queue manager closes."""
        self.assertEqual(self.transport.value(), GREETING)
        self.visit.dataReceived(queue_manager.request(BOB))
        self.assertEqual(([request.recipients for request in self.asked], self.said()), ([(BOB,)], b""))
        self.answers[0].callback(encode_answer(True))
        self.assertEqual((self.said(), self.over), (encode_answer(True), 0))
        self.close()
        self.assertEqual((self.over, self.clock.getDelayedCalls(), self.lines), (1, [], []))

    def test_the_queue_manager_changes_its_mind(self) -> None:
        """It may close without a request; that is nothing to be logged."""
        self.close()
        self.assertEqual((self.over, self.lines, self.asked), (1, [], []))

    def test_the_queue_manager_is_gone_before_the_answer(self) -> None:
        """The delivery goes on to its end, and only then is the visit over."""
        self.visit.dataReceived(queue_manager.request(BOB))
        self.close()
        self.assertEqual(self.over, 0)
        self.answers[0].callback(encode_answer(True))
        self.assertEqual((self.over, self.said(), self.clock.getDelayedCalls()), (1, b"", []))

    def test_what_is_no_request(self) -> None:
        """It is logged, nothing is delivered, and the connection is closed without an answer."""
        self.visit.dataReceived(b"flags\0x\0\0")
        self.assertTrue(self.transport.disconnecting)
        self.close()
        self.assertEqual((self.asked, self.said(), self.over), ([], b"", 1))
        self.assertIn("warning: a request that cannot be understood: attribute flags: expected a number", self.lines[0])

    def test_half_a_request(self) -> None:
        """Who begins a request and does not go on is not waited for; who has not begun is."""
        self.clock.advance(10 * REQUEST_TIMEOUT)
        self.assertFalse(self.transport.disconnecting)
        self.visit.dataReceived(queue_manager.request(BOB)[:50])
        self.clock.advance(REQUEST_TIMEOUT)
        self.assertTrue(self.transport.disconnecting)
        self.close()
        self.assertEqual(self.over, 1)

    def test_a_delivery_that_takes_too_long(self) -> None:
        """The queue manager gets its answer in time, and the delivery is cancelled."""
        self.visit.dataReceived(queue_manager.request(BOB))
        self.clock.advance(900)
        self.assertEqual(self.said(), NOT_DONE)
        self.assertEqual(self.answers[0].called, True)
        self.assertIn("takes longer than 900 seconds", self.lines[0])
        self.close()
        self.assertEqual(self.over, 1)

    def test_a_delivery_that_does_not_heed_being_cancelled(self) -> None:
        """It is cancelled again and again; the answer is said once."""
        self.visits.answer = self._answer_stubbornly
        self.visit.dataReceived(queue_manager.request(BOB))
        self.clock.advance(900)
        self.assertEqual((self.cancelled, self.said()), (1, NOT_DONE))
        self.close()
        self.clock.advance(10)
        self.assertEqual((self.cancelled, self.over), (2, 1))

    cancelled = 0

    async def _answer_stubbornly(self, request: Request) -> bytes:
        while self.cancelled < 2:
            try:
                await Deferred()
            except CancelledError:
                self.cancelled += 1
        return encode_answer(True)

    def test_interrupted(self) -> None:
        """At a reload what is under way is answered as not done, and who has not asked is sent away."""
        self.visit.dataReceived(queue_manager.request(BOB))
        other, transport = self.visits.buildProtocol(None), StringTransport()
        other.makeConnection(transport)
        self.visits.interrupt()
        self.assertEqual((self.said(), transport.disconnecting), (NOT_DONE, True))

    def test_a_fault_of_our_own(self) -> None:
        """A delivery that raises is answered as not done, and the fault is logged."""
        self.visit.dataReceived(queue_manager.request(BOB))
        self.answers[0].errback(Failure(ZeroDivisionError()))
        self.assertEqual(self.said(), NOT_DONE)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
