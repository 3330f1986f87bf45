"""The options that every command takes."""

import argparse
import contextlib
import io
import os

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.command import configuration, queue
from smtpclient.config.parameters import ConfigurationError


class Parse(SynchronousTestCase):
    """Finding the options among a command's own words."""

    def wrong(self, *words: str) -> str:
        """What is said of a wrong command line, which ends with the exit code for that."""
        with contextlib.redirect_stderr(io.StringIO()) as said:
            left = self.assertRaises(SystemExit, configuration.parse, queue.parser(), words)
        self.assertEqual(left.code, os.EX_USAGE)
        return said.getvalue()

    def test_anywhere(self) -> None:
        """They may stand before, between and behind the words."""
        words = ["-o", "a=b", "show", "-c", "FILE", "--envelope", "ID", "-oc=d e"]
        line = configuration.parse(queue.parser(), words)
        self.assertEqual((line.config, line.overrides), ("FILE", ["a=b", "c=d e"]))
        self.assertEqual((line.verb, line.envelope, line.queue_id), ("show", True, "ID"))

    def test_long_name(self) -> None:
        """``--config`` is ``-c``; nothing shorter is taken for it."""
        self.assertEqual(configuration.parse(queue.parser(), ["list", "--config=FILE"]).config, "FILE")
        self.assertIn("unrecognized arguments: --conf x", self.wrong("list", "--conf", "x"))

    def test_without_value(self) -> None:
        """An option without its value is a wrong command line."""
        self.assertIn("expected one argument", self.wrong("list", "-c"))


class Read(SynchronousTestCase):
    """What the options lead to."""

    def file(self, text: str) -> str:
        """A configuration file."""
        path = str(self.mktemp())
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def chosen(self, config: str | None = None, *overrides: str) -> argparse.Namespace:
        """Options as they were given."""
        return argparse.Namespace(config=config, overrides=list(overrides))

    def test_nothing_given(self) -> None:
        """Without any option every parameter has its default."""
        parameters = configuration.read(self.chosen(), {})
        self.assertEqual(parameters.dump(non_default_only=True), ())

    def test_file(self) -> None:
        """The file's settings count, and are known to come from it."""
        path = self.file("# a comment\nqueue_directory = /somewhere\n")
        parameters = configuration.read(self.chosen(path), {})
        self.assertEqual(parameters.text("queue_directory"), "/somewhere")
        self.assertEqual(parameters.source("queue_directory"), f"{path}:2")

    def test_environment(self) -> None:
        """Where no file is named, the environment names it; an option comes before that."""
        one, other = self.file("queue_directory = /one\n"), self.file("queue_directory = /other\n")
        environment = {"SMTPCLIENT_CONFIG": one}
        directories = [
            configuration.read(chosen, environment).text("queue_directory")
            for chosen in (self.chosen(), self.chosen(other))
        ]
        self.assertEqual(directories, ["/one", "/other"])

    def test_overrides(self) -> None:
        """``-o`` counts more than the file, and the last of several counts."""
        path = self.file("queue_directory = /somewhere\nmyhostname = a.example\n")
        chosen = self.chosen(path, "queue_directory=/elsewhere", "smtp_helo_name = x.example", "queue_directory=/there")
        parameters = configuration.read(chosen, {})
        names = ("queue_directory", "smtp_helo_name", "myhostname")
        self.assertEqual([parameters.text(name) for name in names], ["/there", "x.example", "a.example"])
        self.assertEqual(parameters.source("queue_directory"), "-o queue_directory")

    def test_override_that_sets_nothing(self) -> None:
        """An ``-o`` that is no setting is named."""
        error = self.assertRaises(ConfigurationError, configuration.read, self.chosen(None, "a=b", "x"), {})
        self.assertEqual(error.problems, ("-o x: expected name=value",))

    def test_missing_file(self) -> None:
        """A file that is not there is an error, not the defaults."""
        error = self.assertRaises(ConfigurationError, configuration.read, self.chosen("/nowhere/main.cf"), {})
        self.assertEqual(error.problems, ("/nowhere/main.cf: No such file or directory",))
