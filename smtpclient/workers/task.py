"""
The requests that a worker has: those under way, and those that begin in the place of others.

Does not: deliver (``worker``).
"""

from collections import deque

from twisted.internet.defer import Deferred

from smtpclient.interfaces import IMessageContent
from smtpclient.mail.request import DeliveryRequest, Follow
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
    :ivar cancelled: it is to be broken off as soon as it begins: its envelope has been sent already.
    :ivar running: the delivery, from its beginning on; it goes on with those that begin in its place.
    """

    __slots__ = ("asked", "cancelled", "destination", "is_given_on", "removed", "running")

    def __init__(self, asked: Deliver, destination: Destination) -> None:
        self.asked = asked
        self.destination = destination
        self.is_given_on = False
        self.removed = self.cancelled = False
        self.running: Running | None = None

    def request(self, content: IMessageContent, follow: Follow, behind: object) -> DeliveryRequest:
        """What the service has asked for, as a delivery agent takes it."""
        asked = self.asked
        return DeliveryRequest(
            asked.envelope,
            asked.recipients,
            asked.transport,
            asked.next_hop,
            content,
            asked.activated,
            self.destination.wanted,
            follow,
            behind,
        )


class Running:
    """
    Deliveries one after the other.

    :ivar end: of them all.
    """

    __slots__ = ("end",)

    def __init__(self) -> None:
        self.end: Deferred[None] | None = None
