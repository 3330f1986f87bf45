"""
Counting of sessions for TLS reports (RFC 8460), one tally for each process that delivers.

Each process writes what it has counted of a day (in UTC) to a file of its own in ``tlsrpt/`` of the queue directory,
``DAY.PID.json``, once a minute when it has changed; ``smtpclient.tls.tls_report`` puts them together and sends them.

Promises: a domain that does not ask for reports is not counted any longer than it takes to find that out; the end of a
process that is not killed loses nothing, that of one that is no more than a minute; delivery waits for nothing here.
"""

import os
from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from smtpclient.dns.answer import Status
from smtpclient.dns.text_record import TXT
from smtpclient.interfaces import IResolver
from smtpclient.tls import report_counts, report_record
from smtpclient.tls.report_counts import DayCounts, ReportedPolicy, SessionFailure
from smtpclient.tls.report_json import DAY
from smtpclient.tls.state_file import StateFolder

FOLDER = "tlsrpt"
TICK = 60.0


def file_of(day: int, pid: int | None = None) -> str:
    """Where a process keeps the counts of a day; without a process: where those of all are put together."""
    return f"{day}.json" if pid is None else f"{day}.{pid}.json"


def day_of(name: str) -> int:
    """
    Whose day's counts a file holds.

    :raises ValueError: when it is no such file.
    """
    words = name.split(".")
    if len(words) not in (2, 3) or words[-1] != "json" or not all(word.isdecimal() for word in words[:-1]):
        raise ValueError("not a file of counts")
    return int(words[0])


async def keep(folder: StateFolder, name: str, counts: DayCounts, warn: Callable[[str], None]) -> bool:
    """
    Put counts on disk; where there are none, no file is left.

    :param name: of the file.
    :param warn: takes a sentence for the operator.
    :return: whether it could be done.
    """
    try:
        if len(counts):
            await folder.write(name, counts.encode())
        else:
            folder.remove(name)
    except OSError as why:
        warn(f"cannot keep {folder.path}/{name}: {why}")
        return False
    return True


class SessionTally:
    """
    Counts.

    :param folder: where the counts lie.
    :param warn: takes a sentence for the operator.
    """

    _log = Logger()

    def __init__(
        self, resolver: IResolver, folder: StateFolder, clock: IReactorTime, warn: Callable[[str], None]
    ) -> None:
        self._resolver = resolver
        self._folder = folder
        self._clock = clock
        self._warn = warn
        self._counts = DayCounts(self._today())
        self._past: list[DayCounts] = []
        self._unwanted: set[str] = set()
        self._changed = False
        self._timer: IDelayedCall | None = None
        self._saving: Deferred[None] | None = None
        self._asking: set[Deferred[None]] = set()

    def start(self) -> None:
        """Begin to count, where another process of the same number has ended."""
        name = file_of(self._counts.day, os.getpid())
        try:
            data = self._folder.read(name)
            if data is not None:
                self._counts.merge(report_counts.decode(data))
        except (OSError, ValueError) as why:
            self._warn(f"cannot read {self._folder.path}/{name}: {why}")
        self._timer = self._clock.callLater(TICK, self._tick)

    async def close(self) -> None:
        """Count no more, and write what has been counted."""
        if self._timer is None:
            return
        self._timer.cancel()
        self._timer = None
        for asking in tuple(self._asking):
            asking.cancel()
        if self._saving is not None:
            self._saving.cancel()
        await self._save()

    def note(self, domain: str, policy: ReportedPolicy, failure: SessionFailure | None = None) -> None:
        """
        Count one session; nothing before :meth:`start` and after :meth:`close`.

        :param domain: the policy domain, lower case, A-labels.
        :param failure: None when it went well.
        """
        if self._timer is None:
            return
        self._roll()
        if domain in self._unwanted:
            return
        is_new = domain not in self._counts
        self._counts.note(domain, policy, failure)
        self._changed = True
        if is_new:
            asking = Deferred.fromCoroutine(self._ask(domain, self._counts))
            asking.addErrback(self._failed)
            if not asking.called:
                self._asking.add(asking)
                asking.addBoth(lambda _: self._asking.discard(asking))

    async def _ask(self, domain: str, counts: DayCounts) -> None:
        """Stop counting a domain that does not want to know."""
        answer = await self._resolver.lookup(report_record.name_of(domain), TXT)
        if answer.status is not Status.RETRY and not report_record.endpoints(answer):
            counts.forget(domain)
            if counts is self._counts and len(self._unwanted) < report_counts.MOST_DOMAINS:
                self._unwanted.add(domain)

    def _today(self) -> int:
        return int(self._clock.seconds() // DAY)

    def _roll(self) -> None:
        """Begin a new day, if it is one."""
        today = self._today()
        if today > self._counts.day:
            if self._changed:
                self._past.append(self._counts)
            self._counts = DayCounts(today)
            self._changed = False
            self._unwanted.clear()

    def _tick(self) -> None:
        self._timer = self._clock.callLater(TICK, self._tick)
        self._roll()
        if self._saving is None:
            saving = Deferred.fromCoroutine(self._save())
            saving.addErrback(self._failed)
            if not saving.called:
                self._saving = saving
                saving.addBoth(self._saved)

    def _saved(self, _: object) -> None:
        self._saving = None

    def _failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self._log.failure("counting for TLS reports", failure)

    async def _save(self) -> None:
        """Write what has changed; a day that is over is given out of hand when it is on disk."""
        while self._past:
            if not await self._write(self._past[0]):
                return
            del self._past[0]
        if self._changed:
            self._changed = False
            self._changed = not await self._write(self._counts) or self._changed

    async def _write(self, counts: DayCounts) -> bool:
        return await keep(self._folder, file_of(counts.day, os.getpid()), counts, self._warn)
