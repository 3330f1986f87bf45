"""
The service at work: one message is delivered, one bounces, one has to wait.

``make run`` starts this. It opens the private world of ``world.py``, starts the real service as an operator would
(``twistd smtpclient``) with its queue directory in ``var/spool``, hands it three messages with ``smtpclient sendmail``,
shows the mail log, the queue and what arrived, stops the service, and judges what it saw: the exit code is 0 only
where all three messages ended as they should. With ``--stay`` everything keeps running until it is interrupted.

Everything it writes is in ``var/``, and what an earlier run left there is removed first.
"""

import argparse
import fcntl
import json
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.posixbase import PosixReactorBase
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater, react
from twisted.internet.utils import getProcessOutputAndValue
from twisted.python.failure import Failure

from demo.world import World

ROOT = Path(__file__).resolve().parent.parent
VAR = ROOT / "var"
BIN = Path(sys.executable).parent
PATIENCE = 120.0

MAIN_CF = """\
queue_directory = {var}/spool
maillog_file = {var}/maillog
myhostname = relay.lilies.example
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4

# What makes it the private world: its name server, and a port that everybody may open.
dns_servers = {dns}
smtp_tcp_port = {port}
"""

SENDER = "alice@lilies.example"
LETTER = """\
From: Alice <alice@lilies.example>
To: {to}
Subject: {subject}

Dear neighbour,
the seeds have come.
.
(The dot above is part of the letter.)
"""

STATUS = re.compile(r": (\w+): to=<([^>]*)>, relay=([^,]+), .*dsn=([\d.]+), status=(\w+) \((.*)\)$")


class Service(ProcessProtocol):
    """
    ``twistd smtpclient``, as a child.

    :param ended: fires when it is gone, with the reason.
    """

    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred()
        self.running = True
        self.said = b""

    def childDataReceived(self, descriptor: int, data: bytes) -> None:
        """What it says before it has opened its log, or instead."""
        self.said += data

    def processEnded(self, reason: Failure) -> None:
        """It is gone."""
        self.running = False
        self.ended.callback(None)

    def stop(self) -> Deferred[None]:
        """Ask it to stop; fires when it has."""
        if self.transport is not None and self.running:
            self.transport.signalProcess("TERM")
        return self.ended

    def kill(self) -> None:
        """End it, whatever it is doing."""
        if self.transport is not None and self.running:
            self.transport.signalProcess("KILL")


