"""
A poller on a real queue directory, for its tests.
"""

import os
from collections.abc import Callable, Iterator
from math import inf
from typing import Any

from twisted.internet.defer import Deferred

from smtpclient.mail.envelope import QueuedMessage, Recipient
from smtpclient.queue.completion import Completion
from smtpclient.queue.poller import Poller, PollerSettings
from smtpclient.queue.schedule import ScheduleSettings
from smtpclient.queue.scheduler import Scheduler
from smtpclient.queue.scheduler_settings import SchedulerSettings
from smtpclient.queue.spool import Spool
from tests.queue import disk
from tests.queue.disk import NOW
from tests.queue.scheduling import DEFAULTS, Agent, Log, by_domain
from tests.queue.test_completion import Service


class WatchedSpool(Spool):
    """
    A real queue directory that fails on request.

    :ivar fails: method names that raise, and what; a list of errors is one for each call.
    :ivar claimed: what was claimed so far, and from where.
    :ivar tried: the same, with what could not be claimed.
    :ivar takes_long: called for each claim.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fails: dict[str, Exception] = {}
        self.tried: list[tuple[str, str]] = []
        self.claimed: list[tuple[str, str]] = []
        self.takes_long: Callable[[], object] = lambda: None

    def _may_fail(self, verb: str) -> None:
        if verb in self.fails:
            raise self.fails[verb]

    def names(self, queue: str) -> Iterator[str]:
        """Fails as ``scan QUEUE``."""
        self._may_fail(f"scan {queue}")
        return super().names(queue)

    def read(self, queue_id: str, queue: str = "active") -> QueuedMessage:
        """Fails as ``read``."""
        self._may_fail("read")
        return super().read(queue_id, queue)

    def take(self, queue_id: str, queue: str, latest: float = inf) -> tuple[QueuedMessage, os.stat_result] | None:
        """Fails as ``take``."""
        self.tried.append((queue, queue_id))
        self._may_fail("take")
        self.takes_long()
        taken = super().take(queue_id, queue, latest)
        if taken is not None:
            self.claimed.append((queue, queue_id))
        return taken

    def defer(self, queue_id: str, due: float, queue: str = "active") -> bool:
        """Fails as ``defer``."""
        self._may_fail("defer")
        return super().defer(queue_id, due, queue)


class Scene:
    """A poller on a real queue directory, with the real scheduler; only the agent is a stand-in."""

    def __init__(self, directory: str, settings: SchedulerSettings = DEFAULTS) -> None:
        os.makedirs(directory)
        first, self.clock, self.spool_lines = disk.spool(directory)
        first.close()
        self.log = Log(self.clock)
        self.spool = WatchedSpool(directory, disk.DirectFiles(), self.clock, self.log.maillog)
        self.spool.prepare()
        self.agent = Agent()
        self.reports: list[str] = []
        services = [Service(name, self.reports) for name in ("bounce", "defer", "trace")]
        self.completion = Completion(self.spool, *services, ScheduleSettings(), self.clock, self.log.maillog)
        self.scheduler = Scheduler(
            self.agent.deliver,
            self.agent.defer,
            by_domain,
            self.spool.content,
            self.spool.read,
            self.completion,
            settings,
            self.clock,
            self.log.maillog,
        )
        self.poller = Poller(self.spool, self.scheduler, PollerSettings(), self.clock, self.log.maillog)

    def put(self, queue: str = "incoming", due: float = NOW, *addresses: str) -> str:
        """Put a message into a queue; its queue id."""
        recipients = tuple(Recipient(address) for address in addresses or ("b@dest.example",))
        queue_id = disk.run(self.spool.create(disk.message(recipients=recipients), queue))
        os.utime(self.path(queue, queue_id), (due, due))
        return queue_id

    def slow_down(self, seconds: float) -> None:
        """From now on each claim takes so long."""

        def pass_time() -> None:
            self.clock.rightNow += seconds

        self.spool.takes_long = pass_time

    def path(self, queue: str, queue_id: str) -> str:
        """The path of a file."""
        folder = f"deferred/{queue_id[0]}" if queue == "deferred" else queue
        return os.path.join(self.spool.directory, folder, queue_id)

    def start(self) -> None:
        """Start the service and let it do what it has to."""
        self.poller.startService()
        self.turns()

    def stop(self) -> "Deferred[None]":
        """Stop the service."""
        return self.poller.stopService()

    def turns(self) -> None:
        """Let the reactor turn until nothing is due."""
        self.clock.advance(0)

    @property
    def queues(self) -> dict[str, str]:
        """Where every message lies."""
        return {name.rpartition("/")[2]: name.partition("/")[0] for name in disk.tree(self.spool.directory)}
