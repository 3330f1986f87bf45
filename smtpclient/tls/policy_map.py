"""
``smtp_tls_policy_maps``: which entry is a next hop's, and what it says.

An entry is a level, then attributes: ``secure match=.example.com:example.net protocols=>=TLSv1.3``.

==========================  =======================  ========================================================
attribute                   levels                   several
==========================  =======================  ========================================================
``match``                   fingerprint: ``a|b``,    may be repeated
                            verify, secure: ``a:b``
``protocols``, ``ciphers``  all but none             once
``exclude``                 all but none             once; ciphers separated by ``:``
``servername``              all but none             once
``tafile``                  verify, secure           may be repeated
``connection_reuse``        all but none             once
==========================  =======================  ========================================================

The key is the next hop as it is written. A plain domain is looked up together with its parents, as ``.parent``;
anything with brackets or a port, only as it stands. The name of a mail exchanger is never a key.

Promises: an entry that cannot be read raises :exc:`PolicyProblem`: mail waits, rather than go with another policy.
"""

from collections.abc import Callable, Iterator

from smtpclient.config.tables import Tables
from smtpclient.dns.name import is_hostname
from smtpclient.tls import level as levels
from smtpclient.tls.level import Level
from smtpclient.tls.policy import FROM_MAP, PolicyProblem, Requirement

MISCONFIGURED = "client TLS configuration problem"
_REPEATED = ("match", "tafile")
_KNOWN = ("match", "protocols", "ciphers", "exclude", "servername", "tafile", "connection_reuse")


def find(tables: Tables, next_hop: str, warn: Callable[[str], None]) -> Requirement | None:
    """
    The requirement that the tables have for a next hop; None when they have none.

    :param next_hop: as it is written.
    :param warn: takes a sentence for the operator.
    :raises PolicyProblem: when there is an entry, and it cannot be read.
    """
    for number, key in enumerate(_keys(next_hop)):
        text = tables.lookup(key, partial=number > 0)
        if text is not None:
            return _read_entry(f'smtp_tls_policy_maps, next-hop destination "{key}"', text, warn)
    return None


def _read_entry(where: str, text: str, warn: Callable[[str], None]) -> Requirement:
    try:
        return read(text, lambda sentence: warn(f"{where}: {sentence}"))
    except ValueError as why:
        raise PolicyProblem(MISCONFIGURED, f"{where}: {why}") from None


def read(text: str, warn: Callable[[str], None]) -> Requirement:
    """
    Read one entry.

    :raises ValueError: when it cannot be read, with what was expected.
    """
    words = text.replace(",", " ").split()
    if not words:
        raise ValueError("empty policy: expected a security level")
    level = levels.parse(words[0])
    attributes: dict[str, list[str]] = {}
    for word in words[1:]:
        name, equals, value = word.partition("=")
        name = name.lower()
        if level is Level.NONE:
            warn(f'ignoring attribute "{name}" with TLS disabled')
            continue
        _check(level, name, value if equals else "")
        if name in attributes and name not in _REPEATED:
            raise ValueError(f'attribute "{name}" is specified more than once')
        attributes.setdefault(name, []).append(value)
    return _requirement(level, attributes)


def _keys(next_hop: str) -> Iterator[str]:
    key = next_hop.strip().rstrip(".").lower()
    yield key
    if is_hostname(key):
        while "." in key:
            key = key.partition(".")[2]
            yield "." + key


def _check(level: Level, name: str, value: str) -> None:
    if name not in _KNOWN:
        raise ValueError(f'invalid attribute "{name}": expected one of {", ".join(_KNOWN)}')
    if not value:
        raise ValueError(f'attribute "{name}" needs a value, as in {name}=...')
    named = level in (Level.VERIFY, Level.SECURE)
    if (name == "match" and not named and level is not Level.FINGERPRINT) or (name == "tafile" and not named):
        raise ValueError(f'attribute "{name}" is invalid at security level "{level.word}"')
    if name == "connection_reuse" and value.lower() not in ("yes", "no"):
        raise ValueError(f'attribute "connection_reuse": expected yes or no, not "{value}"')


def _requirement(level: Level, attributes: dict[str, list[str]]) -> Requirement:
    def once(name: str) -> str:
        return attributes.get(name, [""])[0]

    separator = "|" if level is Level.FINGERPRINT else ":"
    return Requirement(
        level,
        FROM_MAP,
        tuple(word for value in attributes.get("match", ()) for word in value.split(separator) if word),
        once("protocols"),
        once("ciphers"),
        tuple(word for word in once("exclude").split(":") if word) if "exclude" in attributes else None,
        once("servername") if "servername" in attributes else None,
        tuple(attributes.get("tafile", ())),
        once("connection_reuse").lower() == "yes" if "connection_reuse" in attributes else None,
    )
