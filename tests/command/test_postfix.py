"""``smtpclient postfix``: what would be refused below Postfix's master."""

import io
import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.command import postfix
from smtpclient.config.parameters import ConfigurationError

MASTER_CF = """\
smtp   unix - - y - - smtp
trial  unix - - y - 1 ../bin/smtpclient-smtp
"""


class Checks(SynchronousTestCase):
    """What it tells, and with which exit code."""

    def setUp(self) -> None:
        self.folder = self.mktemp()
        Path(self.folder).mkdir(parents=True)

    def check(self, main_cf: str, master_cf: str = MASTER_CF, *names: str) -> tuple[int, list[str], list[str]]:
        """Run it: exit code, verdicts, complaints."""
        Path(self.folder, "main.cf").write_text(main_cf)
        Path(self.folder, "master.cf").write_text(master_cf)
        stdout, stderr = io.StringIO(), io.StringIO()
        code = postfix.main(["-c", self.folder, *names], stdin=io.BytesIO(), stdout=stdout, stderr=stderr)
        return code, stdout.getvalue().splitlines(), stderr.getvalue().splitlines()

    def test_nothing_to_refuse(self) -> None:
        """A service of ours, and one that could be; the queue manager's settings in main.cf are not looked at."""
        self.assertEqual(
            self.check("transport_maps = ldap:/etc/ldap.cf\nsmtp_tls_security_level = may\n"),
            (
                os.EX_OK,
                [
                    "smtp: smtpclient-smtp could take the place of smtp",
                    "trial: smtpclient-smtp has nothing to refuse",
                ],
                [],
            ),
        )

    def test_main_cf(self) -> None:
        """What main.cf says is refused for every service, with its file and line."""
        code, verdicts, complaints = self.check("\nsmtp_sasl_type = dovecot\n")
        self.assertEqual(
            (code, verdicts),
            (
                os.EX_CONFIG,
                [
                    "smtp: smtpclient-smtp could not take the place of smtp",
                    "trial: smtpclient-smtp would deliver nothing",
                ],
            ),
        )
        for name, complaint in zip(("smtp", "trial"), complaints, strict=True):
            self.assertIn(f"{name}: {self.folder}/main.cf:2: smtp_sasl_type = dovecot: ", complaint)

    def test_warnings(self) -> None:
        """What the process would only warn of is told, too, and is no reason to refuse anything."""
        code, verdicts, complaints = self.check("smtp_helo_timeout = 1m\nsmtp_helo_timeout = 2m\n", MASTER_CF, "trial")
        main_cf = f"{self.folder}/main.cf"
        self.assertEqual((code, verdicts), (os.EX_OK, ["trial: smtpclient-smtp has nothing to refuse"]))
        words = f"{main_cf}:2: smtp_helo_timeout was set before, at {main_cf}:1; this line counts"
        self.assertEqual(complaints, [f"smtpclient postfix: trial: warning: {words}"])

    def test_options_of_a_line(self) -> None:
        """An option in master.cf counts for its own service."""
        code, verdicts, (complaint,) = self.check("", MASTER_CF + "slow unix - - y - - smtp -o smtp_helo_timeout=soon")
        self.assertEqual((code, verdicts[2]), (os.EX_CONFIG, "slow: smtpclient-smtp could not take the place of smtp"))
        self.assertIn("slow: -o smtp_helo_timeout: smtp_helo_timeout = soon: ", complaint)

    def test_arguments(self) -> None:
        """What our program does not know among the arguments is told with its line."""
        code, _, (complaint,) = self.check("", "smtp unix - - y - - smtp -q\n")
        self.assertEqual(code, os.EX_CONFIG)
        self.assertIn(f"smtp: {self.folder}/master.cf:1: -q: ", complaint)

    def test_files(self) -> None:
        """A table that is not there is told, as the process would at its start."""
        code, _, complaints = self.check("smtp_generic_maps = hash:/nonexistent/generic\n")
        self.assertEqual(code, os.EX_CONFIG)
        for complaint in complaints:
            self.assertIn("/nonexistent/generic", complaint)

    def test_named(self) -> None:
        """Named services alone are looked at."""
        self.assertEqual(
            self.check("", MASTER_CF, "trial"), (os.EX_OK, ["trial: smtpclient-smtp has nothing to refuse"], [])
        )

    def test_unknown(self) -> None:
        """A name that no such service has is refused."""
        error = self.assertRaises(ConfigurationError, self.check, "", MASTER_CF, "qmgr", "trial")
        self.assertEqual(
            list(error.problems),
            [f"{self.folder}/master.cf: no service qmgr runs smtp, lmtp or one of our programs"],
        )
