"""bounce(8), defer(8), trace(8) and verify(8) of a real Postfix, asked by us."""

import os
import pwd
import time
from email import message_from_string
from email.message import Message
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from smtpclient.mail.address import from_bytes
from smtpclient.mail.envelope import Notify, QueuedMessage, Return, TraceFlags, Utf8
from smtpclient.mail.outcome import Outcome
from smtpclient.observe.maillog import MailLog
from smtpclient.postfix.attributes import encode as wire
from smtpclient.postfix.call import Caller, Unanswered
from smtpclient.postfix.services import Report, Services, Verdict
from smtpclient.queue.spool import Spool
from smtpclient.report.entry import EntryParser, encode, from_outcome
from tests.interop.private_postfix import ACCEPTING, PrivatePostfix, missing
from tests.queue.disk import DirectFiles, message, run
from tests.report.world import bounced, deferred, sent

NONE = TraceFlags(0)


class RunningPostfix(TestCase):
    """Postfix without a queue manager, and a spool of ours in its queue directory."""

    skip = missing() or None
    timeout = 120

    def setUp(self) -> None:
        self.postfix = PrivatePostfix({"fast_flush_domains": "flushed.test"})
        self.addCleanup(self.postfix.remove)
        self.addCleanup(self.postfix.stop)
        user = pwd.getpwnam("postfix")
        self.clock = Clock()
        self.clock.advance(int(time.time()) - 10)
        maillog = MailLog(self.clock.seconds)
        owner = (user.pw_uid, user.pw_gid)
        self.spool = Spool(self.postfix.queue, DirectFiles(), self.clock, maillog, owner=owner, beside_postfix=True)
        self.postfix.start(ACCEPTING + "verify unix - - n - 1 verify\nflush unix n - n 1000? 0 flush\n")
        self.spool.prepare()
        self.addCleanup(self.spool.close)
        self.services = Services(Caller(reactor, reactor, self.postfix.queue, patience=60))

    def active(self, **fields: Any) -> QueuedMessage:
        """A message in the active queue."""
        queue_id = run(self.spool.create(message(**fields), "incoming"))
        self.spool.take(queue_id, "incoming")
        return self.spool.read(queue_id)

    def recorded(self, kind: str, queue_id: str) -> str:
        """What Postfix keeps of a message."""
        with open(self.spool.journal_path(kind, queue_id), "rb") as file:
            return from_bytes(file.read())

    async def verdict(self, address: str) -> tuple[int, str]:
        """What verify(8) has in its cache."""
        caller = Caller(reactor, reactor, self.postfix.queue, patience=60)
        question = wire([("request", "query"), ("address", address)])
        fields = await caller.ask("private/verify", "address_verification_prrotocol", question)
        fields.integer("status")
        return fields.integer("recipient_status"), fields.text("reason")

    def record(self, kind: str, outcome: Outcome, action: str, queue_id: str, flags: TraceFlags = NONE) -> Any:
        """Have an outcome recorded."""
        return self.services.record(kind, queue_id, from_outcome(outcome, action), flags)

    def reports(self) -> list[tuple[list[str], Message]]:
        """What has been queued meanwhile: the recipients, and the report as mail readers see it."""
        found = []
        for queue_id in self.spool.names("incoming"):
            printed = self.postfix.run("postcat", "-h", "-b", f"{self.postfix.queue}/incoming/{queue_id}")
            to = [recipient.address for recipient in self.spool.read(queue_id, "incoming").recipients]
            found.append((to, message_from_string(printed.partition("\n")[2])))
        return found


class RecordTests(RunningPostfix):
    """Recipients are recorded."""

    async def test_failed(self) -> None:
        """What bounce(8) has on disk when it says yes is what our own record would have been."""
        outcome = bounced("a b@example.com", Notify.FAILURE, 512)
        await self.record("bounce", outcome, "failed", "ABCDE1234")
        self.assertEqual(self.recorded("bounce", "ABCDE1234"), encode(from_outcome(outcome, "failed")).decode())

    async def test_deferred(self) -> None:
        """The reason of a deferred recipient is what postqueue(1) would show."""
        await self.record("defer", deferred(), "delayed", "ABCDE1234")
        self.assertIn(
            "reason=connect to mx.example.com[192.0.2.1]:25: Connection refused\n", self.recorded("defer", "ABCDE1234")
        )

    async def test_delivered(self) -> None:
        """A delivered recipient is recorded for the report of success."""
        await self.record("trace", sent(), "relayed", "ABCDE1234", TraceFlags.RECORD)
        self.assertIn("status=2.0.0\naction=relayed\n", self.recorded("trace", "ABCDE1234"))

    async def test_many_at_once(self) -> None:
        """Of many recipients recorded at once, each is there."""
        outcomes = [bounced(f"user{number}@example.com") for number in range(50)]
        await gatherResults(
            [Deferred.fromCoroutine(self.record("bounce", each, "failed", "ABCDE1234")) for each in outcomes]
        )
        kept = [*EntryParser("bounce").feed(self.recorded("bounce", "ABCDE1234").encode())]
        self.assertEqual({each.recipient.address for each in kept}, {each.recipient.address for each in outcomes})

    async def test_hostile_words(self) -> None:
        """A server's words and an address with line breaks in them cannot make a second entry."""
        outcome = bounced("x\n\nrecipient=other@example.com")._replace(reason="no\n\nrecipient=a@b\nreason=c\n\n")
        await self.record("bounce", outcome, "failed", "ABCDE1234")
        kept = [*EntryParser("bounce").feed(self.recorded("bounce", "ABCDE1234").encode())]
        self.assertEqual(len(kept), 1)

    async def test_any_bytes(self) -> None:
        """An address that is not UTF-8 is recorded; bounce(8) itself writes question marks for such bytes."""
        await self.record("bounce", bounced("\udcff@example.com"), "failed", "ABCDE1234")
        self.assertIn("recipient=?@example.com\n", self.recorded("bounce", "ABCDE1234"))

    async def test_no_queue_id(self) -> None:
        """What Postfix refuses raises, and says where the reason stands."""
        failure = await self.assertFailure(
            Deferred.fromCoroutine(self.record("bounce", bounced(), "failed", "../../etc")), Unanswered
        )
        self.assertEqual(str(failure), "private/bounce: it was not done (status -1); Postfix's log has the reason")


