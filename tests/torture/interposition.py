"""
Every file operation of the product passes here, and one of them is the last.

:func:`interpose` gives each module of the product another ``os`` and another ``fcntl``, which count the system calls
on files (the door bell's socket, the mail log, folders that are synced in a thread, all of them) and kill the process
with SIGKILL at the n-th. A write is two operations: before it, and when half of it is written.
"""

import fcntl
import json
import mmap
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Any

PATHS = ("chmod", "chown", "mkdir", "rename", "scandir", "stat", "statvfs", "unlink", "utime")
DESCRIPTORS = ("close", "fchmod", "fchown", "fstat", "fsync", "ftruncate", "pread")
WRITES = ("pwrite", "write")

_BOARD = 256


class Blow:
    """
    Counts operations and kills at one of them.

    :param at: its number; 0: none.
    :param after: the name of an operation; counting begins with the first of that name. Nothing: at once.
    :param board: where the last operation's name is left for whoever comes after.
    :param base: the directory below which files have a part in the play.
    """

    def __init__(self, at: int, board: mmap.mmap, base: str, after: str = "") -> None:
        self._at, self._board, self._base, self._after = at, board, base, after
        self._numbers = count(1)
        self._places: dict[int, str] = {}
        self.seen: Counter[str] = Counter()

    def operation(self, name: str, place: str, last: Callable[[], object] | None = None) -> None:
        """
        One operation is about to be made.

        :param last: what is still done before the end.
        """
        words = f"{name} {place}"
        self.seen[words] += 1
        if self._after and not self.seen[self._after]:
            return
        if next(self._numbers) == self._at:
            if last is not None:
                last()
            self._board[:_BOARD] = words.encode()[:_BOARD].ljust(_BOARD)
            os.kill(os.getpid(), signal.SIGKILL)

    def place(self, path: object) -> str:
        """The folder of the play that a path leads to."""
        if isinstance(path, int):
            return self._places.get(path, "elsewhere")
        text = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""
        if not text.startswith(self._base):
            return "elsewhere"
        parts = text[len(self._base) :].strip("/").split("/")
        return parts[1] if parts[0] == "spool" and len(parts) > 1 else parts[0]

    def opened(self, descriptor: int, place: str) -> None:
        """Remember what a descriptor stands for."""
        self._places[descriptor] = place


def last_words(board: mmap.mmap) -> str:
    """The operation at which a process was killed; nothing when it was not."""
    return board[:_BOARD].rstrip(b" \0").decode()


class _StandIn:
    """A module with some functions of its own."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def _counted(blow: Blow, real: Any, name: str) -> Callable[..., Any]:
    call = getattr(real, name)

    def operation(subject: Any, *rest: Any, **keywords: Any) -> Any:
        words = blow.place(subject)
        if name == "rename":
            words += f" to {blow.place(rest[0])}"
        blow.operation(name, words)
        return call(subject, *rest, **keywords)

    return operation


def _counted_write(blow: Blow, name: str) -> Callable[..., int]:
    call = getattr(os, name)

    def operation(descriptor: int, data: Any, *where: int) -> int:
        place = blow.place(descriptor)
        blow.operation(name, place)
        blow.operation(f"half a {name}", place, lambda: call(descriptor, bytes(data)[: len(data) // 2], *where))
        written: int = call(descriptor, data, *where)
        return written

    return operation


def _stand_ins(blow: Blow) -> dict[str, Any]:
    system, locks = _StandIn(os), _StandIn(fcntl)
    for name in (*PATHS, *DESCRIPTORS):
        setattr(system, name, _counted(blow, os, name))
    for name in WRITES:
        setattr(system, name, _counted_write(blow, name))

    def open_file(path: str, *arguments: Any, **keywords: Any) -> int:
        place = blow.place(path)
        blow.operation("open", place)
        descriptor = os.open(path, *arguments, **keywords)
        blow.opened(descriptor, place)
        return descriptor

    system.open = open_file  # type: ignore[attr-defined]
    locks.flock = _counted(blow, fcntl, "flock")  # type: ignore[attr-defined]
    return {"os": system, "fcntl": locks}


def interpose(blow: Blow) -> None:
    """From now on, count what the modules of the product do to files."""
    stand_ins = _stand_ins(blow)
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "smtpclient":
            for attribute, stand_in in stand_ins.items():
                if hasattr(module, attribute):
                    setattr(module, attribute, stand_in)


def write_down(blow: Blow, path: str) -> None:
    """Leave the counts of a process that came to its end."""
    with open(path, "w", encoding="ascii") as file:
        json.dump(blow.seen, file)
