"""Tables of regular expressions: rules, conditions, results, faults."""

import shutil
import subprocess

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.pattern_table import read_rules

_TABLE = r"""
# Comments, and rules that go on in the next line, are as in main.cf.
/^(a+)(b)?$/            r1=$1 r2=${2}
    $(1) $$x
if /fo/
/foo$/                  ends
if !/x/
/^foo/                  starts
endif
endif
|bar\|x|                piped
/bar/                   bar
/^Case$/i               exact
/two/!/more/            one of two
/[[:digit:]]+[\.]z/     class
/dig[^]a[:space:]]z/    bracket
/x\/y/                  slash
/\<dollar\$\>/          dollar
/dollar/                word
!/foo|case|dig|x|two/   neither
"""

#: Each key, and what the table above says of it.
_EXPECTED = {
    "aab": "r1=aa r2=b    aa $x",
    "aa": "r1=aa r2=    aa $x",
    "AAB": "r1=AA r2=B    AA $x",
    "nope": "neither",
    "foo": "ends",
    "foobar": "starts",
    "afoo": "ends",
    "xfooy": None,
    "bar": "bar",
    "bar|x": "piped",
    "case": None,
    "Case": "exact",
    "two": "one of two",
    "two more": None,
    "1.z": "class",
    r"1\z": "class",
    "dig-z": "bracket",
    "dig]z": None,
    "dig z": None,
    "x/y": "slash",
    "dollar": "word",
}


def lookup(table: str, key: str, posix: bool = True) -> str | None:
    """What a table without faults says of a key."""
    rules, problems = read_rules(table, posix)
    assert not problems, problems
    return next((result for rule in rules if (result := rule.apply(key)) is not None), None)


def problems(table: str, posix: bool = True) -> tuple[str, ...]:
    """What is wrong with a table."""
    return read_rules(table, posix)[1]


class LookupTests(SynchronousTestCase):
    """What a table says of a key."""

    def test_lookup(self) -> None:
        """Rules are asked in turn, inside the conditions that stand around them."""
        self.assertEqual({key: lookup(_TABLE, key) for key in _EXPECTED}, _EXPECTED)

    def test_postfix_agrees(self) -> None:
        """postmap(1) finds the same in the same table."""
        if shutil.which("postmap") is None:
            self.skipTest("postmap is not installed")
        path = self.mktemp()
        with open(path, "w", encoding="utf-8") as file:
            file.write(_TABLE)
        with open("main.cf", "w", encoding="utf-8") as file:
            file.write("myhostname = mail.example.com\n")
        shown = subprocess.run(
            ["postmap", "-c", ".", "-q", "-", f"regexp:{path}"],
            input="".join(f"{key}\n" for key in _EXPECTED),
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        found = dict(line.split("\t", 1) for line in shown.splitlines())
        self.assertEqual(found, {key: result for key, result in _EXPECTED.items() if result is not None})

    def test_pcre(self) -> None:
        """Patterns of pcre: are taken as they are, with its flags."""
        table = "/^(?P<x>a\\d)$/  <$1>\n/^b .c/x  free\n/^D/i  case\n"
        self.assertEqual(
            [lookup(table, key, posix=False) for key in ("A1", "bxc", "D", "d")], ["<A1>", "free", "case", None]
        )

    def test_character_classes(self) -> None:
        """Each named class of POSIX holds what it is named for."""
        samples = {
            "alpha": "a", "digit": "5", "alnum": "z", "upper": "Q", "lower": "q", "space": "\t", "blank": " ",
            "punct": "~", "xdigit": "F", "cntrl": "\x01", "print": " ", "graph": "!",
        }  # fmt: skip
        others = {name: "\x7f" if name != "cntrl" else "a" for name in samples}
        for name, sample in samples.items():
            table = f"/^[[:{name}:]]$/ yes"
            self.assertEqual((lookup(table, sample), lookup(table, others[name])), ("yes", None), name)

    def test_a_group_that_took_no_part(self) -> None:
        """It stands for nothing."""
        self.assertEqual(lookup("/(a)|(b)/ <$1$2>", "b"), "<b>")


class FaultTests(SynchronousTestCase):
    """What is wrong with a table, with the number of the line."""

    def test_faults(self) -> None:
        """Each fault is named with its line, and one does not hide the next."""
        table = "\n".join(
            (
                "/a(b/ x",
                "/ab/ $1",
                "/a$",
                "/ab/q y",
                "/ab/",
                "endif",
                "if /x/ foo",
                "nonsense",
                "!/x(y)/ $1",
                "endif more",
                "endif",
                "/a/ $x",
                "/[[:nope:]]/ x",
                "/[a/ x",
                "if",
                "/a/ ok",
            )
        )
        self.assertEqual(
            problems(table),
            (
                "line 1: /a(b/: missing ), unterminated subpattern at position 1",
                "line 2: the pattern has no group 1",
                "line 3: the pattern's closing / is missing",
                'line 4: unknown flag "q" after the pattern',
                "line 5: the result is missing",
                "line 6: this endif has no if",
                "line 7: unexpected text after the pattern of an if",
                "line 8: expected /pattern/flags result",
                "line 9: a rule that matches by not matching has no groups for its result",
                "line 10: unexpected text after endif",
                "line 12: expected a number after $ in the result (write $$ for a dollar sign)",
                "line 13: unknown character class [:nope:]",
                "line 14: the bracket [a is never closed",
                "line 15: expected /pattern/flags result",
                "line 15: this if has no endif",
            ),
        )

    def test_a_leading_blank(self) -> None:
        """A first line that starts with a blank is no rule."""
        self.assertEqual(problems("  /a/ b"), ("line 1: a line that starts with a blank continues nothing",))

    def test_a_flag_that_only_pcre_has(self) -> None:
        """x means something else in POSIX tables, and is refused there."""
        self.assertEqual(problems("/a/x b"), ('line 1: unknown flag "x" after the pattern',))

    def test_text_right_behind_the_flags(self) -> None:
        """What follows the flags must be parted from them."""
        self.assertEqual(problems("/a/i9 b"), ('line 1: unknown flag "9" after the pattern',))

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(
        st.lists(st.sampled_from(["/", "!", "a", "[", "]", "^", "(", ")", "\\", "if ", "endif", "\n", " ", "$1", "i"]))
    )
    def test_any_table(self, tokens: list[str]) -> None:
        """Every text is rules that answer, or faults."""
        table = "".join(tokens)
        for posix in (True, False):
            rules, found = read_rules(table, posix)
            self.assertTrue(found or all(rule.apply("aa") is None or rule.apply("aa") for rule in rules))
