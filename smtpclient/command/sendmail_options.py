"""
Queue a message from standard input.

::

    smtpclient sendmail [OPTION...] [--] [RECIPIENT...]

    -f SENDER      the envelope sender, <> for the null sender; else the login name, at myorigin. -r is the same
    -F NAME        the sender's full name, for a From: field; else $NAME, or the name in the password file
    -t             take recipients from To:, Cc: and Bcc:, beside those that are named
    -i, -oi        a line with only a dot does not end the message
    -B TYPE        what the body is: 7BIT or 8BITMIME
    -N WORDS       when to notify the sender: never, or a list of success, failure, delay
    -R WHAT        what comes back with a notification: full or hdrs
    -V ID          the envelope id that notifications name
    -bv            send nothing: the sender gets a report whether mail could be delivered
    -v             print the queue id
    -G             the message comes from elsewhere: its header is left as it is
    -c FILE        the service's configuration file; --config FILE and -C FILE are the same
    -o NAME=VALUE  set one parameter
    --help         this text

``-A -h -L -m -n -O -U -X``, ``-bm`` and sendmail's own ``-o`` letters are taken and ignored, for there are programs
that give them. Options may stand behind recipients; ``--`` ends them, and belongs in front of addresses that somebody
else has chosen.
"""

import getopt
import os
import re
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from smtpclient.mail.envelope import Notify, Return

PROGRAM = "smtpclient sendmail"

T = TypeVar("T")


class Failure(Exception):
    """
    The end of the program, in words.

    :param code: the exit code.
    """

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code = code


@dataclass
class CommandLine:
    """
    What was asked for.

    :ivar sender: as it was given; None: it was not.
    :ivar full_name: None: it was not given.
    :ivar configuration: what ``smtpclient.command.configuration.read`` takes.
    """

    sender: str | None = None
    full_name: str | None = None
    encoding: str = ""
    notify: Notify = Notify(0)
    ret: Return = Return.UNSPECIFIED
    envelope_id: str = ""
    from_header: bool = False
    dot_ends: bool = True
    verbose: bool = False
    probe: bool = False
    local: bool = True
    help: bool = False
    configuration: Namespace = field(default_factory=lambda: Namespace(config=None, overrides=[]))
    recipients: list[str] = field(default_factory=list)


def parse(arguments: Sequence[str]) -> CommandLine:
    """
    Read the command line.

    :raises Failure: when it is wrong.
    """
    line = CommandLine()
    try:
        given, line.recipients = getopt.gnu_getopt(list(arguments), _SHORT, ["config=", "help"])
        for option, value in given:
            _take(line, option, value)
    except ValueError as error:
        raise Failure(os.EX_USAGE, f"{option} {value}: expected {error}\nTry: {PROGRAM} --help") from error
    except getopt.GetoptError as error:
        raise Failure(os.EX_USAGE, f"{error}\nTry: {PROGRAM} --help") from error
    return line


def manual() -> str:
    """The text for ``--help``."""
    return (__doc__ or "").strip() + "\n"


def _take(line: CommandLine, option: str, value: str) -> None:
    """
    Take one option.

    :raises ValueError: says what was expected.
    """
    if option in _VALUES:
        name, meaning = _VALUES[option]
        setattr(line, name, meaning(value))
    elif option in _FLAGS:
        setattr(line, *_FLAGS[option])
    elif option in ("-c", "-C", "--config"):
        line.configuration.config = value
    elif option == "-o" and "=" in value[1:]:
        line.configuration.overrides.append(value)
    elif option == "-o" and value == "i":
        line.dot_ends = False
    elif option == "-o" and not re.fullmatch(r"[A-Za-z78].{0,2}", value):
        raise ValueError("NAME=VALUE")
    elif option == "-b" and value in ("m", "v"):
        line.probe = value == "v"
    elif option == "-b":
        raise ValueError("-bm or -bv; smtpclient queue shows and changes the queue")


def _word(known: Mapping[str, T]) -> Callable[[str], T]:
    """What turns one of some words into what it means, whatever its case."""

    def meaning(value: str) -> T:
        if value.lower() not in known:
            raise ValueError(" or ".join(known))
        return known[value.lower()]

    return meaning


def _notify(value: str) -> Notify:
    words = [word.strip().upper() for word in value.split(",")]
    if words == ["NEVER"]:
        return Notify.NEVER
    notify = Notify(0)
    for word in words:
        if word not in ("SUCCESS", "FAILURE", "DELAY"):
            raise ValueError("never, or some of success,failure,delay")
        notify |= Notify[word]
    return notify


def _envelope_id(value: str) -> str:
    if not re.fullmatch(r"[!-~][ -~]{0,99}", value):
        raise ValueError("up to 100 printable ASCII characters")
    return value


_SHORT = "A:B:C:F:GL:N:O:R:UV:X:b:c:f:h:imno:r:tv"
_VALUES: dict[str, tuple[str, Callable[[str], object]]] = {
    "-f": ("sender", str),
    "-r": ("sender", str),
    "-F": ("full_name", str),
    "-B": ("encoding", _word({"7bit": "7bit", "8bitmime": "8bit"})),
    "-N": ("notify", _notify),
    "-R": ("ret", _word({"full": Return.FULL, "hdrs": Return.HEADERS})),
    "-V": ("envelope_id", _envelope_id),
}
_FLAGS: dict[str, tuple[str, bool]] = {
    "-t": ("from_header", True),
    "-i": ("dot_ends", False),
    "-v": ("verbose", True),
    "-G": ("local", False),
    "--help": ("help", True),
}
