"""From a request to its answer: what is held, delivered, settled and marked."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.delivery.ledger import Settle
from smtpclient.delivery.settlement import Settlement
from smtpclient.mail.envelope import NewMessage, QueuedMessage, Recipient
from smtpclient.mail.outcome import Disposition, Outcome, SiteFailure
from smtpclient.mail.request import DeliveryRequest, DeliveryResult
from smtpclient.observe.maillog import MailLog
from smtpclient.observe.outcomes import Outcomes
from smtpclient.postfix.deliveries import NOT_DONE, Deliveries
from smtpclient.postfix.request import Flags, Request
from smtpclient.queue.folders import Folders
from smtpclient.queue.record import CorruptQueueFile
from smtpclient.queue.spool import BusyQueueFile, Spool
from tests.delivery.test_settlement import Service
from tests.postfix import queue_manager
from tests.queue.disk import DirectFiles

SENT, DEFERRED, BOUNCED = Disposition.SENT, Disposition.DEFERRED, Disposition.BOUNCED
MARK = Flags.MARK_SENT | Flags.MARK_BOUNCED
STATUS = {SENT: "2.0.0", DEFERRED: "4.2.1", BOUNCED: "5.1.1"}


class Delivering:
    """
    In place of a delivery agent: what becomes of each recipient is in its address.

    :ivar then: awaited, or raised, behind the first recipient.
    """

    then: "Deferred[None] | Exception | None" = None
    site_failure: SiteFailure | None = None

    def __init__(self, spool: Spool, maillog: MailLog, services: Sequence[Any]) -> None:
        self.spool = spool
        self.settlement = Settlement(spool.mark_done, *services, maillog, Outcomes())
        self.requests: list[DeliveryRequest] = []

    async def deliver(self, request: DeliveryRequest, settle: Settle) -> DeliveryResult:
        """Have each recipient settled as its address says."""
        self.requests.append(request)
        for number, recipient in enumerate(request.recipients):
            if number == 1 and self.then is not None:
                if isinstance(self.then, Exception):
                    raise self.then
                await self.then
            disposition = Disposition(recipient.address.partition("@")[0].partition("-")[0])
            await settle(request, [Outcome(recipient, disposition, STATUS[disposition], "why")])
        return DeliveryResult((), self.site_failure)


class DeliveriesTests(SynchronousTestCase):
    """Requests for a real queue file."""

    def setUp(self) -> None:
        base = Path(self.mktemp()).absolute()
        base.mkdir(parents=True)
        self.directory = str(base)
        files, self.clock = DirectFiles(), Clock()
        maillog = MailLog(self.clock.seconds)
        maillog.publisher.addObserver(self._logged)
        self.spool = Spool(self.directory, files, self.clock, maillog)
        self.spool.prepare()
        self.addCleanup(self.spool.close)
        self.lines: list[str] = []
        self.events: list[str] = []
        self.fails: dict[str, Exception] = {}
        folders = Folders(files, self.directory, ("deferred", "defer"), 1)
        self.delivering = Delivering(self.spool, maillog, self.services())
        self.deliveries = Deliveries(cast(Any, self.delivering), files, folders, self.clock, maillog, "smtp")

    def services(self) -> list[Service]:
        """The report services, of which those in ``self.fails`` fail."""
        return [Service(name, self.events, self.fails.get(name)) for name in ("bounce", "defer", "trace")]

    def _logged(self, event: LogEvent) -> None:
        self.lines.append(event["mail_line"])

    def queued(self, *recipients: str, **attributes: str) -> QueuedMessage:
        """A message in ``active/``."""
        whom = [Recipient(address) for address in recipients]
        message = NewMessage("me@here.test", whom, b"Subject: x\n\nhello\n", attributes=attributes)
        queue_id = self.successResultOf(self.spool.create(message))
        self.assertIsNotNone(self.spool.take(queue_id, "incoming"))
        return self.spool.read(queue_id)

    def path(self, message: QueuedMessage) -> Path:
        """Its file."""
        return Path(self.directory, "active", message.envelope.queue_id)

    def request(self, message: QueuedMessage, flags: Flags = MARK, queue: str = "active") -> Request:
        """A request to deliver all of it."""
        return Request(flags, queue, "there.test", 0.0, message.envelope, message.recipients)

    def answer(self, message: QueuedMessage, queue: str = "active") -> tuple[int, str, str]:
        """What the queue manager hears."""
        return queue_manager.answer(self.successResultOf(self.deliveries.answer(self.request(message, queue=queue))))

    def left(self, message: QueuedMessage) -> list[str]:
        """Who is not marked."""
        return [recipient.address for recipient in self.spool.read(message.envelope.queue_id).recipients]

    def test_all_done(self) -> None:
        """Who is sent or failed is marked, and the queue manager may forget all of them."""
        message = self.queued("sent@there.test", "bounced@there.test")
        self.assertEqual(self.answer(message), (0, "", ""))
        self.assertEqual((self.left(message), self.events), ([], ["bounce bounced@there.test 5.1.1"]))

    def test_somebody_is_left(self) -> None:
        """Who is deferred is not marked, and the message is kept."""
        message = self.queued("sent@there.test", "deferred@there.test")
        self.assertEqual(self.answer(message), (-1, "", ""))
        self.assertEqual(self.left(message), ["deferred@there.test"])

    def test_the_next_hop_is_of_no_use(self) -> None:
        """The queue manager hears why."""
        self.delivering.site_failure = SiteFailure("4.4.1", "nobody there")
        self.assertEqual(self.answer(self.queued("deferred@there.test")), (-1, "4.4.1", "nobody there"))

    def test_a_failure_that_cannot_be_recorded(self) -> None:
        """Its recipient is kept: the sender would never hear of it."""
        self.delivering.settlement._bounce = Service("bounce", self.events, OSError("full"))
        message = self.queued("bounced@there.test")
        self.assertEqual(self.answer(message)[0], -1)
        self.assertEqual(self.left(message), ["bounced@there.test"])

    def test_no_such_file(self) -> None:
        """A request for what is not there, or for no queue file at all, is not done, and is logged."""
        message = self.queued("sent@there.test")
        elsewhere = message._replace(envelope=message.envelope._replace(queue_id="../../etc/passwd"))
        gone = message._replace(envelope=message.envelope._replace(queue_id="ABCDE123"))
        self.assertEqual([self.answer(each)[0] for each in (elsewhere, gone)], [-1, -1])
        self.assertEqual(self.answer(message, queue="corrupt")[0], -1)
        self.assertEqual((len(self.lines), self.delivering.requests, self.left(message)), (3, [], ["sent@there.test"]))

    def test_a_file_that_is_not_complete(self) -> None:
        """It is left alone."""
        message = self.queued("sent@there.test")
        self.path(message).chmod(0o600)
        self.assertEqual((self.answer(message)[0], self.delivering.requests), (-1, []))

    def test_a_symbolic_link(self) -> None:
        """It is no queue file, wherever it leads."""
        message = self.queued("sent@there.test")
        path = self.path(message)
        path.rename(path.with_name("elsewhere"))
        path.symlink_to("elsewhere")
        self.assertEqual((self.answer(message)[0], self.delivering.requests), (-1, []))

    def test_the_file_is_held(self) -> None:
        """No queue manager can take it before the answer, and any can afterwards."""
        self.delivering.then = Deferred()
        message = self.queued("sent@there.test", "sent-2@there.test")
        answer = Deferred.fromCoroutine(self.deliveries.answer(self.request(message)))
        self.assertRaises(BusyQueueFile, self.spool.read, message.envelope.queue_id)
        self.delivering.then.callback(None)
        self.successResultOf(answer)
        self.assertEqual(self.left(message), [])

    def test_content_that_cannot_be_read(self) -> None:
        """Who has no outcome yet fails, and the file is marked for the operator."""
        message = self.queued("sent@there.test", "sent-2@there.test")
        self.delivering.then = CorruptQueueFile(str(self.path(message)), 700, "garbage")
        self.assertEqual(self.answer(message), (-1, "", ""))
        self.assertEqual(self.events, ["bounce sent-2@there.test 5.3.0"])
        self.assertEqual(self.path(message).stat().st_mode & 0o777, 0o400)

    def test_content_that_cannot_be_read_nor_reported(self) -> None:
        """Where the failure cannot be recorded, the file is as it was, and is tried again."""
        self.delivering.settlement._bounce = Service("bounce", self.events, OSError("full"))
        message = self.queued("sent@there.test", "sent-2@there.test")
        self.delivering.then = CorruptQueueFile(str(self.path(message)), 700, "garbage")
        self.assertEqual(self.answer(message)[0], -1)
        self.assertEqual(self.path(message).stat().st_mode & 0o777, 0o700)
        self.assertEqual(self.left(message), ["sent-2@there.test"])

    def test_a_fault_of_our_own(self) -> None:
        """Who has no outcome yet is deferred, with a reason; the destination is not to blame."""
        message = self.queued("sent@there.test", "sent-2@there.test")
        self.delivering.then = ZeroDivisionError()
        self.assertEqual(self.answer(message), (-1, "", ""))
        self.assertEqual(self.events, ["defer sent-2@there.test 4.3.0"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_cancelled(self) -> None:
        """A delivery that is cancelled has deferred who was left, and is answered."""
        self.delivering.then = Deferred()
        message = self.queued("sent@there.test", "sent-2@there.test")
        answer = Deferred.fromCoroutine(self.deliveries.answer(self.request(message)))
        answer.cancel()
        self.assertEqual(self.successResultOf(answer), NOT_DONE)
        self.assertEqual(self.events, ["defer sent-2@there.test 4.4.2"])
        self.assertEqual(self.left(message), ["sent-2@there.test"])

    def test_a_probe(self) -> None:
        """A probe is done with its first answer, whatever that is; all of them are recorded."""
        message = self.queued("sent@there.test", "deferred@there.test", "bounced@there.test", trace_flags="512")
        self.assertEqual(self.answer(message)[0], 0)
        self.assertEqual(self.left(message), [])
        self.assertEqual([event.partition(" ")[0] for event in self.events], ["trace", "defer", "bounce"])
        words = [line.partition("status=")[2].partition(" ")[0] for line in self.lines]
        self.assertEqual(words, ["deliverable", "undeliverable", "undeliverable"])

    def test_a_probe_that_nobody_hears_of(self) -> None:
        """An answer that could not be recorded is none, and the probe is tried again."""
        self.delivering.settlement._trace = Service("trace", self.events, OSError("full"))
        message = self.queued("sent@there.test", trace_flags="512")
        self.assertEqual((self.answer(message)[0], self.left(message)), (-1, ["sent@there.test"]))

    def test_sessions_worth_keeping(self) -> None:
        """All of them, where the queue manager says that more mail waits; else none."""
        message = self.queued("deferred@there.test")
        for flags in (MARK, MARK | Flags.KEEP):
            self.successResultOf(self.deliveries.answer(self.request(message, flags)))
        without, with_more = [request.backlog() for request in self.delivering.requests]
        self.assertEqual(without, 0)
        self.assertGreater(with_more, 1000)

    def test_nothing_is_left_open(self) -> None:
        """Whatever became of requests, no file of the queue is open."""
        self.answer(self.queued("sent@there.test"))
        self.answer(self.queued("deferred@there.test"))
        opened = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _is_link(fd)]
        self.assertEqual([path for path in opened if path.startswith(self.directory + "/active")], [])


def _is_link(fd: str) -> bool:
    return os.path.islink(f"/proc/self/fd/{fd}")
