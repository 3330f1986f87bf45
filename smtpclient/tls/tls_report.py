"""
TLS reporting (RFC 8460): sessions are counted as they happen; each day's counts are sent to domains that ask for them.

A day is one of UTC. Its counts lie in ``tlsrpt/`` of the queue directory, written once a minute when they have changed.
When the day is over, and a random time after that, so that not everybody reports at midnight, each domain's record
``_smtp._tls.DOMAIN`` says where its report goes. What is not taken is tried again every hour, for a day.

Promises: a domain that does not ask for reports is not counted any longer than it takes to find that out; a restart
loses no more than a minute of counts; a report is sent once, and again only where a crash comes between sending and
noting it.
"""

from random import Random

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from smtpclient.dns.answer import Status
from smtpclient.dns.text_record import TXT
from smtpclient.interfaces import IResolver
from smtpclient.observe.maillog import MailLog
from smtpclient.tls import report_counts, report_record
from smtpclient.tls.report_counts import DayCounts, ReportedPolicy, SessionFailure
from smtpclient.tls.report_json import DAY, Report
from smtpclient.tls.report_sender import ReportSender
from smtpclient.tls.report_settings import ReportingSettings
from smtpclient.tls.state_file import StateFolder

FOLDER = "tlsrpt"
TICK = 60.0
LONGEST_DELAY = 4 * 3600.0  # RFC 8460 section 4.1
RETRY = 3600.0
GIVE_UP = 2 * DAY
"""Seconds after the end of a day until its reports are dropped: a day for being down, a day for trying."""


class TlsReporting(Service):
    """
    Counts, and sends reports.

    :param folder: where the counts lie.
    :param random: spreads reports over time and makes their ids unique.
    """

    _log = Logger()

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
        self._counts = DayCounts(self._today())
        self._unwanted: set[str] = set()
        self._unsaved: set[int] = set()
        self._due: dict[int, float] = {}
        self._past: dict[int, DayCounts] = {}
        self._timer: IDelayedCall | None = None
        self._work: Deferred[None] | None = None
        self._asking: set[Deferred[None]] = set()

    # -- counting -------------------------------------------------------------------------------------------------

    def note(self, domain: str, policy: ReportedPolicy, failure: SessionFailure | None = None) -> None:
        """
        Count one session.

        :param domain: the policy domain, lower case, A-labels.
        :param failure: None when it went well.
        """
        self._roll()
        if domain in self._unwanted:
            return
        is_new = domain not in self._counts
        self._counts.note(domain, policy, failure)
        self._unsaved.add(self._counts.day)
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
        if today <= self._counts.day:
            return
        if len(self._counts):
            self._past[self._counts.day] = self._counts
            self._schedule(self._counts.day)
        self._counts = DayCounts(today)
        self._unwanted.clear()

    def _schedule(self, day: int) -> None:
        self._due[day] = self._clock.seconds() + self._random.uniform(0.0, LONGEST_DELAY)

    # -- the life of the service ----------------------------------------------------------------------------------

    def startService(self) -> None:
        """Take up what an earlier process has counted."""
        super().startService()
        try:
            for name in list(self._folder.names()):
                self._take_up(name)
        except OSError as why:
            self._maillog.warning("smtp", f"cannot look through {self._folder.path}: {why}")
        self._timer = self._clock.callLater(TICK, self._tick)

    def _take_up(self, name: str) -> None:
        try:
            counts = report_counts.decode(self._folder.read(name) or b"")
            if name != _file_of(counts.day):
                raise ValueError(f"counts of day {counts.day}")
        except (OSError, ValueError) as why:
            self._maillog.warning("smtp", f"cannot read {self._folder.path}/{name}: {why}")
            return
        if counts.day == self._counts.day:
            self._counts = counts
        else:
            self._past[counts.day] = counts
            self._schedule(counts.day)

    def stopService(self) -> "Deferred[None]":
        """End what is under way, and write what has been counted."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for asking in tuple(self._asking):
            asking.cancel()
        work, self._work = self._work, None
        if work is not None:
            work.cancel()
        await self._save_changed()

    def _tick(self) -> None:
        self._timer = self._clock.callLater(TICK, self._tick)
        if self._work is None:
            work = Deferred.fromCoroutine(self.work())
            work.addErrback(self._failed)
            if not work.called:
                self._work = work
                work.addBoth(self._worked)

    def _worked(self, _: object) -> None:
        self._work = None

    def _failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self._log.failure("TLS reporting", failure)

    # -- sending --------------------------------------------------------------------------------------------------

    async def work(self) -> None:
        """Write what has been counted, and send what is due."""
        self._roll()
        await self._save_changed()
        now = self._clock.seconds()
        for day in [day for day, when in self._due.items() if when <= now or when > now + LONGEST_DELAY]:
            await self._send_day(self._past[day])

    async def _save_changed(self) -> None:
        unsaved, self._unsaved = self._unsaved, set()
        for counts in (*self._past.values(), self._counts):
            if counts.day in unsaved:
                await self._save(counts)

    async def _save(self, counts: DayCounts) -> None:
        name = _file_of(counts.day)
        try:
            if len(counts):
                await self._folder.write(name, counts.encode())
            else:
                self._folder.remove(name)
        except OSError as why:
            self._maillog.warning("smtp", f"cannot keep {self._folder.path}/{name}: {why}")

    async def _send_day(self, counts: DayCounts) -> None:
        """Send what a day has left; what is not taken stays for the next time, or is dropped when it is too old."""
        self._due[counts.day] = self._clock.seconds() + RETRY
        for domain in counts.domains():
            answer = await self._resolver.lookup(report_record.name_of(domain), TXT)
            if answer.status is Status.RETRY:
                continue
            endpoints = report_record.endpoints(answer)
            if not endpoints or await self._sender.send(self._report(counts, domain), endpoints):
                counts.forget(domain)
                self._unsaved.add(counts.day)
                await self._save_changed()
        if self._clock.seconds() >= (counts.day + 1) * DAY + GIVE_UP:
            for domain in counts.domains():
                self._maillog.warning("smtp", f"TLS report for {domain} dropped: nobody has taken it")
                counts.forget(domain)
        if not len(counts):
            del self._past[counts.day], self._due[counts.day]
            await self._save(counts)

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


def _file_of(day: int) -> str:
    return f"{day}.json"
