"""
Taking mail in, measured for both systems: ours by ``Outbound.submit``, Postfix's by smtp-source(1), smtpd and cleanup.

Neither has a queue manager at work, so that only the way in is measured: our service is not started, and Postfix's
``public/qmgr`` is a pipe that nobody reads. Both have taken in some messages before the clock runs: processes and
threads are there. smtp-source waits for each reply, which Postfix gives after its fsync.

Nothing is removed before the last round: ext4 passes by inodes that were freed a moment ago, one by one, and whoever
comes after thousands of removals may pay for them.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

from bench import accounts, systems

SIZE = 4096
AT_ONCE = 100
WARM_UP = 300

_PORT = 2527
# Without a queue manager there is nobody to say that mail also goes out, and cleanup would wait a second each time.
_EXTRA = """
in_flow_delay = 0
smtpd_peername_lookup = no
smtpd_relay_restrictions = permit_mynetworks, reject
"""
_MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
rewrite   unix  - - n - - trivial-rewrite
cleanup   unix  n - n - 0 cleanup
postlog   unix-dgram n - n - 1 postlogd
proxymap  unix  - - n - - proxymap
anvil     unix  - - n - 1 anvil
tlsmgr    unix  - - n 1000? 1 tlsmgr
"""


@dataclass(frozen=True)
class Taken:
    """
    One run.

    :param count: messages that are on disk.
    :param seconds: how long that took.
    :param cpu: user and system time of the system that took them in, seconds; what sent them is not counted.
    """

    count: int
    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        """Durable messages a second."""
        return self.count / self.seconds


def take(system: str, count: int, base: str) -> Taken:
    """
    Have a system take messages in.

    :param system: ``postfix``, ``postfix-kept`` (many messages in one session) or ``smtpclient``.
    :param count: how many.
    :param base: an empty directory, which is left to the caller.
    :raises subprocess.CalledProcessError: when it does not take them.
    """
    return _ours(count, base) if system == "smtpclient" else _postfix(count, base, system == "postfix-kept")


def _ours(count: int, base: str) -> Taken:
    """The reactor runs once in a process, so each run is one."""
    command = [sys.executable, "-m", "bench.run", "submit-once", "--count", str(count), "--directory", base]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Taken(**json.loads(output.splitlines()[-1]))


def _postfix(count: int, base: str, kept: bool) -> Taken:
    pipe, process = -1, None
    try:
        systems.configure_postfix(base, "", _MASTER.format(port=_PORT), _EXTRA)
        os.mkfifo(f"{base}/spool/public/qmgr")
        shutil.chown(f"{base}/spool/public/qmgr", "postfix")
        pipe = os.open(f"{base}/spool/public/qmgr", os.O_RDWR | os.O_NONBLOCK)
        process = systems.start_master(base)
        time.sleep(1.0)
        _send(WARM_UP, kept)
        cpu, begun = accounts.cpu_seconds(process.pid), time.monotonic()
        _send(count, kept)
        seconds = time.monotonic() - begun
        cpu = accounts.cpu_seconds(process.pid) - cpu
        durable = sum(len(names) for _, _, names in os.walk(f"{base}/spool/incoming")) - WARM_UP
    finally:
        if process is not None:
            process.send_signal(signal.SIGTERM)
            process.wait()
        if pipe >= 0:
            os.close(pipe)
    return Taken(durable, seconds, cpu)


def _send(count: int, kept: bool) -> None:
    """Send messages and wait until each was accepted."""
    options = ["-s", str(AT_ONCE), "-m", str(count), "-l", str(SIZE), *(["-d"] if kept else [])]
    sender = ["-f", "load@bench.example", "-t", "reader@dest.example"]
    subprocess.run(["smtp-source", *options, *sender, f"127.0.0.1:{_PORT}"], check=True, timeout=600)
