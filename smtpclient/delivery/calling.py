"""
Calls the addresses of one site, until one is open: one after the other, or beside each other where one does not answer.

Addresses are called in their order. One that refuses is followed by the next at once. One that is neither open nor
refused after ``smtp_connect_stagger_time`` is not waited for alone: another address *of the same preference* is called
beside it, one of the other family if there is one, and the first to be open is taken (RFC 8305, "happy eyeballs").
Never is an address of a worse preference called while a better one is undecided.

:meth:`Calling.next` gives the addresses with what became of each, in the order of the list: a failure is told only when
all before it in the list have been told, so the last failure of a site, which is the reason of a deferral, is that of
its last address however they were called. Addresses that were given up because another was open have not failed: they
come last of their preference, should the one that was open come to nothing behind the connection.

What did not answer is remembered (``reachability``), and goes last the next time.

Each connection needs a place at its address first (``places``), and may wait for it, or get a session that stands
already. An equal address is called beside one where there is no place, as beside one that does not answer, but no
address is blamed for that; and no worse preference is called.

Promises: each address has the connector's whole time limit; at most ``_AT_ONCE`` are called beside each other; a
connection that nobody gets is dropped; after :meth:`Calling.close` nothing is under way.

Does not: begin a dialogue. A server that is slow to greet has answered.

Known limits: a server whose round trip takes longer than the stagger, and has equals, is called together with one of
these each time.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime

from smtpclient.delivery.connector import Connector, NoAnswer, NoRoute, Shortage, Unreachable
from smtpclient.delivery.places import Place, Places, Terms
from smtpclient.delivery.reachability import Reachability
from smtpclient.delivery.security import Barred
from smtpclient.delivery.session import Session
from smtpclient.dns import order
from smtpclient.dns.order import Exchanger
from smtpclient.mail.outcome import Peer
from smtpclient.observe.maillog import MailLog
from smtpclient.smtp.channel import Channel
from smtpclient.tls.policy import CLEAR

_AT_ONCE = 4  # each costs a descriptor; a site may have two hundred addresses

_NOTHING = Terms("", CLEAR)

#: A connection, or a session that stands already; or why there is none.
Line = Channel | Session | Unreachable | Shortage


class Called(NamedTuple):
    """
    One address, and what became of calling it.

    :param line: the connection, or why there is none; with :exc:`Barred` it was not called.
    :param last: there is none after it.
    """

    exchanger: Exchanger
    terms: Terms
    line: Line | Barred
    last: bool


class Caller(NamedTuple):
    """
    What calls are made with; what is remembered and counted in it is the same for all calls of an agent.

    :param stagger: how long to wait for an address before another is called beside it, seconds; 0: no other is.
    :param reachability: what is remembered of addresses.
    :param places: how many connections each may have.
    """

    connector: Connector
    reachability: Reachability
    places: Places
    clock: IReactorTime
    maillog: MailLog
    stagger: float = 0.25

    async def call(self, exchanger: Exchanger, place: Place) -> Channel:
        """
        Connect to one address, and remember how that went.

        :param place: is given back when there is no connection, or no more.
        :raises Unreachable: when it does not come about in time.
        :raises Shortage: when it is this machine that cannot.
        """
        try:
            channel = await self.connector.connect(exchanger.address, exchanger.port, place.give_back)
        except Exception as why:
            place.give_back()
            if isinstance(why, NoAnswer):
                self._remember(self.reachability.no_answer, exchanger)
            elif isinstance(why, NoRoute):
                self._remember(self.reachability.no_route, exchanger)
            raise
        self.places.hold(place, channel)
        self._remember(self.reachability.opened, exchanger)
        return channel

    def _remember(self, what: Callable[[Exchanger, float], None], exchanger: Exchanger) -> None:
        if exchanger.port:  # a UNIX socket has no equals
            what(exchanger, self.clock.seconds())


class _Call:
    """One address: waiting, under way, failed or open."""

    __slots__ = ("began", "exchanger", "failure", "line", "terms", "under_way")

    def __init__(self, exchanger: Exchanger) -> None:
        self.exchanger = exchanger
        self.terms = _NOTHING
        self.began: float | None = None
        self.under_way: Deferred[None] | None = None
        self.failure: BaseException | None = None
        self.line: Channel | Session | None = None

    @property
    def waits(self) -> bool:
        """Whether it can be begun."""
        return self.under_way is None and self.failure is None and self.line is None


class Calling:
    """
    The addresses of one site, on the way to a connection.

    :param addresses: by preference.
    :param terms: what is asked of a session with an address; raises :exc:`Barred` where it must not be called.
    """

    def __init__(
        self, caller: Caller, addresses: Sequence[Exchanger], terms: Callable[[Exchanger], Awaitable[Terms]]
    ) -> None:
        self._caller = caller
        self._terms = terms
        self._calls = [_Call(exchanger) for exchanger in addresses]
        self._event: Deferred[None] | None = None
        self._latest: _Call | None = None
        self._told_open: Channel | Session | None = None
        self._next_due = 0.0
        self._is_due = False
        self._may_stagger = caller.stagger > 0
        self._active = self._waiting = 0  # calls and their connections; calls that wait for a place
        self._stands_by = False

    async def next(self) -> Called | None:
        """The next address and what became of it; None: there is none left."""
        self._forget_told()
        while self._calls:
            equals = self._equals()
            if len(equals) == 1 and equals[0].waits:  # there is nobody to call beside it, or to choose from
                await self._call(equals[0])
                return self._told(equals[0])
            called = self._decided(equals)
            if called is not None:
                return self._told(called)
            if not self._may_stagger and all(call.under_way is None for call in equals):
                await self._call(equals[0])
            else:
                await self._go_on(equals)
        return None

    async def again(self, called: Called) -> Line:
        """Call an address once more, alone, for a new connection."""
        self._forget_told()
        call = _Call(called.exchanger)
        await self._call(call, new=True)
        self._told_open = call.line
        result = call.line or call.failure
        assert isinstance(result, (Channel, Session, Unreachable, Shortage))
        return result

    def drop(self) -> None:
        """Close, and drop the connection that was told last: who got it cannot say what became of it."""
        if self._told_open is not None:
            _abort(self._told_open)
        self.close()

    def close(self) -> None:
        """Give up everything that is under way, and a connection that nobody has got."""
        for call in self._calls:
            self._give_up(call)

    def _equals(self) -> list[_Call]:
        """All that is left of the best preference."""
        best = self._calls[0].exchanger.preference
        return [call for call in self._calls if call.exchanger.preference == best]

    def _decided(self, equals: list[_Call]) -> _Call | None:
        """What can be told now: a failure before which nothing is undecided; or an open one, behind all failures."""
        if equals[0].failure is not None:
            return equals[0]
        is_open = next((call for call in equals if call.line is not None), None)
        if is_open is None:
            return None
        self._let_go_of_others(equals, is_open)
        return next((call for call in equals if call.failure is not None), is_open)

    def _told(self, call: _Call) -> Called:
        self._calls.remove(call)
        self._told_open = call.line
        result = call.line or call.failure
        if not isinstance(result, (Channel, Session, Unreachable, Shortage, Barred)):
            assert result is not None
            raise result
        return Called(call.exchanger, call.terms, result, not self._calls)

    async def _call(self, call: _Call, *, new: bool = False) -> None:
        """
        Make a call, to its end.

        :param new: it must be a new connection; what is asked of it is known.
        """
        self._count(1, 0)
        try:
            if not new:
                call.terms = await self._terms(call.exchanger)
            where = call.exchanger.address, call.exchanger.port
            found = await self._caller.places.enter(where, None if new else call.terms, partial(self._count, 0))
            call.began = self._caller.clock.seconds()
            call.line = await self._caller.call(call.exchanger, found) if isinstance(found, Place) else found
        except Exception as why:
            self._count(-1, 0)
            if not isinstance(why, (Barred, Unreachable, Shortage)):
                raise
            call.failure = why

    def _forget_told(self) -> None:
        """The connection that was told last has been dealt with: it is closed, or someone else's."""
        if self._told_open is not None:
            self._told_open = None
            self._count(-1, 0)

    def _count(self, active: int, waiting: int) -> None:
        """A call begins, fails, or its connection is let go; or it begins or ceases to wait for a place."""
        self._active += active
        self._waiting += waiting
        stands_by = 0 < self._waiting == self._active
        if stands_by != self._stands_by:
            self._stands_by = stands_by
            self._caller.places.stands_by(1 if stands_by else -1)

    # -- beside each other ----------------------------------------------------------------------------------------

    async def _go_on(self, equals: list[_Call]) -> None:
        """Begin what is to be begun now, and wait until something has changed."""
        under_way = [call for call in equals if call.under_way is not None]
        waiting = [call for call in equals if call.waits]
        if not under_way:
            return self._begin(waiting[0])
        may_begin = self._may_stagger and bool(waiting) and len(under_way) < _AT_ONCE
        if may_begin and self._is_due:
            chosen = order.beside([call.exchanger for call in waiting], [call.exchanger for call in under_way])
            return self._begin(next(call for call in waiting if call.exchanger is chosen))
        clock = self._caller.clock
        pause = max(self._next_due - clock.seconds(), 0.0)
        timer = clock.callLater(pause, self._ring) if may_begin else None
        self._event = Deferred()
        try:
            await self._event
        finally:
            self._event = None
            if timer is not None and timer.active():
                timer.cancel()
        return None

    def _begin(self, call: _Call) -> None:
        self._latest = call
        self._is_due = False
        self._next_due = self._caller.clock.seconds() + self._caller.stagger
        under_way = Deferred.fromCoroutine(self._call(call))
        call.under_way = under_way
        under_way.addBoth(partial(self._ended, call))

    def _ring(self) -> None:
        self._is_due = True
        self._wake()

    def _wake(self) -> None:
        if self._event is not None and not self._event.called:
            self._event.callback(None)

    def _ended(self, call: _Call, result: object) -> None:
        call.under_way = None
        why = getattr(result, "value", None)
        if isinstance(why, BaseException) and not isinstance(why, CancelledError):
            call.failure = why
        if isinstance(call.failure, Shortage) and any(other.under_way or other.line for other in self._calls):
            # Not enough for two at a time. What is under way may be open yet.
            call.failure = None
            self._may_stagger = False
        if call is self._latest:
            self._is_due = True
        self._wake()

    def _let_go_of_others(self, equals: list[_Call], is_open: _Call) -> None:
        """One is open: the others that are under way go behind those that were not called yet."""
        given_up = [call for call in equals if call is not is_open and (call.under_way or call.line)]
        for call in given_up:
            self._note_silence(call, is_open.exchanger)
            self._give_up(call)
        rest = [call for call in self._calls if call not in given_up]
        behind = sum(call in equals for call in rest)
        self._calls = rest[:behind] + given_up + rest[behind:]

    def _note_silence(self, call: _Call, is_open: Exchanger) -> None:
        """One that is given up did not answer in time, if its time is over."""
        caller, now = self._caller, self._caller.clock.seconds()
        if call.line is None and call.began is not None and now - call.began >= caller.stagger:
            caller.reachability.no_answer(call.exchanger, now)
            caller.maillog.info(
                "smtp", f"connect to {_peer(call.exchanger)}: no answer before {_peer(is_open)} was open"
            )

    def _give_up(self, call: _Call) -> None:
        """Put back to what it was before it was called."""
        if call.under_way is not None:
            call.under_way.cancel()
        if call.line is not None:
            _abort(call.line)
            self._count(-1, 0)
        call.line, call.failure, call.began = None, None, None  # whatever it made of being cancelled


def _abort(line: Channel | Session) -> None:
    (line.channel if isinstance(line, Session) else line).abort()


def _peer(exchanger: Exchanger) -> Peer:
    return Peer(exchanger.host, exchanger.address, exchanger.port)
