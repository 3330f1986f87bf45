"""
The poller: finds what is due in the queue directory, claims it, reads it, hands it to the scheduler.

It looks through ``incoming/`` and ``deferred/`` every ``queue_run_delay`` and when the door bell rings
(:mod:`smtpclient.queue.trigger`), as long as the scheduler has room; one file from the one, one from the other, so
that a backlog in either does not hold up the other. A file of ``deferred/`` whose time comes before the next look is
taken on time.

What waits in ``deferred/`` is written down when it is first met, or put there
(:mod:`smtpclient.queue.calendar`), and taken from there when its time comes. The walks that follow the first one only
look for what others have changed; they take a hundredth of the time, and with a million files more than
``queue_run_delay``.

What a glimpse (``glimpse``) shows to be for destinations that take no more now (``admission``) stays where it lies, is
remembered (``outside``), and is taken when they do; so the poller finds what can go out among any number of files that
cannot.

Promises: nothing stops it but :meth:`Poller.stopService`; others have their turn after some milliseconds (``slice``);
what is put back untried takes no more than a fifth of the time; a file that waits costs twelve bytes of memory.

Does not: watch the folders; a file that nobody rings for is found by the next look. Nor take what it has found
(``claiming``).

Known limits: mail for a file that ``postsuper -e`` marks after it was remembered expires one attempt later than asked.
"""

import errno
from collections.abc import Callable, Collection
from dataclasses import dataclass
from math import inf
from typing import Self

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from smtpclient.config.parameters import Parameters
from smtpclient.observe.maillog import MailLog
from smtpclient.queue.calendar import Calendar
from smtpclient.queue.claiming import RETRY, Claiming
from smtpclient.queue.directory_entry import COMPLETE, Entry
from smtpclient.queue.outside import Outside
from smtpclient.queue.queue_pass import QueuePass, Upcoming
from smtpclient.queue.scheduler import Scheduler
from smtpclient.queue.slice import SLICE, Slice
from smtpclient.queue.spool import Spool

_REST = 5.0  # seconds without claiming after the system has said that it has none left of something
_NONE_LEFT = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT, errno.EROFS))
_STROLL = 99.0  # parts of rest to one of work, for a walk that nobody waits for
_LOOKS = 50  # names from the calendar looked at in vain before somebody else has a turn
_REST_PER_WORK = 4.0  # when work is mostly in vain: four parts of rest to one of work
_WARN_EVERY = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class PollerSettings:
    """
    How often.

    :param queue_run_delay: from one look to the next, seconds.
    :param stop_patience: how long deliveries under way may go on when the service stops, seconds.
    """

    queue_run_delay: float = 300.0
    stop_patience: float = 30.0

    @classmethod
    def from_parameters(cls, parameters: Parameters) -> Self:
        """Take them from the configuration."""
        return cls(queue_run_delay=parameters.seconds("queue_run_delay"))


