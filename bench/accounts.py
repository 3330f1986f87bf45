"""What a process and all that it has started have used: CPU time and memory, from /proc."""

import os
import re


def family(pid: int) -> list[int]:
    """A process and everything below it that lives."""
    found, waiting = [], [pid]
    while waiting:
        found.append(waiting.pop())
        try:
            tasks = os.listdir(f"/proc/{found[-1]}/task")
            for task in tasks:
                with open(f"/proc/{found[-1]}/task/{task}/children", encoding="ascii") as children:
                    waiting += [int(child) for child in children.read().split()]
        except OSError:
            continue
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and all below it, those that have ended included."""
    ticks = 0
    for member in family(pid):
        try:
            with open(f"/proc/{member}/stat", encoding="ascii", errors="replace") as status:
                ticks += sum(int(field) for field in status.read().rpartition(")")[2].split()[11:15])
        except OSError:
            continue
    return ticks / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> float:
    """What a process and all below it hold, MB; what several share is divided among them."""
    total = 0
    for member in family(pid):
        try:
            with open(f"/proc/{member}/smaps_rollup", encoding="ascii") as rollup:
                found = re.search(r"^Pss:\s+(\d+)", rollup.read(), re.M)
                total += int(found[1]) if found else 0
        except OSError:
            continue
    return total / 1024
