"""What becomes of a message at the end of an attempt."""

import os
from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyClass

from smtpclient.interfaces import IBounceService, IDeferService, IMessageContent, ITraceService
from smtpclient.mail.envelope import Envelope, QueuedMessage, Recipient
from smtpclient.mail.outcome import Outcome
from smtpclient.queue.active_message import Tally
from smtpclient.queue.completion import Completion, Ending
from smtpclient.queue.schedule import ScheduleSettings
from smtpclient.queue.spool import CorruptQueueFile, Spool
from tests.queue import disk
from tests.queue.scheduling import NOW, Log, NoContent, message

DAY = 86400.0


@implementer(IBounceService, IDeferService, ITraceService)
class Service:
    """
    A report service that notes what it was asked.

    :ivar fails: verbs that raise, and what.
    """

    def __init__(self, name: str, calls: list[str]) -> None:
        self._name = name
        self._calls = calls
        self.fails: dict[str, Exception] = {}

    def _called(self, verb: str) -> None:
        self._calls.append(f"{self._name}.{verb}")
        if verb in self.fails:
            raise self.fails[verb]

    async def append(self, envelope: Envelope, outcome: Outcome) -> None:
        """Nobody asks for it here."""
        raise AssertionError

    async def flush(self, envelope: Envelope, content: IMessageContent) -> None:
        """Note it."""
        self._called("flush")

    async def warn(self, envelope: Envelope, content: IMessageContent) -> None:
        """Note it."""
        self._called("warn")

    async def forget(self, queue_id: str) -> None:
        """Note it."""
        self._called("forget")


for _interface in (IBounceService, IDeferService, ITraceService):
    verifyClass(_interface, Service)


class NoDisk:
    """
    A spool that notes what it was asked.

    :ivar fails: verbs that raise, and what.
    :ivar gone: the file is not there any more.
    """

    def __init__(self, calls: list[str]) -> None:
        self._calls = calls
        self.fails: dict[str, Exception] = {}
        self.gone = False

    def _called(self, verb: str, words: str) -> bool:
        self._calls.append(words)
        if verb in self.fails:
            raise self.fails[verb]
        return not self.gone

    def content(self, envelope: Envelope) -> IMessageContent:
        """None that anybody opens."""
        return NoContent()

    def defer(self, queue_id: str, due: float) -> bool:
        """Note it."""
        return self._called("defer", f"defer {queue_id} +{due - NOW:g}")

    def remove(self, queue_id: str) -> bool:
        """Note it."""
        return self._called("remove", f"remove {queue_id}")

    def set_aside(self, queue_id: str, queue: str, why: str) -> bool:
        """Note it."""
        return self._called("set_aside", f"set aside {queue_id} from {queue}: {why}")

    def warned(self, queue_id: str, message: QueuedMessage) -> None:
        """Note it."""
        self._called("warned", f"warned {queue_id}")


class Scene:
    """Completion with stand-ins around it; ``calls`` is what it did, in order."""

    def __init__(self, ended: Callable[[str, Ending], object] | None = None) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.log = Log(self.clock)
        self.calls: list[str] = []
        self.spool = NoDisk(self.calls)
        self.bounce = Service("bounce", self.calls)
        self.defer = Service("defer", self.calls)
        self.trace = Service("trace", self.calls)
        self.completion = Completion(
            cast(Spool, self.spool),
            self.bounce,
            self.defer,
            self.trace,
            ScheduleSettings(),
            self.clock,
            self.log.maillog,
            ended,
        )

    def finish(self, tally: Tally) -> Ending:
        """End a message."""
        return disk.run(self.completion.finish(tally))


def tally(
    recipients: int = 1, *, age: float = 0.0, warn_at: float = 0.0, sender: str = "a@b.example", **fields: Any
) -> Tally:
    """What became of a message of so many recipients; a new one unless the fields say otherwise."""
    read = message("A1", *(f"u{n}@dest.example" for n in range(recipients)), sender=sender, created=NOW - age)
    return Tally(read._replace(warn_at=warn_at), **{"fresh": True, **fields})


