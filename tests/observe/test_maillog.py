"""The mail log: lines that log readers know, and that nobody can forge."""

import os
import re
import time
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from smtpclient.observe.maillog import MailLog, MailLogFile, ToTwisted, printable

# 2026-11-22 07:35:35 UTC
MOMENT = 1795332935.4


class Printable(SynchronousTestCase):
    """Text that can stand in a line."""

    def test_harmless_text_stays(self) -> None:
        """Everything that can be printed stays, in any script."""
        for text in ("", "plain", "blank and ~", "jürgen", "日本", "\U0001f600"):
            self.assertEqual(printable(text), text)

    def test_harmful_characters(self) -> None:
        """Control characters, separators of lines and what is no character at all become question marks."""
        harmful = [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, 0xD800, 0xDCE9, 0xDFFF]
        self.assertEqual({printable(f"a{chr(code)}b") for code in harmful}, {"a?b"})

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(st.text(st.characters(codec=None, categories=None)))
    def test_always_one_line_of_utf8(self, text: str) -> None:
        """Whatever the text, what is left is at most one line and can be written."""
        found = printable(text)
        self.assertEqual(len(found), len(text))
        self.assertLessEqual(len(found.splitlines()), 1)
        found.encode()


class Lines(SynchronousTestCase):
    """What is written without an event."""

    def test_lines_are_written_as_they_are_said(self) -> None:
        """Process, line and time; observers hear of the same line if there are any."""
        maillog, written, events = MailLog(lambda: MOMENT), [], []
        maillog.write_to(lambda *line: written.append(line))
        maillog.info("smtp", "one", "A1")
        maillog.publisher.addObserver(events.append)
        maillog.warning("qmgr", "two")
        self.assertEqual(written, [("smtp", "A1: one", MOMENT), ("qmgr", "warning: two", MOMENT)])
        self.assertEqual([event["mail_line"] for event in events], ["warning: two"])


class Events(SynchronousTestCase):
    """What is told to observers."""

    def setUp(self) -> None:
        self.maillog = MailLog(lambda: MOMENT)
        self.events: list[LogEvent] = []
        self.maillog.publisher.addObserver(self.events.append)

    def test_event(self) -> None:
        """An event has its parts as keys, and the line as text."""
        self.maillog.info("smtp", "to=<a@b>", "3A66D21A822")
        [event] = self.events
        wanted = {
            "log_level": LogLevel.info,
            "log_time": MOMENT,
            "log_namespace": "smtpclient.smtp",
            "process": "smtp",
            "queue_id": "3A66D21A822",
            "mail_text": "to=<a@b>",
            "mail_line": "3A66D21A822: to=<a@b>",
        }
        self.assertEqual({key: event[key] for key in wanted}, wanted)

    def test_levels(self) -> None:
        """Warnings and errors say so in front, as Postfix's do."""
        self.maillog.info("qmgr", "text")
        self.maillog.warning("qmgr", "text", "ID")
        self.maillog.error("qmgr", "text")
        self.assertEqual(
            [(event["log_level"], event["mail_line"]) for event in self.events],
            [
                (LogLevel.info, "text"),
                (LogLevel.warn, "ID: warning: text"),
                (LogLevel.error, "error: text"),
            ],
        )

    def test_forged_lines(self) -> None:
        """A server that sends line breaks cannot write a line of its own."""
        self.maillog.info("smtp", "host said: 550 no\nNov 22 07:35:35 host smtp[1]: ID: removed\r\x00\x1b[2J")
        self.assertEqual(
            self.events[0]["mail_line"], "host said: 550 no?Nov 22 07:35:35 host smtp[1]: ID: removed??" + "?[2J"
        )


