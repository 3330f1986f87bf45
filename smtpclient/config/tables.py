"""
Lookup tables: from a key, such as an address or a domain, to a text.

=========================  ===========================================================================
``texthash:FILE``          lines ``key value``; keys in any case
``inline:{k=v, {k = v}}``  the same, in the parameter itself
``static:VALUE``           one answer to every key; ``static:{two words}``
``regexp:FILE``            regular expressions (``smtpclient.config.pattern_table``)
``pcre:FILE``              the same with PCRE's flags
``hash:FILE`` and alike    ``btree cdb dbm lmdb sdbm``: the text FILE that the index was made from is read
=========================  ===========================================================================

Several in a list, separated by commas or blanks, are asked in turn.

Promises: opening reads everything, and names each fault with file and line. A file that changes is read again, at most
one look a second; a change that cannot be read is logged once and the old content stays.

Does not: try parents of a domain or parts of an address; who asks knows what its keys mean.

Known limits: a file is read in one go, so a table of millions of lines holds up everything else while it is read.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from twisted.logger import Logger

from smtpclient.config.kinds import read_text, split_list
from smtpclient.config.logical_lines import logical_lines
from smtpclient.config.pattern_table import Rule, read_rules

_log = Logger(namespace="smtpclient.config.tables")
_INDEXED = ("hash", "btree", "cdb", "dbm", "lmdb", "sdbm")


class TableError(ValueError):
    """
    Tables that cannot be opened.

    :ivar problems: one text each, with file and line where there is one.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class _Table(Protocol):
    """One table of a chain."""

    @property
    def pattern(self) -> bool: ...

    @property
    def knows_addresses(self) -> bool: ...

    def lookup(self, key: str) -> str | None: ...

    def refresh(self) -> bool: ...


