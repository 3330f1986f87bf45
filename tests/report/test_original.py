"""Tests for :mod:`smtpclient.report.original`."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from smtpclient.interfaces import IContentReader, IMessageContent
from smtpclient.report.original import HEADER_LIMIT, MOST_REFERENCES, Original, from_bytes, header_length, read_original
from tests.report.world import MAIL, Content

HEADER = MAIL.partition(b"\n\n")[0] + b"\n"


class ReadOriginal(SynchronousTestCase):
    """Reading what is to be returned."""

    def read(self, data: bytes, whole: bool = True, limit: int = 1000, block: int = 7) -> Original:
        """Read a content in blocks; it must be closed afterwards."""
        content = Content(data, block)
        original = self.successResultOf(read_original(content, whole, limit))
        self.assertTrue(content.readings[0].closed)
        self.bytes_read = content.readings[0].read
        return original

    def test_contents_are_contents(self) -> None:
        """What the tests read from provides what a spool's content provides."""
        verifyObject(IMessageContent, Content())
        verifyObject(IContentReader, Content().open())

    def test_whole(self) -> None:
        """A message within the limit is returned byte for byte."""
        original = self.read(MAIL)
        self.assertEqual((original.data, original.whole), (MAIL, True))

    def test_header_only(self) -> None:
        """Where the body is not wanted, the header is returned and the body hardly read."""
        original = self.read(MAIL + b"x" * 100000, whole=False)
        self.assertEqual((original.data, original.whole), (HEADER, False))
        self.assertLess(self.bytes_read, len(HEADER) + 20)

    def test_just_at_the_limit(self) -> None:
        """A message of exactly the limit is returned; of one byte more, the header."""
        self.assertTrue(self.read(MAIL, limit=len(MAIL)).whole)
        self.assertEqual(self.read(MAIL, limit=len(MAIL) - 1).data, HEADER)

    def test_limit_within_the_header(self) -> None:
        """The header is returned whole, even where it is longer than the limit."""
        self.assertEqual(self.read(MAIL, limit=10).data, HEADER)

    def test_no_limit(self) -> None:
        """With the limit 0, a message of any length is returned."""
        data = MAIL + b"x" * 200000 + b"\n"
        self.assertEqual(self.read(data, limit=0, block=4096).data, data)

    def test_endless_header(self) -> None:
        """Of a header that is too long, whole lines are returned."""
        line = b"X-Line: " + b"x" * 90 + b"\n"
        original = self.read(line * 20000, whole=False, block=4096)
        self.assertTrue(original.data.endswith(line))
        self.assertEqual(len(original.data), HEADER_LIMIT // len(line) * len(line))
        self.assertLess(self.bytes_read, HEADER_LIMIT + 4097)

    def test_no_body(self) -> None:
        """A message that is nothing but header is returned as it is, with its last line ended."""
        self.assertEqual(self.read(HEADER, whole=False).data, HEADER)
        self.assertEqual(self.read(HEADER[:-1], whole=True).data, HEADER)

    def test_no_header(self) -> None:
        """Of a message without a header, no line is returned when only the header is wanted."""
        self.assertEqual(self.read(b"\nsecret\n", whole=False).data, b"")
        self.assertEqual(self.read(b"secret text\n", whole=False).data, b"")

    def test_empty(self) -> None:
        """Nothing is returned of nothing."""
        self.assertEqual(self.read(b"").data, b"")

    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(st.binary(max_size=300), st.integers(1, 20), st.booleans(), st.integers(0, 300))
    def test_any_content(self, data: bytes, block: int, whole: bool, limit: int) -> None:
        """Whatever the content: it is returned as it is, or its header is; never a line of the body."""
        original = self.read(data, whole, limit, block)
        if original.whole:
            self.assertIn(original.data, (data, data + b"\n"))
        else:
            self.assertEqual(original.data.rstrip(b"\n"), data[: header_length(data)].rstrip(b"\n"))


class FromBytes(SynchronousTestCase):
    """What is taken out of a header."""

    def ids(self, header: bytes) -> tuple[str, tuple[str, ...]]:
        """The message ids of a header."""
        original = from_bytes(header + b"\nbody\n", whole=True)
        return original.message_id, original.references

    def test_message_id(self) -> None:
        """The Message-ID is found in any case and folded, in the header only."""
        self.assertEqual(self.ids(b"To: x\nmessage-id:\n\t<a@b>\n"), ("<a@b>", ()))
        self.assertEqual(from_bytes(b"To: x\n\nMessage-ID: <a@b>\n", whole=True).message_id, "")

    def test_references(self) -> None:
        """References are found in their order."""
        self.assertEqual(self.ids(b"References: <1@a>\n <2@a>\nMessage-ID: <3@a>\n"), ("<3@a>", ("<1@a>", "<2@a>")))

    def test_many_references(self) -> None:
        """Of very many references the first and the latest are kept."""
        header = b"References: " + b" ".join(b"<%d@a>" % number for number in range(1000)) + b"\n"
        _, references = self.ids(header)
        self.assertEqual((len(references), references[0], references[-1]), (MOST_REFERENCES, "<0@a>", "<999@a>"))

    def test_malformed_ids(self) -> None:
        """What is no message id is not taken for one: it would be copied into our own header."""
        for value in (b"a@b", b"<a b@c>", b"<a@b\n", b"<\xe9@b>", b"<" + b"x" * 300 + b">", b"<>", b"<a\r@b>"):
            self.assertEqual(self.ids(b"Message-ID: " + value + b"\n")[0], "", value)

    def test_end_of_header(self) -> None:
        """The header ends at the first line that cannot belong to it."""
        cases = {
            b"A: 1\n b\n\tc\nD:2\n\nbody": b"A: 1\n b\n\tc\nD:2\n",
            b"A: 1\nno colon\nB: 2\n": b"A: 1\n",
            b"A : 1\n: 2\n": b"A : 1\n",
            b"\xc3\xa9: 1\n": b"",
        }
        self.assertEqual({data: data[: header_length(data)] for data in cases}, cases)
