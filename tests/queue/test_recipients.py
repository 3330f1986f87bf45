"""Address lists as they occur, and as nobody should write them."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.mail import address
from smtpclient.queue.header import Field
from smtpclient.queue.recipients import (
    AddressListError,
    addresses,
    header_recipients,
    is_resent,
    qualify,
    single_address,
)

ORIGIN = "origin.test"

LISTS = {
    "a@b.test": ["a@b.test"],
    "": [],
    "(nobody)": [],
    "a@b.test, c@d.test": ["a@b.test", "c@d.test"],
    "a@b.test,\n\tc@d.test": ["a@b.test", "c@d.test"],
    ",, a@b.test ,,": ["a@b.test"],
    "a@b.test; c@d.test": ["a@b.test", "c@d.test"],
    "undisclosed-recipients:;": [],
    "Friends: a@b.test, Bo <b@b.test>;, c@d.test": ["a@b.test", "b@b.test", "c@d.test"],
    "Friends: a@b.test": ["a@b.test"],
    "John Q. Public <j@b.test>": ["j@b.test"],
    '"Public, John" <j@b.test>': ["j@b.test"],
    "=?utf-8?q?Public=2C?= <j@b.test>": ["j@b.test"],
    "j@b.test <k@b.test>": ["k@b.test"],
    "j@b.test (John (Q.) \\) Public)": ["j@b.test"],
    "(a@b.test) c@d.test": ["c@d.test"],
    "Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>": ["pete@silly.test"],
    "a @ b . test": ["a@b.test"],
    '"x y"@b.test': ["x y@b.test"],
    '"a\\"b\\\\c"@b.test': ['a"b\\c@b.test'],
    '"a@b"@c.test': ["a@b@c.test"],
    '"a,b"@c.test, d@c.test': ["a,b@c.test", "d@c.test"],
    "a..b.@c.test": ["a..b.@c.test"],
    "a@[192.0.2.1]": ["a@[192.0.2.1]"],
    "a@[IPv6:2001:db8::1]": ["a@[IPv6:2001:db8::1]"],
    "<@relay.test,@other.test:a@b.test>": ["a@b.test"],
    "jos\xe9@b\xfccher.test": ["jos\xe9@b\xfccher.test"],
    "o'b=c+d/e!f%g@b.test": ["o'b=c+d/e!f%g@b.test"],
    "Smith, John <j@b.test>": [f"Smith@{ORIGIN}", "j@b.test"],
    '"a@b"': [f"a@b@{ORIGIN}"],
}

NO_LISTS = {
    "a b@c.test": 'no comma before "b"',
    "a@b.test c@d.test": 'more than one "@"',
    "<a@b.test> c@d.test": 'no comma before "c"',
    "<a@b.test": '"<" without ">"',
    "<a@b.test, <c@d.test>": '"<" without ">"',
    "a@b.test>": 'misplaced ">"',
    "<>": "empty address",
    "@b.test": 'nothing before or behind the "@"',
    "a@": 'nothing before or behind the "@"',
    "a@b@c.test": 'more than one "@"',
    '"a@b.test': "a quote is not closed",
    "a@b.test (c": "a comment is not closed",
    "a@[192.0.2.1": "an address literal is not closed",
    "a@b.test)": "unexpected ')'",
    "a\\@b@c.test": "unexpected '\\\\'",
    "a@b\x00.test": "unexpected '\\x00'",
    "A: B: c@d.test;": "a group in a group",
    ": a@b.test": 'misplaced ":"',
    "a@b.test: c@d.test": 'misplaced ":"',
    'a"b"@c.test': 'no comma before ""b""',
    'a@"b.test"': 'misplaced ""b.test""',
    "a@[192.0.2.1].test": 'misplaced "[192.0.2.1]"',
}


def told(text: str) -> str:
    """What is said of a text that is no list."""
    try:
        return str(addresses(text))
    except AddressListError as error:
        return str(error).rpartition(" in ")[0]


class AddressesTests(SynchronousTestCase):
    """Lists of addresses."""

    def test_lists(self) -> None:
        """Every list gives its addresses, nothing more and nothing less."""
        read = {text: [mailbox.qualified(ORIGIN) for mailbox in addresses(text)] for text in LISTS}
        self.assertEqual(LISTS, read)

    def test_no_lists(self) -> None:
        """What cannot be read is refused with the reason."""
        self.assertEqual(NO_LISTS, {text: told(text) for text in NO_LISTS})

    def test_the_error_quotes_the_text(self) -> None:
        """The operator sees which text it was, in one line of bounded length."""
        error = self.assertRaises(AddressListError, addresses, "a@b.test\n\tc@d.test")
        self.assertIn(' in "a@b.test c@d.test"', str(error))
        error = self.assertRaises(AddressListError, addresses, "<" + "x" * 1000)
        self.assertLess(len(str(error)), 300)

    @settings(max_examples=150, deadline=None, derandomize=True)
    @given(st.text(st.sampled_from('ab.@,;:<>()[]"\\ \n\té\x00'), max_size=20))
    def test_any_text(self, text: str) -> None:
        """Any text is an error in words, or a list whose addresses keep their meaning once they have domains."""
        try:
            found = [mailbox.qualified(ORIGIN) for mailbox in addresses(text)]
        except AddressListError as error:
            self.assertIn(" in ", str(error))
        else:
            again = addresses(qualify(text.encode(), ORIGIN).decode())
            self.assertEqual(found, [f"{mailbox.local}@{mailbox.domain}" for mailbox in again])

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(
        st.lists(
            st.tuples(
                st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=10),
                st.sampled_from(["b.test", "[192.0.2.1]", "x-y.test"]),
            ),
            max_size=4,
        )
    )
    def test_what_was_quoted_is_read_back(self, wanted: list[tuple[str, str]]) -> None:
        """Addresses in the form for commands and headers are read back as they were."""
        internal = [f"{local}@{domain}" for local, domain in wanted]
        text = ", ".join(address.external(one) for one in internal)
        self.assertEqual(internal, [mailbox.qualified(ORIGIN) for mailbox in addresses(text)])


class SingleAddressTests(SynchronousTestCase):
    """Addresses in SMTP commands."""

    def test_addresses(self) -> None:
        """One address, quoted or not, with or without a source route."""
        table = {
            "a@b.test": "a@b.test",
            '"a b"@b.test': "a b@b.test",
            "@x.test,@y.test:a@b.test": "a@b.test",
            "postmaster": f"postmaster@{ORIGIN}",
        }
        self.assertEqual(table, {text: single_address(text).qualified(ORIGIN) for text in table})

    def test_no_addresses(self) -> None:
        """Blanks, comments, lists and names have no place there."""
        for text in ("", "a b@c.test", "a@b.test ", "a@b.test(c)", "a@b.test,c@d.test", "A <a@b.test>", "@x.test"):
            self.assertRaises(AddressListError, single_address, text)


class HeaderRecipientsTests(SynchronousTestCase):
    """Whom ``sendmail -t`` sends to."""

    def fields(self, **texts: str) -> list[Field]:
        """Fields by name, with ``_`` for ``-``."""
        return [Field(name.replace("_", "-").encode(), f" {text}\n".encode()) for name, text in texts.items()]

    def test_to_cc_and_bcc(self) -> None:
        """Everybody named in To, Cc and Bcc, once, and nobody else."""
        fields = self.fields(From="f@x.test", To="a@x.test, b", CC="c@x.test, a@x.test", Bcc="d@x.test", Reply_To="r@x")
        self.assertEqual(["a@x.test", f"b@{ORIGIN}", "c@x.test", "d@x.test"], header_recipients(fields, ORIGIN))

    def test_a_resent_message(self) -> None:
        """Where a message is resent, only those it is resent to."""
        fields = self.fields(To="a@x.test", Resent_To="b@x.test", Resent_Bcc="c@x.test")
        self.assertEqual(["b@x.test", "c@x.test"], header_recipients(fields, ORIGIN))
        self.assertEqual([], header_recipients(self.fields(To="a@x.test", Resent_From="b@x.test"), ORIGIN))
        self.assertFalse(is_resent(self.fields(To="a@x.test")))

    def test_an_unreadable_field_is_named(self) -> None:
        """One recipient that cannot be read fails the message: nobody is dropped in silence."""
        error = self.assertRaises(
            AddressListError, header_recipients, self.fields(To="a@x.test", Cc="b c@x.test, d@x.test"), ORIGIN
        )
        self.assertEqual('Cc: header: no comma before "c" in "b c@x.test, d@x.test"', str(error))


class QualifyTests(SynchronousTestCase):
    """Addresses without a domain in header fields."""

    def test_only_addresses_without_domain_change(self) -> None:
        """The domain is put behind the address; names, comments, folding and other addresses stay."""
        table = {
            b" root\n": b" root@origin.test\n",
            b" root (Cron Daemon)\n": b" root@origin.test (Cron Daemon)\n",
            b" The Root <root>,\n\tb@c.test\n": b" The Root <root@origin.test>,\n\tb@c.test\n",
            b' G: x, "a b";\n': b' G: x@origin.test, "a b"@origin.test;\n',
            b" \xff <a>\n": b" \xff <a@origin.test>\n",
            b" a@b.test\n": b" a@b.test\n",
            b" A. Name <a@b.test>,\n\tc@d.test\n": b" A. Name <a@b.test>,\n\tc@d.test\n",
            b" A. Name <a@b.test>, c\n": b" A. Name <a@b.test>, c@origin.test\n",
            b" c <a@b.test>, c <d>\n": b" c <a@b.test>, c <d@origin.test>\n",
            b" not an address <\n": b" not an address <\n",
            b"\n": b"\n",
        }
        self.assertEqual(table, {text: qualify(text, ORIGIN) for text in table})
