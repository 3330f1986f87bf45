"""
Tables of regular expressions, in the form of Postfix's regexp_table(5) and pcre_table(5).

::

    /pattern/flags result        the result when the key matches
    !/pattern/flags result       ... when it does not
    /pattern/!/other/ result     ... when it matches the first and not the second (regexp)
    if /pattern/flags            what stands until endif counts only for keys that match
    if !/pattern/flags
    endif

Any character but a letter, digit or blank may take the place of ``/``. ``$1``, ``${1}`` and ``$(1)`` in the result
are what a group matched, ``$$`` is a dollar sign. Matching ignores case unless the flag ``i`` is given.

Promises: a table that has been read cannot fail at lookup; every fault is named with its line.

Does not: know files (``smtpclient.config.tables``).

Known limits: Python's ``re`` does the matching, so alternatives are tried from left to right where POSIX asks for the
longest, and what only PCRE has (``\\K``, recursion, the flags A, E, U, X) is refused. Patterns are the
operator's own: one that backtracks for ever is not stopped.
"""

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from smtpclient.config.logical_lines import LogicalLine, logical_lines

_CLASSES = {
    "alpha": r"^\W\d_",
    "digit": "0-9",
    "alnum": r"^\W_",
    "upper": "A-Z",
    "lower": "a-z",
    "space": r"\s",
    "blank": r" \t",
    "punct": r"!-/:-@\[-`{-~",
    "xdigit": "0-9A-Fa-f",
    "cntrl": r"\x00-\x1f\x7f",
    "print": r"\x20-\x7e",
    "graph": r"\x21-\x7e",
}
_CLASS = re.compile(r"\[:(\w+):\]")
_DOLLAR = re.compile(r"\$(?:(\$)|(\d+)|\{(\d+)\}|\((\d+)\)|)", re.A)
_CONDITION = re.compile(r"(if|endif)(?:\s+(.*))?", re.I | re.S)


class PatternError(ValueError):
    """A line that is no rule; the text says why, without the line's number."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One pattern and whether it must match or must not."""

    pattern: re.Pattern[str]
    negated: bool

    def holds(self, key: str) -> bool:
        return (self.pattern.search(key) is None) is self.negated


@dataclass(frozen=True, slots=True)
class Rule:
    """
    One result and when it counts.

    :param conditions: those of the enclosing ``if``, and a second pattern of the rule's own.
    :param result: text and group numbers in turn.
    """

    conditions: tuple[Condition, ...]
    condition: Condition
    result: tuple[str | int, ...]

    def apply(self, key: str) -> str | None:
        """The result for a key, or ``None`` when the rule does not speak of it."""
        found = self.condition.pattern.search(key)
        if (found is None) is not self.condition.negated or not all(c.holds(key) for c in self.conditions):
            return None
        return "".join(
            part if isinstance(part, str) else (found[part] or "" if found is not None else "") for part in self.result
        )


def read_rules(text: str, posix: bool) -> tuple[tuple[Rule, ...], tuple[str, ...]]:
    """
    The rules of a table, and what is wrong with it, each as ``line N: words``.

    :param posix: whether patterns are POSIX's, as in ``regexp:``, and not PCRE's.
    """
    rules: list[Rule] = []
    problems: list[str] = []
    open_ifs: list[tuple[int, Condition | None]] = []
    for line in logical_lines(text):
        try:
            if line.orphan:
                raise PatternError("a line that starts with a blank continues nothing")
            rules += _read_line(line, posix, open_ifs)
        except PatternError as error:
            problems.append(f"line {line.number}: {error}")
    problems += (f"line {number}: this if has no endif" for number, _ in open_ifs)
    return tuple(rules), tuple(problems)


def _read_line(line: LogicalLine, posix: bool, open_ifs: list[tuple[int, Condition | None]]) -> Iterator[Rule]:
    found = _CONDITION.fullmatch(line.text)
    if found is None:
        yield _rule(line.text, posix, tuple(condition for _, condition in open_ifs if condition is not None))
    elif found[1].lower() == "endif":
        if found[2]:
            raise PatternError("unexpected text after endif")
        if not open_ifs:
            raise PatternError("this endif has no if")
        open_ifs.pop()
    else:
        # Opened before it is read, so that a faulty pattern does not make its endif a second fault.
        open_ifs.append((line.number, None))
        condition, rest = _condition(found[2] or "", posix)
        if rest.strip():
            raise PatternError("unexpected text after the pattern of an if")
        open_ifs[-1] = (line.number, condition)


