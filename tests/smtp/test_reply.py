"""Replies from bytes."""

import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.smtp.reply import LINE_LIMIT, REPLY_LIMIT, TEXT_LIMIT, Reply, ReplyParser, ReplyTooLong
from tests.smtp.cutting import cut, pieces

# Bytes in which replies occur often, with all that may be wrong with them.
PIECES = st.sampled_from(
    [
        b"2",
        b"250",
        b"550",
        b"354",
        b" ",
        b"-",
        b"\r",
        b"\n",
        b"\r\n",
        b"\t",
        b"\0",
        b".",
        b"5.1.1",
        b"ok",
        b"\xff",
        b"\xc3",
    ]
)
REPLY_LIKE = st.one_of(st.lists(PIECES, max_size=40).map(b"".join), st.binary(max_size=80))


def parse(*chunks: bytes) -> list[Reply]:
    """All replies in these chunks."""
    parser = ReplyParser()
    return [reply for chunk in chunks for reply in parser.feed(chunk)[0]]


def parse_all(chunks: list[bytes]) -> tuple[list[Reply], bool]:
    """All replies in these chunks, and whether one was too long."""
    parser, replies = ReplyParser(), []
    for chunk in chunks:
        try:
            replies += parser.feed(chunk)[0]
        except ReplyTooLong as why:
            return [*replies, *why.replies], True
    return replies, False


class Grammar(SynchronousTestCase):
    """What is a reply."""

    maxDiff = None

    def test_forms(self) -> None:
        """Code, text and number of garbage lines of replies of every form."""
        replies = {
            b"250 Ok\r\n": [(250, "250 Ok", 0)],
            b"250\r\n": [(250, "250", 0)],
            b"250 \r\n": [(250, "250 ", 0)],
            b"250 Ok\n": [(250, "250 Ok", 0)],
            b"250 Ok\r\r\n": [(250, "250 Ok", 0)],
            b"250-one\r\n250-two\r\n250 three\r\n": [(250, "250-one\n250-two\n250 three", 0)],
            b"250-one\r\n250\r\n": [(250, "250-one\n250", 0)],
            b"250 a\r\n354 b\r\n": [(250, "250 a", 0), (354, "354 b", 0)],
            b"250-one\r\n550 two\r\n": [(550, "250-one\n550 two", 0)],
            b"000 nil\r\n": [(0, "000 nil", 0)],
            b"999 all\r\n": [(999, "999 all", 0)],
        }
        found = {data: [(reply.code, reply.text, reply.garbage) for reply in parse(data)] for data in replies}
        self.assertEqual(found, replies)

    def test_garbage(self) -> None:
        """A line that does not begin like a reply line is kept, counted, and does not end a reply."""
        garbage = [
            b"hello there",
            b"",
            b" 250 Ok",
            b"25",
            b"2500 Ok",
            b"250\tOk",
            b"250Ok",
            b"2x0 Ok",
            b"+25 Ok",
            "²50 Ok".encode(),
            "\u0662\u0665\u0660 Ok".encode(),
            b"250\xa0Ok",
        ]
        found = {line: parse(line + b"\r\n250 done\r\n") for line in garbage}
        counts = {line: [(reply.code, reply.garbage) for reply in replies] for line, replies in found.items()}
        self.assertEqual(counts, {line: [(250, 1)] for line in garbage})
        self.assertEqual(found[b"hello there"][0].text, "hello there\n250 done")

    def test_controls_are_made_harmless(self) -> None:
        """NUL, CR, escape and what is not UTF-8 become question marks; other text stays."""
        [reply] = parse(b"550 a\0b\rc\x1b[31md\xffe caf\xc3\xa9\r\n")
        self.assertEqual(reply.text, "550 a?b?c?[31md?e café")

    def test_one_line(self) -> None:
        """Logs and reports get the lines joined by blanks."""
        [reply] = parse(b"550-one\r\n550 two\r\n")
        self.assertEqual(reply.one_line, "550-one 550 two")

    def test_lines(self) -> None:
        """The text behind the codes, without what is no reply line."""
        [reply] = parse(b"250-one\r\ngarbage\r\n2500 four\r\n250-\r\n250 two\r\n")
        self.assertEqual(reply.lines, ["one", "", "two"])

    def test_category(self) -> None:
        """The first digit, also of a code that begins with zero."""
        self.assertEqual([reply.category for reply in parse(b"250 a\r\n099 b\r\n600 c\r\n")], [2, 0, 6])


