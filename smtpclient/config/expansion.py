"""
``$name`` in values, as in Postfix's main.cf.

======================================  ==========================================================
``$name`` ``${name}`` ``$(name)``       the parameter's value, itself expanded
``${name?text}`` ``${name?{text}}``     the text, if the value is not empty
``${name:text}`` ``${name:{text}}``     the text, if the value is empty
``${name?{text}:{other}}``              one of the two
``${{left} == {right} ? {x} : {y}}``    comparison with ``== != < <= > >=``; as numbers if both are
``${{left} <level {right} ? {x}}``      comparison of version-like levels such as ``3.6``
``$$``                                  a dollar sign
======================================  ==========================================================

Promises: every text ends in an expanded text or an :exc:`ExpansionError`, in bounded time and memory; a value that
refers to itself is an error that shows the way round; only the chosen text of a conditional is expanded.

Does not: know what parameters exist; a name without value counts as empty and is remembered in
:attr:`Expander.undefined`.
"""

import operator
import re
from collections.abc import Callable
from typing import Any

_REFERENCE = re.compile(r"\$(?:(\$)|([A-Za-z0-9_]+)|([({])|)")
_NAME = re.compile(r"[A-Za-z0-9_]+")
_BLANK = re.compile(r"[ \t\r\n\v\f]*")
_COMPARISON = re.compile(r"(==|!=|<=|>=|<|>)(level)?")
_LEVEL = re.compile(r"\d{1,9}(?:\.\d{1,9}(?:\.\d{1,9})?)?", re.A)
_DIGITS = re.compile(r"\d{1,18}", re.A)
_CLOSING = {"{": "}", "(": ")"}
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_DEEPEST = 60
_LONGEST = 100_000


class ExpansionError(ValueError):
    """A value that cannot be expanded; the text says why."""


class Expander:
    """
    Expands values of one set of parameters; each parameter once.

    :param raw: a parameter's unexpanded value, or ``None`` when there is no such parameter.
    :ivar undefined: names that were asked for and have no value, each with the parameter that named it.
    """

    def __init__(self, raw: Callable[[str], str | None]) -> None:
        self.undefined: dict[str, str] = {}
        self._raw = raw
        self._done: dict[str, str] = {}
        self._open: list[str] = []
        self._depth = 0

    def value(self, name: str) -> str | None:
        """
        A parameter's expanded value, or ``None`` when there is no such parameter.

        :raises ExpansionError: when it, or one that it refers to, cannot be expanded.
        """
        if name in self._done:
            return self._done[name]
        raw = self._raw(name)
        if raw is None:
            return None
        if name in self._open:
            way = " -> ".join([*self._open[self._open.index(name) :], name])
            raise ExpansionError(f"it refers to itself ({way})")
        self._open.append(name)
        try:
            self._done[name] = self.expand(raw)
        finally:
            self._open.pop()
        return self._done[name]

    def expand(self, text: str) -> str:
        """
        The text with every reference replaced.

        :raises ExpansionError: for a malformed reference, a circle, or a result that is out of all measure.
        """
        if self._depth >= _DEEPEST:
            raise ExpansionError("references are nested too deep")
        self._depth += 1
        try:
            parts = []
            at = 0
            while (dollar := text.find("$", at)) >= 0:
                parts.append(text[at:dollar])
                value, at = self._reference(text, dollar)
                parts.append(value)
            parts.append(text[at:])
        finally:
            self._depth -= 1
        if sum(map(len, parts)) > _LONGEST:
            raise ExpansionError(f"the expanded value is longer than {_LONGEST} characters")
        return "".join(parts)

    def _reference(self, text: str, dollar: int) -> tuple[str, int]:
        """What the reference at the dollar sign stands for, and where the text goes on."""
        found = _REFERENCE.match(text, dollar)
        if found is None or found.lastindex is None:
            raise ExpansionError(f"a name is missing after $ (write $$ for a dollar sign): {_near(text, dollar)}")
        if found[1]:
            return "$", found.end()
        if found[2]:
            return self._named(found[2]), found.end()
        inner, end = _balanced(text, found.end() - 1)
        return self._braced(inner), end

    def _named(self, name: str) -> str:
        value = self.value(name)
        if value is None:
            self.undefined.setdefault(name, self._open[-1] if self._open else "")
            return ""
        return value

    def _braced(self, inner: str) -> str:
        at = _skip(inner, 0)
        if inner.startswith("{", at):
            holds, at = self._comparison(inner, at)
            plain = "true" if holds else ""
        else:
            found = _NAME.match(inner, at)
            if found is None:
                raise ExpansionError(f"a name is missing in ${{{_shown(inner)}}}")
            at = _skip(inner, found.end())
            if at == len(inner):
                return self._named(found[0])
            # Asking whether a name has a value is no use of it: an unset one is not worth a warning.
            plain = self.value(found[0]) or ""
            holds = bool(plain)
        if at == len(inner):
            return plain
        if inner[at] not in "?:":
            raise ExpansionError(f"expected ? or : after the name or comparison in ${{{_shown(inner)}}}")
        true, false = _branches(inner, at)
        return self.expand(true if holds else false)

    def _comparison(self, inner: str, at: int) -> tuple[bool, int]:
        left, at = _balanced(inner, at)
        found = _COMPARISON.match(inner, _skip(inner, at))
        at = _skip(inner, found.end()) if found else len(inner)
        if found is None or not inner.startswith("{", at):
            raise ExpansionError(
                f"expected {{left}} == {{right}}, or != < <= > >= <level and so on, in ${{{_shown(inner)}}}"
            )
        right, at = _balanced(inner, at)
        first, second = self.expand(left), self.expand(right)
        compare = _COMPARE[found[1]]
        if found[2]:
            return compare(_level(first), _level(second)), _skip(inner, at)
        if _DIGITS.fullmatch(first) and _DIGITS.fullmatch(second):
            return compare(int(first), int(second)), _skip(inner, at)
        return compare(first, second), _skip(inner, at)


