"""
``command:PROGRAM ARGUMENTS``: a program is run for each event, with the event as JSON on its standard input.

Exit status 0 means that it has been recorded. Anything else, a signal, or no end within :data:`TIMEOUT` means that it
has not: the recipient stays queued, and what the program wrote to standard error is in the log.

Promises: at most :data:`AT_ONCE` programs run at the same time; one that takes too long is killed; no shell is
involved, so nothing that a peer says is ever interpreted.

Does not: read the program's standard output; keep a program running from one event to the next.

Known limits: an event costs a process. For many a second use ``url:`` or a plugin.
"""

from twisted.internet.defer import DeferredSemaphore
from twisted.internet.interfaces import IDelayedCall, IReactorProcess, IReactorTime
from twisted.python.failure import Failure

from smtpclient import program
from smtpclient.program import Run
from smtpclient.report.event import Event, encode

TIMEOUT = 60.0
"""Seconds that a program may take."""

AT_ONCE = 10

LAST_WORDS = 1.0
"""Seconds after a program's end in which what it wrote may still arrive."""

SAID_LIMIT = 500
"""Bytes of what a program says on standard error that are kept."""


class CommandFailed(Exception):
    """A program did not accept an event; the text says how it ended and what it said."""


class _Run(Run):
    """
    One run of the program.

    :param record: what it gets on its standard input.
    """

    def __init__(self, record: bytes, clock: IReactorTime) -> None:
        super().__init__()
        self.said = b""
        self._record = record
        self._clock = clock
        self._closing: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """Give it the event."""
        self.process.write(self._record)
        self.process.closeStdin()

    def errReceived(self, data: bytes) -> None:
        """Keep the beginning of what it says."""
        self.said = (self.said + data)[:SAID_LIMIT]

    def processExited(self, reason: Failure) -> None:
        """Wait for its last words, but not for what it left running in the background with the same pipes."""
        self._closing = self._clock.callLater(LAST_WORDS, self.process.loseConnection)

    def processEnded(self, reason: Failure) -> None:
        """Say how it ended: nothing, or words."""
        if self._closing is not None and self._closing.active():
            self._closing.cancel()
        super().processEnded(reason)


class CommandListener:
    """
    Runs a program for each event.

    :param command: program and arguments, quoted as for a shell.
    :param reactor: starts programs.
    :param clock: for the time limit.
    :raises ValueError: when there is no such program, in words for the operator.
    """

    def __init__(self, command: str, reactor: IReactorProcess, clock: IReactorTime, timeout: float = TIMEOUT) -> None:
        if not command.strip():
            raise ValueError("command: a program is missing; write command:/path/to/program")
        try:
            self._program = program.find(command)
        except ValueError as why:
            raise ValueError(f"command:{command}: {why}") from None
        self._reactor = reactor
        self._clock = clock
        self._timeout = timeout
        self._turns = DeferredSemaphore(AT_ONCE)

    async def tell(self, event: Event) -> None:
        """
        Run the program once.

        :raises CommandFailed: when it did not end with status 0 in time.
        :raises OSError: when it could not be started.
        """
        async with self._turns:
            run = _Run(encode(event), self._clock)
            self._reactor.spawnProcess(run, self._program.path, self._program.arguments, env=None)
            how = await run.end(self._timeout, self._clock)
            if how:
                said = run.said.decode("utf-8", "replace").strip()
                raise CommandFailed(f"{self._program.path}: {how}{': ' + said if said else ''}")

    async def close(self) -> None:
        """Nothing is held open."""
