"""
Messages between the service and its workers as bytes: four bytes of length, then a JSON array.

The first element is the message's number in :data:`KINDS`; the others are its fields in order. Both ends are one
program of one version, so there is no version in it and nothing is optional: what is not exactly as expected is an
error, and the other end is not to be spoken to any more.

Promises: what was encoded decodes to an equal value; whatever bytes come, :meth:`Reader.feed` gives messages or raises
:exc:`MalformedFrame`, and holds no more than :data:`LONGEST` bytes and what it was fed.

Does not: carry content. A message of 200 MB is a few hundred bytes here.
"""

import dataclasses
import enum
import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from operator import attrgetter
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from smtpclient.mail.outcome import Peer, SiteFailure
from smtpclient.workers import message
from smtpclient.workers.message import Message

LONGEST = 64 * 1024 * 1024
"""The longest frame that is sent or believed, bytes; some hundred thousand recipients."""

KINDS: tuple[type[Message], ...] = (
    message.Begin,
    message.Deliver,
    message.Cancel,
    message.Reopen,
    message.Stop,
    message.Ready,
    message.Refused,
    message.Done,
    message.Broken,
    message.Logged,
    message.Queued,
)
_HEAD = 4
_TEXT, _ARRAY = frozenset({str}), frozenset({list})
_MEMBERS = 256  # of one enum that are remembered: more than there are


class MalformedFrame(ValueError):
    """These bytes are not what the other end of our own program would have sent."""


class _Codec:
    """
    One dataclass or named tuple as an array of its fields.

    What a field is on the way is told by its annotation. What looks like one that came before costs one look for the
    whole array; only what is itself a value of ours is looked at on its own.

    :param kind: the class.
    """

    def __init__(self, kind: type[Any]) -> None:
        self._kind = kind
        forms = [_form(annotation) for annotation in get_type_hints(kind).values()]
        self._allowed = [form.types for form in forms]
        self._seen: set[tuple[type, ...]] = set()  # arrays of such types are as they should be
        self._unpacks = [(index, form.unpack) for index, form in enumerate(forms) if form.unpack is not None]
        # A named tuple's own call costs as much as the rest here, and the number of fields is known to be right.
        self._make = partial(tuple.__new__, kind) if issubclass(kind, tuple) else lambda values: kind(*values)

    def unpack(self, values: list[Any]) -> Any:
        """
        The value whose fields these are.

        :raises MalformedFrame: when they are not.
        """
        types = tuple(map(type, values))
        if types not in self._seen:
            self._check(types)
        for index, unpack in self._unpacks:
            if values[index] is not None:
                values[index] = unpack(values[index])
        return self._make(values)

    def _check(self, types: tuple[type, ...]) -> None:
        """
        Look at each field; what fits once always does.

        :raises MalformedFrame: when one is of a type that it must not have, or there are too few or too many.
        """
        if len(types) != len(self._allowed):
            raise MalformedFrame(f"{len(types)} fields of a {self._kind.__name__}")
        for found, allowed in zip(types, self._allowed, strict=True):
            if found not in allowed:
                raise MalformedFrame(f"a {found.__name__} in a {self._kind.__name__}, not {allowed[0].__name__}")
        self._seen.add(types)


@dataclasses.dataclass(frozen=True, slots=True)
class _Form:
    """
    How the values of one annotation look on the way.

    :param types: what JSON may make of them.
    :param unpack: makes one of what JSON gives; None: it is one.
    """

    types: tuple[type, ...]
    unpack: Callable[[Any], Any] | None = None


_PLAIN = {str: _Form((str,)), int: _Form((int,)), bool: _Form((bool,)), float: _Form((float, int))}


def _form(annotation: Any) -> _Form:
    """The form of a field."""
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    if annotation == Mapping[str, str]:
        return _Form((dict,), _texts)
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return _Form((int if issubclass(annotation, int) else str,), _Members(annotation).__getitem__)
    if get_origin(annotation) is tuple:
        return _Form((list,), partial(_list_of, _codec(get_args(annotation)[0])))
    kinds = [kind for kind in get_args(annotation) if kind is not NoneType] or [annotation]
    optional = (NoneType,) if annotation != kinds[0] else ()
    return _Form((list, *optional), _codec(kinds[0]).unpack)


