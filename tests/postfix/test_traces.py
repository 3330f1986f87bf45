"""Which of Postfix's daemons hears of an outcome, and what is taken back; each of them a real one."""

import os
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater

from smtpclient.mail.envelope import Envelope, Notify, QueuedMessage, TraceFlags
from smtpclient.mail.outcome import Outcome
from smtpclient.postfix.attributes import encode
from smtpclient.postfix.reports import PostfixBounces, PostfixDeferrals, PostfixTraces
from smtpclient.report.journal import Journal
from tests.postfix.scripted_daemon import ScriptedDaemon
from tests.postfix.test_services import RunningPostfix
from tests.queue.disk import DirectFiles
from tests.report.world import bounced, deferred, sent

KINDS = ("bounce", "defer", "trace")


class Case(RunningPostfix):
    """The three services on a running Postfix."""

    def setUp(self) -> None:
        super().setUp()
        journal = Journal(self.spool, DirectFiles(), self.clock)
        self.bounce = PostfixBounces(self.services, journal)
        self.defer = PostfixDeferrals(self.services, journal)
        self.trace = PostfixTraces(self.services, journal)

    def message(self, flags: int) -> QueuedMessage:
        """An active message that is to be traced so."""
        return self.active(attributes={"trace_flags": str(int(flags))} if flags else {})

    async def told(self, flags: TraceFlags, service: Any, outcome: Outcome) -> dict[str, str]:
        """The action that is on record with each daemon that has heard of an outcome."""
        envelope = self.message(flags).envelope
        await service.append(envelope, outcome)
        return self.actions(envelope)

    def actions(self, envelope: Envelope) -> dict[str, str]:
        """The action that is on record with each daemon."""
        found = {}
        for kind in KINDS:
            try:
                text = self.recorded(kind, envelope.queue_id)
            except FileNotFoundError:
                continue
            found[kind] = text.partition("\naction=")[2].partition("\n")[0]
        return found


class TraceTests(Case):
    """Who hears of it depends on why the message is delivered."""

    async def test_table(self) -> None:
        """Deliveries are recorded as usual, traced ones with trace(8) as well, and probes with trace(8) alone."""
        nothing, plain, asked = TraceFlags(0), sent(notify=Notify(0)), sent()
        outcomes = [(self.trace, plain), (self.trace, asked), (self.defer, deferred()), (self.bounce, bounced())]
        flags = (nothing, TraceFlags.RECORD, TraceFlags.RECORD_LATER, TraceFlags.PROBE)
        usual = [{}, {"trace": "relayed"}, {"defer": "delayed"}, {"bounce": "failed"}]
        self.assertEqual(
            {flag: [await self.told(flag, *pair) for pair in outcomes] for flag in flags},
            {
                nothing: usual,
                TraceFlags.RECORD: [
                    {"trace": "relayed"},
                    {"trace": "relayed"},
                    {"defer": "delayed", "trace": "delayed"},
                    {"bounce": "failed", "trace": "failed"},
                ],
                TraceFlags.RECORD_LATER: [{"trace": "relayed"}, *usual[1:]],
                TraceFlags.PROBE: [
                    {"trace": "deliverable"},
                    {"trace": "deliverable"},
                    {"trace": "undeliverable"},
                    {"trace": "undeliverable"},
                ],
            },
        )

    async def test_relayed(self) -> None:
        """Of a success that the next server reports nothing is recorded."""
        self.assertEqual(await self.told(TraceFlags(0), self.trace, sent(relayed_dsn=True)), {})

    async def test_verification(self) -> None:
        """A probe of verify(8) is told to verify(8) alone, of the address asked for and of the one tried."""
        found = {}
        for service, outcome in (
            (self.trace, sent("a@b.test")),
            (self.defer, deferred("c@b.test")),
            (self.bounce, bounced("d@b.test")),
        ):
            original = "asked-" + outcome.recipient.address
            changed = outcome._replace(recipient=outcome.recipient._replace(original=original))
            self.assertEqual(await self.told(TraceFlags.VERIFY, service, changed), {})
            for address in (original, outcome.recipient.address):
                found[address] = (await self.verdict(address))[0]
        self.assertEqual(
            found,
            {
                "asked-a@b.test": 0,
                "a@b.test": 0,
                "asked-c@b.test": 1,
                "c@b.test": 1,
                "asked-d@b.test": 2,
                "d@b.test": 2,
            },
        )

    async def test_relay(self) -> None:
        """The reason that trace(8) and verify(8) keep says by which server it went."""
        envelope = self.message(TraceFlags.PROBE).envelope
        await self.trace.append(envelope, sent())
        await self.trace.append(self.message(TraceFlags.VERIFY).envelope, sent("a@b.test"))
        by = "delivery via mx.example.com[192.0.2.1]:25: 250 2.0.0 Ok: queued as 1"
        self.assertIn(f"\nreason={by}\n", self.recorded("trace", envelope.queue_id))
        self.assertEqual(await self.verdict("a@b.test"), (0, by))


