"""
What a server said it can do: the keywords of its EHLO reply (RFC 5321 section 4.1.1.1).

Keywords match in any case; an unknown one is kept, so that later parts may ask for it. A parameter that makes no
sense is as good as none: a server that announces ``SIZE lots`` still gets its mail.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

from smtpclient.smtp.reply import SHORT, Reply

_LARGEST_SIZE = 2**63 - 1
# Servers of long ago wrote AUTH=LOGIN; a keyword holds neither sign.
_END_OF_KEYWORD = re.compile(r"[ \t=]")
_SIZE = re.compile(r"[0-9]{1,19}(?!\S)")


@dataclass(frozen=True)  # what is asked for with every message is found out once
class Capabilities:
    """
    The extensions that one session may use.

    :param esmtp: the server took EHLO; only then is there any keyword.
    :param keywords: upper-case keyword to the rest of its line.
    :param server_name: the first word of the reply to EHLO or HELO, in lower case.
    """

    esmtp: bool = False
    keywords: Mapping[str, str] = field(default_factory=dict)
    server_name: str = ""

    def __contains__(self, keyword: str) -> bool:
        return keyword in self.keywords

    @cached_property
    def pipelining(self) -> bool:
        """RFC 2920."""
        return "PIPELINING" in self.keywords

    @cached_property
    def size_limit(self) -> int:
        """The largest message the server takes, in bytes (RFC 1870); 0: it did not say, or there is no fixed limit."""
        found = _SIZE.match(self.keywords.get("SIZE", ""))
        limit = int(found[0]) if found else 0
        return limit if limit <= _LARGEST_SIZE else 0

    @cached_property
    def without_login(self) -> "Capabilities":
        """The same for a session without a login: nothing that is said there may claim one."""
        if "AUTH" not in self.keywords:
            return self
        return replace(self, keywords={name: rest for name, rest in self.keywords.items() if name != "AUTH"})


def from_ehlo(reply: Reply, discard: frozenset[str] = frozenset()) -> Capabilities:
    """
    Read the reply to EHLO.

    :param discard: upper-case keywords that are not to be believed (``smtp_discard_ehlo_keywords``).
    """
    # A server says the same in the next session; what is long is not worth remembering.
    return _remembered(reply, discard) if len(reply.text) <= SHORT else _read(reply, discard)


def _read(reply: Reply, discard: frozenset[str]) -> Capabilities:
    lines = reply.lines
    keywords: dict[str, str] = {}
    for line in lines[1:]:
        keyword, *parameters = _END_OF_KEYWORD.split(line.strip(), maxsplit=1)
        name, rest = keyword.upper(), parameters[0].strip() if parameters else ""
        if name == "AUTH" and keywords.get(name):
            # Servers that also write the old AUTH= do not always say the same on both lines.
            rest = f"{keywords[name]} {rest}"
        if name and name not in discard:
            keywords[name] = rest
    return Capabilities(True, keywords, _first_word(lines))


_remembered = lru_cache(maxsize=256)(_read)


def from_helo(reply: Reply) -> Capabilities:
    """Read the reply to HELO: no extension at all."""
    return Capabilities(False, {}, _first_word(reply.lines))


def _first_word(lines: list[str]) -> str:
    words = lines[0].split() if lines else []
    return words[0].lower() if words else ""
