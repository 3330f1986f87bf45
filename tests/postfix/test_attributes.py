"""Attribute lists: what Postfix's daemons send each other, in any pieces, and nothing else."""

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.postfix.attributes import (
    LONGEST_LIST,
    LONGEST_NAME,
    LONGEST_VALUE,
    Fields,
    Long,
    Parser,
    WireError,
    encode,
)


def parsed(data: bytes) -> Fields:
    """The one list that these bytes are."""
    parser = Parser()
    parser.feed(data)
    fields = parser.next_list()
    assert fields is not None
    return fields


class EncodingTests(SynchronousTestCase):
    """What is sent."""

    def test_greeting(self) -> None:
        """The greeting of a delivery agent has the 36 bytes that Postfix's own agent sends."""
        self.assertEqual(
            encode([("protocol", "delivery_request_protocol")]), b"protocol\0delivery_request_protocol\0\0"
        )

    def test_order_and_repeated_names(self) -> None:
        """Attributes go out in the order given, and a name may come twice, as in the reply of a delivery agent."""
        pairs = [("status", "4.4.1"), ("reason", ""), ("status", 0)]
        self.assertEqual(encode(pairs), b"status\x004.4.1\0reason\0\0status\x000\0\0")

    def test_negative_numbers(self) -> None:
        """A negative number goes out unsigned, with 32 bits for an int and 64 for a Long."""
        self.assertEqual(
            encode([("status", -1), ("offset", Long(-1))]), b"status\x004294967295\0offset\x0018446744073709551615\0\0"
        )

    def test_octets(self) -> None:
        """Text that came as bytes which are not UTF-8 goes out as these bytes."""
        self.assertEqual(encode([("sender", "a\udcff@b"), ("x", b"\xfe")]), b"sender\0a\xff@b\0x\0\xfe\0\0")

    def test_empty_list(self) -> None:
        """A list without attributes is its end alone."""
        self.assertEqual(encode([]), b"\0")

    def test_refused(self) -> None:
        """A NUL, a number with too many bits and a name that is none never go out."""
        for pairs in ([("a", "b\0c")], [("a", 1 << 32)], [("a", Long(1 << 64))], [("", "b")], [("a b", "c")]):
            self.assertRaises(ValueError, encode, pairs)


class FieldsTests(SynchronousTestCase):
    """What is taken out of a list."""

    def test_round_trip(self) -> None:
        """What was encoded is taken as the same values."""
        fields = parsed(
            encode([("flags", 3), ("status", -1), ("offset", Long(-1)), ("size", Long(1 << 40)), ("s", "é\udcff")])
        )
        values = (
            fields.integer("flags"),
            fields.integer("status"),
            fields.long("offset"),
            fields.long("size"),
            fields.text("s"),
        )
        fields.end()
        self.assertEqual(values, (3, -1, -1, 1 << 40, "é\udcff"))

    def test_data(self) -> None:
        """Base64 is taken as the octets that it stands for."""
        self.assertEqual(parsed(encode([("time", "AAEC/w==")])).data("time"), b"\0\1\2\xff")

    def test_either_name(self) -> None:
        """An attribute that one version of Postfix calls otherwise is taken under either name."""
        values = [parsed(encode([(name, 11)])).integer("smtputf8", "sendopts") for name in ("smtputf8", "sendopts")]
        self.assertEqual(values, [11, 11])

    def test_other_name(self) -> None:
        """Another attribute than the expected one is refused, with both names."""
        error = self.assertRaises(WireError, parsed(encode([("queue_id", "A")])).text, "queue_name")
        self.assertEqual(str(error), "expected attribute queue_name, not queue_id")

    def test_missing(self) -> None:
        """A list that ends too early is refused, with the name of what is missing."""
        error = self.assertRaises(WireError, parsed(b"\0").integer, "smtputf8", "sendopts")
        self.assertEqual(str(error), "expected attribute smtputf8 or sendopts, not the end of the list")

    def test_too_much(self) -> None:
        """An attribute that nobody expects is refused by its name."""
        error = self.assertRaises(WireError, parsed(encode([("more", "x")])).end)
        self.assertEqual(str(error), "expected the end of the list, not attribute more")

    def test_no_numbers(self) -> None:
        """What is no number, or has too many bits, is refused where a number is expected."""
        wrong = ["", "-1", "1x", " 1", "4294967296", "9" * 5000, "\u0661"]
        for text in wrong:
            error = self.assertRaises(WireError, parsed(encode([("flags", text)])).integer, "flags")
            self.assertIn("attribute flags: expected a number of 32 bits, not ", str(error))

    def test_no_base64(self) -> None:
        """What is not base64 is refused where data is expected."""
        error = self.assertRaises(WireError, parsed(encode([("time", "***")])).data, "time")
        self.assertIn("attribute time: expected base64, not ", str(error))


class ParserTests(SynchronousTestCase):
    """Bytes that come in pieces."""

    def test_any_pieces(self) -> None:
        """However the bytes are cut, the same lists come of them."""
        data = encode([("a", "1"), ("b", "")]) + encode([]) + encode([("c", "x" * 50)])
        for size in (1, 2, 3, 7, len(data)):
            parser = Parser()
            for start in range(0, len(data), size):
                parser.feed(data[start : start + size])
            first, second, third = parser.next_list(), parser.next_list(), parser.next_list()
            assert first and second and third
            self.assertEqual((first.text("a"), first.text("b"), third.text("c")), ("1", "", "x" * 50))
            for fields in (first, second, third):
                fields.end()
            self.assertIsNone(parser.next_list())

    def test_not_yet(self) -> None:
        """A list is given out only with its end."""
        parser = Parser()
        parser.feed(b"status\x000\0")
        self.assertIsNone(parser.next_list())
        parser.feed(b"\0")
        self.assertIsNotNone(parser.next_list())

    def test_at_rest(self) -> None:
        """Between lists nothing is held, in the midst of one something is."""
        parser = Parser()
        states = []
        for piece in (b"", b"sta", b"tus\0", b"0\0", b"\0"):
            parser.feed(piece)
            states.append(parser.at_rest)
        self.assertEqual(states, [True, False, False, False, True])

    def test_no_name(self) -> None:
        """What no daemon would use as a name is refused at once."""
        error = self.assertRaises(WireError, Parser().feed, b"GET / HTTP/1.0\0")
        self.assertIn("expected the name of an attribute, not 'GET", str(error))

    def test_long_name(self) -> None:
        """A name that does not end is refused before it has come whole."""
        self.assertRaises(WireError, Parser().feed, b"a" * (LONGEST_NAME + 1))

    def test_long_value(self) -> None:
        """A value that does not end is refused when it has come to the limit, by its attribute's name."""
        parser = Parser()
        parser.feed(b"reason\0" + b"x" * LONGEST_VALUE)
        error = self.assertRaises(WireError, parser.feed, b"x")
        self.assertIn("attribute reason: ", str(error))

    def test_long_list(self) -> None:
        """A list that does not end is refused when it has come to the limit."""
        parser = Parser()
        attribute = b"a\0" + b"x" * 50_000 + b"\0"
        for _ in range(LONGEST_LIST // len(attribute)):
            parser.feed(attribute)
        error = self.assertRaises(WireError, parser.feed, attribute)
        self.assertIn("a list of more than", str(error))

    def test_many_lists(self) -> None:
        """The limit is that of one list: any number of them may come in one piece."""
        parser = Parser()
        parser.feed(encode([("a", "x" * 50_000)]) * 30)
        self.assertEqual(len([*iter(parser.next_list, None)]), 30)
