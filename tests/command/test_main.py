"""``smtpclient COMMAND`` as a program."""

import contextlib
import io
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.command import queue as queue_command
from smtpclient.command.main import COMMANDS, main
from tests.command.queue_case import QueueCase
from tests.queue.disk import message

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Ran:
    """How a command ended, and what it said."""

    code: int
    stdout: str
    stderr: str


def program(*words: str) -> Ran:
    """Run the command in this process as if it were one of its own."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "ascii") for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(words)
        except SystemExit as left:
            code = int(left.code or 0)
    texts = []
    for stream in (out, err):
        stream.seek(0)
        texts.append(stream.read())
    return Ran(code, *texts)


class Dispatch(SynchronousTestCase):
    """Finding the command."""

    def test_help(self) -> None:
        """``--help`` tells every command, and how the service is started."""
        ran = program("--help")
        self.assertEqual((ran.code, ran.stderr), (0, ""))
        self.assertEqual([name for name in COMMANDS if f"  {name} " not in ran.stdout], [])
        self.assertIn("twistd smtpclient", ran.stdout)

    def test_no_command(self) -> None:
        """Without a command it says which there are, and that this was not right."""
        ran = program()
        self.assertEqual((ran.code, ran.stdout), (os.EX_USAGE, ""))
        self.assertIn("say which command\nusage: smtpclient COMMAND", ran.stderr)

    def test_unknown_command(self) -> None:
        """A command that there is not is named."""
        ran = program("mailq")
        self.assertEqual(ran.code, os.EX_USAGE)
        self.assertTrue(ran.stderr.startswith("smtpclient: there is no command 'mailq'\n"), ran.stderr)

    def test_arguments_default_to_the_process(self) -> None:
        """As a console script it reads the process's own words."""
        self.patch(sys, "argv", ["smtpclient", "--help"])
        with contextlib.redirect_stdout(io.StringIO()) as out:
            self.assertEqual(main(), 0)
        self.assertIn("usage:", out.getvalue())


class Program(QueueCase):
    """The whole, from the words of a command line to the exit code."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(os, "environ", {**os.environ, "SMTPCLIENT_CONFIG": ""})

    def test_queue_list(self) -> None:
        """``queue list`` finds the directory by ``-o`` and lists it."""
        queue_id = self.queue()
        ran = program("queue", "list", "-o", f"queue_directory={self.path}")
        self.assertEqual((ran.code, ran.stderr), (0, ""))
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
        self.assertEqual((ran.code, ran.stdout), (os.EX_USAGE, ""))
        self.assertIn("smtpclient queue hold: the following arguments are required: ID", ran.stderr)
        self.assertIn("Try: smtpclient queue hold --help", ran.stderr)

    def test_flush_takes_ids_or_a_site(self) -> None:
        """Queue ids and a site together make no sense."""
        ran = program("queue", "flush", "--site", "x.example", "12345ABCDE")
        self.assertEqual(ran.code, os.EX_USAGE)
        self.assertIn("give queue ids or --site, not both", ran.stderr)

    def test_wrong_configuration(self) -> None:
        """Every wrong setting is told in a line of its own, and nothing is done, by each command that goes by ours."""
        words = {
            "config": "",
            "explain": "r@y.test",
            "jail": "--user nobody DIRECTORY",
            "queue": "list",
            "sendmail": "r@y.test",
        }
        self.assertEqual(COMMANDS.keys() - words.keys(), {"postfix"})  # which goes by Postfix's
        wrong = ["-o", "smtp_connect_timeout=soon", "-o", "hopcount_limit=many"]
        for name, rest in words.items():
            ran = program(name, *wrong, *rest.split())
            self.assertEqual((ran.code, ran.stdout), (os.EX_CONFIG, ""), name)
            self.assertEqual(
                [line.split()[:4] for line in ran.stderr.splitlines()],
                [["smtpclient", f"{name}:", "-o", f"{wrong}:"] for wrong in ("smtp_connect_timeout", "hopcount_limit")],
            )

    def test_reader_that_has_seen_enough(self) -> None:
        """When the reader goes away, as head(1) does, there is no complaint."""
        queue_id = self.queue(message(b"Subject: x\n\n" + b"line\n" * 200_000))
        words = f"show --content {queue_id} -o queue_directory={self.path}"
        command = f"{sys.executable} -m smtpclient queue {words} | head -n 1"
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        ran = subprocess.run(command, shell=True, env=environment, text=True, capture_output=True, check=False)
        self.assertEqual((ran.stdout, ran.stderr), ("Subject: x\n", ""))

    def test_interrupted(self) -> None:
        """Interrupted, it does not look as if it had done what it should."""
        self.patch(queue_command, "main", _interrupted)
        self.assertEqual(program("queue", "list"), Ran(os.EX_TEMPFAIL, "", ""))

    def test_as_a_module(self) -> None:
        """``python -m smtpclient`` is the same."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "smtpclient", "queue", "list", "-o", f"queue_directory={self.path}"]
        said = subprocess.check_output(command, env=environment, text=True)
        self.assertEqual(said, "Mail queue is empty\n")

    def test_help_of_a_verb(self) -> None:
        """Each verb's help tells its own options and those for the configuration."""
        ran = program("queue", "list", "--help")
        self.assertEqual(ran.code, 0)
        self.assertIn("--json", ran.stdout)
        self.assertIn("--config FILE", ran.stdout)


def _interrupted(*_words: object, **_streams: object) -> int:
    raise KeyboardInterrupt
