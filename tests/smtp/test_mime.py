"""The structure of messages: fields and where they stand, bodies and what they belong to, whatever the text."""

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.smtp.mime import PIECE, Entity, MimeReader, NestingTooDeep, Place
from tests.smtp.cutting import cut

MULTIPART = b"""\
Subject: outer
Content-Type: multipart/mixed; boundary=b

prolog
--b
Content-Type: text/plain
Content-Transfer-Encoding: 8bit

first
--x
--b
Content-Type: message/rfc822
Content-Transfer-Encoding: 8bit

Subject: inner
Content-Type: multipart/digest; boundary="in ner"

--in ner

Subject: in a digest

text
--in ner--
epilog of the inner one
--b--
epilog
"""


class Story:
    """Notes what is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.whole: list[bytes] = []

    def field(self, place: Place, name: bytes, text: bytes, entity: Entity) -> None:
        """Note it."""
        self.told.append(f"{place.name} {name.decode()} {text.decode('latin-1')}")
        self.whole.append(text + b"\n")

    def end_of_header(self, place: Place, entity: Entity, *, composite: bool) -> None:
        """Note it."""
        self.told.append(f"{place.name} end{' 8bit' * entity.eight_bit}{' composite' * composite}")

    def body(self, text: bytes, entity: Entity) -> None:
        """Note it, as one with what it goes on from."""
        mark = "8bit: " if entity.eight_bit else "body: "
        if self.told and self.told[-1].startswith(mark):
            self.told[-1] += text.decode("latin-1")
        else:
            self.told.append(mark + text.decode("latin-1"))
        self.whole.append(text)


def read(text: bytes, places: Sequence[int] = (), **options: bool | int) -> Story:
    """What is told of a message that is given in pieces."""
    story = Story()
    reader = MimeReader(story, **options)  # type: ignore[arg-type]
    for piece in cut(text, places):
        reader.feed(piece)
    reader.finish()
    return story


class Structure(SynchronousTestCase):
    """What is seen in a message."""

    maxDiff = None

    def test_multipart(self) -> None:
        """Parts, attached messages and digests have headers; prologs, epilogs and boundaries belong to no part."""
        wanted = [
            "MESSAGE subject Subject: outer",
            "MESSAGE content-type Content-Type: multipart/mixed; boundary=b",
            "MESSAGE end composite",
            "body: \nprolog\n--b\n",
            "PART content-type Content-Type: text/plain",
            "PART content-transfer-encoding Content-Transfer-Encoding: 8bit",
            "PART end 8bit",
            "8bit: \nfirst\n--x\n",
        ]
        told = read(MULTIPART).told
        self.assertEqual(told[: len(wanted)], wanted)
        self.assertEqual(
            told[len(wanted) :],
            [
                "body: --b\n",
                "PART content-type Content-Type: message/rfc822",
                "PART content-transfer-encoding Content-Transfer-Encoding: 8bit",
                "PART end 8bit composite",
                "body: \n",
                "ATTACHED_MESSAGE subject Subject: inner",
                'ATTACHED_MESSAGE content-type Content-Type: multipart/digest; boundary="in ner"',
                "ATTACHED_MESSAGE end composite",
                "body: \n--in ner\n",
                "PART end composite",
                "body: \n",
                "ATTACHED_MESSAGE subject Subject: in a digest",
                "ATTACHED_MESSAGE end",
                "body: \ntext\n--in ner--\nepilog of the inner one\n--b--\nepilog\n",
            ],
        )

    def test_unstructured(self) -> None:
        """Without a look into bodies, all behind the header is one."""
        told = read(MULTIPART, structured=False).told
        self.assertEqual([line.split(" ")[0] for line in told], ["MESSAGE"] * 3 + ["body:"])

    def test_boundary_of_an_outer_part(self) -> None:
        """It ends all parts inside, closed or not."""
        inner = b"Content-Type: multipart/y; boundary=b\n\n--b\n\nx\n"
        text = b"Content-Type: multipart/x; boundary=a\n\n--a\n" + inner + b"--a\nX: y\n"
        self.assertEqual(read(text).told[-2:], ["PART x X: y", "PART end"])
        self.assertEqual(read(text + b"\n--b\nX: y\n").told[-1], "body: \n--b\nX: y\n")

    def test_boundary_is_a_prefix(self) -> None:
        """What stands behind it on its line does not matter, but for two dashes."""
        text = b"Content-Type: multipart/x; boundary=a\n\n--a odd\nX: 1\n\n--a--odd\nX: 2\n"
        self.assertEqual([line for line in read(text).told if line.startswith("PART x")], ["PART x X: 1"])

    def test_two_boundaries(self) -> None:
        """Where a field names two, both begin parts."""
        text = b"Content-Type: multipart/x; boundary=a; boundary=c\n\n--a\nX: 1\n\n--c\nX: 2\n"
        self.assertEqual([line[-1] for line in read(text).told if line.startswith("PART x")], ["1"])
        text = text.replace(b"--a", b"--c").replace(b"--c\nX: 2", b"--a\nX: 2")
        self.assertEqual([line[-1] for line in read(text).told if line.startswith("PART x")], ["1", "2"])

    def test_type_of_a_digests_part(self) -> None:
        """A part of a digest that says it is something else is that."""
        text = b"Content-Type: multipart/digest; boundary=a\n\n--a\nContent-Type: image/x\n\nX: 1\n"
        self.assertEqual(read(text).told[-2:], ["PART end", "body: \nX: 1\n"])

    def test_contradicting_types(self) -> None:
        """Of two types in a header the one with structure counts; of no type at all, none."""
        text = b"Content-Type: multipart/x; boundary=a\nContent-Type: image/x\n\n"
        self.assertIn("MESSAGE end composite", read(text).told)
        self.assertNotIn("MESSAGE end composite", read(text.replace(b"image/x", b"")).told)

    def test_global_message(self) -> None:
        """A message in UTF-8 is looked into, but not where it will be encoded as a whole."""
        text = b"Content-Type: message/global\nContent-Transfer-Encoding: 8bit\n\nX: 1\n"
        self.assertIn("ATTACHED_MESSAGE x X: 1", read(text).told)
        self.assertEqual(read(text, encoding=True).told[-1], "8bit: \nX: 1\n")
        self.assertIn("ATTACHED_MESSAGE x X: 1", read(text.replace(b"8bit", b"7bit"), encoding=True).told)


class Headers(SynchronousTestCase):
    """Where headers end, and what is in them."""

    def test_folded(self) -> None:
        """A field is told in one piece, with its line ends; of blanks before the colon nothing is left."""
        self.assertEqual(read(b"X \t: a\n b\n\tc\n").told[0], "MESSAGE x X: a\n b\n\tc")

    def test_missing_empty_line(self) -> None:
        """A line that is no field begins the body; only behind the message's own header an empty line is put in."""
        self.assertEqual(read(b"X: a\ntext\n").told[1:], ["MESSAGE end", "body: \ntext\n"])
        text = b"Content-Type: multipart/x; boundary=a\n\n--a\nX: 1\ntext\n"
        self.assertEqual(read(text).told[-2:], ["PART end", "body: text\n"])

    def test_no_header(self) -> None:
        """A message may begin with an empty line, with text, with a continuation of nothing, or not at all."""
        self.assertEqual(read(b"\nX: a\n").told, ["MESSAGE end", "body: \nX: a\n"])
        self.assertEqual(read(b" X: a\n").told, ["MESSAGE end", "body: \n X: a\n"])
        self.assertEqual(read(b"").told, ["MESSAGE end"])

    def test_message_of_a_header_only(self) -> None:
        """It is told to the end."""
        self.assertEqual(read(b"X: a\nContent-Type: multipart/x").told[-1], "MESSAGE end composite")

    def test_last_encoding_counts(self) -> None:
        """So it is in a header with two, while an unknown one changes nothing."""
        for second, wanted in ((b"7bit", ""), (b"odd", " 8bit"), (b"binary", " 8bit")):
            fields = b"Content-Transfer-Encoding: 8bit\nContent-Transfer-Encoding: " + second
            self.assertEqual(read(fields).told[-1], "MESSAGE end" + wanted)

    def test_attached_message_without_header(self) -> None:
        """Where no empty line stands before it, it is text, but not text of the entity around it."""
        text = b"Content-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\nno field\nX: 1\n"
        self.assertEqual(read(text).told[-2:], ["MESSAGE end 8bit composite", "body: \nno field\nX: 1\n"])


