"""
A service in this process, on a queue directory of its own, with a watch on the reactor: for what is seen from inside.
"""

import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor

from smtpclient.config.parameters import Parameters
from smtpclient.outbound import Outbound

_TICK = 0.005  # seconds; how often the watch looks


class Inside:
    """
    A service and how its reactor does.

    :param values: parameters besides the usual ones.
    :param directory: the queue directory; empty: a new one, which is removed at the end.
    :ivar watching: whether the reactor is looked after; false ends that.
    :ivar stall: the longest time in which the reactor did nothing else, seconds.
    """

    def __init__(self, values: dict[str, str], directory: str = "") -> None:
        self._made = "" if directory else tempfile.mkdtemp(prefix="bench-inside-")
        self.directory = directory or os.path.join(self._made, "spool")
        os.makedirs(self.directory, exist_ok=True)
        usual = {
            "queue_directory": self.directory,
            "maillog_file": os.path.join(self._made or tempfile.gettempdir(), "bench.log"),
            "myhostname": "bench.example",
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "smtp_tls_security_level": "none",
        }
        self.outbound = Outbound(Parameters.from_values({**usual, **values}), reactor=reactor)
        self.stall = 0.0
        self.watching = True
        self._seen = time.monotonic()

    def run(self, limit: float, begin: Callable[[], Any]) -> None:
        """
        Run until :meth:`end`.

        :param limit: or until so many seconds have passed.
        :param begin: called when the service has started.
        """
        reactor.callWhenRunning(self._start, begin)
        reactor.callLater(limit, self.end)
        reactor.run()
        if self._made:
            shutil.rmtree(self._made, ignore_errors=True)

    def _start(self, begin: Callable[[], Any]) -> None:
        self.outbound.startService()
        self._seen = time.monotonic()
        self._watch()
        begin()

    def _watch(self) -> None:
        if not self.watching:
            return
        now = time.monotonic()
        self.stall = max(self.stall, now - self._seen - _TICK)
        self._seen = now
        reactor.callLater(_TICK, self._watch)

    def overlook(self) -> None:
        """What has held the reactor up until now was the measurement."""
        self.stall = 0.0
        self._seen = time.monotonic()

    def end(self) -> None:
        """Stop the service and the reactor; more calls do no harm."""
        if self.outbound.running:
            self.outbound.stopService().addBoth(lambda _: reactor.stop())


def memory() -> float:
    """What this process holds now, MB."""
    with open("/proc/self/statm", encoding="ascii") as numbers:
        return int(numbers.read().split()[1]) * resource.getpagesize() / 1e6
