"""
How much of the active queue a destination may have, and what becomes of mail beyond that.

A destination may have :data:`SHARE` times as many messages active as there are places free: one slow destination
gets four fifths of all places, two get four ninths each, and there is always a place for one without mail. The
same holds for recipients. One that has not answered yet gets no more than :data:`UNTRIED` messages, or as many as may
be under way to it at once, and of mail for a suspended one there is as much at hand as is being deferred.

Mail beyond that *stays outside* (``outside``): it is seen in its folder, with a glimpse, that nobody takes it now. What
cannot be seen so, because it has many recipients or some of them can go, is claimed all the same, and *held back*: put
into ``deferred/`` for a short while.

Promises: small messages are always admitted as far as recipients are concerned, and a message that is alone always.

Does not: move files (``completion``), remember who waits outside (``poller``).
"""

from collections.abc import Callable, Sized

from twisted.internet.interfaces import IReactorTime

from smtpclient.delivery.routing import Route
from smtpclient.observe.maillog import MailLog
from smtpclient.queue.active_message import ActiveMessage
from smtpclient.queue.destination_queue import SUSPENDED_WIDTH, Destination
from smtpclient.queue.destinations import Destinations
from smtpclient.queue.glimpse import Glimpse
from smtpclient.queue.scheduler_settings import SchedulerSettings

RouteTo = Callable[[str, str], Route]
"""The route of a recipient's address, for mail from a sender."""

SHARE = 4
"""How many times the free places of the active queue one destination may have taken."""

# What one more message takes of the room: the place that it fills, which counts SHARE times, and itself. See watch().
_ENOUGH = SHARE + 1

UNTRIED = 1000
"""How many messages a destination gets that has not answered yet, unless its window is wider."""

SHORTEST_HOLD = 0.5
"""How long mail for an overfull destination is held back at least, seconds."""


class Admission:
    """
    Says what the scheduler takes.

    :param active: the active messages.
    :ivar recipients: how many recipients are in memory.
    """

    def __init__(
        self,
        active: Sized,
        destinations: Destinations,
        route: RouteTo,
        settings: SchedulerSettings,
        clock: IReactorTime,
        maillog: MailLog,
    ) -> None:
        self.recipients = 0
        self._active = active
        self._destinations = destinations
        self._route = route
        self._settings = settings
        self._clock = clock
        self._maillog = maillog
        self._full: set[Destination] = set()

    # -- what was claimed -----------------------------------------------------------------------------------------

    def room(self, active: ActiveMessage, destination: Destination, count: int) -> int:
        """
        How many more messages a destination may have, when an active one is the first of them.

        :param count: how many recipients this one has there.
        :return: zero or less when there is no room for it.
        """
        settings = self._settings
        free = settings.active_limit - len(self._active) + 1  # this message's own place is one of them
        room: int = SHARE * (free if free > 1 else 1) - len(destination.jobs) - destination.running
        if count <= settings.recipient_minimum:
            return room
        others = self.recipients - active.counted
        free = settings.recipient_limit - others
        return room if not others or (free > 0 and destination.waiting <= SHARE * free) else 0

    def hold_back(self, active: ActiveMessage, destination: Destination, recipients: int) -> None:
        """Leave recipients out of this attempt until half of what waits at their destination is gone."""
        now = self._clock.seconds()
        pause = min(max(destination.time_to_halve(now), SHORTEST_HOLD), self._settings.suspension)
        active.hold_back(recipients, now + pause)
        self.count_off(active, recipients)
        self._warn(destination, now)

    def count_off(self, active: ActiveMessage, recipients: int) -> None:
        """Note that some recipients have left memory."""
        active.counted -= recipients
        self.recipients -= recipients

    # -- what lies in its folder ----------------------------------------------------------------------------------

    @property
    def is_strained(self) -> bool:
        """Whether there may be a destination that takes no more now: only then a glimpse is worth its price."""
        return bool(self._full or self._destinations.dead)

    def watch(self, destination: Destination, room: int) -> None:
        """
        Note whether a destination that was given a message has its share.

        :param room: what :meth:`room` said before.
        """
        # Asked for every message: where there was room for another place's share besides, there still is some.
        if room > _ENOUGH and (destination.has_answered or len(destination.jobs) + destination.running < UNTRIED):
            return
        if destination.suspension is None and self._is_full(destination):
            self._full.add(destination)

    def review(self) -> None:
        """Forget who had its share and has room again."""
        if self._full:
            self._full = {destination for destination in self._full if self._is_full(destination)}

    def refusing(self, seen: Glimpse) -> tuple[str, str] | None:
        """A destination that a message has to wait for, if all it is for take no more now."""
        key = None
        for recipient in seen.recipients:
            try:
                route = self._route(recipient, seen.sender)
            except Exception:
                return None  # which will be said when it is claimed
            destination = self._destinations.get(route.transport, route.next_hop)
            if destination is None or not self._is_full(destination):
                return None
            if destination.suspension is None:
                self._warn(destination, self._clock.seconds())
            key = destination.key
        return key

    def takes(self, key: tuple[str, str]) -> bool:
        """Whether a destination takes more."""
        destination = self._destinations.get(*key)
        return destination is None or not self._is_full(destination)

    def _is_full(self, destination: Destination) -> bool:
        if destination.suspension is not None and destination.suspended_until > self._clock.seconds():
            return destination.messages >= 2 * SUSPENDED_WIDTH
        messages = destination.messages
        if messages >= UNTRIED and not destination.has_answered and messages >= destination.window.size:
            return True
        return messages >= SHARE * max(self._settings.active_limit - len(self._active), 1)

    def _warn(self, destination: Destination, now: float) -> None:
        every = self._settings.clog_warn_time
        if every and now >= destination.warned_at + every:
            destination.warned_at = now
            words = f"mail for {destination.next_hop} is using up {destination.messages} of {len(self._active)}"
            self._maillog.warning("qmgr", words + " active queue entries; more of it has to wait")
