"""The poller: from files in the queue directory to messages in the scheduler."""

import errno
import fcntl
import os
from collections.abc import Iterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.parameters import Parameters
from smtpclient.mail.envelope import QueuedMessage, Recipient
from smtpclient.queue.completion import Completion
from smtpclient.queue.poller import Poller, PollerSettings
from smtpclient.queue.schedule import ScheduleSettings
from smtpclient.queue.scheduler import Scheduler
from smtpclient.queue.scheduler_settings import SchedulerSettings
from smtpclient.queue.spool import Entry, Spool
from tests.queue import disk
from tests.queue.disk import NOW
from tests.queue.scheduling import DEFAULTS, Agent, Log, bounced, by_domain, deferred, sent, turn
from tests.queue.test_completion import Service
from tests.queue.test_scheduler import windows


class WatchedSpool(Spool):
    """
    A real queue directory that fails on request.

    :ivar fails: method names that raise, and what; a list of errors is one for each call.
    :ivar claimed: what was claimed so far, and from where.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fails: dict[str, Exception] = {}
        self.claimed: list[tuple[str, str]] = []

    def _may_fail(self, verb: str) -> None:
        if verb in self.fails:
            raise self.fails[verb]

    def scan(self, queue: str) -> Iterator[Entry]:
        """Fails as ``scan QUEUE``."""
        self._may_fail(f"scan {queue}")
        return super().scan(queue)

    def claim(self, queue_id: str, queue: str) -> bool:
        """Fails as ``claim``."""
        self._may_fail("claim")
        self.claimed.append((queue, queue_id))
        return super().claim(queue_id, queue)

    def read(self, queue_id: str, queue: str = "active") -> QueuedMessage:
        """Fails as ``read``."""
        self._may_fail("read")
        return super().read(queue_id, queue)

    def defer(self, queue_id: str, due: float) -> bool:
        """Fails as ``defer``."""
        self._may_fail("defer")
        return super().defer(queue_id, due)


class Scene:
    """A poller on a real queue directory, with the real scheduler; only the agent is a stand-in."""

    def __init__(self, directory: str, settings: SchedulerSettings = DEFAULTS) -> None:
        os.makedirs(directory)
        first, self.clock, self.spool_lines = disk.spool(directory)
        first.close()
        self.log = Log(self.clock)
        self.spool = WatchedSpool(directory, disk.DirectFiles(), self.clock, self.log.maillog)
        self.spool.prepare()
        self.agent = Agent()
        self.reports: list[str] = []
        services = [Service(name, self.reports) for name in ("bounce", "defer", "trace")]
        self.completion = Completion(self.spool, *services, ScheduleSettings(), self.clock, self.log.maillog)
        self.scheduler = Scheduler(
            self.agent.deliver,
            self.agent.defer,
            by_domain,
            self.spool.content,
            self.spool.read,
            self.completion,
            settings,
            self.clock,
            self.log.maillog,
        )
        self.poller = Poller(self.spool, self.scheduler, PollerSettings(), self.clock, self.log.maillog)

    def put(self, queue: str = "incoming", due: float = NOW, *addresses: str) -> str:
        """Put a message into a queue; its queue id."""
        recipients = tuple(Recipient(address) for address in addresses or ("b@dest.example",))
        queue_id = disk.run(self.spool.create(disk.message(recipients=recipients)))
        if queue == "incoming":
            os.utime(self.path("incoming", queue_id), (due, due))
        else:
            self.spool.claim(queue_id, "incoming")
            self.spool.defer(queue_id, due)
            self.spool.claimed.clear()
        return queue_id

    def path(self, queue: str, queue_id: str) -> str:
        """The path of a file."""
        folder = f"deferred/{queue_id[0]}" if queue == "deferred" else queue
        return os.path.join(self.spool.directory, folder, queue_id)

    def start(self) -> None:
        """Start the service and let it do what it has to."""
        self.poller.startService()
        self.turns()

    def stop(self) -> "Deferred[None]":
        """Stop the service."""
        return self.poller.stopService()

    def turns(self) -> None:
        """Let the reactor turn until nothing is due."""
        self.clock.advance(0)

    @property
    def queues(self) -> dict[str, str]:
        """Where every message lies."""
        return {name.rpartition("/")[2]: name.partition("/")[0] for name in disk.tree(self.spool.directory)}


class Polling(SynchronousTestCase):
    """What is found, and when."""

    def setUp(self) -> None:
        """An empty queue."""
        self.scene = Scene(self.mktemp())

    def tearDown(self) -> None:
        """No timer is left behind by a service that has stopped."""
        self.scene.poller.stopService()
        while self.scene.agent.pending:
            self.scene.agent.finish(sent)
        self.assertEqual(self.scene.clock.getDelayedCalls(), [])
        self.scene.spool.close()

    def test_a_message_is_delivered_and_removed(self) -> None:
        """From incoming/ to the agent to nowhere."""
        queue_id = self.scene.put()
        self.scene.agent.answer = sent
        self.scene.start()
        self.assertEqual([request.envelope.queue_id for request in self.scene.agent.started], [queue_id])
        self.assertEqual(self.scene.queues, {})
        self.assertEqual(
            self.scene.log.lines[-2:],
            [f"{queue_id}: from=<a@sender.example>, size=24, nrcpt=1 (queue active)", f"{queue_id}: removed"],
        )

    def test_a_deferred_message_is_tried_when_it_is_due(self) -> None:
        """Not by the next look, on time: the first look has seen it."""
        self.scene.put("deferred", NOW + 100.5)
        self.scene.agent.answer = deferred
        self.scene.start()
        self.scene.clock.advance(100.4)
        self.assertEqual(len(self.scene.agent.started), 0)
        self.scene.clock.advance(0.2)
        self.assertEqual(len(self.scene.agent.started), 1)

    def test_what_is_due_later_than_the_next_look_is_found_by_that(self) -> None:
        """Nothing is remembered for longer."""
        self.scene.put("deferred", NOW + 1000)
        self.scene.start()
        self.assertEqual(len(self.scene.poller._upcoming), 0)
        for _ in range(10):
            self.scene.clock.advance(100)
        self.assertEqual(len(self.scene.agent.started), 1)

    def test_new_mail_is_found_by_the_next_look_without_the_bell(self) -> None:
        """queue_run_delay after the last."""
        self.scene.start()
        self.scene.put(due=NOW + 10)
        self.scene.clock.advance(299)
        self.assertEqual(len(self.scene.agent.started), 0)
        self.scene.clock.advance(1)
        self.assertEqual(len(self.scene.agent.started), 1)

    def test_the_bell_has_new_mail_found_at_once(self) -> None:
        """W and I are the same."""
        self.scene.start()
        for letter in "WI":
            self.scene.put()
            self.scene.poller.trigger(frozenset(letter))
            self.scene.turns()
        self.assertEqual(len(self.scene.agent.started), 2)

    def test_the_bell_has_due_mail_found_at_once(self) -> None:
        """D looks at deferred/, and only at what is due."""
        self.scene.start()
        self.scene.put("deferred", NOW - 1)
        self.scene.put("deferred", NOW + 1000)
        self.scene.poller.trigger(frozenset("D"))
        self.scene.turns()
        self.assertEqual(len(self.scene.agent.started), 1)

    def test_a_flush_takes_everything(self) -> None:
        """FADI, as postqueue -f rings."""
        self.scene.put("deferred", NOW + 1000)
        self.scene.start()
        self.scene.poller.trigger(frozenset("FADI"))
        self.scene.turns()
        self.assertEqual(len(self.scene.agent.started), 1)

    def test_ignoring_times_waits_for_the_next_look_if_nobody_asks_for_one(self) -> None:
        """A alone."""
        self.scene.put("deferred", NOW + 1000)
        self.scene.start()
        self.scene.poller.trigger(frozenset("A"))
        self.scene.turns()
        self.assertEqual(len(self.scene.agent.started), 0)
        self.scene.clock.advance(300)
        self.assertEqual(len(self.scene.agent.started), 1)

    def test_a_flush_forgets_dead_destinations(self) -> None:
        """F reaches the scheduler."""
        asked = []
        self.patch(self.scene.scheduler, "forget_dead", lambda: asked.append(True))
        self.scene.start()
        self.scene.poller.trigger(frozenset("F"))
        self.assertEqual(asked, [True])

    def test_a_service_that_does_not_run_does_not_hear_the_bell(self) -> None:
        """Before the start and after the stop."""
        self.scene.put()
        self.scene.poller.trigger(frozenset("W"))
        self.assertEqual(self.scene.clock.getDelayedCalls(), [])

    def test_mail_that_was_remembered_and_taken_by_a_flush_is_not_taken_twice(self) -> None:
        """Its old time means nothing any more."""
        self.scene.put("deferred", NOW + 100)
        self.scene.agent.answer = deferred
        self.scene.start()
        self.scene.poller.trigger(frozenset("DA"))
        self.scene.turns()
        self.scene.clock.advance(101)
        self.assertEqual(len(self.scene.agent.started), 1)

    def test_an_unfinished_file_is_left_alone(self) -> None:
        """Somebody is writing it."""
        queue_id = self.scene.put()
        os.chmod(self.scene.path("incoming", queue_id), 0o600)
        self.scene.start()
        self.assertEqual((self.scene.queues, self.scene.spool.claimed), ({queue_id: "incoming"}, []))

    def test_a_file_from_the_future_is_left_alone(self) -> None:
        """In incoming/ a second is forgiven."""
        late, soon = self.scene.put(due=NOW + 60), self.scene.put(due=NOW + 0.9)
        self.scene.start()
        self.assertEqual(self.scene.spool.claimed, [("incoming", soon)])
        self.assertEqual(self.scene.queues[late], "incoming")

    def test_incoming_and_deferred_take_turns(self) -> None:
        """A backlog in the one does not hold up the other."""
        for _ in range(5):
            self.scene.put()
            self.scene.put("deferred", NOW - 1)
        self.scene.start()
        queues = [queue for queue, _ in self.scene.spool.claimed]
        self.assertEqual((len(queues), sorted(queues[:6])), (10, ["deferred"] * 3 + ["incoming"] * 3))

    def test_the_operators_wish_for_expiry_is_passed_on(self) -> None:
        """postsuper -e has set the group's execute bit."""
        queue_id = self.scene.put("deferred", NOW - 1)
        self.scene.spool.expire(queue_id)
        self.scene.start()
        self.assertEqual((len(self.scene.agent.started), len(self.scene.agent.suspended)), (0, 1))
        self.assertIn(
            f"{queue_id}: from=<a@sender.example>, status=force-expired, returned to sender", self.scene.log.lines
        )

    def test_only_new_mail_is_spared_the_questions_about_its_past(self) -> None:
        """A file that nobody has touched since it was written has none; every other is asked about."""
        self.scene.agent.answer = sent
        self.scene.put(due=NOW)
        self.scene.start()
        self.assertEqual(self.scene.reports, [])
        self.scene.put(due=NOW - 5)  # moved back by a start or by the operator
        self.scene.put("deferred", NOW)
        self.scene.poller.trigger(frozenset("WD"))
        self.scene.turns()
        self.assertEqual(self.scene.reports, ["defer.forget", "bounce.flush", "trace.flush"] * 2)

    def test_a_message_with_finished_recipients_is_not_new(self) -> None:
        """There may be reports that are owed."""
        queue_id = self.scene.put("incoming", NOW, "a@one.example", "b@two.example")
        offsets = [recipient.offset for recipient in self.scene.spool.read(queue_id, "incoming").recipients]
        self.scene.spool.mark_done(queue_id, offsets[:1])
        os.utime(self.scene.path("incoming", queue_id), (NOW, NOW))
        self.scene.agent.answer = sent
        self.scene.start()
        self.assertEqual(self.scene.reports, ["defer.forget", "bounce.flush", "trace.flush"])


