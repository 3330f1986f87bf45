"""
Envelope addresses: their internal and their quoted form.

An address is kept as :class:`str` in its *internal* form, as queue files hold it: ``user name@example.com``
with no quotes. What is not UTF-8 is kept with ``surrogateescape``, so that bytes survive a round trip.
The *external* form, for SMTP commands, logs and reports, quotes the local part where RFC 5321 section 4.1.2
asks for it.

Promises: ``internal(external(a)) == a`` for every address; no control character survives into a command,
because :func:`external` is only ever used behind :func:`is_safe`.

Does not: validate domains (``smtpclient.dns``), rewrite addresses.
"""

import re
from functools import lru_cache

# What an atom cannot hold; it can hold everything beyond ASCII, and to say so the other way round takes ``re`` 4 ms.
_ATOM = re.compile(r'[^\x00- "(),.:;<>@\[\\\]\x7f]+(?:\.[^\x00- "(),.:;<>@\[\\\]\x7f]+)*')
# Surrogates that stand for no byte, see from_bytes, can come from a program only, and have no bytes to be sent as.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\ud800-\udc7f\udd00-\udfff]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_TO_QUOTE = re.compile(r'(["\\])')
_QUOTED_PAIR = re.compile(r"\\(.)", re.S)


def split(address: str) -> tuple[str, str]:
    """
    Split an internal address at its last ``@``.

    :return: the local part and the domain; the domain is empty when there is none.
    """
    local, at, domain = address.rpartition("@")
    return (local, domain) if at else (address, "")


def domain_of(address: str) -> str:
    """The domain of an internal address in lower case, or an empty string."""
    return address.rpartition("@")[2].lower() if "@" in address else ""


@lru_cache(maxsize=1024)  # an address is asked for again with each command, log line and report
def external(address: str) -> str:
    """
    The form for SMTP commands, logs and reports: the local part quoted where it must be.

    The null address stays empty. RFC 5321 section 4.1.2.
    """
    if not address:
        return ""
    local, at, domain = address.rpartition("@")
    if not at:
        local, domain = address, ""
    if not _ATOM.fullmatch(local):
        local = '"' + _TO_QUOTE.sub(r"\\\1", local) + '"'
    return local + at + domain


def internal(address: str) -> str:
    """The unquoted form of an external address."""
    local, at, domain = address.rpartition("@")
    if not at:
        local, domain = address, ""
    if len(local) > 1 and local[0] == local[-1] == '"':
        local = _QUOTED_PAIR.sub(r"\1", local[1:-1])
    return local + at + domain


def is_safe(address: str) -> bool:
    """Whether the address holds no control character and so cannot break out of a command line, and has bytes."""
    return _UNSAFE.search(address) is None


def is_utf8(text: str) -> bool:
    """Whether the text came from bytes that are UTF-8, all of them."""
    return _SURROGATE.search(text) is None


def to_bytes(text: str) -> bytes:
    """
    The bytes of an address or other envelope text, as they came.

    :raises UnicodeEncodeError: for text that is not safe and never was bytes.
    """
    return text.encode("utf-8", "surrogateescape")


def from_bytes(data: bytes) -> str:
    """Envelope text from bytes; what is not UTF-8 survives a round trip."""
    return data.decode("utf-8", "surrogateescape")
