"""
``smtpclient COMMAND``, also ``python -m smtpclient COMMAND``.

Finds the command and hands it the words behind its name; each command is a module with a ``main`` of its own, and is
only imported when it is called for. What is wrong with the configuration is said here, for all of them. Exit codes are
those of sysexits.h: 64 for a wrong command line, 66 for a queue
directory that is not there, 69 where nobody listens, 74 for a disk that fails, 75 for what may work in a moment, 77
for what you may not do, 78 for a wrong configuration.
"""

import importlib
import os
import sys
from collections.abc import Sequence

from smtpclient.config.parameters import ConfigurationError

COMMANDS = {
    "sendmail": "queue a message from standard input",
    "queue": "show and change the queue",
    "config": "show the parameters",
    "explain": "show where mail for an address would go, and how",
    "jail": "make a directory for twistd --chroot",
    "postfix": "tell what would be refused in Postfix's master.cf",
}


def usage() -> str:
    """What there is to call."""
    lines = ["usage: smtpclient COMMAND [OPTION...] [ARGUMENT...]", ""]
    lines += [f"  {name:10} {words}" for name, words in COMMANDS.items()]
    lines += ["", "smtpclient COMMAND --help says more. The service itself is started with: twistd smtpclient", ""]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run one command.

    :param argv: the words behind the program's name; None: those of this process.
    :return: the exit code.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    name = words.pop(0) if words else ""
    if name in ("-h", "--help", "help"):
        sys.stdout.write(usage())
        return os.EX_OK
    if name not in COMMANDS:
        complaint = f"there is no command {name!r}" if name else "say which command"
        sys.stderr.write(f"smtpclient: {complaint}\n{usage()}")
        return os.EX_USAGE
    # Addresses and content are bytes; they pass through as they are, whatever the locale.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="surrogateescape")  # type: ignore[union-attr]
    command = importlib.import_module(f"smtpclient.command.{name}")
    try:
        code = int(command.main(words, stdin=sys.stdin.buffer, stdout=sys.stdout, stderr=sys.stderr))
        sys.stdout.flush()
    except ConfigurationError as error:
        sys.stderr.writelines(f"smtpclient {name}: {problem}\n" for problem in error.problems)
        code = os.EX_CONFIG
    except KeyboardInterrupt:
        code = os.EX_TEMPFAIL
    except BrokenPipeError:
        # Whoever read us has seen enough. The interpreter would complain when it flushes once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = os.EX_OK
    return code
