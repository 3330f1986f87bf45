"""Tests for :mod:`smtpclient.report.command`: real programs."""

import json
import os
import signal
import stat
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from smtpclient.report.command import AT_ONCE, CommandFailed, CommandListener
from smtpclient.report.event import Event, encode
from tests.report.world import NOW, entry, envelope

EVENT = Event("bounced", envelope(), entry(), NOW)


class Arguments(SynchronousTestCase):
    """What the operator wrote."""

    def refusal(self, command: str) -> str:
        """Why a command is refused."""
        return str(self.assertRaises(ValueError, CommandListener, command, reactor, reactor))

    def test_no_program(self) -> None:
        """A missing program is named at the start, not at the first bounce."""
        self.assertEqual(
            self.refusal("/no/such/program -x"),
            "command:/no/such/program -x: there is no program /no/such/program that can be run",
        )

    def test_nothing(self) -> None:
        """So is a missing word."""
        self.assertEqual(self.refusal(" "), "command: a program is missing; write command:/path/to/program")

    def test_open_quotation(self) -> None:
        """So are quotation marks that do not end."""
        self.assertEqual(self.refusal("sh -c 'x"), "command:sh -c 'x: No closing quotation")


class Programs(TestCase):
    """Programs that are run."""

    def script(self, text: str) -> str:
        """A shell script; its path."""
        path = os.path.abspath(self.mktemp())
        with open(path, "w") as file:
            file.write("#!/bin/sh\n" + text)
        os.chmod(path, stat.S_IRWXU)
        return path

    def sleeper(self) -> tuple[str, str]:
        """A program that takes long, and the file that is there, with its process id, as soon as it runs."""
        got = os.path.abspath(self.mktemp())
        return self.script(f"echo $$ > {got}.x; mv {got}.x {got}; exec sleep 300\n"), got

    def listener(self, text: str, arguments: str = "", timeout: float = 30.0) -> CommandListener:
        """A listener that runs a shell script."""
        return CommandListener(f"{self.script(text)} {arguments}", reactor, reactor, timeout)

    async def refused(self, listener: CommandListener) -> str:
        """Why an event was not accepted."""
        return str(await self.assertFailure(Deferred.fromCoroutine(listener.tell(EVENT)), CommandFailed))

    async def test_event_on_standard_input(self) -> None:
        """The program gets the event as a line of JSON, and its arguments as they were written."""
        got = os.path.abspath(self.mktemp())
        listener = self.listener('cat > "$1"; echo "$2" >> "$1"\n', f"{got} 'two words'")
        await listener.tell(EVENT)
        await listener.close()
        with open(got, "rb") as file:
            event, argument = file.read().splitlines()
        self.assertEqual((event + b"\n", argument), (encode(EVENT), b"two words"))
        self.assertEqual(json.loads(event)["recipient"], "nobody@example.com")

    async def test_found_on_the_path(self) -> None:
        """A program without a slash is looked for where a shell would."""
        await CommandListener("cat", reactor, reactor).tell(EVENT)

    async def test_refusal(self) -> None:
        """Another exit status than 0 is a refusal; it says what the program said."""
        listener = self.listener("echo the table is locked >&2; exit 75\n")
        self.assertRegex(await self.refused(listener), r"^/.*: exit status 75: the table is locked$")

    async def test_silent_refusal(self) -> None:
        """A program may refuse without a word."""
        self.assertRegex(await self.refused(self.listener("exit 1\n")), r"^/.*: exit status 1$")

    async def test_killed(self) -> None:
        """A program that dies has not accepted anything."""
        self.assertRegex(await self.refused(self.listener("kill -TERM $$\n")), r": killed by signal 15$")

    async def test_takes_too_long(self) -> None:
        """A program that does not end in time is killed."""
        clock = Clock()
        script, got = self.sleeper()
        refused = Deferred.fromCoroutine(self.refused(CommandListener(script, reactor, clock, 0.5)))
        while not os.path.exists(got):
            await self.pause()
        clock.advance(0.5)
        self.assertRegex(await refused, r": killed after 0\.5 seconds$")
        with open(got) as file:
            self.assertRaises(ProcessLookupError, os.kill, int(file.read()), 0)

    async def test_does_not_read(self) -> None:
        """A program that does not look at the event may accept it."""
        await self.listener("exec <&-\nexit 0\n").tell(EVENT)

    async def test_leaves_something_running(self) -> None:
        """What a program leaves running in the background, with its standard error, is not waited for."""
        got = os.path.abspath(self.mktemp())
        await self.listener(f"sleep 300 &\necho $! > {got}\nexit 0\n").tell(EVENT)
        with open(got) as file:
            os.kill(int(file.read()), signal.SIGKILL)  # it is still there

    async def test_talks_without_end(self) -> None:
        """Of what a program says, the beginning is kept."""
        listener = self.listener("yes no | head -c 100000 >&2; exit 1\n")
        self.assertLess(len(await self.refused(listener)), 1000)

    async def test_few_at_once(self) -> None:
        """However many events there are, only so many programs run at a time; all get their turn."""
        folder = os.path.abspath(self.mktemp())
        os.mkdir(folder)
        listener = self.listener(f"cd {folder}\n: > r$$\nls r* | wc -l > c$$\nsleep 0.1\nrm r$$\n")
        await gatherResults([Deferred.fromCoroutine(listener.tell(EVENT)) for _ in range(3 * AT_ONCE)])
        counts = [int(path.read_text()) for path in Path(folder).iterdir()]
        self.assertEqual(len(counts), 3 * AT_ONCE)
        self.assertLessEqual(max(counts), AT_ONCE)

    async def test_cancelled(self) -> None:
        """Who no longer waits has the program killed."""
        script, got = self.sleeper()
        telling = Deferred.fromCoroutine(CommandListener(script, reactor, reactor).tell(EVENT))
        while not os.path.exists(got):
            await self.pause()
        telling.cancel()
        await self.assertFailure(telling, CancelledError)
        with open(got) as file:
            pid = int(file.read())
        while os.path.exists(f"/proc/{pid}"):
            await self.pause()

    async def pause(self) -> None:
        """Let others get on."""
        waiting: Deferred[None] = Deferred()
        reactor.callLater(0.02, waiting.callback, None)
        await waiting
