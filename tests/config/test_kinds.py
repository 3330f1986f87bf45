"""Kinds: what each form of a value takes, and what it says of the rest."""

import os
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.kinds import (
    Kind,
    Row,
    Value,
    address_or_nothing,
    feedback,
    host_name,
    one_word,
    parse,
    parse_boolean,
    parse_integer,
    parse_port,
    parse_time,
    read_text,
    section,
    server_address,
    split_list,
)


def complaint(function: Callable[[str], object], text: str) -> str:
    """What a check says of a text, or nothing."""
    try:
        function(text)
    except ValueError as error:
        return str(error)
    return ""


def refused(function: Callable[[str], object], *texts: str) -> list[str]:
    """Those of the texts that a check does not take."""
    return [text for text in texts if complaint(function, text)]


def row(kind: Kind, **facts: object) -> Row:
    """A row of a kind."""
    return Row("name", kind, "", "A sentence.", **facts)  # type: ignore[arg-type]


class TimeTests(SynchronousTestCase):
    """Times: a number and at most one unit letter."""

    def test_units(self) -> None:
        """Each letter counts what Postfix has it count."""
        self.assertEqual(
            {text: parse_time(text) for text in ("7s", "2m", "3h", "1d", "2w", "0", "0.5s")},
            {"7s": 7.0, "2m": 120.0, "3h": 10800.0, "1d": 86400.0, "2w": 1209600.0, "0": 0.0, "0.5s": 0.5},
        )

    def test_a_number_alone_counts_the_parameters_unit(self) -> None:
        """5 means five days where the default is in days."""
        self.assertEqual((parse_time("5", "d"), parse_time("5", "h")), (432000.0, 18000.0))

    def test_everything_else_is_refused(self) -> None:
        """Signs, two units, blanks, other letters, other digits and nothing are no times."""
        texts = (
            "",
            "-1",
            "+1",
            "1h30",
            "1h30m",
            "10 s",
            "1S",
            "1y",
            "s",
            "1e3",
            "0x10",
            ".5s",
            "inf",
            "nan",
            "\u0661s",
        )
        self.assertEqual(refused(parse_time, *texts), list(texts))

    def test_the_unit_is_named(self) -> None:
        """The message says what a number alone would count."""
        self.assertIn("a number alone counts days", complaint(lambda text: parse_time(text, "d"), "soon"))


class NumberTests(SynchronousTestCase):
    """Numbers, sizes and ports."""

    def test_whole_numbers(self) -> None:
        """Decimal digits with a sign, and nothing else."""
        self.assertEqual((parse_integer("0"), parse_integer("-3"), parse_integer("007")), (0, -3, 7))
        texts = ("", "1.5", "1k", "0x10", "1_000", " 1", "\u0661", "9" * 20)
        self.assertEqual(refused(parse_integer, *texts), list(texts))

    def test_a_size_says_that_it_has_no_unit(self) -> None:
        """Who writes 10M learns that bytes are wanted."""
        self.assertIn("bytes without unit", complaint(lambda text: parse_integer(text, Kind.SIZE), "10M"))

    def test_limits(self) -> None:
        """A row's limits hold, at both ends, and are named."""
        limited = row(Kind.INTEGER, minimum=1, maximum=3)
        self.assertEqual([parse(limited, text) for text in ("1", "3")], [1, 3])
        self.assertEqual(complaint(lambda text: parse(limited, text), "0"), "expected at least 1")
        self.assertEqual(complaint(lambda text: parse(limited, text), "4"), "expected at most 3")
        self.assertEqual(
            complaint(lambda text: parse(row(Kind.TIME, minimum=1), text), "0s"), "expected at least 1 seconds"
        )

    def test_ports(self) -> None:
        """A port is a number in range, or the name of a service."""
        self.assertEqual([parse_port(text) for text in ("1", "65535", "smtp", "submission")], [1, 65535, 25, 587])
        texts = ("0", "65536", "-25", "", "no-such-service", "sm tp", "\udc80", "x\0y")
        self.assertEqual(refused(parse_port, *texts), list(texts))

    def test_a_port_by_a_name_that_only_the_system_knows(self) -> None:
        """Other names come from the system's list of services."""
        if not os.path.exists("/etc/services"):
            self.skipTest("this system has no list of services")
        self.assertEqual(parse_port("http"), 80)

    def test_booleans(self) -> None:
        """Yes and no in any case, and no other word for them."""
        self.assertEqual([parse_boolean(text) for text in ("yes", "NO", "Yes")], [True, False, True])
        self.assertEqual(refused(parse_boolean, "true", "1", "", "on"), ["true", "1", "", "on"])


