"""
The service as a process, for tests: a configuration, a spool, a sink, and twistd.
"""

import os
import shutil
import signal
import smtplib
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

from smtpclient.mail.envelope import NewMessage, Recipient
from smtpclient.queue import queuefile
from smtpclient.queue.trigger import poke

ROOT = Path(__file__).resolve().parents[2]
MAIN_CF = """\
queue_directory = {base}/spool
maillog_file = {base}/mail.log
myhostname = client.example
relayhost = [127.0.0.1]:{port}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtp_tls_security_level = none
"""


def environment() -> dict[str, str]:
    """This process's, with the tree that is tested in front."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def wait_until(true: Callable[[], bool], limit: float, what: str) -> None:
    """Wait for something that will come; fail when it has not within the limit, seconds."""
    end = time.monotonic() + limit
    while not true():
        if time.monotonic() > end:
            raise AssertionError(f"not within {limit:g} s: {what}")
        time.sleep(0.01)


class Sink:
    """The server of :mod:`tests.service.sink` as a process."""

    def __init__(self, base: Path, delay: float = 0.0) -> None:
        self.path = base / "accepted"
        self.path.touch()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.service.sink", "127.0.0.1", "0", str(self.path), str(delay)],
            stdout=subprocess.PIPE,
            env=environment(),
            cwd=ROOT,
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    @property
    def accepted(self) -> list[tuple[float, str]]:
        """When was what accepted for whom."""
        lines = self.path.read_text().rpartition("\n")[0].splitlines()
        return [(float(moment), address) for moment, _, address in (line.partition(" ") for line in lines)]

    def wait_until_alone(self) -> None:
        """Wait until it has read, and noted, everything that clients who are gone by now have sent."""
        with smtplib.SMTP("127.0.0.1", self.port, timeout=120) as client:
            client.docmd("ALONE")

    def stop(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()


class Service:
    """
    ``twistd smtpclient`` on a spool of its own below ``base``.

    :cvar words: further words of the command line.
    """

    words: tuple[str, ...] = ()

    def __init__(self, base: Path, port: int, **parameters: str) -> None:
        self.base, self.spool, self.log = base, base / "spool", base / "mail.log"
        self.spool.mkdir(exist_ok=True)
        settings = MAIN_CF.format(base=base, port=port)
        settings += "".join(f"{name} = {value}\n" for name, value in parameters.items())
        (base / "main.cf").write_text(settings)
        self.process: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None

    def start(self, *, wait: bool = True) -> None:
        """Start; by default until it listens."""
        self._output = (self.base / "twistd.log").open("ab")
        twistd = shutil.which("twistd", path=str(Path(sys.executable).parent)) or "twistd"
        command = [sys.executable, twistd, "-n", "--pidfile=", "smtpclient", "--config", str(self.base / "main.cf")]
        self.process = subprocess.Popen(
            [*command, *self.words], stdout=self._output, stderr=subprocess.STDOUT, env=environment(), cwd=self.base
        )
        if wait:
            wait_until(self._listens, 120, f"the service listens: {self.output}")

    def _listens(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            raise AssertionError(f"the service has ended: {self.output}")
        return poke(str(self.spool), "W")

    @property
    def output(self) -> str:
        """What twistd printed."""
        return (self.base / "twistd.log").read_text(errors="replace")[-2000:]

    def kill(self) -> None:
        """kill -9."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """As an operator would stop it; the exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        if self.process is None:
            return 0
        self.process.send_signal(number)
        code = self.process.wait(120)
        self.process = None
        if self._output is not None:
            self._output.close()
        return code

    def fill(self, messages: Iterable[NewMessage]) -> list[str]:
        """Put messages into incoming/, complete, without a service."""
        incoming = self.spool / "incoming"
        incoming.mkdir(exist_ok=True)
        queue_ids = []
        for number, message in enumerate(messages):
            now = time.time()
            temporary = incoming / f"new{number}"
            temporary.write_bytes(b"".join(queuefile.build(message, now).blocks()))
            queue_id = f"{number % 0xFFFFF:05X}{temporary.stat().st_ino:X}"
            # Complete only under its own name: a running service takes what is complete.
            temporary.chmod(0o600)
            temporary.rename(incoming / queue_id)
            (incoming / queue_id).chmod(0o700)
            queue_ids.append(queue_id)
        return queue_ids

    def queued(self) -> list[str]:
        """The messages that are somewhere in the queue."""
        folders = ("incoming", "active", "deferred", "hold", "corrupt")
        # os.walk asks nothing of the files themselves: who waits for an empty queue looks a hundred times a second.
        found = (names for folder in folders for _, _, names in os.walk(self.spool / folder))
        return sorted(name for names in found for name in names)

    def log_lines(self) -> list[str]:
        """The mail log."""
        return self.log.read_text(errors="replace").splitlines() if self.log.exists() else []


def message(*recipients: str, sender: str = "sender@client.example", body: str = "Hello.\n") -> NewMessage:
    """A small message."""
    content = f"From: <{sender}>\nTo: <{recipients[0]}>\nSubject: a test\n\n{body}".encode()
    return NewMessage(sender, [Recipient(address) for address in recipients], content)
