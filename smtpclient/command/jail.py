"""
``smtpclient jail DIRECTORY --user USER``: make what ``twistd --chroot DIRECTORY`` needs.

::

    smtpclient jail -c /etc/smtpclient/main.cf /var/lib/smtpclient --user smtpclient
    twistd --chroot /var/lib/smtpclient --uid smtpclient --gid smtpclient smtpclient --config /etc/smtpclient/main.cf

Only root can; it may be called again at any time, for instance before each start, and brings the jail up to date. What
is in it, and why, is told in ``smtpclient.command.jail_directory``.

Exit codes: 67 for a user that there is not, 73 when something cannot be made, 77 for who is not root.
"""

import os
from collections.abc import Sequence
from typing import BinaryIO, TextIO

from smtpclient.command import configuration
from smtpclient.command.jail_directory import Inmate, Jail, JailError

PROGRAM = "smtpclient jail"


def parser() -> configuration.Parser:
    """The command line."""
    top = configuration.parser(PROGRAM, "Make a directory in which the service can live under twistd --chroot.")
    top.add_argument("--user", metavar="USER", required=True, help="who the service runs as: twistd's --uid")
    top.add_argument("directory", metavar="DIRECTORY", help="the jail: twistd's --chroot")
    return top


def main(arguments: Sequence[str], *, stdin: BinaryIO, stdout: TextIO, stderr: TextIO) -> int:
    """
    Run the command.

    :param stdin: not read.
    :return: the exit code.
    :raises ConfigurationError: when the configuration cannot be used.
    """
    options = configuration.parse(parser(), arguments)
    parameters = configuration.read(options, os.environ)
    if os.geteuid():
        stderr.write(f"{PROGRAM}: only root can make a jail\n")
        return os.EX_NOPERM
    try:
        inmate = Inmate.named(options.user)
    except JailError as error:
        stderr.write(f"{PROGRAM}: {error}\n")
        return os.EX_NOUSER
    try:
        jail = Jail(options.directory)
        jail.make(inmate, parameters.text("queue_directory"), parameters.text("smtp_tls_CAfile"))
    except JailError as error:
        stderr.write(f"{PROGRAM}: {error}\n")
        return os.EX_CANTCREAT
    except OSError as error:
        stderr.write(f"{PROGRAM}: {error.filename}: {error.strerror}\n")
        return os.EX_CANTCREAT
    return os.EX_OK