class Done(SynchronousTestCase):
    """Nobody remains."""

    def test_a_delivered_message_is_removed_and_nobody_is_asked_anything(self) -> None:
        """The usual case."""
        scene = Scene()
        self.assertEqual(scene.finish(tally(2, sent=2)), Ending.REMOVED)
        self.assertEqual((scene.calls, scene.log.lines), (["remove A1"], ["A1: removed"]))

    def test_failed_recipients_are_reported_before_the_message_is_removed(self) -> None:
        """Never the other way round."""
        scene = Scene()
        scene.finish(tally(2, sent=1, bounced=1))
        self.assertEqual(scene.calls, ["bounce.flush", "remove A1"])

    def test_success_is_reported_where_it_is_wanted_after_failure(self) -> None:
        """The order of Postfix."""
        scene = Scene()
        scene.finish(tally(2, sent=1, bounced=1, success_wanted=True))
        self.assertEqual(scene.calls, ["bounce.flush", "trace.flush", "remove A1"])

    def test_a_message_with_a_past_may_have_reports_that_are_owed(self) -> None:
        """From an attempt whose report failed, or that a crash ended."""
        scene = Scene()
        scene.finish(tally(0, fresh=False))
        self.assertEqual(scene.calls, ["bounce.flush", "trace.flush", "remove A1"])

    def test_a_message_that_was_taken_away_needs_nothing(self) -> None:
        """The operator has deleted it, or put it on hold."""
        scene = Scene()
        scene.spool.gone = True
        self.assertEqual(scene.finish(tally(sent=1)), Ending.VANISHED)
        self.assertEqual(scene.log.lines, ["A1: the queue file has been taken away meanwhile"])

    def test_a_message_that_cannot_be_removed_stays(self) -> None:
        """It is found in active/ later; the operator is told."""
        scene = Scene()
        scene.spool.fails["remove"] = OSError(30, "Read-only file system")
        self.assertEqual(scene.finish(tally(sent=1)), Ending.STRANDED)
        self.assertEqual(
            scene.log.lines,
            [
                "A1: warning: cannot remove the queue file; it stays in active/ for now: "
                "[Errno 30] Read-only file system"
            ],
        )


class Waiting(SynchronousTestCase):
    """Somebody remains."""

    def test_a_message_waits_as_long_as_it_is_old(self) -> None:
        """Within the bounds."""
        due = {}
        for age in (0.0, 1000.0, DAY):
            scene = Scene()
            self.assertEqual(scene.finish(tally(age=age, deferred=1)), Ending.DEFERRED)
            due[age] = scene.calls
        self.assertEqual(due, {0.0: ["defer A1 +300"], 1000.0: ["defer A1 +1000"], DAY: ["defer A1 +4000"]})

    def test_failures_are_reported_while_others_still_wait(self) -> None:
        """The sender does not have to wait for the slowest."""
        scene = Scene()
        scene.finish(tally(2, bounced=1, deferred=1))
        self.assertEqual(scene.calls, ["bounce.flush", "defer A1 +300"])

    def test_the_sender_is_warned_once_when_it_is_time(self) -> None:
        """And the file is told, so that it is once."""
        scene = Scene()
        scene.finish(tally(deferred=1, warn_at=NOW))
        self.assertEqual(scene.calls, ["defer.warn", "warned A1", "defer A1 +300"])

    def test_no_warning_before_its_time(self) -> None:
        """Nor when none is wanted."""
        scene = Scene()
        scene.finish(tally(deferred=1, warn_at=NOW + 60))
        self.assertEqual(scene.calls, ["defer A1 +300"])

    def test_a_warning_that_fails_is_tried_again_at_the_next_attempt(self) -> None:
        """The file is not told that it was sent."""
        scene = Scene()
        scene.defer.fails["warn"] = OSError(28, "No space left on device")
        self.assertEqual(scene.finish(tally(deferred=1, warn_at=NOW)), Ending.DEFERRED)
        self.assertEqual(scene.calls, ["defer.warn", "defer A1 +300"])

    def test_a_file_that_cannot_be_told_of_the_warning_costs_a_line_in_the_log(self) -> None:
        """The message waits all the same."""
        for error in (OSError(5, "Input/output error"), CorruptQueueFile("/q/active/A1", 9, "no W record")):
            scene = Scene()
            scene.spool.fails["warned"] = error
            self.assertEqual(scene.finish(tally(deferred=1, warn_at=NOW)), Ending.DEFERRED)
            self.assertIn("A1: warning: cannot note that the sender was warned", scene.log.lines[0])
        self.flushLoggedErrors(CorruptQueueFile)

    def test_recipients_that_were_held_back_say_when(self) -> None:
        """Where nobody else was tried in vain."""
        scene = Scene()
        scene.finish(tally(2, sent=1, held_back_until=NOW + 12))
        self.assertEqual(scene.calls, ["defer A1 +12"])

    def test_recipients_that_were_tried_in_vain_get_their_pause(self) -> None:
        """Also when others of the message were held back for a moment only."""
        scene = Scene()
        scene.finish(tally(2, deferred=1, held_back_until=NOW + 12))
        self.assertEqual(scene.calls, ["defer A1 +300"])

    def test_a_message_that_was_not_tried_is_just_put_back(self) -> None:
        """No report, no warning."""
        scene = Scene()
        self.assertEqual(scene.completion.postpone("A1", NOW + 7), Ending.DEFERRED)
        self.assertEqual(scene.calls, ["defer A1 +7"])

    def test_a_message_that_cannot_be_moved_stays(self) -> None:
        """It is found in active/ later."""
        scene = Scene()
        scene.spool.fails["defer"] = OSError(5, "Input/output error")
        self.assertEqual(scene.finish(tally(deferred=1)), Ending.STRANDED)


