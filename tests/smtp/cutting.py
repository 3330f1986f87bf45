"""Bytes in pieces, as a network may cut them."""

from collections.abc import Sequence
from itertools import pairwise


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    """The data cut at these places, in any order; some of the pieces may be empty."""
    edges = [0, *sorted(min(place, len(data)) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def pieces(data: bytes, size: int) -> list[bytes]:
    """The data in pieces of one size; the last may be shorter."""
    return [data[at : at + size] for at in range(0, len(data), size)]
