"""Lookup tables: kinds of tables, chains, files that change."""

import os

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.tables import TableError, Tables


def problems(text: str) -> tuple[str, ...]:
    """What is wrong with a parameter's value, or nothing."""
    try:
        Tables(text)
    except TableError as error:
        return error.problems
    return ()


class TableTests(SynchronousTestCase):
    """One table."""

    def file(self, text: str) -> str:
        """A file's path."""
        path = os.path.abspath(self.mktemp())
        with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
        return path

    def test_texthash(self) -> None:
        """Keys are found in any case; values go on in the next line; of doubled keys the first counts."""
        path = self.file('# c\nA@B.c   smtp:[d]\nlong  x\n   y\na@b.c again\n"q r"@x  quoted\n.sub.example s\n')
        tables = Tables(f"texthash:{path}")
        self.assertEqual(
            [tables.lookup(key) for key in ("a@b.C", "long", '"Q R"@x', ".sub.example", "sub.example", "")],
            ["smtp:[d]", "x   y", "quoted", "s", None, None],
        )

    def test_texthash_faults(self) -> None:
        """Lines without a value are named, all of them."""
        path = self.file(' x y\nkey\nb c\n"open x\n')
        self.assertEqual(
            problems(f"texthash:{path}"),
            (
                f"{path}:1: a line that starts with a blank continues nothing",
                f'{path}:2: expected "key value", found only "key"',
                f'{path}:4: expected "key value", found only ""open x"',
            ),
        )

    def test_escaped_quotes_in_a_key(self) -> None:
        """A backslash in a quoted key takes the meaning from the quote behind it."""
        path = self.file('"a\\" b"@x  y\n')
        self.assertEqual(Tables(f"texthash:{path}").lookup('"a\\" b"@x'), "y")

    def test_bytes_that_are_no_utf_8(self) -> None:
        """They survive in keys and values, as in addresses."""
        path = self.file("\udce4@x  \udcf6\n")
        self.assertEqual(Tables(f"texthash:{path}").lookup("\udce4@x"), "\udcf6")

    def test_an_indexed_table(self) -> None:
        """hash: and its like are read from their text, and that is said."""
        path = self.file("a b\n")
        tables = Tables(f"hash:{path}")
        self.assertEqual(tables.lookup("a"), "b")
        self.assertEqual(
            tables.warnings,
            (f"hash:{path} is read from the text {path} itself; {path}.db and its like play no part",),
        )

    def test_inline(self) -> None:
        """Pairs, with braces where a value holds blanks; of doubled keys the last counts."""
        tables = Tables("inline:{A=b, {c = d e},f=g=h {i={x}}, a=z}")
        self.assertEqual([tables.lookup(key) for key in "acfix"], ["z", "d e", "g=h", "{x}", None])

    def test_inline_faults(self) -> None:
        """What is no list of pairs is refused."""
        texts = ("inline:", "inline:{}", "inline:a=b", "inline:{a}", "inline:{a=}", "inline:{=b}", "inline:{{a}}",
                 "inline:{a=b}x", "inline:{a} b", "inline:{}}", "inline:{a}{b}")  # fmt: skip
        self.assertEqual([text for text in texts if not problems(text)], [])

    def test_static(self) -> None:
        """One answer to every key."""
        self.assertEqual(Tables("static:x").lookup("anything"), "x")
        self.assertEqual(Tables("static:{ x y }").lookup(""), "x y")
        self.assertEqual([text for text in ("static:", "static:{}", "static:{x}y") if not problems(text)], [])

    def test_regexp(self) -> None:
        """Patterns see the whole key; faults come with file and line."""
        path = self.file("/^(.*)@x$/  smtp:$1\n")
        self.assertEqual(Tables(f"regexp:{path}").lookup("A@x"), "smtp:A")
        self.assertEqual(Tables(f"pcre:{path}").lookup("b@y"), None)
        broken = self.file("/a/ b\n/(/ c\n")
        self.assertEqual(len(problems(f"regexp:{broken}")), 1)
        self.assertTrue(problems(f"regexp:{broken}")[0].startswith(f"{broken}:2: /(/: "))

    def test_other_types(self) -> None:
        """What is no known table is refused, and what is possible is named."""
        for text in ("ldap:/x", "proxy:hash:/x", "/etc/transport", "mysql:"):
            self.assertIn("expected one of texthash:FILE", problems(text)[0])
        for text in ("texthash:", "texthash"):
            self.assertEqual(problems(text), (f"{text}: expected texthash:/path/of/file",))

    def test_files_that_cannot_be_read(self) -> None:
        """A missing file and a directory are named."""
        self.assertEqual(problems("texthash:/no/such"), ("/no/such: No such file or directory",))
        self.assertEqual(problems("regexp:/"), ("/: not a regular file",))


