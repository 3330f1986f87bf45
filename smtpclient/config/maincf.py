"""
Files in the syntax of Postfix's main.cf.

::

    # a comment
    name = value
        that goes on in the next line
    other = $name ${name?text} ${name:text}

A line that starts with a blank continues the one before. The last of several settings of one name counts. What
``$name`` stands for is found out later, when options are known too (``smtpclient.config.expansion``).

Promises: whatever the bytes, the result is :class:`Settings` or a
:class:`~smtpclient.config.parameters.ConfigurationError` that names file and line.

Does not: know which names exist (``smtpclient.config.parameters``).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from smtpclient.config.logical_lines import logical_lines
from smtpclient.config.parameters import ConfigurationError, Parameters
from smtpclient.observe.maillog import printable


@dataclass(frozen=True, slots=True)
class Settings:
    """
    What a file sets.

    :param values: unexpanded, by name.
    :param sources: ``file:line`` of each.
    :param warnings: lines that count for nothing.
    """

    values: Mapping[str, str]
    sources: Mapping[str, str]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Override:
    """One setting that counts more than the file's; ``source`` is the option that made it."""

    name: str
    value: str
    source: str


def override(text: str) -> Override:
    """
    The argument of an option ``-o name=value``; braces around it all are dropped, as Postfix does.

    :raises ConfigurationError: when it is none.
    """
    bare = text.strip()
    if bare.startswith("{") and bare.endswith("}"):
        bare = bare[1:-1]
    name, equals, value = (part.strip() for part in bare.partition("="))
    if not equals or not name:
        raise ConfigurationError([f"-o {printable(text)}: expected name=value"])
    return Override(name, value, f"-o {printable(name)}")


def load(path: str | None, overrides: Iterable[Override] = ()) -> Parameters:
    """
    The parameters of a file, changed by options; of several overrides of one name the last counts.

    :param path: the file, or ``None`` for the defaults alone.
    :raises ConfigurationError: when the file cannot be read, or with everything that is wrong.
    """
    settings = read(path) if path else Settings({}, {})
    values, sources = dict(settings.values), dict(settings.sources)
    for change in overrides:
        values[change.name], sources[change.name] = change.value, change.source
    return Parameters.from_values(values, sources=sources, warnings=settings.warnings)


def read(path: str) -> Settings:
    """
    Read a file.

    :raises ConfigurationError: when it cannot be read, or what :func:`parse` raises.
    """
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise ConfigurationError([f"{printable(path)}: {error.strerror or error}"]) from None
    except ValueError as error:
        raise ConfigurationError([f"{printable(path)}: this is no path: {error}"]) from None
    return parse(data, path)


def parse(data: bytes, path: str) -> Settings:
    """
    Read a file's bytes.

    :param path: for messages.
    :raises ConfigurationError: with every line that is no setting.
    """
    path = printable(path)
    nul = data.find(b"\0")
    if nul >= 0:
        line = data.count(b"\n", 0, nul) + 1
        raise ConfigurationError([f"{path}:{line}: a NUL byte, so this is no text file"])
    values: dict[str, str] = {}
    sources: dict[str, str] = {}
    warnings: list[str] = []
    problems: list[str] = []
    for logical in logical_lines(data.decode("utf-8", "surrogateescape")):
        source = f"{path}:{logical.number}"
        name, equals, value = (part.strip() for part in logical.text.partition("="))
        if logical.orphan:
            warnings.append(f"{source}: ignored, for a line that starts with a blank continues nothing here")
        elif not equals or not name or any(char.isspace() for char in name):
            problems.append(f'{source}: expected "name = value", found "{printable(logical.text[:60])}"')
        else:
            if name in values:
                warnings.append(f"{source}: {printable(name)} was set before, at {sources[name]}; this line counts")
            # Set anew, so that the order is that of the lines that count.
            values.pop(name, None)
            values[name], sources[name] = value, source
    if problems:
        raise ConfigurationError(problems)
    return Settings(values, sources, tuple(warnings))