class ReportTests(RunningPostfix):
    """Reports are sent."""

    async def test_failure(self) -> None:
        """The sender of failed recipients gets Postfix's report with the message in it; the record is gone then."""
        queued = self.active(envelope_id="env1", ret=Return.FULL)
        queue_id = queued.envelope.queue_id
        await self.record("bounce", bounced(), "failed", queue_id)
        await self.services.report("bounce", Report.SEND, queued.envelope, NONE)
        ((to, report),) = self.reports()
        self.assertEqual((to, report["Subject"]), (["a@sender.example"], "Undelivered Mail Returned to Sender"))
        for words in ("Original-Envelope-Id: env1", "Status: 5.1.1", "Action: failed", "\nHello\n"):
            self.assertIn(words, report.as_string())
        self.assertFalse(os.path.exists(self.spool.journal_path("bounce", queue_id)))

    async def test_delay(self) -> None:
        """The sender of deferred recipients gets a warning, and the record is kept."""
        queued = self.active()
        queue_id = queued.envelope.queue_id
        await self.record("defer", deferred(), "delayed", queue_id)
        await self.services.report("defer", Report.WARN, queued.envelope, NONE)
        ((to, report),) = self.reports()
        self.assertEqual((to, report["Subject"]), (["a@sender.example"], "Delayed Mail (still being retried)"))
        self.assertTrue(os.path.exists(self.spool.journal_path("defer", queue_id)))

    async def test_expiry(self) -> None:
        """The sender of a message that is given up hears of its deferred recipients."""
        queued = self.active()
        await self.record("defer", deferred(), "delayed", queued.envelope.queue_id)
        await self.services.report("defer", Report.SEND, queued.envelope, NONE)
        ((_to, report),) = self.reports()
        self.assertIn("Connection refused", report.as_string())
        self.assertFalse(os.path.exists(self.spool.journal_path("defer", queued.envelope.queue_id)))

    async def test_success(self) -> None:
        """The sender who asked for it hears of the success."""
        queued = self.active()
        await self.record("trace", sent(), "relayed", queued.envelope.queue_id)
        await self.services.report("trace", Report.TRACE, queued.envelope, NONE)
        ((to, report),) = self.reports()
        self.assertEqual((to, report["Subject"]), (["a@sender.example"], "Successful Mail Delivery Report"))

    async def test_international(self) -> None:
        """A message that asked for SMTPUTF8 gets the report in that form."""
        queued = self.active(sender="é@sender.example", utf8=Utf8.REQUESTED | Utf8.SENDER)
        await self.record("bounce", bounced("ü@example.com"), "failed", queued.envelope.queue_id)
        await self.services.report("bounce", Report.SEND, queued.envelope, NONE)
        ((to, report),) = self.reports()
        self.assertEqual(to, ["é@sender.example"])
        self.assertIn("message/global-delivery-status", report.as_string())

    async def test_either_name(self) -> None:
        """The name that this Postfix has for an attribute is found out once: two reports, one complaint at most."""
        for _ in range(2):
            queued = self.active()
            await self.record("bounce", bounced(), "failed", queued.envelope.queue_id)
            await self.services.report("bounce", Report.SEND, queued.envelope, NONE)
        self.assertEqual(len(self.reports()), 2)
        self.assertLessEqual(self.postfix.log().count("malformed request"), 1)

    async def test_cannot_be_queued(self) -> None:
        """When the report cannot be queued that is said, and the record is kept."""
        queued = self.active()
        queue_id = queued.envelope.queue_id
        await self.record("bounce", bounced(), "failed", queue_id)
        os.unlink(self.postfix.queue + "/public/cleanup")
        reporting = self.services.report("bounce", Report.SEND, queued.envelope, NONE)
        await self.assertFailure(Deferred.fromCoroutine(reporting), Unanswered)
        self.assertTrue(os.path.exists(self.spool.journal_path("bounce", queue_id)))


class VerifyTests(RunningPostfix):
    """verify(8) is told."""

    async def test_verdicts(self) -> None:
        """What a probe found out is what verify(8) then says of the address."""
        for address, verdict in (("good@example.com", Verdict.DELIVERABLE), ("bad@example.com", Verdict.UNDELIVERABLE)):
            await self.services.verified(address, verdict, f"said so\n{verdict.name}")
        self.assertEqual(
            [await self.verdict(address) for address in ("good@example.com", "bad@example.com")],
            [(0, "said so?DELIVERABLE"), (2, "said so?UNDELIVERABLE")],
        )


class FlushTests(RunningPostfix):
    """flush(8) is told."""

    async def test_waiting(self) -> None:
        """What waits for one of its domains is kept; of another domain it need not know, and that is no fault."""
        for domain in ("flushed.test", "other.test"):
            await self.services.waits(domain, "ABCDE1234")
        folder = self.postfix.queue + "/flush"
        with open(f"{folder}/flushed_test") as file:
            self.assertEqual((os.listdir(folder), file.read()), (["flushed_test"], "ABCDE1234\n"))

    async def test_nonsense(self) -> None:
        """What flush(8) cannot take raises."""
        await self.assertFailure(Deferred.fromCoroutine(self.services.waits("flushed.test", "../x")), Unanswered)
