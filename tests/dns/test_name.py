"""Tests of the one form of names and addresses."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.dns import name


def outcome(text: str) -> str:
    """What :func:`name.to_ascii` makes of a text, or its complaint."""
    try:
        return name.to_ascii(text)
    except ValueError as error:
        return f"error: {error}"


class ToAscii(SynchronousTestCase):
    def test_one_form(self) -> None:
        """Case, a trailing dot and the choice of U-labels make no difference."""
        got = {
            text: outcome(text) for text in ("Mail.Example.COM", "a.b.", "Bücher.DE", "bücher。de", "XN--BCHER-KVA.de")
        }
        self.assertEqual(
            got,
            {
                "Mail.Example.COM": "mail.example.com",
                "a.b.": "a.b",
                "Bücher.DE": "xn--bcher-kva.de",
                "bücher。de": "xn--bcher-kva.de",
                "XN--BCHER-KVA.de": "xn--bcher-kva.de",
            },
        )

    def test_underscores(self) -> None:
        """Underscores are letters, also beside labels that IDNA encodes."""
        self.assertEqual(outcome("_25._tcp.bücher.de"), "_25._tcp.xn--bcher-kva.de")

    def test_faults_in_words(self) -> None:
        """What is no host name is refused, and the reason given."""
        wanted = {
            "": "error: empty name",
            ".": "error: empty name",
            "a..b": "error: misplaced dot",
            ".a": "error: misplaced dot",
            "-a.b": "error: misplaced hyphen",
            "a-.b": "error: misplaced hyphen",
            "192.0.2.1": "error: number where a name is wanted",
            "a b": "error: character ' ' in a host name",
            "a\r\nb": "error: character '\\r' in a host name",
            "*.a": "error: character '*' in a host name",
            "a." + "b" * 64: "error: label of 64 characters, the longest is 63",
            "abcdefg." * 32 + "c": "error: name of 257 characters, the longest is 253",
            "ü" * 300: "error: name of 300 characters, the longest is 253",
        }
        self.assertEqual({text: outcome(text) for text in wanted}, wanted)

    def test_longest(self) -> None:
        """A name of 253 characters with labels of 63 is one."""
        longest = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
        self.assertEqual((len(longest), outcome(longest)), (253, longest))

    def test_no_idna_form(self) -> None:
        """A U-label that IDNA knows nothing of, or that is no text, is a fault and no crash."""
        self.assertIn("no IDNA form", outcome("i❤.example"))
        self.assertIn("no IDNA form", outcome("\udcff.example"))

    def test_fallback_without_package(self) -> None:
        """Where the idna package is missing, the rules of IDNA 2003 serve."""
        self.patch(name, "_map_name", name.encodings.idna.nameprep)
        self.patch(name, "_encode_label", name._label_idna2003)
        self.assertEqual(outcome("Bücher.example"), "xn--bcher-kva.example")

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(st.text(max_size=300))
    def test_any_text(self, text: str) -> None:
        """Any text gives a name that is its own form, or a ValueError."""
        try:
            found = name.to_ascii(text)
        except ValueError:
            return
        self.assertEqual(name.to_ascii(found), found)
        self.assertTrue(name.is_hostname(found))
        self.assertLessEqual(set(found), set("abcdefghijklmnopqrstuvwxyz0123456789-_."))


class Addresses(SynchronousTestCase):
    def test_one_spelling(self) -> None:
        """An address has one spelling; what is none, or has a scope, is nothing."""
        wanted = {
            "192.0.2.1": "192.0.2.1",
            "2001:DB8:0:0::1": "2001:db8::1",
            "fe80::1%eth0": "",
            "::": "::",
            "192.0.2": "",
            "192.0.2.01": "",
            "192.0.2.\u0661": "",
            "192.0.2.1\n": "",
            "1" * 100_000: "",
            "mail.example": "",
            "": "",
        }
        self.assertEqual({text: name.to_address(text) for text in wanted}, wanted)

    def test_an_address_with_dots_in_it(self) -> None:
        """IPv6 may end like IPv4; how that is spelled is Python's business, and it is no longer than it need be."""
        spelled = name.to_address("0000:0000:0000:0000:0000:ffff:192.0.2.1")
        self.assertIn(spelled, ("::ffff:192.0.2.1", "::ffff:c000:201"))

    def test_family(self) -> None:
        """The families are called what inet_protocols calls them."""
        self.assertEqual([name.family("192.0.2.1"), name.family("2001:db8::1")], ["ipv4", "ipv6"])

    def test_loopback(self) -> None:
        """All of 127.0.0.0/8 and ::1 never leave the machine."""
        self.assertEqual(
            [name.is_loopback(a) for a in ("127.3.2.1", "::1", "192.0.2.1", "2001:db8::1")], [True, True, False, False]
        )
