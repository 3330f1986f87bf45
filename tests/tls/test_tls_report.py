"""Tests for :mod:`smtpclient.tls.tls_report`, a service over days, and for :mod:`smtpclient.tls.report_sender`."""

import gzip
import json
import os
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.server import NOT_DONE_YET

from smtpclient.config.parameters import Parameters
from smtpclient.dns.answer import Answer
from smtpclient.dns.text_record import TXT
from smtpclient.observe.maillog import MailLog
from smtpclient.tls.chores import Chore
from smtpclient.tls.https_client import HttpsClient
from smtpclient.tls.report_counts import PolicyCount, ReportedPolicy, SessionFailure
from smtpclient.tls.report_json import DAY, Report
from smtpclient.tls.report_sender import ReportSender
from smtpclient.tls.report_settings import ReportingSettings
from smtpclient.tls.result_type import ResultType
from smtpclient.tls.session_tally import FOLDER, TICK, SessionTally
from smtpclient.tls.state_file import StateFolder
from smtpclient.tls.tls_report import GIVE_UP, LONGEST_DELAY, RETRY, TlsReporting
from tests.queue.disk import DirectFiles
from tests.tls.web_world import Authority, Names, Page, serve

SETTINGS = ReportingSettings("Example", "tls@sender.example", "mail.sender.example")
NONE = ReportedPolicy("no-policy-found")
FAILED = SessionFailure(ResultType.VALIDATION_FAILURE, "mx.example.com")
TODAY = 20000
MINE = f"20000.{os.getpid()}.json"


class Recording:
    """Stands for the sender; takes what it is told to take."""

    def __init__(self) -> None:
        self.sent: list[tuple[Report, tuple[str, ...]]] = []
        self.takes = True

    async def send(self, report: Report, endpoints: Sequence[str]) -> bool:
        """Send one."""
        self.sent.append((report, tuple(endpoints)))
        return self.takes


class Process:
    """One that counts, and sends what was counted."""

    def __init__(self, tally: SessionTally, chore: Chore) -> None:
        self.tally = tally
        self.chore = chore
        self.note = tally.note

    def start(self) -> None:
        """Begin."""
        self.tally.start()
        self.chore.startService()

    async def stop(self) -> None:
        """End as it should."""
        if self.chore.running:
            self.chore.stopService()
            await self.tally.close()

    def kill(self) -> None:
        """End without any farewell."""
        self.chore.stopService()
        assert self.tally._timer is not None
        self.tally._timer.cancel()
        self.tally._timer = None


