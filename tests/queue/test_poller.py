"""The poller: from files in the queue directory to messages in the scheduler."""

import os

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.parameters import Parameters
from smtpclient.queue import outside
from smtpclient.queue.poller import PollerSettings
from smtpclient.queue.spool import Entry
from tests.queue.disk import NOW
from tests.queue.polling import Scene
from tests.queue.scheduling import bounced, deferred, sent, turn, unreachable, windows


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

    def test_what_is_due_later_than_the_next_look_comes_from_the_calendar(self) -> None:
        """Within ten seconds of its time, between two looks."""
        self.scene.put("deferred", NOW + 1005)
        self.scene.start()
        self.assertEqual(len(self.scene.poller._upcoming), 0)
        for _ in range(100):
            self.scene.clock.advance(10)
        self.assertEqual(len(self.scene.agent.started), 0)
        self.scene.clock.advance(20)
        self.assertEqual(len(self.scene.agent.started), 1)

    def test_what_is_put_back_comes_from_the_calendar(self) -> None:
        """No walk is needed to find again what was tried and deferred."""
        queue_id = self.scene.put()
        self.scene.agent.answer = deferred
        self.scene.start()
        self.assertEqual(self.scene.queues, {queue_id: "deferred"})
        self.scene.spool.fails["scan deferred"] = OSError(5, "no walk gets there")
        for _ in range(32):
            self.scene.clock.advance(10)
        self.assertEqual(len(self.scene.agent.started), 2)

    def test_the_calendar_is_a_hint(self) -> None:
        """A file that has gone is passed over; one whose time has changed is taken at its new one."""
        gone, changed = self.scene.put("deferred", NOW + 400), self.scene.put("deferred", NOW + 400)
        self.scene.start()
        os.unlink(self.scene.path("deferred", gone))
        os.utime(self.scene.path("deferred", changed), (NOW + 450, NOW + 450))
        for _ in range(44):
            self.scene.clock.advance(10)
        self.assertEqual(len(self.scene.agent.started), 0)
        self.scene.clock.advance(20)
        self.assertEqual([request.envelope.queue_id for request in self.scene.agent.started], [changed])

    def test_what_others_put_there_is_found_by_the_next_look(self) -> None:
        """The calendar does not know it; the walk that nobody waits for does."""
        self.scene.start()
        self.scene.put("deferred", NOW + 10)
        self.scene.clock.advance(299)
        self.assertEqual(len(self.scene.agent.started), 0)
        self.scene.clock.advance(2)
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

    def test_a_file_that_is_active_already_is_never_taken(self) -> None:
        """Whatever was remembered of it: to claim it would be to deliver it twice."""
        queue_id = self.scene.put()
        self.scene.start()
        self.scene.poller._upcoming.add(Entry(queue_id, NOW, 0o700))
        self.scene.poller.trigger(frozenset("W"))
        self.scene.turns()
        self.assertEqual(self.scene.spool.claimed, [("incoming", queue_id)])

    def test_a_clock_that_is_set_back_does_not_stop_the_poller(self) -> None:
        """The next look is one queue_run_delay away, and a rest is over when it should be."""
        self.scene.start()
        self.scene.poller._resting_until = NOW + 5
        self.scene.clock.rightNow -= 3600
        self.scene.put(due=NOW - 3600)
        self.scene.poller.trigger(frozenset("W"))
        self.scene.clock.advance(5)
        self.scene.clock.advance(5)
        self.assertEqual(len(self.scene.spool.claimed), 1)
        self.scene.put(due=NOW - 3600)
        self.scene.clock.advance(300)
        self.assertEqual(len(self.scene.spool.claimed), 2)

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
        scene.slow_down(0.003)
        scene.poller.startService()
        turn(scene.clock)
        self.assertEqual(len(scene.spool.claimed), 2)

    def test_a_turn_is_longer_where_others_have_taken_long(self) -> None:
        """As long as they, and 30 ms at most: what comes in keeps pace with what goes out."""
        scene = Scene(self.mktemp())
        for number in range(30):
            scene.put("incoming", NOW, f"x@d{number}.example")
        scene.slow_down(0.003)
        scene.poller.startService()
        taken = []
        for others in (0.0, 0.011, 10.0):
            before = len(scene.spool.claimed)
            scene.clock.rightNow += others
            turn(scene.clock)
            taken.append(len(scene.spool.claimed) - before)
        self.assertEqual(taken, [2, 4, 10])

    def test_mail_that_is_held_back_is_taken_when_its_time_has_come(self) -> None:
        """Without another look: a slow destination has four of five places, the fifth message waits."""
        scene = Scene(self.mktemp(), windows(limit=1, active_limit=5))
        self.patch(scene.spool, "glimpse", lambda queue_id, queue: None)
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
        self.patch(scene.spool, "glimpse", lambda queue_id, queue: None)
        for _ in range(20):
            scene.put("incoming", NOW, "x@hog.example")
        scene.start()
        self.assertEqual(len(scene.spool.claimed), 20)
        scene.slow_down(0.002)
        for _ in range(20):
            scene.put("incoming", scene.clock.seconds(), "x@hog.example")
        scene.poller.trigger(frozenset("W"))
        turn(scene.clock)
        self.assertEqual(len(scene.spool.claimed), 23)
        scene.clock.advance(0.023)
        self.assertEqual(len(scene.spool.claimed), 23)
        scene.clock.advance(0.002)
        self.assertEqual(len(scene.spool.claimed), 26)


