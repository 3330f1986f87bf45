"""The queue's door bell: what it hears, whom it tells, and that nothing closes it."""

import os
import shutil
import socket
import stat
import subprocess
import tempfile
from collections.abc import Callable

from twisted.internet import reactor
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.internet.testing import StringTransport
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from smtpclient.queue.trigger import LONGEST, PATIENCE, Doors, Trigger, TriggerError, open_doors, poke

POSTQUEUE = shutil.which("postqueue")


class TriggerTests(SynchronousTestCase):
    """What :class:`Trigger` makes of what callers write."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.told: list[frozenset[str]] = []
        self.trigger = Trigger(self.told.append, self.clock)

    def call(self) -> StringTransport:
        """Connect a caller; what it writes goes to ``transport.protocol``."""
        protocol = self.trigger.buildProtocol(UNIXAddress(None))
        transport = StringTransport()
        protocol.makeConnection(transport)
        transport.protocol = protocol
        return transport

    def test_letters_of_one_turn_are_told_together(self) -> None:
        """Two callers in one turn of the reactor cause one look at the queue."""
        self.call().protocol.dataReceived(b"W")
        self.call().protocol.dataReceived(b"DA")
        self.assertEqual([], self.told)
        self.clock.advance(0)
        self.assertEqual([frozenset("WDA")], self.told)

    def test_the_next_turn_is_told_apart(self) -> None:
        """A letter that comes after the callback asks for another look."""
        caller = self.call().protocol
        caller.dataReceived(b"W")
        self.clock.advance(0)
        caller.dataReceived(b"W")
        self.clock.advance(0)
        self.assertEqual([frozenset("W"), frozenset("W")], self.told)

    def test_other_bytes_are_passed_over(self) -> None:
        """Bytes that are no letters disturb nobody, and the letters among them count."""
        caller = self.call().protocol
        caller.dataReceived(b"\x00w\xffQ\r\n")
        self.clock.advance(0)
        self.assertEqual([], self.told)
        caller.dataReceived(b"GET / I\r\n")
        self.clock.advance(0)
        self.assertEqual([frozenset("I")], self.told)

    def test_a_caller_who_sends_too_much_is_cut(self) -> None:
        """A caller has room for a few hundred bytes; what lies behind is not read."""
        transport = self.call()
        transport.protocol.dataReceived(b"x" * LONGEST + b"W")
        self.assertTrue(transport.disconnected)
        self.clock.advance(0)
        self.assertEqual([], self.told)

    def test_a_caller_who_stays_is_cut(self) -> None:
        """A connection that is not closed is closed for it."""
        transport = self.call()
        self.clock.advance(PATIENCE)
        self.assertTrue(transport.disconnected)

    def test_a_caller_who_leaves_is_forgotten(self) -> None:
        """No timer is left behind by a caller that closed."""
        self.call().protocol.connectionLost()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_a_callback_that_fails_is_logged_and_called_again(self) -> None:
        """An error in the look at the queue does not make the door deaf."""
        calls: list[frozenset[str]] = []

        def fail(letters: frozenset[str]) -> None:
            calls.append(letters)
            raise ZeroDivisionError

        trigger = Trigger(fail, self.clock)
        for _ in range(2):
            trigger.heard(b"W")
            self.clock.advance(0)
        self.assertEqual([frozenset("W")] * 2, calls)
        self.assertEqual(2, len(self.flushLoggedErrors(ZeroDivisionError)))

    def test_closed_with_letters_untold(self) -> None:
        """After closing nothing is told any more."""
        self.trigger.heard(b"W")
        self.trigger.close()
        self.clock.advance(1)
        self.assertEqual([], self.told)


class DoorTests(TestCase):
    """Real sockets in a spool directory."""

    def setUp(self) -> None:
        self.spool = tempfile.mkdtemp(prefix="door-")
        self.addCleanup(shutil.rmtree, self.spool)
        os.mkdir(os.path.join(self.spool, "public"))
        self.told: list[frozenset[str]] = []
        self.waiting: Deferred[None] | None = None
        self.trigger = Trigger(self.tell, reactor)

    def tell(self, letters: frozenset[str]) -> None:
        """Take note of letters, and wake the test."""
        self.told.append(letters)
        if self.waiting is not None:
            waiting, self.waiting = self.waiting, None
            waiting.callback(None)

    async def heard(self) -> set[str]:
        """Everything told so far, once there is something."""
        if not self.told:
            self.waiting = Deferred()
            await self.waiting.addTimeout(60, reactor)
        return set().union(*self.told)

    async def opened(self, spool: str = "") -> Doors:
        """Open the doors of a spool until the test's end."""
        doors = open_doors(reactor, spool or self.spool, self.trigger)
        self.addCleanup(lambda: Deferred.fromCoroutine(doors.close()))
        return doors

    def socket_path(self, name: str = "qmgr") -> str:
        """The path of a door."""
        return os.path.join(self.spool, "public", name)

    async def test_poke_is_heard(self) -> None:
        """Letters poked by one process reach the other's callback."""
        await self.opened()
        self.assertTrue(await deferToThread(poke, self.spool, "WD"))
        self.assertEqual({"W", "D"}, await self.heard())

    async def test_taken_over(self) -> None:
        """Another program that makes the socket anew is noticed, and has it still when the doors are closed."""
        doors = await self.opened()
        self.assertFalse(doors.taken_over)
        os.unlink(self.socket_path())
        self.assertFalse(doors.taken_over)
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(self.socket_path())
            other.listen()
            self.assertTrue(doors.taken_over)
            await doors.close()
            self.assertTrue(poke(self.spool))
        self.assertEqual(["qmgr"], os.listdir(os.path.join(self.spool, "public")))

    async def test_everybody_who_reaches_the_folder_may_ring(self) -> None:
        """The sockets' mode is 0666: the folder's mode decides, as with Postfix."""
        await self.opened()
        modes = {name: stat.S_IMODE(os.stat(self.socket_path(name)).st_mode) for name in ("qmgr", "pickup")}
        self.assertEqual({"qmgr": 0o666, "pickup": 0o666}, modes)

    async def test_nobody_listens(self) -> None:
        """Without a service a poke says so and costs nothing."""
        self.assertFalse(await deferToThread(poke, self.spool))
        self.assertFalse(await deferToThread(poke, "/nonexistent" + "/deep" * 40))

    async def test_closed_doors_leave_nothing(self) -> None:
        """After closing, the sockets are gone and a poke is not heard."""
        doors = await self.opened()
        await doors.close()
        self.assertEqual([], os.listdir(os.path.join(self.spool, "public")))
        self.assertFalse(await deferToThread(poke, self.spool))

    async def test_a_stale_socket_is_replaced(self) -> None:
        """A socket left behind by a crash does not prevent the next start."""
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(self.socket_path())
        await self.opened()
        self.assertTrue(await deferToThread(poke, self.spool, "I"))
        self.assertEqual({"I"}, await self.heard())

    async def test_a_socket_in_use_is_left_alone(self) -> None:
        """Another queue manager's door is not taken away; the error names it, and no other door stays open."""
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(self.socket_path("pickup"))
            other.listen()
            error = await self.refusal()
            self.assertIn("public/pickup: another program is listening on it", error)
        self.assertEqual(["pickup"], os.listdir(os.path.join(self.spool, "public")))

    async def test_a_busy_socket_is_in_use(self) -> None:
        """A listener that does not accept for the moment is a listener."""
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(self.socket_path())
            other.listen(0)
            with socket.socket(socket.AF_UNIX) as first:
                first.connect(self.socket_path())
                self.assertIn("another program is listening", await self.refusal())

    async def test_a_file_in_the_way_is_not_removed(self) -> None:
        """What is no socket is not ours to remove; the operator is told."""
        with open(self.socket_path(), "w") as file:
            file.write("precious")
        self.assertIn("public/qmgr: is not a socket", await self.refusal())
        with open(self.socket_path()) as file:
            self.assertEqual("precious", file.read())

    async def test_a_missing_folder_is_named(self) -> None:
        """Without ``public`` there is an error that names the socket."""
        os.rmdir(os.path.join(self.spool, "public"))
        self.assertIn("public/qmgr: cannot listen: ", await self.refusal())

    async def test_a_missing_deep_folder_is_named(self) -> None:
        """The same where the path is too long to be tried."""
        self.spool = os.path.join(self.spool, "deep" * 40)
        self.assertIn("deep/public: No such file or directory", await self.refusal())

    async def test_a_door_that_was_removed_closes(self) -> None:
        """Closing ends although somebody has removed the socket meanwhile."""
        doors = await self.opened()
        os.unlink(self.socket_path())
        await doors.close()
        self.assertEqual([], os.listdir(os.path.join(self.spool, "public")))

    async def test_a_spool_deeper_than_a_socket_may_lie(self) -> None:
        """A spool directory with a path of 300 bytes has a door as any other, and it leaves as little behind."""
        self.spool = os.path.join(self.spool, *["a" * 50] * 6)
        public = os.path.join(self.spool, "public")
        os.makedirs(public)
        with socket.socket(socket.AF_UNIX) as dead:
            here = os.open(".", os.O_RDONLY)
            os.chdir(public)
            dead.bind("qmgr")
            os.chdir(here)
            os.close(here)
        doors = await self.opened()
        self.assertEqual({"qmgr", "pickup"}, set(os.listdir(public)))
        self.assertTrue(await deferToThread(poke, self.spool, "F"))
        self.assertEqual({"F"}, await self.heard())
        await doors.close()
        self.assertEqual([], os.listdir(public))
        self.assertEqual([], self.open_here())

    def open_here(self) -> list[str]:
        """What this process holds open in the spool."""
        names = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
        targets = [os.readlink(name) for name in names if os.path.lexists(name)]
        return [target for target in targets if target.startswith(self.spool)]

    async def test_a_megabyte_does_not_close_the_door(self) -> None:
        """A client that floods the socket is cut off; the next one is heard."""
        await self.opened()

        def flood() -> str:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(60)
                client.connect(self.socket_path())
                try:
                    client.sendall(b"\x00" * 1_000_000)
                    return "" if client.recv(1) else "closed"
                except (BrokenPipeError, ConnectionResetError):
                    return "cut"

        self.assertIn(await deferToThread(flood), ("cut", "closed"))
        self.assertTrue(await deferToThread(poke, self.spool, "W"))
        self.assertEqual({"W"}, await self.heard())

    async def test_postqueue_flush(self) -> None:
        """The genuine ``postqueue -f`` finds both doors, and asks for everything to be tried now."""
        if POSTQUEUE is None or os.getuid() != 0:
            self.skipTest("needs postqueue(1) and root")
        await self.opened()
        run = await deferToThread(self.flush)
        self.assertEqual((0, b""), (run.returncode, run.stderr))
        self.assertLessEqual(set("FADI"), await self.until(lambda seen: "W" in seen))

    async def until(self, enough: Callable[[set[str]], bool]) -> set[str]:
        """Wait for all that a client sends on several sockets."""
        while not enough(seen := await self.heard()):
            await deferLater(reactor, 0.05)
        return seen

    def flush(self) -> "subprocess.CompletedProcess[bytes]":
        """Run ``postqueue -f`` on our spool, with a configuration of its own."""
        etc = os.path.join(self.spool, "etc")
        os.mkdir(etc)
        os.chmod(self.spool, 0o755)
        with open(os.path.join(etc, "main.cf"), "w") as config:
            config.write(
                f"queue_directory = {self.spool}\nmaillog_file = {self.spool}/log\nmaillog_file_prefixes = /\n"
                "compatibility_level = 3.6\n"
            )
        return subprocess.run([str(POSTQUEUE), "-c", etc, "-f"], capture_output=True, timeout=120, check=False)

    async def refusal(self) -> str:
        """The text of the error that opening the doors ends with."""
        error = self.assertRaises(TriggerError, open_doors, reactor, self.spool, self.trigger)
        await deferLater(reactor, 0)  # those that were open close in the next turn
        return str(error)
