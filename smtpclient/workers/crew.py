"""
The workers of one service: so many processes, and every request to one of them.

:class:`Crew` is a service of its own. It starts the processes, gives them requests, starts them again when they end,
and ends them when it is stopped. ``doc/workers.rst`` tells the operator what to expect.

Promises:

* a worker that ends, however it does, costs its requests one more attempt, after the usual pause and only for those
  recipients that are not done, and says nothing about their destinations;
* a worker that keeps ending is started again after 0, 1, 2, 4 and so on up to 60 seconds; meanwhile its share goes to
  the others, and where there are none, requests wait;
* :meth:`Crew.stopService` is over when no worker is left.

Does not: deliver, schedule, know SMTP.

Known limits: the workers are started with exec, so interpreter and modules must be there in the jail and readable
under the identity that the service runs with; so must the files that parameters name, for each worker reads them for
itself. The reactor must handle SIGCHLD, as it does by default.
"""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall

from smtpclient.config.parameters import ROWS, Parameters
from smtpclient.mail.envelope import Envelope
from smtpclient.mail.outcome import Outcome
from smtpclient.mail.request import DeliveryRequest, DeliveryResult
from smtpclient.observe.maillog import MailLog
from smtpclient.workers.placement import NotBegun, choose

if TYPE_CHECKING:
    from smtpclient.workers.member import Front, Member
    from smtpclient.workers.message import Begin

HEALTHY = 60.0
"""A worker that has lived for so long has not ended for how it was started, seconds."""

LONGEST_PAUSE = 60.0
PATIENCE = 15.0
"""How long a worker may take to say goodbye to servers once it is to end, seconds."""

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class WorkersError(OSError):
    """Workers cannot be started; the text tells the operator why and what to do."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """
    What a crew says to the service.

    :param published: told of every outcome, after it was settled.
    :param is_heard_of: whether somebody wants to be told of the outcomes of a message.
    :param needs_only: whether a message has nothing more to say once so many more recipients are delivered.
    :param removed: told of a message whose file a worker has removed for that reason.
    :param queued: told that a report was put into ``incoming/``.
    """

    published: Callable[[Envelope, Outcome], object]
    is_heard_of: Callable[[str], bool]
    needs_only: Callable[[str, int], bool]
    removed: Callable[[str], object]
    queued: Callable[[], object]


def begin(parameters: Parameters, bounce: str, defer: str, trace: str, *, writes_log: bool) -> "Begin":
    """What workers are told at their beginning: what the service's own parameters have come to."""
    # What is said to workers, and how, only where there are any.
    from smtpclient.workers.message import Begin  # noqa: PLC0415

    given = [name for name in ROWS if parameters.source(name) != "built-in"]
    # Names that the machine gave are the service's, too.
    names = dict.fromkeys([*given, "myhostname", "mydomain"])
    settings = {name: parameters.expanded(name).replace("$", "$$") for name in names}
    return Begin(settings, {name: parameters.source(name) for name in given}, bounce, defer, trace, writes_log)