class Enhanced(SynchronousTestCase):
    """Enhanced status codes, RFC 2034."""

    def test_codes(self) -> None:
        """A code of the reply's class counts; a missing, malformed or contradicting one gives class.0.0."""
        codes = {
            "250 2.1.5 Ok": "2.1.5",
            "550 5.1.1": "5.1.1",
            "550  5.1.1 blanks": "5.1.1",
            "550 \t5.1.1 a tab": "5.1.1",
            "550 5.123.456 long": "5.123.456",
            "550 no code": "5.0.0",
            "550": "5.0.0",
            "550 4.2.1 mixed": "5.0.0",
            "450 5.1.1 mixed": "4.0.0",
            "550 5.1 short": "5.0.0",
            "550 5.1.1000 long digits": "5.0.0",
            "550 5.1000.1 long digits": "5.0.0",
            "550 5.1.1.1 four": "5.0.0",
            "550 5.1.1: colon": "5.0.0",
            "550 5.\u0661.\u0661 digits of another script": "5.0.0",
            "550 x 5.1.1 not first": "5.0.0",
            "354 3.0.0 go": "",
            "199 1.0.0 hm": "",
            "000 0.0.0 hm": "",
            "600 6.0.0 hm": "",
        }
        found = {text: parse(text.encode() + b"\r\n")[0].enhanced for text in codes}
        self.assertEqual(found, codes)

    def test_last_line_decides(self) -> None:
        """Of a reply of several lines the last one's code counts, as its reply code does."""
        self.assertEqual(parse(b"250-2.0.0 first\r\n250 2.6.0 second\r\n")[0].enhanced, "2.6.0")


class Cutting(SynchronousTestCase):
    """Bytes come in pieces of any size."""

    @settings(max_examples=600, deadline=None, derandomize=True)
    @given(REPLY_LIKE, st.lists(st.integers(0, 80), max_size=8))
    def test_any_cut_gives_the_same_replies(self, data: bytes, places: list[int]) -> None:
        """Whatever the bytes, and however they are cut, the replies are the same and nothing is raised."""
        self.assertEqual(parse_all(cut(data, places)), parse_all([data]))

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from([b"2", b"\r", b"x", b"250 a\n", b"250-a\n", b"\n"]), st.integers(1, LINE_LIMIT + 2)
            ),
            max_size=6,
        ),
        st.lists(st.integers(0, 3 * LINE_LIMIT), max_size=6),
    )
    def test_any_cut_of_long_lines_gives_the_same_replies(
        self, runs: list[tuple[bytes, int]], places: list[int]
    ) -> None:
        """The same where lines are about as long as what is kept of them."""
        data = b"".join(piece * count for piece, count in runs)
        self.assertEqual(parse_all(cut(data, places)), parse_all([data]))

    def test_byte_by_byte(self) -> None:
        """A reply is complete with the line feed and not a byte earlier."""
        parser = ReplyParser()
        data = b"250-one\r\n250 two\r\n"
        completed = [index for index in range(len(data)) if parser.feed(data[index : index + 1])[0]]
        self.assertEqual(completed, [len(data) - 1])

    def test_lines_are_counted(self) -> None:
        """Whoever waits learns that lines come, although no reply is complete."""
        parser = ReplyParser()
        counts = [parser.feed(chunk)[1] for chunk in (b"250-on", b"e\r\n", b"garbage\r\n250-", b"")]
        self.assertEqual(counts, [0, 1, 1, 0])

    def test_idle(self) -> None:
        """The parser knows whether anything of a next reply has arrived."""
        parser = ReplyParser()
        states = [parser.idle]
        for chunk in (b"2", b"50 ok\r\n", b"250-more\r\n", b"250 end\r\n", b"\n"):
            parser.feed(chunk)
            states.append(parser.idle)
        self.assertEqual(states, [True, False, True, False, True, False])