class RetractionTests(Case):
    """What a process that died had recorded and not marked."""

    async def test_taken_back(self) -> None:
        """It is taken back of recipients that are tried again, and if nothing is left no report is asked for."""
        queued = self.message(0)
        envelope, offset = queued.envelope, queued.recipients[0].offset
        await self.bounce.append(envelope, bounced(offset=offset))
        await self.bounce.retract(envelope.queue_id, lambda: [offset])
        await self.bounce.flush(envelope, self.spool.content(envelope))
        self.assertEqual((self.reports(), self.actions(envelope)), ([], {}))

    async def test_others_stay(self) -> None:
        """What was recorded of recipients that are done is reported."""
        queued = self.message(0)
        envelope, offset = queued.envelope, queued.recipients[0].offset
        await self.bounce.append(envelope, bounced("again@example.com", offset=offset))
        await self.bounce.append(envelope, bounced("done@example.com", offset=offset + 1))
        await self.bounce.retract(envelope.queue_id, lambda: [offset])
        await self.bounce.flush(envelope, self.spool.content(envelope))
        ((_to, report),) = self.reports()
        self.assertIn("done@example.com", report.as_string())
        self.assertNotIn("again@example.com", report.as_string())

    async def test_nothing_recorded(self) -> None:
        """Where nothing is recorded nobody is asked, be the daemon there or not."""
        envelope = self.message(0).envelope
        self.postfix.stop()
        content = self.spool.content(envelope)
        for service in (self.bounce, self.defer, self.trace):
            await service.flush(envelope, content)
        await self.defer.warn(envelope, content)
        self.assertEqual(self.reports(), [])

    async def test_forgotten(self) -> None:
        """A new attempt forgets the reasons of the one before."""
        envelope = self.message(0).envelope
        await self.defer.append(envelope, deferred())
        await self.defer.forget(envelope.queue_id)
        self.assertEqual(self.actions(envelope), {})


class FlushTests(Case):
    """flush(8) hears of deferrals."""

    async def test_nothing_waits(self) -> None:
        """A flush(8) that does not answer holds nothing up, and is told once of a message for a domain."""
        silent = ScriptedDaemon(lambda fields: b"", encode([("protocol", "queue_flush_protocol")]))
        path = self.postfix.queue + "/public/flush"
        os.unlink(path)
        silent.listen(self, reactor, path)
        defer = PostfixDeferrals(self.services, Journal(self.spool, DirectFiles(), self.clock), fast_flush=True)
        envelope = self.message(0).envelope
        for address in ("a@there.test", "b@there.test", "c@other.test"):
            await defer.append(envelope, deferred(address))
        self.assertEqual(self.recorded("defer", envelope.queue_id).count("action=delayed"), 3)
        while len(silent.lists) < 2:
            await deferLater(reactor, 0.02)
        told = [[fields.text(name) for name in ("request", "site", "queue_id")] for fields in silent.lists]
        wanted = [["add", domain, envelope.queue_id] for domain in ("other.test", "there.test")]
        self.assertEqual(sorted(told), wanted)
        await defer.close()
