"""Settlement: record, log, mark, tell."""

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import LogEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from smtpclient.delivery.settlement import Settlement, line
from smtpclient.interfaces import IBounceService, IDeferService, IMessageContent, ITraceService
from smtpclient.mail.envelope import Envelope, Notify, Recipient
from smtpclient.mail.outcome import Delays, Disposition, Outcome, Peer
from smtpclient.mail.request import DeliveryRequest
from smtpclient.observe.maillog import MailLog
from smtpclient.observe.outcomes import Outcomes
from tests.mail.messages import MemoryContent, envelope

SENT, DEFERRED, BOUNCED = Disposition.SENT, Disposition.DEFERRED, Disposition.BOUNCED
STATUS = {SENT: "2.0.0", DEFERRED: "4.2.1", BOUNCED: "5.1.1"}


@implementer(IBounceService, IDeferService, ITraceService)
class Service:
    """
    A report service that notes what it is asked.

    :param fails: ``append`` raises this.
    """

    def __init__(self, name: str, events: list[str], fails: Exception | None = None) -> None:
        self._name = name
        self._events = events
        self._fails = fails

    async def append(self, message: Envelope, outcome: Outcome) -> None:
        """Note, or fail."""
        self._events.append(f"{self._name} {outcome.recipient.address} {outcome.status}")
        if self._fails is not None:
            raise self._fails

    async def flush(self, message: Envelope, content: IMessageContent) -> None:
        """Not for settlement."""
        raise AssertionError

    async def warn(self, message: Envelope, content: IMessageContent) -> None:
        """Not for settlement."""
        raise AssertionError

    async def forget(self, queue_id: str) -> None:
        """Not for settlement."""
        raise AssertionError


def outcome(disposition: Disposition, address: str = "u@x", offset: int = 100, **changes: Any) -> Outcome:
    """An outcome of that kind."""
    whom = Recipient(address, offset=offset, notify=changes.pop("notify", Notify(0)))
    return Outcome(whom, disposition, changes.pop("status", STATUS[disposition]), "why", **changes)


class SettlementTestCase(SynchronousTestCase):
    """A settlement of which every step is noted in order."""

    def settle(
        self,
        *outcomes: Outcome,
        fails: dict[str, Exception] | None = None,
        mark_fails: Exception | None = None,
        **options: Any,
    ) -> Sequence[Outcome]:
        """Settle; the steps are in ``self.events``."""
        self.events: list[str] = []
        maillog = MailLog(lambda: 0.0)
        maillog.publisher.addObserver(self._log)

        def mark(queue_id: str, offsets: Sequence[int]) -> None:
            self.events.append(f"mark {queue_id} {list(offsets)}")
            if mark_fails is not None:
                raise mark_fails

        services = [Service(name, self.events, (fails or {}).get(name)) for name in ("bounce", "defer", "trace")]
        subscribers = Outcomes()
        subscribers.subscribe(lambda message, told: self.events.append(f"tell {told.recipient.address} {told.status}"))
        settlement = Settlement(mark, *services, maillog, subscribers, **options)
        whom = tuple(settled.recipient for settled in outcomes)
        request = DeliveryRequest(envelope(), whom, "smtp", "x", MemoryContent(), 0.0)
        coroutine = settlement.settle(request, outcomes)
        return self.successResultOf(coroutine)

    def _log(self, event: LogEvent) -> None:
        kind = event["mail_text"].partition("=")[0] if "=" in event["mail_text"] else event["mail_text"]
        status = event["mail_text"].rpartition("status=")[2].partition(" ")[0] if kind == "to" else ""
        self.events.append(f"log {event['process']} {status or kind}")


