"""
What is remembered of addresses that did not answer, and of address families that do not work from here.

An address that was called and was not open in time is *silent* for a while: it goes last among those of its preference
(``Reachability.arrange``), so that only the first delivery waits for it. A family (IPv4, IPv6) is silent when several
different addresses of it came to nothing, one after the other, while the other family worked; then so is every
address of it. What is silent is not left out: where nothing else answers it is called as ever.

Promises: one connection that opens clears its address and its family; nothing is remembered for longer than its time,
and after that one failure is enough to remember it again for a family; the table is bounded, and the oldest entry makes
room.

Does not: know preferences beyond their order, survive the process, or remember who refuses: that costs no time.
"""

from collections.abc import Sequence

from smtpclient.dns import order
from smtpclient.dns.name import family
from smtpclient.dns.order import Exchanger

_MOST = 5000  # addresses
_ENOUGH = 3  # different addresses that say something about their family


class _Family:
    """
    How the addresses of one family have fared.

    :ivar failed: different addresses that came to nothing since one was open, up to ``_ENOUGH``.
    :ivar since: when the first of them did.
    :ivar last: when the last did.
    :ivar opened: when one was open.
    """

    __slots__ = ("failed", "last", "opened", "since")

    def __init__(self) -> None:
        self.failed: set[str] = set()
        self.since = self.last = 0.0
        self.opened = float("-inf")


class Reachability:
    """
    The memory of one agent.

    :param lifetime: how long something is remembered, seconds; 0: nothing is.
    """

    def __init__(self, lifetime: float = 600.0, most: int = _MOST) -> None:
        self._lifetime = lifetime
        self._most = most
        self._silent: dict[tuple[str, int], float] = {}
        self._families = {"ipv4": _Family(), "ipv6": _Family()}

    def arrange(self, exchangers: Sequence[Exchanger], now: float) -> tuple[Exchanger, ...]:
        """Put those that are silent last, each among those of its preference."""
        if len(exchangers) < 2 or not (self._silent or any(f.failed for f in self._families.values())):
            return tuple(exchangers)
        return order.last_of_equals(exchangers, lambda exchanger: self.is_silent(exchanger, now))

    def is_silent(self, exchanger: Exchanger, now: float) -> bool:
        """Whether the address, or its family, is remembered as one that does not answer."""
        noted = self._silent.get((exchanger.address, exchanger.port))
        if noted is not None and now < noted + self._lifetime:
            return True
        return self._family_is_silent(family(exchanger.address), now)

    def opened(self, exchanger: Exchanger, now: float) -> None:
        """The address has answered."""
        if self._silent:
            self._silent.pop((exchanger.address, exchanger.port), None)
        ours = self._families[family(exchanger.address)]
        ours.opened = now
        if ours.failed:
            ours.failed.clear()

    def no_answer(self, exchanger: Exchanger, now: float) -> None:
        """The address was called, and was not open in time."""
        if not self._lifetime:
            return
        where = exchanger.address, exchanger.port
        self._silent.pop(where, None)  # so that the oldest is always the first
        self._silent[where] = now
        while len(self._silent) > self._most or self._first() + self._lifetime <= now:
            del self._silent[next(iter(self._silent))]
        self.no_route(exchanger, now)

    def no_route(self, exchanger: Exchanger, now: float) -> None:
        """The network knew no way there, and said so."""
        if not self._lifetime:
            return
        ours = self._families[family(exchanger.address)]
        if not ours.failed:
            ours.since = now
        if len(ours.failed) < _ENOUGH:
            ours.failed.add(exchanger.address)
        ours.last = now

    def _first(self) -> float:
        return next(iter(self._silent.values()))

    def _family_is_silent(self, name: str, now: float) -> bool:
        ours, other = self._families[name], self._families["ipv4" if name == "ipv6" else "ipv6"]
        # Where nothing at all answers, the network is away, and no family is to blame.
        return len(ours.failed) >= _ENOUGH and other.opened >= ours.since and now < ours.last + self._lifetime