def _texts(value: dict[str, Any]) -> dict[str, str]:
    if not _TEXT.issuperset(map(type, value.values())):
        raise MalformedFrame("something else than text in a mapping of texts")
    return value


def _list_of(codec: _Codec, values: list[Any]) -> tuple[Any, ...]:
    if not _ARRAY.issuperset(map(type, values)):
        raise MalformedFrame("something else than an array in a list of values")
    return tuple([codec.unpack(value) for value in values])


class _Members(dict[Any, Any]):
    """The members of an enum by their values, as they are asked for: the enum's own call is slow."""

    def __init__(self, kind: type[enum.Enum]) -> None:
        super().__init__()
        self._kind = kind

    def __missing__(self, value: Any) -> Any:
        try:
            found = self._kind(value)
        except ValueError as error:
            raise MalformedFrame(str(error)) from None
        if len(self) < _MEMBERS:
            self[value] = found
        return found


@cache
def _codec(kind: type[Any]) -> _Codec:
    return _Codec(kind)


def _fields(kind: type[Any]) -> Callable[[Any], tuple[Any, ...]]:
    """The fields of a dataclass, in order."""
    names = [field.name for field in dataclasses.fields(kind)]
    if len(names) > 1:
        return attrgetter(*names)
    return lambda value: tuple([getattr(value, name) for name in names])


_FIELDS: dict[type[Any], Callable[[Any], tuple[Any, ...]]] = {
    kind: _fields(kind) for kind in (*KINDS, Peer, SiteFailure) if not issubclass(kind, tuple)
}


def _parts(value: Any) -> Any:
    """What JSON has no form for: the fields of a dataclass; else it is a mapping that is no dict."""
    fields = _FIELDS.get(type(value))
    return fields(value) if fields is not None else dict(value)


# Named tuples are arrays to it, and members of our enums are numbers and texts.
_dump = json.JSONEncoder(separators=(",", ":"), check_circular=False, default=_parts).encode
_load = json.JSONDecoder().raw_decode
_CODECS = tuple(_Codec(kind) for kind in KINDS)
_BY_KIND = {kind: (number, _FIELDS.get(kind, tuple)) for number, kind in enumerate(KINDS)}


def encode(what: Message) -> bytes:
    """
    The frame of a message.

    :raises ValueError: when it is longer than :data:`LONGEST`.
    """
    number, fields = _BY_KIND[type(what)]
    data = _dump((number, *fields(what))).encode("ascii")
    if len(data) > LONGEST:
        words = f"{len(data)} bytes for one request"
        raise ValueError(f"{words}; set default_destination_recipient_limit to have smaller ones")
    return len(data).to_bytes(_HEAD, "big") + data


def decode(data: bytes) -> Message:
    """
    The message in a frame, without its length.

    :raises MalformedFrame: when there is none.
    """
    try:
        text = data.decode("ascii")
        values, end = _load(text)
    except (ValueError, RecursionError):
        raise MalformedFrame("not JSON") from None
    if type(values) is not list or end != len(text):
        raise MalformedFrame("not an array, or something behind it")
    number = values.pop(0) if values else None
    if type(number) is not int or not 0 <= number < len(KINDS):
        raise MalformedFrame("not an array that begins with the number of a message")
    made: Message = _CODECS[number].unpack(values)
    return made


class Reader:
    """Turns what comes over a socket, in pieces of any size, into messages."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._length = 0
        self._wanted = _HEAD

    def feed(self, data: bytes) -> Iterator[Message]:
        """
        The messages that are complete with these bytes.

        :raises MalformedFrame: for what is none; nothing is to be fed any more then.
        """
        self._pieces.append(data)
        self._length += len(data)
        if self._length < self._wanted:
            return
        buffer, at = b"".join(self._pieces), 0
        while True:
            end = at + _HEAD
            if len(buffer) < end:
                self._wanted = _HEAD
                break
            length = int.from_bytes(buffer[at:end], "big")
            if length > LONGEST:
                raise MalformedFrame(f"a frame of {length} bytes")
            if len(buffer) < end + length:
                self._wanted = _HEAD + length
                break
            yield decode(buffer[end : end + length])
            at = end + length
        self._pieces = [buffer[at:]]
        self._length = len(buffer) - at
