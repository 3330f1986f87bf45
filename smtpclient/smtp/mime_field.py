"""
What the header fields ``Content-Type`` and ``Content-Transfer-Encoding`` say of a body (RFC 2045).

Lenient in the way of Postfix, since whoever reads a message more strictly than its receiver does overlooks parts of it:
comments are skipped wherever they stand, quotes may be left open, every ``boundary`` parameter counts.

Promises: any bytes have a meaning; text without sense is :data:`OTHER`, or says nothing.

Does not: know what a media type is good for, decode parameters (RFC 2231).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_QUOTED = rb'"(?P<quoted>[^"\\]*(?:\\.[^"\\]*)*)(?:"|\\?\Z)'
# Tokens of RFC 2045, section 5.1, where "/" and "=" stand for themselves; of RFC 822, where they do not.
_MIME_TOKENS = re.compile(
    rb"(?P<blank>[ \t\r\n]+)|(?P<comment>\()|(?P<end>;)|%b|(?P<special>[)<>@,:\\/\[\]?=\x00-\x1f\x7f])"
    rb'|(?P<token>[^ ()<>@,;:\\"/\[\]?=\x00-\x1f\x7f]+)' % _QUOTED,
    re.S,
)
_MAIL_TOKENS = re.compile(
    rb"(?P<blank>[ \t\r\n]+)|(?P<comment>\()|%b|(?P<special>[)<>@,;:\\.\[\]\x00-\x1f\x7f])"
    rb'|(?P<token>[^ ()<>@,;:\\".\[\]\x00-\x1f\x7f]+)' % _QUOTED,
    re.S,
)
_IN_COMMENT = re.compile(rb"\\.|[()]", re.S)
_FOLD = re.compile(rb"[ \t\r]*\n")
_QUOTED_PAIR = re.compile(rb"\\(.)", re.S)

#: How many bits each encoding leaves to a line's bytes.
_EIGHT_BIT = {b"7bit": False, b"8bit": True, b"binary": True, b"base64": False, b"quoted-printable": False}


@dataclass(frozen=True, slots=True)
class ContentType:
    """
    A media type.

    :param kind: the type in lower case: ``text``, ``multipart``, ``message``, or anything else.
    :param subtype: in lower case, or empty.
    :param boundaries: what separates the parts of a multipart; more than one where the field has more than one.
    """

    kind: bytes
    subtype: bytes = b""
    boundaries: tuple[bytes, ...] = ()


#: A body of which nothing can be said.
OTHER = ContentType(b"")

#: What a body is that has no ``Content-Type``.
PLAIN_TEXT = ContentType(b"text", b"plain")


def content_type(text: bytes) -> ContentType:
    """
    Read the text of a ``Content-Type`` field.

    :param text: everything behind the colon; may be folded.
    """
    clauses = _clauses(text)
    first = next(clauses, [])
    if not first:
        return OTHER
    kind = _word(first, 0)
    subtype = _word(first, 2) if len(first) > 2 and first[1] == ("special", b"/") else b""
    if kind != b"multipart":
        return ContentType(kind, subtype)
    return ContentType(kind, subtype, tuple(_boundaries(clauses)))


def eight_bit(text: bytes) -> bool | None:
    """
    Whether a ``Content-Transfer-Encoding`` field announces bytes with the eighth bit set.

    :param text: everything behind the colon; may be folded.
    :return: None for an encoding that is not known.
    """
    kind, value = next(_tokens(_MAIL_TOKENS, text), ("", b""))
    return _EIGHT_BIT.get(value.lower()) if kind == "token" else None


def _boundaries(clauses: Iterator[list[tuple[str, bytes]]]) -> Iterator[bytes]:
    for clause in clauses:
        if len(clause) > 2 and _word(clause, 0) == b"boundary" and clause[1] == ("special", b"="):
            yield clause[2][1]


def _word(clause: list[tuple[str, bytes]], position: int) -> bytes:
    """A token in lower case; nothing where something else stands."""
    kind, value = clause[position]
    return value.lower() if kind == "token" else b""


def _clauses(text: bytes) -> Iterator[list[tuple[str, bytes]]]:
    """The first three tokens of everything that a semicolon, or the end, ends."""
    clause: list[tuple[str, bytes]] = []
    for token in _tokens(_MIME_TOKENS, text):
        if token[0] == "end":
            yield clause
            clause = []
        elif len(clause) < 3:
            clause.append(token)
    yield clause


def _tokens(grammar: re.Pattern[bytes], text: bytes) -> Iterator[tuple[str, bytes]]:
    """Kind and value of each token; comments and blanks are left out."""
    at = 0
    while found := grammar.match(text, at):
        at = found.end()
        kind = str(found.lastgroup)
        if kind == "comment":
            at = comment_end(text, found.start())
        elif kind == "quoted":
            yield kind, _QUOTED_PAIR.sub(rb"\1", _FOLD.sub(b"", found["quoted"]))
        elif kind != "blank":
            yield kind, found[0]


def comment_end(text: bytes, start: int) -> int:
    """Where a comment ends whose parenthesis stands at the start; they nest, and one left open ends with the text."""
    depth = 0
    for found in _IN_COMMENT.finditer(text, start):
        depth += {b"(": 1, b")": -1}.get(found[0], 0)
        if depth == 0:
            return found.end()
    return len(text)