def names_in(text: str) -> set[str]:
    """Every name that the text may refer to, also in conditionals that are not chosen."""
    return set(re.findall(r"\$[({]?\s*([A-Za-z0-9_]+)", text.replace("$$", "")))


def _skip(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at


def _balanced(text: str, at: int) -> tuple[str, int]:
    """What stands between the bracket at a position and the one that closes it, and where the text goes on."""
    opening, closing, depth = text[at], _CLOSING[text[at]], 0
    for end in range(at, len(text)):
        if text[end] == opening:
            depth += 1
        elif text[end] == closing:
            depth -= 1
            if depth == 0:
                return text[at + 1 : end], end + 1
    raise ExpansionError(f"the bracket {opening} is never closed: {_near(text, at)}")


def _branches(inner: str, at: int) -> tuple[str, str]:
    """The texts for true and for false behind the operator at a position."""
    sign, plain = inner[at], inner[at + 1 :]
    at = _skip(inner, at + 1)
    if not inner.startswith("{", at):
        return (plain, "") if sign == "?" else ("", plain)
    first, at = _balanced(inner, at)
    at = _skip(inner, at)
    if at == len(inner):
        return (first, "") if sign == "?" else ("", first)
    if sign == ":" or inner[at] != ":":
        raise ExpansionError(f"unexpected text after a closing brace in ${{{_shown(inner)}}}")
    plain = inner[at + 1 :]
    at = _skip(inner, at + 1)
    if not inner.startswith("{", at):
        return first, plain
    second, at = _balanced(inner, at)
    if _skip(inner, at) != len(inner):
        raise ExpansionError(f"unexpected text after the last closing brace in ${{{_shown(inner)}}}")
    return first, second


def _level(text: str) -> tuple[int, ...]:
    if not _LEVEL.fullmatch(text.strip()):
        raise ExpansionError(f'"{_shown(text)}" is no level such as 3.6')
    numbers = [int(number) for number in text.strip().split(".")]
    return tuple(numbers + [0] * (3 - len(numbers)))


def _shown(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def _near(text: str, at: int) -> str:
    return f'"{_shown(text[at:])}"'
