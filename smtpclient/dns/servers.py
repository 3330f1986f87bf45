"""
Which name servers to ask: from the ``dns_servers`` parameter, or from resolv.conf(5).

Promises: addresses in one spelling, so that an answer can be compared with them; resolv.conf is read again when it
has changed, looked at no more than once a minute and only when a lookup asks; a file that is missing at the start
means the server on this machine, as resolv.conf(5) says; one that goes missing later (after a chroot) leaves what
was known.

Does not: honour ``search``, ``domain``, ``sortlist`` and ``options`` other than ``trust-ad``: names of mail servers
are complete, and timeouts are ``dns_timeout``'s matter.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from smtpclient.config.kinds import server_address
from smtpclient.dns.name import is_loopback, to_address

DNS_PORT = 53
_RESOLV_CONF_SERVERS = 3  # what the C library takes, too; more only make a lookup fail more slowly
_LOOK_AGAIN = 60.0


@dataclass(frozen=True, slots=True)
class NameServer:
    """
    One name server.

    :param address: IPv4 or IPv6, in one spelling; a link-local one with its ``%interface``.
    :param trusted: its AD bit may be believed: nobody can change it on the way.
    """

    address: str
    port: int = DNS_PORT
    trusted: bool = False

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


def parse(word: str) -> NameServer:
    """
    One server as ``dns_servers`` lists it: ``address``, ``address:port``, ``[address]:port``.

    :raises ValueError: in words.
    """
    try:
        address, port = server_address(word)
    except ValueError as error:
        raise ValueError(f"name server {word!r}: {error}") from None
    return NameServer(address, port, is_loopback(address))


def parse_list(words: Iterable[str]) -> tuple[NameServer, ...]:
    """
    The servers of a list, in its order, without repetitions.

    :raises ValueError: in words.
    """
    return tuple(dict.fromkeys(parse(word) for word in words))


def read_resolv_conf(text: str) -> tuple[NameServer, ...]:
    """The servers that the text of a resolv.conf names; lines that make no sense are passed over."""
    addresses: list[str] = []
    trusted = False
    for line in text.splitlines():
        keyword, *values = line.split() or [""]
        if keyword == "nameserver" and values:
            bare, percent, scope = values[0].partition("%")
            if (address := to_address(bare)) and bool(percent) == bool(scope):
                addresses.append(address + percent + scope)
        elif keyword == "options":
            trusted = trusted or "trust-ad" in values
    chosen = list(dict.fromkeys(addresses))[:_RESOLV_CONF_SERVERS] or ["127.0.0.1"]
    return tuple(NameServer(a, trusted=trusted or is_loopback(a.partition("%")[0])) for a in chosen)


@dataclass(frozen=True, slots=True)
class Fixed:
    """The servers of a ``dns_servers`` setting."""

    servers: tuple[NameServer, ...]

    def __call__(self) -> tuple[NameServer, ...]:
        """The servers, in the order of the setting."""
        return self.servers


class ResolvConf:
    """
    The servers of a resolv.conf, as it is now.

    :param seconds: the clock's reading.
    """

    def __init__(self, path: str, seconds: Callable[[], float]) -> None:
        self._path = path
        self._seconds = seconds
        self._looked = seconds()
        self._stamp: tuple[int, int, int] | None = None
        self._servers = read_resolv_conf("")
        self._look()

    def __call__(self) -> tuple[NameServer, ...]:
        """The servers, in the order of the file; never none."""
        now = self._seconds()
        if not 0 <= now - self._looked < _LOOK_AGAIN:
            self._looked = now
            self._look()
        return self._servers

    def _look(self) -> None:
        try:
            status = os.stat(self._path)
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp != self._stamp:
                with open(self._path, encoding="utf-8", errors="replace") as file:
                    self._servers = read_resolv_conf(file.read())
                self._stamp = stamp
        except OSError:
            return
