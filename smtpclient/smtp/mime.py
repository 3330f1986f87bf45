"""
The structure of a message (RFC 2045, 2046), read off its text while it passes.

:class:`MimeReader` takes content in blocks cut anywhere and tells a :class:`Listener` what it consists of: header
fields one by one, each with the place where it stands; the end of each header; and body text in runs as long as they
come, with the :class:`Entity` that they belong to. What the listener gets, put together, is the message.

It recognises what Postfix recognises:

* a header ends at an empty line, or at the first line that is no field and continues none; in the message's own header
  an empty line is put in there;
* a multipart's parts begin and end at lines that begin with ``--`` and its boundary, whatever follows; so do those of
  the multiparts around it, even where one inside was never closed;
* a ``message/rfc822`` begins with a header of its own; the parts of a ``multipart/digest`` are such, unless they say
  otherwise; a ``message/global`` is one while nothing encodes it;
* ``Name :`` counts as ``Name:``, and is passed on so.

Promises: malformed structure raises nothing; memory is bounded by the limits and by :data:`PIECE`, whatever the size of
the message, of a line or of a block; what is told does not depend on where the blocks were cut. A body in which no
boundary can occur is passed on block by block.

Known limits: a field longer than ``header_limit`` loses what exceeds it, as ``header_size_limit`` says; of a line
longer than :data:`PIECE` only the beginning decides what it is.
"""

import enum
import re
from dataclasses import dataclass
from typing import Protocol

from smtpclient.smtp import mime_field
from smtpclient.smtp.mime_field import PLAIN_TEXT, ContentType

#: How much of a line is looked at in one piece: Postfix's ``line_length_limit``, and an LF.
PIECE = 2049

#: Fields that say what a body is, in lower case.
MIME_FIELDS = frozenset(
    {
        b"content-description",
        b"content-disposition",
        b"content-id",
        b"content-transfer-encoding",
        b"content-type",
        b"mime-version",
    }
)

_FIELD_NAME = re.compile(rb"([!-9;-~]+)[ \t]*(?=:)")
_KNOWN_KINDS = (b"text", b"multipart", b"message")
_RFC822 = ContentType(b"message", b"rfc822")


class Place(enum.Enum):
    """Whose header a field belongs to."""

    MESSAGE = enum.auto()
    PART = enum.auto()  # of a multipart
    ATTACHED_MESSAGE = enum.auto()


@dataclass(slots=True)
class Entity:
    """
    A body, as its header describes it so far.

    :param eight_bit: its ``Content-Transfer-Encoding`` is one that announces bytes with the eighth bit set.
    :param has_type: its header has had a ``Content-Type``; without, the type is the default of where it stands.
    """

    type: ContentType = PLAIN_TEXT
    eight_bit: bool = False
    has_type: bool = False


class NestingTooDeep(Exception):
    """A message whose multiparts lie deeper in each other than the limit allows, so that some cannot be followed."""


class Listener(Protocol):
    """Whoever wants to know what a message consists of."""

    def field(self, place: Place, name: bytes, text: bytes, entity: Entity) -> None:
        """
        A header field.

        :param name: in lower case.
        :param text: name, colon and value, with the LFs of folding but the last.
        :param entity: what the header has said so far, this field included.
        """

    def end_of_header(self, place: Place, entity: Entity, *, composite: bool) -> None:
        """
        The fields are all told.

        :param composite: the body consists of parts or is a message, each with a header of its own.
        """

    def body(self, text: bytes, entity: Entity) -> None:
        """Text that is in no header; what is told of one entity begins where a line begins."""


