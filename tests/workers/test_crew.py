"""The service's side: members that come and go, and what becomes of their requests."""

import errno
import signal
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.parameters import Parameters
from smtpclient.mail.envelope import Envelope, Recipient
from smtpclient.mail.outcome import Disposition, Outcome, SiteFailure
from smtpclient.mail.request import DeliveryInterrupted, DeliveryRequest, DeliveryResult
from smtpclient.observe.maillog import MailLog
from smtpclient.queue.content import SpoolContent
from smtpclient.queue.record import CorruptQueueFile
from smtpclient.workers.crew import PATIENCE, Crew, Surroundings, WorkersError, begin
from smtpclient.workers.member import FROM, TO, WORDS, DeliveryFailed, Member
from smtpclient.workers.message import (
    Begin,
    Broken,
    Cancel,
    Deliver,
    Done,
    Logged,
    Message,
    Queued,
    Ready,
    Refused,
    Reopen,
    Stop,
    settled,
)
from smtpclient.workers.placement import choose
from smtpclient.workers.wire import Reader, encode

HOPS = ["a.example", "b.example", "c.example", "d.example"]
FIRST, SECOND = (next(hop for hop in HOPS if choose(hop, [(0, 0), (0, 1)]) == number) for number in (0, 1))
"""Destinations that belong to the first and to the second of two workers."""


class Process:
    """A process that does what the test says."""

    def __init__(self, member: Member, pid: int) -> None:
        self.member, self.pid = member, pid
        self.reader = Reader()
        self.heard: list[Message] = []
        self.signals: list[str] = []

    def writeToChild(self, fd: int, data: bytes) -> None:
        assert fd == TO
        self.heard += self.reader.feed(data)

    def signalProcess(self, name: str) -> None:
        self.signals.append(name)

    def say(self, *messages: Message) -> None:
        """Send messages to the service."""
        self.member.childDataReceived(FROM, b"".join(encode(message) for message in messages))

    def end(self, number: int | None = signal.SIGKILL) -> None:
        """End, by a signal or in order."""
        self.member.childConnectionLost(FROM)
        why = ProcessTerminated(signal=number) if number else ProcessDone(0)
        self.member.processEnded(Failure(why))

    def requests(self) -> list[Deliver]:
        """What it was asked to deliver."""
        return [message for message in self.heard if isinstance(message, Deliver)]


class Machine(Clock):
    """A clock that starts processes."""

    def __init__(self) -> None:
        super().__init__()
        self.processes: list[Process] = []
        self.commands: list[tuple[list[str], dict[str, str]]] = []
        self.full = False

    def spawnProcess(self, member: Member, executable: str, args: list[str], env: Any, childFDs: Any) -> None:
        if self.full:
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
        self.commands.append((args, env))
        self.processes.append(Process(member, 100 + len(self.processes)))
        member.makeConnection(self.processes[-1])  # type: ignore[arg-type]


class Scene:
    """A crew, and what it tells the service."""

    def __init__(self, size: int = 2, **more: Any) -> None:
        self.machine = Machine()
        self.lines: list[str] = []
        maillog = MailLog(self.machine.seconds)
        maillog.write_to(lambda process, line, _: self.lines.append(f"{process}: {line}"))
        self.published: list[tuple[str, str]] = []
        self.removed: list[str] = []
        self.queued = 0
        self.heard_of = {"A1", "SOLE"}
        self.crew = Crew(
            size,
            Begin({"myhostname": "client.example"}, {}),
            Surroundings(
                lambda envelope, outcome: self.published.append((envelope.queue_id, outcome.recipient.address)),
                lambda queue_id: queue_id in self.heard_of,
                lambda queue_id, count: queue_id == "SOLE" and count == 1,
                self.removed.append,
                self._hear,
            ),
            self.machine,
            maillog,
            **more,
        )

    def _hear(self) -> None:
        self.queued += 1

    def start(self) -> list[Process]:
        """Start the service; its processes are ready."""
        self.crew.startService()
        for process in self.machine.processes:
            process.say(Ready())
        return self.machine.processes

    def deliver(self, queue_id: str = "A1", *, next_hop: str = FIRST, backlog: int = 0) -> "Deferred[DeliveryResult]":
        """Ask for a delivery to one recipient."""
        request = DeliveryRequest(
            Envelope(queue_id, "me@x", 1.0, 1.0, 10, 100),
            (Recipient(f"{queue_id}@x"),),
            "smtp",
            next_hop,
            SpoolContent(None, "", 0),  # type: ignore[arg-type]
            2.0,
            lambda: backlog,
        )
        delivery = ensureDeferred(self.crew.deliver(request))
        self.machine.advance(0)  # what is said in one turn of the reactor is sent together
        return delivery


