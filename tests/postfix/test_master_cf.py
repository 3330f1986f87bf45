"""Which services of Postfix's master.cf deliver by SMTP or LMTP, and how master would start ours for them."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.parameters import ConfigurationError
from smtpclient.postfix.master_cf import Service, read

WITH_DAEMONS = """\
# service type  private unpriv  chroot  wakeup  maxproc command + args
smtp      inet  n       -       y       -       -       smtpd
qmgr      unix  n       -       n       300     1       qmgr
smtp      unix  -       -       y       -       -       smtp
relay     unix  -       -       y       -       -       smtp
        -o syslog_name=postfix/$service_name
#       -o smtp_helo_timeout=5
  -o smtp_connect_timeout=5
lmtp      unix  -       -       y       -       -       lmtp
postlog   unix-dgram n  -       n       -       1       postlogd
"""


class MasterCfTests(SynchronousTestCase):
    """One master.cf."""

    def setUp(self) -> None:
        self.folder = self.mktemp()
        Path(self.folder).mkdir(parents=True)

    def services(self, text: str) -> list[Service]:
        """What is found in it."""
        Path(self.folder, "master.cf").write_text(text)
        return read(self.folder)

    def only(self, text: str) -> Service:
        """The one service in it."""
        (found,) = self.services(text)
        return found

    def test_postfix_s_own(self) -> None:
        """Postfix's delivery agents are found, with the options on the lines that continue theirs; others are not."""
        path = f"{self.folder}/master.cf"
        options = ("-o", "syslog_name=postfix/$service_name", "-o", "smtp_connect_timeout=5")
        self.assertEqual(
            self.services(WITH_DAEMONS),
            [
                Service(f"{path}:4", "smtp", "unix", "smtp"),
                Service(f"{path}:5", "relay", "unix", "smtp", options),
                Service(f"{path}:9", "lmtp", "unix", "lmtp"),
            ],
        )

    def test_ours(self) -> None:
        """Ours is known by its name, in whatever folder it is."""
        found = self.only("trial unix - - y - 1 ../../../../opt/smtpclient/bin/smtpclient-smtp -v\n")
        self.assertEqual((found.runs, found.is_ours, found.agent), ("smtpclient-smtp", True, "smtpclient-smtp"))

    def test_what_could_take_the_place(self) -> None:
        """For Postfix's own program there is one of ours."""
        found = self.only("lmtp unix - - y - - lmtp\n")
        self.assertEqual((found.is_ours, found.agent), (False, "smtpclient-lmtp"))

    def test_braces(self) -> None:
        """Braces hold an argument with blanks together, and braces in it are its own."""
        found = self.only(
            "smtp unix - - y - - smtp -o { smtp_helo_name = a b } -o {smtp_bind_address={$inet_interfaces}}\n"
        )
        self.assertEqual(found.arguments, ("-o", "smtp_helo_name = a b", "-o", "smtp_bind_address={$inet_interfaces}"))

    def test_incomplete_line(self) -> None:
        """A line without a program is none of ours, and master's to complain of."""
        self.assertEqual(self.services("smtp unix - - y - -\n"), [])

    def test_invocation(self) -> None:
        """The process would have the service's name, the options of its line, and this configuration directory."""
        start = self.only("slow unix - - y - - smtp -o smtp_connect_timeout=5 -o x=y\n").invocation(self.folder)
        self.assertEqual(
            (start.service, start.program, start.settings, start.folder, start.speaks_lmtp),
            ("slow", "smtpclient-smtp", ("smtp_connect_timeout=5", "x=y"), self.folder, False),
        )

    def test_arguments_that_are_refused(self) -> None:
        """What our program does not know is told with the line it stands in."""
        service = self.only("# mine\nslow unix - - y - - smtpclient-smtp -q\n")
        error = self.assertRaises(ConfigurationError, service.invocation, self.folder)
        self.assertEqual(error.problems, (f"{self.folder}/master.cf:2: -q: there is no such option",))

    def test_another_type(self) -> None:
        """A type of service that our programs do not serve is told with the line it stands in."""
        service = self.only("1025 inet n - y - - smtpclient-smtp\n")
        (problem,) = self.assertRaises(ConfigurationError, service.invocation, self.folder).problems
        self.assertTrue(problem.startswith(f"{self.folder}/master.cf:1: -t inet: "), problem)

    def test_no_file(self) -> None:
        """Where there is no master.cf, it is said."""
        error = self.assertRaises(ConfigurationError, read, "/nonexistent")
        self.assertEqual(list(error.problems), ["/nonexistent/master.cf: No such file or directory"])
