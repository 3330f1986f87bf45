"""Tests of where name servers come from."""

import os

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.dns.servers import Fixed, NameServer, ResolvConf, parse_list, read_resolv_conf


class DnsServers(SynchronousTestCase):
    def test_forms(self) -> None:
        """Addresses with and without port; IPv6 in one spelling; those on this machine are trusted; none twice."""
        self.assertEqual(
            parse_list(["192.0.2.1", "127.0.0.1:5353", "2001:DB8:0::1", "[::1]:53", "192.0.2.1:53"]),
            (
                NameServer("192.0.2.1"),
                NameServer("127.0.0.1", 5353, trusted=True),
                NameServer("2001:db8::1"),
                NameServer("::1", trusted=True),
            ),
        )

    def test_faults(self) -> None:
        """A word that names no server is refused, with the word."""
        error = self.assertRaises(ValueError, parse_list, ["ns.example.com"])
        self.assertIn("name server 'ns.example.com'", str(error))

    def test_text(self) -> None:
        """A server is written as it can be given."""
        self.assertEqual([str(NameServer("192.0.2.1")), str(NameServer("::1", 5353))], ["192.0.2.1:53", "[::1]:5353"])

    def test_fixed(self) -> None:
        """Servers that are configured stay."""
        self.assertEqual(Fixed((NameServer("192.0.2.1"),))(), (NameServer("192.0.2.1"),))


class ResolvConfText(SynchronousTestCase):
    def test_servers(self) -> None:
        """The first three nameserver lines count; nonsense, comments and other keywords do not."""
        text = (
            "# a comment\nnameserver\nsearch example.com\nnameserver 192.0.2.1\nnameserver nonsense\n"
            "nameserver fe80::1%eth0\nnameserver 192.0.2.1\n  nameserver 127.0.0.53 \nnameserver 192.0.2.4\n"
        )
        self.assertEqual(
            read_resolv_conf(text),
            (NameServer("192.0.2.1"), NameServer("fe80::1%eth0"), NameServer("127.0.0.53", trusted=True)),
        )

    def test_trust_ad(self) -> None:
        """``options trust-ad`` makes all of them trusted."""
        self.assertEqual(
            read_resolv_conf("options ndots:1 trust-ad\nnameserver 192.0.2.1"), (NameServer("192.0.2.1", trusted=True),)
        )

    def test_empty(self) -> None:
        """Without a nameserver line the server on this machine is asked."""
        self.assertEqual(read_resolv_conf("domain example.com"), (NameServer("127.0.0.1", trusted=True),))


class ResolvConfFile(SynchronousTestCase):
    def setUp(self) -> None:
        """A clock and a path."""
        self.clock = Clock()
        self.path = self.mktemp()

    def write(self, address: str) -> None:
        """Put a server into the file, in the way of ``mv``."""
        with open(self.path + ".new", "w") as file:
            file.write(f"nameserver {address}\n")
        os.rename(self.path + ".new", self.path)

    def addresses(self, servers: ResolvConf) -> list[str]:
        """What is asked now."""
        return [server.address for server in servers()]

    def test_change_is_seen(self) -> None:
        """A change is seen by the first lookup after a minute, and not looked for before."""
        self.write("192.0.2.1")
        servers = ResolvConf(self.path, self.clock.seconds)
        self.write("192.0.2.2")
        self.clock.advance(59)
        self.assertEqual(self.addresses(servers), ["192.0.2.1"])
        self.clock.advance(1)
        self.assertEqual(self.addresses(servers), ["192.0.2.2"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_missing(self) -> None:
        """A missing file means this machine; when it comes, it is read."""
        servers = ResolvConf(self.path, self.clock.seconds)
        self.assertEqual(self.addresses(servers), ["127.0.0.1"])
        self.write("192.0.2.1")
        self.clock.advance(61)
        self.assertEqual(self.addresses(servers), ["192.0.2.1"])

    def test_goes_missing(self) -> None:
        """A file that goes missing, as after a chroot, leaves what was known."""
        self.write("192.0.2.1")
        servers = ResolvConf(self.path, self.clock.seconds)
        os.unlink(self.path)
        self.clock.advance(61)
        self.assertEqual(self.addresses(servers), ["192.0.2.1"])
