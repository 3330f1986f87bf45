"""
One process of a play: the service as twistd makes it, and all that is done to it, until it ends or is killed.

A first life starts the service on an empty queue directory, has mail submitted and queued by ``sendmail``, lets an
operator hold, release, requeue, expire and flush, and waits for the queue to run empty. A later life only starts the
service on what is there, releases what is on hold, and waits. Both stop as twistd stops.
"""

import asyncio
import ctypes
import faulthandler
import io
import mmap
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.logger import ILogObserver, LogEvent, globalLogBeginner
from zope.interface import provider

from smtpclient.command import queue, sendmail
from smtpclient.config.options import Options
from smtpclient.outbound import Outbound
from tests.torture.interposition import Blow, interpose, write_down
from tests.torture.letters import LETTERS, SENDER, Letter
from tests.torture.plants import PLANTS

MAIN_CF = """\
queue_directory = {base}/spool
maillog_file = {base}/mail.log
myhostname = client.example
relayhost = [127.0.0.1]:{port}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtp_tls_security_level = none
"""
PATIENCE = 180.0
"""Seconds that a life may take."""

PAUSE = 0.3
"""Seconds before anybody touches a new message: a file as old as its message is taken for one never tried."""

_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG, prctl(2)
_EVERY = 0.005
_FLUSH = 40


@dataclass(frozen=True)
class Life:
    """
    What one process is to do.

    :param base: the directory of the play.
    :param port: of the server.
    :param first: there is mail to be queued.
    :param kill_at: the number of its last file operation; 0: it lives on.
    :param after: the name of the operation with which counting begins; nothing: at once.
    :param plant: the name of a fault that it has; nothing: none.
    :param patience: seconds after which what has not come to its end will not any more.
    """

    base: Path
    port: int
    first: bool
    kill_at: int = 0
    after: str = ""
    plant: str = ""
    patience: float = PATIENCE

    @property
    def configuration(self) -> str:
        """The path of main.cf."""
        return str(self.base / "main.cf")


def live(life: Life, board: mmap.mmap) -> NoReturn:
    """Be that process, in a fork; it exits with 0 when the queue has run empty and the service has stopped."""
    code = 1
    try:
        _be_alone(life)
        code = _live(life, board)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _be_alone(life: Life) -> None:
    """Have nothing in common with the parent but code, and its end."""
    ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)  # a process that is stopped would stay for ever
    asyncio._set_running_loop(None)
    os.closerange(3, 4096)
    output = os.open(life.base / "output", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    faulthandler.dump_traceback_later(life.patience * 1.5)


def _live(life: Life, board: mmap.mmap) -> int:
    # Each process needs a reactor of its own; what was loaded before the fork may have made one.
    sys.modules.pop("twisted.internet.reactor", None)
    from twisted.internet import epollreactor  # noqa: PLC0415

    epollreactor.install()
    from twisted.internet import reactor  # noqa: PLC0415

    from smtpclient.tap import makeService  # noqa: PLC0415

    globalLogBeginner.beginLoggingTo([_unforeseen], redirectStandardIO=False)
    blow = Blow(life.kill_at, board, str(life.base), life.after)
    if life.plant:
        PLANTS[life.plant]()
    interpose(blow)
    options = Options()
    options.parseOptions(["--config", life.configuration])
    outbound = makeService(options)
    assert isinstance(outbound, Outbound)
    ends: list[int] = []

    def begin() -> None:
        outbound.startService()
        reactor.addSystemEventTrigger("before", "shutdown", outbound.stopService)
        played = Deferred.fromCoroutine(Play(life, outbound, reactor).run()).addTimeout(life.patience, reactor)
        played.addCallbacks(lambda _: ends.append(0), lambda failure: sys.stderr.write(failure.getTraceback()))
        played.addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run(installSignalHandlers=False)  # type: ignore[call-arg]
    write_down(blow, str(life.base / "operations"))
    return 0 if ends else 1


@provider(ILogObserver)
def _unforeseen(event: LogEvent) -> None:
    """A traceback in the log is a failure that nobody thought of."""
    if "log_failure" in event:
        sys.stderr.write(event["log_failure"].getTraceback())


class Play:
    """What is done to the service of one life."""

    def __init__(self, life: Life, outbound: Outbound, reactor: Any) -> None:
        self._life, self._outbound, self._reactor = life, outbound, reactor
        self._promises = os.open(life.base / "promises", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._spool = life.base / "spool"

    async def run(self) -> None:
        """Do all of it; return when the queue is empty."""
        if self._life.first:
            await self._hand_in()
            await deferLater(self._reactor, PAUSE)
            self._operate()
        else:
            self._command("release", "ALL")
        await self._until(lambda: not self._queued("incoming", "active", "deferred", "hold"))

    async def _hand_in(self) -> None:
        """Have all letters queued, some of them at once, and each of them tried once."""
        at_once = [letter for letter in LETTERS if letter.door == "submit"]
        early, late = at_once[:3], at_once[3:]
        await gatherResults([Deferred.fromCoroutine(self._submit(letter)) for letter in early], consumeErrors=True)
        for letter in LETTERS:
            if letter.door == "sendmail":
                self._send(letter)
        tried = [Deferred.fromCoroutine(self._submit(letter)) for letter in late]
        await gatherResults(tried, consumeErrors=True)
        await self._until(lambda: not self._queued("incoming", "active"), flush=False)

    async def _submit(self, letter: Letter) -> None:
        receipt = await self._outbound.submit(SENDER, letter.recipients, letter.content)
        self._promise(letter, receipt.queue_id)
        await receipt.first_attempt()

    def _send(self, letter: Letter) -> None:
        words = ["-c", self._life.configuration, "-v", "-f", SENDER, *letter.options, "--", *letter.recipients]
        said = io.StringIO()
        if sendmail.main(words, stdin=io.BytesIO(letter.content), stdout=said, stderr=sys.stderr) == os.EX_OK:
            self._promise(letter, said.getvalue().strip())

    def _promise(self, letter: Letter, queue_id: str) -> None:
        os.write(self._promises, f"{letter.number} {queue_id}\n".encode())

    def _operate(self) -> None:
        """What an operator might do to the messages that wait."""
        ids = dict(line.split() for line in (self._life.base / "promises").read_text().splitlines())
        self._command("hold", ids["6"])
        self._command("requeue", ids["8"])
        self._command("expire", ids["4"])
        self._command("flush")
        self._command("release", ids["6"])

    def _command(self, *words: str) -> None:
        arguments = ["-c", self._life.configuration, *words]
        queue.main(arguments, stdin=io.BytesIO(), stdout=io.StringIO(), stderr=sys.stderr)

    def _queued(self, *folders: str) -> bool:
        """Whether a message lies in one of these folders; what is not complete is none."""
        for folder in folders:
            for path, _, names in os.walk(self._spool / folder):
                for name in names:
                    try:
                        if os.stat(os.path.join(path, name)).st_mode & 0o100:
                            return True
                    except FileNotFoundError:
                        return True
        return False

    async def _until(self, true: Callable[[], bool], flush: bool = True) -> None:
        """Wait for something; let the operator flush the queue now and then."""
        turn = 0
        while not true():
            if flush and turn % _FLUSH == 0:
                self._command("flush")
            turn += 1
            await deferLater(self._reactor, _EVERY)