class ListTests(SynchronousTestCase):
    """Lists: words, separated by commas and blanks."""

    def test_separators(self) -> None:
        """Commas, blanks and tabs separate, however many."""
        self.assertEqual(split_list(" a,b , c\td,,e "), ("a", "b", "c", "d", "e"))

    def test_braces_hold_together(self) -> None:
        """What stands in braces is part of one word, braces in braces too."""
        self.assertEqual(split_list("inline:{a=b, {c = d e}}, static:x"), ("inline:{a=b, {c = d e}}", "static:x"))

    def test_unmatched_braces(self) -> None:
        """A brace without its partner is named."""
        self.assertEqual(complaint(split_list, "{a"), "an opening brace { is never closed")
        self.assertEqual(complaint(split_list, "a}"), "a closing brace } has no opening brace")

    def test_a_closed_set_of_words(self) -> None:
        """A word that is not one of the possible ones is named together with these."""
        closed = row(Kind.LIST, choices=("a", "b"))
        self.assertEqual(parse(closed, "b, a"), ("b", "a"))
        self.assertEqual(
            complaint(lambda text: parse(closed, text), "a, c"), "expected some of: a, b; c is not one of these"
        )

    def test_one_of_a_closed_set(self) -> None:
        """A text that may be empty says so."""
        closed = row(Kind.STRING, choices=("", "a"))
        self.assertEqual(parse(closed, ""), "")
        self.assertEqual(complaint(lambda text: parse(closed, text), "c"), "expected one of: nothing, a")


class PatternTests(SynchronousTestCase):
    """Lists of patterns, which may stand in files."""

    def patterns(self, text: str) -> Value:
        """What a list of patterns comes to."""
        return parse(row(Kind.PATTERNS), text)

    def file(self, text: str) -> str:
        """A file's absolute path."""
        path = os.path.abspath(self.mktemp())
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def test_patterns_stay_as_they_are(self) -> None:
        """Domains, addresses, networks and exceptions are words."""
        words = ("example.com", ".example.com", "192.0.2.0/24", "[2001:db8::]/32", "2001:db8::1", "!10.0.0.1")
        self.assertEqual(self.patterns(", ".join(words)), words)

    def test_a_file_stands_for_its_words(self) -> None:
        """The words of a file come in its place, without comments; a file may name another."""
        inner = self.file("c d\n")
        outer = self.file(f"# a comment, not words\nb\n  # another\n{inner}\n")
        self.assertEqual(self.patterns(f"a {outer} e"), ("a", "b", "c", "d", "e"))

    def test_a_missing_file(self) -> None:
        """A file that is not there is named."""
        self.assertIn("/no/such/file: No such file", complaint(self.patterns, "/no/such/file"))

    def test_a_file_that_names_itself(self) -> None:
        """Files that name each other in a circle come to an end."""
        path = self.file("")
        with open(path, "w", encoding="utf-8") as file:
            file.write(path)
        self.assertIn("nested too deep", complaint(self.patterns, path))

    def test_what_is_not_taken(self) -> None:
        """Lookup tables, and files of exceptions, are refused and not passed over."""
        self.assertIn("lookup tables are not taken here", complaint(self.patterns, "hash:/etc/postfix/domains"))
        self.assertIn("! is not taken before a file", complaint(self.patterns, "!/etc/domains"))


