"""
Parameters: the one table, and the values that a configuration gives them.

Everything that can be set is one row of :data:`ROWS`: name, kind, default, section, one sentence. From the rows come
the checks, the options of twistd (``smtpclient.config.options``), the manual (``smtpclient.config.manual``) and
``smtpclient config``. Beside them stand, as in Postfix, the settings of each transport, ``TRANSPORT_SUFFIX``: a
transport called ``slow`` has a ``slow_destination_concurrency_limit``, whose default is
``$default_destination_concurrency_limit``; :meth:`Parameters.for_transport` gives the name.

Promises: a :class:`Parameters` holds only values that were checked; whatever is wrong is reported at once, each fault
with its source, name, value and what was expected. A setting that nothing acts on is refused, unless it asks for
nothing. It never changes; only lookup tables follow their files.

Does not: read files (``smtpclient.config.maincf``).
"""

import socket
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from smtpclient.config import (
    machine,
    parameters_lmtp,
    parameters_queue,
    parameters_report,
    parameters_routing,
    parameters_sasl,
    parameters_smtp,
    parameters_tls,
    parameters_tls_library,
)
from smtpclient.config.elsewhere import OwnNames, is_elsewhere, looks_like_ours, nearest
from smtpclient.config.expansion import Expander
from smtpclient.config.kinds import Kind, Row, Value, parse
from smtpclient.config.secret_tables import NOT_SHOWN, shown_fault, shown_problem, shown_value
from smtpclient.config.tables import TableError, Tables
from smtpclient.observe.maillog import printable

_BUILT_IN = "built-in"
_SHOWN = 200

#: What a transport has of its own: the part behind its name, and the parameter that is the default.
TRANSPORT_SUFFIXES: Mapping[str, str] = MappingProxyType(
    {
        "initial_destination_concurrency": "initial_destination_concurrency",
        **{
            row.name.removeprefix("default_"): row.name
            for row in (*parameters_queue.CONCURRENCY_ROWS, *parameters_queue.SCHEDULING_ROWS)
            if row.name.startswith("default_")
        },
    }
)


def _row_of(transport: str, suffix: str) -> Row:
    base = next(row for row in _WRITTEN if row.name == TRANSPORT_SUFFIXES[suffix])
    return replace(base, name=f"{transport}_{suffix}", default=f"${base.name}")


def _with_transports() -> Iterator[Row]:
    """The rows, with those of the two transports that always exist behind their defaults."""
    for row in _WRITTEN:
        yield row
        for suffix, base in TRANSPORT_SUFFIXES.items():
            if base == row.name:
                for transport in ("smtp", "relay"):
                    sentence = f"{base}, for the transport {transport}."
                    yield replace(_row_of(transport, suffix), help=sentence)


_WRITTEN: tuple[Row, ...] = (
    *parameters_queue.IDENTITY_ROWS,
    *parameters_routing.ROUTING_ROWS,
    *parameters_routing.LOOKUP_ROWS,
    *parameters_routing.ADDRESS_ROWS,
    *parameters_smtp.TIMEOUT_ROWS,
    *parameters_smtp.GREETING_ROWS,
    *parameters_smtp.DIALOGUE_ROWS,
    *parameters_smtp.CONTENT_ROWS,
    *parameters_smtp.REUSE_ROWS,
    *parameters_sasl.SASL_ROWS,
    *parameters_tls.TLS_ROWS,
    *parameters_tls_library.TLS_LIBRARY_ROWS,
    *parameters_lmtp.LMTP_ROWS,
    *parameters_queue.QUEUE_ROWS,
    *parameters_queue.CONCURRENCY_ROWS,
    *parameters_queue.SCHEDULING_ROWS,
    *parameters_report.REPORT_ROWS,
    *parameters_report.INTAKE_ROWS,
    *parameters_report.LOG_ROWS,
)

#: The table, by name, in the manual's order.
ROWS: Mapping[str, Row] = MappingProxyType({row.name: row for row in _with_transports()})


