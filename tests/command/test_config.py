"""``smtpclient config``."""

import io
import os

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.command import config
from smtpclient.config.parameters import ROWS, ConfigurationError


class Config(SynchronousTestCase):
    """What it prints, and with which exit code."""

    def setUp(self) -> None:
        self.path = str(self.mktemp())
        self.write("myhostname = client.example\nqueue_directory = /spool/$myhostname\n")
        self.patch(os, "environ", {**os.environ, "SMTPCLIENT_CONFIG": ""})

    def write(self, text: str) -> None:
        """Make the configuration file."""
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(text)

    def config(self, *words: str) -> tuple[int, list[str], str]:
        """Run it: exit code, lines, complaints."""
        stdout, stderr = io.StringIO(), io.StringIO()
        code = config.main(["-c", self.path, *words], stdin=io.BytesIO(), stdout=stdout, stderr=stderr)
        return code, stdout.getvalue().splitlines(), stderr.getvalue()

    def test_everything(self) -> None:
        """Without a name every parameter is shown, as it is set or by default."""
        code, lines, _ = self.config()
        names = {line.partition(" =")[0] for line in lines}
        self.assertEqual((code, set(ROWS) - names), (0, set()))
        self.assertIn("queue_directory = /spool/$myhostname", lines)

    def test_only_what_is_set(self) -> None:
        """``-n`` shows what is set; that is a configuration file again."""
        code, lines, _ = self.config("-n")
        self.assertEqual((code, lines), (0, ["myhostname = client.example", "queue_directory = /spool/$myhostname"]))

    def test_defaults(self) -> None:
        """``-d`` shows what is built in, whatever is set."""
        _, lines, _ = self.config("-d", "smtp_connect_timeout", "queue_directory")
        self.assertEqual(lines, ["smtp_connect_timeout = 30s", f"queue_directory = {ROWS['queue_directory'].default}"])

    def test_defaults_beside_a_faulty_file(self) -> None:
        """A default can be looked up while the file cannot be read."""
        self.write("what is this\n")
        self.assertEqual(self.config("-d", "smtp_connect_timeout"), (0, ["smtp_connect_timeout = 30s"], ""))

    def test_named(self) -> None:
        """Named ones are shown in the order of their names on the command line."""
        _, lines, _ = self.config("smtp_quit_timeout", "myhostname")
        self.assertEqual(lines, ["smtp_quit_timeout = 300s", "myhostname = client.example"])

    def test_override(self) -> None:
        """``-o`` is seen in what is shown."""
        _, lines, _ = self.config("-o", "myhostname=other.example", "myhostname")
        self.assertEqual(lines, ["myhostname = other.example"])

    def test_unknown_name(self) -> None:
        """A name that is no parameter is refused."""
        code, lines, complaint = self.config("smtp_conect_timeout")
        self.assertEqual((code, lines), (os.EX_USAGE, []))
        self.assertIn("smtp_conect_timeout: there is no such parameter", complaint)

    def test_faulty_file(self) -> None:
        """What the service would refuse is refused, each fault with file, line, name and value."""
        self.write("smtp_connect_timeout = soon\nsmtp_quit_timeout = never\n")
        error = self.assertRaises(ConfigurationError, self.config)
        first, second = error.problems
        for number, problem in ((1, first), (2, second)):
            self.assertTrue(problem.startswith(f"{self.path}:{number}: smtp_"), problem)
