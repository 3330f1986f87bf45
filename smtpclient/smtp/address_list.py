"""
The address lists of header fields, to be written anew with other addresses in them.

:func:`rewritten` reads a list, asks for each address what shall stand in its place, and writes the list down again if
anything changed. Reading and writing are those of Postfix, so that what comes out is what Postfix sends: display names,
comments, groups and quoted strings stay; one blank stands where some did; an address gets quotes where it needs them; a
missing comma between two addresses is put there; of more than 250 bytes of other text around an address, nothing stays.

Promises: any bytes are a list; what is not understood is passed on. A list without a new address is not touched.

Does not: decode encoded words, which are words like any other; know which fields hold addresses.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from smtpclient.mail import address
from smtpclient.smtp.mime_field import comment_end

_MOST_OTHER_TEXT = 250  # bytes beside an address; old mailers had buffers of that size
_SPECIALS = rb'|%!()<>@,;:\\".\[\]'
_TOKEN = re.compile(
    rb"(?P<blank>[ \t\r\n]+)|(?P<comment>\()"
    rb"|\[(?P<literal>[^\]\\]*(?:\\.[^\]\\]*)*)(?:\]|\\?\Z)"
    rb'|"(?P<quoted>[^"\\]*(?:\\.[^"\\]*)*)(?:"|\\?\Z)'
    rb"|(?P<atom>(?:\\.|[^ \t\r\n%b])+(?:\\\Z)?|\\\Z)|(?P<special>[%b])" % (_SPECIALS, _SPECIALS.replace(rb"\\", b"")),
    re.S,
)
_QUOTED_PAIR = re.compile(rb"\\(.?)", re.S)  # at the text's end it may lack its second half
_LINE_SPACE = re.compile(rb"[\t\r\n]")
_NO_ATOM = re.compile(rb"[\x00-\x20\x7f%b]" % _SPECIALS)
_TO_QUOTE = re.compile(rb'(["\\\r\n])')
_TO_QUOTE_IN_LITERAL = re.compile(rb"([\\\r\n])")
_WORDS = ("atom", "quoted", "literal")
_OPERANDS = (*_WORDS, "comment", "address")


@dataclass(frozen=True, slots=True)
class Token:
    """
    A piece of a list.

    :param kind: ``atom``, ``quoted``, ``literal``, ``comment``, ``address`` (then the text is its internal form),
        ``group`` for the colon behind a group's name, or the special character itself.
    :param text: without quotes or brackets; a comment has its parentheses.
    """

    kind: str
    text: bytes

    def written(self) -> bytes:
        """As it stands in a list."""
        match self.kind:
            case "quoted":
                return b'"' + _TO_QUOTE.sub(rb"\\\1", self.text) + b'"'
            case "literal":
                return b"[" + _TO_QUOTE_IN_LITERAL.sub(rb"\\\1", self.text) + b"]"
            case "address":
                return _written_address(self.text)
            case _:
                return self.text

    def plain(self) -> bytes:
        """As it stands in an address of internal form."""
        return b"[" + self.text + b"]" if self.kind == "literal" else self.text


def addresses(text: bytes) -> list[str]:
    """The addresses of a list, in internal form."""
    return [address.from_bytes(token.text) for token in _parsed(text) if token.kind == "address"]


def rewritten(text: bytes, new: Callable[[str], str | None]) -> list[bytes] | None:
    """
    A list with other addresses, an address a line; None when none has changed.

    :param text: what stands in the field behind the colon.
    :param new: from an address in internal form to the one in its place, or to None when it stays.
    """
    tokens = _parsed(text)
    replacements = {
        position: Token("address", address.to_bytes(replacement))
        for position, token in enumerate(tokens)
        if token.kind == "address" and (replacement := new(address.from_bytes(token.text))) is not None
    }
    if not replacements:
        return None
    return list(_lines([replacements.get(position, token) for position, token in enumerate(tokens)]))


def _written_address(internal: bytes) -> bytes:
    return address.to_bytes(address.external(address.from_bytes(internal))) or b'""'


# -- reading ------------------------------------------------------------------------------------------------------


def _tokens(text: bytes) -> Iterator[Token]:
    at = 0
    while found := _TOKEN.match(text, at):
        at = found.end()
        kind = str(found.lastgroup)
        if kind == "comment":
            at = comment_end(text, found.start())
            yield Token(kind, text[found.start() : at])
        elif kind == "special":
            yield Token(found[0].decode("ascii"), found[0])
        elif kind != "blank":
            value = _LINE_SPACE.sub(b" ", _QUOTED_PAIR.sub(rb"\1", found[kind]))
            # A backslash lets an atom hold what only a quoted string can be written with.
            yield Token("quoted" if kind == "atom" and _NO_ATOM.search(value) else kind, value)


def _parsed(text: bytes) -> list[Token]:
    """
    The tokens with those of each address made one.

    A list is read from its end: only there can be seen whether words are an address, or a name before one in angle
    brackets.
    """
    reading = _Reading(list(_tokens(text)))
    reading.run()
    return reading.out[::-1]


class _Reading:
    """
    One pass from right to left.

    :ivar out: what has been made of the tokens behind, the last first.
    """

    def __init__(self, tokens: list[Token]) -> None:
        self.out: list[Token] = []
        self._tokens = tokens
        self._words: list[Token] = []  # of the address being read, the last first
        self._may_be_word = True  # no operator stands between the next word and the one behind it
        self._in_group = False

    def run(self) -> None:
        """Take all tokens."""
        while self._tokens:
            token = self._tokens.pop()
            if token.kind == "comment":
                self.out.append(token)
            elif token.kind == ";":
                self._end_address(comma=True)
                self.out.append(token)
                self._in_group = self._may_be_word = True
            elif token.kind == ":" and self._in_group:
                self._end_address()
                self.out.append(Token("group", token.text))
                self._pass_over(",")
            elif token.kind == ">":
                self._angle_address(token)
            elif token.kind == ",":
                self._end_address()
                self.out.append(token)
                self._may_be_word = True
            else:
                self._part_of_address(token)
        self._end_address()

    def _part_of_address(self, token: Token) -> None:
        if token.kind not in _WORDS:
            self._may_be_word = True
        else:
            if not self._may_be_word:
                self._end_address(comma=True)
            self._may_be_word = False
        self._words.append(token)

    def _angle_address(self, closing: Token) -> None:
        self._end_address(comma=True)
        self.out.append(closing)
        while self._tokens and self._tokens[-1].kind != "<":
            token = self._tokens.pop()
            (self.out if token.kind == "comment" else self._words).append(token)
        self._end_address()
        self._pass_over(">;,:")
        self._may_be_word = True

    def _pass_over(self, until: str) -> None:
        """What belongs to no address, such as a display name."""
        while self._tokens and self._tokens[-1].kind not in until:
            self.out.append(self._tokens.pop())

    def _end_address(self, *, comma: bool = False) -> None:
        """Make one token of the words that have been read; with a comma before it where one is missing."""
        if self._words:
            self.out.append(Token("address", b"".join([token.plain() for token in reversed(self._words)])))
            self._words.clear()
            if comma:
                self.out.append(Token(",", b","))


# -- writing ------------------------------------------------------------------------------------------------------


def _lines(tokens: Sequence[Token]) -> Iterator[bytes]:
    """The list, cut behind each comma."""
    line: list[bytes] = []
    found: bytes | None = None  # the address on this line; nothing where the brackets are empty
    for token, following in zip_longest(tokens, tokens[1:]):
        if token.kind == ",":
            yield _without_much_else(b"".join(line), found) + b","
            line, found = [], None
            continue
        line.append(token.written())
        if token.kind == "address":
            found = token.written()
        elif token.kind == "<" and following is not None and following.kind == ">":
            found = b""
        if following is not None and _is_blank_between(token, following):
            line.append(b" ")
    yield _without_much_else(b"".join(line), found)


def _is_blank_between(token: Token, following: Token) -> bool:
    if token.kind == "group" or following.kind == "<":
        return True
    return token.kind in _OPERANDS and following.kind in _OPERANDS


def _without_much_else(line: bytes, found: bytes | None) -> bytes:
    if found is not None and len(line) - len(found) > _MOST_OTHER_TEXT:
        return b"<" + found + b">"
    return line
