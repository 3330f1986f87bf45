"""
A Postfix of our own for tests: its configuration, queue and log in one temporary folder, on one loopback port.

Nothing of the machine's own Postfix is touched. Needs root, for Postfix's daemons insist on it.
"""

import fcntl
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.ports import free_port

DAEMONS = os.environ.get("POSTFIX_DAEMON_DIR", "/usr/lib/postfix/sbin")
LOOPBACK = "127.0.0.1"

_MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {base}/queue
data_directory = {base}/data
daemon_directory = {daemons}
meta_directory = {base}/etc
mail_owner = postfix
setgid_group = postdrop
maillog_file_prefixes = {base}
maillog_file = {base}/maillog
myhostname = mx.postfix.test
mydomain = postfix.test
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
inet_interfaces = {loopback}
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
append_dot_mydomain = no
smtputf8_enable = yes
smtpd_peername_lookup = no
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_error_sleep_time = 0
smtpd_client_connection_count_limit = 0
smtpd_recipient_limit = 10000
message_size_limit = 100000000
in_flow_delay = 0
queue_run_delay = 10000s
minimal_backoff_time = 10000s
maximal_backoff_time = 20000s
smtp_tls_security_level = none
smtp_connection_cache_on_demand = no
disable_dns_lookups = yes
smtp_host_lookup = native
"""

ACCEPTING = """\
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
rewrite unix - - n - - trivial-rewrite
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
"""

DELIVERING = """\
qmgr unix n - n 10000 1 qmgr
smtp unix - - n - 20 smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
scache unix - - n - 1 scache
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
showq unix n - n - - showq
"""

_FOLDERS = {"maildrop": 0o730, "public": 0o710, "pid": 0o755}
_FOLDERS.update(
    dict.fromkeys(
        ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace"),
        0o700,
    )
)


def missing() -> str:
    """Why there can be no private Postfix here, or nothing."""
    if os.getuid():
        return "Postfix's daemons need root"
    if not os.path.exists(f"{DAEMONS}/master"):
        return "Postfix is not installed"
    return ""


class PrivatePostfix:
    """
    One instance, not yet running.

    :param parameters: further settings of its main.cf.
    :ivar base: its folder; ``queue`` in it is the queue directory.
    """

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self.base = tempfile.mkdtemp(prefix="private-postfix-")
        self.queue = self.base + "/queue"
        self.etc = self.base + "/etc"
        self._master: subprocess.Popen[bytes] | None = None
        os.chmod(self.base, 0o755)
        for name in ("queue", "etc", "data"):
            os.mkdir(f"{self.base}/{name}", 0o755)
        owner = pwd.getpwnam("postfix").pw_uid
        os.chown(f"{self.base}/data", owner, -1)
        for name, mode in _FOLDERS.items():
            os.mkdir(f"{self.queue}/{name}")
            os.chmod(f"{self.queue}/{name}", mode)
            os.chown(f"{self.queue}/{name}", owner if name != "pid" else 0, -1)
        for name in ("maildrop", "public"):
            shutil.chown(f"{self.queue}/{name}", group="postdrop")
        with open(self.base + "/maillog", "w"):
            os.chmod(self.base + "/maillog", 0o666)  # postsuper(1) writes to it as the mail owner
        with open(self.etc + "/main.cf", "w") as file:
            file.write(_MAIN_CF.format(base=self.base, daemons=DAEMONS, loopback=LOOPBACK))
        self.set(parameters)

    def set(self, parameters: Mapping[str, str]) -> None:
        """Put settings into main.cf, in place of those of the same name."""
        path = self.etc + "/main.cf"
        with open(path) as file:
            kept = [line for line in file if line.partition("=")[0].strip() not in parameters]
        with open(path, "w") as file:
            file.writelines([*kept, *(f"{name} = {value}\n" for name, value in parameters.items())])
        os.utime(path, (0, 0))  # every program waits until the file has not just been written

    def start(self, services: str, ports: Sequence[int] = ()) -> None:
        """
        Run the master with these services, and wait until it listens.

        :param services: lines of master.cf.
        :param ports: where the services of type ``inet`` among them listen.
        """
        with open(self.etc + "/master.cf", "w") as file:
            file.write(services)
        self._master = subprocess.Popen(
            [f"{DAEMONS}/master", "-c", self.etc, "-d"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        end = time.monotonic() + 120
        while not self._listens(ports):
            if self._master.poll() is not None or time.monotonic() > end:
                raise RuntimeError("Postfix did not start: " + self.log()[-2000:])
            time.sleep(0.05)

    def _listens(self, ports: Sequence[int]) -> bool:
        if not all(map(os.path.exists, self._sockets())):
            return False
        for port in ports:
            try:
                socket.create_connection((LOOPBACK, port), timeout=60).close()
            except OSError:
                return False
        return True

    def _sockets(self) -> list[str]:
        """Where its services listen, but for those on ports."""
        with open(self.etc + "/master.cf") as file:
            words = [line.split() for line in file if not line.startswith((" ", "\t", "#")) and line.strip()]
        local = [each for each in words if each[1] != "inet"]
        return [f"{self.queue}/{'public' if each[2] == 'n' else 'private'}/{each[0]}" for each in local]

    def stop(self) -> None:
        """Stop it and all its daemons; more calls do no harm."""
        master, self._master = self._master, None
        if master is not None:
            master.terminate()
            try:
                master.wait(60)
            except subprocess.TimeoutExpired:
                master.kill()
                master.wait()
            self._wait_for_lock()
            for path in filter(os.path.exists, self._sockets()):
                os.unlink(path)

    def _wait_for_lock(self) -> None:
        """A child that the master made just before its end has its lock, too, until it runs its program or dies."""
        end = time.monotonic() + 120
        with open(f"{self.queue}/pid/master.pid", "a") as file:
            while time.monotonic() < end:
                with suppress(BlockingIOError):
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return
                time.sleep(0.02)
        raise RuntimeError("Postfix has ended, but somebody holds its lock: " + self.log()[-2000:])

    def remove(self) -> None:
        """Stop it and leave nothing of it."""
        self.stop()
        shutil.rmtree(self.base, ignore_errors=True)

    def run(self, *command: str, data: bytes = b"") -> str:
        """The output of one of Postfix's commands, told to use this instance."""
        done = subprocess.run(
            [*command[:1], "-c" if command[0] != "sendmail" else "-C", self.etc, *command[1:]],
            input=data,
            capture_output=True,
            check=False,
            timeout=120,
        )
        if done.returncode:
            raise RuntimeError(
                f"{command}: {done.returncode}: {done.stderr.decode(errors='replace')}{self.log()[-500:]}"
            )
        return done.stdout.decode("utf-8", "replace")

    def log(self) -> str:
        """What it has logged so far."""
        with open(self.base + "/maillog", encoding="utf-8", errors="replace") as file:
            return file.read()


def accepting(case: SynchronousTestCase, options: str = "") -> tuple[PrivatePostfix, int]:
    """
    A private Postfix that takes mail and keeps it in ``incoming``, for one test, and the port where it listens.

    :param options: of its smtpd(8), as in master.cf.
    :raises SkipTest: where there can be none.
    """
    if why := missing():
        raise SkipTest(why)
    port, postfix = free_port(), PrivatePostfix({})
    case.addCleanup(postfix.remove)
    case.addCleanup(postfix.stop)
    postfix.start(ACCEPTING + f"{LOOPBACK}:{port} inet n - n - - smtpd {options}\n", [port])
    return postfix, port