class Days(SynchronousTestCase):
    """The service on a clock of its own."""

    def setUp(self) -> None:
        self.path = self.mktemp()
        self.clock = Clock()
        self.clock.advance(TODAY * DAY + 1000)
        self.names = Names(
            texts={
                "_smtp._tls.example.com": ["v=TLSRPTv1;rua=mailto:r@example.com"],
                "_smtp._tls.example.org": ["v=TLSRPTv1;rua=https://r.example.org/"],
            }
        )
        self.sender = Recording()
        self.lines: list[str] = []
        self.reporting = self.start()

    def start(self) -> "Process":
        """A service that has just been started."""
        maillog = MailLog(self.clock.seconds)
        maillog.publisher.addObserver(lambda event: self.lines.append(event["mail_line"]))
        folder = StateFolder(DirectFiles(), self.path)
        reporting = TlsReporting(
            SETTINGS,
            self.names,
            self.sender,  # type: ignore[arg-type]
            folder,
            self.clock,
            Random(7),
            maillog,
        )
        tally = SessionTally(self.names, folder, self.clock, lambda sentence: maillog.warning("smtp", sentence))
        made = Process(tally, Chore(reporting.work, TICK, self.clock, reporting.sweep))
        made.start()
        self.addCleanup(lambda: self.stop(made))
        return made

    def stop(self, process: "Process") -> None:
        """End one."""
        self.successResultOf(Deferred.fromCoroutine(process.stop()))

    def pass_time(self, seconds: float) -> None:
        """Let time pass, tick by tick."""
        end = self.clock.seconds() + seconds
        while self.clock.seconds() < end:
            self.clock.advance(min(TICK * 5, end - self.clock.seconds()))

    def end_of_day(self) -> None:
        """Until the reports of today are sent."""
        self.pass_time(DAY + LONGEST_DELAY)

    def kept(self) -> list[str]:
        """The files."""
        return sorted(os.listdir(self.path)) if os.path.isdir(self.path) else []

    def test_a_day(self) -> None:
        """What happened on a day is sent after it, to whom the domain has named, once."""
        self.reporting.note("example.com", NONE)
        self.reporting.note("example.com", NONE, FAILED)
        self.pass_time(DAY - 2000)
        self.assertEqual(self.sender.sent, [])
        self.pass_time(2 * DAY)
        ((report, endpoints),) = self.sender.sent
        self.assertEqual(endpoints, ("mailto:r@example.com",))
        self.assertEqual(report.counts, {NONE: PolicyCount(1, {FAILED: 1})})
        self.assertEqual((report.day, report.domain, report.contact), (TODAY, "example.com", "tls@sender.example"))
        self.assertTrue(report.report_id.endswith("@mail.sender.example"))
        self.assertEqual(self.kept(), [])

    def test_not_at_midnight(self) -> None:
        """The time is random, up to four hours after the end of the day."""
        self.reporting.note("example.com", NONE)
        self.pass_time(DAY - 1000 + 2 * TICK)
        self.assertEqual(self.sender.sent, [])
        self.pass_time(LONGEST_DELAY)
        self.assertEqual(len(self.sender.sent), 1)

    def test_sessions_after_midnight(self) -> None:
        """They belong to the new day, also when nothing else has happened between."""
        self.reporting.note("example.com", NONE)
        self.clock.rightNow += DAY
        self.reporting.note("example.com", NONE)
        self.reporting.note("example.com", NONE)
        self.pass_time(2 * DAY)
        self.assertEqual(
            [(report.day, report.counts[NONE].successes) for report, _ in self.sender.sent],
            [(TODAY, 1), (TODAY + 1, 2)],
        )

    def test_nobody_asks(self) -> None:
        """A domain without a record is not counted, and asked about once a day."""
        for _ in range(5):
            self.reporting.note("quiet.example", NONE)
        self.assertEqual(self.names.asked, [("_smtp._tls.quiet.example", TXT)])
        self.pass_time(TICK)
        self.assertEqual(self.kept(), [])
        self.end_of_day()
        self.assertEqual(self.sender.sent, [])
        self.reporting.note("quiet.example", NONE)
        self.assertEqual(len(self.names.asked), 2)

    def test_name_server_is_silent(self) -> None:
        """As long as nobody can tell, sessions are counted; the report waits until somebody can."""
        self.names.broken.add("_smtp._tls.example.com")
        self.reporting.note("example.com", NONE)
        self.end_of_day()
        self.assertEqual(self.sender.sent, [])
        self.names.broken.clear()
        self.pass_time(RETRY + TICK)
        self.assertEqual(len(self.sender.sent), 1)

    def test_record_withdrawn(self) -> None:
        """Who does not want reports any more gets none."""
        self.reporting.note("example.com", NONE)
        self.names.texts.clear()
        self.end_of_day()
        self.assertEqual((self.sender.sent, self.kept()), ([], []))

    def test_not_taken(self) -> None:
        """What nobody takes is tried every hour, and in the end dropped; the others are sent once."""
        self.sender.takes = False
        self.reporting.note("example.com", NONE)
        self.end_of_day()
        first = len(self.sender.sent)
        self.assertGreaterEqual(first, 1)
        self.pass_time(2 * (RETRY + TICK))
        self.assertGreaterEqual(len(self.sender.sent), first + 1)
        self.pass_time(GIVE_UP)
        tried = len(self.sender.sent)
        self.assertLess(tried, 60)
        self.assertIn("warning: TLS report for example.com dropped: nobody has taken it", self.lines)
        self.pass_time(2 * RETRY)
        self.assertEqual((len(self.sender.sent), self.kept()), (tried, []))

    def test_restart(self) -> None:
        """A new process goes on counting where the old one ended."""
        self.reporting.note("example.com", NONE)
        self.stop(self.reporting)
        self.assertEqual(self.kept(), [MINE])
        again = self.start()
        again.note("example.com", NONE)
        self.end_of_day()
        self.assertEqual([report.counts[NONE].successes for report, _ in self.sender.sent], [2])

    def test_killed(self) -> None:
        """Without any farewell no more than a minute is lost."""
        self.reporting.note("example.com", NONE)
        self.pass_time(TICK)
        self.reporting.note("example.com", NONE)
        self.reporting.kill()
        self.start()
        self.end_of_day()
        self.assertEqual([report.counts[NONE].successes for report, _ in self.sender.sent], [1])

    def test_restart_on_a_later_day(self) -> None:
        """What an earlier process has left is sent."""
        self.reporting.note("example.com", NONE)
        self.stop(self.reporting)
        self.clock.advance(DAY)
        self.start()
        self.pass_time(LONGEST_DELAY + TICK)
        self.assertEqual([report.day for report, _ in self.sender.sent], [TODAY])

    def test_restart_between_reports(self) -> None:
        """What was sent is not sent again; what was not taken is."""
        self.reporting.note("example.com", NONE)
        self.reporting.note("example.org", NONE)
        self.names.broken.add("_smtp._tls.example.org")
        self.end_of_day()
        self.stop(self.reporting)
        self.names.broken.clear()
        self.start()
        self.pass_time(LONGEST_DELAY + TICK)
        self.assertEqual([report.domain for report, _ in self.sender.sent], ["example.com", "example.org"])

    def test_too_old(self) -> None:
        """Reports from before a long rest are tried once, and dropped."""
        self.sender.takes = False
        self.reporting.note("example.com", NONE)
        self.stop(self.reporting)
        self.clock.advance(10 * DAY)
        self.start()
        self.pass_time(LONGEST_DELAY + TICK)
        self.assertEqual((len(self.sender.sent), self.kept()), (1, []))

    def test_rubbish_on_disk(self) -> None:
        """A file that cannot be read is said, and left for the operator."""
        self.stop(self.reporting)
        os.mkdir(self.path)
        for name in (MINE, "19999.1.json", "x.json", "3.json.json"):
            Path(self.path, name).write_bytes(b'{"day": 3, "domains": {}}')
        Path(self.path, MINE).write_bytes(b"{}")
        Path(self.path, "#1.2").write_bytes(b"")
        self.start()
        self.pass_time(2 * LONGEST_DELAY)
        self.assertEqual(len([line for line in self.lines if "cannot read" in line]), 4)
        self.assertEqual(len(self.kept()), 4)

    def test_full_disk(self) -> None:
        """Counting goes on in memory; the log says what is wrong."""
        Path(self.path).write_bytes(b"")
        self.reporting.note("example.com", NONE)
        self.pass_time(TICK)
        self.assertTrue(any("cannot keep" in line for line in self.lines))
        self.assertTrue(any("cannot look through" in line for line in self.lines))
        os.unlink(self.path)
        self.end_of_day()
        self.assertEqual(len(self.sender.sent), 1)

    def test_several_processes(self) -> None:
        """What each has counted is one report."""
        self.reporting.note("example.com", NONE)
        self.reporting.note("example.com", NONE, FAILED)
        self.stop(self.reporting)
        os.rename(f"{self.path}/{MINE}", f"{self.path}/20000.1.json")
        again = self.start()
        again.note("example.com", NONE)
        self.end_of_day()
        ((report, _),) = self.sender.sent
        self.assertEqual(report.counts, {NONE: PolicyCount(2, {FAILED: 1})})
        self.assertEqual(self.kept(), [])

    def test_neither_before_nor_after(self) -> None:
        """Who has not begun to count, or has ended, counts nothing."""
        self.stop(self.reporting)
        self.reporting.note("example.com", NONE)
        self.assertEqual((self.names.asked, self.kept()), ([], []))

    def test_clock_set_back(self) -> None:
        """A day that seems to come again is the same day."""
        self.reporting.note("example.com", NONE)
        self.clock.rightNow -= DAY
        self.reporting.note("example.com", NONE)
        self.pass_time(3 * DAY + LONGEST_DELAY)
        self.assertEqual([report.counts[NONE].successes for report, _ in self.sender.sent], [2])

    def test_stopped_while_asking(self) -> None:
        """The end of the service ends its questions."""
        cancelled = []

        class Silent:
            async def lookup(self, name: str, record_type: int) -> Answer:
                await Deferred(cancelled.append)
                raise AssertionError

        self.reporting.tally._resolver = Silent()  # type: ignore[assignment]
        self.reporting.note("example.com", NONE)
        self.stop(self.reporting)
        self.assertEqual(len(cancelled), 1)

    def test_stopped_while_sending(self) -> None:
        """The end of the service ends what is under way; it is sent by the next one."""
        waiting: list[Any] = []

        async def send(report: Report, endpoints: Sequence[str]) -> bool:
            await Deferred(waiting.append)
            raise AssertionError

        self.sender.send = send  # type: ignore[method-assign]
        self.reporting.note("example.com", NONE)
        self.end_of_day()
        self.stop(self.reporting)
        self.assertEqual((len(waiting), self.kept()), (1, ["20000.json"]))

    def test_defect(self) -> None:
        """A defect of ours is logged, and the next round goes on."""

        async def send(report: Report, endpoints: Sequence[str]) -> bool:
            raise ZeroDivisionError

        self.reporting.note("example.com", NONE)
        self.sender.send, good = send, self.sender.send  # type: ignore[method-assign]
        self.end_of_day()
        self.assertGreaterEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.sender.send = good  # type: ignore[method-assign]
        self.pass_time(RETRY + TICK)
        self.assertEqual(len(self.sender.sent), 1)

    def test_settings(self) -> None:
        """They come from the parameters."""
        found = ReportingSettings.from_parameters(
            Parameters.from_values({"myhostname": "mail.sender.example", "smtp_tls_report_organization": "Example"})
        )
        self.assertEqual(found, ReportingSettings("Example", "postmaster@sender.example", "mail.sender.example"))
        self.assertEqual(FOLDER, "tlsrpt")


