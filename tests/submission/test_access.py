"""Who may send where."""

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Protocol
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.submission.access import Client, client_of, permit_networks


class PermitNetworksTests(SynchronousTestCase):
    """The policy after ``mynetworks``."""

    def allowed(self, *words: str) -> set[str]:
        """Which of some addresses may send with these networks."""
        policy = permit_networks(words)
        tried = ["127.0.0.1", "192.0.2.7", "198.51.100.1", "::1", "2001:db8::7"]
        return {one for one in tried if policy(Client(one), "s@x.test", "r@y.test")}

    def test_networks(self) -> None:
        """Addresses and networks, with and without brackets."""
        table = {
            (): set(),
            ("127.0.0.0/8", "[::1]/128"): {"127.0.0.1", "::1"},
            ("192.0.2.7",): {"192.0.2.7"},
            ("!192.0.2.7", "0.0.0.0/0"): {"127.0.0.1", "198.51.100.1"},
            ("0.0.0.0/0", "!192.0.2.7"): {"127.0.0.1", "192.0.2.7", "198.51.100.1"},
            ("192.0.2.0/24", "2001:db8::/32"): {"192.0.2.7", "2001:db8::7"},
            ("[2001:db8::7]", "0.0.0.0/0"): {"127.0.0.1", "192.0.2.7", "198.51.100.1", "2001:db8::7"},
        }
        self.assertEqual(table, {words: self.allowed(*words) for words in table})

    def test_loopback_is_the_default(self) -> None:
        """Without being told, only this machine may send."""
        policy = permit_networks()
        self.assertTrue(policy(Client("127.9.9.9"), "", "r@y.test"))
        self.assertFalse(policy(Client("192.0.2.1"), "", "r@y.test"))

    def test_those_who_have_proved_themselves(self) -> None:
        """Authenticated clients and UNIX sockets are let in from anywhere; other transports are not."""
        policy = permit_networks([])
        self.assertTrue(policy(Client("192.0.2.1", authenticated=True), "", "r@y.test"))
        self.assertTrue(policy(Client(""), "", "r@y.test"))
        self.assertFalse(policy(Client("somewhere.onion"), "", "r@y.test"))

    def test_a_word_that_is_no_network(self) -> None:
        """It is named."""
        error = self.assertRaises(ValueError, permit_networks, ["127.0.0.1", "10.0.0.1/8"])
        self.assertIn("'10.0.0.1/8' is no network", str(error))


class ClientOfTests(SynchronousTestCase):
    """Who is connected."""

    def client(self, peer: IAddress) -> Client:
        """The client of a server that is connected to a peer."""
        server = Protocol()
        server.makeConnection(StringTransport(peerAddress=peer))
        return client_of(server)

    def test_addresses(self) -> None:
        """IPv4, IPv6 with and without a zone, IPv4 on an IPv6 socket, UNIX."""
        table: dict[IAddress, Client] = {
            IPv4Address("TCP", "192.0.2.1", 7): Client("192.0.2.1", 7),
            IPv6Address("TCP", "2001:db8::1", 7): Client("2001:db8::1", 7),
            IPv6Address("TCP", "fe80::1%eth0", 7): Client("fe80::1", 7),
            IPv6Address("TCP", "::ffff:192.0.2.1", 7): Client("192.0.2.1", 7),
            UNIXAddress(b"/x"): Client(""),
        }
        self.assertEqual(list(table.values()), [self.client(peer) for peer in table])

    def test_not_connected(self) -> None:
        """A server without a connection has a client without address."""
        self.assertEqual(Client(""), client_of(Protocol()))

    def test_names(self) -> None:
        """The log's name for a client."""
        self.assertEqual(["unknown[192.0.2.1]", "localhost[unix]"], [Client(one).name for one in ("192.0.2.1", "")])