class Order(SettlementTestCase):
    """Record first, then mark, then tell."""

    maxDiff = None

    def test_fakes_keep_the_interfaces(self) -> None:
        """The services of these tests are such services."""
        for interface in (IBounceService, IDeferService, ITraceService):
            verifyObject(interface, Service("", []))

    def test_a_message_that_is_concluded_is_not_marked(self) -> None:
        """Whoever keeps the queue is asked with the number of deliveries; a no means marks, and so does a record."""
        asked: list[tuple[str, int]] = []

        def conclude(queue_id: str, delivered: int) -> bool:
            asked.append((queue_id, delivered))
            return delivered == 2

        self.settle(outcome(SENT), outcome(SENT, "v@x", 200), conclude=conclude)
        self.assertEqual([event for event in self.events if event.startswith("mark")], [])
        self.settle(outcome(SENT), conclude=conclude)
        self.assertEqual(len([event for event in self.events if event.startswith("mark")]), 1)
        self.settle(outcome(BOUNCED), outcome(SENT, notify=Notify.SUCCESS), conclude=conclude)
        self.assertEqual(len([event for event in self.events if event.startswith("mark")]), 1)
        self.assertEqual([delivered for _, delivered in asked], [2, 1])

    def test_sent(self) -> None:
        """A success is logged, marked and told."""
        self.settle(outcome(SENT))
        self.assertEqual(self.events, ["log smtp sent", "mark 3A66D21A822 [100]", "tell u@x 2.0.0"])

    def test_bounced(self) -> None:
        """A failure is recorded, logged, marked and told."""
        self.settle(outcome(BOUNCED))
        self.assertEqual(
            self.events, ["bounce u@x 5.1.1", "log smtp bounced", "mark 3A66D21A822 [100]", "tell u@x 5.1.1"]
        )

    def test_deferred(self) -> None:
        """A deferral is recorded, logged and told; its recipient is not marked."""
        self.settle(outcome(DEFERRED))
        self.assertEqual(self.events, ["defer u@x 4.2.1", "log smtp deferred", "tell u@x 4.2.1"])

    def test_mixed(self) -> None:
        """What has been sent is marked before anything else is recorded: a crash must not send it again."""
        settled = self.settle(
            outcome(BOUNCED, "b@x", 1), outcome(SENT, "s@x", 2), outcome(DEFERRED, "d@x", 3), outcome(SENT, "t@x", 4)
        )
        self.assertEqual(
            self.events,
            [
                "log smtp sent",
                "log smtp sent",
                "mark 3A66D21A822 [2, 4]",
                "tell s@x 2.0.0",
                "tell t@x 2.0.0",
                "bounce b@x 5.1.1",
                "defer d@x 4.2.1",
                "log smtp bounced",
                "log smtp deferred",
                "mark 3A66D21A822 [1]",
                "tell b@x 5.1.1",
                "tell d@x 4.2.1",
            ],
        )
        self.assertEqual(sorted(told.recipient.address for told in settled), ["b@x", "d@x", "s@x", "t@x"])

    def test_offset_unknown(self) -> None:
        """A recipient that has no place in the file is not marked."""
        self.settle(outcome(SENT, offset=-1))
        self.assertEqual(self.events, ["log smtp sent", "tell u@x 2.0.0"])

    def test_concluded(self) -> None:
        """Where the message needs nothing more than this it is not marked: who removes it has been told."""
        asked: list[tuple[str, int]] = []

        def conclude(queue_id: str, count: int) -> bool:
            asked.append((queue_id, count))
            return len(asked) == 1

        self.settle(outcome(SENT, "a@x", 1), outcome(SENT, "b@x", 2), outcome(BOUNCED, "c@x", 3), conclude=conclude)
        self.assertEqual(asked, [("3A66D21A822", 2)])
        self.assertEqual([event for event in self.events if "mark" in event], ["mark 3A66D21A822 [3]"])

    def test_not_concluded(self) -> None:
        """Where it does, it is marked; what is on record is marked without asking."""
        self.settle(outcome(SENT), conclude=lambda queue_id, count: False)
        self.assertIn("mark 3A66D21A822 [100]", self.events)

    def test_process(self) -> None:
        """The log carries the name that was given."""
        self.settle(outcome(SENT), process="relay")
        self.assertEqual(self.events[0], "log relay sent")


class Success(SettlementTestCase):
    """Reports of success."""

    def test_wanted(self) -> None:
        """A success that the sender wants to hear of is recorded before it is marked."""
        self.settle(outcome(SENT, notify=Notify.SUCCESS | Notify.FAILURE))
        self.assertEqual(self.events, ["trace u@x 2.0.0", "log smtp sent", "mark 3A66D21A822 [100]", "tell u@x 2.0.0"])

    def test_relayed(self) -> None:
        """Where the next server reports it, we do not."""
        self.settle(outcome(SENT, notify=Notify.SUCCESS, relayed_dsn=True))
        self.assertEqual(self.events[0], "log smtp sent")

    def test_not_wanted(self) -> None:
        """Nor where the sender asked for other reports."""
        self.settle(outcome(SENT, notify=Notify.FAILURE))
        self.assertEqual(self.events[0], "log smtp sent")

    def test_trace_fails(self) -> None:
        """A success that cannot be recorded is a success all the same."""
        [settled] = self.settle(outcome(SENT, notify=Notify.SUCCESS), fails={"trace": OSError(28, "No space")})
        self.assertEqual(settled.disposition, SENT)
        self.assertIn("mark 3A66D21A822 [100]", self.events)


