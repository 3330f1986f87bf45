"""
What is measured: one function for each row. Each prints what it found, and what of it is a ratio.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable

from bench import intake, queue_files, systems
from bench.systems import Result

_LIMIT = 600.0


def _side_by_side(name: str, count: int, size: int, destinations: int, each: int, arguments: Namespace) -> None:
    """Both systems, one after the other, round by round; the ratio of each pair, and their median."""

    def fill(directory: str, owner: str) -> int:
        return queue_files.fill(directory, queue_files.messages(count, size, destinations, each), "incoming", owner)

    names = ["postfix", "smtpclient"] if systems.postfix_is_here() else ["smtpclient"]
    results: dict[str, list[Result]] = {system: [] for system in names}
    for number in range(arguments.rounds):
        for system in names:
            result = systems.deliver(system, fill, destinations, _LIMIT)
            results[system].append(result)
            print(
                f"{name}, round {number + 1}, {system}: {result.delivered} messages, {result.left} left, "
                f"{result.rate:.0f} a second, CPU {result.cpu / max(result.delivered, 1) * 1e6:.0f} us each, "
                f"{result.memory:.0f} MB",
                flush=True,
            )
    if len(names) == 2:
        _ratios(name, results["postfix"], results["smtpclient"])
    else:
        print(f"{name}: Postfix is not here, or we are not root; no ratio")


def _ratios(name: str, theirs: list[Result], ours: list[Result]) -> None:
    def median(ratio: Callable[[Result, Result], float]) -> str:
        found = [ratio(a, b) for a, b in zip(theirs, ours, strict=True) if b.seconds and b.cpu and b.memory]
        return _median(found)

    print(f"{name}: messages a second, ours / Postfix's: {median(lambda a, b: b.rate / max(a.rate, 1e-9))}")
    print(f"{name}: CPU a message, Postfix's / ours: {median(lambda a, b: a.cpu / b.cpu)}")
    print(f"{name}: memory, Postfix's / ours: {median(lambda a, b: a.memory / b.memory)}")


def _median(found: list[float]) -> str:
    return f"{statistics.median(found):.2f} ({', '.join(f'{value:.2f}' for value in found)})" if found else "none"


def one(arguments: Namespace) -> None:
    """Messages of 4 KB to one destination."""
    _side_by_side("one destination", arguments.count or 10000, 4096, 1, 1, arguments)


def many(arguments: Namespace) -> None:
    """Messages of 4 KB to 200 destinations."""
    _side_by_side("200 destinations", arguments.count or 10000, 4096, 200, 1, arguments)


def recipients(arguments: Namespace) -> None:
    """Messages to 50 recipients each."""
    _side_by_side("50 recipients", arguments.count or 2000, 4096, 1, 50, arguments)


def large(arguments: Namespace) -> None:
    """Messages of 100 KB."""
    _side_by_side("100 KB", arguments.count or 4000, 100_000, 1, 1, arguments)


def submit(arguments: Namespace) -> None:
    """Durable messages a second: submit(), 100 at once, and smtp-source into Postfix's smtpd and cleanup."""
    # The first way of smtp-source is the usual one, a session for each message; the second costs Postfix less.
    peers = ["postfix", "postfix-kept"] if systems.postfix_is_here() else []
    results: dict[str, list[intake.Taken]] = {system: [] for system in [*peers, "smtpclient"]}
    with tempfile.TemporaryDirectory(prefix="bench-submit-") as directory:
        os.chmod(directory, 0o755)
        for number in range(1, arguments.rounds + 1):
            # Each follows each other in turn: what one has left to be written is in the way of the next.
            for system in list(results)[:: 1 if number % 2 else -1]:
                base = f"{directory}/{system}-{number}"
                os.mkdir(base, 0o755)
                found = intake.take(system, arguments.count or 2000, base)
                results[system].append(found)
                print(
                    f"submit, round {number}, {system}: {found.count} messages, {found.rate:.0f} durable a second, "
                    f"CPU {found.cpu / found.count * 1e6:.0f} us each",
                    flush=True,
                )
    for peer in peers:
        pairs = list(zip(results[peer], results["smtpclient"], strict=True))
        print(f"submit: durable a second, ours / {peer}'s: {_median([b.rate / a.rate for a, b in pairs])}")
        cpu = _median([a.cpu / a.count * b.count / b.cpu for a, b in pairs])
        print(f"submit: CPU a message, {peer}'s / ours: {cpu}")
    if not peers:
        print("submit: Postfix is not here, or we are not root; no ratio")


