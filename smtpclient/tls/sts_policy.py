"""
MTA-STS policies (RFC 8461 section 3.2): what a domain says about its mail exchangers, as a frozen value.

::

    version: STSv1
    mode: enforce
    mx: mail.example.com
    mx: *.example.net
    max_age: 604800

=========  ==================================================================================================
mode       what senders do
=========  ==================================================================================================
enforce    mail goes to hosts that a pattern matches and that show a certificate for their name, to no others
testing    mail goes as if there were no policy; what would have failed is reported
none       there is no policy any more
=========  ==================================================================================================

Promises: :func:`parse` takes any bytes; fields that it does not know are passed over, a line that is no field makes the
policy invalid; of a field said twice the first counts, ``mx`` apart.

Does not: fetch (``smtpclient.tls.sts_fetch``), remember (``smtpclient.tls.sts_cache``).
"""

import enum
import re
from dataclasses import dataclass

from smtpclient.dns.name import is_hostname

LONGEST_AGE = 31_557_600  # RFC 8461 section 3.2: about a year
MOST_PATTERNS = 1000

_FIELD = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,31}):[ \t]*(.*?)[ \t]*")
_AGE = re.compile(r"[0-9]{1,10}")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class PolicyInvalid(ValueError):
    """This text is no policy; the words say why."""


class Mode(enum.Enum):
    """What a policy asks for; the values are its words."""

    ENFORCE = "enforce"
    TESTING = "testing"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class StsPolicy:
    """
    One policy.

    :param max_age: how long it may be relied on after it was fetched, seconds.
    :param mx: patterns, in lower case: a host name, or ``*.`` and a domain.
    :param text: as it was fetched.
    """

    mode: Mode
    max_age: int
    mx: tuple[str, ...] = ()
    text: str = ""

    def allows(self, host: str) -> bool:
        """Whether a mail exchanger is one of those that the policy names. ``*`` stands for one label, the first."""
        host = host.lower().removesuffix(".")
        label, _, parent = host.partition(".")
        return any(pattern == host or (label and parent and pattern == f"*.{parent}") for pattern in self.mx)

    @property
    def lines(self) -> tuple[str, ...]:
        """The text line by line, as reports quote it."""
        return tuple(line.strip() for line in self.text.splitlines() if line.strip())


def parse(data: bytes) -> StsPolicy:
    """
    Read a policy.

    :param data: the whole text; lines end in LF or CRLF.
    :raises PolicyInvalid: when it is none.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise PolicyInvalid("not UTF-8") from None
    fields: dict[str, str] = {}
    patterns: list[str] = []
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if not line.strip(" \t"):
            continue
        field = None if _CONTROL.search(line) else _FIELD.fullmatch(line)
        if field is None:
            raise PolicyInvalid(f"line {number} is no field: {line[:60]!a}")
        if field[1] == "mx":
            patterns.append(_pattern(field[2]))
        else:
            fields.setdefault(field[1], field[2])
    return _policy(fields, patterns, text)


def _policy(fields: dict[str, str], patterns: list[str], text: str) -> StsPolicy:
    if fields.get("version") != "STSv1":
        raise PolicyInvalid(f'version is {fields.get("version")!a}, expected "STSv1"')
    try:
        mode = Mode(fields.get("mode", ""))
    except ValueError:
        raise PolicyInvalid(f"mode is {fields.get('mode')!a}, expected enforce, testing or none") from None
    age = fields.get("max_age", "")
    if not _AGE.fullmatch(age):
        raise PolicyInvalid(f"max_age is {fields.get('max_age')!a}, expected a number of seconds")
    if mode is not Mode.NONE and not patterns:
        raise PolicyInvalid(f"mode {mode.value} without mx")
    if len(patterns) > MOST_PATTERNS:
        raise PolicyInvalid(f"more than {MOST_PATTERNS} mx patterns")
    return StsPolicy(mode, min(int(age), LONGEST_AGE), tuple(dict.fromkeys(patterns)), text)


def _pattern(text: str) -> str:
    pattern = text.lower().removesuffix(".")
    if not is_hostname(pattern.removeprefix("*.")):
        raise PolicyInvalid(f"mx is {text[:60]!a}, expected a host name or *.domain")
    return pattern
