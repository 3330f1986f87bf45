"""The programs for master.cf, started where they cannot serve."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.service.installed import environment


class ProgramTests(SynchronousTestCase):
    """A process, and a postlogd(8) that hears it."""

    def run_program(self, before: str = "", *words: str) -> tuple[int, list[str]]:
        """Its exit code, and what it has logged."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir(parents=True)
        # The path of a UNIX socket must not be long.
        path = os.path.relpath(folder / "log")
        log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(log.close)
        log.bind(path)
        script = f"import sys; sys.argv[0] = '/x/smtpclient-smtp'\n{before}\n"
        script += "from smtpclient.postfix.program import main\nmain()\n"
        ours = {"POSTLOG_SERVICE": path, "MAIL_LOGTAG": "postfix", "POSTLOG_HOSTNAME": "mx.test"}
        process = subprocess.Popen(
            [sys.executable, "-c", script, *words],
            env={**environment(), **ours},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.addCleanup(process.kill)
        lines = []
        log.settimeout(0.2)
        while True:
            ended = process.poll() is not None
            try:
                lines.append(log.recv(2000).decode())
            except TimeoutError:
                if ended:
                    return process.wait(), lines

    def test_by_hand(self) -> None:
        """Without a master there is nothing to serve, and it says so."""
        code, (line,) = self.run_program("", "-t", "unix", "-u")
        self.assertEqual(code, os.EX_USAGE)
        self.assertRegex(
            line, r" mx postfix/smtpclient-smtp\[\d+\]: fatal: there are no descriptors of Postfix's master"
        )

    def test_a_word_that_is_no_option(self) -> None:
        """A slip in master.cf is named."""
        code, (line,) = self.run_program("", "-t", "unix", "smtp_helo_name=x")
        self.assertEqual(code, os.EX_USAGE)
        self.assertIn("fatal: 'smtp_helo_name=x' is no option", line)

    def test_an_installation_that_is_not_whole(self) -> None:
        """What cannot even be loaded is in the log, with its traceback."""
        code, lines = self.run_program("sys.modules['twisted.internet.defer'] = None")
        self.assertEqual(code, os.EX_SOFTWARE)
        self.assertIn("fatal: the delivery agent cannot go on", lines[0])
        self.assertIn("twisted.internet.defer", lines[-1])