class Limits(SynchronousTestCase):
    """What is bounded."""

    def test_long_field(self) -> None:
        """What exceeds the limit is dropped, and the next field begins where it should."""
        story = read(b"X: " + b"a" * 5000 + b"\n b\nY: c\n\n", header_limit=100)
        self.assertLess(len(story.told[0]), 2 * PIECE)
        self.assertEqual(story.told[1], "MESSAGE y Y: c")

    def test_nesting(self) -> None:
        """Beyond the limit parts are not followed; where that would leave text unencoded, it is an error."""
        text = b"".join([b"Content-Type: multipart/x; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(4)]) + b"X: 1\n"
        self.assertIn("PART x X: 1", read(text, nesting_limit=3).told)
        self.assertNotIn("PART x X: 1", read(text, nesting_limit=2).told)
        self.assertRaises(NestingTooDeep, read, text, nesting_limit=2, encoding=True)

    def test_long_boundary(self) -> None:
        """Only its beginning is kept and compared."""
        text = b"Content-Type: multipart/x; boundary=" + b"a" * 50 + b"\n\n--" + b"a" * 20 + b"b\nX: 1\n"
        self.assertIn("PART x X: 1", read(text, boundary_limit=20).told)

    def test_long_boundary_line(self) -> None:
        """A header begins behind the boundary's line, however long that is."""
        line = b"--b " + b"x" * 3 * PIECE
        text = b"Content-Type: multipart/x; boundary=b\n\n" + line + b"\nX: 1\n"
        story = read(text)
        self.assertEqual(story.told[-2:], ["PART x X: 1", "PART end"])
        self.assertEqual(b"".join(story.whole), text)

    def test_held(self) -> None:
        """Of a line without end, what cannot matter is passed on."""
        for start in (b"X: ", b"\n", b"Content-Type: multipart/x; boundary=b\n\n", b"\n--"):
            story = Story()
            reader = MimeReader(story)
            reader.feed(start)
            for _ in range(100):
                reader.feed(b"x" * 1000)
            if start != b"X: ":
                self.assertGreater(sum(map(len, story.whole)), 100_000 - PIECE, start)


_PARTS = st.sampled_from(
    [
        b"Content-Type: multipart/mixed; boundary=b\n",
        b"Content-Type: multipart/digest; boundary=c\n",
        b"Content-Type: message/rfc822\n",
        b"Content-Type: message/global\n",
        b"Content-Transfer-Encoding: 8bit\n",
        b"Content-Transfer-Encoding : base64\n",
        b"X: y\n z\n",
        b"\n",
        b"--b\n",
        b"--b--\n",
        b"--c",
        b"-",
        b" ",
        b"text\n",
        b"x" * 2047,
        b"\r\n",
        b"\0\xff\n",
        b"\xc3\xa4",
    ]
)
_MESSAGES = st.lists(_PARTS, max_size=20).map(b"".join)


class Properties(SynchronousTestCase):
    """Any bytes."""

    @settings(max_examples=250, deadline=None, derandomize=True)
    @given(_MESSAGES, st.lists(st.integers(0, 5000), max_size=8), st.booleans(), st.booleans())
    def test_cuts_do_not_matter(self, text: bytes, places: list[int], structured: bool, encoding: bool) -> None:
        """What is told depends on the text alone."""
        wanted = read(text, structured=structured, encoding=encoding).told
        self.assertEqual(read(text, places, structured=structured, encoding=encoding).told, wanted)

    @settings(max_examples=250, deadline=None, derandomize=True)
    @given(_MESSAGES)
    def test_nothing_is_lost(self, text: bytes) -> None:
        """What is told is the message, but for an empty line, blanks before a colon, and an end of the last line."""
        told = b"".join(read(text).whole).replace(b"\n", b"").replace(b"Encoding:", b"Encoding :")
        self.assertEqual(told, text.replace(b"\n", b"").replace(b"Encoding:", b"Encoding :"))

    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
    def test_noise(self, text: bytes, places: list[int]) -> None:
        """Bytes without sense raise nothing."""
        self.assertTrue(read(text, places, encoding=True).told)
