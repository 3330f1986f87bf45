"""
Lists of TLS versions, as ``smtp_tls_protocols`` and ``protocols=`` in a policy have them.

=======================  ==================================================
``>=TLSv1.2``            this one and later ones
``<=TLSv1.3``            this one and earlier ones
``TLSv1.2 TLSv1.3``      these only
``!TLSv1``               not this one
``>=0303``               the number of the version in the protocol
=======================  ==================================================

Words may be separated by commas, colons and blanks, in any case; of several bounds the last one counts, as in
Postfix. SSLv2 and SSLv3 are known as words, and never spoken.

Promises: a list that cannot be read, or leaves no version, raises :exc:`ValueError` and never means "any".
"""

import re
from collections.abc import Iterable

_NUMBERS = {
    "sslv2": 0x0200,
    "sslv3": 0x0300,
    "tlsv1": 0x0301,
    "tlsv1.0": 0x0301,
    "tlsv1.1": 0x0302,
    "tlsv1.2": 0x0303,
    "tlsv1.3": 0x0304,
}
#: The versions that can be spoken: the number in the protocol, and the name.
SPOKEN = {0x0301: "TLSv1", 0x0302: "TLSv1.1", 0x0303: "TLSv1.2", 0x0304: "TLSv1.3"}

_WORD = re.compile(r"(>=|<=|!)?\s*([A-Za-z0-9.]+)")
_SEPARATOR = re.compile(r"[\s,:]+")
# A blank may stand between the sign and the version.
_LOOSE = re.compile(r"(>=|<=|!)\s+")
_HEXADECIMAL = re.compile(r"(?:0x)?[0-9a-f]{4}")


def parse(words: str | Iterable[str]) -> tuple[int, ...]:
    """
    The versions that a list allows, oldest first.

    :param words: the text of the list, or its words.
    :raises ValueError: when a word is no version, or none is left.
    """
    text = words if isinstance(words, str) else " ".join(words)
    lowest, highest = 0, 0xFFFF
    included: set[int] = set()
    excluded: set[int] = set()
    for word in _SEPARATOR.split(_LOOSE.sub(r"\1", text.strip())):
        if not word:
            continue
        found = _WORD.fullmatch(word)
        number = _number(found[2]) if found else None
        if found is None or number is None:
            raise ValueError(f'"{word}" is no TLS version: expected one like TLSv1.2, !TLSv1.1 or >=TLSv1.2')
        match found[1]:
            case ">=":
                lowest = number
            case "<=":
                highest = number
            case "!":
                excluded.add(number)
            case _:
                included.add(number)
    left = tuple(
        number
        for number in SPOKEN
        if lowest <= number <= highest and number not in excluded and (not included or number in included)
    )
    if not left:
        raise ValueError(f'"{text}" leaves no TLS version')
    return left


def _number(word: str) -> int | None:
    word = word.lower()
    if word in _NUMBERS:
        return _NUMBERS[word]
    return int(word, 16) if _HEXADECIMAL.fullmatch(word) else None
