"""
Programs of the operator's: found when the service starts, run without a shell, ended when they take too long.

Promises: whoever waits for a program hears of its end in time, whatever it leaves running with its pipes open.

Does not: decide what a program gets and what becomes of what it says; a subclass of :class:`Run` does.
"""

import os
import shlex
import shutil
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.interfaces import IProcessTransport, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure


@dataclass(frozen=True, slots=True)
class Program:
    """
    A program that can be run.

    :param path: where it is, absolute.
    :param arguments: what it is called with, its name first.
    """

    path: str
    arguments: tuple[str, ...]


def find(command: str) -> Program:
    """
    The program that a command names.

    :param command: program and arguments, quoted as for a shell.
    :raises ValueError: when there is none, in words for the operator.
    """
    arguments = shlex.split(command)
    if not arguments:
        raise ValueError("a program is missing")
    path = shutil.which(arguments[0])
    if path is None:
        raise ValueError(f"there is no program {arguments[0]} that can be run")
    return Program(os.path.abspath(path), tuple(arguments))


class Run(ProcessProtocol):
    """One run of a program."""

    def __init__(self) -> None:
        self._ended: Deferred[str] = Deferred()

    @property
    def process(self) -> IProcessTransport:
        """The process, once it has been started."""
        return cast(IProcessTransport, self.transport)

    def processEnded(self, reason: Failure) -> None:
        """Say how it ended: nothing, or words."""
        ending = cast(ProcessDone | ProcessTerminated, reason.value)
        if ending.signal is not None:
            self._ended.callback(f"killed by signal {ending.signal}")
        else:
            self._ended.callback(f"exit status {ending.exitCode}" if ending.exitCode else "")

    async def end(self, timeout: float, clock: IReactorTime) -> str:
        """
        Wait for the end; who no longer waits has the program killed.

        :param timeout: how long it may take, seconds; after that it is killed.
        :return: how it ended, in words; empty: with exit status 0.
        """
        late = clock.callLater(timeout, self._kill)
        try:
            how = await self._ended
        except CancelledError:
            self._kill()
            raise
        finally:
            in_time = late.active()
            if in_time:
                late.cancel()
        return how if in_time else f"killed after {timeout:g} seconds"

    def _kill(self) -> None:
        with suppress(ProcessExitedAlready):
            self.process.signalProcess("KILL")
        # What it left running may hold its pipes open.
        self.process.loseConnection()
