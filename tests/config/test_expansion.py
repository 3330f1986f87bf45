"""Expansion: what ``$name`` and its relatives stand for."""

import os
import shutil
import subprocess

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.expansion import Expander, ExpansionError, names_in

_VALUES = {"full": "one two", "empty": "", "seven": "7", "outer": "<$full>", "dollar": "$$full"}

#: Each text, and what it stands for with the values above.
_EXPECTED = {
    "plain": "plain",
    "$full": "one two",
    "${full}": "one two",
    "$(full)": "one two",
    "${ full }": "one two",
    "a$seven.b": "a7.b",
    "$outer": "<one two>",
    "$$": "$",
    "$$full": "$full",
    "$dollar": "$full",
    "$unset": "",
    "${full?yes}": "yes",
    "${empty?yes}": "",
    "${unset?yes}": "",
    "${full:no}": "",
    "${empty:no}": "no",
    "${unset:no}": "no",
    "${full?a:b}": "a:b",
    "${full?{a b}}": "a b",
    "${empty:{a b}}": "a b",
    "${full?{a}:{b}}": "a",
    "${empty?{a}:{b}}": "b",
    "${empty?{a}:b}": "b",
    "${full ? {a} : {b} }": "a",
    "x${full? a}": "x a",
    "x${empty: a}": "x a",
    "x${empty?{a}: b}": "x b",
    "${full?$seven}": "7",
    "${full?{${empty?{x}:{$seven}}}}": "7",
    "${full?}": "",
    "${{$seven} == {7}}": "true",
    "${{$seven} == {8}}": "",
    "${{$seven} == {7} ? {a} : {b}}": "a",
    "${{$seven} != {7} ? {a} : {b}}": "b",
    "${{10} < {9} ? {a} : {b}}": "b",
    "${{10} <= {10} ? {a} : {b}}": "a",
    "${{10} > {9} ? {a} : {b}}": "a",
    "${{9} >= {10} ? {a} : {b}}": "b",
    "${{abc} < {abd} ? {a} : {b}}": "a",
    "${{10x} < {9x} ? {a} : {b}}": "a",
    "${{007} == {7} ? {a} : {b}}": "a",
    "${{} == {} ? {a} : {b}}": "a",
    "${{2 } == {2} ? {a} : {b}}": "b",
    "${{3.6} <level {3.10} ? {a} : {b}}": "a",
    "${{3.10} <=level {3.6} ? {a} : {b}}": "b",
    "${{3} ==level {3.0} ? {a} : {b}}": "a",
    "${{a} == {a} : {b}}": "",
    "${{a} == {c} : {b}}": "b",
    "x${{a} == {a} ? b}": "x b",
}

#: Texts that stand for nothing.
_MALFORMED = (
    "$",
    "a $ b",
    "$-x",
    "${",
    "${}",
    "$()",
    "$(full",
    "${full",
    "${full!}",
    "${full x}",
    "${(full)}",
    "${full?{a}b}",
    "${full?{a",
    "${full?{a}:{b}c}",
    "${full:{a}:{b}}",
    "${{a} = {b} ? {c}}",
    "${{a} == b}",
    "${{a} == {b} {c}}",
    "${{a}}",
    "${{x} <level {2} ? {a}}",
    "${{1.} <level {2} ? {a}}",
)


def expand(text: str, **values: str) -> str:
    """What a text stands for."""
    return Expander({**_VALUES, **values}.get).expand(text)


def failure(text: str, **values: str) -> str:
    """What is wrong with a text, or nothing."""
    try:
        expand(text, **values)
    except ExpansionError as error:
        return str(error)
    return ""