class Tables:
    """
    A chain of tables: the first that knows a key answers.

    :param text: the parameter's value.
    :param seconds: a clock that never goes back; files are looked at when it has gone on by a second.
    :raises TableError: with every fault of every table.
    :ivar changes: how often what they say has changed since they were opened.
    """

    def __init__(self, text: str = "", seconds: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._looked = seconds()
        self.changes = 0
        self.warnings: tuple[str, ...] = ()
        tables: list[_Table] = []
        problems: list[str] = []
        try:
            names = split_list(text)
        except ValueError as error:
            raise TableError(str(error)) from None
        for name in names:
            try:
                tables.append(self._open(name))
            except TableError as error:
                problems += error.problems
        if problems:
            raise TableError(*problems)
        self._tables = tuple(tables)

    def __bool__(self) -> bool:
        return bool(self._tables)

    def lookup(self, key: str, *, partial: bool = False) -> str | None:
        """
        What the first table that knows the key says of it.

        :param partial: the key is only a part of what is looked for, such as an address's domain; tables of regular
            expressions see whole keys only and are passed over.
        """
        self.current()
        for table in self._tables:
            if not (partial and table.pattern):
                found = table.lookup(key)
                if found is not None:
                    return found
        return None

    @property
    def know_addresses(self) -> bool:
        """Whether they may say something of a key that has an ``@`` in it."""
        return any(table.knows_addresses for table in self._tables)

    def current(self) -> int:
        """How often what they say has changed; files are looked at, if that is a second ago."""
        now = self._seconds()
        if now - self._looked >= 1:
            self._looked = now
            self.refresh()
        return self.changes

    def refresh(self) -> None:
        """Read again what has changed."""
        for table in self._tables:
            if table.refresh():
                self.changes += 1

    def _open(self, name: str) -> _Table:
        kind, _, rest = name.partition(":")
        if kind == "inline":
            return _Entries(read_inline(rest))
        if kind == "static":
            return _Static(_static(rest))
        if kind in ("texthash", *_INDEXED, "regexp", "pcre"):
            if not rest:
                raise TableError(f"{name}: expected {kind}:/path/of/file")
            if kind in ("regexp", "pcre"):
                return _File(rest, lambda text: _rules(rest, text, kind == "regexp"), pattern=True)
            if kind in _INDEXED:
                self.warnings += (f"{name} is read from the text {rest} itself; {rest}.db and its like play no part",)
            return _File(rest, lambda text: _Entries(read_entries(rest, text)))
        raise TableError(f"{name}: expected one of texthash:FILE, inline:{{key=value}}, static:VALUE, regexp:FILE")


@dataclass(frozen=True, slots=True)
class _Entries:
    """Keys and values, the keys in lower case."""

    entries: Mapping[str, str]
    pattern: bool = False
    knows_addresses: bool = field(init=False)

    def __post_init__(self) -> None:
        """Look through the keys, once."""
        object.__setattr__(self, "knows_addresses", any("@" in key for key in self.entries))

    def lookup(self, key: str) -> str | None:
        return self.entries.get(key.lower())

    def refresh(self) -> bool:
        """Never changes."""
        return False


@dataclass(frozen=True, slots=True)
class _Static:
    """One answer."""

    answer: str
    pattern: bool = False
    knows_addresses: bool = True

    def lookup(self, key: str) -> str | None:
        return self.answer

    def refresh(self) -> bool:
        """Never changes."""
        return False


@dataclass(frozen=True, slots=True)
class _Rules:
    """Regular expressions, asked in turn."""

    rules: tuple[Rule, ...]
    pattern: bool = True
    knows_addresses: bool = True

    def lookup(self, key: str) -> str | None:
        return next((result for rule in self.rules if (result := rule.apply(key)) is not None), None)

    def refresh(self) -> bool:
        """Never changes."""
        return False


@dataclass(slots=True)
class _File:
    """A table whose content comes from a file."""

    path: str
    read: Callable[[str], _Table]
    pattern: bool = False
    _seen: tuple[int, ...] | None = field(init=False)
    _content: _Table = field(init=False)

    def __post_init__(self) -> None:
        # The look comes before the reading: a change in between is then seen by the next look.
        self._seen = self._look()
        try:
            self._content = self.read(read_text(self.path))
        except TableError:
            raise
        except ValueError as error:
            raise TableError(str(error)) from None

    @property
    def knows_addresses(self) -> bool:
        return self._content.knows_addresses

    def lookup(self, key: str) -> str | None:
        return self._content.lookup(key)

    def refresh(self) -> bool:
        seen = self._look()
        if seen == self._seen:
            return False
        self._seen = seen
        try:
            self._content = self.read(read_text(self.path))
        except ValueError as error:
            _log.warn(
                "{path} has changed and cannot be used, so what it held before stays: {why}",
                path=self.path,
                why=str(error),
            )
            return False
        return True

    def _look(self) -> tuple[int, ...] | None:
        try:
            status = os.stat(self.path)
        except (OSError, ValueError):
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev


def read_entries(path: str, text: str) -> dict[str, str]:
    """
    The entries of a ``texthash`` file; of doubled keys the first counts.

    A key may hold blanks inside double quotes, as the local part of an address does.

    :raises TableError: with every line that is none.
    """
    entries: dict[str, str] = {}
    problems = []
    for line in logical_lines(text):
        key, value = _key_and_value(line.text)
        if line.orphan:
            problems.append(f"{path}:{line.number}: a line that starts with a blank continues nothing")
        elif not value:
            problems.append(f'{path}:{line.number}: expected "key value", found only "{key}"')
        elif entries.setdefault(key.lower(), value) != value:
            _log.warn(
                "{path}:{line}: {key} stands here again; the first one counts", path=path, line=line.number, key=key
            )
    if problems:
        raise TableError(*problems)
    return entries


def read_inline(text: str) -> dict[str, str]:
    """
    The entries of ``inline:``; of doubled keys the last counts.

    :param text: what stands behind the colon.
    :raises TableError: when it is not ``{key=value, {key = value}}``.
    """
    wanted = f"inline:{text}: expected inline:{{key=value, {{key = value with blanks}}}}"
    entries: dict[str, str] = {}
    try:
        words = split_list(_unbraced(text))
    except ValueError as error:
        raise TableError(f"inline:{text}: {error}") from None
    for word in words:
        key, equals, value = (_unbraced(word) if word.startswith("{") else word).partition("=")
        if not equals or not key.strip() or not value.strip():
            raise TableError(wanted)
        entries[key.strip().lower()] = value.strip()
    if not entries:
        raise TableError(wanted)
    return entries


def _static(text: str) -> str:
    answer = _unbraced(text) if text.startswith("{") else text
    if not answer:
        raise TableError("static: expected static:VALUE or static:{several words}")
    return answer


def _rules(path: str, text: str, posix: bool) -> _Rules:
    rules, problems = read_rules(text, posix)
    if problems:
        raise TableError(*(f"{path}:{problem.removeprefix('line ')}" for problem in problems))
    return _Rules(rules)


def _unbraced(text: str) -> str:
    if not (text.startswith("{") and text.endswith("}") and len(text) > 1):
        raise TableError(f"{text or 'nothing'}: expected {{ and }} around it")
    return text[1:-1].strip()


def _key_and_value(line: str) -> tuple[str, str]:
    """Split at the first blank that is not inside double quotes."""
    quoted = escaped = False
    for at, char in enumerate(line):
        if escaped:
            escaped = False
        elif char == "\\" and quoted:
            escaped = True
        elif char == '"':
            quoted = not quoted
        elif char.isspace() and not quoted:
            return line[:at], line[at:].strip()
    return line, ""