def _rule(text: str, posix: bool, conditions: tuple[Condition, ...]) -> Rule:
    condition, rest = _condition(text, posix)
    if posix and not condition.negated and rest.startswith("!"):
        second, rest = _condition(rest, posix)
        conditions = (*conditions, second)
    if rest[:1].strip():
        raise PatternError(f'unknown flag "{rest[0]}" after the pattern')
    if not rest.strip():
        raise PatternError("the result is missing")
    groups = 0 if condition.negated else condition.pattern.groups
    return Rule(conditions, condition, tuple(_result(rest.strip(), groups, condition.negated)))


def _condition(text: str, posix: bool) -> tuple[Condition, str]:
    """The pattern at the start of a text with its flags, and what stands behind."""
    bare = text.removeprefix("!").lstrip()
    delimiter = bare[:1]
    if not delimiter or delimiter.isalnum() or delimiter.isspace():
        raise PatternError("expected /pattern/flags result")
    end = 1
    while end < len(bare) and bare[end] != delimiter:
        end += 2 if bare[end] == "\\" else 1
    if end >= len(bare):
        raise PatternError(f"the pattern's closing {delimiter} is missing")
    at = end + 1
    flags = re.I | re.S
    known = {"i": re.I, "m": re.M} if posix else {"i": re.I, "m": re.M, "s": re.S, "x": re.X}
    while at < len(bare) and bare[at].isalpha():
        if bare[at] not in known:
            raise PatternError(f'unknown flag "{bare[at]}" after the pattern')
        flags ^= known[bare[at]]
        at += 1
    source = bare[1:end]
    try:
        with warnings.catch_warnings():
            # Python announces that some brackets may mean something else one day: nothing for the operator.
            warnings.simplefilter("ignore", FutureWarning)
            pattern = re.compile(_translated(source) if posix else source, flags)
    except (re.error, OverflowError, RecursionError) as error:
        raise PatternError(f"{delimiter}{source}{delimiter}: {error}") from None
    return Condition(pattern, text.startswith("!")), bare[at:]


def _translated(source: str) -> str:
    """A POSIX extended expression in Python's terms: inside brackets they differ."""
    out = []
    at = 0
    while at < len(source):
        if source[at] == "\\":
            pair = source[at : at + 2]
            out.append({r"\<": r"\b(?=\w)", r"\>": r"\b(?<=\w)"}.get(pair, pair))
            at += 2
        elif source[at] == "[":
            members, at = _bracket(source, at)
            out.append(members)
        else:
            out.append(source[at])
            at += 1
    return "".join(out)


def _bracket(source: str, at: int) -> tuple[str, int]:
    """One bracket expression: backslash is a plain character there, ``]`` may come first, classes have names."""
    start = at
    at += 1
    negated = source.startswith("^", at)
    at += negated
    plain = ""
    first = True
    alternatives: list[str] = []
    while at < len(source) and (first or source[at] != "]"):
        named = _CLASS.match(source, at)
        if named is not None:
            members = _CLASSES.get(named[1])
            if members is None:
                raise PatternError(f"unknown character class [:{named[1]}:]")
            alternatives.append(f"[{members}]")
            at = named.end()
        else:
            plain += "\\" + source[at] if source[at] in "\\[]&~|^" else source[at]
            at += 1
        first = False
    if at >= len(source):
        raise PatternError(f"the bracket {source[start:]} is never closed")
    if plain:
        alternatives.append(f"[{plain}]")
    either = "|".join(alternatives)
    return (rf"(?:(?!{either})[\s\S])" if negated else f"(?:{either})"), at + 1


def _result(text: str, groups: int, negated: bool) -> Iterator[str | int]:
    at = 0
    for found in _DOLLAR.finditer(text):
        yield text[at : found.start()]
        at = found.end()
        if found[1]:
            yield "$"
            continue
        digits = found[2] or found[3] or found[4]
        if digits is None:
            raise PatternError("expected a number after $ in the result (write $$ for a dollar sign)")
        if negated:
            raise PatternError("a rule that matches by not matching has no groups for its result")
        if len(digits) > 4 or not 0 < int(digits) <= groups:
            raise PatternError(f"the pattern has no group {digits}")
        yield int(digits)
    yield text[at:]
