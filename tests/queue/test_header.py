"""The header of a message that is handed in: line ends, fields, where the body begins."""

from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.queue.header import BLOCK, Field, HeaderTooLarge, blocks_of, canonical, read_fields

PIECES = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"a", b":", b" ", b"From ", b"\x00", b"\xff"])).map(
    b"".join
)


def cut(data: bytes, size: int) -> list[bytes]:
    """The bytes in blocks of a size."""
    return [data[start : start + size] for start in range(0, len(data), size)]


def read(text: bytes, size_limit: int = 1000) -> tuple[list[bytes], bytes]:
    """Header fields as bytes, and everything behind them."""
    blocks = canonical(cut(text, 7))
    fields, rest = read_fields(blocks, size_limit)
    return [field.to_bytes() for field in fields], rest + b"".join(blocks)


class CanonicalTests(SynchronousTestCase):
    """Line ends."""

    def test_line_ends(self) -> None:
        """CRLF and LF end lines, other CRs are blanks, the last line gets its end."""
        table = {
            b"a\r\nb\n": b"a\nb\n",
            b"a\rb": b"a b\n",
            b"a\r\r\nb\r": b"a \nb \n",
            b"a\n\r": b"a\n \n",
            b"": b"",
            b"\n": b"\n",
            b"a\x00\xff": b"a\x00\xff\n",
        }
        self.assertEqual(table, {given: b"".join(canonical([given])) for given in table})

    @settings(max_examples=100, deadline=None, derandomize=True)
    @given(text=PIECES, size=st.integers(1, 5))
    def test_cuts_do_not_matter(self, text: bytes, size: int) -> None:
        """However the content is cut into blocks, the result is the same, and holds no CR."""
        whole = b"".join(canonical([text]))
        self.assertEqual(whole, b"".join(canonical(cut(text, size))))
        self.assertNotIn(b"\r", whole)
        self.assertTrue(not whole or whole.endswith(b"\n"))

    def test_blocks_stay_bounded(self) -> None:
        """A long content of small blocks comes out in blocks of a size worth writing, and is never joined up."""
        sizes = [len(block) for block in canonical(b"x" * 100 for _ in range(5000))]
        self.assertLess(max(sizes), BLOCK + 100)
        self.assertGreater(min(sizes[:-1]), BLOCK - 1)

    def test_bytes_are_cut(self) -> None:
        """One large bytes object is read in blocks, too."""
        self.assertEqual([BLOCK, BLOCK, 1], [len(block) for block in blocks_of(b"x" * (2 * BLOCK + 1))])


class ReadFieldsTests(SynchronousTestCase):
    """Fields and body."""

    def test_header_and_body(self) -> None:
        """Fields with their continuation lines; the empty line and the body stay behind."""
        fields, rest = read(b"A: 1\r\nB:2\r\n\tb\r\n b\r\n\r\nC: 3\r\n")
        self.assertEqual([b"A: 1\n", b"B:2\n\tb\n b\n"], fields)
        self.assertEqual(b"\nC: 3\n", rest)

    def test_where_the_header_ends(self) -> None:
        """What is no field is body, and gets its empty line."""
        table: dict[bytes, tuple[list[bytes], bytes]] = {
            b"": ([], b""),
            b"\n": ([], b"\n"),
            b"hello\nworld\n": ([], b"\nhello\nworld\n"),
            b" A: 1\n": ([], b"\n A: 1\n"),
            b"A: 1\nno field\nB: 2\n": ([b"A: 1\n"], b"\nno field\nB: 2\n"),
            b"A: 1": ([b"A: 1\n"], b""),
            b"A: 1\n \n\nx": ([b"A: 1\n \n"], b"\nx\n"),
            b": 1\n": ([], b"\n: 1\n"),
            b"\xc3\xa9: 1\n": ([], b"\n\xc3\xa9: 1\n"),
            b"A \t: 1\n": ([b"A: 1\n"], b""),
            b"A:\nB:\n": ([b"A:\n", b"B:\n"], b""),
        }
        self.assertEqual(table, {text: read(text) for text in table})

    def test_a_mailbox_line_is_dropped(self) -> None:
        """The line that opens a message in a mailbox file is no part of the message; a second one is body."""
        self.assertEqual(([b"A: 1\n"], b""), read(b"From me Mon Jan 1\r\nA: 1\r\n"))
        self.assertEqual(([b"A: 1\n"], b""), read(b">From me Mon Jan 1\nA: 1\n"))
        self.assertEqual(([], b"\nFrom me\n"), read(b"From x\nFrom me\n"))
        self.assertEqual(([b"From: me\n"], b""), read(b"From: me\n"))

    def test_a_field_too_large_is_named(self) -> None:
        """A field over the limit is refused by name, however its size comes about."""
        for text in (b"To: " + b"x" * 1000, b"To:\n" + b" x\n" * 400, b"To: " + b"x" * 1000 + b"\nB: 1\n"):
            error = self.assertRaises(HeaderTooLarge, read, text)
            self.assertEqual("To: field is larger than 1000 bytes", str(error))

    def test_a_header_too_large(self) -> None:
        """Many fields together are bounded as well."""
        error = self.assertRaises(HeaderTooLarge, read, b"A: 1\n" * 2001)
        self.assertEqual("message header is larger than 10000 bytes", str(error))

    def test_a_long_first_line_is_body(self) -> None:
        """A line without end and without colon is not searched for its end before it is known to be body."""

        def endless() -> Iterator[bytes]:
            for _ in range(10):
                yield b"x" * BLOCK
            self.fail("read further than needed")

        fields, rest = read_fields(endless(), 100)
        self.assertEqual([], fields)
        self.assertTrue(rest.startswith(b"\nxxx"))

    @settings(max_examples=100, deadline=None, derandomize=True)
    @given(text=PIECES, size=st.integers(1, 5), limit=st.integers(20, 30))
    def test_cuts_do_not_matter(self, text: bytes, size: int, limit: int) -> None:
        """Header and body are told apart the same way however the content is cut, and nothing is lost between."""

        def outcome(blocks: Iterator[bytes]) -> object:
            blocks = canonical(blocks)
            try:
                fields, rest = read_fields(blocks, limit)
            except HeaderTooLarge as error:
                return str(error)
            return fields, rest + b"".join(blocks)

        self.assertEqual(outcome(iter([text])), outcome(iter(cut(text, size))))


class FieldTests(SynchronousTestCase):
    """One field."""

    def test_key_and_body(self) -> None:
        """The key is for comparing, the body is unfolded."""
        field = Field(b"Reply-To", b" a,\n\tb \n")
        self.assertEqual(("reply-to", "a,\tb"), (field.key, field.body))