class Poller(Service):
    """
    Feeds a scheduler from a spool, for as long as the service runs.

    :param spool: prepared before the service starts.
    """

    _log = Logger()

    def __init__(
        self, spool: Spool, scheduler: Scheduler, settings: PollerSettings, clock: IReactorTime, maillog: MailLog
    ) -> None:
        self._spool = spool
        self._scheduler = scheduler
        self._settings = settings
        self._clock = clock
        self._maillog = maillog
        self._admission = scheduler.admission
        self._outside = Outside()
        self._incoming = QueuePass(spool.names, "incoming")
        self._calendar = Calendar()
        self._upcoming = Upcoming()
        self._claiming = Claiming(spool, scheduler, self._due_later, clock, maillog)
        # What a failed move has left in active/ is due like anything in deferred/.
        self._deferred = QueuePass(
            spool.names, "active", "deferred", begun=self._calendar.begin_walk, ended=self._walk_ended
        )
        self._in_a_hurry = True  # about the walk through deferred/ that is under way or asked for
        self._walk_on_at = 0.0
        self._next_run = 0.0
        self._some_are_due = False  # of deferred/, as far as this turn goes
        self._deferred_next = False  # whose turn it is
        self._outside_next = False
        self._timer: IDelayedCall | None = None
        self._slice = Slice()
        self._resting_until = 0.0
        self._waiting_for_room = False
        self._put_back = 0
        self._warned: dict[int | None, float] = {}

    def startService(self) -> None:
        """Look at everything that is due, and go on."""
        super().startService()
        self._scheduler.observe(self._room_made, self._postponed, self._calendar.add)
        self._in_a_hurry = True
        self._scheduler.resume()
        self._next_run = self._resting_until = self._clock.seconds()
        self._plan(0)

    def stopService(self) -> "Deferred[None]":
        """
        Claim nothing any more.

        :return: fires when the deliveries under way have ended or were broken off.
        """
        super().stopService()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._incoming.stop()
        self._deferred.stop()
        self._upcoming.clear()
        self._calendar.clear()
        self._outside.clear()
        return Deferred.fromCoroutine(self._scheduler.drain(self._settings.stop_patience))

    @property
    def is_walking(self) -> bool:
        """Whether it has not seen all of ``deferred/`` since it was started or asked to."""
        return self._in_a_hurry

    def trigger(self, letters: Collection[str]) -> None:
        """
        Do what the door bell asks for.

        :param letters: ``W`` or ``I``: look at ``incoming/``; ``D``: at ``deferred/``; ``A``: ignore times at the next
            look at ``deferred/``; ``F``: forget which destinations are dead.
        """
        if not self.running:
            return
        if "F" in letters:
            self._scheduler.forget_dead()
        if "W" in letters or "I" in letters:
            self._incoming.ask()
        if "I" in letters:
            self._take_back_requeued()
        if "D" in letters:
            self._in_a_hurry = True
            self._deferred.ask(ignore_times="A" in letters)
        elif "A" in letters:
            self._in_a_hurry = True
            self._deferred.ignore_times_next()
        self._hurry()

    def _take_back_requeued(self) -> None:
        try:
            self._spool.take_back_requeued()
        except OSError as error:
            self._warn("cannot take back what was requeued", error)

    # -- when -----------------------------------------------------------------------------------------------------

    def _plan(self, delay: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._clock.callLater(delay, self._turn)

    def _hurry(self) -> None:
        """Have a turn soon, but not while the poller rests."""
        self._waiting_for_room = False
        self._plan(self._rest_left(self._clock.seconds()))

    def _rest_left(self, now: float) -> float:
        """How much longer the poller rests, seconds; never longer than it was meant to, whatever the clock does."""
        self._resting_until = min(self._resting_until, now + _REST)
        return max(self._resting_until - now, 0.0)

    def _room_made(self) -> None:
        if self._waiting_for_room and self.running:
            self._hurry()

    def _postponed(self, queue_id: str, due: float) -> None:
        """A message was put back; it is taken again when its time has come, without another look for it."""
        self._put_back += 1
        if self.running:
            self._upcoming.add(Entry(queue_id, due, COMPLETE))

    def _due_later(self, queue_id: str, due: float) -> None:
        if not self._upcoming.add(Entry(queue_id, due, COMPLETE)):
            self._calendar.add(queue_id, due)

    def _turn(self) -> None:
        """Work for a little while, then plan when to go on."""
        self._timer = None
        begun = self._clock.seconds()
        self._admission.review()
        self._outside.ask_again()
        # A clock that was set back by an hour must not make anybody wait for it.
        self._next_run = min(self._next_run, begun + self._settings.queue_run_delay)
        if begun >= self._next_run:
            self._next_run = begun + self._settings.queue_run_delay
            self._take_back_requeued()
            for queue in (self._incoming, self._deferred):
                if not queue.under_way:
                    queue.ask()
        put_back = self._put_back
        self._some_are_due = self._next_due(begun) <= begun  # what comes to be due meanwhile waits for the next turn
        self._slice.begin(begun)
        taken, room = 0, self._scheduler.room  # for at least so many
        while self._resting_until <= begun and (taken < room or self._scheduler.room):
            if not self._step() and not self._pending():
                break
            taken += 1
            if not self._slice.step(self._clock.seconds()):
                break
        self._rest(begun, taken, self._put_back - put_back)
        self._plan_next(self._clock.seconds())

    def _rest(self, begun: float, taken: int, put_back: int) -> None:
        """What is put back costs as much as what is delivered, and is worth nothing: let it not eat up the time."""
        if put_back * 2 > taken:
            now = self._clock.seconds()
            worked = min(max(now - begun, 0.0), 10 * SLICE)
            self._resting_until = max(self._resting_until, now + worked * _REST_PER_WORK)

    def _pending(self) -> bool:
        return self._some_are_due or self._incoming.pending or self._outside.is_open

    def _next_due(self, now: float) -> float:
        """When something of deferred/ wants to be looked at, seconds since the epoch."""
        due = min((due for due in (self._upcoming.due, self._calendar.due) if due is not None), default=inf)
        if self._deferred.pending:
            # No longer than it was meant to, whatever the clock does.
            self._walk_on_at = min(self._walk_on_at, now + _STROLL * SLICE)
            due = min(due, now if self._in_a_hurry else self._walk_on_at)
        return due

    def _walk_ended(self) -> None:
        self._calendar.end_walk()
        self._in_a_hurry = self._deferred.pending  # somebody has asked for another one meanwhile

    def _plan_next(self, now: float) -> None:
        at = min(self._next_run, self._next_due(now))
        if self._scheduler.room:
            if self._incoming.pending or self._outside.is_open:
                at = now
            # What leaves may make room for what waits outside.
            self._waiting_for_room = len(self._outside) > 0
        else:
            self._waiting_for_room = True
            at = self._next_run
        delay = max(at - now, self._rest_left(now))
        self._slice.end(now, delay)
        self._plan(delay)

    # -- what -----------------------------------------------------------------------------------------------------

    def _step(self) -> bool:
        """
        Take one file: one from incoming/, one from deferred/, and those that may come in.

        :return: whether one was found soon.
        """
        everywhere = self._some_are_due or self._outside.is_open
        found = self._from_next_in_turn() if everywhere else self._look(self._incoming, self._wanted_new)
        if found is None:
            return False
        folder, queue_id = found
        self._upcoming.discard(queue_id)
        try:
            self._claiming.take(folder, queue_id)
        except OSError as error:
            self._put_back += 1
            if error.errno in _NONE_LEFT:
                self._resting_until = self._clock.seconds() + _REST
            self._warn("cannot take a message from the queue", error)
        except Exception:
            # Whatever it is: the next message must not wait for it to be repaired.
            self._log.failure("{queue_id}: cannot be taken", queue_id=queue_id)
        return True

    def _from_next_in_turn(self) -> tuple[str, str] | None:
        """A file of whichever folder's turn it is, or of another one."""
        self._outside_next = self._outside.is_open and not self._outside_next
        found = self._outside.next(self._admission.takes) if self._outside_next else None
        if found is not None:
            return found
        self._deferred_next = not self._deferred_next
        if self._deferred_next:
            return self._look(self._incoming, self._wanted_new) or self._from_deferred()
        return self._from_deferred() or self._look(self._incoming, self._wanted_new)

    def _from_deferred(self) -> tuple[str, str] | None:
        if not self._some_are_due:
            return None
        now = self._clock.seconds()
        found = self._next_deferred(now)
        self._some_are_due = found is not None or self._next_due(now) <= now
        return found

    def _next_deferred(self, begun: float) -> tuple[str, str] | None:
        entry = self._upcoming.pop(begun) or self._from_calendar(begun)
        if entry is not None:
            return None if self._waits_outside(entry) else ("deferred", entry.queue_id)
        if self._in_a_hurry:
            return self._look(self._deferred, self._wanted_again)
        if begun < self._walk_on_at:
            return None
        # What is due is in the calendar. This walk only looks for what others have put there: one part of work to many
        # of rest, so that a million files that wait cost next to nothing.
        found = self._look(self._deferred, self._wanted_again)
        now = self._clock.seconds()
        self._walk_on_at = now + min(max(now - begun, 0.0), SLICE) * _STROLL
        return found

    def _from_calendar(self, now: float) -> Entry | None:
        """The next file that was seen to be due by now, and still is."""
        for _ in range(_LOOKS):
            queue_id = self._calendar.pop(now)
            if queue_id is None:
                return None
            if queue_id in self._scheduler or queue_id in self._outside.folders:
                continue
            entry = self._entry("deferred", queue_id)
            if entry is not None and entry.due <= now:
                return entry
            if entry is not None:
                self._calendar.add(queue_id, entry.due)
        return None

    def _entry(self, folder: str, queue_id: str) -> Entry | None:
        try:
            return self._spool.entry(queue_id, folder)
        except OSError as error:
            self._warn("cannot look at a message in the queue", error)
            return None

    def _stays_outside(self, folder: str, queue_id: str) -> bool:
        """Whether a file stays where it lies, because its destination takes no more now."""
        seen = self._spool.glimpse(queue_id, folder)
        key = self._admission.refusing(seen) if seen is not None else None
        if key is None:
            return False
        if not self._outside.add(key, folder, queue_id) and folder == "deferred":
            self._calendar.add(queue_id, self._clock.seconds() + RETRY)
        return True

    def _waits_outside(self, entry: Entry) -> bool:
        strained = self._admission.is_strained and not entry.expire_now
        return strained and self._stays_outside("deferred", entry.queue_id)

    def _look(self, queue: QueuePass, wanted: Callable[[str, str], str | None]) -> tuple[str, str] | None:
        try:
            return queue.next(wanted)
        except OSError as error:
            self._next_run = min(self._next_run, self._clock.seconds() + _REST)
            self._warn("cannot look through the queue", error)
            return None

    def _wanted_new(self, folder: str, queue_id: str) -> str | None:
        """A file of incoming/, unless it stays there."""
        # Its time and mode are looked at when it is claimed, and one that expires has been tried before.
        if queue_id in self._outside.folders or (self._admission.is_strained and self._stays_outside(folder, queue_id)):
            return None
        return queue_id

    def _wanted_again(self, folder: str, queue_id: str) -> str | None:
        """A file of deferred/, or one that is stranded in active/, if it is to be taken now."""
        if queue_id in self._outside.folders or queue_id in self._scheduler:
            return None
        entry = self._spool.entry(queue_id, folder)
        if entry is None:
            return None
        if self._deferred.ignore_times or entry.due <= self._clock.seconds():
            return None if folder == "deferred" and self._waits_outside(entry) else queue_id
        if folder == "deferred" and (entry.due >= self._next_run or not self._upcoming.add(entry)):
            self._calendar.see(queue_id, entry.due)
        return None

    def _warn(self, words: str, error: OSError) -> None:
        """Say so, but not for every file of a disk that is full."""
        now = self._clock.seconds()
        if now >= self._warned.get(error.errno, 0.0) + _WARN_EVERY:
            self._warned[error.errno] = now
            name = errno.errorcode.get(error.errno or 0, "error")
            self._maillog.warning("qmgr", f"{words}: {error} ({name}); it is tried again")