class Files(SynchronousTestCase):
    """Lines in a file."""

    def setUp(self) -> None:
        self.path = self.mktemp()
        self.maillog = MailLog(lambda: self.now)
        self.now = MOMENT
        self.in_time_zone("UTC0")

    def in_time_zone(self, name: str) -> None:
        """Let the system's local time be this one until the test ends."""
        before = os.environ.get("TZ")

        def restore() -> None:
            if before is None:
                os.environ.pop("TZ", None)
            else:
                os.environ["TZ"] = before
            time.tzset()

        self.addCleanup(restore)
        os.environ["TZ"] = name
        time.tzset()

    def open(self, **changes: Any) -> MailLogFile:
        """A log file that takes what is logged."""
        log_file = MailLogFile(self.path, "host.example.org", **changes)
        self.addCleanup(log_file.close)
        self.maillog.publisher.addObserver(log_file)
        return log_file

    def lines(self, path: str = "") -> list[str]:
        """What stands in the file."""
        with open(path or self.path, encoding="utf-8") as log_file:
            return log_file.read().split("\n")[:-1]

    def test_form(self) -> None:
        """Time, first label of the host, program, process, process id, text."""
        self.open()
        self.maillog.info("smtp", "jürgen", "ID")
        self.assertEqual(self.lines(), [f"Nov 22 07:35:35 host smtpclient/smtp[{os.getpid()}]: ID: jürgen"])

    def test_name_and_day(self) -> None:
        """syslog_name names the program; a day of one digit is padded with a blank, as syslog does."""
        self.open(syslog_name="postfix")
        self.now = MOMENT + 10 * 86400
        self.maillog.info("qmgr", "text")
        self.assertEqual(self.lines(), [f"Dec  2 07:35:35 host postfix/qmgr[{os.getpid()}]: text"])

    def test_local_time(self) -> None:
        """Times are local, and follow the change of the seconds."""
        self.in_time_zone("EST5")
        self.open()
        for moment in (MOMENT, MOMENT + 0.5, MOMENT + 1):
            self.now = moment
            self.maillog.info("smtp", "text")
        self.assertEqual([line[:15] for line in self.lines()], ["Nov 22 02:35:35"] * 2 + ["Nov 22 02:35:36"])

    def test_without_events(self) -> None:
        """Lines can go to a file without an event for each, and look the same; observers still get theirs."""
        log_file = MailLogFile(self.path, "host.example.org")
        self.addCleanup(log_file.close)
        self.maillog.write_to(log_file.write)
        self.maillog.warning("smtp", "one\ntwo", "ID")
        events: list[LogEvent] = []
        self.maillog.publisher.addObserver(events.append)
        self.maillog.info("qmgr", "text")
        head = "Nov 22 07:35:35 host smtpclient"
        self.assertEqual(
            self.lines(),
            [f"{head}/smtp[{os.getpid()}]: ID: warning: one?two", f"{head}/qmgr[{os.getpid()}]: text"],
        )
        self.assertEqual([event["mail_line"] for event in events], ["text"])

    def test_reader_of_postfix_logs(self) -> None:
        """The usual expression of log readers takes the line apart."""
        self.open(syslog_name="postfix")
        self.maillog.info("smtp", "to=<a@b.example>, relay=none, status=deferred (why)", "3A66D21A822")
        found = re.match(
            r"(\w{3} [ \d]\d [\d:]{8}) (\S+) postfix/(\w+)\[\d+\]: ([0-9A-F]+): to=<([^>]*)>", self.lines()[0]
        )
        assert found is not None
        self.assertEqual(found.groups(), ("Nov 22 07:35:35", "host", "smtp", "3A66D21A822", "a@b.example"))

    def test_appends(self) -> None:
        """What stood in the file stays."""
        with open(self.path, "w") as log_file:
            log_file.write("before\n")
        self.open()
        self.maillog.info("smtp", "text")
        self.assertEqual((len(self.lines()), self.lines()[0]), (2, "before"))

    def test_reopen(self) -> None:
        """After the file was moved away, the log goes on in a new one, and no line is lost."""
        log_file = self.open()
        self.maillog.info("smtp", "old")
        os.rename(self.path, self.path + ".1")
        self.maillog.info("smtp", "still old")
        log_file.reopen()
        self.maillog.info("smtp", "new")
        self.assertEqual([len(self.lines(self.path + ".1")), len(self.lines())], [2, 1])

    def test_after_fork(self) -> None:
        """The process id is that of who writes, also when twistd has forked meanwhile."""
        log_file = self.open()
        self.patch(os, "getpid", lambda: 4711)
        log_file.after_fork()
        self.maillog.info("smtp", "text")
        self.assertIn("smtpclient/smtp[4711]: ", self.lines()[0])

    def test_full_disk(self) -> None:
        """A disk that is full loses the line, and raises nothing."""
        self.path = "/dev/full"
        self.open()
        self.maillog.info("smtp", "text")

    def test_closed(self) -> None:
        """Closed twice, and written to after that, it does nothing."""
        log_file = self.open()
        log_file.close()
        log_file.close()
        self.maillog.info("smtp", "text")
        self.assertEqual(self.lines(), [])

    def test_cannot_be_opened(self) -> None:
        """A path that is none raises at once."""
        with self.assertRaises(OSError):
            MailLogFile(os.path.join(self.path, "missing", "log"), "host")

    def test_is_an_observer(self) -> None:
        """It can be put on any of Twisted's publishers."""
        verifyObject(ILogObserver, self.open())


class Global(SynchronousTestCase):
    """Twisted's own log."""

    def test_hands_on(self) -> None:
        """Events arrive there with facility and priority for syslog, and are not changed for other observers."""
        verifyObject(ILogObserver, ToTwisted())
        mine: list[LogEvent] = []
        seen: list[LogEvent] = []
        maillog = MailLog(lambda: MOMENT)
        maillog.publisher.addObserver(ToTwisted())
        maillog.publisher.addObserver(mine.append)
        globalLogPublisher.addObserver(seen.append)
        self.addCleanup(globalLogPublisher.removeObserver, seen.append)
        maillog.info("smtp", "text")
        maillog.warning("smtp", "text")
        self.assertEqual(
            [(event["log_system"], event["syslogFacility"], event["syslogPriority"]) for event in seen],
            [("smtp", 2 << 3, 6), ("smtp", 2 << 3, 4)],
        )
        self.assertNotIn("log_system", mine[0])
