"""Addresses: internal and external form."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.mail import address

ANY_TEXT = st.text(st.characters(codec=None, categories=None), max_size=60)
MOSTLY_ADDRESSES = st.one_of(ANY_TEXT, st.text('ab@".\\ <>\n\u00fc', max_size=12))


class Forms(SynchronousTestCase):
    """The two forms of an address."""

    def test_external_forms(self) -> None:
        """A local part is quoted where RFC 5321 asks for it, and nowhere else; a domain never is."""
        forms = {
            "": "",
            "user@example.com": "user@example.com",
            "user": "user",
            "first.last+tag@example.com": "first.last+tag@example.com",
            "!#$%&'*/=?^_`{|}~-@example.com": "!#$%&'*/=?^_`{|}~-@example.com",
            "user name@example.com": '"user name"@example.com',
            "a@b@example.com": '"a@b"@example.com',
            ".dot@example.com": '".dot"@example.com',
            "two..dots@example.com": '"two..dots"@example.com',
            'quote"d@example.com': '"quote\\"d"@example.com',
            "back\\slash@example.com": '"back\\\\slash"@example.com',
            "@example.com": '""@example.com',
            "user@": "user@",
            "jürgen@example.com": "jürgen@example.com",
            "user@[192.0.2.1]": "user@[192.0.2.1]",
            "user@domain with blank": "user@domain with blank",
        }
        self.assertEqual({internal: address.external(internal) for internal in forms}, forms)

    @settings(max_examples=400, deadline=None, derandomize=True)
    @given(MOSTLY_ADDRESSES)
    def test_external_form_can_be_undone(self, internal: str) -> None:
        """internal(external(a)) == a for every address, whatever it is made of."""
        self.assertEqual(address.internal(address.external(internal)), internal)

    def test_internal_forms(self) -> None:
        """Quotes and quoted pairs are undone; what is no quoted string stays."""
        forms = {
            '"user name"@example.com': "user name@example.com",
            '"a\\"b"@example.com': 'a"b@example.com',
            '"': '"',
            '"half@example.com': '"half@example.com',
            '"alone"': "alone",
        }
        self.assertEqual({external: address.internal(external) for external in forms}, forms)

    def test_parts(self) -> None:
        """An address is split at its last at sign; the domain in lower case is what routes it."""
        parts = {
            "user@Example.COM": ("user", "Example.COM", "example.com"),
            "a@b@c.example": ("a@b", "c.example", "c.example"),
            "nobody": ("nobody", "", ""),
            "": ("", "", ""),
        }
        found = {text: (*address.split(text), address.domain_of(text)) for text in parts}
        self.assertEqual(found, parts)


class Bytes(SynchronousTestCase):
    """Addresses as they came."""

    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(st.binary(max_size=60))
    def test_bytes_survive(self, data: bytes) -> None:
        """What is not UTF-8 comes out as it went in."""
        self.assertEqual(address.to_bytes(address.from_bytes(data)), data)

    def test_what_is_not_safe(self) -> None:
        """Control characters of ASCII make an address unsafe, and surrogates that stand for no byte; nothing else."""
        not_safe = (*range(32), 127, *range(0xD800, 0xDC80), *range(0xDD00, 0xE000))
        unsafe = {chr(code) for code in range(0x110000) if not address.is_safe(f"a{chr(code)}b@example.com")}
        self.assertEqual(unsafe, {chr(code) for code in not_safe})