class ExpansionTests(SynchronousTestCase):
    """Every form of a reference."""

    def test_forms(self) -> None:
        """Each form stands for what it stands for in Postfix."""
        self.assertEqual({text: expand(text) for text in _EXPECTED}, _EXPECTED)

    def test_malformed(self) -> None:
        """What is no reference is an error, and not taken as it stands."""
        self.assertEqual([text for text in _MALFORMED if not failure(text)], [])

    def test_a_lone_dollar_sign_says_how_to_write_one(self) -> None:
        """The commonest slip comes with its remedy."""
        self.assertEqual(failure("5 $ each"), 'a name is missing after $ (write $$ for a dollar sign): "$ each"')

    def test_postfix_agrees(self) -> None:
        """postconf(1) expands every one of these texts to the same words, and refuses what is malformed."""
        if shutil.which("postconf") is None:
            self.skipTest("postconf is not installed")
        folder = self.mktemp()
        os.mkdir(folder)
        names = [f"text{number}" for number in range(len(_EXPECTED))]
        with open(f"{folder}/main.cf", "w", encoding="utf-8") as file:
            file.writelines(f"{name} = {value}\n" for name, value in _VALUES.items())
            file.writelines(f"{name} = .{text}.\n" for name, text in zip(names, _EXPECTED, strict=True))
            # Postfix knows a parameter of the operator's own when another refers to it.
            file.write(f"relayhost = {''.join(f'${name}' for name in names)}\n")
        shown = subprocess.run(
            ["postconf", "-c", folder, "-x", "-h", *names], capture_output=True, text=True, check=True
        ).stdout
        self.assertEqual(
            dict(zip(_EXPECTED, shown.splitlines(), strict=True)),
            {text: " ".join(f".{value}.".split()) for text, value in _EXPECTED.items()},
        )


class CircleTests(SynchronousTestCase):
    """Values that refer to each other."""

    def test_a_circle_is_shown(self) -> None:
        """A value that refers to itself is an error that shows the way round."""
        expander = Expander({"a": "$b", "b": "x $c", "c": "${a}"}.get)
        error = self.assertRaises(ExpansionError, expander.value, "a")
        self.assertEqual(str(error), "it refers to itself (a -> b -> c -> a)")

    def test_a_circle_that_is_not_entered(self) -> None:
        """Only the chosen text of a conditional is expanded."""
        self.assertEqual(Expander({"a": "${full?{x}:{$a}}", "full": "y"}.get).value("a"), "x")

    def test_deep_references(self) -> None:
        """Nesting beyond measure is an error, not the end of the stack."""
        chain = {f"a{number}": f"$a{number + 1}" for number in range(500)}
        self.assertIn("too deep", failure("$a0", **chain))
        self.assertIn("too deep", failure("${full?{" * 500 + "}}" * 500))

    def test_texts_that_explode(self) -> None:
        """Values that double with each reference end before they fill the memory."""
        doubling = {f"a{number}": f"$a{number + 1}$a{number + 1}" for number in range(40)}
        self.assertIn("longer than", failure("$a0", **doubling, a40="xxxxxxxxxx"))

    def test_each_value_is_expanded_once(self) -> None:
        """A parameter that many refer to is not worked out anew."""
        asked: list[str] = []

        def raw(name: str) -> str:
            asked.append(name)
            return {"a": "$b$b", "b": "x"}[name]

        self.assertEqual((Expander(raw).expand("$a$b"), asked), ("xxx", ["a", "b"]))


class UndefinedTests(SynchronousTestCase):
    """Names that nobody set."""

    def test_a_name_without_value_is_remembered(self) -> None:
        """It counts as empty, and it is known who asked for it."""
        expander = Expander({"a": "x$unset"}.get)
        self.assertEqual((expander.value("a"), expander.undefined), ("x", {"unset": "a"}))

    def test_asking_whether_is_no_use(self) -> None:
        """A conditional may ask for a name that is not set."""
        expander = Expander({"a": "${unset?x}${unset:y}"}.get)
        self.assertEqual((expander.value("a"), expander.undefined), ("y", {}))

    def test_no_such_value(self) -> None:
        """The value of a name that is not set is None."""
        self.assertIs(Expander({}.get).value("a"), None)

    def test_names_in_a_text(self) -> None:
        """Names are found in every form, also in what is not chosen, but not behind a doubled dollar sign."""
        self.assertEqual(names_in("$a $(b) ${c?{$d}} ${{$e} == {x} ? {$f}} $$g ${ h }"), set("abcdefh"))


class AnyTextTests(SynchronousTestCase):
    """What holds for whatever stands in a file."""

    @settings(max_examples=500, deadline=None, derandomize=True)
    @given(
        st.lists(st.sampled_from(["$", "{", "}", "(", ")", "?", ":", "==", "<level", " ", "full", "empty", "7", "x"]))
    )
    def test_text_or_error(self, tokens: list[str]) -> None:
        """Every text has an expansion or is an ExpansionError; without a dollar sign it stays as it is."""
        text = "".join(tokens)
        if not failure(text):
            self.assertTrue("$" in text or expand(text) == text)
