"""
The addresses at which this mail system receives mail: ``inet_interfaces`` and ``proxy_interfaces``.

When one of them is among the mail exchangers of a destination, mail must not be sent there, for it would come back.

``inet_interfaces`` is ``all`` (every address of every interface), ``loopback-only`` (those that never leave this
machine), or a list of addresses and host names; ``proxy_interfaces`` is such a list, too: the addresses at which a
proxy or a translating router takes mail on our behalf. The unspecified addresses ``0.0.0.0`` and ``::`` are always
ours: who connects to them reaches this machine.

Promises: interfaces and names are looked at again when a minute has passed and somebody asks, so that an address
that comes up later is known; the system is asked without external programs and without ``/proc``, so it works in a
chroot.

Does not: take the rest of 127.0.0.0/8 for ours; only addresses that interfaces have.

Known limits: a host name that cannot be found is left out, with a warning, until it can be.
"""

import ipaddress
import socket
import struct
from collections.abc import Callable, Iterable, Sequence

from smtpclient.dns.name import is_loopback, to_address
from smtpclient.dns.native import NativeLookup, NativeLookupError

_LOOK_AGAIN = 60.0
_UNSPECIFIED = frozenset({"0.0.0.0", "::"})

# rtnetlink(7), netlink(7)
_RTM_NEWADDR, _RTM_GETADDR, _NLMSG_ERROR, _NLMSG_DONE = 20, 22, 2, 3
_NLM_F_REQUEST_DUMP = 0x301
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_MESSAGE = struct.Struct("=IHHII")
_IFADDRMSG = struct.Struct("=BBBBI")
_ATTRIBUTE = struct.Struct("=HH")
_LONGEST_ANSWER = 65_536


def interface_addresses() -> frozenset[str]:
    """
    The addresses of all interfaces of this machine, as the kernel lists them.

    :raises OSError: when the kernel does not say.
    """
    found: set[str] = set()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.settimeout(1.0)
        size = _MESSAGE.size + _IFADDRMSG.size
        kernel.send(
            _MESSAGE.pack(size, _RTM_GETADDR, _NLM_F_REQUEST_DUMP, 1, 0) + _IFADDRMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        )
        while True:
            addresses, is_last = read_addresses(kernel.recv(_LONGEST_ANSWER))
            found |= addresses
            if is_last:
                return frozenset(found)


def read_addresses(data: bytes) -> tuple[set[str], bool]:
    """
    The addresses in one answer of the kernel to RTM_GETADDR, and whether it is the last answer.

    :raises OSError: when the answer is an error.
    """
    found: set[str] = set()
    at = 0
    while at + _MESSAGE.size <= len(data):
        length, kind, *_ = _MESSAGE.unpack_from(data, at)
        if kind == _NLMSG_DONE:
            return found, True
        if kind == _NLMSG_ERROR or length < _MESSAGE.size:
            raise OSError("the kernel does not list the addresses of this machine")
        if kind == _RTM_NEWADDR:
            attributes = _attributes(data[at + _MESSAGE.size + _IFADDRMSG.size : at + length])
            # On a point-to-point link IFA_ADDRESS is the other end's; IPv6 has no IFA_LOCAL elsewhere.
            packed = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS)
            if packed is not None and len(packed) in (4, 16):
                found.add(str(ipaddress.ip_address(packed)))
        at += _aligned(length)
    return found, False


def _attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            break
        found[kind] = data[at + _ATTRIBUTE.size : at + length]
        at += _aligned(length)
    return found


def _aligned(length: int) -> int:
    return (length + 3) & ~3


class OwnAddresses:
    """
    Which addresses are ours, now.

    :param inet_interfaces: the words of the parameter.
    :param proxy_interfaces: the words of the parameter.
    :param seconds: the clock's reading.
    :param native: finds the host names among the words.
    :param interfaces: the addresses of all interfaces.
    :param warn: takes a sentence for the operator.
    """

    def __init__(
        self,
        inet_interfaces: Sequence[str],
        proxy_interfaces: Sequence[str],
        seconds: Callable[[], float],
        native: NativeLookup,
        interfaces: Callable[[], Iterable[str]] = interface_addresses,
        warn: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self._inet = tuple(inet_interfaces)
        self._proxy = tuple(proxy_interfaces)
        self._seconds = seconds
        self._native = native
        self._interfaces = interfaces
        self._warn = warn
        self._known: frozenset[str] = _UNSPECIFIED
        self._looked: float | None = None
        self._warned: set[str] = set()

    async def current(self) -> frozenset[str]:
        """Our addresses, each in its one spelling."""
        now = self._seconds()
        if self._looked is not None and 0 <= now - self._looked < _LOOK_AGAIN:
            return self._known
        if self._looked is not None:
            self._looked = now  # what is known serves the others until names have been looked up anew
        self._known = _UNSPECIFIED | await self._own() | await self._named("proxy_interfaces", self._proxy)
        self._looked = now
        return self._known

    async def _own(self) -> frozenset[str]:
        if self._inet not in (("all",), ("loopback-only",)):
            return await self._named("inet_interfaces", self._inet)
        try:
            found = frozenset(self._interfaces())
        except OSError as error:
            self._warn_once(f"inet_interfaces = {self._inet[0]}: {error}; mail loops will not be seen")
            return frozenset()
        return found if self._inet == ("all",) else frozenset(filter(is_loopback, found))

    async def _named(self, parameter: str, words: Iterable[str]) -> frozenset[str]:
        """The addresses that a list of addresses and host names stands for."""
        found: set[str] = set()
        for word in words:
            host = word.removeprefix("[").removesuffix("]")
            if address := to_address(host):
                found.add(address)
                continue
            try:
                found.update(await self._native.addresses(host))
            except NativeLookupError as error:
                self._warn_once(f"{parameter}: host not found: {word}: {error}; mail loops through it will not be seen")
        return frozenset(found)

    def _warn_once(self, sentence: str) -> None:
        if sentence not in self._warned:
            self._warned.add(sentence)
            self._warn(sentence)
