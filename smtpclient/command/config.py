"""
``smtpclient config``: the parameters, in the way of postconf(1).

::

    smtpclient config              every parameter, as it is set
    smtpclient config -n           only those that are set
    smtpclient config -d           the built-in defaults, whatever is set
    smtpclient config NAME...      these

Lines are ``name = value``, unexpanded, so that what ``-n`` prints is a configuration file again. A configuration that
the service would refuse is refused here too, with everything that is wrong, so ``smtpclient config -n -c FILE`` is the
way to try one out.
"""

import os
from collections.abc import Sequence
from typing import BinaryIO, TextIO

from smtpclient.command import configuration
from smtpclient.config.parameters import Parameters

PROGRAM = "smtpclient config"


def parser() -> configuration.Parser:
    """The command line."""
    top = configuration.parser(PROGRAM, "Show the parameters.")
    which = top.add_mutually_exclusive_group()
    which.add_argument("-d", "--defaults", action="store_true", help="the built-in defaults, whatever is set")
    which.add_argument("-n", "--set", action="store_true", help="only what is set")
    top.add_argument("names", metavar="NAME", nargs="*", help="a parameter; all of them when none is named")
    return top


def main(arguments: Sequence[str], *, stdin: BinaryIO, stdout: TextIO, stderr: TextIO) -> int:
    """
    Run the command.

    :param stdin: not read.
    :return: the exit code.
    :raises ConfigurationError: when the configuration cannot be used.
    """
    options = configuration.parse(parser(), arguments)
    # A faulty file does not keep anybody from looking up a default.
    parameters = Parameters.from_values() if options.defaults else configuration.read(options, os.environ)
    try:
        lines = parameters.dump(options.names, defaults_only=options.defaults, non_default_only=options.set)
    except KeyError as error:
        stderr.write(f"{PROGRAM}: {error.args[0]}: there is no such parameter; without a name all of them are shown\n")
        return os.EX_USAGE
    stdout.writelines(f"{line}\n" for line in lines)
    return os.EX_OK
