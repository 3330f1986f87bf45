"""The mail log is one that the usual programs can read."""

import re
import shutil
import signal
import subprocess
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.service.installed import Service, Sink, message, wait_until


class MailLogTests(SynchronousTestCase):
    """A hundred deliveries that end in all three ways."""

    def test_pflogsumm_counts_a_hundred_mixed_deliveries(self) -> None:
        """pflogsumm(1) finds as many delivered, deferred and bounced recipients as there are."""
        program = shutil.which("pflogsumm")
        if program is None:
            raise SkipTest("pflogsumm is not installed")
        base = Path(self.mktemp()).absolute()
        base.mkdir(parents=True)
        sink = Sink(base)
        self.addCleanup(sink.stop)
        # The reports to the sender would be deliveries of their own.
        service = Service(base, sink.port)
        self.addCleanup(service.stop)
        kinds = ["good"] * 70 + ["bounce"] * 20 + ["defer"] * 10
        service.fill(message(f"{kind}{number}@there.example", sender="") for number, kind in enumerate(kinds))
        service.start()
        wait_until(lambda: sum("status=" in line for line in service.log_lines()) >= 100, 120, "a hundred outcomes")
        wait_until(lambda: len(service.queued()) == 10, 120, "only what is deferred is left")
        self.assertIn(service.stop(), (0, -signal.SIGTERM))
        command = [program, "--syslog_name=smtpclient", str(service.log)]
        summary = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        counted = {words: int(number) for number, words in re.findall(r"^ +(\d+) +(\w+)\b", summary, re.M)}
        self.assertEqual(
            {"received": 0, "delivered": 70, "deferred": 10, "bounced": 20},
            {word: counted[word] for word in ("received", "delivered", "deferred", "bounced")},
        )