def sent(request: Deliver, **more: Any) -> Done:
    """The answer to a request all of whose recipients are delivered."""
    outcomes = [Outcome(recipient, Disposition.SENT, "2.0.0", "ok") for recipient in request.recipients]
    return Done(request.number, settled(request, outcomes), **more)


class RequestTests(SynchronousTestCase):
    """Requests, and what workers make of them."""

    def setUp(self) -> None:
        self.scene = Scene()
        self.first, self.second = self.scene.start()

    def test_a_request_goes_out_and_its_result_comes_back(self) -> None:
        """A worker gets the envelope and recipients; the service gets outcomes, and its subscribers, too."""
        delivery = self.scene.deliver("SOLE")
        (request,) = self.first.requests()
        self.assertEqual(("SOLE", True, 0), (request.envelope.queue_id, request.sole, request.backlog))
        self.first.say(sent(request, removed=True, site_failure=SiteFailure("4.4.1", "gone")))
        result = self.successResultOf(delivery)
        self.assertEqual(SiteFailure("4.4.1", "gone"), result.site_failure)
        self.assertEqual([Disposition.SENT], [outcome.disposition for outcome in result.outcomes])
        self.assertEqual(([("SOLE", "SOLE@x")], ["SOLE"]), (self.scene.published, self.scene.removed))

    def test_mail_for_one_destination_is_kept_together(self) -> None:
        """Each worker gets its own destinations; one that has much more to do than the others gets nothing more."""
        for queue_id, hop in (("A1", FIRST), ("B1", SECOND), ("A2", FIRST), ("B2", SECOND)):
            self.scene.deliver(queue_id, next_hop=hop)
        got = [[request.envelope.queue_id for request in process.requests()] for process in (self.first, self.second)]
        self.assertEqual([["A1", "A2"], ["B1", "B2"]], got)
        for _ in range(20):
            self.scene.deliver()
        self.assertEqual([15, 9], [member.load for member in self.scene.crew.members])

    def test_a_request_says_how_much_more_there_is(self) -> None:
        """What waits for the destination is known to the worker."""
        self.scene.deliver(backlog=7)
        self.assertEqual([7], [request.backlog for request in self.first.requests()])

    def test_what_a_delivery_raises_is_raised(self) -> None:
        """A damaged queue file is named as such; anything else has the words of the exception over there."""
        damaged, broken = self.scene.deliver(), self.scene.deliver("B1", next_hop=SECOND)
        self.first.say(Broken(1, "nonsense", "/spool/active/A1", 7))
        self.second.say(Broken(1, "No space left on device"))
        error = self.failureResultOf(damaged, CorruptQueueFile).value
        self.assertEqual(("/spool/active/A1", 7, "nonsense"), (error.path, error.offset, error.why))
        self.assertIn("No space left", str(self.failureResultOf(broken, DeliveryFailed).value))

    def test_a_delivery_that_is_broken_off(self) -> None:
        """To cancel a delivery cancels it in the worker; what had been settled by then is still told."""
        delivery, other = self.scene.deliver(), self.scene.deliver("B1", next_hop=SECOND)
        delivery.cancel()
        self.failureResultOf(delivery, CancelledError)
        self.assertIn(Cancel(1), self.first.heard)
        self.first.say(sent(self.first.requests()[0]))
        self.assertEqual([("A1", "A1@x")], self.scene.published)
        other.cancel()
        self.failureResultOf(other, CancelledError)
        self.second.say(Broken(1, "cancelled", cancelled=True))
        self.assertEqual([0, 0], [member.load for member in self.scene.crew.members])

    def test_a_worker_that_breaks_a_delivery_off_by_itself_interrupts_it(self) -> None:
        """That is nobody's fault."""
        delivery = self.scene.deliver()
        self.first.say(Broken(1, "cancelled", cancelled=True))
        self.failureResultOf(delivery, DeliveryInterrupted)

    def test_lines_and_reports(self) -> None:
        """Lines for the mail log are written with their level; a report that was queued is looked at."""
        self.first.say(
            Logged("info", "smtp", "A1", "to=<x>"), Logged("warn", "smtp", "", "hm"), Logged("error", "smtp", "", "no")
        )
        self.first.say(Queued("B1"))
        self.assertEqual(["smtp: A1: to=<x>", "smtp: warning: hm", "smtp: error: no"], self.scene.lines)
        self.assertEqual(1, self.scene.queued)

    def test_the_log_file_is_opened_anew_by_all(self) -> None:
        """Every worker is told."""
        self.scene.crew.reopen_log()
        self.assertTrue(all(Reopen() in process.heard for process in (self.first, self.second)))


