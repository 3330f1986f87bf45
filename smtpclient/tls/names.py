"""
Which name a certificate must bear, and whether it does.

Patterns are those of ``smtp_tls_secure_cert_match`` and ``match=``:

=================  ==================================================================================
``nexthop``        the next hop's name, as the mail is addressed or routed
``dot-nexthop``    any name below it
``hostname``       the server's name, from the MX record
``example.com``    this name
``.example.com``   any name below this one
=================  ==================================================================================

What a certificate bears are its DNS subject alternative names; where it has none, its common name (RFC 6125 section
6.4.4). ``*`` stands for one whole label, the first. One name is compared by ``service_identity``, which knows nothing
of "any name below": these are compared here. An IP address as a name needs an IP subject alternative name.

Promises: a name with a NUL, or any other odd byte, in it matches nothing.

Known limits: ``*`` covers one label also where ``tls_wildcard_matches_multiple_labels`` is left at its default.
"""

import ipaddress
import re
from collections.abc import Iterable, Sequence

from cryptography import x509
from cryptography.x509.oid import NameOID
from service_identity.hazmat import DNS_ID, DNSPattern

from smtpclient.dns.name import is_hostname, to_ascii

_STARS = re.compile(r"^[a-z0-9-]*\*[a-z0-9-]*(?=\.)")


def expand(patterns: Iterable[str], next_hop: str, host: str) -> tuple[str, ...]:
    """
    The patterns with the names of one delivery in them.

    :param next_hop: the name in the next hop, without brackets and port.
    :param host: from the MX record.
    """
    words = {"nexthop": next_hop, "dot-nexthop": "." + next_hop, "hostname": host}
    expanded = (words.get(pattern.lower(), pattern) for pattern in patterns)
    return tuple(dict.fromkeys(_canonical(pattern) for pattern in expanded))


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """The names that a certificate bears, for comparing and for the log."""
    names = tuple(name.value for name in _alternative(certificate) if isinstance(name, x509.DNSName))
    return names or tuple(_common_names(certificate))


def first_match(certificate: x509.Certificate, patterns: Sequence[str]) -> str:
    """The pattern that the certificate meets; an empty text when it meets none."""
    names = names_of(certificate)
    addresses = [name.value for name in _alternative(certificate) if isinstance(name, x509.IPAddress)]
    for pattern in patterns:
        if address := _address(pattern):
            if address in addresses:
                return pattern
        elif any(_matches(name, pattern) for name in names):
            return pattern
    return ""


def _matches(name: str, pattern: str) -> bool:
    if pattern.startswith("."):
        # Whatever names a wildcard covers, they are below the same domain as itself.
        bare = _STARS.sub("x", name.lower(), count=1)
        return is_hostname(bare) and bare.endswith(pattern)
    try:
        return DNS_ID(pattern).verify(DNSPattern.from_bytes(name.encode("ascii")))
    except Exception:  # whatever stands there is no name, and so not the one
        return False


def _canonical(pattern: str) -> str:
    dot, bare = ("." if pattern.startswith(".") else ""), pattern.removeprefix(".")
    try:
        return dot + to_ascii(bare)
    except ValueError:
        return pattern.lower()


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _alternative(certificate: x509.Certificate) -> list[x509.GeneralName]:
    try:
        return list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except (x509.ExtensionNotFound, ValueError):  # there is none, or none that can be read
        return []


def _common_names(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except Exception:
        return []
    return [attribute.value for attribute in found if isinstance(attribute.value, str)][-1:]
