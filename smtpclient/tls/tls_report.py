"""
TLS reporting (RFC 8460): what was counted on a day is sent to the domains that ask for it.

The counts are those that every process that delivers has left in ``tlsrpt/`` of the queue directory
(``smtpclient.tls.session_tally``). When a day of UTC is over, and a random time after that, so that not everybody
reports at midnight, they are put together, and each domain's record ``_smtp._tls.DOMAIN`` says where its report goes.
What is not taken is tried again every hour, for a day.

Promises: a report is sent once, and again only where a crash comes between sending and noting it.

Does not: count; run in more than one process of a service.
"""

from collections.abc import Iterable
from random import Random

from twisted.internet.interfaces import IReactorTime

from smtpclient.dns.answer import Status
from smtpclient.dns.text_record import TXT
from smtpclient.interfaces import IResolver
from smtpclient.observe.maillog import MailLog
from smtpclient.tls import report_counts, report_record
from smtpclient.tls.report_counts import DayCounts
from smtpclient.tls.report_json import DAY, Report
from smtpclient.tls.report_sender import ReportSender
from smtpclient.tls.report_settings import ReportingSettings
from smtpclient.tls.session_tally import TICK, day_of, file_of, keep
from smtpclient.tls.state_file import StateFolder

SHORTEST_DELAY = 5 * TICK
"""Seconds after which every process has written what it has counted."""
LONGEST_DELAY = 4 * 3600.0  # RFC 8460 section 4.1
RETRY = 3600.0
GIVE_UP = 2 * DAY
"""Seconds after the end of a day until its reports are dropped: a day for being down, a day for trying."""


class TlsReporting:
    """
    Sends reports.

    :param folder: where the counts lie.
    :param random: spreads reports over time and makes their ids unique.
    """

    def __init__(
        self,
        settings: ReportingSettings,
        resolver: IResolver,
        sender: ReportSender,
        folder: StateFolder,
        clock: IReactorTime,
        random: Random,
        maillog: MailLog,
    ) -> None:
        self._settings = settings
        self._resolver = resolver
        self._sender = sender
        self._folder = folder
        self._clock = clock
        self._random = random
        self._maillog = maillog
        self._due: dict[int, float] = {}
        self._unreadable: set[str] = set()

    def sweep(self) -> None:
        """Remove what an earlier service left unfinished; for when no other process is at work."""
        try:
            self._folder.sweep()
        except OSError as why:
            self._warn(f"cannot clear {self._folder.path}: {why}")

    async def work(self) -> None:
        """Send what is due; to be called every minute or so."""
        now = self._clock.seconds()
        days = self._days(int(now // DAY))
        for day in days:
            self._due.setdefault(day, now + self._random.uniform(SHORTEST_DELAY, LONGEST_DELAY))
        for day, names in days.items():
            if self._due[day] <= now or self._due[day] > now + LONGEST_DELAY:
                self._due[day] = now + RETRY
                await self._send_day(day, names)

    def _days(self, today: int) -> dict[int, list[str]]:
        """The files of each day that is over."""
        found: dict[int, list[str]] = {}
        try:
            for name in sorted(self._folder.names()):
                try:
                    day = day_of(name)
                except ValueError as why:
                    self._refuse(name, why)
                    continue
                if day < today and name not in self._unreadable:
                    found.setdefault(day, []).append(name)
        except OSError as why:
            self._warn(f"cannot look through {self._folder.path}: {why}")
        for day in set(self._due) - set(found):
            del self._due[day]
        return found

    def _refuse(self, name: str, why: Exception) -> None:
        """A file that is of no use is left for the operator, who hears of it once."""
        if name not in self._unreadable:
            self._unreadable.add(name)
            self._warn(f"cannot read {self._folder.path}/{name}: {why}")

    def _warn(self, sentence: str) -> None:
        self._maillog.warning("smtp", sentence)

    async def _send_day(self, day: int, names: Iterable[str]) -> None:
        """Send what a day has left; what is not taken stays for the next time, or is dropped when it is too old."""
        counts = await self._put_together(day, names)
        if counts is None:
            return
        for domain in counts.domains():
            answer = await self._resolver.lookup(report_record.name_of(domain), TXT)
            if answer.status is Status.RETRY:
                continue
            endpoints = report_record.endpoints(answer)
            if not endpoints or await self._sender.send(self._report(counts, domain), endpoints):
                counts.forget(domain)
                await self._save(counts)
        if self._clock.seconds() >= (day + 1) * DAY + GIVE_UP:
            for domain in counts.domains():
                self._warn(f"TLS report for {domain} dropped: nobody has taken it")
                counts.forget(domain)
            await self._save(counts)

    async def _put_together(self, day: int, names: Iterable[str]) -> DayCounts | None:
        """The counts of all processes, in one file; None when that cannot be written."""
        counts = DayCounts(day)
        read = []
        for name in names:
            try:
                found = report_counts.decode(self._folder.read(name) or b"")
                if found.day != day:
                    raise ValueError(f"counts of day {found.day}")
            except (OSError, ValueError) as why:
                self._refuse(name, why)
                continue
            counts.merge(found)
            read.append(name)
        whole = file_of(day)
        if read == [whole]:
            return counts
        if not await self._save(counts):
            return None
        for name in read:
            if name != whole:
                self._folder.remove(name)
        return counts

    async def _save(self, counts: DayCounts) -> bool:
        return await keep(self._folder, file_of(counts.day), counts, self._warn)

    def _report(self, counts: DayCounts, domain: str) -> Report:
        settings = self._settings
        report_id = f"{counts.day * DAY}.{self._random.getrandbits(64):016x}@{settings.submitter}"
        return Report(
            settings.organization,
            settings.contact,
            settings.submitter,
            report_id,
            domain,
            counts.day,
            counts.of(domain),
        )
