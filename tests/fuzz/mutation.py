"""
Changing bytes at random, and keeping what reaches new code.

A :class:`Corpus` begins with good inputs. Each new input is an old one with a few bytes changed, cut out, repeated, or
mixed with another; when a target runs lines that no input before it ran, the input is kept and changed further.
"""

import sys
from collections.abc import Callable, Sequence
from random import Random
from types import FrameType
from typing import Any

_INTERESTING = (b"\x00", b"\xff", b"\x7f", b"\x80", b"\n", b"\r\n", b" ", b"-", b".", b"$", b"{", b"}", b"=", b"9" * 20)


class Corpus:
    """Inputs worth changing."""

    def __init__(self, seeds: Sequence[bytes], random: Random) -> None:
        self.inputs = list(seeds)
        self._random = random

    def draw(self) -> bytes:
        """A new input."""
        data = bytearray(self._random.choice(self.inputs))
        for _ in range(self._random.choice((1, 1, 2, 4, 16))):
            self._change(data)
        return bytes(data[:200_000])

    def _change(self, data: bytearray) -> None:
        random = self._random
        at = random.randint(0, len(data))
        end = min(len(data), at + random.choice((1, 1, 2, 8, 64)))
        match random.randint(0, 5):
            case 0 if data:
                data[at % len(data)] = random.getrandbits(8)
            case 1:
                del data[at:end]
            case 2:
                data[at:at] = random.choice(_INTERESTING)
            case 3:
                data[at:at] = data[at:end] * random.choice((1, 2, 50))
            case 4:
                other = random.choice(self.inputs)
                data[at:] = other[random.randint(0, len(other)) :]
            case _:
                data[at:at] = random.randbytes(end - at)


class Lines:
    """
    Which lines of some modules have been run.

    :param names: modules, or packages with all that is in them.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        self._seen: set[tuple[str, int]] = set()
        self._fresh = False

    def __len__(self) -> int:
        return len(self._seen)

    def reached_new(self, call: Callable[[], object]) -> bool:
        """Run something; whether it ran a line that nothing before it ran."""
        self._fresh = False
        before = sys.gettrace()  # coverage's, where the tests are measured
        sys.settrace(self._enter)
        try:
            call()
        finally:
            sys.settrace(before)
        return self._fresh

    def _enter(self, frame: FrameType, event: str, argument: Any) -> Any:
        return self._line if str(frame.f_globals.get("__name__", "")).startswith(self._names) else None

    def _line(self, frame: FrameType, event: str, argument: Any) -> Any:
        place = (frame.f_code.co_filename, frame.f_lineno)
        if place not in self._seen:
            self._seen.add(place)
            self._fresh = True
        return self._line
