"""
The TXT record ``_smtp._tls.DOMAIN`` (RFC 8460 section 3): where a domain wants its TLS reports.
"""

import re
from urllib.parse import unquote, urlsplit

from smtpclient.dns.answer import Answer, Status
from smtpclient.dns.text_record import only_text

VERSION = "v=TLSRPTv1"
MOST_ENDPOINTS = 4

_DELIMITER = re.compile(r"[ \t]*;[ \t]*")
_FIELD = re.compile(
    r"([A-Za-z0-9][A-Za-z0-9_.-]{0,31})[ \t]*=[ \t]*([\x21-\x3a\x3c-\x7e]+(?:[ \t]*,[ \t]*[\x21-\x3a\x3c-\x7e]+)*)"
)
_ADDRESS = re.compile(r"[^\s<>()\[\],;:\\\"@\x00-\x1f\x7f]+@[A-Za-z0-9._-]+")


def name_of(domain: str) -> str:
    """Where a domain's record stands."""
    return f"_smtp._tls.{domain}"


def endpoints(answer: Answer) -> tuple[str, ...]:
    """The addresses in an answer: ``mailto:`` and ``https:`` URLs; empty where nobody wants reports."""
    return read(only_text(answer, VERSION)) if answer.status is Status.FOUND else ()


def read(text: str) -> tuple[str, ...]:
    """The addresses in the text of a record; those of other kinds are left out, as are any beyond a few."""
    fields = _DELIMITER.split(text)
    if fields[-1] == "":
        fields.pop()
    if not fields or fields[0] != VERSION:
        return ()
    found = [_FIELD.fullmatch(field) for field in fields[1:]]
    if not all(found):
        return ()
    uris = next((field[2] for field in found if field and field[1] == "rua"), "")
    usable = (uri.strip() for uri in uris.split(","))
    return tuple(dict.fromkeys(uri for uri in usable if uri.lower().startswith("https://") or address_of(uri)))[
        :MOST_ENDPOINTS
    ]


def address_of(uri: str) -> str:
    """The mail address in a ``mailto:`` URL; empty where there is none, or one that is no plain address."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return ""
    if parts.scheme.lower() != "mailto":
        return ""
    address = unquote(parts.path)
    return address if address.isascii() and _ADDRESS.fullmatch(address) else ""
