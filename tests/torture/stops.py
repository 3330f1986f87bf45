"""
SIGSTOP in the middle of dialogues: ``python -m tests.torture.stops [--step N] [--minutes N] [--hasty]``.

The n-th play stops the process when the server has heard something for the n-th time (a call, a command, the end of a
content) and has its answer on the way; the server loses its patience with every session that is open; then the process
goes on. Every recipient must be accounted for (``tests.torture.accounts``), nobody may be served twice, and the queue
must run empty without a restart. With ``--hasty`` the service's own time limits are over, too, before it goes on: what
a server has said by then must count all the same. Plays that only wait are given side by side.

Prints what was violated and a line of sums; exits with 1 when anything was.
"""

import argparse
import asyncio
import sys
import time
from pathlib import Path

from tests.torture.stage import Result, Stage, run, theatre

AT_ONCE = 8
MINUTE = 60.0


STAGES = ("connect", "helo", "mail", "rcpt", "data_init", "data_xfer", "data_done", "rset", "quit")
"""Of a dialogue; each has a time limit of its own."""


async def stop_at_each(base: Path, step: int, seconds: float, *, hasty: bool) -> bool:
    """
    Give the plays; whether nothing was violated in any of them.

    :param seconds: how long a process stands still; servers wait for half as long.
    :param hasty: the process waits for a third as long, at each stage of a dialogue.
    """
    begun = time.monotonic()
    settings = "".join(f"smtp_{stage}_timeout = {seconds / 3:.0f}s\n" for stage in STAGES) if hasty else ""
    quiet = await Stage(base / "0", settings=settings).play()
    numbers = iter(range(1, quiet.memory.heard + 1, step))
    results: dict[int, Result] = {0: quiet}

    async def some(name: int) -> None:
        stage = Stage(base / str(name), settings=settings)
        for number in numbers:
            results[number] = await stage.play_with_stop(number, seconds, seconds / 2)

    await asyncio.gather(*(some(name) for name in range(1, AT_ONCE + 1)))
    failed = {number: result for number, result in sorted(results.items()) if result.violations}
    for number, result in failed.items():
        print(f"stopped at event {number}:", *result.violations, sep="\n  ")
    gave_up = sum(result.memory.gave_up for result in results.values())
    print(f"{gave_up} sessions were given up by servers meanwhile")
    what, took = f"SIGSTOP for {seconds:g} s{', past all limits' if hasty else ''}", time.monotonic() - begun
    print(f"{what:<32}{len(results) - 1:>6} plays{len(failed):>6} with violations{took:>7.0f} s", flush=True)
    return not failed and bool(gave_up)


def main() -> int:
    """Stop."""
    parser = argparse.ArgumentParser(description="Stop the service in the middle of everything, and let it go on.")
    parser.add_argument("--step", type=int, default=1, help="at every so many events")
    parser.add_argument("--minutes", type=float, default=1.0, help="how long it stands still")
    parser.add_argument("--hasty", action="store_true", help="longer than it waits for anything")
    arguments = parser.parse_args()
    with theatre() as base:
        return run(stop_at_each(base, arguments.step, arguments.minutes * MINUTE, hasty=arguments.hasty))


if __name__ == "__main__":
    sys.exit(main())