class Failures(SettlementTestCase):
    """Services and files that fail."""

    def test_bounce_fails(self) -> None:
        """A failure that cannot be recorded becomes a deferral, with both reasons; its recipient is not marked."""
        [settled] = self.settle(outcome(BOUNCED), fails={"bounce": OSError(28, "No space left on device")})
        self.assertEqual(
            (settled.disposition, settled.status, settled.reason), (DEFERRED, "4.3.0", "bounce service failure; why")
        )
        self.assertEqual(
            self.events,
            [
                "bounce u@x 5.1.1",
                "log bounce warning: cannot record <u@x>: [Errno 28] No space left on device",
                "defer u@x 4.3.0",
                "log smtp deferred",
                "tell u@x 4.3.0",
            ],
        )

    def test_defer_fails(self) -> None:
        """A deferral that cannot be recorded is logged and told, but not settled: its message must not expire now."""
        self.assertEqual(self.settle(outcome(DEFERRED), fails={"defer": RuntimeError("no service")}), [])
        self.assertEqual(
            self.events,
            [
                "defer u@x 4.2.1",
                "log defer warning: cannot record <u@x>: no service",
                "log smtp deferred",
                "tell u@x 4.2.1",
            ],
        )
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_both_fail(self) -> None:
        """When nothing can be recorded the recipient stays queued."""
        fails = {"bounce": RuntimeError("no bounce"), "defer": RuntimeError("no defer")}
        self.assertEqual(self.settle(outcome(BOUNCED), fails=fails), [])
        self.assertEqual(self.events[-2:], ["log smtp deferred", "tell u@x 4.3.0"])
        self.assertNotIn("mark", " ".join(self.events))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)

    def test_one_fails(self) -> None:
        """The others are settled as they are."""

        class Choosy(Service):
            async def append(self, message: Envelope, told: Outcome) -> None:
                if told.recipient.address == "a@x":
                    raise RuntimeError("not this one")

        maillog, marked = MailLog(lambda: 0.0), []
        settlement = Settlement(
            lambda queue_id, offsets: marked.extend(offsets),
            Choosy("bounce", []),
            Service("defer", []),
            Service("trace", []),
            maillog,
            Outcomes(),
        )
        outcomes = [outcome(BOUNCED, "a@x", 1), outcome(BOUNCED, "b@x", 2)]
        request = DeliveryRequest(envelope(), (), "smtp", "x", MemoryContent(), 0.0)
        settled = self.successResultOf(settlement.settle(request, outcomes))
        self.assertEqual(([told.disposition for told in settled], marked), ([DEFERRED, BOUNCED], [2]))
        self.flushLoggedErrors(RuntimeError)

    def test_slow_services_are_asked_together(self) -> None:
        """The records of one request are under way at the same time, so that they may share one trip to the disk."""
        asked: list[Deferred[None]] = []

        class Slow(Service):
            async def append(self, message: Envelope, told: Outcome) -> None:
                asked.append(Deferred())
                await asked[-1]

        settlement = Settlement(
            lambda queue_id, offsets: None,
            Slow("bounce", []),
            Slow("defer", []),
            Slow("trace", []),
            MailLog(lambda: 0.0),
            Outcomes(),
        )
        outcomes = [outcome(BOUNCED), outcome(DEFERRED), outcome(SENT, notify=Notify.SUCCESS)]
        request = DeliveryRequest(envelope(), (), "smtp", "x", MemoryContent(), 0.0)
        settling = Deferred.fromCoroutine(settlement.settle(request, outcomes))
        self.assertEqual(len(asked), 3)
        for record in asked:
            self.assertNoResult(settling)
            record.callback(None)
        self.assertEqual(len(self.successResultOf(settling)), 3)

    def test_cancelled(self) -> None:
        """Settling that is cancelled comes to its end all the same: what has been sent is marked."""
        marked: list[int] = []

        class Silent(Service):
            async def append(self, message: Envelope, told: Outcome) -> None:
                await Deferred()

        settlement = Settlement(
            lambda queue_id, offsets: marked.extend(offsets),
            Silent("bounce", []),
            Silent("defer", []),
            Silent("trace", []),
            MailLog(lambda: 0.0),
            Outcomes(),
        )
        request = DeliveryRequest(envelope(), (), "smtp", "x", MemoryContent(), 0.0)
        settling = Deferred.fromCoroutine(settlement.settle(request, [outcome(SENT, notify=Notify.SUCCESS)]))
        settling.cancel()
        self.assertEqual([told.disposition for told in self.successResultOf(settling)], [SENT])
        self.assertEqual(marked, [100])
        self.assertEqual(len(self.flushLoggedErrors(CancelledError)), 1)

    def test_marking_fails(self) -> None:
        """A mark that cannot be made is a warning that says what it means; everyone is told all the same."""
        table = {
            FileNotFoundError(2, "gone"): "warning: the queue file has vanished before it was marked",
            OSError(
                5, "Input/output error"
            ): "warning: cannot mark 1 recipients as done: [Errno 5] Input/output error; they may be sent again",
            ValueError("no recipient there"): "warning: cannot mark 1 recipients as done: no recipient there; "
            "they may be sent again",
        }
        for error, words in table.items():
            [settled] = self.settle(outcome(SENT), mark_fails=error)
            self.assertEqual(settled.disposition, SENT)
            self.assertEqual(self.events[2:], [f"log smtp {words}", "tell u@x 2.0.0"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_soft_bounce(self) -> None:
        """With soft_bounce a failure is a deferral with the same code in the class 4, and no bounce is recorded."""
        [settled] = self.settle(outcome(BOUNCED), soft_bounce=True)
        self.assertEqual((settled.disposition, settled.status, settled.reason), (DEFERRED, "4.1.1", "why"))
        self.assertEqual(self.events, ["defer u@x 4.1.1", "log smtp deferred", "tell u@x 4.1.1"])


class Lines(SynchronousTestCase):
    """The log line of a recipient."""

    maxDiff = None

    def test_whole(self) -> None:
        """Everything that can stand in it, in Postfix's order."""
        told = Outcome(
            Recipient("user name@example.org", original="Old@Example.org"),
            SENT,
            "2.0.0",
            "250 2.0.0 Ok",
            peer=Peer("mx.example.org", "192.0.2.1", 25),
            delays=Delays(1.0, 0.05, 0.2, 0.01),
            session_uses=3,
        )
        self.assertEqual(
            line(told),
            'to=<"user name"@example.org>, orig_to=<Old@Example.org>, relay=mx.example.org[192.0.2.1]:25, conn_use=3, '
            "delay=1.3, delays=1/0.05/0.2/0.01, dsn=2.0.0, status=sent (250 2.0.0 Ok)",
        )

    def test_least(self) -> None:
        """No server, the first use, no other address: nothing that says nothing."""
        told = Outcome(Recipient("a@b", original="A@B"), DEFERRED, "4.4.1", "connect to mx: refused")
        self.assertEqual(
            line(told),
            "to=<a@b>, relay=none, delay=0, delays=0/0/0/0, dsn=4.4.1, status=deferred (connect to mx: refused)",
        )

    def test_delays(self) -> None:
        """Two digits that matter, down to a hundredth of a second, as delay_logging_resolution_limit has it."""
        table = {
            0.0: "0",
            0.004: "0",
            0.005: "0.01",
            0.01: "0.01",
            0.014: "0.01",
            0.1: "0.1",
            0.123: "0.12",
            0.994: "0.99",
            0.996: "1",
            1.0: "1",
            1.04: "1",
            1.26: "1.3",
            9.94: "9.9",
            9.96: "10",
            12.6: "13",
            123.4: "123",
            86400.0: "86400",
        }
        found = {
            value: line(Outcome(Recipient("a@b"), SENT, "2.0.0", "x", delays=Delays(value)))
            .split("delay=")[1]
            .split(",")[0]
            for value in table
        }
        self.assertEqual(found, table)
