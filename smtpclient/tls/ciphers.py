"""
Grades of ciphers, as OpenSSL's cipher strings.

Grades are cumulative: ``medium`` takes what ``high`` takes, and more. What a modern OpenSSL no longer has it passes
over, so that ``low`` and ``export`` are ``medium`` today.

Where no certificate is looked at (levels ``may`` and ``encrypt``) anonymous ciphers are offered, and OpenSSL's security
level is lowered to 0: a weak encryption is better than none, and a refusal would end in clear text. Where the server
must show who it is, neither is.

Does not: choose ciphers of TLS 1.3; OpenSSL's own list of them has no weak one.
"""

from collections.abc import Iterable

_STRINGS = {
    "high": "aNULL:-aNULL:HIGH:@STRENGTH",
    "medium": "aNULL:-aNULL:HIGH:MEDIUM:+RC4:@STRENGTH",
    "low": "aNULL:-aNULL:HIGH:MEDIUM:LOW:+RC4:@STRENGTH",
    "export": "aNULL:-aNULL:HIGH:MEDIUM:LOW:EXPORT:+RC4:@STRENGTH",
    "null": "eNULL:!aNULL",
}
#: The grades, strongest first.
GRADES = tuple(_STRINGS)


def cipher_string(grade: str, exclude: Iterable[str] = (), *, authenticated: bool) -> str:
    """
    The cipher string for a grade.

    :param exclude: ciphers and classes of them in OpenSSL's words.
    :param authenticated: the server must show a certificate.
    :raises ValueError: when there is no such grade, or an exclusion is none.
    """
    word = grade.strip().lower()
    if word not in _STRINGS:
        raise ValueError(f'"{grade}" is no cipher grade: expected one of {", ".join(GRADES)}')
    parts = [_STRINGS[word]]
    for name in exclude:
        if not name.replace("-", "").replace("_", "").replace("+", "").isalnum():
            raise ValueError(f'"{name}" is no cipher that can be excluded')
        parts.append("!" + name)
    parts.append("!aNULL" if authenticated else "@SECLEVEL=0")
    return ":".join(parts)