class Dropping(SynchronousTestCase):
    """What arrived too early to be believed."""

    def test_drop(self) -> None:
        """What has arrived of a next reply is told, printable, and forgotten."""
        parser = ReplyParser()
        parser.feed(b"250 whole\r\n250-begun\r\n250 ha\0")
        self.assertEqual((parser.drop(), parser.idle, parser.drop()), ("250-begun\n250 ha?", True, ""))
        self.assertEqual([reply.text for reply in parser.feed(b"220 new\r\n")[0]], ["220 new"])


class Limits(SynchronousTestCase):
    """What a server may make us keep."""

    def test_long_line_is_cut(self) -> None:
        """A line of 5000 characters keeps its beginning, and its code decides."""
        [reply] = parse(b"550 5.1.1 " + b"x" * 5000 + b"\r\n")
        self.assertEqual((reply.code, reply.enhanced, len(reply.text)), (550, "5.1.1", LINE_LIMIT))

    def test_long_line_in_pieces_is_cut_the_same(self) -> None:
        """What is cut off does not come back with the next piece."""
        data = b"550 5.1.1 " + b"x" * 5000 + b"\r\n"
        self.assertEqual(parse(*pieces(data, 7)), parse(data))

    def test_three_thousand_lines(self) -> None:
        """A reply of 3000 lines is one reply, its text cut, its last line kept."""
        [reply] = parse(b"250-mx.example\r\n" + b"250-X-FILL\r\n" * 3000 + b"250 PIPELINING\r\n")
        self.assertEqual((reply.code, reply.last_line), (250, "250 PIPELINING"))
        self.assertLess(len(reply.text), TEXT_LIMIT + 2 * LINE_LIMIT)

    def test_reply_without_end(self) -> None:
        """A reply that goes on for ever raises, and costs no more memory than its limit on the way."""
        endless = {
            "lines": b"250-" + b"x" * 60 + b"\r\n",
            "one line": b"x" * 1024,
            "garbage": b"no code here\r\n",
            "NUL": b"\0" * 1024,
            "line feeds": b"\n",
        }
        found = {}
        for name, piece in endless.items():
            parser, fed = ReplyParser(), 0
            tracemalloc.start()
            try:
                while fed < 2**30:
                    parser.feed(piece * (32768 // len(piece)))
                    fed += 32768
            except ReplyTooLong as why:
                found[name] = why.replies
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            self.assertLess(peak, 8 * 2**20, name)
            self.assertLess(fed, 2 * REPLY_LIMIT, name)
        self.assertEqual(found, {name: [] for name in endless})

    def test_replies_before_the_endless_one_are_not_lost(self) -> None:
        """What was complete is handed over with the exception."""
        parser = ReplyParser()
        parser.feed(b"x" * (REPLY_LIMIT - 100))
        with self.assertRaises(ReplyTooLong):
            parser.feed(b"x" * 200)
        parser = ReplyParser()
        with self.assertRaises(ReplyTooLong) as caught:
            parser.feed(b"550 no\r\n" + b"x" * (REPLY_LIMIT + 1))
        self.assertEqual([reply.code for reply in caught.exception.replies], [550])

    def test_limit_is_per_reply(self) -> None:
        """Any number of replies may come, each below the limit."""
        parser = ReplyParser()
        line = b"250 " + b"x" * 1000 + b"\r\n"
        replies = [reply for _ in range(3) for reply in parser.feed(line * 1000)[0]]
        self.assertEqual(len(replies), 3000)

    def test_lines_without_text_count_too(self) -> None:
        """Empty lines reach the limit long before their bytes do, so that they cannot keep us busy."""
        parser = ReplyParser()
        with self.assertRaises(ReplyTooLong):
            parser.feed(b"\n" * 20_000)
