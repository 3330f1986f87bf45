"""The whole service, as a program has it that embeds it."""

import errno
import gc
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.parameters import Parameters
from smtpclient.mail.envelope import Envelope
from smtpclient.mail.outcome import Disposition, Outcome
from smtpclient.observe.maillog import MailLog
from smtpclient.outbound import Outbound
from smtpclient.queue.intake import IntakeError
from smtpclient.receipts import Receipt, StillQueued
from tests.simulation.disk import Disk, SimulatedFiles
from tests.simulation.network import Weather
from tests.simulation.reactor import SimulatedReactor
from tests.simulation.servers import Ledger, MailServer, Manners

CONTENT = b"From: <me@home.test>\r\nX-Id: 7\r\n\r\nhello\r\n"


class Stage:
    """A service that relays to one server, on a simulated clock, network and disk."""

    def __init__(self, case: SynchronousTestCase, **parameters: str) -> None:
        self.random = Random(1)
        self.reactor = SimulatedReactor(Weather(self.random))
        self.disk = Disk(self.random, self.reactor.seconds)
        self.ledger = Ledger()
        self.manners = Manners(self.random)
        self.reactor.network.listen("10.0.0.9", 25, MailServer("mx.test", self.ledger, self.manners, self.reactor))
        self.lines: list[str] = []
        self.failing = ""
        self.files = SimulatedFiles(self.disk, self.reactor, self._trouble)
        self.outbound = self.service("/spool", **parameters)

    def _trouble(self, name: str, number: int) -> None:
        if name == self.failing:
            raise OSError(errno.ENOSPC, "No space left on device")

    def service(self, directory: str, **parameters: str) -> Outbound:
        """Another one beside the first."""
        maillog = MailLog(self.reactor.seconds)
        maillog.publisher.addObserver(lambda event: self.lines.append(event["mail_line"]))
        values = {"queue_directory": directory, "relayhost": "[10.0.0.9]", "myhostname": "home.test", **parameters}
        outbound = Outbound(
            Parameters.from_values(values, machine_name=lambda: "home.test"),
            reactor=self.reactor,
            files=self.files,
            random=self.random,
            maillog=maillog,
            doors=False,
        )
        outbound.startService()
        return outbound

    def submit(self, *recipients: str, message: bytes = CONTENT, **wishes: Any) -> Receipt:
        """Submit a message and wait until it is on disk."""
        done: list[Receipt] = []
        submitted = Deferred.fromCoroutine(self.outbound.submit("me@home.test", recipients, message, **wishes))
        submitted.addCallback(done.append)
        self.reactor.advance(1)
        return done[0]


class SubmitTests(SynchronousTestCase):
    """``Outbound.submit`` and the receipt that it gives."""

    def test_a_receipt_comes_when_the_message_is_on_disk(self) -> None:
        """The message has been synced, and its folder too, when ``submit`` returns; not before."""
        stage = Stage(self)
        stage.failing = "fsync"
        submitted = Deferred.fromCoroutine(stage.outbound.submit("me@home.test", ["you@there.test"], CONTENT))
        stage.reactor.advance(1)
        self.failureResultOf(submitted, OSError)
        self.assertEqual([], [path for path in stage.disk.files if "/incoming/" in path])

    def test_the_receipt_tells_of_the_first_attempt(self) -> None:
        """``first_attempt`` gives one outcome for each recipient when each has been tried."""
        stage = Stage(self)
        stage.manners.temper = 0.0
        receipt = stage.submit("you@there.test", "nobody@there.test")
        waiting = Deferred.fromCoroutine(receipt.first_attempt())
        stage.reactor.advance(30)
        outcomes = {outcome.recipient.address: outcome.disposition for outcome in self.successResultOf(waiting)}
        self.assertEqual({"you@there.test": Disposition.SENT, "nobody@there.test": Disposition.BOUNCED}, outcomes)

    def test_finished_waits_for_what_was_deferred(self) -> None:
        """``finished`` gives the last outcome, after the attempts that it took."""
        stage = Stage(self)
        stage.manners.temper = 1.0
        receipt = stage.submit("you@there.test")
        first, last = Deferred.fromCoroutine(receipt.first_attempt()), Deferred.fromCoroutine(receipt.finished())
        stage.reactor.advance(1000)
        self.assertEqual([Disposition.DEFERRED], [outcome.disposition for outcome in self.successResultOf(first)])
        self.assertNoResult(last)
        stage.manners.temper = 0.0
        stage.reactor.advance(10_000)
        self.assertEqual([Disposition.SENT], [outcome.disposition for outcome in self.successResultOf(last)])

    def test_any_number_may_wait(self) -> None:
        """Two coroutines that wait for the same receipt get the same answer."""
        stage = Stage(self)
        receipt = stage.submit("you@there.test")
        waiting = [Deferred.fromCoroutine(receipt.finished()) for _ in range(2)]
        stage.reactor.advance(30)
        self.assertEqual(*[self.successResultOf(each) for each in waiting])

    def test_a_message_that_expires_is_finished(self) -> None:
        """``finished`` ends for a message that was given up; the outcome is that of its last attempt."""
        stage = Stage(self, maximal_queue_lifetime="1h")
        stage.manners.temper = 1.0
        receipt = stage.submit("you@there.test")
        waiting = Deferred.fromCoroutine(receipt.finished())
        stage.reactor.advance(3 * 3600)
        self.assertEqual([Disposition.DEFERRED], [outcome.disposition for outcome in self.successResultOf(waiting)])
        self.assertIn("status=expired, returned to sender", " ".join(stage.lines))

    def test_who_waits_when_the_service_stops_is_told(self) -> None:
        """``StillQueued`` names the message that nobody will answer for."""
        stage = Stage(self)
        stage.manners.temper = 1.0
        receipt = stage.submit("you@there.test")
        waiting = Deferred.fromCoroutine(receipt.finished())
        stage.outbound.stopService()
        stage.reactor.advance(100)
        self.assertIn(receipt.queue_id, str(self.failureResultOf(waiting, StillQueued).value))

    def test_nobody_keeps_a_receipt_that_is_thrown_away(self) -> None:
        """A receipt that its owner drops is not kept by the service."""
        stage = Stage(self)
        stage.manners.temper = 1.0
        stage.submit("you@there.test")
        gc.collect()
        self.assertEqual([], list(stage.outbound._receipts._held.values()))

    def test_what_cannot_be_sent_is_refused_with_a_status(self) -> None:
        """A message without recipients is the submitter's mistake, and says so with an enhanced status code."""
        stage = Stage(self)
        submitted = Deferred.fromCoroutine(stage.outbound.submit("me@home.test", [], CONTENT))
        self.assertRegex(self.failureResultOf(submitted, IntakeError).value.status, r"^5\.")