def submit_once(arguments: Namespace) -> None:
    """Our part of a round of the row above."""
    from bench import inside_rows  # noqa: PLC0415 -- chooses the reactor

    inside_rows.submit(arguments.count or 2000, arguments.directory)


def depth(arguments: Namespace) -> None:
    """Files that wait in deferred/."""
    from bench import inside_rows  # noqa: PLC0415 -- see above

    inside_rows.depth(arguments.count or 100_000, arguments.directory, arguments.seconds)


def width(arguments: Namespace) -> None:
    """Sessions at once to servers that say one byte a second."""
    from bench import inside_rows  # noqa: PLC0415 -- see above

    inside_rows.width(arguments.count or 1000, arguments.seconds)


def huge(arguments: Namespace) -> None:
    """One message of 200 MB."""
    from bench import inside_rows  # noqa: PLC0415 -- see above

    inside_rows.huge(arguments.count or 200)


def fairness(arguments: Namespace) -> None:
    """Mail for a dead host among mail for live ones: how much longer the live ones take."""
    count = arguments.count or 2000
    ratios = []
    for _ in range(arguments.rounds):
        seconds = {}
        for dead in (0, count * 10):
            command = [sys.executable, "-m", "bench.run", "fairness-once", "--count", str(count), "--dead", str(dead)]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            print(output, end="", flush=True)
            seconds[dead] = float(output.split()[-2])
        ratios.append(seconds[count * 10] / seconds[0])
    each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    print(f"fairness: with ten times as much for a dead host: {statistics.median(ratios):.2f} times as long ({each})")


def fairness_once(arguments: Namespace) -> None:
    """One half of the row above."""
    from bench import inside_rows  # noqa: PLC0415 -- see above

    inside_rows.fairness(arguments.count or 2000, arguments.dead)


def profile(arguments: Namespace) -> None:
    """Where the time of the hot path goes: a flame graph, and the functions that cost most."""
    from bench import inside_rows  # noqa: PLC0415 -- see above

    inside_rows.profile(arguments.count or 5000, arguments.output)


def quick(arguments: Namespace) -> None:
    """What takes seconds: one destination, 200, and the flame graph."""
    began = time.monotonic()
    arguments.count = arguments.count or 2000
    one(arguments)
    many(arguments)
    subprocess.run([sys.executable, "-m", "bench.run", "profile", "--output", arguments.output], check=True)
    print(f"{time.monotonic() - began:.0f} s; python -m bench.run ROW measures the rest")


def made_directory(count: int, kept: str) -> tuple[str, bool]:
    """
    A queue directory with so many files in ``deferred/`` that are due in an hour or later.

    :param kept: where to make it, or where it was made; empty: somewhere, and it is to be removed.
    :return: the directory, and whether it is to be removed.
    """
    directory = kept or os.path.join(os.getcwd(), f"bench-depth-{os.getpid()}")
    if not os.path.isdir(os.path.join(directory, "deferred")):
        os.makedirs(directory, exist_ok=True)
        due = time.time() + 3600
        for number in range(count):
            name = f"{number * 7919 % 1_000_000:05X}{0x100000 + number:X}"
            folder = os.path.join(directory, "deferred", name[0])
            os.makedirs(folder, exist_ok=True)
            path = os.path.join(folder, name)
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o700))
            os.utime(path, (due + number % 3000, due + number % 3000))
    return directory, not kept


def removed(directory: str) -> None:
    """Give back the files of the row above."""
    shutil.rmtree(directory, ignore_errors=True)
