"""
Where plays are given: a server, a directory for each play, and processes that are forks of this one.

This process has loaded everything and started nothing, so that another one costs a fork, and is a real one all the
same: so are its signals, files, sockets and threads.
"""

import asyncio
import gc
import json
import mmap
import os
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from smtpclient.preload import preload
from tests.torture.accounts import Account
from tests.torture.interposition import last_words
from tests.torture.life import MAIN_CF, PATIENCE, PAUSE, Life, live
from tests.torture.sink import Memory, Sink


@dataclass
class Result:
    """
    What one play has come to.

    :param place: the operation at which the process was killed; nothing when it was not.
    :param doubled: how many recipients were delivered to, or reported, twice.
    :param operations: of a process that came to its end, by their names.
    """

    place: str
    violations: list[str]
    doubled: int
    memory: Memory
    operations: Counter[str] = field(default_factory=Counter)


class Stage:
    """
    One play after the other.

    :param plant: the name of a fault that the service has in all of them; nothing: none.
    :param settings: further lines of main.cf.
    """

    def __init__(self, base: Path, plant: str = "", settings: str = "") -> None:
        self._base, self._plant, self._settings = base, plant, settings
        self._sink = Sink()
        self._board = mmap.mmap(-1, mmap.PAGESIZE)
        self._plays = 0

    async def play(self, kill_at: int = 0, after: str = "") -> Result:
        """Kill a process at an operation, then let another one finish; 0: let the first one finish."""
        base, memory = await self._prepare(Memory())
        status = await self._live(Life(base, self._sink.port, True, kill_at, after, self._plant))
        place = last_words(self._board)
        if place:
            await asyncio.sleep(PAUSE)
            status = await self._live(Life(base, self._sink.port, False, plant=self._plant))
        return self._result(base, memory, place, status)

    async def play_with_stop(self, stop_at: int, seconds: float, patience: float) -> Result:
        """
        Stop the process when the server has heard something so often, and let it go on later.

        :param seconds: how long it stands still.
        :param patience: of the server, seconds.
        """
        base, memory = await self._prepare(Memory(patience, stop_at))
        loop, pids = asyncio.get_running_loop(), list[int]()

        def stop() -> None:
            os.kill(pids[0], signal.SIGSTOP)
            loop.call_later(seconds, os.kill, pids[0], signal.SIGCONT)

        memory.alarm = stop
        status = await self._live(Life(base, self._sink.port, True, patience=PATIENCE + seconds), pids)
        return self._result(base, memory, "", status)

    async def _prepare(self, memory: Memory) -> tuple[Path, Memory]:
        """A directory and a server that knows nothing."""
        if not self._sink.port:
            await self._sink.open()
        self._plays += 1
        base = self._base / str(self._plays)
        (base / "spool").mkdir(parents=True)
        (base / "main.cf").write_text(MAIN_CF.format(base=base, port=self._sink.port) + self._settings)
        self._board[:] = bytes(len(self._board))
        self._sink.memory = memory
        return base, memory

    def _result(self, base: Path, memory: Memory, place: str, status: int) -> Result:
        account = Account(base, memory, 2 if place else 1)
        violations = list(account.violations())
        if status:
            violations.append(f"the last process ended with status {status}")
        counts = base / "operations"
        operations = Counter(json.loads(counts.read_text()) if counts.exists() else {})
        shutil.rmtree(base)
        return Result(place, violations, account.doubled, memory, operations)

    async def _live(self, life: Life, pids: list[int] | None = None) -> int:
        """The status with which a process ends, or is ended when it does not."""
        pid = os.fork()
        if not pid:
            gc.freeze()  # nothing of the parent's may be closed here
            live(life, self._board)
        if pids is not None:
            pids.append(pid)
        loop, watch = asyncio.get_running_loop(), os.pidfd_open(pid)
        ended = asyncio.Event()
        loop.add_reader(watch, ended.set)
        try:
            await asyncio.wait_for(ended.wait(), life.patience * 3)
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
        finally:
            loop.remove_reader(watch)
            os.close(watch)
        status = os.waitpid(pid, 0)[1]
        # What the dead one has said last is still to be read.
        await asyncio.sleep(0.001)
        return status


@contextmanager
def theatre() -> Iterator[Path]:
    """Load everything; give a directory for the plays, in memory: a killed process loses nothing on whatever disk."""
    preload()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    memory = Path("/dev/shm")
    base = Path(tempfile.mkdtemp(prefix="torture", dir=memory if os.access(memory, os.W_OK) else None))
    try:
        yield base
    finally:
        shutil.rmtree(base, ignore_errors=True)


def run(plays: Coroutine[Any, Any, bool]) -> int:
    """Give plays; the exit code: whether all went well."""
    good = asyncio.run(plays)
    sys.stdout.flush()
    return 0 if good else 1