class ChainTests(SynchronousTestCase):
    """Several tables."""

    def test_the_first_that_knows_answers(self) -> None:
        """Tables are asked in the order in which they stand."""
        tables = Tables("inline:{a=1}, inline:{a=2, b=2} static:3")
        self.assertEqual([tables.lookup(key) for key in "abc"], ["1", "2", "3"])

    def test_none(self) -> None:
        """No tables know no key, and are false."""
        self.assertEqual((Tables("").lookup("a"), bool(Tables("")), bool(Tables("static:x"))), (None, False, True))

    def test_every_fault_of_every_table(self) -> None:
        """One faulty table does not hide the next."""
        self.assertEqual(len(problems("texthash:/no/such, ldap:x, inline:{a}")), 3)
        self.assertEqual(problems("inline:{a=b"), ("an opening brace { is never closed",))

    def test_whether_they_know_addresses(self) -> None:
        """Where no key has an @ in it; what answers to anything may."""
        path = self.mktemp()
        with open(path, "w", encoding="utf-8") as file:
            file.write("/x/ y\n")
        texts = ("", "inline:{a=1}", "inline:{a=1,u@a=2}", "static:x", f"regexp:{path}", "inline:{a=1} static:x")
        self.assertEqual([Tables(text).know_addresses for text in texts], [False, False, True, True, True, True])

    def test_part_of_a_key(self) -> None:
        """Patterns are not asked for parts of what is looked for."""
        path = self.mktemp()
        with open(path, "w", encoding="utf-8") as file:
            file.write("/./ pattern\n")
        tables = Tables(f"regexp:{path}, inline:{{b=fixed}}")
        self.assertEqual((tables.lookup("b"), tables.lookup("b", partial=True)), ("pattern", "fixed"))
        self.assertEqual((tables.lookup("a"), tables.lookup("a", partial=True)), ("pattern", None))

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(
        st.lists(st.sampled_from(["inline:", "static:", "{", "}", "=", "a", ",", " ", "texthash:", "regexp:", "\0"]))
    )
    def test_any_value(self, tokens: list[str]) -> None:
        """Every text is tables, or a TableError."""
        text = "".join(tokens)
        self.assertTrue(problems(text) or Tables(text).lookup("a") != "")


class ChangeTests(SynchronousTestCase):
    """Files that change while the service runs."""

    def setUp(self) -> None:
        """A table on a clock that is set by hand, and what is logged."""
        self.path = os.path.abspath(self.mktemp())
        self.now = 1000.0
        self.write("a old\n")
        self.tables = Tables(f"texthash:{self.path}", lambda: self.now)
        self.events: list[LogEvent] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def write(self, text: str) -> None:
        """Put a new file in the old one's place, as careful editors do."""
        with open(self.path + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(self.path + ".new", self.path)

    def logged(self) -> list[str]:
        """Why changes could not be used."""
        return [event["why"] for event in self.events if event.get("log_namespace") == "smtpclient.config.tables"]

    def test_a_change_is_seen_within_a_second(self) -> None:
        """Files are looked at once a second, not at every lookup."""
        self.write("a new\n")
        self.now += 0.9
        self.assertEqual(self.tables.lookup("a"), "old")
        self.now += 0.1
        self.assertEqual(self.tables.lookup("a"), "new")

    def test_refresh(self) -> None:
        """A change is seen at once when asked for, and counted; what cannot be used is none."""
        self.write("a new\n")
        self.tables.refresh()
        self.assertEqual((self.tables.lookup("a"), self.tables.changes), ("new", 1))
        self.tables.refresh()
        self.write("a\n")
        self.tables.refresh()
        self.assertEqual(self.tables.changes, 1)

    def test_a_change_in_place(self) -> None:
        """Writing into the same file is a change too."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write("b added\n")
        self.tables.refresh()
        self.assertEqual(self.tables.lookup("b"), "added")

    def test_a_broken_change(self) -> None:
        """The old content stays, and the fault is logged once."""
        self.write("a\n")
        self.tables.refresh()
        self.tables.refresh()
        self.assertEqual(self.tables.lookup("a"), "old")
        self.assertEqual(self.logged(), [f'{self.path}:1: expected "key value", found only "a"'])

    def test_a_file_that_vanishes_and_returns(self) -> None:
        """What it held stays until there is a file again."""
        os.remove(self.path)
        self.tables.refresh()
        self.assertEqual((self.tables.lookup("a"), len(self.logged())), ("old", 1))
        self.write("a back\n")
        self.tables.refresh()
        self.assertEqual(self.tables.lookup("a"), "back")

    def test_other_tables_have_nothing_to_look_at(self) -> None:
        """Tables without files stay as they are."""
        tables = Tables("inline:{a=b}, static:c")
        tables.refresh()
        self.assertEqual((tables.lookup("a"), tables.lookup("x"), tables.changes), ("b", "c", 0))

    def test_patterns_change_too(self) -> None:
        """A table of patterns follows its file as well."""
        self.write("/a/ old\n")
        tables = Tables(f"regexp:{self.path}")
        self.write("/a/ new pattern\n")
        tables.refresh()
        self.assertEqual(tables.lookup("a"), "new pattern")