class Outside(SynchronousTestCase):
    """Mail for destinations that take no more now."""

    def full(self, **options: int) -> Scene:
        """Four of five places are taken by mail for one destination, and a fifth message for it has come."""
        scene = Scene(self.mktemp(), windows(limit=1, active_limit=5, **options))
        for _ in range(5):
            scene.put("incoming", NOW, "x@hog.example")
        scene.start()
        return scene

    def dead(self, count: int, queue: str = "incoming") -> Scene:
        """A destination has died of its first message, and so many more have come for it; deferring them takes long."""
        scene = Scene(self.mktemp(), windows(initial=1))
        scene.agent.suspensions_wait = True
        scene.put("incoming", NOW, "x@dead.example")
        scene.start()
        scene.agent.finish(unreachable)
        for _ in range(count):
            scene.put(queue, NOW - 1, "x@dead.example")
        scene.poller.trigger(frozenset("WD"))
        scene.turns()
        return scene

    def places(self, scene: Scene) -> dict[str, int]:
        """How many messages lie where, but for the one of which the destination died."""
        return {name: list(scene.queues.values()).count(name) for name in ("incoming", "active")}

    def test_what_finds_no_room_stays_where_it_lies(self) -> None:
        """It is not moved, and comes in as soon as a message for its destination has left."""
        scene = self.full()
        self.assertEqual(self.places(scene), {"incoming": 1, "active": 4})
        scene.agent.finish(sent)
        scene.turns()
        self.assertEqual(self.places(scene), {"incoming": 0, "active": 4})

    def test_the_operator_is_told_who_has_its_share(self) -> None:
        """In the same words as when mail is put back."""
        words = "warning: mail for hog.example is using up 4 of 4 active queue entries; more of it has to wait"
        self.assertIn(words, self.full().log.lines)

    def test_others_are_found_behind_it(self) -> None:
        """However it is mixed."""
        scene = Scene(self.mktemp(), windows(limit=1, active_limit=100))
        for number in range(200):
            scene.put("incoming", NOW, "x@hog.example")
            if number % 10 == 9:
                scene.put("incoming", NOW, f"x@d{number}.example")
        scene.start()
        self.assertEqual(len({request.next_hop for request in scene.agent.started}), 21)

    def test_mail_for_the_dead_comes_in_a_little_at_a_time(self) -> None:
        """As many as are deferred at once, and as many at hand; the next one when one of them is done."""
        scene = self.dead(60)
        self.assertEqual(self.places(scene), {"incoming": 20, "active": 40})
        scene.agent.finish(deferred)
        scene.turns()
        self.assertEqual(len(scene.agent.suspended), 20)  # a batch is waited for
        for _ in range(19):
            scene.agent.finish(deferred)
        scene.turns()
        self.assertEqual((self.places(scene), len(scene.agent.suspended)), ({"incoming": 0, "active": 40}, 40))

    def test_all_of_it_is_deferred_in_the_end(self) -> None:
        """Each message with its reason."""
        scene = self.dead(60, "deferred")
        scene.agent.suspensions_wait = False
        while scene.agent.pending:
            scene.agent.finish(deferred)
        scene.turns()
        self.assertEqual((len(scene.agent.suspended), set(scene.queues.values())), (60, {"deferred"}))

    def test_it_is_not_looked_at_again_and_again(self) -> None:
        """The next walk passes it by."""
        scene = self.dead(60)
        seen: list[str] = []
        self.patch(scene.spool, "glimpse", lambda queue_id, queue: seen.append(queue_id))
        scene.put("incoming", NOW, "x@live.example")
        scene.poller.trigger(frozenset("W"))
        scene.turns()
        self.assertEqual((len(seen), len(scene.agent.started)), (1, 2))

    def test_it_is_tried_when_the_operator_says_so(self) -> None:
        """F at the door bell revives its destination."""
        scene = self.dead(60)
        scene.poller.trigger(frozenset("F"))
        scene.turns()
        self.assertEqual(self.places(scene), {"incoming": 0, "active": 60})

    def test_it_is_tried_when_the_time_of_its_destination_is_over(self) -> None:
        """One after the other, as with any destination of which nothing is known."""
        scene = self.dead(60)
        scene.agent.suspensions_wait = False
        scene.clock.advance(301)
        while len(scene.agent.started) == 1 and scene.agent.pending:
            scene.agent.finish(deferred)
            scene.turns()
        self.assertEqual(len(scene.agent.started), 2)

    def test_what_has_vanished_meanwhile_is_passed_over(self) -> None:
        """An operator was faster."""
        scene = self.full()
        (waiting,) = (name for name, queue in scene.queues.items() if queue == "incoming")
        os.unlink(scene.path("incoming", waiting))
        scene.agent.finish(sent)
        scene.turns()
        self.assertEqual(self.places(scene), {"incoming": 0, "active": 3})

    def test_what_is_to_expire_does_not_wait(self) -> None:
        """Nobody is contacted for it."""
        scene = self.dead(40)
        queue_id = scene.put("deferred", NOW - 1, "x@dead.example")
        scene.spool.expire(queue_id)
        scene.poller.trigger(frozenset("D"))
        scene.turns()
        self.assertIn(queue_id, scene.scheduler)

    def test_too_many_are_found_again_later(self) -> None:
        """What cannot be remembered is looked at again: in deferred/ after a minute."""
        self.patch(outside, "MOST", 5)
        scene = self.dead(60, "deferred")
        self.assertEqual(len(scene.poller._outside), 5)
        scene.agent.suspensions_wait = False
        for _ in range(4):
            while scene.agent.pending:
                scene.agent.finish(deferred)
            scene.clock.advance(70)
        self.assertEqual(len(scene.agent.suspended), 60)


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
