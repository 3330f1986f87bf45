"""What the fields that describe a body say of it."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.smtp.mime_field import OTHER, ContentType, comment_end, content_type, eight_bit

TYPES = {
    b" text/plain": ContentType(b"text", b"plain"),
    b"TEXT / Html; charset=utf-8": ContentType(b"text", b"html"),
    b" text": ContentType(b"text"),
    b"(c (nested \\) one)) message/(x)RFC822": ContentType(b"message", b"rfc822"),
    b"multipart/mixed; boundary=abc": ContentType(b"multipart", b"mixed", (b"abc",)),
    b'Multipart/Digest;\n\tx=y; BOUNDARY = "a b;c" ; z': ContentType(b"multipart", b"digest", (b"a b;c",)),
    b'multipart/x; boundary="a\\"b"; boundary=c': ContentType(b"multipart", b"x", (b'a"b', b"c")),
    b'multipart/x; boundary="a \n b': ContentType(b"multipart", b"x", (b"a b",)),
    b'multipart/x; boundary=""': ContentType(b"multipart", b"x", (b"",)),
    b"multipart/x; boundary=a=b": ContentType(b"multipart", b"x", (b"a",)),
    b"multipart/x; boundary a; boundary; boundary:c": ContentType(b"multipart", b"x"),
    b'multipart/x; "boundary"=a': ContentType(b"multipart", b"x"),
    b"multipart/x; (boundary=a) boundary=b (c": ContentType(b"multipart", b"x", (b"b",)),
    b"image/png; boundary=a": ContentType(b"image", b"png"),
    b"text plain": ContentType(b"text"),
    b'"text"/plain': ContentType(b"", b"plain"),
    b"": OTHER,
    b"; boundary=a": OTHER,
    b"(only a comment": OTHER,
}

ENCODINGS = {
    b" 8bit": True,
    b"8BIT ": True,
    b"binary": True,
    b"(comment) 8bit (c)": True,
    b"8bit; x": True,
    b"7bit": False,
    b"Base64": False,
    b"quoted-printable": False,
    b'"8bit"': None,
    b"8bits": None,
    b";8bit": None,
    b"": None,
}


class Fields(SynchronousTestCase):
    """The two fields that matter."""

    def test_content_type(self) -> None:
        """Type, subtype and boundaries are found, in any case, between comments, quotes and folds."""
        self.assertEqual({text: content_type(text) for text in TYPES}, TYPES)

    def test_transfer_encoding(self) -> None:
        """The first word tells, in any case; what is no known word says nothing."""
        self.assertEqual({text: eight_bit(text) for text in ENCODINGS}, ENCODINGS)

    def test_comment_end(self) -> None:
        """A comment ends with the parenthesis that belongs to it, or with the text."""
        self.assertEqual(comment_end(b"x(a(b)\\)c)d", 1), 10)
        self.assertEqual(comment_end(b"(a(b)", 0), 5)

    @settings(max_examples=500, deadline=None, derandomize=True)
    @given(st.lists(st.sampled_from([*b'\\"()/;=\n ', b"multipart", b"boundary", b"8bit", b"\xff"]), max_size=20))
    def test_any_text(self, parts: list[int | bytes]) -> None:
        """Any bytes have a meaning."""
        text = b"".join([part if isinstance(part, bytes) else bytes([part]) for part in parts])
        self.assertIsInstance(content_type(text), ContentType)
        self.assertIn(eight_bit(text), (True, False, None))
