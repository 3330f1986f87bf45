"""
``smtpclient postfix``: see before a change of Postfix's master.cf, or after one of main.cf, what would be refused.

::

    smtpclient postfix                  every service that delivers by SMTP or LMTP
    smtpclient postfix relay trial      these
    smtpclient postfix -c DIRECTORY     of another Postfix than that in /etc/postfix

Each service is put together just as its process would be when master starts it: main.cf, the options of its line in
master.cf, and the files that they name (keys, passwords, tables). What that process would complain of is told: its
warnings, what it would refuse, and that it would deliver nothing for that. A service that runs Postfix's own program is
looked at as if ours were there.

Does not: connect to anything, or change anything. Known limits: who is not root may not be able to read what the
process, which starts as root, reads; what a jail hides later is not noticed.

Exit codes: 0 where nothing would be refused, 78 where something would be.
"""

import os
from collections.abc import Sequence
from typing import BinaryIO, TextIO

from smtpclient.command import configuration
from smtpclient.config.parameters import ConfigurationError
from smtpclient.observe.maillog import MailLog
from smtpclient.postfix import main_cf, master_cf
from smtpclient.postfix.agent import put_together

PROGRAM = "smtpclient postfix"


def parser() -> configuration.Parser:
    """The command line."""
    top = configuration.Parser(
        prog=PROGRAM,
        description="Tell what the services of Postfix's master.cf would refuse with our programs.",
        allow_abbrev=False,
    )
    top.add_argument(
        "-c",
        dest="folder",
        metavar="DIRECTORY",
        default=os.environ.get("MAIL_CONFIG") or "/etc/postfix",
        help="where main.cf and master.cf are (%(default)s)",
    )
    top.add_argument("services", metavar="SERVICE", nargs="*", help="first column of master.cf; all when none is named")
    return top


def main(arguments: Sequence[str], *, stdin: BinaryIO, stdout: TextIO, stderr: TextIO) -> int:
    """
    Run the command.

    :param stdin: not read.
    :return: the exit code.
    :raises ConfigurationError: when there is no master.cf, or no such service in it.
    """
    options = parser().parse_args(arguments)
    code = os.EX_OK
    for service in _chosen(options.folder, options.services):
        warnings, problems = _complaints(service, options.folder)
        stderr.writelines(f"{PROGRAM}: {service.name}: {complaint}\n" for complaint in (*warnings, *problems))
        if problems:
            code = os.EX_CONFIG
        stdout.write(f"{service.name}: {_verdict(service, bool(problems))}\n")
    return code


def _chosen(folder: str, names: Sequence[str]) -> list[master_cf.Service]:
    found = master_cf.read(folder)
    if unknown := sorted(set(names) - {each.name for each in found}):
        raise ConfigurationError(
            [f"{folder}/master.cf: no service {name} runs smtp, lmtp or one of our programs" for name in unknown]
        )
    return [each for each in found if not names or each.name in names]


def _complaints(service: master_cf.Service, folder: str) -> tuple[Sequence[str], Sequence[str]]:
    """What its process would warn of, in the words of its log, and what it would refuse."""
    from twisted.internet import reactor  # noqa: PLC0415 -- there is none before somebody wants one

    warnings: list[str] = []
    maillog = MailLog()
    maillog.write_to(lambda _process, line, _moment: warnings.append(line))
    try:
        start = service.invocation(folder)
        found = main_cf.read(start)
        put_together(start, found, reactor=reactor, maillog=maillog, queue_directory=found.queue_directory)
    except ConfigurationError as error:
        return warnings, error.problems
    return warnings, ()


def _verdict(service: master_cf.Service, is_refused: bool) -> str:
    if service.is_ours:
        return f"{service.runs} would deliver nothing" if is_refused else f"{service.runs} has nothing to refuse"
    return f"{service.agent} {'could not' if is_refused else 'could'} take the place of {service.runs}"
