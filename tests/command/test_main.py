"""``smtpclient COMMAND`` as a program."""

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.command.main import COMMANDS, main
from tests.command.queue_case import QueueCase
from tests.queue.disk import message

ROOT = Path(__file__).resolve().parents[2]


def program(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """The program, with what it said."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SMTPCLIENT_CONFIG": ""}
    return subprocess.run(
        [sys.executable, "-m", "smtpclient", *words],
        env=environment,
        text=True,
        capture_output=True,
        check=False,
        **options,
    )


class Dispatch(SynchronousTestCase):
    """Finding the command."""

    def main(self, *words: str) -> tuple[int, str, str]:
        """Exit code and what was said."""
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
            code = main(words)
        return code, out.getvalue(), err.getvalue()

    def test_help(self) -> None:
        """``--help`` tells every command, and how the service is started."""
        code, said, _ = self.main("--help")
        self.assertEqual(code, 0)
        self.assertEqual([name for name in COMMANDS if f"  {name} " not in said], [])
        self.assertIn("twistd smtpclient", said)

    def test_no_command(self) -> None:
        """Without a command it says which there are, and that this was not right."""
        code, said, complaint = self.main()
        self.assertEqual((code, said), (os.EX_USAGE, ""))
        self.assertIn("say which command\nusage: smtpclient COMMAND", complaint)

    def test_unknown_command(self) -> None:
        """A command that there is not is named."""
        code, _, complaint = self.main("mailq")
        self.assertEqual(code, os.EX_USAGE)
        self.assertTrue(complaint.startswith("smtpclient: there is no command 'mailq'\n"), complaint)

    def test_arguments_default_to_the_process(self) -> None:
        """As a console script it reads the process's own words."""
        self.patch(sys, "argv", ["smtpclient", "--help"])
        with contextlib.redirect_stdout(io.StringIO()) as out:
            self.assertEqual(main(), 0)
        self.assertIn("usage:", out.getvalue())


class Program(QueueCase):
    """The whole, as a process."""

    def test_queue_list(self) -> None:
        """``queue list`` finds the directory by ``-o`` and lists it."""
        queue_id = self.queue()
        ran = program("queue", "list", "-o", f"queue_directory={self.path}")
        self.assertEqual((ran.returncode, ran.stderr), (0, ""))
        self.assertIn(queue_id, ran.stdout)

    def test_content_passes_unchanged(self) -> None:
        """Content that is no UTF-8 comes out as it is, also where the locale knows ASCII only."""
        content = b"Subject: \xe9\n\n\xff\n"
        words = ["queue", "show", "--content", self.queue(message(content)), "-o", f"queue_directory={self.path}"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
        said = subprocess.check_output([sys.executable, "-m", "smtpclient", *words], env=environment)
        self.assertEqual(said, content)

    def test_wrong_command_line(self) -> None:
        """A wrong command line ends with the exit code for that and a hint."""
        ran = program("queue", "hold")
        self.assertEqual((ran.returncode, ran.stdout), (os.EX_USAGE, ""))
        self.assertIn("smtpclient queue hold: the following arguments are required: ID", ran.stderr)
        self.assertIn("Try: smtpclient queue hold --help", ran.stderr)

    def test_flush_takes_ids_or_a_site(self) -> None:
        """Queue ids and a site together make no sense."""
        ran = program("queue", "flush", "--site", "x.example", "12345ABCDE")
        self.assertEqual(ran.returncode, os.EX_USAGE)
        self.assertIn("give queue ids or --site, not both", ran.stderr)

    def test_wrong_configuration(self) -> None:
        """A wrong configuration is told and nothing is done."""
        ran = program("queue", "list", "-o", "smtp_connect_timeout=soon")
        self.assertEqual((ran.returncode, ran.stdout), (os.EX_CONFIG, ""))
        self.assertIn("smtp_connect_timeout", ran.stderr)

    def test_reader_that_has_seen_enough(self) -> None:
        """When the reader goes away, as head(1) does, there is no complaint."""
        queue_id = self.queue(message(b"Subject: x\n\n" + b"line\n" * 200_000))
        words = f"show --content {queue_id} -o queue_directory={self.path}"
        command = f"{sys.executable} -m smtpclient queue {words} | head -n 1"
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        ran = subprocess.run(command, shell=True, env=environment, text=True, capture_output=True, check=False)
        self.assertEqual((ran.stdout, ran.stderr), ("Subject: x\n", ""))

    def test_help_of_a_verb(self) -> None:
        """Each verb's help tells its own options and those for the configuration."""
        ran = program("queue", "list", "--help")
        self.assertEqual(ran.returncode, 0)
        self.assertIn("--json", ran.stdout)
        self.assertIn("--config FILE", ran.stdout)


WAITS = """\
from twisted.internet.task import deferLater
from smtpclient.command.run import run

async def work(reactor):
    await deferLater(reactor, 0)
    {what}

raise SystemExit(run(work))
"""


class Run(SynchronousTestCase):
    """Running a coroutine as a program."""

    def program(self, what: str) -> subprocess.CompletedProcess[str]:
        """A program whose coroutine waits, and then does something."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", WAITS.format(what=what)]
        return subprocess.run(command, env=environment, text=True, capture_output=True, check=False)

    def test_result_is_the_exit_code(self) -> None:
        """What the coroutine returns is the exit code."""
        ran = self.program("return 75")
        self.assertEqual((ran.returncode, ran.stderr), (75, ""))

    def test_error_is_the_callers(self) -> None:
        """What the coroutine raises, the caller sees."""
        ran = self.program("raise ValueError('as it was')")
        self.assertEqual(ran.returncode, 1)
        self.assertTrue(ran.stderr.endswith("ValueError: as it was\n"), ran.stderr)

    def test_interrupted(self) -> None:
        """Ended by a signal, it does not look as if it had done what it should."""
        ran = self.program("import os, signal; os.kill(os.getpid(), signal.SIGTERM); await deferLater(reactor, 60)")
        self.assertEqual((ran.returncode, ran.stderr), (os.EX_TEMPFAIL, ""))