class ConfigurationError(Exception):
    """
    A configuration that cannot be used.

    :ivar problems: everything that is wrong, one text each, with file and line, name, value and what was expected.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, slots=True)
class Parameters:
    """
    A checked configuration. Made by :meth:`from_values`; every accessor raises :exc:`KeyError` for a name that is
    no parameter and :exc:`TypeError` for one of another kind.

    :ivar warnings: what the operator should know, although it stops nothing.
    """

    _raw: Mapping[str, str] = field(repr=False)
    _defaults: Mapping[str, str] = field(repr=False)
    _expanded: Mapping[str, str] = field(repr=False)
    _values: Mapping[str, Value | Tables] = field(repr=False)
    _sources: Mapping[str, str]
    warnings: tuple[str, ...] = ()

    @classmethod
    def from_values(
        cls,
        values: Mapping[str, str] = MappingProxyType({}),
        *,
        sources: Mapping[str, str] = MappingProxyType({}),
        warnings: Iterable[str] = (),
        machine_name: Callable[[], str] = socket.gethostname,
        seconds: Callable[[], float] = time.monotonic,
    ) -> "Parameters":
        """
        Check settings and fill in the defaults.

        :param values: texts as they would stand in a file, by name.
        :param sources: where each comes from, for messages: a file and line, or an option.
        :param warnings: those of whoever read the settings.
        :param machine_name: asked for the default of ``myhostname``; a name of one label gets ``$mydomain``.
        :param seconds: a clock that never goes back, by which lookup tables look at their files again.
        :raises ConfigurationError: with everything that is wrong.
        """
        raw = {name: text.strip() for name, text in values.items()}
        defaults = {name: row.default for name, row in ROWS.items()} | machine.names(raw, machine_name())
        check = _Check(raw, sources, defaults, seconds)
        check.run()
        if check.problems:
            raise ConfigurationError(check.problems)
        return cls(raw, defaults, check.expanded, check.parsed, dict(sources), (*warnings, *check.warnings))

    def as_lmtp(self) -> "Parameters":
        """The same as the LMTP client sees it: each ``smtp_`` parameter has the value of its ``lmtp_`` twin."""
        seen = parameters_lmtp.seen
        return replace(
            self,
            _raw=seen(self._raw),
            _defaults=seen(self._defaults),
            _expanded=seen(self._expanded),
            _values={**seen(self._values), **parameters_lmtp.NEUTRAL},
            _sources=seen(self._sources),
        )

    def moved(self, queue_directory: str) -> "Parameters":
        """The same where the queue directory has another path, as in a jail."""
        return replace(self, _values={**self._values, "queue_directory": queue_directory})

    def text(self, name: str) -> str:
        """A text."""
        value = self._value(name, Kind.STRING, Kind.DOMAIN, Kind.PORT)
        return value if isinstance(value, str) else self.expanded(name)

    def integer(self, name: str) -> int:
        """A number; a port's, where the kind is a port."""
        value = self._value(name, Kind.INTEGER, Kind.SIZE, Kind.PORT)
        assert isinstance(value, int)
        return value

    def size(self, name: str) -> int:
        """A number of bytes."""
        return self.integer(name)

    def seconds(self, name: str) -> float:
        """A time, in seconds."""
        value = self._value(name, Kind.TIME)
        assert isinstance(value, float)
        return value

    def boolean(self, name: str) -> bool:
        """Yes or no."""
        return self._value(name, Kind.BOOLEAN) is True

    def words(self, name: str) -> tuple[str, ...]:
        """The words of a list; in a list of patterns, those of its files too."""
        value = self._value(name, Kind.LIST, Kind.PATTERNS)
        assert isinstance(value, tuple)
        return value

    def tables(self, name: str) -> Tables:
        """Lookup tables, open; false when there are none."""
        value = self._value(name, Kind.TABLES)
        assert isinstance(value, Tables)
        return value

    def source(self, name: str) -> str:
        """Where the value comes from: ``built-in``, a file and line, or an option."""
        row_named(name)
        return self._sources.get(name, "given") if name in self._raw else _BUILT_IN

    def raw(self, name: str) -> str:
        """The value as it was written, or the default as the table has it."""
        default = self._default(name)
        return self._raw.get(name, default)

    def expanded(self, name: str) -> str:
        """The value with every ``$name`` replaced."""
        return self._expanded[self._entry(row_named(name))]

    def for_transport(self, transport: str, suffix: str) -> str:
        """
        The parameter to read for a transport of any name, such as ``smtp_destination_concurrency_limit``.

        :raises KeyError: when no transport has a setting of this kind.
        """
        if suffix not in TRANSPORT_SUFFIXES:
            raise KeyError(suffix)
        return f"{transport}_{suffix}"

    def dump(
        self, names: Collection[str] = (), *, defaults_only: bool = False, non_default_only: bool = False
    ) -> tuple[str, ...]:
        """
        Lines ``name = value``, unexpanded, as they can stand in a file.

        :param names: which ones; all when empty.
        :param defaults_only: show what is built in, not what was set.
        :param non_default_only: show only what was set.
        :raises KeyError: for a name that is no parameter.
        """
        for name in names:
            row_named(name)
        listed = names or sorted({*ROWS, *(name for name in self._raw if _find(name))})
        return tuple(
            f"{name} = {self._default(name) if defaults_only else self.raw(name)}".rstrip()
            for name in listed
            if not non_default_only or name in self._raw
        )

    def _default(self, name: str) -> str:
        return self._defaults.get(name, row_named(name).default)

    def _value(self, name: str, *kinds: Kind) -> Value | Tables:
        row = row_named(name)
        if row.kind not in kinds:
            raise TypeError(f"{name} is of the kind {row.kind.value!r}")
        return self._values[self._entry(row)]

    def _entry(self, row: Row) -> str:
        # A transport's own setting that nobody set has no entry: its default is another parameter's value.
        return row.name if row.name in self._values else row.default.removeprefix("$")