class Crew(Service):
    """
    So many workers.

    :param size: how many.
    :param begin: what they are to be.
    :param reactor: processes and time.
    :param executable: the interpreter.
    """

    def __init__(
        self,
        size: int,
        begin: "Begin",
        surroundings: Surroundings,
        reactor: Any,
        maillog: MailLog,
        *,
        executable: str = sys.executable,
    ) -> None:
        self._size = size
        self._begin = begin
        self._surroundings = surroundings
        self._reactor = reactor
        self._maillog = maillog
        self._executable = executable
        self._members: dict[Member, float] = {}  # since when
        self._pauses: list[IDelayedCall] = []
        self._deadlines: dict[Member, IDelayedCall] = {}
        self._deaths = 0  # in a row, of workers that had not lived for long
        self._waiting: list[Deferred[None]] = []  # for a worker that is ready
        self._gone: list[Deferred[None]] = []  # who waits for the last one to end

    @property
    def members(self) -> "tuple[Member, ...]":
        """The processes that live."""
        return tuple(self._members)

    # -- the way of a request -------------------------------------------------------------------------------------

    async def deliver(self, request: DeliveryRequest) -> DeliveryResult:
        """
        Have a request delivered by one of the workers.

        One that had been sent ahead to a worker that ended before it could begin goes to another one, but only once:
        should it be what workers die of, it must not bring down all of them.

        :raises DeliveryInterrupted: when the worker has ended before it was done.
        :raises Exception: what delivering it has raised there.
        """
        try:
            return await self._give(request, self._choose(request) or await self._somebody(request))
        except NotBegun as why:
            member = self._choose(request) or await self._somebody(request)
            return await self._give(request, member, cast("Front | None", why.front))

    def _choose(self, request: DeliveryRequest) -> "Member | None":
        """Which worker a request goes to, if there is one that is ready."""
        front = cast("Front | None", request.behind)  # nobody but members tells a request anything
        if front is not None and front.member.ready:
            return front.member
        loads = [(member.load, member) for member in self._members if member.ready]
        return choose(request.next_hop, loads) if loads else None

    def _give(
        self, request: DeliveryRequest, member: "Member", front: "Front | None" = None
    ) -> "Deferred[DeliveryResult]":
        surroundings, queue_id = self._surroundings, request.envelope.queue_id
        sole = surroundings.needs_only(queue_id, len(request.recipients))
        told = not sole or surroundings.is_heard_of(queue_id)
        return member.deliver(request, sole=sole, told=told, front=front)

    async def _somebody(self, request: DeliveryRequest) -> "Member":
        """Wait until some worker is ready."""
        while (found := self._choose(request)) is None:
            if not self.running:
                raise CancelledError()
            waiter: Deferred[None] = Deferred()
            self._waiting.append(waiter)
            try:
                await waiter
            finally:
                if waiter in self._waiting:
                    self._waiting.remove(waiter)
        return found

    # -- processes come and go ------------------------------------------------------------------------------------

    def startService(self) -> None:
        """
        Start the workers; requests wait until the first of them is ready.

        :raises WorkersError: when the interpreter or our modules are out of reach.
        """
        self._check()
        super().startService()
        for _ in range(self._size):
            self._start()

    def stopService(self) -> "Deferred[None]":
        """End the workers, once what they have under way has ended; who decides about that is the scheduler."""
        super().stopService()
        while self._pauses:
            self._pauses.pop().cancel()
        for waiter in list(self._waiting):
            waiter.cancel()
        gone: Deferred[None] = Deferred()
        for member in list(self._members):
            self._stop_when_idle(member)
        if self._members:
            self._gone.append(gone)
        else:
            gone.callback(None)
        return gone

    def reopen_log(self) -> None:
        """Go on in a new log file after the old one was moved away."""
        for member in self._members:
            member.reopen_log()

    def _check(self) -> None:
        jail = "; where twistd changes root (--chroot), they must be inside, or do without --workers"
        if not self._executable or not os.access(self._executable, os.X_OK):
            raise WorkersError(f"workers need the Python interpreter {self._executable or '(unknown)'}{jail}")
        if not os.access(os.path.join(_ROOT, "smtpclient", "workers", "worker.py"), os.R_OK):
            raise WorkersError(f"workers need the modules in {_ROOT}{jail}")

    def _start(self) -> None:
        from smtpclient.workers.member import FROM, TO, WORDS, Member  # noqa: PLC0415 -- see begin()

        surroundings = self._surroundings
        member = Member(
            self._begin,
            self._reactor,
            self._maillog,
            published=surroundings.published,
            removed=surroundings.removed,
            queued=surroundings.queued,
            changed=self._changed,
        )
        self._members[member] = self._reactor.seconds()
        try:
            self._reactor.spawnProcess(
                member,
                self._executable,
                # -P: what lies in the folder that we happen to be in is not imported.
                [self._executable, "-P", "-m", "smtpclient.workers.worker"],
                env=_environment(os.environ),
                childFDs={0: 0, 1: 1, WORDS: "r", TO: "w", FROM: "r"},
            )
        except OSError as why:  # no more processes, or files
            del self._members[member]
            self._maillog.error("master", f"cannot start a worker: {why}")
            self._start_later()

    def _changed(self, member: "Member") -> None:
        """A worker is ready, or has ended."""
        if not member.ended:
            self._wake()
            if not self.running:
                self._stop_when_idle(member)
            return
        lived = self._reactor.seconds() - self._members.pop(member)
        if member in self._deadlines:
            self._deadlines.pop(member).cancel()
        if self.running:
            if lived >= HEALTHY:
                self._deaths = 0
            why = member.refused or f"{member.ended}{member.last_words and ': '}{member.last_words}"
            if member.refused:
                self._maillog.error("master", f"a worker cannot work: {why}")
            else:
                self._maillog.warning("master", f"a worker has ended: {why}")
            self._start_later()
        if not self._members:
            while self._gone:
                self._gone.pop().callback(None)

    def _start_later(self) -> None:
        """Start one more, the later the more have ended in a row."""
        pause = min(2.0 ** (self._deaths - 1), LONGEST_PAUSE) if self._deaths else 0.0
        self._deaths = min(self._deaths + 1, 32)
        self._pauses.append(self._reactor.callLater(pause, self._start_again))

    def _start_again(self) -> None:
        self._pauses = [call for call in self._pauses if call.active()]
        self._start()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(None)

    def _stop_when_idle(self, member: "Member") -> None:
        """Tell a worker to end; it lets what it has under way end first. One that does not is killed."""
        member.stop()
        if member in self._deadlines:
            return
        self._end_by(member, self._reactor.seconds() + PATIENCE)

    def _end_by(self, member: "Member", deadline: float) -> None:
        self._deadlines.pop(member, None)
        now = self._reactor.seconds()
        if member.load:
            deadline = now + PATIENCE  # how long deliveries may take, the scheduler says
        if now >= deadline:
            self._maillog.warning("master", f"worker {member.pid} does not end and is killed")
            member.kill()
        else:
            pause = min(1.0, max(deadline - now, 0.01))
            self._deadlines[member] = self._reactor.callLater(pause, self._end_by, member, deadline)


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    """This process's, with the modules that it has found where it has found them."""
    paths = [path for path in sys.path if path and path != _ROOT]
    return {**own, "PYTHONPATH": os.pathsep.join([_ROOT, *paths])}
