"""Lines of text as content records, and back."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.queue.content_records import LineDecoder, LineEncoder
from smtpclient.queue.record import LINE, LINE_PART, LONGEST, PIECE, MalformedRecord, encode, parse_header


def records_of(*blocks: bytes) -> bytes:
    """The records of a text that comes in blocks."""
    encoder = LineEncoder()
    return b"".join([encoder.feed(block) for block in blocks]) + encoder.finish()


def split(records: bytes) -> list[tuple[str, bytes]]:
    """Records as pairs of type and data."""
    found, at = [], 0
    while at < len(records):
        kind, start, at = parse_header(records, at)
        found.append((chr(kind), records[start:at]))
    return found


def text_of(records: bytes, block: int) -> bytes:
    """The text of records that come in blocks of a size; more is read where a record is longer."""
    decoder = LineDecoder()
    text, at, end = b"", 0, block
    while at < len(records):
        part, used = decoder.decode(records[at:end], 0, at)
        text += part
        at += used
        end = max(at, end) + block
    return text + b"\n" * decoder.open_line


TEXTS = st.lists(
    st.one_of(
        st.binary(max_size=20),
        st.sampled_from([b"\n", b"\r\n", b".\n", b"x" * 127, b"x" * 128, b"x" * PIECE, b"y" * (2 * PIECE + 1)]),
    ),
    max_size=12,
)


class LineEncoderTests(SynchronousTestCase):
    """Text in, records out."""

    def test_lines(self) -> None:
        """A line is one record without its line end; an empty line is an empty record."""
        self.assertEqual(split(records_of(b"a\n\nb\n")), [("N", b"a"), ("N", b""), ("N", b"b")])

    def test_last_line_without_end(self) -> None:
        """A last line without LF is a line like any other."""
        self.assertEqual(split(records_of(b"a\nb")), [("N", b"a"), ("N", b"b")])

    def test_nothing(self) -> None:
        """No text, no record."""
        self.assertEqual(records_of(b""), b"")

    def test_long_lines(self) -> None:
        """A line longer than a piece is written in parts, the last of which ends it and is never empty."""
        sizes = {}
        for size in (PIECE, PIECE + 1, 2 * PIECE, 2 * PIECE + 5):
            sizes[size] = [(kind, len(data)) for kind, data in split(records_of(b"x" * size + b"\n"))]
        wanted = {
            PIECE: [("N", PIECE)],
            PIECE + 1: [("L", PIECE), ("N", 1)],
            2 * PIECE: [("L", PIECE), ("N", PIECE)],
            2 * PIECE + 5: [("L", PIECE), ("L", PIECE), ("N", 5)],
        }
        self.assertEqual(sizes, wanted)

    def test_endless_line(self) -> None:
        """A line that never ends is not kept: its parts go out as they come."""
        encoder = LineEncoder()
        out = sum(len(encoder.feed(b"x" * 1000)) for _ in range(1000))
        self.assertGreaterEqual(out, 1000 * 1000 - PIECE)

    @settings(max_examples=150, deadline=None, derandomize=True)
    @given(TEXTS)
    def test_no_record_is_longer_than_a_piece(self, blocks: list[bytes]) -> None:
        """However the text comes, every record fits what Postfix reads."""
        self.assertTrue(all(len(data) <= PIECE for _kind, data in split(records_of(*blocks))))


class LineDecoderTests(SynchronousTestCase):
    """Records in, text out."""

    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(TEXTS, st.integers(1, 600))
    def test_round_trip(self, blocks: list[bytes], size: int) -> None:
        """Text comes back as it was, in whatever blocks it was written and is read; a last line gets its LF."""
        text = b"".join(blocks)
        wanted = text if text.endswith(b"\n") or not text else text + b"\n"
        self.assertEqual(text_of(records_of(*blocks), size), wanted)

    def test_line_feed_in_data(self) -> None:
        """A line feed inside a record is a line end."""
        self.assertEqual(text_of(encode(LINE, b"a\nb"), 100), b"a\nb\n")

    def test_parts(self) -> None:
        """Parts are joined without anything between them, and the text knows that it ends inside a line."""
        decoder = LineDecoder()
        data = encode(LINE_PART, b"a") + encode(LINE_PART, b"b")
        self.assertEqual(decoder.decode(data, 0, 0), (b"ab", len(data)))
        self.assertTrue(decoder.open_line)
        self.assertEqual(decoder.decode(encode(LINE, b""), 0, 0)[0], b"\n")
        self.assertFalse(decoder.open_line)

    def test_stops_at_other_records(self) -> None:
        """What is no line stops it, and is left where it is."""
        data = encode(LINE, b"a") + encode(ord("X"))
        self.assertEqual(LineDecoder().decode(data, 0, 0), (b"a\n", 3))

    def test_starts_anywhere(self) -> None:
        """It starts at the index that it is given."""
        self.assertEqual(LineDecoder().decode(b"???" + encode(LINE, b"a"), 3, 0), (b"a\n", 6))

    def test_every_length(self) -> None:
        """Lines of every length around the borders of one, two and three length bytes survive."""
        for size in (0, 1, 126, 127, 128, 129, 255, 256, 16383, 16384, 16385, 70000):
            records = encode(LINE, b"z" * size) + encode(LINE, b"end")
            self.assertEqual(text_of(records, 50), b"z" * size + b"\nend\n")

    def test_every_cut(self) -> None:
        """Cut anywhere, what is whole is decoded and the rest is left."""
        whole = encode(LINE, b"ab") + encode(LINE, b"c" * 130) + encode(LINE_PART, b"d") + encode(LINE, b"e")
        ends = {4: b"ab\n", 137: b"ab\n" + b"c" * 130 + b"\n", 140: b"ab\n" + b"c" * 130 + b"\nd"}
        for size in range(len(whole)):
            used = max([end for end in ends if end <= size], default=0)
            self.assertEqual(LineDecoder().decode(whole[:size], 0, 0), (ends.get(used, b""), used), size)

    def test_impossible_length(self) -> None:
        """A record of four gigabytes is refused at its offset in the file."""
        data = encode(LINE, b"a") + b"N\xff\xff\xff\xff\x0f"
        error = self.assertRaises(MalformedRecord, LineDecoder().decode, data, 0, 500)
        self.assertEqual(error.offset, 503)

    def test_longest(self) -> None:
        """The longest record passes."""
        self.assertEqual(len(text_of(encode(LINE, b"x" * LONGEST), LONGEST + 10)), LONGEST + 1)