def row_named(name: str) -> Row:
    """
    The row of a parameter, also of one that belongs to a transport of any name.

    :raises KeyError: when there is none.
    """
    row = _find(name)
    if row is None:
        raise KeyError(name)
    return row


def _find(name: str) -> Row | None:
    if name in ROWS:
        return ROWS[name]
    suffix = _suffix_of(name)
    if not suffix:
        return None
    row = _row_of(name.removesuffix("_" + suffix), suffix)
    # What nothing acts on matters for no transport that is not ours.
    return row if row.honoured else None


def _suffix_of(name: str) -> str:
    """What makes a name that of a transport's own setting, or nothing."""
    # The longest is the right one: "recipient_limit" also ends "destination_recipient_limit".
    endings = (suffix for suffix in TRANSPORT_SUFFIXES if name.endswith("_" + suffix) and name != "_" + suffix)
    return max(endings, key=len, default="")


@dataclass(slots=True)
class _Check:
    """The making of one :class:`Parameters`: what has been found so far."""

    raw: Mapping[str, str]
    sources: Mapping[str, str]
    defaults: Mapping[str, str]
    seconds: Callable[[], float]
    expanded: dict[str, str] = field(default_factory=dict)
    parsed: dict[str, Value | Tables] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Check every setting and every default."""
        self._names()
        rows = {**ROWS, **{name: row for name in self.raw if (row := _find(name)) is not None}}
        expander = Expander(self._unexpanded)
        # What was set comes first: a default that refers to a faulty value has no fault of its own.
        for row in sorted(rows.values(), key=lambda row: row.name not in self.raw):
            try:
                self.expanded[row.name] = (expander.value(row.name) or "").strip()
                self.parsed[row.name] = self._parsed(row, self.expanded[row.name])
            except TableError as error:
                for problem in error.problems:
                    self._problem(row.name, problem)
            except ValueError as error:
                self._problem(row.name, shown_fault(str(error)) if row.secret else str(error))
        for name, owner in expander.undefined.items():
            shown = NOT_SHOWN if owner in ROWS and ROWS[owner].secret else name
            self._warning(owner, f"${shown} is not set anywhere and counts as empty")
        if not self.problems:
            self._look_at_all()

    def _unexpanded(self, name: str) -> str | None:
        if name in self.raw or name in self.defaults:
            return self.raw.get(name, self.defaults.get(name))
        row = _find(name)
        return None if row is None else row.default

    def _names(self) -> None:
        own = OwnNames(self.raw)
        for name in self.raw:
            if _find(name) or _suffix_of(name) or is_elsewhere(name) or name in own:
                continue
            meant = nearest(name, ROWS)
            question = f"; did you mean {meant}?" if meant else ""
            if looks_like_ours(name, ROWS):
                self._problem(name, "there is no such parameter" + question)
            else:
                self._warning(name, "there is no such parameter, and no value refers to it; ignored")

    def _parsed(self, row: Row, text: str) -> Value | Tables:
        if row.honoured:
            return self._opened(row, text) if row.kind is Kind.TABLES else parse(row, text)
        if row.under:
            # What it says has no effect, so it is not looked at either.
            return text
        if row.kind is not Kind.TABLES:
            value = parse(row, text)
            if any(value == parse(row, accepted) for accepted in row.only):
                return value
        elif not text:
            return Tables(seconds=self.seconds)
        accepted = " or ".join(word or "an empty value" for word in row.only)
        raise ValueError(f"this is not supported: only {accepted} is accepted; change or remove the setting")

    def _opened(self, row: Row, text: str) -> Tables:
        parse(row, text)
        try:
            tables = Tables(text, self.seconds)
        except TableError as error:
            raise TableError(*map(shown_problem, error.problems)) if row.secret else error from None
        for warning in tables.warnings:
            self._warning(row.name, warning)
        return tables

    def _look_at_all(self) -> None:
        """What is wrong only together."""
        shortest, longest = "minimal_backoff_time", "maximal_backoff_time"
        first, last = self.parsed[shortest], self.parsed[longest]
        if isinstance(first, float) and isinstance(last, float) and first > last:
            name = shortest if shortest in self.raw else longest
            self._warning(name, f"{shortest} is longer than {longest}, so every wait is {shortest}")

    def _problem(self, name: str, words: str) -> None:
        # The default of one often refers to another: what is wrong there has been said.
        if name in self.raw or not self.problems:
            self.problems.append(self._about(name, words))

    def _warning(self, name: str, words: str) -> None:
        self.warnings.append(self._about(name, words))

    def _about(self, name: str, words: str) -> str:
        value = self.raw.get(name, self.defaults.get(name, ""))
        if name in ROWS and ROWS[name].secret:
            value = shown_value(value)
        shown = printable(value if len(value) <= _SHOWN else value[:_SHOWN] + "...")
        source = self.sources.get(name) or ("" if name in self.raw else _BUILT_IN)
        return f"{source}{source and ': '}{printable(name)} = {shown}: {words}"