class EndTests(SynchronousTestCase):
    """Workers that end."""

    def test_requests_of_a_worker_that_dies_are_interrupted(self) -> None:
        """Those that it had, and only those, and only when the process has ended for certain."""
        scene = Scene()
        first, second = scene.start()
        lost, kept = scene.deliver("A1"), scene.deliver("B1", next_hop=SECOND)
        first.member.childConnectionLost(FROM)
        self.assertNoResult(lost)
        self.assertEqual(["KILL"], first.signals)
        first.end()
        self.assertIn("killed by signal 9", str(self.failureResultOf(lost, DeliveryInterrupted).value))
        self.assertNoResult(kept)
        second.say(sent(second.requests()[0]))
        self.successResultOf(kept)
        self.assertEqual(["master: warning: a worker has ended: killed by signal 9"], scene.lines)

    def test_a_worker_that_keeps_dying_is_started_ever_later(self) -> None:
        """At once, after 1, 2, 4 and so on to 60 seconds; one that has lived for a minute starts anew."""
        scene = Scene(1)
        scene.crew.startService()
        pauses = []
        for _ in range(10):
            scene.machine.processes[-1].end()
            began, started = scene.machine.seconds(), len(scene.machine.processes)
            while len(scene.machine.processes) == started:
                scene.machine.advance(
                    min(call.getTime() for call in scene.machine.getDelayedCalls()) - scene.machine.seconds()
                )
            pauses.append(scene.machine.seconds() - began)
        self.assertEqual([0, 1, 2, 4, 8, 16, 32, 60, 60, 60], pauses)
        scene.machine.advance(60)
        scene.machine.processes[-1].end()
        scene.machine.advance(0)
        self.assertEqual(12, len(scene.machine.processes))

    def test_requests_wait_for_a_worker_that_is_ready(self) -> None:
        """Nothing is given to a process that has not said that it is ready, and nothing fails meanwhile."""
        scene = Scene(1)
        scene.crew.startService()
        waiting = [scene.deliver("A1"), scene.deliver("B1")]
        (process,) = scene.machine.processes
        self.assertEqual([Begin], [type(message) for message in process.heard])
        process.end()
        scene.machine.advance(0)
        again = scene.machine.processes[1]
        again.say(Ready())
        self.assertEqual(["A1", "B1"], [request.envelope.queue_id for request in again.requests()])
        for delivery in waiting:
            self.assertNoResult(delivery)

    def test_a_worker_that_cannot_work_says_why(self) -> None:
        """The words are in the log as an error; the process is ended, and another one tried later."""
        scene = Scene(1)
        scene.crew.startService()
        (process,) = scene.machine.processes
        process.say(Refused("main.cf:3: relayhost = x: no"))
        self.assertIn(Stop(), process.heard)
        process.end(None)
        self.assertEqual(["master: error: a worker cannot work: main.cf:3: relayhost = x: no"], scene.lines)
        scene.machine.advance(0)
        self.assertEqual(2, len(scene.machine.processes))

    def test_its_last_words_are_told(self) -> None:
        """What a process says on its standard error before it ends is part of the reason."""
        scene = Scene(1)
        scene.crew.startService()
        scene.machine.processes[0].member.childDataReceived(WORDS, b"Traceback\nImportError: no module\n")
        scene.machine.processes[0].end(None)
        self.assertEqual(["master: warning: a worker has ended: exit code 0: ImportError: no module"], scene.lines)

    def test_who_cannot_be_understood_is_killed(self) -> None:
        """Bytes that are no message, a message for a worker, an answer to nothing: the process must go."""
        for nonsense in (b"\xff\xff\xff\xff", encode(Stop()), encode(Done(99, ()))):
            scene = Scene(1)
            (process,) = scene.start()
            process.member.childDataReceived(FROM, nonsense)
            self.assertEqual(["KILL"], process.signals)
            self.assertIn("cannot be understood", scene.lines[0])

    def test_no_process_to_be_had(self) -> None:
        """Where no process can be started, that is said, and tried again."""
        scene = Scene(1)
        scene.machine.full = True
        scene.crew.startService()
        self.assertIn("cannot start a worker", scene.lines[0])
        scene.machine.full = False
        scene.machine.advance(0)
        self.assertEqual(1, len(scene.machine.processes))


