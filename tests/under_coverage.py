"""
trial as ``python -m tests.under_coverage -j2 tests``: the processes that it hands tests to run under coverage.

Not a test module: ``make coverage JOBS=2`` runs it. Each of those processes leaves its measurements in a file of its
own, so ``parallel`` must be set, and ``coverage combine`` adds them up. What the tests themselves start is not
measured, as when one process runs them all: a service under coverage is too slow for tests that watch what it does in
time, and one that is killed would leave nothing to add up. It needs ``-j``: without it the tests would run in this
process, and what they start by the reactor would be measured; for one process, ``coverage run -m twisted.trial``.
"""

from collections.abc import Sequence
from typing import Any

from twisted.internet import reactor
from twisted.internet.interfaces import IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.scripts import trial


def main() -> None:
    """
    Run trial.

    :raises SystemExit: always; the code is trial's verdict.
    """
    spawn = reactor.spawnProcess

    def under_coverage(
        protocol: ProcessProtocol, executable: str, args: Sequence[str], **rest: Any
    ) -> IProcessTransport:
        python, *script = args
        return spawn(protocol, executable, [python, "-m", "coverage", "run", *script], **rest)

    reactor.spawnProcess = under_coverage
    trial.run()


if __name__ == "__main__":
    main()
