"""
Who may hand in mail for the world.

A policy is any callable of ``(client, sender, recipient)`` that says whether this client may send there;
:func:`permit_networks` makes the usual one, after Postfix's ``mynetworks``. Without a policy of some kind a server
is an open relay, so none of this package's classes has a default that lets everybody in.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from twisted.internet.interfaces import IProtocol

LOOPBACK = ("127.0.0.0/8", "[::1]/128")


@dataclass(frozen=True, slots=True)
class Client:
    """
    Who is connected.

    :param address: the IP address in text; empty for a UNIX socket, whose file mode has decided already.
    :param authenticated: whether it has proved who it is.
    """

    address: str
    port: int = 0
    authenticated: bool = False

    @property
    def name(self) -> str:
        """``unknown[address]``, as the log names a client; nobody looks its name up."""
        return f"unknown[{self.address}]" if self.address else "localhost[unix]"


Policy = Callable[[Client, str, str], bool]


def client_of(server: IProtocol) -> Client:
    """
    Who is at the other end of a server's connection; an IPv4 client on an IPv6 socket is an IPv4 client.

    :param server: its ``authenticated``, where it has one, says whether the client has proved who it is.
    """
    transport = getattr(server, "transport", None)
    peer = transport.getPeer() if transport is not None else None
    host, _, _ = str(getattr(peer, "host", "")).partition("%")
    if ":" in host and (mapped := IPv6Address(host).ipv4_mapped):
        host = str(mapped)
    return Client(host, int(getattr(peer, "port", 0)), bool(getattr(server, "authenticated", False)))


def permit_networks(words: Iterable[str] = LOOPBACK) -> Policy:
    """
    Let clients in these networks send anywhere, and those who have authenticated, and UNIX sockets.

    :param words: ``address``, ``[address]``, ``network/prefix`` or ``[network]/prefix``; with ``!`` in front, these are
        kept out. The first that holds the client counts.
    :raises ValueError: names the word that is none of these.
    """
    networks = [(_network(word.removeprefix("!")), not word.startswith("!")) for word in words]

    def permitted(client: Client, sender: str, recipient: str) -> bool:
        if client.authenticated or not client.address:
            return True
        try:
            address = ip_address(client.address)
        except ValueError:  # a transport of another kind; nobody has said that its clients may
            return False
        return next((inside for network, inside in networks if address in network), False)

    return permitted


def _network(word: str) -> IPv4Network | IPv6Network:
    address, slash, prefix = word.partition("/")
    try:
        return ip_network(address.removeprefix("[").removesuffix("]") + slash + prefix)
    except ValueError as error:
        raise ValueError(f"{word!r} is no network: {error}") from error