class TextTests(SynchronousTestCase):
    """What holds for every text."""

    def test_no_control_characters(self) -> None:
        """Nothing that could break a line out of a protocol or a log passes, in any kind."""
        texts = [f"a{chr(code)}b" for code in (*range(9), *range(10, 32), 127)]
        for kind in (Kind.STRING, Kind.LIST, Kind.TABLES, Kind.PATTERNS):
            self.assertEqual(refused(lambda text, kind=kind: parse(row(kind), text), *texts), texts)  # type: ignore[misc]

    def test_only_utf_8(self) -> None:
        """A byte that was no UTF-8 is refused."""
        self.assertEqual(complaint(lambda text: parse(row(Kind.STRING), text), "\udcff"), "this is not UTF-8")

    def test_host_names(self) -> None:
        """Letters, digits and hyphens in labels; nothing that could add to a command."""
        self.assertEqual(refused(host_name, "mail.example.com", "vm", "a-b.c", "_x.example", "1.example"), [])
        texts = ("", ".", "a..b", "-a.b", "a b", "a\r\nb", "a." + "b" * 64, "a" * 254, "[192.0.2.1]", "\u00e4.example")
        self.assertEqual(refused(host_name, *texts), list(texts))

    def test_a_domain_from_a_file(self) -> None:
        """A domain may be the first line of a file."""
        path = os.path.abspath(self.mktemp())
        with open(path, "w", encoding="utf-8") as file:
            file.write("example.com\nmore\n")
        self.assertEqual(parse(row(Kind.DOMAIN), path), "example.com")

    def test_words(self) -> None:
        """A word has no blanks and is not empty."""
        self.assertEqual(refused(one_word, "a", "a b", "a\tb", ""), ["a b", "a\tb", ""])

    def test_feedback(self) -> None:
        """The four forms of a change of concurrency, and no division by zero."""
        self.assertEqual(refused(feedback, "1", "0.5", "1/2", "1 / concurrency", "2/sqrt_concurrency"), [])
        texts = ("", "x", "1/", "1/x", "-1", "1/0", "1/0.0", "1/concurrency/2")
        self.assertEqual(refused(feedback, *texts), list(texts))

    def test_addresses_to_bind(self) -> None:
        """An address of the right version, or nothing."""
        self.assertEqual(refused(address_or_nothing(4), "", "192.0.2.1", "::1", "localhost"), ["::1", "localhost"])
        self.assertEqual(refused(address_or_nothing(6), "", "[::1]", "2001:db8::1", "192.0.2.1"), ["192.0.2.1"])

    def test_name_servers(self) -> None:
        """An address with or without a port, in every spelling that people use."""
        self.assertEqual(
            {
                text: server_address(text)
                for text in ("192.0.2.1", "192.0.2.1:5353", "2001:db8::1", "[::1]:54", "[::1]")
            },
            {
                "192.0.2.1": ("192.0.2.1", 53),
                "192.0.2.1:5353": ("192.0.2.1", 5353),
                "2001:db8::1": ("2001:db8::1", 53),
                "[::1]:54": ("::1", 54),
                "[::1]": ("::1", 53),
            },
        )
        texts = ("", "ns.example", "192.0.2", "192.0.2.1:0", "192.0.2.1:99999", "[::1", "::1]:53", "192.0.2.1:x")
        self.assertEqual(refused(server_address, *texts), list(texts))

    def test_a_section_names_its_rows(self) -> None:
        """Rows get the heading that they stand under."""
        self.assertEqual(
            [each.section for each in section("Heading", row(Kind.STRING), row(Kind.TIME))], ["Heading"] * 2
        )


class FileTests(SynchronousTestCase):
    """Reading a configuration file whole."""

    def test_only_regular_files(self) -> None:
        """A directory, a device and a pipe are refused, and not waited for."""
        pipe = self.mktemp()
        os.mkfifo(pipe)
        for path in (os.curdir, os.devnull, pipe):
            self.assertEqual(complaint(read_text, path), f"{path}: not a regular file")

    def test_nul_bytes(self) -> None:
        """A file with NUL bytes is no text."""
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(b"a\0b")
        self.assertIn("holds NUL bytes", complaint(read_text, path))


class AnyTextTests(SynchronousTestCase):
    """What holds for whatever stands in a value."""

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(kind=st.sampled_from(Kind), text=st.text())
    def test_value_or_words(self, kind: Kind, text: str) -> None:
        """Every text is a value, or a ValueError with words."""
        words = complaint(lambda given: parse(row(kind), given), text)
        self.assertTrue(words or parse(row(kind), text) is not None)
