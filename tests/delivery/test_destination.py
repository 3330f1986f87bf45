"""Tests of the forms of a next hop."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.delivery import destination
from smtpclient.delivery.destination import Destination, parse, parse_list, parse_lmtp, port_number


def outcome(next_hop: str) -> Destination | str:
    """What :func:`parse` makes of a next hop, or its complaint."""
    try:
        return parse(next_hop, 25)
    except ValueError as error:
        return str(error)


class Parse(SynchronousTestCase):
    def test_forms(self) -> None:
        """Every form that a transport table may have, in any case."""
        wanted = {
            "Example.COM": Destination("example.com", 25, use_mx=True, literal=False),
            "example.com.": Destination("example.com", 25, use_mx=True, literal=False),
            "example.com:": Destination("example.com", 25, use_mx=True, literal=False),
            "example.com:2525": Destination("example.com", 2525, use_mx=True, literal=False),
            "example.com:smtp": Destination("example.com", 25, use_mx=True, literal=False),
            "localhost:submission": Destination("localhost", 587, use_mx=True, literal=False),
            "[mail.example.com]": Destination("mail.example.com", 25, use_mx=False, literal=False),
            "[mail.example.com]:": Destination("mail.example.com", 25, use_mx=False, literal=False),
            "[mail.example.com]:smtps": Destination("mail.example.com", 465, use_mx=False, literal=False),
            "[192.0.2.1]": Destination("192.0.2.1", 25, use_mx=False, literal=True),
            "[192.0.2.1]:2525": Destination("192.0.2.1", 2525, use_mx=False, literal=True),
            "192.0.2.1:2525": Destination("192.0.2.1", 2525, use_mx=False, literal=True),
            "[2001:DB8::0:1]": Destination("2001:db8::1", 25, use_mx=False, literal=True),
            "[ipv6:2001:db8::1]": Destination("2001:db8::1", 25, use_mx=False, literal=True),
            "[IPv6:2001:db8::1]:2525": Destination("2001:db8::1", 2525, use_mx=False, literal=True),
            "bücher.example": Destination("bücher.example", 25, use_mx=True, literal=False),
            "[bücher.example]:26": Destination("bücher.example", 26, use_mx=False, literal=False),
        }
        self.assertEqual({next_hop: outcome(next_hop) for next_hop in wanted}, wanted)

    def test_faults(self) -> None:
        """What makes no sense is refused in words, with the next hop."""
        wanted = {
            "": "next hop '': missing host information",
            ":25": "next hop ':25': missing host information",
            "[]:25": "next hop '[]:25': missing host information",
            "[a.test": "next hop '[a.test': missing \"]\"",
            "[a.test]25": "next hop '[a.test]25': garbage after \"]\"",
            "[ipv6:192.0.2.1]": "next hop '[ipv6:192.0.2.1]': malformed IPv6 address",
            "[ipv6:x]": "next hop '[ipv6:x]': malformed IPv6 address",
            "2001:db8::1": "next hop '2001:db8::1': an IPv6 address belongs in brackets, as in [2001:db8::1]:25",
            "a.test:0": "next hop 'a.test:0': port '0': expected a port from 1 to 65535",
            "a.test:65536": "next hop 'a.test:65536': port '65536': expected a port from 1 to 65535",
            "a.test:none": "next hop 'a.test:none': port 'none': expected a port number, "
            "or a name from the system's list of services",
            "-a.test": "next hop '-a.test': valid hostname or network address required: misplaced hyphen",
            "192.0.2.1.4": "next hop '192.0.2.1.4': valid hostname or network address required: "
            "number where a name is wanted",
            "a b": "next hop 'a b': valid hostname or network address required: character ' ' in a host name",
        }
        self.assertEqual({next_hop: outcome(next_hop) for next_hop in wanted}, wanted)

    def test_default_port(self) -> None:
        """Where the next hop names no port, the default holds."""
        self.assertEqual([parse(hop, 24).port for hop in ("a.test", "[a.test]", "a.test:25")], [24, 24, 25])

    def test_text(self) -> None:
        """A destination knows how it was written; two of the same meaning are equal all the same."""
        written = [parse(hop, 25) for hop in ("A.test", "a.test:25", "a.test:smtp")]
        self.assertEqual([str(d) for d in written], ["A.test", "a.test:25", "a.test:smtp"])
        self.assertEqual(len(set(written)), 1)

    def test_text_of_others(self) -> None:
        """One that was not written anywhere can be, and means the same."""
        made = [Destination("a.test", 26, True, False), Destination("2001:db8::1", 26, False, True)]
        self.assertEqual([str(d) for d in made], ["a.test:26", "[2001:db8::1]:26"])
        self.assertEqual([parse(str(d), 25) for d in made], made)

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(st.text(alphabet="ab.:[]-1 250ip\u00fc\n%", max_size=20) | st.text(max_size=30))
    def test_any_text(self, next_hop: str) -> None:
        """Any text is a destination with a port that can be connected to, or a ValueError."""
        try:
            found = parse(next_hop, 25)
        except ValueError:
            return
        self.assertTrue(found.host)
        self.assertTrue(0 < found.port < 65536)


class Lists(SynchronousTestCase):
    def test_list(self) -> None:
        """Next hops stand between commas and blanks, and keep their order."""
        found = parse_list("[a.test]:26, b.test\t[ipv6:2001:db8::1]", 25)
        self.assertEqual(
            [(d.host, d.port, d.use_mx) for d in found],
            [("a.test", 26, False), ("b.test", 25, True), ("2001:db8::1", 25, False)],
        )

    def test_empty(self) -> None:
        """Nothing is no next hop."""
        self.assertEqual(parse_list(" , ", 25), ())

    def test_fault(self) -> None:
        """One that makes no sense spoils the list."""
        self.assertRaises(ValueError, parse_list, "a.test, [b.test", 25)


class Lmtp(SynchronousTestCase):
    def test_forms(self) -> None:
        """A UNIX socket or a host, and never an MX lookup."""
        got = {hop: parse_lmtp(hop, 24) for hop in ("unix:private/dovecot", "inet:a.test:2003", "a.test", "inet:[::1]")}
        self.assertEqual(
            got,
            {
                "unix:private/dovecot": Destination("", 0, False, False, path="private/dovecot"),
                "inet:a.test:2003": Destination("a.test", 2003, False, False),
                "a.test": Destination("a.test", 24, False, False),
                "inet:[::1]": Destination("::1", 24, False, True),
            },
        )
        self.assertEqual(str(got["unix:private/dovecot"]), "unix:private/dovecot")

    def test_faults(self) -> None:
        """A socket without a path, or with a NUL in it, is refused."""
        for hop in ("unix:", "unix:a\0b"):
            self.assertRaises(ValueError, parse_lmtp, hop, 24)


class Ports(SynchronousTestCase):
    def test_known(self) -> None:
        """The services of mail are known without the system's list."""

        def nothing(name: str, protocol: str) -> int:
            raise OSError("service/proto not found")

        self.patch(destination.parse_port.__globals__["socket"], "getservbyname", nothing)
        names = ("smtp", "submission", "smtps", "submissions", "lmtp", "2525")
        self.assertEqual([port_number(name) for name in names], [25, 587, 465, 465, 24, 2525])
        self.assertRaises(ValueError, port_number, "http")