class Play:
    """The play: what happens in which order, and what was seen."""

    def __init__(self, reactor: PosixReactorBase) -> None:
        self._reactor = reactor
        self._config = VAR / "main.cf"
        self._service = Service()
        self.world = World(reactor, reactor, VAR / "arrived")
        self.failures: list[str] = []

    def say(self, text: str) -> None:
        """A line for the audience."""
        print(text, flush=True)

    def shown(self, *words: str | Path) -> str:
        """A command line as one would type it in the project's folder."""
        return "$ " + shlex.join(str(word).replace(f"{ROOT}/", "") for word in words)

    def expect(self, truth: bool, claim: str) -> None:
        """Remember what did not come out as it should."""
        self.say(f"  {'yes' if truth else 'NO '}  {claim}")
        if not truth:
            self.failures.append(claim)

    async def until(self, what: str, condition: Callable[[], bool]) -> None:
        """
        Wait for something to become true.

        :raises SystemExit: when it does not, or the service ends before.
        """
        for _ in range(int(PATIENCE / 0.05)):
            if condition():
                return
            if not self._service.running:
                break
            await deferLater(self._reactor, 0.05)
        self.say(f"\n{what}: has not happened within {PATIENCE:.0f} s. The service says:\n")
        for said in (self._service.said.decode(errors="replace"), self.read("twistd.log"), self.read("maillog")):
            self.say(said[-4000:])
        raise SystemExit(1)

    async def command(self, *words: str | Path, stdin: str = "", quiet: bool = False) -> str:
        """
        Run one of our commands as an operator would, and show it.

        :raises SystemExit: when it fails.
        """
        if not quiet:
            self.say(self.shown("smtpclient", *words))
        arguments = ["-m", "smtpclient", *(str(word) for word in words)]
        out, err, code = await getProcessOutputAndValue(
            sys.executable, arguments, env=None, path=str(ROOT), reactor=self._reactor, stdinBytes=stdin.encode()
        )
        if code:
            self.say(f"exit code {code}: {err.decode(errors='replace')}")
            raise SystemExit(1)
        return str(out, "utf-8")

    def read(self, name: str) -> str:
        """A log as far as it is written."""
        path = VAR / name
        return path.read_text(errors="replace") if path.exists() else ""

    async def start(self) -> None:
        """Open the world and start the service in it, in an empty ``var/``."""
        self.world.open()
        self._config.write_text(MAIN_CF.format(var=VAR, dns=self.world.dns_address, port=self.world.smtp_port))
        self.say(f"The private world: DNS at {self.world.dns_address}, mail servers at port {self.world.smtp_port}.\n")
        words: list[str | Path] = [BIN / "twistd", "-n", "--pidfile=", f"--logfile={VAR / 'twistd.log'}"]
        words += ["smtpclient", "--config", self._config]
        self.say(self.shown("twistd", *words[1:]))
        arguments = [str(word) for word in words]
        self._reactor.spawnProcess(self._service, arguments[0], arguments, env=None, path=str(ROOT))
        await self.until("The service's start", (VAR / "spool" / "public" / "qmgr").is_socket)

    async def submit(self, recipient: str, subject: str) -> str:
        """Hand in one message; the queue id is the answer."""
        letter = LETTER.format(to=recipient, subject=subject)
        said = await self.command("sendmail", "-c", self._config, "-i", "-v", "-f", SENDER, recipient, stdin=letter)
        self.say(said.rstrip())
        return said.split()[-1]

    def statuses(self) -> dict[tuple[str, str], re.Match[str]]:
        """What the mail log says of each queue id and recipient: the last line of each."""
        found = (STATUS.search(line) for line in self.read("maillog").splitlines())
        return {(match[1], match[2]): match for match in found if match}

    def arrived(self, server: str) -> list[str]:
        """The messages that one server took, in no order."""
        return [path.read_text() for path in (VAR / "arrived" / server).iterdir()]

    async def perform(self) -> None:
        """The three messages, from submission to verdict."""
        delivered = await self.submit("bob@roses.example", "For Bob, who is there")
        bounced = await self.submit("nobody@roses.example", "For somebody unknown")
        deferred = await self.submit("busy@roses.example", "For somebody busy")

        def settled() -> bool:
            log = self.read("maillog")
            return (
                {(delivered, "bob@roses.example"), (deferred, "busy@roses.example")} <= set(self.statuses())
                and all(f": {queue_id}: removed" in log for queue_id in (delivered, bounced))
                and log.count(": removed") >= 3
                and len(self.arrived("lilies")) == 1
                and any((VAR / "spool" / "deferred").rglob(deferred))
            )

        await self.until("The end of the three messages", settled)
        self.say("\n$ cat var/maillog\n" + self.read("maillog"))
        self.say(await self.command("queue", "list", "-c", self._config))
        lines = (await self.command("queue", "list", "--json", "-c", self._config, quiet=True)).splitlines()
        self.say("What became of")
        self.judge(delivered, bounced, deferred, [json.loads(line) for line in lines])

    def judge(self, delivered: str, bounced: str, deferred: str, queue: list[dict[str, Any]]) -> None:
        """Whether each message ended as it should."""
        statuses = self.statuses()
        port = self.world.smtp_port

        sent = statuses[delivered, "bob@roses.example"]
        roses = self.arrived("roses")
        self.say("the message to bob@roses.example: it")
        self.expect(
            "connect to mx1.roses.example[127.0.0.2]" in self.read("maillog"),
            "tried the preferred server, which is down",
        )
        self.expect(sent[5] == "sent", "was sent")
        self.expect(sent[3] == f"mx2.roses.example[127.0.0.3]:{port}", "went by way of the other server")
        self.expect(len(roses) == 1 and "\nSubject: For Bob, who is there\n" in roses[0], "arrived there, once")
        self.expect(LETTER.partition("\n\n")[2] in roses[0], "arrived whole, with the dot on a line of its own")

        refused = statuses[bounced, "nobody@roses.example"]
        (report,) = self.arrived("lilies")
        self.say("the message to nobody@roses.example: it")
        self.expect((refused[4], refused[5]) == ("5.1.1", "bounced"), "bounced")
        self.expect("550 5.1.1 There is no such mailbox here" in refused[6], "for the reason that the server gave")
        self.expect("multipart/report" in report and "Status: 5.1.1" in report, "was reported to its sender")
        self.expect("Subject: For somebody unknown" in report, "was returned with the report")

        waiting = statuses[deferred, "busy@roses.example"]
        self.say("the message to busy@roses.example: it")
        self.expect((waiting[4], waiting[5]) == ("4.2.1", "deferred"), "was deferred")
        found = [(entry["queue_name"], entry["queue_id"]) for entry in queue]
        self.expect(found == [("deferred", deferred)], "is the only one in the queue")
        reasons = [recipient.get("delay_reason", "") for entry in queue for recipient in entry["recipients"]]
        self.expect("busy, try again later" in "".join(reasons), "waits for the reason that the server gave")

    async def interrupted(self) -> None:
        """Where somebody pressed ^C, the service has noticed too: give it time to go by itself."""
        if self._service.running:
            await deferLater(self._reactor, 1)
        await self.stop()

    async def stop(self) -> None:
        """Stop the service as an init system would, then the world."""
        if self._service.running:
            self.say("\n$ kill -TERM, and the service")
            try:
                await self._service.stop().addTimeout(PATIENCE, self._reactor)
            except TimeoutError:
                self._service.kill()
            complaints = "Traceback" in self.read("twistd.log")
            self.expect(not self._service.running, "stopped")
            self.expect(not complaints, "left no complaint in its own log, var/twistd.log")
        await self.world.close()


async def run(reactor: PosixReactorBase, stay: bool) -> None:
    """The whole of it; the exit code is the verdict."""
    play = Play(reactor)
    try:
        await play.start()
        reactor.addSystemEventTrigger("before", "shutdown", lambda: Deferred.fromCoroutine(play.interrupted()))
        await play.perform()
        if stay:
            play.say("\nEverything keeps running until you press ^C.")
            await Deferred()
    finally:
        await play.stop()
    verdict = f"{len(play.failures)} things are not as they should be." if play.failures else "All as it should be."
    play.say("\n" + verdict)
    if play.failures:
        raise SystemExit(1)


def main() -> None:
    """
    Prepare ``var/`` and raise the curtain.

    :raises SystemExit: always, with the verdict.
    """
    options = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0].strip())
    options.add_argument("--stay", action="store_true", help="keep everything running until ^C")
    stay = options.parse_args().stay
    VAR.mkdir(exist_ok=True)
    with (VAR / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit(f"another one is running in {VAR}; stop it first") from None
        for leftover in ("spool", "arrived"):
            shutil.rmtree(VAR / leftover, ignore_errors=True)
        for leftover in ("maillog", "twistd.log"):
            (VAR / leftover).unlink(missing_ok=True)
        react(lambda reactor: Deferred.fromCoroutine(run(reactor, stay)))


if __name__ == "__main__":
    main()
