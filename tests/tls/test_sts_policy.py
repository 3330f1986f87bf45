"""Tests for :mod:`smtpclient.tls.sts_policy`: RFC 8461 sections 3.2, 4.1 and appendix A."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.tls.sts_policy import LONGEST_AGE, Mode, PolicyInvalid, parse

EXAMPLE = (
    b"version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\n"
    b"mx: backupmx.example.com\r\nmax_age: 604800\r\n"
)
"""The one of section 3.2."""


class Reading(SynchronousTestCase):
    """What a text says."""

    def test_example_of_the_rfc(self) -> None:
        """It is read, with either kind of line end, with or without the last one."""
        for data in (EXAMPLE, EXAMPLE.replace(b"\r", b""), EXAMPLE.rstrip()):
            policy = parse(data)
            self.assertEqual(policy.mode, Mode.ENFORCE)
            self.assertEqual(policy.max_age, 604800)
            self.assertEqual(policy.mx, ("mail.example.com", "*.example.net", "backupmx.example.com"))
            self.assertEqual(policy.lines[0], "version: STSv1")
            self.assertEqual(len(policy.lines), 6)

    def test_lenient(self) -> None:
        """Any order, blanks at ends, unknown fields, case, blank lines; the first of a repeated field counts."""
        policy = parse(
            b"max_age:  60 \nx-new: caf\xc3\xa9 au lait\nmx: MX.Example.ORG.\n"
            b"mode:testing\nmode: enforce\n\nversion: STSv1\t\n"
        )
        self.assertEqual((policy.mode, policy.max_age, policy.mx), (Mode.TESTING, 60, ("mx.example.org",)))

    def test_mode_none_needs_no_hosts(self) -> None:
        """A domain that takes its policy back names none."""
        self.assertEqual(parse(b"version: STSv1\nmode: none\nmax_age: 86400\n").mode, Mode.NONE)

    def test_longest_age(self) -> None:
        """More than about a year counts as that."""
        self.assertEqual(parse(EXAMPLE.replace(b"604800", b"9999999999")).max_age, LONGEST_AGE)

    def test_refused(self) -> None:
        """What is no policy is refused with the reason."""
        rows = {
            b"": 'version is None, expected "STSv1"',
            EXAMPLE.replace(b"STSv1", b"STSv2"): "version is 'STSv2', expected \"STSv1\"",
            EXAMPLE.replace(b"enforce", b"Enforce"): "mode is 'Enforce', expected enforce, testing or none",
            EXAMPLE.replace(b"mode: enforce", b"x: y"): "mode is None, expected enforce, testing or none",
            EXAMPLE.replace(b"604800", b"-1"): "max_age is '-1', expected a number of seconds",
            EXAMPLE.replace(b"604800", b"12345678901"): "max_age is '12345678901', expected a number of seconds",
            EXAMPLE.replace(b"max_age", b"min_age"): "max_age is None, expected a number of seconds",
            b"version: STSv1\nmode: enforce\nmax_age: 1\n": "mode enforce without mx",
            EXAMPLE.replace(b"*.example.net", b"*.*.net"): "mx is '*.*.net', expected a host name or *.domain",
            EXAMPLE.replace(b"*.example.net", b"mx*.net"): "mx is 'mx*.net', expected a host name or *.domain",
            EXAMPLE.replace(b"*.example.net", b"192.0.2.1"): "mx is '192.0.2.1', expected a host name or *.domain",
            EXAMPLE.replace(b"*.example.net", b"*."): "mx is '*.', expected a host name or *.domain",
            EXAMPLE + b"<html>\n": "line 7 is no field: '<html>'",
            EXAMPLE + b"a: \x00\n": "line 7 is no field: 'a: \\x00'",
            EXAMPLE + b"\xff: a\n": "not UTF-8",
            EXAMPLE + b"mx: a.example\n" * 1000: "more than 1000 mx patterns",
        }
        found = {}
        for data in rows:
            found[data] = str(self.assertRaises(PolicyInvalid, parse, data))
        self.assertEqual(found, rows)

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(st.lists(st.sampled_from([*EXAMPLE.splitlines(True), b"\n", b"mx: \xff", b"x", b": ", b"mode: none\n"])))
    def test_any_bytes(self, pieces: list[bytes]) -> None:
        """Whatever is served, it is a policy that can be read again, or refused."""
        try:
            policy = parse(b"".join(pieces))
        except PolicyInvalid:
            return
        self.assertEqual(parse(policy.text.encode()), policy)


class Matching(SynchronousTestCase):
    """Which hosts a policy names."""

    def test_patterns(self) -> None:
        """Exact, or one label under a wildcard; case and a trailing dot do not matter (RFC 8461 section 4.1)."""
        policy = parse(EXAMPLE)
        rows = {
            "mail.example.com": True,
            "MAIL.EXAMPLE.COM.": True,
            "example.com": False,
            "other.example.com": False,
            "mail.example.com.evil.example": False,
            "evilmail.example.com": False,
            "a.example.net": True,
            "a.b.example.net": False,
            "example.net": False,
            ".example.net": False,
            "xexample.net": False,
            "": False,
        }
        self.assertEqual({host: policy.allows(host) for host in rows}, rows)
