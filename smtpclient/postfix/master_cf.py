"""
Postfix's master.cf, as far as it tells which services deliver by SMTP or LMTP, and with which options.

A service's line is eight columns (name, type, private, unpriv, chroot, wakeup, maxproc, command), the last one with its
arguments, where braces hold one argument together. What makes a service one of these is the program's own name: one of
ours, or Postfix's ``smtp`` and ``lmtp``, whose place ours could take.

Promises: every line that Postfix's master would take for such a service is found, in their order.

Does not: look at the other columns, which are master's; know a program that goes by another name.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from smtpclient.config.logical_lines import logical_lines
from smtpclient.config.parameters import ConfigurationError
from smtpclient.postfix.invocation import Invocation, invocation

#: The programs of ours, by the name of the one whose place they take.
PROGRAMS = {"smtp": "smtpclient-smtp", "lmtp": "smtpclient-lmtp"}

_COLUMNS = 8
# An argument: in braces, which may hold others, or up to the next blank.
_ARGUMENT = re.compile(r"\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}|\S+")


@dataclass(frozen=True, slots=True)
class Service:
    """
    One service that delivers by SMTP or LMTP.

    :param source: its line: file and number.
    :param runs: the name of the program, without folders.
    :param arguments: behind the program's name.
    """

    source: str
    name: str
    kind: str
    runs: str
    arguments: tuple[str, ...] = ()

    @property
    def is_ours(self) -> bool:
        """Whether our program is what runs."""
        return self.runs in PROGRAMS.values()

    @property
    def agent(self) -> str:
        """The program of ours that runs, or could."""
        return PROGRAMS.get(self.runs, self.runs)

    def invocation(self, folder: str) -> Invocation:
        """
        How master would start our program for it.

        :param folder: where main.cf is.
        :raises ConfigurationError: when the program would refuse its arguments.
        """
        try:
            return invocation([self.agent, "-n", self.name, "-t", self.kind, *self.arguments], {"MAIL_CONFIG": folder})
        except ValueError as why:
            raise ConfigurationError([f"{self.source}: {why}"]) from None


def read(folder: str) -> list[Service]:
    """
    The services of a configuration directory that deliver by SMTP or LMTP.

    :raises ConfigurationError: when master.cf cannot be read.
    """
    path = f"{folder}/master.cf"
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            text = file.read()
    except OSError as error:
        raise ConfigurationError([f"{path}: {error.strerror or error}"]) from None
    return list(_services(path, text))


def _services(path: str, text: str) -> Iterator[Service]:
    for line in logical_lines(text):
        columns = line.text.split(None, _COLUMNS - 1)
        if len(columns) < _COLUMNS or line.orphan:
            continue  # master itself complains of it
        words = [_bare(word) for word in _ARGUMENT.findall(columns[-1])]
        program = os.path.basename(words[0])
        if program in PROGRAMS or program in PROGRAMS.values():
            yield Service(f"{path}:{line.number}", columns[0], columns[1], program, tuple(words[1:]))


def _bare(word: str) -> str:
    """An argument without the braces that held it together."""
    return word[1:-1].strip() if word.startswith("{") and word.endswith("}") else word
