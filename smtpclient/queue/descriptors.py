"""
How many deliveries may be under way, as far as file descriptors go.

A session costs one; while its message is read, two. Lookups, the queue directory and whoever talks to us need some
more. Who runs out all the same loses nothing: a connection that cannot be made for want of a descriptor is a deferral,
and the poller rests (``poller``).
"""

import resource
from contextlib import suppress

PER_DELIVERY = 2
SPARE = 128
"""Descriptors that deliveries do not get."""

MOST = 6400
"""More sessions would be of no use to one process; four fifths of them may be to destinations that are slow."""

LEAST = 10


def raise_limit() -> None:
    """Ask for all the descriptors that this process can have without privileges; for who owns the process."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # then with what there is
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def available() -> int:
    """How many descriptors this process may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft != resource.RLIM_INFINITY else MOST * PER_DELIVERY + SPARE


def delivery_limit(descriptors: int) -> int:
    """How many deliveries so many descriptors are enough for."""
    return min(max((descriptors - SPARE) // PER_DELIVERY, LEAST), MOST)
