"""
The requests that a worker has been given, as the service sees them: those under way, and those that were sent ahead.

Does not: send anything (``member``).
"""

from twisted.internet.defer import Deferred

from smtpclient.mail.request import DeliveryRequest, DeliveryResult


class Line:
    """
    The requests for one destination that a member has.

    :ivar last: those behind which there is none, by their numbers: as many are under way.
    :ivar ahead: those that were sent ahead and have not begun, as far as is known, in their order.
    :ivar depth: how many may be sent ahead for each that is under way: none after a failure of the site.
    """

    __slots__ = ("ahead", "depth", "key", "last")

    def __init__(self, key: tuple[str, str]) -> None:
        self.key = key
        self.last: dict[int, Asked] = {}
        self.ahead: dict[int, None] = {}
        self.depth = 1


class Asked:
    """
    A request.

    :ivar waiting: who waits for what comes of it.
    :ivar front: what the one behind it was told of it, if there is one.
    """

    __slots__ = ("front", "line", "request", "waiting")

    def __init__(
        self, request: DeliveryRequest, waiting: "Deferred[DeliveryResult]", line: Line, front: object
    ) -> None:
        self.request = request
        self.waiting = waiting
        self.line = line
        self.front = front
