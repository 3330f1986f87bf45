"""Content off the wire: what ends it, and what only looks as if it did."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.smtp.content import WireEncoder
from smtpclient.submission.data import DataDecoder

PIECES = st.lists(st.sampled_from([b"\r\n", b".", b"\r", b"\n", b"a", b"\r\n.\r\n", b"\n.\n", b"\x00"]), max_size=12)


def decoded(*reads: bytes) -> tuple[bytes, bytes | None]:
    """Content and what lies behind it, from bytes read in pieces."""
    decoder = DataDecoder()
    content = b""
    for number, data in enumerate(reads):
        block, rest = decoder.feed(data)
        content += block
        if rest is not None:
            return content, rest + b"".join(reads[number + 1 :])
    return content, None


def line_by_line(data: bytes) -> tuple[bytes, bytes | None]:
    """The same, by the words of RFC 5321 section 4.5.2."""
    content = b""
    while b"\r\n" in data:
        line, data = data.split(b"\r\n", 1)
        if line == b".":
            return content, data
        line = line[1:] if line.startswith(b".") else line
        content += line.replace(b"\r", b" ").replace(b"\n", b" ") + b"\n"
    return content, None


class DataDecoderTests(SynchronousTestCase):
    """:class:`DataDecoder`."""

    def test_content(self) -> None:
        """Lines get LF ends, stuffed dots go, the rest is what comes next."""
        table = {
            b"a\r\nb\r\n.\r\nQUIT\r\n": (b"a\nb\n", b"QUIT\r\n"),
            b".\r\n": (b"", b""),
            b"..\r\n...\r\n.a\r\n.\r\n": (b".\n..\na\n", b""),
            b"\r\n.\r\n.\r\n": (b"\n", b".\r\n"),
            b"x" * 100_000 + b"\r\n.\r\n": (b"x" * 100_000 + b"\n", b""),
        }
        self.assertEqual(table, {data: decoded(data) for data in table})

    def test_what_does_not_end_a_message(self) -> None:
        """Bare CRs and LFs end neither a message nor a line, in whatever combination."""
        for ending in (b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r.\r\n", b"\r\n.\n", b"\r\n.\r", b"\n.\r", b"\r\n\x00.\r\n"):
            content, rest = decoded(b"a" + ending + b"MAIL FROM:<evil@x.test>\r\n.\r\n")
            self.assertEqual(b"", rest, ending)
            self.assertNotIn(b"\n.\n", content, ending)
            self.assertNotIn(b"\r", content, ending)
            self.assertTrue(content.endswith(b"MAIL FROM:<evil@x.test>\n"), ending)

    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(PIECES, st.integers(1, 4))
    def test_against_the_standard(self, pieces: list[bytes], size: int) -> None:
        """However the bytes are cut, content and rest are what reading line by line gives."""
        data = b"".join(pieces) + b"\r\n.\r\n"
        cut = [data[start : start + size] for start in range(0, len(data), size)]
        self.assertEqual(line_by_line(data), decoded(data))
        self.assertEqual(line_by_line(data), decoded(*cut))

    @settings(max_examples=100, deadline=None, derandomize=True)
    @given(st.lists(st.sampled_from([b"\n", b".", b"a", b"..", b"\n.\n"]), max_size=12).map(b"".join))
    def test_what_our_client_sends(self, content: bytes) -> None:
        """What the client encodes is what comes out here, with its last line ended."""
        encoder = WireEncoder()
        wire = encoder.feed(content) + encoder.finish()
        whole = content if content.endswith(b"\n") or not content else content + b"\n"
        self.assertEqual((whole, b""), decoded(wire))