class StopTests(SynchronousTestCase):
    """The end of the service."""

    def test_workers_end_when_all_is_done(self) -> None:
        """They are told to end, may finish what they have, however long that takes, and the service waits for them."""
        scene = Scene()
        first, second = scene.start()
        delivery = scene.deliver()
        stopped = scene.crew.stopService()
        second.end(None)
        for _ in range(10):
            scene.machine.advance(PATIENCE)
        self.assertEqual([], first.signals)
        first.say(sent(first.requests()[0]))
        self.successResultOf(delivery)
        self.assertNoResult(stopped)
        first.end(None)
        self.successResultOf(stopped)
        self.assertEqual(([], []), (scene.machine.getDelayedCalls(), scene.lines))
        self.assertEqual(1, first.heard.count(Stop()))

    def test_a_worker_that_does_not_end_is_killed(self) -> None:
        """One that has nothing under way and is still there after a while."""
        scene = Scene(1)
        (process,) = scene.start()
        stopped = scene.crew.stopService()
        for _ in range(int(PATIENCE) + 1):
            scene.machine.advance(1)
        self.assertEqual(["KILL"], process.signals)
        process.end()
        self.successResultOf(stopped)

    def test_who_waits_is_told(self) -> None:
        """A request that no worker has yet is cancelled, one that comes later, too; nothing is started any more."""
        scene = Scene(1)
        scene.crew.startService()
        waiting = scene.deliver()
        scene.machine.processes[0].end()
        self.successResultOf(scene.crew.stopService())
        self.failureResultOf(waiting, CancelledError)
        self.failureResultOf(scene.deliver("B1"), CancelledError)
        self.assertEqual([], scene.machine.getDelayedCalls())

    def test_a_worker_that_becomes_ready_too_late_ends(self) -> None:
        """One that was still starting is told to end, once."""
        scene = Scene(1)
        scene.crew.startService()
        stopped = scene.crew.stopService()
        (process,) = scene.machine.processes
        process.say(Ready())
        process.end(None)
        self.successResultOf(stopped)
        self.assertEqual([], scene.machine.getDelayedCalls())


class StartTests(SynchronousTestCase):
    """What workers are started with."""

    def test_an_interpreter_out_of_reach_is_said(self) -> None:
        """Where the program is not there, as in a jail, the service does not start, and says what to do."""
        scene = Scene(executable="/no/such/python")
        error = self.assertRaises(WorkersError, scene.crew.startService)
        self.assertIn("/no/such/python", str(error))
        self.assertIn("--chroot", str(error))

    def test_no_secret_is_on_the_command_line(self) -> None:
        """Parameters go over the socket."""
        scene = Scene(1)
        scene.crew.startService()
        ((words, environment),) = scene.machine.commands
        self.assertEqual(["-P", "-m", "smtpclient.workers.worker"], words[1:])
        self.assertNotIn("client.example", " ".join(environment.values()))
        self.assertEqual({"myhostname": "client.example"}, scene.machine.processes[0].heard[0].settings)  # type: ignore[union-attr]

    def test_parameters_arrive_as_they_are(self) -> None:
        """What was set comes to the same in a worker, dollar signs and names of the machine included."""
        given = {
            "relayhost": "[$host]:25",
            "host": "10.0.0.1",
            "smtp_helo_name": "a$$b",
            "inet_interfaces": "127.0.0.1",
        }
        ours = Parameters.from_values(given, sources={"relayhost": "main.cf:3"}, machine_name=lambda: "our.home.test")
        told = begin(ours, "queue", "log", "queue", writes_log=True)
        theirs = Parameters.from_values(told.settings, sources=told.sources, machine_name=lambda: "other.test")
        for name in ("relayhost", "smtp_helo_name", "myhostname", "mydomain", "mydestination", "smtp_tcp_port"):
            self.assertEqual(ours.expanded(name), theirs.expanded(name), name)
        self.assertEqual("main.cf:3", theirs.source("relayhost"))
