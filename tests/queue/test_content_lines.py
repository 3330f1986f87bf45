"""Content as lines for the wire: whichever way it is read, the same bytes are sent."""

import os

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from smtpclient.interfaces import ILineReader
from smtpclient.mail.lines import Lines
from smtpclient.queue import record
from smtpclient.queue.content import SpoolContentReader
from smtpclient.queue.record import encode
from smtpclient.smtp.content import WireEncoder
from tests.queue.disk import DirectFiles, run

# Records in which everything that matters occurs often: dots, LF and CR in the data, parts of lines, runs of lines of
# one length, lines of ten bytes (whose length is LF), and lengths about where the form of a header changes.
DATA = st.one_of(
    st.sampled_from([b"", b".", b"..", b"x", b".\n.", b"a\nb", b"a\r", b"\n", b"0123456789", b"x" * 127, b"." * 128]),
    st.binary(max_size=12),
)
RECORDS = st.lists(
    st.one_of(
        DATA.map(lambda data: encode(record.LINE, data)),
        DATA.map(lambda data: encode(record.LINE_PART, data)),
        st.tuples(DATA, st.integers(3, 40)).map(lambda run: encode(record.LINE, run[0]) * run[1]),
        st.just(encode(record.PADDING, b"1234567")),
    ),
    max_size=10,
).map(b"".join)
BLOCKS = st.sampled_from([8, 40, 300, 100_000])
LIMITS = st.sampled_from([0, 2, 10, 127, 128, 998])


class LinesTests(SynchronousTestCase):
    """Reading the content of a file that a test has made, for the wire."""

    def setUp(self) -> None:
        self.files = DirectFiles()
        self.path = os.path.abspath(self.mktemp())

    def _reader(self, records: bytes, block: int) -> SpoolContentReader:
        with open(self.path, "wb") as file:
            file.write(records + encode(record.EXTRACTED) + encode(record.END))
        return SpoolContentReader(self.files, self.files.open(self.path), self.path, 0, block)

    def _lines(self, records: bytes, block: int = 100_000) -> list[Lines | bytes]:
        reader = self._reader(records, block)
        try:
            blocks = []
            while found := self._next(reader):
                blocks.append(found)
            return blocks
        finally:
            reader.close()

    def _next(self, reader: SpoolContentReader) -> Lines | bytes:
        found: Lines | bytes = run(reader.next_lines())
        return found

    def _wire(self, records: bytes, block: int, limit: int, dots: bool) -> bytes:
        """The bytes that are sent when the content is read as text."""
        reader, encoder = self._reader(records, block), WireEncoder(limit, dots=dots)
        sent = b""
        while text := run(reader.next_block()):
            sent += encoder.feed(text)
        reader.close()
        return sent + encoder.finish()

    @settings(max_examples=400, deadline=None, derandomize=True)
    @given(RECORDS, BLOCKS, LIMITS, st.booleans())
    @example(encode(record.LINE, b".x") * 40, 100_000, 998, True)
    @example(encode(record.LINE, b"0123456789") * 40, 100_000, 998, True)
    @example(encode(record.LINE_PART, b"x") + encode(record.LINE, b".y") * 9, 8, 998, True)
    def test_same_bytes(self, records: bytes, block: int, limit: int, dots: bool) -> None:
        """As lines or as text, cut anywhere, with any limit: the same bytes go out."""
        encoder = WireEncoder(limit, dots=dots)
        sent = b"".join([encoder.feed(found) for found in self._lines(records, block)]) + encoder.finish()
        self.assertEqual(sent, self._wire(records, block, limit, dots))

    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(RECORDS, BLOCKS)
    def test_what_is_said_of_lines_is_true(self, records: bytes, block: int) -> None:
        """No line is longer than is said, none begins with a dot where none does, and each LF ends a CRLF."""
        for found in self._lines(records, block):
            if isinstance(found, Lines):
                self.assertTrue(found.data.endswith(b"\r\n"))
                lines = found.data.split(b"\r\n")[:-1]
                self.assertLessEqual(max(map(len, lines)), found.longest)
                self.assertTrue(found.has_dots or not any(line.startswith(b".") for line in lines))
                self.assertEqual(found.data.count(b"\n"), found.data.count(b"\r\n"))

    def test_simple(self) -> None:
        """An ordinary message comes as lines, and so does one with a line of ten bytes."""
        for line in (b"x" * 70, b"0123456789"):
            records = encode(record.LINE, b"Subject: x") + encode(record.LINE) + encode(record.LINE, line) * 3
            wanted = b"\r\n".join([b"Subject: x", b"", line, line, line, b""])
            self.assertEqual(self._lines(records), [Lines(wanted, 127, False)], line)

    def test_line_feed_in_a_record(self) -> None:
        """LF inside a record ends a line, and such content comes as text."""
        self.assertEqual(self._lines(encode(record.LINE, b"a\n.\nb")), [b"a\n.\nb\n"])

    def test_length_that_is_a_line_feed(self) -> None:
        """A line of ten bytes, whose length looks like LF, keeps no other from being read as lines for the wire."""
        records = encode(record.LINE, b"0123456789") + encode(record.LINE, b"x" * 70) * 5
        self.assertEqual(self._lines(records), [Lines(b"0123456789\r\n" + (b"x" * 70 + b"\r\n") * 5, 127, False)])

    def test_interface(self) -> None:
        """The reader is one that has lines."""
        reader = self._reader(b"", 100)
        self.addCleanup(reader.close)
        verifyObject(ILineReader, reader)