class Expiry(SynchronousTestCase):
    """Somebody remains, and time is up."""

    def test_an_expired_message_is_reported_and_removed(self) -> None:
        """The line of the log is qmgr's."""
        scene = Scene()
        self.assertEqual(scene.finish(tally(age=5 * DAY, deferred=1, sender="a b@c.example")), Ending.EXPIRED)
        self.assertEqual(scene.calls, ["defer.flush", "remove A1"])
        self.assertEqual(
            scene.log.lines,
            ['A1: from=<"a b"@c.example>, status=expired, returned to sender', "A1: removed"],
        )

    def test_a_message_one_second_younger_waits(self) -> None:
        """It has one more attempt."""
        scene = Scene()
        self.assertEqual(scene.finish(tally(age=5 * DAY - 1, deferred=1)), Ending.DEFERRED)

    def test_expiry_comes_before_the_warning(self) -> None:
        """Both due: only the end is told."""
        scene = Scene()
        scene.finish(tally(age=5 * DAY, deferred=1, warn_at=NOW - 1))
        self.assertEqual(scene.calls, ["defer.flush", "remove A1"])

    def test_the_operator_may_ask_for_it(self) -> None:
        """After the attempt in which everybody was deferred for that reason."""
        scene = Scene()
        scene.finish(tally(deferred=1, expire=True))
        self.assertEqual(scene.calls, ["defer.flush", "remove A1"])
        self.assertIn("A1: from=<a@b.example>, status=force-expired, returned to sender", scene.log.lines)

    def test_a_report_that_fails_keeps_the_message(self) -> None:
        """Nothing is lost: it is tried again, with its recipients."""
        scene = Scene()
        scene.defer.fails["flush"] = OSError(28, "No space left on device")
        self.assertEqual(scene.finish(tally(age=5 * DAY, deferred=1)), Ending.DEFERRED)
        self.assertEqual(scene.calls, ["defer.flush", "defer A1 +4000"])

    def test_no_message_expires_while_a_recipient_is_on_no_record(self) -> None:
        """Held back, or broken off: the report would not name it, and nobody would ever hear."""
        scene = Scene()
        self.assertEqual(scene.finish(tally(2, age=5 * DAY, deferred=1)), Ending.DEFERRED)
        self.assertEqual(scene.calls, ["defer A1 +4000"])


