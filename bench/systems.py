"""
The mail systems that are measured, each as a process group on a queue directory of its own, and the sink.

Both get the same queue files and the same configuration where they share parameters; everything stays on 127.0.0.0/8.
The clock runs from the first message at the sink to the last, so that starting costs time to neither.
"""

import errno
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench import accounts, queue_files

PORT = 2526

_MAIN = """
queue_directory = {base}/spool
myhostname = bench.example
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtp_tls_security_level = none
maillog_file = {base}/log
{route}
"""
_POSTFIX = """
compatibility_level = 3.6
data_directory = {base}/data
mail_owner = postfix
setgid_group = postdrop
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
shlib_directory = /usr/lib/postfix
maillog_file_prefixes = /
local_recipient_maps =
alias_maps =
default_process_limit = 200
{extra}
"""
# What of Postfix is needed to get mail from a queue directory to a server.
_MASTER = """
qmgr      unix  n - n 300 1 qmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
smtp      unix  - - n - - smtp
relay     unix  - - n - - smtp
retry     unix  - - n - - error
error     unix  - - n - - error
cleanup   unix  n - n - 0 cleanup
pickup    unix  n - n 60 1 pickup
postlog   unix-dgram n - n - 1 postlogd
proxymap  unix  - - n - - proxymap
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
tlsmgr    unix  - - n 1000? 1 tlsmgr
"""


def postfix_is_here() -> bool:
    """Whether Postfix can be measured beside us: it is installed, and we are root."""
    return os.path.exists("/usr/lib/postfix/sbin/master") and shutil.which("smtp-sink") is not None and os.getuid() == 0


def _somebody_listens(address: str) -> bool:
    """Whether a program listens at the sink's port, at this address or at one that this one includes."""
    with socket.socket() as probe:
        # Connections of an earlier run that are still fading away are nobody.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, PORT))
        except OSError as why:
            if why.errno != errno.EADDRINUSE:
                raise
            return True
        return False


class Sink:
    """
    smtp-sink(1), or our own where that is not installed; it throws everything away and counts.

    :raises SystemExit: when it cannot listen, or somebody else does: smtp-sink(1) would share the port, and the mail.
    """

    def __init__(self, address: str) -> None:
        self.count, self.first, self.last = 0, 0.0, 0.0
        if _somebody_listens(address):
            sys.exit(f"no sink at {address}:{PORT}: another program listens there")
        own = [sys.executable, "-m", "bench.sink", f"{address}:{PORT}"]
        theirs = ["smtp-sink", "-c", "-u", "nobody", f"{address}:{PORT}", "2000"]
        is_here = shutil.which("smtp-sink") is not None and os.getuid() == 0
        self.process = subprocess.Popen(
            theirs if is_here else own, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
        threading.Thread(target=self._watch, daemon=True).start()
        while not _somebody_listens(address):
            if self.process.poll() is not None:
                sys.exit(f"no sink at {address}:{PORT}")
            time.sleep(0.05)

    def _watch(self) -> None:
        assert self.process.stdout is not None
        rest = b""
        while block := os.read(self.process.stdout.fileno(), 65536):
            counts = re.findall(rb"mesg=(\d+)", rest + block)
            rest = block[-30:]
            if counts and int(counts[-1]) > self.count:
                self.last = time.monotonic()
                self.first = self.first or self.last
                self.count = int(counts[-1])

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait()


@dataclass(frozen=True)
class Result:
    """
    One run.

    :param seconds: from the first message at the sink to the last.
    :param cpu: user and system time of all processes, from the first message to the empty queue, seconds.
    :param memory: the most that was seen, MB.
    """

    delivered: int
    left: int
    seconds: float
    cpu: float
    memory: float

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.delivered / self.seconds if self.seconds else 0.0


def deliver(system: str, fill: Callable[[str, str], int], destinations: int, limit: float) -> Result:
    """
    Have a system empty a queue directory.

    :param fill: puts the messages there; given the queue directory and the owner that they must have.
    :param limit: seconds after which it is given up.
    """
    base = tempfile.mkdtemp(prefix=f"bench-{system}-")
    os.chmod(base, 0o755)
    sink = Sink("127.0.0.1" if destinations == 1 else "0.0.0.0")
    try:
        process = _STARTERS[system](base, route_to_sink(base, destinations), fill)
        peak, start, begun = 0.0, 0.0, time.monotonic()
        while queue_files.left(f"{base}/spool") and time.monotonic() - begun < limit and process.poll() is None:
            time.sleep(0.1)
            if not sink.count:
                start = accounts.cpu_seconds(process.pid)
            peak = max(peak, accounts.memory(process.pid))
        cpu = accounts.cpu_seconds(process.pid) - start
        left = queue_files.left(f"{base}/spool")
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        process.wait()
    finally:
        sink.stop()
        shutil.rmtree(base, ignore_errors=True)
    return Result(sink.count, left, sink.last - sink.first, cpu, peak)


def route_to_sink(base: str, destinations: int) -> str:
    if destinations == 1:
        return f"relayhost = [127.0.0.1]:{PORT}"
    with open(f"{base}/transport", "w", encoding="ascii") as table:
        for number in range(destinations):
            host = f"127.0.{1 + number // 250}.{1 + number % 250}"
            table.write(f"dest{number}.example smtp:[{host}]:{PORT}\n")
    return f"transport_maps = texthash:{base}/transport"


def start_ours(base: str, route: str, fill: Callable[[str, str], int], *options: str) -> subprocess.Popen[bytes]:
    """
    Start the service on a queue directory that is made and filled for it.

    :param options: of the command line.
    """
    os.makedirs(f"{base}/spool")
    fill(f"{base}/spool", "")
    with open(f"{base}/main.cf", "w", encoding="ascii") as file:
        file.write(_MAIN.format(base=base, route=route))
    command = [sys.executable, "-m", "twisted", "smtpclient", "--config", f"{base}/main.cf", *options]
    with open(f"{base}/output", "wb") as output:
        return subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)


def configure_postfix(base: str, route: str, services: str, extra: str = "") -> None:
    """
    Make a Postfix of its own in a directory: configuration, queue directory, log.

    :param route: lines of main.cf that both systems have.
    :param services: master.cf.
    :param extra: further lines of main.cf.
    """
    for folder in ("etc", "spool", "data"):
        os.makedirs(f"{base}/{folder}")
    shutil.chown(f"{base}/data", "postfix")
    open(f"{base}/log", "w", encoding="ascii").close()
    os.chmod(f"{base}/log", 0o666)
    with open(f"{base}/etc/main.cf", "w", encoding="ascii") as file:
        file.write(_MAIN.format(base=base, route=route) + _POSTFIX.format(base=base, extra=extra))
    with open(f"{base}/etc/master.cf", "w", encoding="ascii") as file:
        file.write(services)
    subprocess.run(["postfix", "-c", f"{base}/etc", "check"], check=True, stderr=subprocess.DEVNULL)


def start_master(base: str) -> subprocess.Popen[bytes]:
    """Start the Postfix that was made in a directory."""
    command = ["/usr/lib/postfix/sbin/master", "-c", f"{base}/etc", "-d"]
    return subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _start_postfix(base: str, route: str, fill: Callable[[str, str], int]) -> subprocess.Popen[bytes]:
    configure_postfix(base, route, _MASTER)
    fill(f"{base}/spool", "postfix")
    return start_master(base)


_STARTERS = {"smtpclient": start_ours, "postfix": _start_postfix}
