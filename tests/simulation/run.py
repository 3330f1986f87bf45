"""
Run random worlds: ``python -m tests.simulation.run [--seed N] [--runs N] [--deliveries N] [--trace]``.

Prints a line for each failing seed with the command that replays it, and exits with 1 when there is one.
"""

import argparse
import sys
import time

from twisted.logger import globalLogBeginner

from tests.simulation import world as worlds


def main() -> int:
    """Run them."""
    parser = argparse.ArgumentParser(description="Run the whole service in random worlds.")
    parser.add_argument("--seed", type=int, default=1, help="of the first world; each next one has the next number")
    parser.add_argument("--runs", type=int, default=0, help="how many worlds; 0: until there are enough deliveries")
    parser.add_argument("--deliveries", type=int, default=10_000, help="recipients, where --runs is 0")
    parser.add_argument("--messages", type=int, default=40, help="for each world")
    parser.add_argument("--trace", action="store_true", help="print the mail log of each world")
    arguments = parser.parse_args()
    # Without this, Twisted prints failures until logging begins.
    globalLogBeginner.beginLoggingTo([lambda event: None], redirectStandardIO=False)
    begun, recipients, failed, runs = time.monotonic(), 0, 0, 0
    while runs < arguments.runs or (not arguments.runs and recipients < arguments.deliveries):
        seed = arguments.seed + runs
        world = worlds.World(seed, arguments.messages)
        violations = world.run()
        runs += 1
        recipients += len(world.wanted)
        if arguments.trace:
            print("\n".join(world.trace))
            print(f"seed {seed}: trace {world.digest}")
        if violations:
            failed += 1
            print(f"seed {seed}:", *violations, sep="\n  ")
            print(f"  replay: make simulate SEED={seed} RUNS=1 TRACE=1")
        worlds.forget_the_dead()
    took = time.monotonic() - begun
    print(f"{runs} worlds, {recipients} recipients, {failed} with violations, {took:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