class Unreported(SynchronousTestCase):
    """Reports that cannot be sent."""

    def test_the_message_is_kept_although_everybody_is_done(self) -> None:
        """It comes back without recipients, and the report is tried again."""
        scene = Scene()
        scene.bounce.fails["flush"] = OSError(28, "No space left on device")
        self.assertEqual(scene.finish(tally(sent=0, bounced=1)), Ending.DEFERRED)
        self.assertEqual(scene.calls, ["bounce.flush", "defer A1 +300"])
        self.assertEqual(
            scene.log.lines,
            ["A1: warning: cannot notify the sender; the message is kept: [Errno 28] No space left on device"],
        )

    def test_the_other_report_is_sent_all_the_same(self) -> None:
        """They do not depend on each other."""
        scene = Scene()
        scene.bounce.fails["flush"] = RuntimeError("bug")
        scene.finish(tally(2, sent=1, bounced=1, success_wanted=True))
        self.assertEqual(scene.calls, ["bounce.flush", "trace.flush", "defer A1 +300"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_a_success_report_that_fails_keeps_the_message_too(self) -> None:
        """Somebody asked for it."""
        scene = Scene()
        scene.trace.fails["flush"] = OSError(5, "Input/output error")
        self.assertEqual(scene.finish(tally(sent=1, success_wanted=True)), Ending.DEFERRED)

    def test_while_a_report_is_owed_nothing_expires(self) -> None:
        """Else the removal would take the record with it."""
        scene = Scene()
        scene.bounce.fails["flush"] = OSError(5, "Input/output error")
        scene.finish(tally(2, age=5 * DAY, bounced=1, deferred=1))
        self.assertEqual(scene.calls, ["bounce.flush", "defer A1 +4000"])

    def test_a_report_that_is_broken_off_is_one_that_failed(self) -> None:
        """The service stops in the middle of it."""
        scene = Scene()
        scene.bounce.fails["flush"] = CancelledError()
        self.assertEqual(scene.finish(tally(bounced=1)), Ending.DEFERRED)
        self.assertIn("CancelledError", scene.log.lines[0])


class OtherEnds(SynchronousTestCase):
    """The rest."""

    def test_a_damaged_file_is_set_aside_after_its_reports(self) -> None:
        """Who failed before the damage was met is reported."""
        scene = Scene()
        self.assertEqual(scene.finish(tally(2, bounced=1, corrupt="offset 7: no record")), Ending.CORRUPT)
        self.assertEqual(scene.calls, ["bounce.flush", "set aside A1 from active: offset 7: no record"])

    def test_reasons_are_forgotten_when_an_attempt_begins(self) -> None:
        """And a service that fails at that does not stop it."""
        scene = Scene()
        disk.run(scene.completion.begin("A1"))
        scene.defer.fails["forget"] = OSError(5, "Input/output error")
        disk.run(scene.completion.begin("A2"))
        self.assertEqual(scene.calls, ["defer.forget", "defer.forget"])
        self.assertEqual(scene.log.lines, ["A2: warning: cannot forget earlier reasons: [Errno 5] Input/output error"])

    def test_whoever_wants_to_know_is_told_of_every_end(self) -> None:
        """After it has happened; an observer that raises costs nothing."""
        seen: list[tuple[str, Ending, list[str]]] = []

        def ended(queue_id: str, ending: Ending) -> None:
            seen.append((queue_id, ending, list(scene.calls)))
            raise RuntimeError("observer")

        scene = Scene(ended)
        self.assertEqual(scene.finish(tally(sent=1)), Ending.REMOVED)
        self.assertEqual(seen, [("A1", Ending.REMOVED, ["remove A1"])])
        scene.completion.removed("A2")
        self.assertEqual(seen[1:], [("A2", Ending.REMOVED, ["remove A1"])])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)


class RealFiles(SynchronousTestCase):
    """With a queue directory."""

    def setUp(self) -> None:
        """One message with two recipients, claimed and read."""
        self.spool, self.clock, self.lines = disk.spool(self.mktemp())
        new = disk.message(recipients=(Recipient("b@one.example"), Recipient("c@two.example")))
        self.queue_id = disk.run(self.spool.create(new))
        self.assertIsNotNone(self.spool.take(self.queue_id, "incoming"))
        self.message = self.spool.read(self.queue_id)
        self.calls: list[str] = []
        services = [Service(name, self.calls) for name in ("bounce", "defer", "trace")]
        self.completion = Completion(self.spool, *services, ScheduleSettings(), self.clock, Log(self.clock).maillog)

    def test_a_deferred_message_lies_in_deferred_with_the_time_of_its_next_attempt(self) -> None:
        """What is done is not delivered again."""
        self.spool.mark_done(self.queue_id, [self.message.recipients[0].offset])
        ending = disk.run(self.completion.finish(Tally(self.message, fresh=True, sent=1, deferred=1)))
        self.assertEqual(ending, Ending.DEFERRED)
        (entry,) = self.spool.scan("deferred")
        self.assertAlmostEqual(entry.due, disk.NOW + 300, places=2)
        left = self.spool.read(self.queue_id, "deferred")
        self.assertEqual(([recipient.address for recipient in left.recipients], left.finished), (["c@two.example"], 1))

    def test_a_finished_message_is_gone(self) -> None:
        """Wholly."""
        disk.run(self.completion.finish(Tally(self.message, fresh=True, sent=2)))
        self.assertEqual(disk.tree(self.spool.directory), {})

    def test_a_message_that_was_put_on_hold_meanwhile_stays_there(self) -> None:
        """The operator's will is done."""
        self.spool.hold(self.queue_id)
        ending = disk.run(self.completion.finish(Tally(self.message, fresh=True, deferred=2)))
        self.assertEqual((ending, self.spool.find(self.queue_id)), (Ending.VANISHED, "hold"))

    def test_a_damaged_message_is_kept_for_inspection(self) -> None:
        """In corrupt/."""
        disk.run(self.completion.finish(Tally(self.message, fresh=True, corrupt="offset 7: no record")))
        self.assertEqual(list(disk.tree(self.spool.directory)), [os.path.join("corrupt", self.queue_id)])
