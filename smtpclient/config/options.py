"""
The options of ``twistd smtpclient``, made from the table of parameters.

Every parameter is an option of its own: ``smtp_connect_timeout`` is ``--smtp-connect-timeout``. What is built in counts
least, then the file of ``--config``, then ``-o name=value``, then a parameter's own option.

Promises: after parsing, :attr:`Options.parameters` is there; whatever is wrong with options or file is one
:exc:`~twisted.python.usage.UsageError` with a line for each fault.

Does not: start anything (``smtpclient.tap``).
"""

import re
from typing import Any

from twisted.python import usage

from smtpclient.config import maincf
from smtpclient.config.elsewhere import nearest
from smtpclient.config.parameters import ROWS, ConfigurationError, Parameters
from smtpclient.config.parameters_lmtp import TWINS

MOST_WORKERS = 256
_WORKERS = re.compile(r"\d{1,2}|1\d\d|2[0-4]\d|25[0-6]", re.A)
_UNKNOWN = re.compile(r"option --(\S+) not recognized")


def option_of(name: str) -> str:
    """A parameter's option, without the leading hyphens."""
    return name.replace("_", "-")


#: Option, letter, default, argument, sentence.
_SERVICE: tuple[tuple[str, str | None, str | None, str, str], ...] = (
    ("config", "c", None, "FILE", "Read parameters in the syntax of Postfix's main.cf."),
    ("bounce-service", None, "queue", "NAME[:ARGS]", "Who records and reports failed recipients."),
    ("defer-service", None, "queue", "NAME[:ARGS]", "Who records recipients that wait."),
    ("trace-service", None, "queue", "NAME[:ARGS]", "Who records and reports successes that senders asked for."),
    ("submission", None, None, "ENDPOINT", "Take new messages by SMTP, for instance at tcp:2525:interface=127.0.0.1."),
    ("admin", None, None, "ENDPOINT", "Show metrics and the queue by HTTP."),
    ("workers", None, "0", "N", "Deliver in N processes of their own; 0: in the service's."),
)


class Options(usage.Options):
    """
    The command line.

    :ivar parameters: what file and options come to; there after parsing.
    """

    synopsis = "[options]"
    optParameters = [
        *([option, letter, default, sentence] for option, letter, default, _, sentence in _SERVICE),
        # None is what tells an option that was not given; the values are checked all at once, not one by one.
        *([option_of(row.name), None, None, row.help] for row in ROWS.values()),
    ]
    parameters: Parameters

    def __init__(self) -> None:
        super().__init__()
        self._overrides: list[maincf.Override] = []

    def opt_o(self, setting: str) -> None:
        """Set one parameter, as ``name=value``."""
        try:
            self._overrides.append(maincf.override(setting))
        except ConfigurationError as error:
            raise usage.UsageError(str(error)) from None

    def parseOptions(self, options: Any = None) -> None:
        """
        Read the words of a command line.

        :raises UsageError: in words, with the nearest option where one is unknown.
        """
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            unknown = _UNKNOWN.fullmatch(str(error))
            meant = nearest(unknown[1], [option_of(name) for name in ROWS]) if unknown else None
            if meant is None:
                raise
            raise usage.UsageError(f"{error}; did you mean --{meant}?") from None

    def postOptions(self) -> None:
        """
        Bring file and options together.

        :raises UsageError: with everything that is wrong, a line each.
        """
        given = [
            maincf.Override(name, self[option_of(name)], f"--{option_of(name)}")
            for name in ROWS
            if self[option_of(name)] is not None
        ]
        if not _WORKERS.fullmatch(self["workers"]):
            raise usage.UsageError(f"--workers {self['workers']}: a number from 0 to {MOST_WORKERS} is expected")
        try:
            self.parameters = maincf.load(self["config"], [*self._overrides, *given])
        except ConfigurationError as error:
            raise usage.UsageError(str(error)) from None

    def getUsage(self, width: int | None = None) -> str:
        """The help: one line for each option, the parameters under the headings of the manual."""
        lines = ["Options:"]
        for option, letter, default, argument, sentence in _SERVICE:
            names = f"{f'-{letter}, ' if letter else ''}--{option} {argument}"
            lines.append(f"  {names:<34}  {sentence}" + (f" [{default}]" if default else ""))
        lines += [
            f"  {'-o NAME=VALUE':<34}  Set one parameter; may be given several times.",
            f"  {'--version':<34}  Show Twisted's version.",
            f"  {'--help':<34}  Show this.",
            "",
            "Parameters; their own options count more than -o, that more than the file. Kinds, limits and what is",
            "known but not supported are in the manual. For each --smtp-... there is an --lmtp-....",
        ]
        heading, twins = "", frozenset(TWINS.values())
        for row in ROWS.values():
            if not row.honoured or row.name in twins:
                continue
            if row.section != heading:
                heading = row.section
                lines += ["", f"{heading}:"]
            default = f" [{row.default}]" if row.default else ""
            lines.append(f"  {'--' + option_of(row.name):<50}  {row.help}{default}")
        return "\n".join(lines) + "\n"
