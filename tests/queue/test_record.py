"""Queue-file records."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.queue.record import (
    LONGEST,
    PIECE,
    CorruptQueueFile,
    Incomplete,
    MalformedRecord,
    encode,
    name,
    parse_header,
)


class EncodeTests(SynchronousTestCase):
    """Writing one record."""

    def test_lengths(self) -> None:
        """A length is written seven bits to a byte, least significant group first."""
        wanted = {0: "4e00", 5: "4e05", 127: "4e7f", 128: "4e8001", 300: "4eac02", 2048: "4e8010", 2049: "4e8110"}
        self.assertEqual({size: encode(ord("N"), b"x" * size)[: -size or None].hex() for size in wanted}, wanted)

    def test_too_long(self) -> None:
        """What could not be read back is refused with its size."""
        error = self.assertRaises(ValueError, encode, ord("N"), b"x" * (LONGEST + 1))
        self.assertIn(str(LONGEST + 1), str(error))

    @settings(max_examples=100, deadline=None, derandomize=True)
    @given(st.integers(0, 255), st.binary(max_size=PIECE + 100), st.binary(max_size=3))
    def test_round_trip(self, kind: int, data: bytes, before: bytes) -> None:
        """What is written is found again, wherever it stands."""
        written = before + encode(kind, data)
        found, start, end = parse_header(written, len(before))
        self.assertEqual((found, written[start:end], end), (kind, data, len(written)))


class ParseTests(SynchronousTestCase):
    """Reading type and length of one record."""

    def test_every_cut(self) -> None:
        """A header cut anywhere is incomplete, not malformed: more bytes may settle it."""
        whole = encode(ord("N"), b"x" * 300)[:3]
        for size in range(3):
            self.assertRaises(Incomplete, parse_header, whole[:size], 0)

    def test_impossible_lengths(self) -> None:
        """A length that no record has is refused before anything of that length is read, with the file's offset."""
        cases = {
            "4eff ffff ff0f": "claims",  # 4 GB
            "4eff ffff 7f": "claims",
            "4e80 80c0 01": "claims",  # 3 MB
            "4e80 8080 8000": "more than four bytes",
            "4e80 8080 8080 8080 8080 8080": "more than four bytes",
        }
        got = {}
        for text in cases:
            error = self.assertRaises(MalformedRecord, parse_header, bytes.fromhex(text), 0, 1000)
            self.assertEqual(error.offset, 1000)
            got[text] = next(words for words in ("claims", "more than four bytes") if words in error.why)
        self.assertEqual(got, cases)

    def test_longest(self) -> None:
        """The longest record that is believed is believed."""
        data = encode(ord("N"), b"x" * LONGEST)
        self.assertEqual(parse_header(data, 0), (ord("N"), len(data) - LONGEST, len(data)))

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(st.binary(max_size=12))
    def test_anything(self, data: bytes) -> None:
        """Whatever the bytes, there is a record of bounded length, too few bytes, or a complaint."""
        try:
            _kind, start, end = parse_header(data, 0)
        except (Incomplete, MalformedRecord):
            return
        self.assertTrue(2 <= start <= 6 and 0 <= end - start <= LONGEST)


class WordsTests(SynchronousTestCase):
    """What the operator reads."""

    def test_names(self) -> None:
        """A type that prints is quoted, another is a number."""
        self.assertEqual([name(ord("N")), name(0), name(0xFF)], ["'N'", "0x00", "0xff"])

    def test_corrupt(self) -> None:
        """The exception's text names file, offset and what is wrong."""
        self.assertEqual(str(CorruptQueueFile("/q/X", 7, "no end")), "/q/X: offset 7: no end")
        self.assertEqual(str(MalformedRecord(7, "no end")), "offset 7: no end")
