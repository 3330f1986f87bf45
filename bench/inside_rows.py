"""
The rows that are seen from inside: the service runs in this process, the servers in others.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from twisted.internet import reactor, task
from twisted.internet.defer import Deferred

from bench import intake, queue_files, rows
from bench.flame import Sampler, svg
from bench.inside import Inside, memory
from bench.systems import PORT, Sink
from smtpclient.config.parameters import Parameters
from smtpclient.mail.envelope import Envelope, NewMessage, Recipient
from smtpclient.mail.outcome import Disposition, Outcome
from smtpclient.outbound import Outbound
from smtpclient.queue import descriptors

_LIMIT = 600.0
_BATCH = 2000  # messages for the quick destination
_BATCHES = 7
_RELAY = {"relayhost": f"[127.0.0.1]:{PORT}"}


class _Count:
    """Counts deliveries, and ends the run when there were enough."""

    def __init__(self, inside: Inside, wanted: int, only: str = "") -> None:
        self.sent, self.first, self.last = 0, 0.0, 0.0
        self._inside, self._wanted, self._only = inside, wanted, only
        inside.outbound.outcomes.subscribe(self._note)

    def _note(self, _envelope: Envelope, outcome: Outcome) -> None:
        if outcome.disposition is Disposition.SENT and self._only in outcome.recipient.address:
            self.sent += 1
            self.last = time.monotonic()
            self.first = self.first or self.last
            if self.sent == self._wanted:
                reactor.callLater(0, self._inside.end)


def submit(count: int, base: str) -> None:
    """How many messages a second are on disk when submit() returns; no queue manager is at work meanwhile."""
    text = queue_files.content(intake.SIZE, 1)
    outbound = Outbound(
        Parameters.from_values(
            {"queue_directory": f"{base}/spool", "maillog_file": f"{base}/log", "myhostname": "bench.example"}
        ),
        reactor=reactor,
    )

    async def client(numbers: Iterator[int]) -> None:
        for number in numbers:
            await outbound.submit("load@bench.example", [f"u{number}@dest.example"], text)

    async def clients(count: int) -> None:
        numbers = iter(range(count))
        for under_way in [Deferred.fromCoroutine(client(numbers)) for _ in range(intake.AT_ONCE)]:
            await under_way

    async def measure() -> None:
        outbound.spool.prepare()
        outbound.start_threads()
        await clients(intake.WARM_UP)
        begun, cpu = time.monotonic(), time.process_time()
        await clients(count)
        took, cpu = time.monotonic() - begun, time.process_time() - cpu
        outbound.stop_threads()
        outbound.spool.close()
        print(json.dumps({"count": count, "seconds": took, "cpu": cpu}))

    task.react(lambda _reactor: Deferred.fromCoroutine(measure()))


def depth(count: int, kept: str, seconds: float) -> None:
    """Files that wait: time to the first due message, stalls, steady CPU, memory."""
    directory, is_ours = rows.made_directory(count, kept)
    # Due already, and as deep among the others as any.
    queue_files.fill(directory, queue_files.messages(20, 4096), "deferred", due=-60)
    sink = Sink("127.0.0.1")
    before = memory()
    # The first walk is followed by another at once.
    inside = Inside({**_RELAY, "queue_run_delay": "1s"}, directory)
    counted = _Count(inside, -1)
    begun = time.monotonic()
    steady: list[float] = []

    def walked() -> None:
        if inside.outbound.poller.is_walking:
            reactor.callLater(0.2, walked)
            return
        spent = time.process_time() - cpu
        print(f"depth: {count} files seen in {time.monotonic() - begun:.1f} s, CPU {spent / count * 1e6:.1f} us each")
        print(f"depth: longest stall meanwhile {inside.stall * 1000:.0f} ms, {memory() - before:.0f} MB more memory")
        inside.watching = False  # it would cost as much as what is to be seen
        reactor.callLater(seconds, rested, time.monotonic(), time.process_time())

    def rested(begun: float, spent: float) -> None:
        # Before the files are removed, which takes time, too.
        steady.append((time.process_time() - spent) / (time.monotonic() - begun))
        inside.end()

    cpu = time.process_time()
    try:
        inside.run(_LIMIT + seconds, walked)
    finally:
        sink.stop()
        if is_ours:
            rows.removed(directory)
    print(f"depth: first of 20 due messages out after {counted.first - begun:.2f} s, {counted.sent} in all")
    for share in steady:
        print(f"depth: then {share:.1%} CPU")


def width(count: int, seconds: float) -> None:
    """Sessions at once to servers that say one byte a second, and what that leaves for a quick destination."""
    descriptors.raise_limit()
    slow = subprocess.Popen(
        [sys.executable, "-m", "bench.sink", f"127.0.0.2:{PORT + 1}", "1"], stdout=subprocess.DEVNULL
    )
    quick = Sink("127.0.0.1")
    before = memory()
    # One destination with a window as wide as that; the quick one has what is usual.
    table = f"{{slow.example = relay:[127.0.0.2]:{PORT + 1}}}"
    wide = {
        f"relay_{name}": str(count) for name in ("destination_concurrency_limit", "initial_destination_concurrency")
    }
    inside = Inside({**_RELAY, **wide, "transport_maps": f"inline:{{{table}}}"})
    counted = _Count(inside, -1, "@dest0.example")
    alone: list[float] = []
    beside: list[float] = []

    def pace(paces: list[float], then: Callable[[], None]) -> None:
        """How long batches for the quick destination take, one after the other."""
        queue_files.fill(inside.directory, queue_files.messages(_BATCH, 1024))
        begun, wanted = time.monotonic(), counted.sent + _BATCH
        inside.overlook()
        inside.outbound.poller.trigger(frozenset("W"))

        def look() -> None:
            if counted.sent < wanted:
                reactor.callLater(0.01, look)
            else:
                paces.append(time.monotonic() - begun)
                pace(paces, then) if len(paces) < _BATCHES else then()

        look()

    def widen() -> None:
        queue_files.fill(inside.directory, _addressed(count, "slow.example"))
        inside.outbound.poller.trigger(frozenset("W"))
        wait()

    def wait() -> None:
        if inside.outbound.scheduler.running < count * 0.99:
            reactor.callLater(0.2, wait)
            return
        print(
            f"width: {inside.outbound.scheduler.running} deliveries under way, {memory() - before:.0f} MB more memory"
        )
        reactor.callLater(seconds, rested, time.monotonic(), time.process_time())

    def rested(begun: float, spent: float) -> None:
        share = (time.process_time() - spent) / (time.monotonic() - begun)
        print(f"width: they take {share:.0%} of a core by themselves")
        pace(beside, end)

    def end() -> None:
        share = statistics.median(alone) / statistics.median(beside)
        print(f"width: a quick destination at {share:.2f} of its pace alone ({_BATCHES} batches of {_BATCH} each)")
        print(f"width: longest stall {inside.stall * 1000:.0f} ms")
        inside.end()

    try:
        inside.run(_LIMIT, lambda: pace(alone, widen))
    finally:
        slow.send_signal(signal.SIGKILL)
        quick.stop()


def _addressed(count: int, domain: str) -> Iterator[NewMessage]:
    for message in queue_files.messages(count, 1024):
        yield NewMessage(message.sender, [Recipient(f"reader@{domain}")], message.content)


def huge(megabytes: int) -> None:
    """One message of so many megabytes: time, and how much memory it takes."""
    sink = Sink("127.0.0.1")
    inside = Inside(_RELAY)
    block = queue_files.content(1_000_000, 1)
    body = block.partition(b"\n\n")[2]

    def blocks() -> Iterator[bytes]:
        yield block
        for _ in range(megabytes - 1):
            yield body

    queue_files.fill(
        inside.directory, iter([NewMessage("load@bench.example", queue_files.recipients(1, 1, 1), blocks())])
    )
    counted = _Count(inside, 1)
    begun = time.monotonic()
    before, most = memory(), 0.0

    def look() -> None:
        nonlocal most
        most = max(most, memory())
        reactor.callLater(0.02, look)

    try:
        inside.run(_LIMIT, look)
    finally:
        sink.stop()
    print(f"huge: {megabytes} MB out in {counted.last - begun:.2f} s, at most {most - before:.0f} MB more memory")
    print(f"huge: longest stall {inside.stall * 1000:.0f} ms")


def fairness(count: int, dead: int) -> None:
    """Mail for a hundred live hosts, and mail for one that refuses connections, in one queue."""
    sink = Sink("0.0.0.0")
    live = "".join(f"{{dest{i}.example = smtp:[127.0.1.{1 + i}]:{PORT}}}, " for i in range(100))
    inside = Inside({"transport_maps": f"inline:{{{live}{{dead.example = smtp:[127.0.3.1]:1}}}}"})

    def mixed() -> Iterator[NewMessage]:
        others = _addressed(dead, "dead.example")
        for message in queue_files.messages(count, 1024, 100):
            yield message
            for _ in range(dead // count):
                yield next(others)

    queue_files.fill(inside.directory, mixed())
    os.sync()  # what is written for the measurement must not be on its way to the disk during it
    counted = _Count(inside, count)
    begun = time.monotonic()
    try:
        inside.run(_LIMIT, lambda: None)
    finally:
        sink.stop()
    took = counted.last - begun
    print(f"fairness: {counted.sent} to 100 live hosts, {dead} for a dead one: the live ones took {took:.2f} s")


def profile(count: int, output: str) -> None:
    """Where the time of the hot path goes."""
    sink = Sink("127.0.0.1")
    inside = Inside(_RELAY)
    queue_files.fill(inside.directory, queue_files.messages(count, 4096))
    _Count(inside, count)
    sampler = Sampler()
    cpu = time.process_time()
    try:
        inside.run(_LIMIT, sampler.start)
    finally:
        sampler.stop()
        sink.stop()
    cpu = time.process_time() - cpu
    os.makedirs(os.path.dirname(output) or ".", exist_ok=True)
    with open(output, "w", encoding="utf-8") as file:
        file.write(svg(sampler.stacks, f"{count} messages of 4 KB to one destination", "ReactorBase.mainLoop"))
    print(f"profile: CPU {cpu / count * 1e6:.0f} us a message, the sampler and the start included; graph in {output}")
    for name, share in sampler.own_time()[:12]:
        print(f"profile: {share:6.1%} {name}")
