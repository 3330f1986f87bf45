"""
Which worker a request goes to: the one that its destination belongs to, unless that has much more to do than others.

Sessions do not move between workers, so mail for one destination is best kept together: it finds the sessions that
earlier mail has left, and the worker knows how much of it waits. Every destination has the workers in an order of its
own, and its mail goes to the first of them that has not too much to do. That needs no memory: where requests end
and others follow, these go where those were.

Promises: a worker whose load is more than :data:`SLACK` requests and a quarter above the least gets nothing; of the
others, it is always the same for one destination.

Does not: know of sessions. Where workers come or go, destinations move, and sessions that were left behind end by
themselves.
"""

from collections.abc import Sequence
from typing import TypeVar
from zlib import crc32

from smtpclient.mail.request import DeliveryInterrupted

SLACK = 4
"""How many requests more than the least a worker may have and still get those of its own destinations."""

W = TypeVar("W")


class NotBegun(DeliveryInterrupted):
    """
    A worker has ended before a request that it had been sent ahead could begin: another one can have it.

    :param front: what the request behind it, sent ahead as well, was told of it; None: there is none.
    """

    def __init__(self, words: str, front: object) -> None:
        super().__init__(words)
        self.front = front


def choose(next_hop: str, loads: Sequence[tuple[int, W]]) -> W:
    """
    The worker for a request.

    :param loads: how many requests each worker has; at least one, always in the same order.
    """
    least = min(loads, key=_load)[0]
    limit = least + least // 4 + SLACK
    first = crc32(next_hop.encode()) % len(loads)
    return next(worker for load, worker in (*loads[first:], *loads[:first]) if load <= limit)


def _load(entry: tuple[int, object]) -> int:
    return entry[0]
