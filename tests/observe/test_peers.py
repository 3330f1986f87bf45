"""Patterns of remote hosts."""

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.observe.peers import PeerPatterns


class Patterns(SynchronousTestCase):
    """Which hosts are meant."""

    maxDiff = None

    def test_table(self) -> None:
        """Each pattern against a host of a name and an address."""
        host = ("mx1.mail.example.com", "192.0.2.17")
        table = {
            "mx1.mail.example.com": True,
            "MX1.Mail.Example.COM.": True,
            "example.com": True,
            ".example.com": True,
            "com": True,
            "ample.com": False,
            "mx2.mail.example.com": False,
            "sub.mx1.mail.example.com": False,
            "192.0.2.17": True,
            "[192.0.2.17]": True,
            "192.0.2.18": False,
            "192.0.2.0/24": True,
            "192.0.2.0/28": False,
            "0.0.0.0/0": True,
            "2001:db8::/32": False,
            "!example.com": False,
        }
        self.assertEqual({pattern: PeerPatterns([pattern]).matches(*host) for pattern in table}, table)

    def test_ipv6(self) -> None:
        """Addresses match in any spelling."""
        table = {"2001:DB8:0:0::1": True, "[2001:db8::1]": True, "[2001:db8::]/32": True, "2001:db8::2": False}
        found = {pattern: PeerPatterns([pattern]).matches("mx", "2001:db8::1") for pattern in table}
        self.assertEqual(found, table)

    def test_first_match_decides(self) -> None:
        """Exclusions count where they stand before what would include."""
        table = {
            ("!mx1.example.com", "example.com"): False,
            ("example.com", "!mx1.example.com"): True,
            ("!192.0.2.0/24", "0.0.0.0/0"): False,
            ("other.example", "192.0.2.17"): True,
        }
        found = {patterns: PeerPatterns(patterns).matches("mx1.example.com", "192.0.2.17") for patterns in table}
        self.assertEqual(found, table)

    def test_no_patterns(self) -> None:
        """An empty list means nobody, and an empty pattern, too."""
        self.assertFalse(PeerPatterns([]).matches("mx", "192.0.2.1"))
        self.assertFalse(PeerPatterns(["", ".", "!"]).matches("mx", "192.0.2.1"))

    def test_host_without_address(self) -> None:
        """A UNIX socket matches by name only."""
        patterns = PeerPatterns(["0.0.0.0/0", "local.example"])
        self.assertFalse(patterns.matches("other.example", "/run/smtp"))
        self.assertTrue(patterns.matches("local.example", "/run/smtp"))

    def test_bad_patterns(self) -> None:
        """What looks like an address or a network and is none is refused, with its text."""
        for pattern in ("10.0.0.1/8", "1.2.3", "300.1.1.1", "2001:db8::/200", "/etc/peers", "!10.0.0.256"):
            with self.assertRaises(ValueError) as caught:
                PeerPatterns(["good.example", pattern])
            self.assertIn(repr(pattern), str(caught.exception))
