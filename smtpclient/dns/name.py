"""
Names and addresses of hosts: one spelling for each, and what may be asked of a name server at all.

A name is looked up, compared and remembered in one form only: lower case, A-labels (RFC 5891), no trailing dot.
The syntax is that of host names with the underscore that the real world uses (RFC 1123 section 2.1, RFC 8552):
letters, digits, hyphens inside labels, labels up to 63 characters, 253 in all, and not a number throughout, so
that a mistyped address is never taken for a name.

Promises: what :func:`to_ascii` returns holds no character that could end a line, a label or a log field, and fits
into a query; each function is quick for hostile text of any length.

Does not: know which names exist, or append a local domain to names without dots.

Known limits: labels that UTS 46 would let pass and IDNA 2008 does not (emoji) are refused.
"""

import encodings.idna  # here and not at first use: after a chroot it could not be loaded any more
import ipaddress
import re
from collections.abc import Callable, Iterator
from functools import lru_cache

LONGEST_NAME = 253
LONGEST_LABEL = 63

_NAME = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*")
_NUMERIC = re.compile(r"[0-9.]*")
_LIKE_AN_ADDRESS = re.compile(r"[0-9A-Fa-f:.]{2,45}")
_FORBIDDEN = re.compile(r"[^a-z0-9_.-]")


def _label_idna2003(label: str) -> str:
    """One label by the rules of RFC 3490, for where the ``idna`` package is not installed."""
    return encodings.idna.ToASCII(label).decode("ascii")


_map_name: Callable[[str], str] = encodings.idna.nameprep
_encode_label: Callable[[str], str] = _label_idna2003
try:
    import idna
except ImportError:  # pragma: no cover - twisted[tls] brings it
    pass
else:

    def _map_uts46(name: str) -> str:
        """Case, width and dots made one, RFC 5895 and UTS 46, without transitional processing."""
        return idna.uts46_remap(name, std3_rules=False, transitional=False)

    def _label_idna2008(label: str) -> str:
        """One label by the rules of RFC 5891."""
        return idna.alabel(label).decode("ascii")

    _map_name, _encode_label = _map_uts46, _label_idna2008


def fault(name: str) -> str:
    """
    What is wrong with a name as a host name, in words; nothing when it is one.

    :param name: lower case, A-labels, no trailing dot.
    """
    if _NAME.fullmatch(name) and len(name) <= LONGEST_NAME and not _NUMERIC.fullmatch(name):
        return ""
    return next(_faults(name))


def _faults(name: str) -> Iterator[str]:
    """Everything that is wrong with a name that is no host name; the last resort fits always."""
    if not name:
        yield "empty name"
    if len(name) > LONGEST_NAME:
        yield f"name of {len(name)} characters, the longest is {LONGEST_NAME}"
    if bad := _FORBIDDEN.search(name):
        yield f"character {bad.group()!a} in a host name"
    labels = name.split(".")
    if not all(labels):
        yield "misplaced dot"
    if (longest := max(map(len, labels))) > LONGEST_LABEL:
        yield f"label of {longest} characters, the longest is {LONGEST_LABEL}"
    if any(label[:1] == "-" or label[-1:] == "-" for label in labels):
        yield "misplaced hyphen"
    yield "number where a name is wanted"


def is_hostname(name: str) -> bool:
    """Whether a name in lower case and A-labels is a host name."""
    return not fault(name)


def to_ascii(name: str) -> str:
    """
    The one form of a name: lower case, A-labels, no trailing dot.

    :param name: any case, U-labels or A-labels, one trailing dot or none.
    :raises ValueError: in words, when it is no host name.
    """
    name = name.removesuffix(".")
    if not name.isascii():
        if len(name) > LONGEST_NAME:
            raise ValueError(fault(name))
        try:
            labels = _map_name(name).split(".")
            name = ".".join(label if label.isascii() else _encode_label(label) for label in labels)
        except UnicodeError as error:
            raise ValueError(f"no IDNA form: {error}") from None
    name = name.lower()
    if why := fault(name):
        raise ValueError(why)
    return name


def to_address(text: str) -> str:
    """
    The one spelling of an IP address, or nothing when the text is none.

    :param text: dotted quad or IPv6, without brackets, without a scope.
    """
    return _one_spelling(text) if _LIKE_AN_ADDRESS.fullmatch(text) else ""


@lru_cache(maxsize=1024)  # the same few are asked for with each message, and it takes long
def _one_spelling(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""


def family(address: str) -> str:
    """``ipv6`` or ``ipv4``, as ``inet_protocols`` names them, for an address in text."""
    return "ipv6" if ":" in address else "ipv4"


def is_loopback(address: str) -> bool:
    """Whether an address in text never leaves this machine."""
    return ipaddress.ip_address(address).is_loopback
