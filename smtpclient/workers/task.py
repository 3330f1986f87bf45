"""
The requests that a worker has: those under way, and those that begin in the place of others.

Does not: deliver (``worker``).
"""

from collections import deque

from twisted.internet.defer import Deferred

from smtpclient.workers.message import Deliver


class Destination:
    """
    What a worker knows of mail for one destination.

    :ivar backlog: how many messages waited there when the service sent the latest request.
    :ivar tasks: how many requests are here.
    :ivar coming: how many of these wait for their turn to begin.
    :ivar ahead: those of these that begin in the place of others.
    """

    __slots__ = ("ahead", "backlog", "coming", "key", "tasks")

    def __init__(self, key: tuple[str, str]) -> None:
        self.key = key
        self.backlog = self.tasks = self.coming = 0
        self.ahead: deque[Task] = deque()

    def wanted(self) -> int:
        """How many messages sessions are worth keeping for."""
        return self.backlog + self.coming + len(self.ahead)


class Task:
    """
    One request.

    :ivar is_given_on: when it is over, one that was sent ahead begins in its place.
    :ivar removed: its message's file is gone: there was nothing else to do.
    :ivar running: the delivery, from its beginning on; it goes on with those that begin in its place.
    """

    __slots__ = ("asked", "destination", "is_given_on", "removed", "running")

    def __init__(self, asked: Deliver, destination: Destination) -> None:
        self.asked = asked
        self.destination = destination
        self.is_given_on = False
        self.removed = False
        self.running: Running | None = None


class Running:
    """
    Deliveries one after the other.

    :ivar end: of them all.
    """

    __slots__ = ("end",)

    def __init__(self) -> None:
        self.end: Deferred[None] | None = None