class Sending(TestCase):
    """One report, over real https and into a queue."""

    def setUp(self) -> None:
        authority = Authority()
        self.page = Page()
        port = serve(self.page, authority.pair("r.example.com"))
        self.addCleanup(port.stopListening)
        self.url = f"https://r.example.com:{port.getHost().port}/v1/tlsrpt"
        self.queued: list[tuple[str, list[str], bytes]] = []
        self.full = False
        self.lines: list[str] = []
        maillog = MailLog()
        maillog.publisher.addObserver(lambda event: self.lines.append(event["mail_line"]))

        async def submit(sender: str, recipients: Sequence[str], content: bytes) -> None:
            if self.full:
                raise OSError("No space left on device")
            self.queued.append((sender, list(recipients), content))

        names = Names({"r.example.com": "127.0.0.1", "other.example.com": "127.0.0.1"})
        client = HttpsClient(reactor, reactor, names, lambda: authority.trusted)  # type: ignore[arg-type]
        self.sender = ReportSender(client, submit, lambda: 0.0, maillog)
        self.report = Report(
            "Example", "t@s.example", "s.example", "1@s.example", "d.example", 1, {NONE: PolicyCount(1)}
        )

    async def test_posted(self) -> None:
        """The body is the report, compressed, under its media type."""
        self.assertTrue(await self.sender.send(self.report, [self.url]))
        ((media_type, body),) = self.page.posted
        self.assertEqual(media_type, "application/tlsrpt+gzip")
        self.assertEqual(json.loads(gzip.decompress(body)), self.report.fields())
        self.assertEqual(self.lines, [f"TLS report for d.example sent to {self.url}"])

    async def test_codes(self) -> None:
        """Any code of success will do; a redirect and a refusal will not, and are said."""
        rows = {200: True, 201: True, 202: True, 301: False, 400: False, 503: False}
        self.page.location = self.url
        found = {}
        for code in rows:
            self.page.code = code
            found[code] = await self.sender.send(self.report, [self.url])
        self.assertEqual(found, rows)
        self.assertEqual(len(self.page.posted), len(rows))
        self.assertIn(f"warning: TLS report for d.example not taken by {self.url}: answered 503", self.lines)

    async def test_only_to_whom_it_is_meant_for(self) -> None:
        """A server that cannot show that the URL is its own gets nothing."""
        self.assertFalse(await self.sender.send(self.report, [self.url.replace("//r.", "//other.")]))
        self.assertEqual(self.page.posted, [])

    async def test_mailed(self) -> None:
        """A message from nobody is queued, so that its failure is reported to nobody."""
        self.assertTrue(await self.sender.send(self.report, ["mailto:r@d.example"]))
        ((sender, recipients, content),) = self.queued
        self.assertEqual((sender, recipients), ("", ["r@d.example"]))
        self.assertIn(b"\nTLS-Required: No\n", content)
        self.assertIn(b"\nMessage-ID: <1.tlsrpt@s.example>\n", content)

    async def test_one_is_enough(self) -> None:
        """It goes to every address, and has arrived when one has taken it."""
        self.page.code = 500
        self.assertTrue(await self.sender.send(self.report, [self.url, "mailto:r@d.example"]))
        self.assertEqual((len(self.page.posted), len(self.queued)), (1, 1))
        self.full = True
        self.assertFalse(await self.sender.send(self.report, [self.url, "mailto:r@d.example"]))
        self.assertIn(
            "warning: TLS report for d.example not taken by mailto:r@d.example: No space left on device", self.lines
        )

    async def test_silent_server(self) -> None:
        """Who is cancelled is, in the middle of a request too."""
        arrived: Deferred[None] = Deferred()

        def wait(request: Any) -> Any:
            arrived.callback(None)
            return NOT_DONE_YET

        self.page.answer = wait
        task = Deferred.fromCoroutine(self.sender.send(self.report, [self.url, "mailto:r@d.example"]))
        await arrived
        task.cancel()
        await self.assertFailure(task, CancelledError)
        self.assertEqual(self.queued, [])
