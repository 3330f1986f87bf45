"""Names in certificates, and the patterns that ask for them."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.tls import names
from tests.tls.certificates import issue


def meets(pattern: str, *borne: str, common_name: str = "", addresses: tuple[str, ...] = ()) -> bool:
    """Whether a certificate with these names meets a pattern."""
    certificate = issue(common_name, borne, addresses=addresses).certificate
    return names.first_match(certificate, [pattern]) == pattern


class Patterns(SynchronousTestCase):
    def test_words(self) -> None:
        """The words stand for names of the delivery; names are spelled in one way."""
        patterns = names.expand(
            ["nexthop", "dot-nexthop", "HOSTNAME", "Other.Example"], "example.org", "mx.Example.org"
        )
        self.assertEqual(patterns, ("example.org", ".example.org", "mx.example.org", "other.example"))

    def test_international_names(self) -> None:
        """A name in letters of its own is compared in its ASCII form."""
        self.assertEqual(names.expand(["nexthop"], "bücher.example", ""), ("xn--bcher-kva.example",))

    def test_one_name(self) -> None:
        """A name meets itself in any case, and a wildcard for its first label."""
        rows = {
            ("mx.example.org", "mx.example.org"): True,
            ("mx.example.org", "MX.Example.ORG"): True,
            ("mx.example.org", "*.example.org"): True,
            ("mx.example.org", "example.org"): False,
            ("mx.example.org", "mx.example.org."): False,
            ("mx.example.org", "*.org"): False,
            ("a.mx.example.org", "*.example.org"): False,
            ("example.org", "*.example.org"): False,
            ("mx1.example.org", "mx*.example.org"): False,
            ("mx.example.org", "mx.example.org.evil.test"): False,
        }
        self.assertEqual({row: meets(*row) for row in rows}, rows)

    def test_any_name_below(self) -> None:
        """A pattern with a leading dot takes every name below, and not the name itself."""
        rows = {
            (".example.org", "mx.example.org"): True,
            (".example.org", "a.b.example.org"): True,
            (".example.org", "*.example.org"): True,
            (".example.org", "mx*.example.org"): True,
            (".example.org", "example.org"): False,
            (".example.org", "badexample.org"): False,
            (".example.org", "*.org"): False,
            (".example.org", "mx.example.org."): False,
            (".example.org", "mx.example.org.evil.test"): False,
        }
        self.assertEqual({row: meets(*row) for row in rows}, rows)

    def test_common_name(self) -> None:
        """The common name counts where there is no DNS name beside it."""
        self.assertTrue(meets("mx.example", common_name="mx.example"))
        self.assertTrue(meets("mx.example", common_name="mx.example", addresses=("192.0.2.1",)))
        self.assertFalse(meets("mx.example", "other.example", common_name="mx.example"))

    def test_address(self) -> None:
        """An address is met by an address, not by a name that looks like one."""
        self.assertTrue(meets("192.0.2.1", addresses=("192.0.2.1",)))
        self.assertTrue(meets("2001:db8::1", addresses=("2001:db8::1",)))
        self.assertFalse(meets("192.0.2.1", "192.0.2.1"))

    def test_nul(self) -> None:
        """A name with a NUL in it is not the name before it."""
        certificate = issue("mx.example\x00.evil.test").certificate
        self.assertEqual(names.first_match(certificate, ["mx.example", ".test"]), "")

    def test_first_of_several(self) -> None:
        """Any of the patterns will do."""
        certificate = issue("", ["mx.example.org"]).certificate
        self.assertEqual(names.first_match(certificate, ["example.org", ".example.org"]), ".example.org")
        self.assertEqual(names.first_match(certificate, []), "")

    @settings(max_examples=50, deadline=None, derandomize=True)
    @given(st.text(alphabet="ab*.-\x00 _", max_size=12))
    def test_any_name(self, name: str) -> None:
        """Whatever name a certificate bears, comparing it raises nothing."""
        try:
            certificate = issue("", [name] if name else []).certificate
        except ValueError:
            return
        for pattern in ("a.b", ".b", ".a.b"):
            found = names.first_match(certificate, [pattern])
            if found:
                self.assertTrue(name.strip("*").endswith(pattern.removeprefix("a")))
