"""
All faults, at every place where they can happen: ``python -m tests.torture.run [--step N] [--minutes N]``.

In simulated worlds (``tests.simulation.torture``) and with real processes (``tests.torture.kills`` and ``stops``).
Prints at the end one line for each kind of fault, with the number of plays and how many of them had violations; exits
with 1 when any had.
"""

import argparse
import subprocess
import sys

from tests.service.installed import ROOT, environment


def perform(module: str, *words: str) -> tuple[bool, list[str]]:
    """Run one of them, and show what it prints; whether all went well, and its lines that count plays."""
    command = [sys.executable, "-u", "-m", module, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment(), cwd=ROOT) as process:
        assert process.stdout is not None
        rows = []
        for line in process.stdout:
            print(line, end="", flush=True)
            if line.rstrip().endswith(" s") and " with violations" in line:
                rows.append(line.rstrip())
    return process.returncode == 0, rows


def main() -> int:
    """Have all of them."""
    parser = argparse.ArgumentParser(description="Have every fault, at every place where it can happen.")
    parser.add_argument("--step", type=int, default=1, help="at every so many places")
    parser.add_argument("--minutes", type=float, default=1.0, help="how long a stopped process stands still")
    arguments = parser.parse_args()
    step = ("--step", str(arguments.step))
    done = (
        perform("tests.simulation.torture", *step),
        perform("tests.torture.kills", *step),
        perform("tests.torture.stops", *step, "--minutes", str(arguments.minutes)),
        perform("tests.torture.stops", *step, "--minutes", str(arguments.minutes), "--hasty"),
    )
    print("", *(row for _, rows in done for row in rows), sep="\n")
    return 0 if all(good for good, _ in done) else 1


if __name__ == "__main__":
    sys.exit(main())
