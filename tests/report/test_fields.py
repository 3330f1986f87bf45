"""Tests for :mod:`smtpclient.report.fields`."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.report.fields import date, field, original_recipient, typed_address, wrapped

LOOSE = settings(max_examples=300, deadline=None, derandomize=True)


class Field(SynchronousTestCase):
    """One header field."""

    def test_short_text_stays_on_one_line(self) -> None:
        """A field that fits is one line."""
        self.assertEqual(field("Subject", "Delayed Mail"), b"Subject: Delayed Mail\n")

    def test_long_text_is_folded_at_blanks(self) -> None:
        """Lines are at most 78 characters long where there are blanks to fold at."""
        lines = field("Diagnostic-Code", "smtp; " + "550 5.1.1 no such user here " * 10).split(b"\n")
        self.assertGreater(len(lines), 3)
        self.assertLessEqual(max(map(len, lines)), 78)

    def test_line_breaks_do_not_survive(self) -> None:
        """What would begin a new line, and so a new field, becomes a question mark."""
        self.assertEqual(field("To", "a\r\nBcc: b\x00\x0bc"), b"To: a??Bcc: b??c\n")

    def test_ascii_only(self) -> None:
        """Where UTF-8 is not allowed, what is not ASCII becomes a question mark."""
        self.assertEqual(field("Status", "naïve", utf8=False), b"Status: na?ve\n")
        self.assertEqual(field("Status", "naïve"), "Status: naïve\n".encode())

    def test_no_value(self) -> None:
        """A field without a value is a line of its own, without a blank at its end."""
        self.assertEqual(field("Subject", ""), b"Subject:\n")

    def test_overlong_word_is_cut(self) -> None:
        """A word that no line can hold is cut, so that every line keeps to 998 bytes."""
        lines = field("Diagnostic-Code", "€" * 5000).split(b"\n")
        self.assertLessEqual(max(map(len, lines)), 998)
        self.assertEqual(b"".join(lines).count("€".encode()), 5000)

    @LOOSE
    @given(st.text(max_size=400), st.booleans())
    def test_any_text_makes_one_field(self, text: str, utf8: bool) -> None:
        """Whatever the text: one field, legal lines, no line of blanks, and unfolding gives it back."""
        data = field("Name", text, utf8)
        lines = data.removesuffix(b"\n").split(b"\n")
        self.assertTrue(data.startswith(b"Name:"))
        for line in lines:
            self.assertLessEqual(len(line), 998)
            self.assertTrue(line.strip(b" "), data)
        for line in lines[1:]:
            self.assertTrue(line.startswith(b" "), data)
        self.assertIsNone(re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", data))
        kept = re.sub("[\x00-\x1f\x7f-\x9f\ud800-\udfff]", "?", text).strip(" ")
        if not utf8:
            kept = re.sub("[^\x00-\x7f]", "?", kept)
        if all(len(word) <= 240 for word in kept.split(" ")):
            self.assertEqual(data.decode().replace("\n ", " ").rstrip("\n"), f"Name: {kept}".rstrip(" "))


class Wrapped(SynchronousTestCase):
    """Paragraphs for people."""

    def test_continuation_is_indented(self) -> None:
        """The second line and those after it begin with four blanks; none is longer than 79."""
        lines = wrapped("<a@example.com>: " + "word " * 40).split(b"\n")
        self.assertEqual(lines[-1], b"")
        self.assertTrue(all(line.startswith(b"    word") for line in lines[1:-1]), lines)
        self.assertLessEqual(max(map(len, lines)), 79)

    def test_control_characters_go(self) -> None:
        """Text from outside cannot begin a line of its own."""
        self.assertEqual(wrapped("a\n--boundary"), b"a?--boundary\n")


class Date(SynchronousTestCase):
    """Times."""

    def test_form(self) -> None:
        """RFC 5322 form, in UTC."""
        self.assertEqual(date(1763796935.7), "Sat, 22 Nov 2025 07:35:35 +0000")

    def test_out_of_range(self) -> None:
        """A time that no calendar has becomes the nearest that it has."""
        self.assertEqual(date(-1e20), "Thu, 01 Jan 1970 00:00:00 +0000")
        self.assertEqual(date(1e20), "Fri, 31 Dec 9999 23:59:59 +0000")


class Addresses(SynchronousTestCase):
    """Addresses with their type."""

    def test_ascii(self) -> None:
        """An ASCII address has the type rfc822."""
        self.assertEqual(typed_address("a@example.com", utf8=True), "rfc822; a@example.com")

    def test_utf8(self) -> None:
        """Another is written as it is where UTF-8 is allowed."""
        self.assertEqual(typed_address("jürgen@example.com", utf8=True), "utf-8; jürgen@example.com")

    def test_escaped(self) -> None:
        """Elsewhere it has the escapes of RFC 6533 section 3, also for what would make them ambiguous."""
        self.assertEqual(typed_address("jür+x@example.com", utf8=False), "utf-8; j\\x{FC}r\\x{2B}x@example.com")

    def test_bytes_that_are_no_text(self) -> None:
        """Bytes that are no UTF-8 become question marks."""
        self.assertEqual(typed_address("j\udcfcr@example.com", utf8=True), "rfc822; j?r@example.com")

    def test_original_recipient(self) -> None:
        """ORCPT first, then the address as first given, else nothing; a type that is none is not passed on."""
        cases = {
            ("rfc822;a@example.com", "", True): "rfc822; a@example.com",
            ("x400;/c=de/", "", True): "x400; /c=de/",
            ("utf-8;jürgen@example.com", "", False): "utf-8; j\\x{FC}rgen@example.com",
            ("no type", "", True): "rfc822; no type",
            ("", "a b@example.com", True): 'rfc822; "a b"@example.com',
            ("", "", True): "",
        }
        self.assertEqual({case: original_recipient(*case) for case in cases}, cases)