class Trouble(SynchronousTestCase):
    """What can be wrong with a file, a folder, a disk."""

    def setUp(self) -> None:
        """An empty queue."""
        self.scene = Scene(self.mktemp())

    def tearDown(self) -> None:
        """The service stops whatever has happened."""
        self.successResultOf(self.scene.stop())
        self.scene.spool.close()

    def good(self) -> None:
        """Show that the poller still works."""
        before = len(self.scene.agent.started)
        self.scene.put()
        self.scene.agent.answer = sent
        self.scene.poller.trigger(frozenset("W"))
        for _ in range(3):
            self.scene.clock.advance(5)
        self.assertEqual(len(self.scene.agent.started), before + 1)

    def warnings(self) -> list[str]:
        """The warnings in the log."""
        return [line for line in self.scene.log.lines if "warning" in line]

    def test_a_damaged_file_goes_to_corrupt(self) -> None:
        """With what is wrong, and where."""
        queue_id = self.scene.put()
        with open(self.scene.path("incoming", queue_id), "r+b") as file:
            file.truncate(120)
        self.scene.start()
        self.assertEqual(self.scene.queues, {queue_id: "corrupt"})
        self.assertIn(f'saving corrupt file "{queue_id}" from queue "active" to queue "corrupt": ', self.warnings()[0])
        self.good()

    def test_a_file_that_an_agent_has_marked_goes_to_corrupt(self) -> None:
        """Mode 0400."""
        queue_id = self.scene.put()
        os.chmod(self.scene.path("incoming", queue_id), 0o400)
        self.scene.start()
        self.assertEqual(self.scene.queues, {queue_id: "corrupt"})

    def test_a_file_that_somebody_works_on_is_left_for_a_minute(self) -> None:
        """Another queue manager has not let go of it; then it is delivered, on time."""
        queue_id = self.scene.put()
        with open(self.scene.path("incoming", queue_id), "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            self.scene.start()
            self.assertEqual(self.scene.queues, {queue_id: "deferred"})
            self.assertIn(f"{queue_id}: skipped, still being delivered", self.scene.log.lines)
        self.scene.agent.answer = sent
        self.scene.clock.advance(59)
        self.assertEqual(self.scene.queues, {queue_id: "deferred"})
        self.scene.clock.advance(1)
        self.assertEqual(self.scene.queues, {})

    def test_a_file_that_vanishes_before_it_is_claimed_is_nothing(self) -> None:
        """The operator was faster."""
        queue_id = self.scene.put("deferred", NOW + 10)
        self.scene.start()
        self.scene.spool.delete(queue_id)
        self.scene.clock.advance(10)
        self.assertEqual((self.scene.agent.started, self.warnings()), ([], []))

    def test_a_file_that_vanishes_before_it_is_read_is_nothing(self) -> None:
        """Likewise."""
        self.scene.put()
        self.scene.spool.fails["read"] = FileNotFoundError(errno.ENOENT, "No such file or directory")
        self.scene.start()
        self.assertEqual((self.scene.agent.started, self.warnings()), ([], []))

    def test_a_file_that_cannot_be_read_now_is_left_for_a_minute(self) -> None:
        """With one warning a minute, however many there are."""
        queue_ids = {self.scene.put() for _ in range(5)}
        self.scene.spool.fails["read"] = OSError(errno.EIO, "Input/output error")
        self.scene.start()
        self.assertEqual(self.scene.queues, dict.fromkeys(queue_ids, "deferred"))
        self.assertEqual(
            self.warnings(),
            ["warning: cannot take a message from the queue: [Errno 5] Input/output error (EIO); it is tried again"],
        )
        self.scene.spool.fails.clear()
        self.scene.agent.answer = sent
        self.scene.clock.advance(60)
        self.assertEqual(self.scene.queues, {})

    def test_when_there_are_no_file_descriptors_left_the_poller_rests(self) -> None:
        """The next file would fare no better; after a few seconds it goes on."""
        for _ in range(5):
            self.scene.put()
        self.scene.spool.fails["read"] = OSError(errno.EMFILE, "Too many open files")
        self.scene.start()
        self.assertEqual(len(self.scene.spool.claimed), 1)
        self.scene.poller.trigger(frozenset("W"))
        self.scene.clock.advance(4.9)
        self.assertEqual(len(self.scene.spool.claimed), 1)
        self.scene.spool.fails.clear()
        self.scene.agent.answer = sent
        self.scene.clock.advance(0.1)
        self.assertEqual(len(self.scene.spool.claimed), 5)

    def test_a_file_that_cannot_be_claimed_stays_and_the_others_are_taken(self) -> None:
        """It is tried again by the next look."""
        self.scene.put()
        self.scene.spool.fails["claim"] = OSError(errno.EACCES, "Permission denied")
        self.scene.start()
        self.assertIn("Permission denied (EACCES)", self.warnings()[0])
        self.scene.spool.fails.clear()
        self.scene.agent.answer = sent
        self.scene.clock.advance(300)
        self.assertEqual(self.scene.queues, {})

    def test_a_file_that_is_stranded_in_active_is_found_again(self) -> None:
        """Reading failed, and so did the move: by the next look at deferred/ it is taken where it is."""
        queue_id = self.scene.put()
        self.scene.spool.fails["read"] = self.scene.spool.fails["defer"] = OSError(errno.EIO, "Input/output error")
        self.scene.start()
        self.assertEqual(self.scene.queues, {queue_id: "active"})
        self.scene.spool.fails.clear()
        self.scene.agent.answer = sent
        self.scene.clock.advance(300)
        self.assertEqual(self.scene.queues, {})

    def test_active_messages_are_not_taken_for_stranded_ones(self) -> None:
        """They are being delivered."""
        self.scene.put()
        self.scene.start()
        self.scene.clock.advance(900)
        self.assertEqual(len(self.scene.agent.started), 1)
        self.scene.agent.finish(sent)

    def test_an_unforeseen_error_costs_one_message_a_minute(self) -> None:
        """The traceback is logged, the others are delivered."""
        queue_id = self.scene.put()
        self.scene.spool.fails["read"] = RuntimeError("bug")
        self.scene.start()
        self.assertEqual(self.scene.queues, {queue_id: "deferred"})
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.scene.spool.fails.clear()
        self.good()

    def test_a_folder_that_cannot_be_read_does_not_stop_the_other(self) -> None:
        """It is looked at again after a few seconds; one warning a minute."""
        self.scene.put("deferred", NOW - 1)
        self.scene.put()
        self.scene.spool.fails["scan deferred"] = OSError(errno.EACCES, "Permission denied")
        self.scene.agent.answer = sent
        self.scene.start()
        self.scene.clock.advance(5)
        self.scene.clock.advance(5)
        self.assertEqual([queue for queue, _ in self.scene.spool.claimed], ["incoming"])
        self.assertEqual(
            self.warnings(),
            ["warning: cannot look through the queue: [Errno 13] Permission denied (EACCES); it is tried again"],
        )
        self.scene.spool.fails.clear()
        self.scene.clock.advance(5)
        self.assertEqual([queue for queue, _ in self.scene.spool.claimed], ["incoming", "deferred"])


class Pace(SynchronousTestCase):
    """How much at once."""

    def test_no_more_is_claimed_than_the_scheduler_has_room_for(self) -> None:
        """What leaves makes room for what comes."""
        scene = Scene(self.mktemp(), windows(active_limit=2))
        for number in range(5):
            scene.put("incoming", NOW, f"x@d{number}.example")
        scene.start()
        self.assertEqual(len(scene.spool.claimed), 2)
        scene.agent.finish(sent)
        scene.turns()
        self.assertEqual((len(scene.spool.claimed), len(scene.scheduler)), (3, 2))

    def test_a_full_scheduler_is_not_asked_again_and_again(self) -> None:
        """The poller waits to be told, or for the next look."""
        scene = Scene(self.mktemp(), windows(active_limit=1))
        for number in range(3):
            scene.put("incoming", NOW, f"x@d{number}.example")
        scene.start()
        self.assertEqual([call.getTime() - NOW for call in scene.clock.getDelayedCalls()], [300.0])

    def test_one_turn_of_the_reactor_takes_so_many_files(self) -> None:
        """Others have their turn in between."""
        scene = Scene(self.mktemp())
        for number in range(120):
            scene.put("incoming", NOW, f"x@d{number}.example")
        scene.poller.startService()
        taken = []
        for _ in range(3):
            turn(scene.clock)
            taken.append(len(scene.spool.claimed))
        self.assertEqual(taken, [50, 100, 120])

    def test_a_turn_ends_when_its_time_is_over(self) -> None:
        """Each claim takes 3 ms: two of them are a turn."""
        scene = Scene(self.mktemp())
        for number in range(4):
            scene.put("incoming", NOW, f"x@d{number}.example")
        claim = scene.spool.claim

        def slow(queue_id: str, queue: str) -> bool:
            scene.clock.rightNow += 0.003
            return claim(queue_id, queue)

        self.patch(scene.spool, "claim", slow)
        scene.poller.startService()
        turn(scene.clock)
        self.assertEqual(len(scene.spool.claimed), 2)

    def test_mail_that_is_held_back_is_taken_when_its_time_has_come(self) -> None:
        """Without another look: a slow destination has four of five places, the fifth message waits."""
        scene = Scene(self.mktemp(), windows(limit=1, active_limit=5))
        for _ in range(5):
            scene.put("incoming", NOW, "x@hog.example")
        scene.start()
        self.assertEqual(sorted(scene.queues.values()), ["active"] * 4 + ["deferred"])
        scene.agent.finish(sent)
        scene.clock.advance(299)
        self.assertEqual(len(scene.scheduler), 3)
        scene.clock.advance(1)
        self.assertEqual(len(scene.scheduler), 4)

    def test_putting_back_takes_a_fifth_of_the_time(self) -> None:
        """After a turn that was in vain the poller rests for four times as long."""
        scene = Scene(self.mktemp(), windows(limit=1, active_limit=5))
        for _ in range(20):
            scene.put("incoming", NOW, "x@hog.example")
        claim = scene.spool.claim

        def slow(queue_id: str, queue: str) -> bool:
            scene.clock.rightNow += 0.002
            return claim(queue_id, queue)

        scene.start()
        self.assertEqual(len(scene.spool.claimed), 20)
        self.patch(scene.spool, "claim", slow)
        for _ in range(20):
            scene.put("incoming", scene.clock.seconds(), "x@hog.example")
        scene.poller.trigger(frozenset("W"))
        turn(scene.clock)
        self.assertEqual(len(scene.spool.claimed), 23)
        scene.clock.advance(0.023)
        self.assertEqual(len(scene.spool.claimed), 23)
        scene.clock.advance(0.002)
        self.assertEqual(len(scene.spool.claimed), 26)


class Stopping(SynchronousTestCase):
    """The end of the service."""

    def test_deliveries_under_way_are_waited_for(self) -> None:
        """And nothing is claimed meanwhile, whatever is rung for or due."""
        scene = Scene(self.mktemp())
        scene.put()
        scene.put("deferred", NOW + 5)
        scene.start()
        stopped = scene.stop()
        scene.put()
        scene.poller.trigger(frozenset("WD"))
        scene.clock.advance(6)
        self.assertEqual(len(scene.agent.started), 1)
        self.assertNoResult(stopped)
        scene.agent.finish(sent)
        self.successResultOf(stopped)
        self.assertEqual(scene.clock.getDelayedCalls(), [])

    def test_patience_has_an_end(self) -> None:
        """A delivery that takes too long is broken off; its message is found by the next start."""
        scene = Scene(self.mktemp())
        queue_id = scene.put()
        scene.start()
        stopped = scene.stop()
        scene.clock.advance(30)
        self.successResultOf(stopped)
        self.assertEqual(scene.queues, {queue_id: "active"})
        scene.spool.close()
        scene.spool.prepare()
        self.assertEqual(scene.queues, {queue_id: "incoming"})

    def test_the_service_can_be_started_again(self) -> None:
        """What was left in active/ is taken from there."""
        scene = Scene(self.mktemp(), windows(limit=1))
        scene.put()
        scene.put()
        scene.start()
        stopped = scene.stop()
        scene.agent.finish(bounced)
        self.successResultOf(stopped)
        scene.agent.answer = sent
        scene.start()
        self.assertEqual((scene.queues, len(scene.agent.started)), ({}, 2))

    def test_settings_come_from_the_parameters(self) -> None:
        """queue_run_delay."""
        parameters = Parameters.from_values({"queue_run_delay": "7s"})
        self.assertEqual(PollerSettings.from_parameters(parameters).queue_run_delay, 7.0)
        self.assertEqual(PollerSettings.from_parameters(Parameters.from_values()), PollerSettings())
