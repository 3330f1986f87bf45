"""Quoted-printable: what is written how, where lines are broken, and that decoding gives the text back."""

import quopri

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.smtp.quoted_printable import QuotedPrintableEncoder
from tests.smtp.cutting import cut

# A liking for what matters: blanks and what is encoded, and lines about as long as a line may be.
_LINES = st.one_of(
    st.text(alphabet="ab =\tä", max_size=12).map(str.encode),
    st.tuples(st.integers(68, 78), st.text(alphabet="a =ä\r", max_size=8)).map(
        lambda line: b"x" * line[0] + line[1].encode()
    ),
    st.binary(max_size=300).map(lambda line: line.replace(b"\n", b"")),
)
_TEXTS = st.lists(_LINES, max_size=6).map(lambda lines: b"".join([line + b"\n" for line in lines]))


def encoded(text: bytes, *places: int) -> bytes:
    """The text encoded, given in pieces."""
    encoder = QuotedPrintableEncoder()
    return b"".join([encoder.feed(piece) for piece in cut(text, places)]) + encoder.finish()


class Lines(SynchronousTestCase):
    """Single lines."""

    def test_plain_text_stays(self) -> None:
        """Printable ASCII, and TAB, are written as they are."""
        text = bytes(range(0x20, 0x7F)).replace(b"=", b"")[:60] + b"\t.\n"
        self.assertEqual(encoded(text), text)

    def test_what_is_encoded(self) -> None:
        """Everything else is written in upper-case hexadecimal, and so is the sign for that."""
        self.assertEqual(encoded("a=ö\0\x7f\r\n".encode()), b"a=3D=C3=B6=00=7F=0D\n")

    def test_blanks_at_the_end(self) -> None:
        """Only the last blank of a line is encoded, or the last tab: it would get lost on the way."""
        self.assertEqual(encoded(b"a  \nb\t\n \n"), b"a =20\nb=09\n=20\n")

    def test_line_of_73(self) -> None:
        """A line of 73 bytes is not broken, one of 74 is."""
        self.assertEqual(encoded(b"x" * 73 + b"\n"), b"x" * 73 + b"\n")
        self.assertEqual(encoded(b"x" * 74 + b"\n"), b"x" * 73 + b"=\nx\n")

    def test_encoded_bytes_are_not_torn_apart(self) -> None:
        """Where a line is full in the middle of ``=XX``, it gets longer, up to 76 with the soft line break."""
        for before in (70, 71, 72):
            written = encoded(b"x" * before + "ä".encode() + b"yy\n")
            self.assertEqual(written, b"x" * before + b"=C3=\n=A4yy\n", before)

    def test_last_line_without_end(self) -> None:
        """A text that stops in the middle of a line is complete, and gets no line end."""
        self.assertEqual(encoded("ä ".encode()), b"=C3=A4=20")


class Properties(SynchronousTestCase):
    """Any text."""

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(_TEXTS)
    def test_decoding_gives_the_text_back(self, text: bytes) -> None:
        """Nothing is lost or added."""
        self.assertEqual(quopri.decodestring(encoded(text)), text)

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(_TEXTS)
    def test_result_is_harmless(self, text: bytes) -> None:
        """Lines are short, of printable ASCII and tabs, and end in no blank."""
        for line in encoded(text).split(b"\n"):
            self.assertLessEqual(len(line), 76)
            self.assertNotRegex(line, rb"[^\t -~]|[\t ]\Z")

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(_TEXTS, st.lists(st.integers(0, 400), max_size=10))
    def test_cuts_do_not_matter(self, text: bytes, places: list[int]) -> None:
        """What is written depends on the text alone."""
        self.assertEqual(encoded(text, *places), encoded(text))

    def test_line_without_end_in_sight(self) -> None:
        """Of a line of any length no more than one written line is held."""
        encoder = QuotedPrintableEncoder()
        sent = sum([len(encoder.feed(b"x" * 1000)) for _ in range(100)])
        self.assertGreater(sent, 100_000)
        self.assertLess(len(encoder.finish()), 76)
