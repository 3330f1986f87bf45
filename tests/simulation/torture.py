"""
Every file operation of a mixed workload as the last one, or as one that fails: ``python -m tests.simulation.torture``.

Plays one world again and again. The n-th time the process is killed at the n-th file operation, or the power is cut
there, or the operation fails with each of a list of errors, alone and with the twenty that follow; then the service is
started again, and every recipient must be accounted for. Prints what was lost or doubled, and exits with 1 when
anything was.
"""

import argparse
import errno
import sys
import time
from collections.abc import Iterator

from twisted.logger import globalLogBeginner

from tests.simulation.world import Incident, World, forget_the_dead

ERRORS = (errno.ENOSPC, errno.EIO, errno.EMFILE, errno.EACCES)
SEED = 3
MESSAGES = 12


def incidents(operations: int, step: int) -> Iterator[Incident]:
    """All that can happen to a play of so many operations."""
    for operation in range(1, operations + 1, step):
        yield Incident(operation)
        yield Incident(operation, power_cut=True)
    for error in ERRORS:
        for operation in range(1, operations + 1, step):
            yield Incident(operation, error)
            yield Incident(operation, error, length=20)


def main() -> int:
    """Play them all."""
    parser = argparse.ArgumentParser(description="Kill the service at every file operation, and fail each of them.")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--step", type=int, default=1, help="every so many operations")
    arguments = parser.parse_args()
    globalLogBeginner.beginLoggingTo([lambda event: None], redirectStandardIO=False)
    quiet = World(arguments.seed, MESSAGES, Incident(0))
    violations = quiet.run()
    print(f"undisturbed: {quiet.operations} file operations, {len(quiet.wanted)} recipients", *violations, sep="\n  ")
    begun, played, failed = time.monotonic(), 0, 0
    for incident in incidents(quiet.operations, arguments.step):
        try:
            violations = World(arguments.seed, MESSAGES, incident).run()
        except Exception as problem:
            violations = [f"the play broke off: {problem!r}"]
        played += 1
        if violations:
            failed += 1
            print(f"{incident}:", *violations, sep="\n  ")
        forget_the_dead()
    print(f"{played} incidents, {failed} with violations, {time.monotonic() - begun:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
