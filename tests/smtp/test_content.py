"""Content on the wire."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.smtp.content import END, WireEncoder
from tests.smtp.cutting import cut, pieces

# Texts in which everything that matters occurs often: dots, line ends, bare CRs, and runs about as long as the limit.
TEXTS = st.lists(
    st.sampled_from([b".", b"\n", b"\r", b" ", b"x", b"\n.", b"\n.\n", b"\r\n", b"x" * 9, b"x" * 10, b"x" * 11]),
    max_size=30,
).map(b"".join)
PLACES = st.lists(st.integers(0, 120), max_size=8)
LIMITS = st.sampled_from([0, 1, 2, 3, 10, 998])


def wire(chunks: list[bytes], limit: int = 998) -> bytes:
    """The chunks on the wire."""
    encoder = WireEncoder(limit)
    return b"".join([*(encoder.feed(chunk) for chunk in chunks), encoder.finish()])


def received(data: bytes) -> tuple[bytes, bytes]:
    """What a server reads as one message, and what is left behind its end for it to read as commands."""
    text, lines = b"", data.split(b"\r\n")
    for number, line in enumerate(lines):
        if line == b".":
            return text, b"\r\n".join(lines[number + 1 :])
        text += line.removeprefix(b".") + b"\n"
    raise AssertionError("the message has no end")


class Encoding(SynchronousTestCase):
    """What every server must be able to undo."""

    @settings(max_examples=250, deadline=None, derandomize=True)
    @given(TEXTS, PLACES, LIMITS)
    def test_any_cut_gives_the_same_bytes(self, text: bytes, places: list[int], limit: int) -> None:
        """However the content comes in blocks, the same bytes go out."""
        self.assertEqual(wire(cut(text, places), limit), wire([text], limit))

    @settings(max_examples=250, deadline=None, derandomize=True)
    @given(TEXTS, PLACES)
    def test_server_gets_the_text(self, text: bytes, places: list[int]) -> None:
        """A server that undoes the encoding has the text, with the last line end if that was missing."""
        whole = text if text.endswith(b"\n") or not text else text + b"\n"
        self.assertEqual(received(wire(cut(text, places), 0)), (whole, b""))

    @settings(max_examples=250, deadline=None, derandomize=True)
    @given(TEXTS, PLACES, LIMITS)
    def test_message_ends_where_it_ends(self, text: bytes, places: list[int], limit: int) -> None:
        """No content, cut anywhere, holds a lone dot before its end: nothing is left to be read as a command."""
        data = wire(cut(text, places), limit)
        self.assertEqual(received(data)[1], b"")
        self.assertEqual((b"\r\n" + data).find(b"\r\n.\r\n"), len(data) - len(END))

    @settings(max_examples=250, deadline=None, derandomize=True)
    @given(TEXTS, PLACES, st.sampled_from([2, 3, 10, 998]))
    def test_no_line_over_the_limit(self, text: bytes, places: list[int], limit: int) -> None:
        """No line is longer than the limit, not counting the dot that stuffing adds; folding adds blanks only."""
        text = text.replace(b"\r\n", b"\n")
        data = wire(cut(text, places), limit)
        lines = [line.removeprefix(b".") for line in data.removesuffix(END).split(b"\r\n")]
        self.assertLessEqual(max(len(line) for line in lines), limit)
        whole = text if text.endswith(b"\n") or not text else text + b"\n"
        unfolded = received(wire([whole], 0))[0]
        self.assertEqual(received(data)[0].replace(b"\n ", b""), unfolded.replace(b"\n ", b""))

    def test_no_bare_line_feed(self) -> None:
        """A line feed is never sent without its CR."""
        data = wire([b"a\n\n.\n\nb\n.c\n"])
        self.assertEqual(data.replace(b"\r\n", b"").count(b"\n"), 0)


class Smuggling(SynchronousTestCase):
    """A dot at the edge of a block: whoever could choose where blocks are cut could send a second message."""

    TEXT = b"Subject: x\n\n.\n" + b"hello\n.\nMAIL FROM:<forged@example>\n..\n.x\n\n."

    def test_every_edge(self) -> None:
        """With the cut at every place, and with blocks of every size, the message is one and whole."""
        whole = (self.TEXT + b"\n", b"")
        cuts = {place: received(wire(cut(self.TEXT, [place]))) for place in range(len(self.TEXT) + 1)}
        self.assertEqual(cuts, dict.fromkeys(cuts, whole))
        sizes = {size: received(wire(pieces(self.TEXT, size))) for size in range(1, len(self.TEXT) + 1)}
        self.assertEqual(sizes, dict.fromkeys(sizes, whole))

    def test_dot_behind_a_fold(self) -> None:
        """Where a long line is broken before a dot, the blank keeps the dot off the beginning of a line."""
        self.assertEqual(wire([b"xxx.yyy\n"], 3), b"xxx\r\n .y\r\n yy\r\n.\r\n")
        self.assertEqual(wire([b"xxx", b".", b"\n"], 3), b"xxx\r\n .\r\n.\r\n")


class Examples(SynchronousTestCase):
    """Single cases in plain sight."""

    maxDiff = None

    def test_forms(self) -> None:
        """Content of many forms."""
        forms = {
            b"": b".\r\n",
            b"\n": b"\r\n.\r\n",
            b"a": b"a\r\n.\r\n",
            b"a\n": b"a\r\n.\r\n",
            b".": b"..\r\n.\r\n",
            b".\n": b"..\r\n.\r\n",
            b"..\n": b"...\r\n.\r\n",
            b"a.\n": b"a.\r\n.\r\n",
            b"a\rb\n": b"a\rb\r\n.\r\n",
            b"a\r\n": b"a\r\r\n.\r\n",
            b"\xff\0\n": b"\xff\0\r\n.\r\n",
        }
        self.assertEqual({text: wire([text]) for text in forms}, forms)

    def test_line_of_the_limit(self) -> None:
        """998 bytes are sent as they are, also when a dot is stuffed before them; with one more the line is folded."""
        lines = {
            b"x" * 998: b"x" * 998 + b"\r\n.\r\n",
            b"." + b"x" * 997: b".." + b"x" * 997 + b"\r\n.\r\n",
            b"x" * 999: b"x" * 998 + b"\r\n x\r\n.\r\n",
            b"." + b"x" * 998: b".." + b"x" * 997 + b"\r\n x\r\n.\r\n",
            b"x" * 1996: b"x" * 998 + b"\r\n " + b"x" * 997 + b"\r\n x\r\n.\r\n",
        }
        self.assertEqual({line: wire([line + b"\n"]) for line in lines}, lines)

    def test_no_limit(self) -> None:
        """With 0 a line of any length is sent as it is."""
        self.assertEqual(wire([b"x" * 100_000], 0), b"x" * 100_000 + b"\r\n.\r\n")

    def test_long_line_in_one_block(self) -> None:
        """A line of megabytes is folded in time that grows with its length only."""
        data = wire([b"x" * 5_000_000])
        self.assertEqual((data.count(b"\r\n "), data.count(b"x")), (5015, 5_000_000))
