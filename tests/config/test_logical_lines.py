"""Logical lines: comments, continuation, numbers."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.logical_lines import LogicalLine, logical_lines


def lines(text: str) -> list[LogicalLine]:
    """The logical lines of a text."""
    return list(logical_lines(text))


class LogicalLineTests(SynchronousTestCase):
    """How physical lines come together."""

    def test_lines_and_comments(self) -> None:
        """Empty lines and comments are dropped, numbers are those of the file."""
        self.assertEqual(
            lines("# c\n\na = b\n   \nc = d # e\n"), [LogicalLine(3, "a = b"), LogicalLine(5, "c = d # e")]
        )

    def test_continuation(self) -> None:
        """A line that starts with a blank goes on with the one before, past comments and empty lines."""
        self.assertEqual(lines("a =\n b\n# c\n\n\tc\nd\n"), [LogicalLine(1, "a = b\tc"), LogicalLine(6, "d")])

    def test_an_indented_comment_is_one(self) -> None:
        """A number sign behind blanks starts a comment, not a continuation."""
        self.assertEqual(lines("a\n  # b\n c\n"), [LogicalLine(1, "a c")])

    def test_no_newline_at_the_end(self) -> None:
        """The last line needs none."""
        self.assertEqual(lines("a\n b"), [LogicalLine(1, "a b")])

    def test_carriage_returns(self) -> None:
        """Files from other systems read the same."""
        self.assertEqual(lines("a =\r\n b\r\n"), [LogicalLine(1, "a = b")])

    def test_a_continuation_of_nothing(self) -> None:
        """A first line that starts with a blank is marked."""
        self.assertEqual(lines("# c\n  a = b\n"), [LogicalLine(2, "a = b", orphan=True)])

    def test_nothing(self) -> None:
        """An empty file has no lines."""
        self.assertEqual(lines(""), [])

    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(st.text(alphabet="a #\n\t\r=\\"))
    def test_any_text(self, text: str) -> None:
        """Lines are never empty, never comments, and come in the file's order."""
        found = lines(text)
        numbers = [line.number for line in found]
        self.assertTrue(all(line.text and line.text[0] not in "# \t" for line in found))
        self.assertEqual(numbers, sorted(set(numbers)))
