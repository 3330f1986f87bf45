"""
Faults at every file operation of a mixed workload, in a simulated world: ``python -m tests.simulation.torture``.

Plays one world again and again, once for each kind of fault (:data:`FAULTS`) and each file operation. The n-th time the
fault happens at the n-th operation: the process is killed there, or the power is cut; the operation fails, alone or
with the twenty that follow; the clock is set; the name servers go away. Where the process is gone, the service is
started again; everything else it has to get over by itself. Then every recipient must be accounted for.

Prints what was violated, a line for each kind of fault, and exits with 1 when anything was violated.
"""

import argparse
import errno
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from twisted.logger import globalLogBeginner

from tests.simulation.world import HOUR, Incident, World, forget_the_dead

SEED = 3
MESSAGES = 12
STRETCH = 20
"""File operations."""


def _errors(code: int) -> dict[str, Callable[[int], Incident]]:
    name = errno.errorcode[code]
    return {
        f"{name} once": lambda operation: Incident(operation, code),
        f"{name} for a stretch": lambda operation: Incident(operation, code, length=STRETCH),
    }


FAULTS: dict[str, Callable[[int], Incident]] = {
    "process killed": Incident,
    "power cut": lambda operation: Incident(operation, power_cut=True),
    **_errors(errno.ENOSPC),
    **_errors(errno.EIO),
    **_errors(errno.EMFILE),
    **_errors(errno.EACCES),
    "clock an hour ahead": lambda operation: Incident(operation, clock_step=HOUR),
    "clock an hour back": lambda operation: Incident(operation, clock_step=-HOUR),
    "name servers gone for an hour": lambda operation: Incident(operation, no_names_for=HOUR),
}
"""What happens, by its name; each takes the number of the operation at which it does."""


@dataclass
class Row:
    """
    What many plays of one kind of fault have come to.

    :param violations: by the number of the operation.
    """

    fault: str
    plays: int = 0
    violations: dict[int, list[str]] = field(default_factory=dict)
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.fault:<32}{self.plays:>6} plays{len(self.violations):>6} with violations{self.seconds:>7.0f} s"


def undisturbed() -> World:
    """
    The world without a fault; its ``operations`` are what there is to choose from.

    :raises AssertionError: when something is violated in it.
    """
    quiet = World(SEED, MESSAGES, Incident(0))
    violations = quiet.run()
    forget_the_dead()
    assert not violations, violations
    return quiet


def torture(fault: str, operations: range) -> Row:
    """Have one kind of fault at each of these operations."""
    row, begun = Row(fault), time.monotonic()
    for operation in operations:
        try:
            violations = World(SEED, MESSAGES, FAULTS[fault](operation)).run()
        except Exception as problem:
            violations = [f"the play broke off: {problem!r}"]
        row.plays += 1
        if violations:
            row.violations[operation] = violations
        forget_the_dead()
    row.seconds = time.monotonic() - begun
    return row


def rows(step: int) -> Iterator[Row]:
    """All kinds of faults, one after the other, at every so many operations; says what was violated."""
    quiet = undisturbed()
    print(f"a simulated world: {quiet.operations} file operations, {len(quiet.wanted)} recipients", flush=True)
    for fault in FAULTS:
        row = torture(fault, range(1, quiet.operations + 1, step))
        for operation, violations in row.violations.items():
            print(f"{fault}, at operation {operation}:", *violations, sep="\n  ")
        print(row, flush=True)
        yield row


def main() -> int:
    """Have them all."""
    parser = argparse.ArgumentParser(description="Have every fault at every file operation of a simulated world.")
    parser.add_argument("--step", type=int, default=1, help="every so many operations")
    arguments = parser.parse_args()
    globalLogBeginner.beginLoggingTo([lambda event: None], redirectStandardIO=False)
    done = list(rows(arguments.step))
    return 1 if any(row.violations for row in done) else 0


if __name__ == "__main__":
    sys.exit(main())
