"""Capabilities from the replies to EHLO and HELO."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.smtp import capability
from smtpclient.smtp.capability import Capabilities
from smtpclient.smtp.reply import Reply, ReplyParser


def reply(*lines: str) -> Reply:
    """A 250 with these lines."""
    *first, last = lines
    data = "".join([*(f"250-{line}\r\n" for line in first), f"250 {last}\r\n"])
    [found] = ReplyParser().feed(data.encode("utf-8", "surrogateescape"))[0]
    return found


class Ehlo(SynchronousTestCase):
    """Keywords."""

    def test_keywords(self) -> None:
        """Keywords in any case and spacing, with their parameters; the old AUTH= form, too."""
        found = capability.from_ehlo(
            reply(
                "mx.example greets", "pipelining", "Size  1000", " 8BITMIME  ", "AUTH=PLAIN LOGIN", "X-A b=c", "DSN\t"
            )
        )
        self.assertEqual(
            found,
            Capabilities(
                True,
                {
                    "PIPELINING": "",
                    "SIZE": "1000",
                    "8BITMIME": "",
                    "AUTH": "PLAIN LOGIN",
                    "X-A": "b=c",
                    "DSN": "",
                },
                "mx.example",
            ),
        )

    def test_first_line_is_no_keyword(self) -> None:
        """A server called PIPELINING does not thereby offer it."""
        self.assertFalse(capability.from_ehlo(reply("PIPELINING")).pipelining)

    def test_garbage_is_no_keyword(self) -> None:
        """A line that is no reply line offers nothing."""
        [found] = ReplyParser().feed(b"250-mx\r\nPIPELINING\r\n2500 DSN\r\n250\r\n250-\r\n250 8BITMIME\r\n")[0][:1]
        self.assertEqual(capability.from_ehlo(found).keywords, {})

    def test_discarded_keywords(self) -> None:
        """What the operator does not believe was not offered."""
        found = capability.from_ehlo(reply("mx", "pipelining", "DSN"), frozenset({"PIPELINING"}))
        self.assertEqual(("PIPELINING" in found, found.pipelining, "DSN" in found), (False, False, True))

    def test_size_limits(self) -> None:
        """A limit that makes no sense, or does not fit, is none: the server still gets its mail."""
        limits = {
            "SIZE 1000": 1000,
            "SIZE": 0,
            "SIZE 0": 0,
            "SIZE lots": 0,
            "SIZE -1": 0,
            "SIZE 10k": 0,
            "SIZE 1000 2000": 1000,
            "SIZE=1000": 1000,
            "SIZE 9223372036854775807": 2**63 - 1,
            "SIZE 9223372036854775808": 0,
            "SIZE 99999999999999999999": 0,
            "SIZE \u0661\u0662": 0,
            "X": 0,
        }
        self.assertEqual({line: capability.from_ehlo(reply("mx", line)).size_limit for line in limits}, limits)

    def test_same_words_other_beliefs(self) -> None:
        """What is discarded in one session is not thereby gone from the same reply in another."""
        said = reply("mx", "PIPELINING", "DSN")
        kept = [list(capability.from_ehlo(said, gone).keywords) for gone in (frozenset({"DSN"}), frozenset[str]())]
        self.assertEqual(kept, [["PIPELINING"], ["PIPELINING", "DSN"]])

    def test_without_login(self) -> None:
        """A session without a login has everything but AUTH; what the server has said is left as it is."""
        found = capability.from_ehlo(reply("mx", "AUTH PLAIN", "DSN"))
        self.assertEqual((list(found.without_login.keywords), "AUTH" in found), (["DSN"], True))

    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(st.lists(st.text(max_size=20), min_size=1, max_size=5))
    def test_any_reply_can_be_read(self, lines: list[str]) -> None:
        """Whatever a server says to EHLO, reading it raises nothing and gives keywords in upper case."""
        found = capability.from_ehlo(Reply(250, "\n".join("250-" + line for line in lines)))
        self.assertEqual([word for word in found.keywords if word != word.upper()], [])
        self.assertGreaterEqual(found.size_limit, 0)


class Helo(SynchronousTestCase):
    """Servers without EHLO."""

    def test_no_keywords(self) -> None:
        """HELO offers nothing, whatever its reply says."""
        found = capability.from_helo(reply("MX.example hello", "PIPELINING"))
        self.assertEqual(found, Capabilities(False, {}, "mx.example"))

    def test_empty_reply(self) -> None:
        """A server that gives no name has none."""
        self.assertEqual(capability.from_helo(Reply(250, "250")).server_name, "")
