"""
What a DNS lookup said, as frozen values.

A failed lookup is a value too: "no such name" and "try again" lead to different outcomes for a recipient, and
the code that decides should not have to catch them.
"""

import enum
from dataclasses import dataclass


class Status(enum.Enum):
    """The four things that a lookup can say, and what a failure means for mail."""

    FOUND = "found"
    NO_DATA = "no data"  # the name exists, not with this type
    NO_NAME = "no name"  # the name does not exist
    RETRY = "retry"  # no trustworthy answer for now: timeout, SERVFAIL, REFUSED, a CNAME loop
    MALFORMED = "malformed"  # an answer was there, but every record in it was unusable


@dataclass(frozen=True, slots=True)
class Exchange:
    """One MX record; an empty host is the null MX of RFC 7505."""

    preference: int
    host: str


@dataclass(frozen=True, slots=True)
class Address:
    """One A or AAAA record, in canonical text."""

    address: str


@dataclass(frozen=True, slots=True)
class Opaque:
    """A record of a type that needs no meaning here, for instance TLSA."""

    data: bytes


Record = Exchange | Address | Opaque


@dataclass(frozen=True, slots=True)
class Answer:
    """
    The answer for one name and type.

    :param name: as asked, lower case, A-labels.
    :param records: those of the asked type, in the order of the answer; empty unless ``FOUND``.
    :param canonical: the name after following CNAMEs; equals ``name`` when there were none.
    :param ttl: how long this may be remembered, seconds.
    :param secure: a validating resolver that we trust vouched for it (AD bit), at every step of the chain.
    :param detail: for the operator: which server, what rcode.
    """

    name: str
    record_type: int
    status: Status
    records: tuple[Record, ...] = ()
    canonical: str = ""
    ttl: float = 0.0
    secure: bool = False
    detail: str = ""
