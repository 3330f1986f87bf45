"""
A private Postfix with our program in master.cf, in place of its own smtp(8).
"""

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from smtpclient.queue.trigger import poke
from tests.interop.private_postfix import ACCEPTING, DAEMONS, DELIVERING, PrivatePostfix, missing
from tests.service.installed import ROOT, wait_until

_OWN = "smtp unix - - n - 20 smtp\n"
_PROGRAM = """\
#!{python}
import sys
sys.path.insert(0, {root!r})
from smtpclient.postfix.program import main
main()
"""


def program(base: str, name: str = "smtpclient-smtp") -> str:
    """
    Make a program that runs this tree, whatever the environment; what a console script is to an installed package.

    :return: what master.cf calls it.
    """
    path = Path(base, name)
    path.write_text(_PROGRAM.format(python=sys.executable, root=str(ROOT)))
    path.chmod(0o755)
    return os.path.relpath(path, DAEMONS)


class UnderPostfix(PrivatePostfix):
    """
    A private Postfix that delivers by our program.

    :param parameters: further settings of main.cf.
    """

    def __init__(self, parameters: Mapping[str, str]) -> None:
        super().__init__({"smtp_connection_cache_on_demand": "yes", **parameters})

    def begin(
        self,
        *options: str,
        most: int = 1,
        unprivileged: bool = True,
        chroot: bool = False,
        own: bool = False,
        more: str = "",
        ports: Sequence[int] = (),
    ) -> None:
        """
        Start.

        :param options: in master.cf, behind the program.
        :param most: processes.
        :param own: deliver by Postfix's own smtp(8) instead.
        :param more: further lines of master.cf.
        """
        command = "smtp" if own else program(self.base)
        columns = ["smtp", "unix", "-", "-" if unprivileged else "n", "y" if chroot else "n", "-", str(most), command]
        line = " ".join([*columns, *options]) + "\n"
        assert _OWN in DELIVERING
        self.start(ACCEPTING + DELIVERING.replace(_OWN, line) + more, ports)

    def reload(self) -> None:
        """As ``postfix reload`` does it."""
        assert self._master is not None
        self._master.send_signal(signal.SIGHUP)

    def send(self, *recipients: str, data: bytes = b"Subject: x\n\nhello\n", options: Sequence[str] = ()) -> None:
        """Hand in a message, as a local user."""
        self.run("sendmail", *options, "-f", "me@postfix.test", *recipients, data=data)

    def retry(self) -> None:
        """Have everything that waits tried again now; what is just being deferred is not among it."""
        wait_until(lambda: poke(self.queue, "FADI"), 120, "the queue manager's door is open")

    def lines(self, *words: str) -> list[str]:
        """The lines of the log that hold all of these."""
        return [line for line in self.log().splitlines() if all(word in line for word in words)]

    def wait(self, *words: str, count: int = 1, limit: float = 120.0) -> list[str]:
        """Wait until so many lines of the log hold all of these."""
        what = f"{count} lines with {words}"
        try:
            wait_until(lambda: len(self.lines(*words)) >= count, limit, what)
        except AssertionError:
            raise AssertionError(f"not within {limit:g} s: {what}: {self.log()[-4000:]}") from None
        return self.lines(*words)

    def queued(self) -> list[str]:
        """The messages that are somewhere in the queue."""
        folders = ("maildrop", "incoming", "active", "deferred", "hold", "corrupt")
        return sorted(name for folder in folders for _, _, names in os.walk(f"{self.queue}/{folder}") for name in names)

    def wait_until_empty(self, limit: float = 180.0) -> None:
        """Wait until nothing is left in the queue."""
        try:
            # A message that moves meanwhile may be in none of the folders that are just looked into.
            wait_until(lambda: not any(self.queued() for _ in range(3)), limit, "the queue is empty")
        except AssertionError:
            raise AssertionError(f"still queued: {self.queued()}: {self.log()[-4000:]}") from None

    def retry_until_empty(self) -> None:
        """Have everything tried, again and again, until nothing is left in the queue."""
        poked = 0.0

        def empty() -> bool:
            nonlocal poked
            if time.monotonic() > poked + 0.5:
                self.retry()
                poked = time.monotonic()
            return not any(self.queued() for _ in range(3))

        try:
            wait_until(empty, 180, "the queue is empty")
        except AssertionError:
            raise AssertionError(f"still queued: {self.queued()}: {self.log()[-4000:]}") from None

    def processes(self) -> list[int]:
        """Our own processes that run below this master."""
        mine = f"{self.base}/smtpclient-"
        found = []
        for name in os.listdir("/proc"):
            try:
                if name.isdigit() and mine.encode() in Path("/proc", name, "cmdline").read_bytes():
                    found.append(int(name))
            except OSError:
                continue
        return found

    def one_process(self) -> int:
        """The one process of ours, waited for."""
        found: list[int] = []

        def there_is_one() -> bool:
            found.extend(self.processes())
            return bool(found)

        wait_until(there_is_one, 120, "there is a process of ours")
        return found[0]


def under_postfix(case: SynchronousTestCase, parameters: Mapping[str, str]) -> UnderPostfix:
    """
    A Postfix for one test, not yet running.

    :raises SkipTest: where there can be none.
    """
    if why := missing():
        raise SkipTest(why)
    postfix = UnderPostfix(parameters)
    case.addCleanup(postfix.remove)
    return postfix
