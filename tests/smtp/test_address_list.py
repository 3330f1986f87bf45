"""Address lists, read and written with other addresses: what Postfix makes of them."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.mail.address import external
from smtpclient.smtp.address_list import addresses, rewritten

READ = {
    b" a@x": ["a@x"],
    b" Some One <a@x>, b@y (a comment)": ["a@x", "b@y"],
    b' "Doe, John" <a@x>': ["a@x"],
    b' "quoted one"@x, "a\\"b"@y, <"c d"@z>': ["quoted one@x", 'a"b@y', "c d@z"],
    b" group: a@x, N <b@y>;, c@z": ["a@x", "b@y", "c@z"],
    b" undisclosed-recipients:;": [],
    b" a@[192.0.2.1], <b@[IPv6:::1]>": ["a@[192.0.2.1]", "b@[IPv6:::1]"],
    b" a@x b@y": ["a@x", "b@y"],
    b" <a@x> b@y": ["a@x", "b@y"],
    b" local, user%x@y, x!y": ["local", "user%x@y", "x!y"],
    b" <>": [],
    b"": [],
    b" <a@x": ["<a@x"],
    b" a@x>": ["a@x"],
    b' "open': ["open"],
    b" [open": ["[open]"],
    b" a\\ b@x, c\\": ["a b@x", "c"],
    b" (a) one (b) @ (c) x": ["one@x"],
    b" J\xc3\xbcrgen <j\xc3\xbc@x>, \xff@y": ["jü@x", "\udcff@y"],
}


def swapped(text: bytes) -> bytes | None:
    """The list with ``new@z`` in the place of ``old@x``."""
    lines = rewritten(text, lambda address: "new@z" if address == "old@x" else None)
    return None if lines is None else b"|".join(lines)


class Reading(SynchronousTestCase):
    """Which addresses are in a list."""

    def test_addresses(self) -> None:
        """Addresses are found bare, in angle brackets and in groups, without quotes, comments and names."""
        self.assertEqual({text: addresses(text) for text in READ}, READ)


class Writing(SynchronousTestCase):
    """What a list looks like with another address in it."""

    def test_nothing_changed(self) -> None:
        """A list without the address stays as it is."""
        self.assertIsNone(swapped(b' "Any  one" <a@x> ,b@y'))

    def test_one_address_a_line(self) -> None:
        """The list is cut behind each comma."""
        self.assertEqual(swapped(b" old@x, b@y,c@w"), b"new@z,|b@y,|c@w")

    def test_other_text_stays(self) -> None:
        """Names, comments, quoted strings and groups are written again, with one blank where one is needed."""
        for text, wanted in {
            b'"Doe,  J."\n <old@x>': b'"Doe,  J." <new@z>',
            b"One  (a \\) b)  Two<old@x>": b"One (a \\) b) Two <new@z>",
            b"old@x (who (else))": b"new@z (who (else))",
            b"g:old@x,b@y;": b"g: new@z,|b@y;",
            b"g: ;, old@x": b"g: ;,|new@z",
            b'"a\\"b" <old@x>, [d \\] e] <c@y>': b'"a\\"b" <new@z>,|[d ] e] <c@y>',
            b"old@x,": b"new@z,|",
            b"<>, old@x": b"<>,|new@z",
        }.items():
            self.assertEqual(swapped(text), wanted)

    def test_missing_comma(self) -> None:
        """An address behind another gets a comma before it."""
        self.assertEqual(swapped(b"old@x b@y"), b"new@z,|b@y")
        self.assertEqual(swapped(b"<old@x> b@y"), b"<new@z>,|b@y")

    def test_quotes(self) -> None:
        """Addresses have quotes where they need them, and nowhere else."""
        self.assertEqual(swapped(b'old@x, "b"@y, "c d"@y, ""'), b'new@z,|b@y,|"c d"@y,|""')

    def test_much_other_text(self) -> None:
        """Of more than 250 bytes around an address nothing is left; fewer stay."""
        self.assertEqual(swapped(b"x" * 251 + b" <old@x>"), b"<new@z>")
        self.assertEqual(swapped(b"x" * 247 + b" <old@x>"), b"x" * 247 + b" <new@z>")
        self.assertEqual(swapped(b"old@x, " + b"x" * 251 + b" <>"), b"new@z,|<>")

    @settings(max_examples=500, deadline=None, derandomize=True)
    @given(st.lists(st.sampled_from([*'\\"()<>@,:;[]. \nab%', "old@x", "ü", "\udcff", "\r\t"]), max_size=20))
    def test_any_text(self, parts: list[str]) -> None:
        """Any bytes are a list, and one that is written again if there is an address in it."""
        text = "".join(parts).encode("utf-8", "surrogateescape")
        lines = rewritten(text, lambda address: address)
        self.assertEqual(lines is None, not addresses(text))

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(st.lists(st.tuples(st.text(max_size=5), st.sampled_from(["", "One", '"D, J"', "g:", "(c)"])), max_size=5))
    def test_any_address(self, mailboxes: list[tuple[str, str]]) -> None:
        """Whatever stands in addresses and around them, what was written is read as the same addresses."""
        wanted = [
            local.translate(dict.fromkeys(map(ord, "\r\n\t"), " ")) + "@x"
            for local, _ in mailboxes
            if "\0" not in local
        ]
        text = ", ".join(
            f"{name} <{external(address)}>{';' * name.endswith(':')}"
            for address, (_, name) in zip(wanted, mailboxes, strict=False)
        ).encode()
        self.assertEqual(addresses(text), wanted)
        lines = rewritten(text, lambda address: address)
        self.assertEqual(addresses(b"\n".join(lines or [])), wanted)
