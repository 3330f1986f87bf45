"""
Addresses out of header fields and command lines: RFC 5322 address lists.

:func:`addresses` reads a list: display names, ``<angle addresses>``, groups, comments, quoted strings, source routes.
:func:`header_recipients` finds whom a header names, for ``sendmail -t``; :func:`qualify` gives addresses without a
domain ours, and touches nothing else in the field.

Promises: an address is never lost without a word: what cannot be read is an :class:`AddressListError` that holds the
text. Display names are never taken for addresses, nor the other way round.

Lenient where only one meaning is possible: empty list members, ``;`` between addresses outside a group, a group
that is not closed, unquoted dots and ``@`` in display names, dots anywhere in a local part.

Known limits: ``To: Smith, John <j@example.com>`` names two recipients, the first without a domain: that is what it
says by RFC 5322.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from smtpclient.queue.header import Field

ADDRESS_FIELDS = frozenset(
    {"from", "sender", "reply-to", "to", "cc", "bcc"}
    | {f"resent-{name}" for name in ("from", "sender", "reply-to", "to", "cc", "bcc")}
)

_RECIPIENT_FIELDS = ("to", "cc", "bcc")
_RESENT_FIELDS = ("resent-to", "resent-cc", "resent-bcc")
_TOKEN = re.compile(
    r"""
      (?P<space> [ \t\r\n]+ )
    | (?P<quoted> " (?: [^"\\] | \\. )* " )
    | (?P<literal> \[ [^\[\]\\]* \] )
    | (?P<special> [<>:;,@.] )
    | (?P<atom> [^ \t\r\n"()<>\[\]:;@\\,.\x00-\x1f\x7f]+ )
    """,
    re.X | re.S,
)
# What nearly every address field is: plain addresses, all with a domain, with or without a display name.
_ATEXT = rb"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+"
_MEMBER = rb"(?:[A-Za-z0-9!#$%%&'*+/=?^_`{|}~. \t\n-]*<%(atext)b@%(atext)b>|[ \t\n]*%(atext)b@%(atext)b)[ \t\n]*" % {
    b"atext": _ATEXT
}
_WITH_DOMAINS = re.compile(rb"%(member)b(?:,%(member)b)*" % {b"member": _MEMBER})
_QUOTED_PAIR = re.compile(r"\\(.)", re.S)
_IN_COMMENT = re.compile(r"[^()\\]+|\\.|[()]", re.S)
_WHERE = {'"': "a quote is not closed", "(": "a comment is not closed", "[": "an address literal is not closed"}


class AddressListError(ValueError):
    """Text that is no list of addresses; says what is wrong and quotes the text."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """
    One address of a list.

    :param local: the local part without quotes.
    :param domain: empty where none was given.
    :param end: where the address ends in the text.
    """

    local: str
    domain: str
    end: int = 0

    def qualified(self, origin: str) -> str:
        """The address in internal form, with a domain in any case."""
        return f"{self.local}@{self.domain or origin}"


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str  # the group's name in _TOKEN, or "end"
    text: str
    end: int


def addresses(text: str) -> list[Mailbox]:
    """
    Read an address list; an empty one is a list too.

    :raises AddressListError: when the text is none.
    """
    try:
        return list(_AddressList(_tokens(text)).mailboxes())
    except AddressListError as error:
        raise AddressListError(f"{error} in {_shortened(text)}") from None


def single_address(text: str) -> Mailbox:
    """
    Read one address without display name, angle brackets, comments or blanks, as an SMTP command holds it.

    A source route is dropped (RFC 5321 appendix C).

    :raises AddressListError: when the text is no address.
    """
    try:
        tokens = list(_tokens(text))
        if any(token.kind == "space" for token in tokens) or sum(len(token.text) for token in tokens) != len(text):
            raise AddressListError("blank or comment")
        return _address(_without_route(tokens[:-1]))
    except AddressListError as error:
        raise AddressListError(f"{error} in {_shortened(text)}") from None


def header_recipients(fields: Sequence[Field], origin: str) -> list[str]:
    """
    Whom the header names: To, Cc and Bcc; where the message is resent, Resent-To, Resent-Cc and Resent-Bcc instead.

    :param origin: the domain of addresses that have none.
    :return: internal forms, in the order of the header, none twice.
    :raises AddressListError: names the field that cannot be read.
    """
    wanted = _RESENT_FIELDS if is_resent(fields) else _RECIPIENT_FIELDS
    found: dict[str, None] = {}
    for field in fields:
        if field.key in wanted:
            try:
                found.update((mailbox.qualified(origin), None) for mailbox in addresses(field.body))
            except AddressListError as error:
                raise AddressListError(f"{field.name.decode('ascii')}: header: {error}") from None
    return list(found)


def is_resent(fields: Iterable[Field]) -> bool:
    """Whether somebody has sent the message on (RFC 5322 section 3.6.6)."""
    return any(field.key.startswith("resent-") for field in fields)


def qualify(text: bytes, origin: str) -> bytes:
    """
    The text of an address field, with ``@origin`` behind every address without a domain.

    What cannot be read stays as it is: only the recipient has to make sense of it.
    """
    if _WITH_DOMAINS.fullmatch(text):
        return text
    decoded = text.decode("utf-8", "surrogateescape")
    try:
        ends = [mailbox.end for mailbox in addresses(decoded) if not mailbox.domain]
    except AddressListError:
        return text
    for end in reversed(ends):
        decoded = f"{decoded[:end]}@{origin}{decoded[end:]}"
    return decoded.encode("utf-8", "surrogateescape")


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return f'"{text}"' if len(text) <= 200 else f'"{text[:200]}..."'


def _tokens(text: str) -> Iterator[_Token]:
    """
    Cut the text; comments are left out, blanks are not.

    :raises AddressListError: when a quote or the like is not closed, or a character has no place.
    """
    position = 0
    while position < len(text):
        if text[position] == "(":
            position = _comment_end(text, position)
            continue
        found = _TOKEN.match(text, position)
        if found is None:
            raise AddressListError(_WHERE.get(text[position], f"unexpected {text[position]!r}"))
        position = found.end()
        yield _Token(str(found.lastgroup), found[0], position)
    yield _Token("end", "", position)


def _comment_end(text: str, start: int) -> int:
    depth = 0
    for found in _IN_COMMENT.finditer(text, start):
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        if depth == 0:
            return found.end()
    raise AddressListError(_WHERE["("])


class _AddressList:
    """One pass over the tokens of a list."""

    def __init__(self, tokens: Iterable[_Token]) -> None:
        self._tokens = iter([token for token in tokens if token.kind != "space"])
        self._in_group = False

    def mailboxes(self) -> Iterator[Mailbox]:
        """
        The addresses, group members among them.

        :raises AddressListError: where the list makes no sense.
        """
        phrase: list[_Token] = []  # what stands before the next separator: a display name, or an address
        closed = False  # an angle address has been read: only a separator may follow
        for token in self._tokens:
            separator = token.text if token.kind == "special" else ""
            if separator in {",", ";"} or token.kind == "end":
                if phrase:
                    yield _address(phrase)
                phrase, closed = [], False
                self._in_group = self._in_group and separator != ";"
            elif closed:
                raise AddressListError(f'no comma before "{token.text}"')
            elif separator == "<":
                yield self._angle_address()
                phrase, closed = [], True
            elif separator == ":":
                self._open_group(phrase)
                phrase = []
            else:
                phrase.append(token)

    def _open_group(self, name: list[_Token]) -> None:
        if self._in_group:
            raise AddressListError("a group in a group")
        if not name or any(token.text == "@" for token in name if token.kind == "special"):
            raise AddressListError('misplaced ":"')
        self._in_group = True

    def _angle_address(self) -> Mailbox:
        inside: list[_Token] = []
        for token in self._tokens:
            if token.text == ">":
                return _address(_without_route(inside))
            if token.kind == "end" or token.text == "<":
                break
            inside.append(token)
        raise AddressListError('"<" without ">"')


def _without_route(tokens: list[_Token]) -> list[_Token]:
    """An address without ``@host,@host:`` in front of it."""
    if tokens and tokens[0].text == "@":
        for position, token in enumerate(tokens):
            if token.text == ":":
                return tokens[position + 1 :]
    return tokens


def _address(tokens: list[_Token]) -> Mailbox:
    """
    ``local@domain``, or a local part alone.

    :raises AddressListError: when the tokens are none of these.
    """
    if not tokens:
        raise AddressListError("empty address")
    signs = [position for position, token in enumerate(tokens) if token.text == "@"]
    if len(signs) > 1:
        raise AddressListError('more than one "@"')
    cut = signs[0] if signs else len(tokens)
    local, domain = tokens[:cut], tokens[cut + 1 :]
    if not local or (signs and not domain):
        raise AddressListError('nothing before or behind the "@"')
    literal = [token.kind for token in domain] == ["literal"]
    return Mailbox(
        _words(local, ("atom", "quoted")),
        domain[0].text if literal else _words(domain, ("atom",)),
        tokens[-1].end,
    )


def _words(tokens: list[_Token], kinds: tuple[str, ...]) -> str:
    """
    Words with dots between them, joined, without quotes.

    :raises AddressListError: when two words stand side by side, or something else among them.
    """
    joined: list[str] = []
    after_word = False
    for token in tokens:
        is_word = token.kind in kinds
        if token.text != "." and not is_word:
            raise AddressListError(f'misplaced "{token.text}"')
        if is_word and after_word:
            raise AddressListError(f'no comma before "{token.text}"')
        after_word = is_word
        joined.append(_QUOTED_PAIR.sub(r"\1", token.text[1:-1]) if token.kind == "quoted" else token.text)
    return "".join(joined)
