"""Tests of which addresses are this machine's own."""

import socket
import struct
from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.dns.native import NativeLookupError
from smtpclient.dns.own_addresses import OwnAddresses, interface_addresses, read_addresses

INTERFACES = {"127.0.0.1", "::1", "192.0.2.1", "2001:db8::1"}
UNSPECIFIED = {"0.0.0.0", "::"}


class Hosts:
    """Stands for the C library: knows the hosts that it is given."""

    def __init__(self, hosts: dict[str, tuple[str, ...]]) -> None:
        self.hosts = hosts
        self.gate: Deferred[None] | None = None

    async def addresses(self, host: str) -> tuple[str, ...]:
        """What the host has, once the gate is open."""
        if self.gate is not None:
            await self.gate
        try:
            return self.hosts[host]
        except KeyError:
            raise NativeLookupError("Name or service not known", False, True) from None


class OwnAddressesTests(SynchronousTestCase):
    def setUp(self) -> None:
        """A clock, hosts, and the sentences for the operator."""
        self.clock = Clock()
        self.hosts = Hosts({"mail.example.com": ("192.0.2.9", "2001:db8::9")})
        self.warnings: list[str] = []
        self.interfaces = set(INTERFACES)

    def own(self, inet: Sequence[str], proxy: Sequence[str] = ()) -> OwnAddresses:
        """Own addresses by these settings."""
        return OwnAddresses(inet, proxy, self.clock.seconds, self.hosts, lambda: self.interfaces, self.warnings.append)

    def current(self, own: OwnAddresses) -> set[str]:
        """The addresses now, without those that are always there."""
        found = set(self.successResultOf(own.current()))
        self.assertLessEqual(UNSPECIFIED, found)
        return found - UNSPECIFIED

    def test_settings(self) -> None:
        """All interfaces, the loopback ones, or those that are listed by address or by name; and the proxies."""
        got = [
            self.current(self.own(["all"])),
            self.current(self.own(["loopback-only"])),
            self.current(self.own(["127.0.0.1", "[2001:DB8::0:1]", "mail.example.com"])),
            self.current(self.own(["127.0.0.1"], ["203.0.113.7", "mail.example.com"])),
        ]
        self.assertEqual(
            got,
            [
                INTERFACES,
                {"127.0.0.1", "::1"},
                {"127.0.0.1", "2001:db8::1", "192.0.2.9", "2001:db8::9"},
                {"127.0.0.1", "203.0.113.7", "192.0.2.9", "2001:db8::9"},
            ],
        )

    def test_changes_are_seen(self) -> None:
        """An address that comes up is known a minute later."""
        own = self.own(["all"])
        self.current(own)
        self.interfaces.add("192.0.2.77")
        self.clock.advance(59)
        self.assertNotIn("192.0.2.77", self.current(own))
        self.clock.advance(1)
        self.assertIn("192.0.2.77", self.current(own))

    def test_what_is_known_serves_meanwhile(self) -> None:
        """While names are looked up anew, others get what was known; at the start they wait."""
        own = self.own(["mail.example.com"])
        self.hosts.gate = Deferred()
        first = [Deferred.fromCoroutine(own.current()) for _ in range(2)]
        for waiting in first:
            self.assertNoResult(waiting)
        self.hosts.gate.callback(None)
        for waiting in first:
            self.assertIn("192.0.2.9", self.successResultOf(waiting))
        self.clock.advance(60)
        self.hosts.gate = Deferred()
        renewing = Deferred.fromCoroutine(own.current())
        self.assertIn("192.0.2.9", self.current(own))
        self.hosts.hosts["mail.example.com"] = ("192.0.2.10",)
        self.hosts.gate.callback(None)
        self.assertIn("192.0.2.10", self.successResultOf(renewing))

    def test_unknown_name(self) -> None:
        """A name that cannot be found is left out, and the operator told once."""
        own = self.own(["127.0.0.1", "gone.example.com"])
        for _ in range(2):
            self.assertEqual(self.current(own), {"127.0.0.1"})
            self.clock.advance(60)
        self.assertEqual(
            self.warnings,
            [
                "inet_interfaces: host not found: gone.example.com: Name or service not known; "
                "mail loops through it will not be seen"
            ],
        )

    def test_system_says_nothing(self) -> None:
        """When the system does not list its addresses, the operator is told and mail goes on."""

        def refuse() -> set[str]:
            raise OSError("no netlink here")

        own = OwnAddresses(["all"], [], self.clock.seconds, self.hosts, refuse, self.warnings.append)
        self.assertEqual(self.current(own), set())
        self.assertEqual(self.warnings, ["inet_interfaces = all: no netlink here; mail loops will not be seen"])


class Kernel(SynchronousTestCase):
    def test_this_machine(self) -> None:
        """This machine has its loopback address, and each address can be bound to."""
        found = interface_addresses()
        self.assertIn("127.0.0.1", found)
        for address in found:
            if not address.startswith("fe80:"):
                family = socket.AF_INET6 if ":" in address else socket.AF_INET
                with socket.socket(family) as sock:
                    sock.bind((address, 0))

    def message(self, kind: int, payload: bytes = b"") -> bytes:
        """One netlink message."""
        return struct.pack("=IHHII", 16 + len(payload), kind, 0, 1, 0) + payload

    def attribute(self, kind: int, data: bytes) -> bytes:
        """One attribute of an address."""
        return struct.pack("=HH", 4 + len(data), kind) + data + b"\0" * (-len(data) % 4)

    def test_answer(self) -> None:
        """The local end of a point-to-point link counts, not the other; what is no address does not."""
        header = bytes(8)
        data = (
            self.message(
                20,
                header + self.attribute(3, b"ppp0\0") + self.attribute(1, b"\1\1\1\1") + self.attribute(2, b"\2\2\2\2"),
            )
            + self.message(20, header + self.attribute(1, bytes(15) + b"\1"))
            + self.message(20, header + self.attribute(1, b"\1\2"))
            + self.message(20, header + b"\1\0\0\0")
            + self.message(99)
        )
        self.assertEqual(read_addresses(data), ({"2.2.2.2", "::1"}, False))
        self.assertEqual(read_addresses(self.message(3)), (set(), True))

    def test_refusal(self) -> None:
        """An error of the kernel is one."""
        self.assertRaises(OSError, read_addresses, self.message(2, bytes(20)))
        self.assertRaises(OSError, read_addresses, bytes(16))
