"""
What workers bring: the same mail with one process and with several, from the CPU time that each of them takes.

With n cores the throughput is bounded by the busiest process and by the sum of all divided by n. The sink's time is
left out, so the ratio ``single / max(busiest, sum / n)`` is what there would be if the sink ran elsewhere, as real
servers do. The rates that were seen, with the sink on the same cores, are printed beside it. What starting a process
costs is left out, too: mail comes when all of them stand.
"""

import os
import shutil
import signal
import statistics
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass

from bench import accounts, queue_files
from bench.systems import Sink, route_to_sink, start_ours
from smtpclient.queue.trigger import poke

_LIMIT = 600.0


@dataclass(frozen=True)
class _Run:
    """
    One run.

    :param rate: messages a second.
    :param shares: CPU time of each process for one message, microseconds; the service first.
    """

    rate: float
    shares: tuple[float, ...]


def workers(arguments: Namespace) -> None:
    """What ``--workers`` brings: small messages to one destination and to 200, and messages of 100 KB."""
    count = arguments.count or 5000
    cores = os.cpu_count() or 1
    for name, number, size, destinations in (
        ("4 KB, one destination", count, 4096, 1),
        ("4 KB, 200 destinations", count, 4096, 200),
        ("100 KB", max(count // 4, 1), 100_000, 1),
    ):
        ratios = []
        for turn in range(arguments.rounds):
            single = _run(number, size, destinations, 0)
            several = _run(number, size, destinations, cores)
            ratio = sum(single.shares) / max(*several.shares, sum(several.shares) / cores)
            ratios.append(ratio)
            shares = " + ".join(f"{share:.0f}" for share in several.shares)
            print(
                f"workers, {name}, round {turn + 1}: one process {sum(single.shares):.0f} us a message, "
                f"service and {cores} workers {shares} us: {ratio:.2f} times; "
                f"with the sink {single.rate:.0f} and {several.rate:.0f} a second",
                flush=True,
            )
        print(f"workers, {name}: {statistics.median(ratios):.2f} times one process, the sink discounted")


def _run(count: int, size: int, destinations: int, workers: int) -> _Run:
    base = tempfile.mkdtemp(prefix="bench-workers-")
    os.chmod(base, 0o755)
    sink = Sink("127.0.0.1" if destinations == 1 else "0.0.0.0")
    try:
        options = ("--workers", str(workers)) if workers else ()
        process = start_ours(base, route_to_sink(base, destinations), _nothing, *options)
        try:
            _wait_until_idle(process.pid, workers + 1)
            queue_files.fill(f"{base}/spool", queue_files.messages(count, size, destinations))
            poke(f"{base}/spool", "W")
            spent = _spent_until(process.pid, lambda: not queue_files.left(f"{base}/spool"))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()
    finally:
        sink.stop()
        shutil.rmtree(base, ignore_errors=True)
    rate = sink.count / (sink.last - sink.first) if sink.last > sink.first else 0.0
    return _Run(rate, tuple(seconds / count * 1e6 for seconds in spent))


def _nothing(_directory: str, _owner: str) -> int:
    return 0


def _wait_until_idle(pid: int, size: int) -> None:
    """
    Return when so many processes have been started, and have had nothing to do for a while.

    :raises TimeoutError: when they do not come to rest.
    """
    before = -1.0
    for _ in range(60):
        time.sleep(1.0)
        now = accounts.cpu_seconds(pid)
        if now == before and len(accounts.family(pid)) == size:
            return
        before = now
    raise TimeoutError("the service does not come to rest")


def _spent_until(pid: int, done: Callable[[], bool]) -> list[float]:
    """What each process spends until there are no messages left, seconds; the service first."""
    first = {member: accounts.own_cpu_seconds(member) for member in accounts.family(pid)}
    last = dict(first)
    begun = time.monotonic()
    while not done():
        if time.monotonic() - begun > _LIMIT:
            raise TimeoutError(f"mail is left after {_LIMIT:.0f} seconds")
        time.sleep(0.05)
        last |= {member: accounts.own_cpu_seconds(member) for member in accounts.family(pid)}
    return [last[member] - first.get(member, 0.0) for member in sorted(last, key=lambda member: member != pid)]
