"""
How Postfix's master starts a service: its command line and its environment, as one value.

The words come before those that stand in master.cf: ``-n SERVICE`` where the program is not called like the service,
``-t TYPE``, ``-u`` to give up root, ``-c`` to shut itself in, ``-l`` where there is to be one process only, ``-s N``
for several listening sockets. Letters may stand together; what is not known here concerns others.

Promises: whatever the words, there is an :class:`Invocation` or a :exc:`ValueError` in words for the operator.

Does not: read main.cf, or do any of it.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

_WITH_VALUE = "imnorst"
_WITHOUT = "cdDlSuvVz"


class Invocation(NamedTuple):
    """
    What master wants of this process.

    :param program: the name that it was started by, without folders.
    :param service: the name in the first column of master.cf.
    :param gives_up_root: run as ``mail_owner``.
    :param shuts_itself_in: change root to the queue directory.
    :param is_alone: there is one process of this service at a time.
    :param sockets: how many listening sockets there are.
    :param settings: the arguments of ``-o``, in their order.
    :param generation: what the master calls itself since its last start or reload.
    :param folder: where main.cf is.
    :param log_tag: the name in front of the process's in log lines; empty: not given.
    :param log_socket: where postlogd(8) listens; empty: there is none, and syslog takes the lines.
    """

    program: str
    service: str
    gives_up_root: bool = False
    shuts_itself_in: bool = False
    is_alone: bool = False
    sockets: int = 1
    settings: tuple[str, ...] = ()
    generation: int = 0
    folder: str = "/etc/postfix"
    log_tag: str = ""
    log_socket: str = ""

    @property
    def speaks_lmtp(self) -> bool:
        """Whether the servers are LMTP servers: as with Postfix, the program's name tells, or else the service's."""
        return self.program.endswith("lmtp") or (self.service == "lmtp" and not self.program.endswith("smtp"))

    @property
    def process(self) -> str:
        """What the process is called in the log."""
        return "lmtp" if self.speaks_lmtp else "smtp"


def invocation(argv: Sequence[str], environment: Mapping[str, str]) -> Invocation:
    """
    Read the command line and the environment.

    :param argv: the name of the program first.
    :raises ValueError: when no master writes such a line.
    """
    program = argv[0].rpartition("/")[2] if argv else ""
    flags, values = _options(argv[1:])
    kind = values.get("t", ["unix"])[-1]
    if kind != "unix":
        raise ValueError(f"-t {kind}: delivery agents listen at sockets of the type unix")
    if "S" in flags:
        raise ValueError("-S: this program only runs below master(8)")
    service = values.get("n", [program])[-1]
    if not service or "/" in service:
        raise ValueError(f"-n {service}: this is no name of a service")
    return Invocation(
        program=program,
        service=service,
        gives_up_root="u" in flags,
        shuts_itself_in="c" in flags,
        is_alone="l" in flags,
        sockets=_number("-s", values.get("s", ["1"])[-1], 10, 1, 1000),
        settings=tuple(values.get("o", ())),
        generation=_number("GENERATION", environment.get("GENERATION", "0"), 8, 0, 2**32 - 1),
        folder=environment.get("MAIL_CONFIG", "") or "/etc/postfix",
        log_tag=environment.get("MAIL_LOGTAG", ""),
        log_socket=environment.get("POSTLOG_SERVICE", ""),
    )


def _options(words: Sequence[str]) -> tuple[set[str], dict[str, list[str]]]:
    """Letters without value; and those with, in their order."""
    flags: set[str] = set()
    values: dict[str, list[str]] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if len(word) < 2 or not word.startswith("-"):
            raise ValueError(f"{word!r} is no option; write what is to be set as -o name=value")
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            if letter in _WITH_VALUE:
                if not letters and not rest:
                    raise ValueError(f"-{letter}: a value is missing")
                values.setdefault(letter, []).append(letters or rest.pop(0))
                break
            if letter not in _WITHOUT:
                raise ValueError(f"-{letter}: there is no such option")
            flags.add(letter)
    return flags, values


def _number(name: str, text: str, base: int, least: int, most: int) -> int:
    try:
        number = int(text, base)
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        raise ValueError(f"{name} {text}: this is no number that master gives")
    return number
