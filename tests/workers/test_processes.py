"""Workers as the operator has them: processes under twistd, real sockets, real signals."""

import os
import signal
from collections import Counter
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.queue.trigger import poke
from tests.service.installed import Service, Sink, message, wait_until

PATIENCE = 120


def children(pid: int) -> list[int]:
    """The processes that another one has started and that live."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_there(pid: int) -> bool:
    """Whether a process exists and has not merely been left unburied."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class WithTwoWorkers(Service):
    """The service with two workers."""

    words = ("--workers", "2")

    def workers(self) -> list[int]:
        """Their process ids."""
        return children(self.process.pid) if self.process is not None else []

    def senders(self) -> set[int]:
        """The process ids of those that have delivered something: the lines are the workers' own."""
        return {int(line.split("smtp[")[1].split("]")[0]) for line in self.log_lines() if "status=sent" in line}


class ProcessTests(SynchronousTestCase):
    """Two workers."""

    def setUp(self) -> None:
        self.base = Path(self.mktemp()).absolute()
        self.base.mkdir(parents=True)
        self.fed = 0

    def scene(self, messages: int, delay: float, **parameters: str) -> tuple[Sink, WithTwoWorkers]:
        """A sink, and a service with so much mail in its queue, started."""
        sink = Sink(self.base, delay)
        self.addCleanup(sink.stop)
        service = WithTwoWorkers(
            self.base,
            sink.port,
            queue_run_delay="1s",
            minimal_backoff_time="1s",
            maximal_backoff_time="2s",
            **parameters,
        )
        self.addCleanup(service.stop)
        service.fill(message(f"user{number}@there.example") for number in range(messages))
        service.start()
        return sink, service

    def feed(self, service: WithTwoWorkers) -> None:
        """More mail, until every worker that there is has delivered some of it; each recipient gets one message."""

        def all_have_delivered() -> bool:
            if not service.queued():
                begun = self.fed
                self.fed += 40
                service.fill(message(f"user{number}@there.example") for number in range(begun, self.fed))
                poke(str(service.spool), "W")
            return len(service.workers()) == 2 and service.senders().issuperset(service.workers())

        wait_until(all_have_delivered, PATIENCE, "every worker has its part")

    def test_a_worker_that_is_killed_costs_a_retry(self) -> None:
        """
        kill -9 for a worker in the middle: every message is delivered, a second time only where that worker had it, a
        new worker takes part, and the destination is not suspended.
        """
        sink, service = self.scene(0, 0.05, smtp_destination_concurrency_limit="10")
        self.feed(service)
        before, accepted = service.workers(), len(sink.accepted)
        service.fill(message(f"more{number}@there.example") for number in range(200))
        poke(str(service.spool), "W")
        wait_until(lambda: len(sink.accepted) >= accepted + 40, PATIENCE, "deliveries are under way")
        os.kill(before[0], signal.SIGKILL)
        wait_until(lambda: not service.queued(), PATIENCE, "the queue is empty")
        self.feed(service)
        self.assertEqual(before[1:], [pid for pid in service.workers() if pid in before])
        wait_until(lambda: not service.queued(), PATIENCE, "the queue is empty")

        times = Counter(address for _, address in sink.accepted)
        wanted = {f"user{number}@there.example" for number in range(self.fed)}
        self.assertEqual(wanted | {f"more{number}@there.example" for number in range(200)}, set(times))
        lines = service.log_lines()
        # What the worker had is deferred once it is gone, and nothing else is.
        interrupted = [line.split("to=<")[1].split(">")[0] for line in lines if "status=deferred" in line]
        self.assertLessEqual({address for address, count in times.items() if count > 1}, set(interrupted))
        self.assertLessEqual(len(interrupted), 10)
        self.assertLessEqual(max(times.values()), 2)
        self.assertTrue(any("a worker has ended: killed by signal 9" in line for line in lines))
        self.assertFalse(any("delivery temporarily suspended" in line for line in lines))

    def test_workers_end_with_the_service(self) -> None:
        """kill -9 for the service: its workers are gone at once, whatever is under way."""
        _, service = self.scene(20, 300.0)
        wait_until(lambda: any("queue active" in line for line in service.log_lines()), PATIENCE, "it works")
        wait_until(lambda: len(service.workers()) == 2, PATIENCE, "there are two workers")
        workers = service.workers()
        service.kill()
        wait_until(lambda: not any(is_there(pid) for pid in workers), PATIENCE, "the workers are gone")
        self.assertEqual(20, len(service.queued()))

    def test_a_signal_to_all_of_them_drains(self) -> None:
        """SIGTERM for the service and for each worker: what is under way is delivered, once, and all of them end."""
        sink, service = self.scene(4, 2.0, smtp_destination_concurrency_limit="4")
        wait_until(lambda: len(sink.accepted) == 4, PATIENCE, "every message waits for its reply")
        workers = service.workers()
        for pid in workers:
            os.kill(pid, signal.SIGTERM)
        service.stop()
        self.assertFalse(any(is_there(pid) for pid in workers))
        self.assertEqual([], service.queued())
        self.assertEqual(4, len(sink.accepted))
        self.assertEqual(4, sum("status=sent" in line for line in service.log_lines()))

    def test_outcomes_of_every_kind(self) -> None:
        """Failures are reported to the sender, deferrals wait, as without workers."""
        sink, service = self.scene(0, 0.0)
        wait_until(lambda: len(service.workers()) == 2, PATIENCE, "there are two workers")
        service.fill([message("bounce1@there.example", "good@there.example", "defer1@there.example")])
        wait_until(lambda: len(sink.accepted) >= 2, PATIENCE, "one is delivered, and the report about another")
        wait_until(lambda: len(service.queued()) == 1, PATIENCE, "only what is deferred is left")
        statuses = {
            word
            for line in service.log_lines()
            for word in ("status=sent", "status=bounced", "status=deferred")
            if word in line
        }
        self.assertEqual({"status=sent", "status=bounced", "status=deferred"}, statuses)
        self.assertEqual({"good@there.example", "sender@client.example"}, {address for _, address in sink.accepted})
