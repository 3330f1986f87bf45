"""The log of a daemon below master."""

import os
import socket
import syslog
from pathlib import Path

from twisted.logger import Logger, LogPublisher
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.observe.maillog import MailLog
from smtpclient.postfix.daemon_log import DaemonLog, FromTwisted

MOMENT = 1_800_000_000.0


class PostlogTests(SynchronousTestCase):
    """Lines for postlogd(8)."""

    def setUp(self) -> None:
        self.folder = Path(os.path.relpath(self.mktemp()))
        (self.folder / "public").mkdir(parents=True)
        self.path = str(self.folder / "public/postlog")
        self.server = self.listen()

    def listen(self) -> socket.socket:
        """Be postlogd(8)."""
        server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        server.bind(self.path)
        server.settimeout(60)
        self.addCleanup(server.close)
        return server

    def test_a_line(self) -> None:
        """It has time, the first label of the host name, tag, process and process id."""
        log = DaemonLog("postfix", "smtp", self.path, "mx.postfix.test")
        log.write("bounce", "ABC: to=<x>", MOMENT)
        line = self.server.recv(1000).decode()
        self.assertRegex(line, rf"^Jan 15 \d\d:\d\d:00 mx postfix/smtp\[{os.getpid()}\]: ABC: to=<x>$")
        log.rename("anew", "lmtp")
        log.write("smtp", "hello", MOMENT)
        self.assertIn(" anew/lmtp[", self.server.recv(1000).decode())

    def test_postlogd_comes_back(self) -> None:
        """After its end lines are lost; once it is back, it is found again, from within the queue directory."""
        log = DaemonLog("postfix", "smtp", self.path, "mx")
        self.server.close()
        here = os.getcwd()
        self.addCleanup(os.chdir, here)
        os.chdir(self.folder)
        log.write("smtp", "lost", MOMENT)
        os.unlink("public/postlog")
        self.path = "public/postlog"
        server = self.listen()
        log.write("smtp", "found", MOMENT)
        self.assertIn("found", server.recv(1000).decode())

    def test_a_long_line(self) -> None:
        """It is cut, and does not get lost."""
        log = DaemonLog("postfix", "smtp", self.path, "mx")
        log.write("smtp", "x" * 100_000, MOMENT)
        self.assertTrue(1900 < len(self.server.recv(100_000)) < 2100)


class SyslogTests(SynchronousTestCase):
    """Lines for syslog, where there is no postlogd(8)."""

    def test_priorities(self) -> None:
        """The facility is mail, and warnings and errors are told by their priority."""
        opened: list[tuple[object, ...]] = []
        written: list[tuple[int, str]] = []
        self.patch(syslog, "openlog", lambda *arguments: opened.append(arguments))
        self.patch(syslog, "syslog", lambda priority, line: written.append((priority, line)))
        log = DaemonLog("postfix/relay", "smtp", "", "mx")
        for line in ("hello", "warning: odd", "error: wrong", "fatal: over"):
            log.write("smtp", line, MOMENT)
        self.assertEqual(opened, [("postfix/relay/smtp", syslog.LOG_PID | syslog.LOG_NDELAY, syslog.LOG_MAIL)])
        wanted = [syslog.LOG_INFO, syslog.LOG_WARNING, syslog.LOG_ERR, syslog.LOG_ERR]
        self.assertEqual([priority for priority, _ in written], wanted)

    def test_nobody_at_the_socket(self) -> None:
        """Where postlogd(8) should be and is not, syslog has the lines."""
        written: list[str] = []
        self.patch(syslog, "openlog", lambda *arguments: None)
        self.patch(syslog, "syslog", lambda priority, line: written.append(line))
        DaemonLog("postfix", "smtp", "/nowhere/postlog", "mx").write("smtp", "hello", MOMENT)
        self.assertEqual(written, ["hello"])


class FromTwistedTests(SynchronousTestCase):
    """What Twisted logs."""

    def logged(self, *, fails: Exception | None = None) -> list[str]:
        """The lines that come of it."""
        lines: list[str] = []
        maillog = MailLog(lambda: MOMENT)
        maillog.write_to(lambda process, line, moment: lines.append(f"{process} {line}"))
        publisher = LogPublisher(FromTwisted(maillog, "smtp"))
        log = Logger("x", observer=publisher)
        log.info("nobody wants to know")
        if fails is None:
            log.warn("one\ntwo")
        else:
            try:
                raise fails
            except Exception:
                log.failure("it broke")
        return lines

    def test_warnings(self) -> None:
        """They come along, line by line; what is below a warning does not."""
        self.assertEqual(self.logged(), ["smtp warning: one", "smtp warning: two"])

    def test_tracebacks(self) -> None:
        """A fault of ours has its traceback, what the system says has none."""
        fault, trouble = self.logged(fails=ZeroDivisionError("x")), self.logged(fails=OSError("disk"))
        self.assertEqual(fault[0], "smtp warning: it broke")
        self.assertEqual(fault[-1], "smtp warning: builtins.ZeroDivisionError: x")
        self.assertEqual(trouble, ["smtp warning: it broke: disk"])
