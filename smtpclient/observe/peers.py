"""
Patterns of remote hosts, as ``debug_peer_list`` has them.

A pattern is a host name or a parent domain of one, an address, or a network in ``address/length`` form; ``!pattern``
excludes what it matches, and the first pattern that matches decides. Names and addresses match in any case and
spelling.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class _Pattern:
    wanted: bool
    name: str
    network: _Network | None


class PeerPatterns:
    """
    A list of patterns.

    :param patterns: in the order in which they are tried.
    :raises ValueError: when one that looks like an address or a network is none; its text is in the words.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = tuple(_parse(pattern) for pattern in patterns)

    def matches(self, host: str, address: str) -> bool:
        """Whether the host of this name and address is meant."""
        if not self._patterns:
            return False
        name = host.lower().rstrip(".")
        try:
            where = ipaddress.ip_address(address)
        except ValueError:
            where = None  # a UNIX socket has a path
        for pattern in self._patterns:
            if pattern.network is not None:
                if where is not None and where in pattern.network:
                    return pattern.wanted
            elif name == pattern.name or name.endswith("." + pattern.name):
                return pattern.wanted
        return False


def _parse(pattern: str) -> _Pattern:
    text = pattern.removeprefix("!")
    bare = text.replace("[", "").replace("]", "")
    if "/" in bare or ":" in bare or bare.replace(".", "").isdigit():
        try:
            return _Pattern(text == pattern, "", ipaddress.ip_network(bare))
        except ValueError as why:
            raise ValueError(f"{pattern!r} is no address and no network in ADDRESS/LENGTH form: {why}") from why
    return _Pattern(text == pattern, text.lower().strip("."), None)
