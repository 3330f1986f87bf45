"""
The two options that every command takes, and the parameters that they lead to.

``-c FILE`` names a file in main.cf's syntax, ``-o NAME=VALUE`` sets one parameter and may be given several times; both
may stand anywhere among a command's words. Without ``-c`` the environment's ``SMTPCLIENT_CONFIG`` names the file, and
without that every parameter has its default. A command gives the service's own configuration, or it looks at another
queue directory than the service.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from smtpclient.config import maincf
from smtpclient.config.parameters import Parameters

ENVIRONMENT = "SMTPCLIENT_CONFIG"


class Parser(argparse.ArgumentParser):
    """A command line that ends a wrong call with the exit code for that."""

    def error(self, message: str) -> NoReturn:
        """
        Say what is wrong, and where to read on.

        :raises SystemExit: always, with ``EX_USAGE``.
        """
        sys.stderr.write(f"{self.prog}: {message}\nTry: {self.prog} --help\n")
        raise SystemExit(os.EX_USAGE)


def options() -> Parser:
    """The options themselves; to be a parent of every command's own, for its help."""
    parser = Parser(add_help=False, allow_abbrev=False)
    group = parser.add_argument_group("configuration")
    group.add_argument("-c", "--config", metavar="FILE", help=f"the service's main.cf; else ${ENVIRONMENT} names it")
    group.add_argument(
        "-o", dest="overrides", action="append", default=[], metavar="NAME=VALUE", help="set one parameter"
    )
    return parser


def parser(program: str, description: str) -> Parser:
    """A command line that has the two options in its help; a command adds what else it takes."""
    return Parser(prog=program, description=description, allow_abbrev=False, parents=[options()])


def parse(line: argparse.ArgumentParser, words: Sequence[str]) -> argparse.Namespace:
    """
    Read a command line: the two options, wherever they stand, and what the command has beside them.

    :raises SystemExit: when it makes no sense.
    """
    chosen, rest = options().parse_known_args(words)
    found = line.parse_args(rest)
    # Not by parse_args itself: a subcommand's own defaults would take the place of what was chosen before its name.
    vars(found).update(vars(chosen))
    return found


def read(chosen: argparse.Namespace, environment: Mapping[str, str]) -> Parameters:
    """
    The parameters that the options lead to.

    :raises ConfigurationError: when the file cannot be read, or a value is wrong.
    """
    path = chosen.config or environment.get(ENVIRONMENT) or None
    return maincf.load(path, [maincf.override(text) for text in chosen.overrides])