class MimeReader:
    """
    Reads one message.

    :param structured: look into bodies; else all that follows the message's own header is one body.
    :param encoding: bodies of 8-bit entities will be encoded by the listener, which must know of every one: a
        ``message/global`` among them is a leaf then, and nesting beyond the limit an error.
    :param header_limit: how much of a field is kept, in bytes (``header_size_limit``).
    :param nesting_limit: how deep multiparts are followed (``mime_nesting_limit``).
    :param boundary_limit: how much of a boundary is compared, in bytes (``mime_boundary_length_limit``).
    """

    def __init__(
        self,
        listener: Listener,
        *,
        structured: bool = True,
        encoding: bool = False,
        header_limit: int = 102400,
        nesting_limit: int = 100,
        boundary_limit: int = 2048,
    ) -> None:
        self._listener = listener
        self._structured = structured
        self._encoding = encoding
        self._header_limit = header_limit
        self._nesting_limit = nesting_limit
        self._boundary_limit = boundary_limit
        self._place: Place | None = Place.MESSAGE  # None: in a body
        self._entity = Entity()
        self._boundaries: list[tuple[bytes, ContentType]] = []  # with what a part is that has no Content-Type
        self._delimiters: tuple[bytes, ...] = ()
        self._longest_delimiter = 0
        self._field: list[bytes] = []
        self._field_size = 0
        self._held = b""  # the beginning of a piece whose rest has not come
        self._in_line = False  # a piece has been taken, and the next one goes on with its line

    def feed(self, text: bytes) -> None:
        """
        Take a block.

        :raises NestingTooDeep: when parts would go unnoticed that have to be encoded.
        """
        self._take(self._held + text if self._held else text, final=False)

    def finish(self) -> None:
        """
        The message is complete.

        :raises NestingTooDeep: see :meth:`feed`.
        """
        self._take(self._held, final=True)
        if self._place is not None:
            self._close_field()
            self._listener.end_of_header(self._place, self._entity, composite=self._is_composite())

    def _take(self, text: bytes, *, final: bool) -> None:
        self._held = b""
        at = 0
        while at < len(text):
            take = self._take_body if self._place is None else self._take_header
            end = take(text, at, final)
            if end < 0:
                self._held = text[at:]
                return
            at = end

    # Each of these takes what it can of the text from a position on and returns where it stopped, or -1 when it must
    # see more of the line first.

    def _take_header(self, text: bytes, at: int, final: bool) -> int:
        end = _piece_end(text, at, final)
        if end < 0:
            return -1
        piece = text[at:end]
        if self._in_line and not self._field:
            self._listener.body(piece, self._entity)  # the rest of an overlong boundary line
        elif self._field and (self._in_line or piece.startswith((b" ", b"\t"))):
            self._add_to_field(piece)
        else:
            self._close_field()
            if (name := _FIELD_NAME.match(piece)) is not None:
                self._add_to_field(name[1] + piece[name.end() :])
            else:
                self._end_header(empty_line=piece == b"\n")
                if piece != b"\n":
                    return at
                self._listener.body(piece, self._entity)
        self._in_line = not piece.endswith(b"\n")
        return end

    def _take_body(self, text: bytes, at: int, final: bool) -> int:
        end = len(text)
        if self._boundaries:
            if not self._in_line:
                if text.startswith(b"--", at) and self._is_candidate(text, at):
                    end = _piece_end(text, at, final)
                    if end >= 0:
                        self._dashes(text[at:end])
                    return end
                if at == len(text) - 1 and text.endswith(b"-") and not final:
                    return -1
            end = self._before_boundary(text, at, final)
        self._listener.body(text[at:end] if at or end < len(text) else text, self._entity)
        self._in_line = text[end - 1 : end] != b"\n"
        return end

    def _before_boundary(self, text: bytes, at: int, final: bool) -> int:
        """Where the next line begins that is a boundary, or may be one when its rest comes; else the end."""
        found = text.find(b"\n--", at)
        while found >= 0:
            if self._is_candidate(text, found + 1):
                return found + 1
            found = text.find(b"\n--", found + 3)
        return len(text) - (text.endswith(b"\n-") and not final)

    def _is_candidate(self, text: bytes, at: int) -> bool:
        """Whether the line that begins here begins with a boundary, or with too little of itself to tell."""
        return text.startswith(self._delimiters, at) or len(text) - at < self._longest_delimiter

    def _dashes(self, piece: bytes) -> None:
        """A line that begins with ``--`` may end a part; then it is the enclosing one's that decides what follows."""
        for level in range(len(self._boundaries) - 1, -1, -1):
            boundary, default = self._boundaries[level]
            if piece.startswith(boundary, 2):
                if piece.startswith(b"--", 2 + len(boundary)):
                    del self._boundaries[level:]
                    self._entity = Entity(mime_field.OTHER)
                else:
                    del self._boundaries[level + 1 :]
                    self._place = Place.PART
                    self._entity = Entity(default)
                self._look_out()
                # The line itself is the enclosing multipart's, which is never encoded.
                self._listener.body(piece, Entity(mime_field.OTHER))
                break
        else:
            self._listener.body(piece, self._entity)
        self._in_line = not piece.endswith(b"\n")

    def _look_out(self) -> None:
        """The boundaries have changed."""
        self._delimiters = tuple(b"--" + boundary for boundary, _ in self._boundaries)
        self._longest_delimiter = max(map(len, self._delimiters), default=0)

    # -- headers --------------------------------------------------------------------------------------------------

    def _add_to_field(self, piece: bytes) -> None:
        if self._field_size < self._header_limit:
            self._field.append(piece)
            self._field_size += len(piece)

    def _close_field(self) -> None:
        """Tell of the field that has been collected, if any."""
        if not self._field:
            return
        assert self._place is not None
        text = b"".join(self._field).removesuffix(b"\n")
        self._field.clear()
        self._field_size = 0
        name = text[: text.index(b":")].lower()
        if self._structured:
            self._learn(name, text[len(name) + 1 :])
        self._listener.field(self._place, name, text, self._entity)

    def _learn(self, name: bytes, value: bytes) -> None:
        if name == b"content-type":
            found = mime_field.content_type(value)
            # Of several fields that contradict each other, a type with structure or text in it is believed.
            if found.kind in _KNOWN_KINDS or found == mime_field.OTHER or not self._entity.has_type:
                self._entity.type, self._entity.has_type = found, True
            default = _RFC822 if found.subtype == b"digest" else PLAIN_TEXT
            for boundary in found.boundaries:
                if len(self._boundaries) <= self._nesting_limit:
                    self._boundaries.append((boundary[: self._boundary_limit], default))
                elif self._encoding:
                    raise NestingTooDeep
            self._look_out()
        elif name == b"content-transfer-encoding":
            found_bits = mime_field.eight_bit(value)
            if found_bits is not None:
                self._entity.eight_bit = found_bits

    def _end_header(self, *, empty_line: bool) -> None:
        place, entity = self._place, self._entity
        assert place is not None
        composite = self._is_composite()
        self._listener.end_of_header(place, entity, composite=composite)
        self._place = None
        if composite and entity.type.kind == b"message":
            self._entity = Entity()
            if empty_line:
                self._place = Place.ATTACHED_MESSAGE
        elif composite and empty_line:
            self._entity = Entity(mime_field.OTHER)
        if place is Place.MESSAGE and not empty_line:
            self._listener.body(b"\n", Entity(mime_field.OTHER))

    def _is_composite(self) -> bool:
        """Whether the body, as its header describes it, has headers in it."""
        entity = self._entity
        if entity.type.kind != b"message":
            return entity.type.kind == b"multipart"
        if entity.type.subtype == b"global":
            return not (self._encoding and entity.eight_bit)
        return entity.type.subtype == b"rfc822"


def _piece_end(text: bytes, at: int, final: bool) -> int:
    """Where the piece ends that begins here: behind its LF, or at the limit; -1: neither has come."""
    end = text.find(b"\n", at, at + PIECE) + 1
    if end:
        return end
    if len(text) - at >= PIECE:
        return at + PIECE - 1
    return len(text) if final else -1
