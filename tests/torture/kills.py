"""
SIGKILL at each file operation of a mixed workload: ``python -m tests.torture.kills [--step N] [--seconds N]``.

One undisturbed play counts the operations. Then the n-th play kills the process at the n-th operation, starts the
service again, lets it finish, and accounts for every recipient (``tests.torture.accounts``). Which operation is the
n-th differs a little from play to play, as threads and replies do; the plays go on until three processes in a row
have come to their end unharmed.

Prints what was violated and a line of sums; exits with 1 when anything was.
"""

import argparse
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.torture.letters import LETTERS
from tests.torture.plants import PLANTS
from tests.torture.stage import Result, Stage, run, theatre


@dataclass(frozen=True)
class Plan:
    """
    Which plays are given.

    :param first: the operation of the first.
    :param step: from there every so many operations.
    :param seconds: no play but the first begins after so long.
    :param after: the name of the operation from which they are counted; nothing: from the first.
    :param plays: at most so many.
    :param plant: the name of a fault that the service has; nothing: none.
    """

    first: int = 1
    step: int = 1
    seconds: float = 1e9
    after: str = ""
    plays: int = 1_000_000
    plant: str = ""


@dataclass
class Sums:
    """What many plays have come to."""

    kills: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    doubled: int = 0
    spared: int = 0  # in a row

    def add(self, number: int, result: Result) -> None:
        """Count one, and print what was violated."""
        if result.place:
            self.kills[result.place] += 1
        self.spared = 0 if result.place else self.spared + 1
        self.doubled += result.doubled
        if result.violations:
            self.failed += 1
            print(f"killed at operation {number}, {result.place}:", *result.violations, sep="\n  ", flush=True)


async def kill_at_each(base: Path, plan: Plan) -> bool:
    """Give the plays; whether nothing was violated in any of them."""
    begun, stage, sums = time.monotonic(), Stage(base, plan.plant), Sums()
    quiet = await stage.play()
    sums.add(0, quiet)
    recipients = sum(len(letter.users) for letter in LETTERS)
    print(f"real processes: {quiet.operations.total()} file operations, {recipients} recipients", flush=True)
    number, played = plan.first, 0
    sums.spared = 0
    while sums.spared < 3 and played < plan.plays and (not played or time.monotonic() < begun + plan.seconds):
        sums.add(number, await stage.play(number, plan.after))
        number += plan.step
        played += 1
    if never := sorted(set(quiet.operations) - set(sums.kills)):
        print("never the last operation:", ", ".join(never))
    kinds = len(set(sums.kills) | set(quiet.operations))
    print(f"killed at {len(sums.kills)} of {kinds} kinds of operations, {sums.doubled} recipients served twice")
    took, kills = time.monotonic() - begun, sums.kills.total()
    print(f"{'SIGKILL':<32}{kills:>6} plays{sums.failed:>6} with violations{took:>7.0f} s", flush=True)
    return not sums.failed


def main() -> int:
    """Kill."""
    parser = argparse.ArgumentParser(description="Kill the service at every file operation.")
    parser.add_argument("--first", type=int, default=1, help="the operation to begin with")
    parser.add_argument("--step", type=int, default=1, help="every so many operations")
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no play but the first after so many")
    parser.add_argument("--after", default="", help="count from the first operation of this name")
    parser.add_argument("--plays", type=int, default=1_000_000, help="at most so many")
    parser.add_argument("--plant", choices=sorted(PLANTS), default="", help="a fault that is to be found")
    plan = Plan(**vars(parser.parse_args()))
    with theatre() as base:
        return run(kill_at_each(base, plan))


if __name__ == "__main__":
    sys.exit(main())
