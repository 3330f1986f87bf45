"""
The forms of a next hop: what a transport table, ``relayhost`` or a delivery request may name.

=========================  ====================================================
``domain``                 the mail exchangers of a domain
``domain:port``            the same, at another port
``[host]``, ``[host]:port``    one host, without MX lookup
``[address]:port``         an IP address; ``[ipv6:2001:db8::1]`` is taken, too
=========================  ====================================================

A port is a number or the name of a service. For LMTP there are ``unix:path`` and ``inet:host:port`` besides
(:func:`parse_lmtp`), and never an MX lookup.

Promises: what :func:`parse` returns can be looked up or connected to as it stands: the host is a host name (U-labels
are left as they are) or an address in its one spelling, the port lies in 1 to 65535; two next hops that mean the
same compare equal.

Does not: look anything up.

Known limits: what a next hop means is remembered; a change in the system's list of services may count only after a
restart.
"""

from dataclasses import dataclass, field, replace
from functools import lru_cache

from smtpclient.config.kinds import parse_port, split_list
from smtpclient.dns.name import to_address, to_ascii

_IPV6_PREFIX = "ipv6:"
# So that these work where the system's list of services is missing, as in a chroot.
_KNOWN_SERVICES = {"lmtp": 24, "smtp": 25, "smtps": 465, "submissions": 465, "submission": 587}


@dataclass(frozen=True, slots=True)
class Destination:
    """
    One next hop, understood.

    :param host: a name in lower case or an IP address, without brackets; empty for a UNIX socket.
    :param port: TCP port; 0 for a UNIX socket.
    :param use_mx: deliver to the mail exchangers of ``host``, and not to ``host`` itself.
    :param literal: ``host`` is an IP address.
    :param path: of a UNIX socket (LMTP), or empty.
    :param text: the next hop as it was written.
    """

    host: str
    port: int
    use_mx: bool
    literal: bool
    path: str = ""
    text: str = field(default="", compare=False)

    def __str__(self) -> str:
        return self.text or (f"[{self.host}]:{self.port}" if not self.use_mx else f"{self.host}:{self.port}")


@lru_cache(maxsize=1024)  # it is asked for with each message
def parse(next_hop: str, default_port: int) -> Destination:
    """
    Understand a next hop.

    :param default_port: where the next hop names none.
    :raises ValueError: in words.
    """
    host, service, is_bracketed = _host_and_service(next_hop)
    address = _address(host, next_hop, is_bracketed)
    try:
        port = port_number(service) if service else default_port
    except ValueError as error:
        raise ValueError(f"next hop {next_hop!r}: {error}") from None
    if address:
        return Destination(address, port, use_mx=False, literal=True, text=next_hop)
    try:
        to_ascii(host)
    except ValueError as error:
        raise ValueError(f"next hop {next_hop!r}: valid hostname or network address required: {error}") from None
    return Destination(host.lower().removesuffix("."), port, use_mx=not is_bracketed, literal=False, text=next_hop)


def parse_list(next_hops: str, default_port: int) -> tuple[Destination, ...]:
    """
    Understand several next hops, separated by commas or blanks, in their order.

    :raises ValueError: in words, when one of them makes no sense.
    """
    return tuple(parse(next_hop, default_port) for next_hop in split_list(next_hops))


def parse_lmtp(next_hop: str, default_port: int) -> Destination:
    """
    Understand a next hop of the ``lmtp`` transport: ``unix:path``, ``inet:host:port`` or as :func:`parse` does.

    :raises ValueError: in words.
    """
    if next_hop.startswith("unix:"):
        path = next_hop.removeprefix("unix:")
        if not path or "\0" in path:
            raise ValueError(f"next hop {next_hop!r}: want unix:path")
        return Destination("", 0, use_mx=False, literal=False, path=path, text=next_hop)
    return replace(parse(next_hop.removeprefix("inet:"), default_port), use_mx=False, text=next_hop)


def port_number(service: str) -> int:
    """
    The TCP port of a service, by number or by name.

    :raises ValueError: in words.
    """
    if service in _KNOWN_SERVICES:
        return _KNOWN_SERVICES[service]
    try:
        return parse_port(service)
    except ValueError as error:
        raise ValueError(f"port {service!r}: {error}") from None


def _host_and_service(next_hop: str) -> tuple[str, str, bool]:
    """
    Split a next hop into host, service (or nothing) and whether the host stood in brackets.

    :raises ValueError: in words.
    """
    if next_hop.startswith("["):
        host, bracket, rest = next_hop[1:].partition("]")
        if not bracket:
            raise ValueError(f'next hop {next_hop!r}: missing "]"')
        if rest and not rest.startswith(":"):
            raise ValueError(f'next hop {next_hop!r}: garbage after "]"')
        service, is_bracketed = rest[1:], True
    else:
        host, _, service = next_hop.partition(":")
        is_bracketed = False
        if ":" in service:
            raise ValueError(f"next hop {next_hop!r}: an IPv6 address belongs in brackets, as in [2001:db8::1]:25")
    if not host:
        raise ValueError(f"next hop {next_hop!r}: missing host information")
    return host, service, is_bracketed


def _address(host: str, next_hop: str, is_bracketed: bool) -> str:
    """
    The address that the host is, in its one spelling, or nothing.

    :raises ValueError: when it begins like an IPv6 address and is none.
    """
    if is_bracketed and host.lower().startswith(_IPV6_PREFIX):
        address = to_address(host[len(_IPV6_PREFIX) :])
        if ":" not in address:
            raise ValueError(f"next hop {next_hop!r}: malformed IPv6 address")
        return address
    return to_address(host)