class OutcomesTests(SynchronousTestCase):
    """Subscribers."""

    def test_a_subscriber_hears_every_outcome_until_it_leaves(self) -> None:
        """Each outcome is told once, with the envelope; after ``unsubscribe`` none is."""
        stage = Stage(self)
        heard: list[tuple[Envelope, Outcome]] = []
        leave = stage.outbound.outcomes.subscribe(lambda envelope, outcome: heard.append((envelope, outcome)))
        receipt = stage.submit("you@there.test", "they@there.test")
        stage.reactor.advance(30)
        leave()
        stage.submit("you@there.test")
        stage.reactor.advance(30)
        self.assertEqual(
            [(receipt.queue_id, "they@there.test"), (receipt.queue_id, "you@there.test")],
            sorted((envelope.queue_id, outcome.recipient.address) for envelope, outcome in heard),
        )

    def test_a_subscriber_that_raises_costs_nothing(self) -> None:
        """The mail is delivered and the failure logged."""
        stage = Stage(self)
        stage.outbound.outcomes.subscribe(lambda envelope, outcome: 1 // 0)
        receipt = stage.submit("you@there.test")
        stage.reactor.advance(30)
        self.assertEqual([Disposition.SENT], [outcome.disposition for outcome in receipt.outcomes])
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))


class LifeTests(SynchronousTestCase):
    """Starting, stopping, several at once."""

    def test_two_in_one_process_do_not_meet(self) -> None:
        """Each has its own queue; both deliver."""
        stage = Stage(self)
        stage.disk.make_folder("/other", 0o700)
        other = stage.service("/other")
        stage.submit("one@there.test")
        Deferred.fromCoroutine(other.submit("me@home.test", ["two@there.test"], CONTENT))
        stage.reactor.advance(30)
        self.assertEqual(["one@there.test", "two@there.test"], sorted(each.recipient for each in stage.ledger.accepted))

    def test_stop_lets_deliveries_end(self) -> None:
        """What is under way when the service is told to stop is delivered, and nothing of the service is left."""
        stage = Stage(self)
        Deferred.fromCoroutine(stage.outbound.submit("me@home.test", ["you@there.test"], CONTENT))
        while not stage.outbound.scheduler.running:
            stage.reactor.step()
        stopped = stage.outbound.stopService()
        stage.reactor.advance(30)
        self.successResultOf(stopped)
        self.assertEqual(["you@there.test"], [each.recipient for each in stage.ledger.accepted])
        self.assertEqual((0, []), (stage.files.open_count, stage.reactor.getDelayedCalls()))

    def test_it_can_be_started_again(self) -> None:
        """After a stop, a start goes on with what is queued."""
        stage = Stage(self)
        stage.manners.temper = 1.0
        stage.submit("you@there.test")
        stage.outbound.stopService()
        stage.reactor.advance(1000)
        stage.manners.temper = 0.0
        stage.outbound.startService()
        stage.reactor.advance(10_000)
        self.assertEqual(["you@there.test"], [each.recipient for each in stage.ledger.accepted])

    def test_a_bounce_service_of_ones_own_is_used(self) -> None:
        """A service that is passed in gets what fails; when it raises, the recipient stays queued."""

        class Broken:
            def append(self, envelope: Envelope, outcome: Outcome) -> "Deferred[None]":
                return fail(RuntimeError("no"))

            async def flush(self, envelope: Envelope, content: object) -> None:
                return

        stage = Stage(self)
        stage.outbound._settlement._bounce = Broken()  # type: ignore[assignment]
        receipt = stage.submit("nobody@there.test")
        stage.reactor.advance(30)
        self.assertEqual(
            [(Disposition.DEFERRED, "4.3.0")], [(each.disposition, each.status) for each in receipt.outcomes]
        )
        self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))
