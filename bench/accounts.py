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
    return sum(_seconds(member, 15) for member in family(pid))


def own_cpu_seconds(pid: int) -> float:
    """User and system time of a process alone, so far; 0 when it has ended."""
    return _seconds(pid, 13)


def _seconds(pid: int, behind: int) -> float:
    """The times in a process's status up to a field: its own, then those of its children that have ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as status:
            fields = status.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:behind])) / os.sysconf("SC_CLK_TCK")


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
