"""
Messages between the service and its workers as bytes: four bytes of length, then a JSON array of messages.

Each of them is an array: the message's number in :data:`KINDS`, and its fields in order, those of a value inside in its
place. Both ends are one program of one version, so there is no version in it and nothing is optional: what is not
exactly as expected is an error, and the other end is not to be spoken to any more.

Promises: what was encoded decodes to an equal value; whatever bytes come, :meth:`Reader.feed` gives messages or raises
:exc:`MalformedFrame`, and holds no more than :data:`LONGEST` bytes and what it was fed.

Does not: carry content. A message of 200 MB is a few hundred bytes here.
"""

import dataclasses
import enum
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache, partial
from operator import attrgetter, itemgetter
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
    message.Removed,
    message.Broken,
    message.Logged,
    message.Queued,
)
_HEAD = 4
_TEXT, _ARRAY = frozenset({str}), frozenset({list})
_MEMBERS = 256  # of one enum that are remembered: more than there are
_PEERS = 1000  # that are remembered
_Make = Callable[[list[Any]], Any]


class MalformedFrame(ValueError):
    """These bytes are not what the other end of our own program would have sent."""


class _Codec:
    """
    One dataclass or named tuple as an array of its fields.

    What a field is on the way is told by its annotation. A named tuple that is always there is no array of its own: its
    fields stand in its place. What looks like one that came before costs one look for the whole array; only an array
    inside is looked at on its own.

    :param kind: the class.
    :param single: a field of several values has one, whose fields stand in its place.
    """

    def __init__(self, kind: type[Any], *, single: bool = False) -> None:
        self._kind = kind
        self._forms: list[_Form] = []
        self._groups: list[tuple[int, int, _Make]] = []  # what becomes a value of its own, from the end on
        self._packs: list[tuple[int, Callable[[Any], Sequence[Any]]]] = []  # of the fields, from the last one on
        self.of_several = -1  # the field of several values
        annotations = get_type_hints(kind).values()
        self._size = len(annotations)
        for index, annotation in enumerate(annotations):
            self._add(index, annotation, single=single)
        self._allowed = [form.types for form in self._forms]
        self._seen: set[tuple[type, ...]] = set()  # arrays of such types are as they should be
        self._unpacks = [(index, form.unpack) for index, form in enumerate(self._forms) if form.unpack is not None]
        self._make = _maker(kind)
        self._fields: Callable[[Any], Iterable[Any]] = _FIELDS.get(kind, _itself)

    def _add(self, index: int, annotation: Any, *, single: bool) -> None:
        """One more field."""
        if isinstance(annotation, type) and issubclass(annotation, tuple):
            inner = _codec(annotation)
            self._put(index, inner, inner.pack if inner._packs else _itself, inner._make)
        elif get_origin(annotation) is tuple:
            inner = _codec(get_args(annotation)[0])
            self.of_several = index
            if single:
                pack: Callable[[Any], Any] = (lambda values: inner.pack(values[0])) if inner._packs else itemgetter(0)
                self._put(index, inner, pack, lambda values: (inner._make(values),))
                return
            self._forms.append(_form(annotation))
            if inner._packs:
                self._packs.insert(0, (index, lambda values: ([inner.pack(value) for value in values],)))
        else:
            self._forms.append(_form(annotation))

    def _put(self, index: int, inner: "_Codec", pack: Callable[[Any], Sequence[Any]], make: "_Make") -> None:
        """Have the fields of another one stand in the place of a field."""
        at = len(self._forms)
        self._forms += inner._forms
        groups = [(at + start, at + end, each) for start, end, each in inner._groups]
        self._groups[:0] = [*groups, (at, at + inner._size, make)]
        self._packs.insert(0, (index, pack))

    def pack(self, value: Any) -> list[Any]:
        """The array of a value's fields."""
        values = [*self._fields(value)]
        for index, pack in self._packs:
            values[index : index + 1] = pack(values[index])
        return values

    def unpack(self, values: list[Any]) -> Any:
        """
        The value whose fields these are.

        :raises MalformedFrame: when they are not.
        """
        types = tuple(map(type, values))
        if types not in self._seen:
            self._check(types)
        for index, unpack in self._unpacks:
            values[index] = unpack(values[index])
        for start, end, make in self._groups:
            values[start:end] = [make(values[start:end])]
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
    (kind,) = (kind for kind in get_args(annotation) if kind is not NoneType)
    unpack = _known_peer if kind is Peer else _codec(kind).unpack
    return _Form((list, NoneType), lambda values: None if values is None else unpack(values))


def _texts(value: dict[str, Any]) -> dict[str, str]:
    if not _TEXT.issuperset(map(type, value.values())):
        raise MalformedFrame("something else than text in a mapping of texts")
    return value


def _list_of(codec: _Codec, values: list[Any]) -> tuple[Any, ...]:
    if not _ARRAY.issuperset(map(type, values)):
        raise MalformedFrame("something else than an array in a list of values")
    return tuple([codec.unpack(value) for value in values])


def _itself(value: Any) -> Any:
    return value


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


def _known_peer(values: list[Any]) -> Peer:
    """The same few come in every message."""
    try:
        return _peer(*values)
    except TypeError:  # one that no dictionary takes, or one too few
        raise MalformedFrame(f"no peer in {len(values)} fields") from None


@lru_cache(_PEERS, typed=True)
def _peer(*values: Any) -> Peer:
    peer: Peer = _codec(Peer).unpack([*values])
    return peer


def _maker(kind: type[Any]) -> "_Make":
    """What makes a value of the right fields."""
    if issubclass(kind, tuple):
        # A named tuple's own call costs as much as the rest here, and the number of fields is known to be right.
        return partial(tuple.__new__, kind)
    return lambda values: kind(*values)


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
# Most requests have one recipient: the same kinds once more, with one value where there may be several.
_CODECS = (*(_Codec(kind) for kind in KINDS), *(_Codec(kind, single=True) for kind in KINDS))
_NUMBERS = {kind: (number, _CODECS[number].of_several) for number, kind in enumerate(KINDS)}


def _array(what: Any) -> list[Any]:
    """A message as JSON can have it."""
    number, field = _NUMBERS[type(what)]
    if field >= 0 and len(what[field]) == 1:
        number += len(KINDS)
    values = _CODECS[number].pack(what)
    values.insert(0, number)
    return values


def encode(*messages: Message) -> bytes:
    """
    The frame of some messages.

    :raises ValueError: when it is longer than :data:`LONGEST`.
    """
    data = _dump([_array(each) for each in messages]).encode("ascii")
    if len(data) > LONGEST:
        words = f"{len(data)} bytes for one request"
        raise ValueError(f"{words}; set default_destination_recipient_limit to have smaller ones")
    return len(data).to_bytes(_HEAD, "big") + data


def decode(data: bytes) -> Iterator[Message]:
    """
    The messages in a frame, without its length.

    :raises MalformedFrame: at the first thing in it that is none.
    """
    try:
        text = data.decode("ascii")
        arrays, end = _load(text)
    except (ValueError, RecursionError):
        raise MalformedFrame("not JSON") from None
    if type(arrays) is not list or end != len(text) or not _ARRAY.issuperset(map(type, arrays)):
        raise MalformedFrame("not an array of arrays, or something behind it")
    for values in arrays:
        number = values.pop(0) if values else None
        if type(number) is not int or not 0 <= number < len(_CODECS):
            raise MalformedFrame("not an array that begins with the number of a message")
        yield _CODECS[number].unpack(values)


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
            yield from decode(buffer[end : end + length])
            at = end + length
        self._pieces = [buffer[at:]]
        self._length = len(buffer) - at
