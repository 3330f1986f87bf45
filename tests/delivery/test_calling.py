"""Calling the addresses of a site: one after the other, and beside each other where one does not answer."""

import errno
import os
from typing import Any

from twisted.internet import error, reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import ClientFactory
from twisted.internet.task import Clock
from twisted.names import dns
from twisted.trial.unittest import SynchronousTestCase, TestCase

from smtpclient.delivery.calling import Called, Caller, Calling
from smtpclient.delivery.connector import Connector, ConnectorSettings, NoAnswer, NoRoute, Shortage, Unreachable
from smtpclient.delivery.means import WalkSettings
from smtpclient.delivery.places import Places, Terms
from smtpclient.delivery.reachability import Reachability
from smtpclient.delivery.security import Barred
from smtpclient.dns.order import Exchanger
from smtpclient.mail.outcome import Disposition
from smtpclient.observe.maillog import MailLog
from smtpclient.smtp.channel import Channel
from smtpclient.smtp.verdict import Verdict
from smtpclient.tls.policy import CLEAR
from tests.delivery.memory_network import MemoryConnector, World, short
from tests.delivery.socket_world import silent_port
from tests.ports import free_port
from tests.simulation.network import Dial
from tests.smtp.scripted_server import Script, ScriptedServer
from tests.test_seed_parameters import FIRST, SECOND, Play

NEVER = 1e9
REFUSED = Unreachable("Connection refused")
TIMED_OUT = NoAnswer("Connection timed out")


class CallingTestCase(SynchronousTestCase):
    """Addresses that answer when a test says so."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.connector = MemoryConnector(self.clock)
        self.reachability = Reachability()
        self.places = Places(2)
        self.lines: list[str] = []
        maillog = MailLog(self.clock.seconds)
        maillog.publisher.addObserver(lambda event: self.lines.append(event["mail_line"]))
        self.caller = Caller(self.connector, self.reachability, self.places, self.clock, maillog)  # type: ignore[arg-type]
        self.barred: set[str] = set()

    def exchangers(self, text: str) -> tuple[Exchanger, ...]:
        """
        From words such as ``10:4a``, ``20:6b``: preference, family, and a letter.

        Behind ``=`` stands when it answers, seconds; and behind that ``!`` where it fails then.
        """
        found = []
        for word in text.split():
            preference, _, rest = word.partition(":")
            name, _, when = rest.partition("=")
            address = f"192.0.2.{ord(name[1])}" if name[0] == "4" else f"2001:db8::{ord(name[1]):x}"
            found.append(Exchanger(name[1], address, 25, int(preference)))
            self.connector.scripts[address] = REFUSED if when.endswith("!") else Script()
            if when.rstrip("!"):
                self.connector.delays[address] = float(when.rstrip("!"))
        return tuple(found)

    def calling(self, text: str, **changes: Any) -> Calling:
        """Begin with these addresses."""

        async def terms(exchanger: Exchanger) -> Terms:
            if exchanger.host in self.barred:
                raise Barred(Verdict(Disposition.DEFERRED, "4.7.5", exchanger.host))
            return Terms(exchanger.host, CLEAR)

        caller = Caller(
            *(getattr(self.caller, name) for name in ("connector", "reachability", "places", "clock", "maillog")),
            **changes,
        )
        return Calling(caller, self.exchangers(text), terms)

    def next(self, calling: Calling) -> Deferred[Called | None]:
        """Ask for the next."""
        return Deferred.fromCoroutine(calling.next())

    def step(self, times: int = 1) -> None:
        """Go to the next thing that happens."""
        for _ in range(times):
            pending = min(call.getTime() for call in self.clock.getDelayedCalls())
            self.clock.advance(max(pending - self.clock.seconds(), 0.0))

    def all(self, calling: Calling) -> str:
        """What is told, address by address, to the end; ``!`` where it failed, ``-`` where it was not called."""
        told = []
        while True:
            asked: list[Called | None] = []
            self.next(calling).addCallback(asked.append)
            while not asked:
                self.step()
            if asked[0] is None:
                return " ".join(told)
            line = asked[0].line
            told.append(
                asked[0].exchanger.host
                + ("" if isinstance(line, Channel) else "-" if isinstance(line, Barred) else "!")
            )

    def calls(self) -> str:
        """Who was called, and when, in hundredths of a second."""
        names = (address.rpartition("." if "." in address else ":")[2] for address in self.connector.attempts)
        letters = [chr(int(n, 10 if "." in a else 16)) for n, a in zip(names, self.connector.attempts, strict=True)]
        return " ".join(f"{n}{round((t - 1000) * 100)}" for n, t in zip(letters, self.connector.times, strict=True))


class OneAfterTheOther(CallingTestCase):
    """Where everybody answers."""

    def test_first_is_open(self) -> None:
        """Who is open at once is the only one that is called."""
        called = self.successResultOf(self.next(self.calling("10:4a 10:4b 20:4c")))
        assert called is not None
        self.assertEqual((called.exchanger.host, called.last, self.calls()), ("a", False, "a0"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_refused(self) -> None:
        """A refusal moves on at once, and is told before the next is called."""
        calling = self.calling("10:4a=! 10:4b 20:4c=!")
        first = self.successResultOf(self.next(calling))
        assert first is not None
        self.assertEqual((first.exchanger.host, first.line, self.calls()), ("a", REFUSED, "a0"))
        self.assertEqual((self.all(calling), self.calls()), ("b c!", "a0 b0 c0"))

    def test_last(self) -> None:
        """Of the last address it is said that it is the last."""
        calling = self.calling("10:4a=! 20:4b=!")
        told = [self.successResultOf(self.next(calling)) for _ in range(3)]
        self.assertEqual([called and called.last for called in told], [False, True, None])

    def test_slow_to_refuse(self) -> None:
        """Who refuses before the stagger is over is followed at once, and nobody is called beside it."""
        self.assertEqual((self.all(self.calling("10:4a=0.2! 10:4b")), self.calls()), ("a! b", "a0 b20"))

    def test_never_across_preferences(self) -> None:
        """A worse preference waits for the end of the better, however long that takes."""
        self.assertEqual((self.all(self.calling("10:4a=30! 20:4b")), self.calls()), ("a! b", "a0 b3000"))

    def test_no_stagger(self) -> None:
        """With 0, addresses of one preference are called one after the other, too."""
        calling = self.calling("10:4a=30! 10:4b", stagger=0.0)
        self.assertEqual((self.all(calling), self.calls()), ("a! b", "a0 b3000"))

    def test_barred(self) -> None:
        """Who must not be called is told in its place, and not called."""
        self.barred = {"a", "c"}
        self.assertEqual((self.all(self.calling("10:4a 10:4b=! 20:4c")), self.calls()), ("a- b! c-", "b0"))


class Beside(CallingTestCase):
    """Where one does not answer."""

    def test_second_is_open(self) -> None:
        """After the stagger the next is called beside it; when that is open, the first is given up."""
        called = self.next(self.calling(f"10:4a={NEVER} 10:4b=0.1 10:4c"))
        self.step()
        self.assertEqual((self.calls(), len(self.connector.under_way)), ("a0 b25", 2))
        self.step()
        self.assertEqual(self.successResultOf(called).exchanger.host, "b")  # type: ignore[union-attr]
        self.assertEqual((self.connector.under_way, self.clock.getDelayedCalls()), ([], []))

    def test_first_is_open_after_all(self) -> None:
        """The first to be open is taken, and that may be the first that was called; it is not blamed."""
        calling = self.calling("10:4a=0.4 10:4b=5")
        self.assertEqual(self.all(calling), "a b")
        self.assertEqual(self.lines, [])
        self.assertFalse(
            any(self.reachability.is_silent(e, self.clock.seconds()) for e in self.exchangers("10:4a 10:4b"))
        )

    def test_other_family_first(self) -> None:
        """Beside an address that does not answer, one of the other family is called before its like."""
        self.all(self.calling("10:6a=9 10:6b=1 10:4c=1 10:4d=1"))
        self.assertEqual(self.calls()[:14], "a0 c25 b50 d75")

    def test_so_many_at_once(self) -> None:
        """No more than four at once, and never one of another preference."""
        calling = self.calling(" ".join(f"10:4{name}=20!" for name in "abcdef") + " 20:4g")
        self.assertEqual(self.all(calling), "a! b! c! d! e! f! g")
        self.assertEqual(self.calls(), "a0 b25 c50 d75 e2000 f2025 g4025")

    def test_refusal_beside_moves_on_at_once(self) -> None:
        """When the one beside refuses, the next is called at once."""
        self.assertEqual((self.all(self.calling("10:4a=9! 10:4b=! 10:4c=9")), self.calls()), ("a! b! c", "a0 b25 c25"))

    def test_failures_are_told_in_order(self) -> None:
        """Whoever fails first: the last failure that is told is that of the last address."""
        self.assertEqual(self.all(self.calling("10:6a=3! 10:6b=2! 10:4c=! 20:4d=!")), "a! b! c! d!")

    def test_failures_are_told_before_the_open_one(self) -> None:
        """What failed before another was open is told, in order, and then the open one; then who was given up."""
        calling = self.calling("10:4a=9! 10:4b=! 10:4c=0.6! 10:4d=0.7 10:4e=5!")
        self.assertEqual(self.all(calling), "b! c! d a! e!")

    def test_what_was_given_up_comes_last_of_its_preference(self) -> None:
        """Should the open one come to nothing: who was not called, who was given up, and then the others."""
        calling = self.calling("10:4a=3! 10:4b 10:4c=! 20:4d=!")
        self.assertEqual((self.all(calling), self.calls()), ("b c! a! d!", "a0 b25 c25 a25 d325"))

    def two_open(self) -> Calling:
        """Of three the first has failed and was told, and the others are open since, while nobody asked."""
        calling = self.calling("10:4a=1! 10:4b=1 10:4c=1")
        asked = self.next(calling)
        self.step(3)
        self.assertEqual(self.successResultOf(asked).exchanger.host, "a")  # type: ignore[union-attr]
        self.step(2)
        self.assertEqual(len(self.connector.sessions), 2)
        return calling

    def test_two_open_at_once(self) -> None:
        """Of two that are open one is dropped, and called again if it is asked for."""
        calling = self.two_open()
        self.assertEqual((self.all(calling), self.calls()), ("b c", "a0 b25 c50 c150"))

    def test_closed_with_two_open(self) -> None:
        """Connections that nobody has got are dropped."""
        self.two_open().close()
        lost = [one for sessions in self.connector.sessions.values() for one in sessions]
        for pump in self.connector.pumps:
            pump.flush()
        self.assertEqual([one.transport.disconnected for one in lost], [True, True])  # type: ignore[union-attr]
        self.assertFalse(self.places._held)

    def test_policy_is_asked_beside(self) -> None:
        """Who must not be called is not called beside another either."""
        self.barred = {"b"}
        self.assertEqual((self.all(self.calling("10:4a=3! 10:4b 10:4c")), self.calls()), ("b- c a!", "a0 c25 a25"))

    def test_policy_that_was_given_up(self) -> None:
        """Who was given up while its policy was looked up is asked for it again, whatever came of that lookup."""
        calling = self.calling("10:4a 10:4b 20:4c=!")
        plain, asked = calling._terms, []

        async def slow(exchanger: Exchanger) -> Terms:
            asked.append(exchanger.host)
            if asked == ["a"]:
                try:
                    await Deferred()
                except CancelledError:
                    raise Barred(Verdict(Disposition.DEFERRED, "4.7.5", "no policy")) from None
            return await plain(exchanger)

        calling._terms = slow
        self.assertEqual((self.all(calling), asked), ("b a c!", ["a", "b", "a", "c"]))

    def test_shortage_beside(self) -> None:
        """When this machine has not enough for two at once, the one that is under way is waited for."""
        calling = self.calling("10:4a=1 10:4b 10:4c")
        self.connector.scripts["192.0.2.98"] = Shortage("Too many open files")
        self.assertEqual(self.all(calling), "a b! c")
        self.assertEqual(self.calls(), "a0 b25 b100 c100")

    def test_cancelled(self) -> None:
        """Who no longer waits calls nobody any more."""
        calling = self.calling(f"10:4a={NEVER} 10:4b={NEVER}")
        asked = self.next(calling)
        self.clock.advance(0.25)
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        calling.close()
        self.assertEqual((self.connector.under_way, self.clock.getDelayedCalls()), ([], []))

    def test_closed_between(self) -> None:
        """Between two questions, too, nothing stays under way."""
        calling = self.calling(f"10:4a=1! 10:4b={NEVER}")
        asked = self.next(calling)
        self.clock.pump([0.25] * 4)
        self.assertEqual(self.successResultOf(asked).exchanger.host, "a")  # type: ignore[union-attr]
        calling.close()
        self.assertEqual((self.connector.under_way, self.clock.getDelayedCalls()), ([], []))

    def test_defect(self) -> None:
        """What is no failure to connect is raised, and not told as one."""
        calling = self.calling("10:4a=1 10:4b=1")
        self.connector.scripts["192.0.2.97"] = ZeroDivisionError()
        asked = self.next(calling)
        self.clock.pump([0.5] * 2)
        self.failureResultOf(asked, ZeroDivisionError)
        calling.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class Remembered(CallingTestCase):
    """What is noted for the next delivery."""

    def silent(self, text: str) -> str:
        """Who of these is remembered."""
        return "".join(e.host for e in self.exchangers(text) if self.reachability.is_silent(e, self.clock.seconds()))

    def test_given_up(self) -> None:
        """Who was not open in time is remembered, and the log says so; not who was only just called."""
        asked = self.next(self.calling("10:4a=9 10:4b=0.3 10:4c=9"))
        self.step(3)
        self.assertEqual(self.successResultOf(asked).exchanger.host, "b")  # type: ignore[union-attr]
        self.assertEqual(self.silent("10:4a 10:4b 10:4c"), "a")
        self.assertEqual(self.lines, ["connect to a[192.0.2.97]:25: no answer before b[192.0.2.98]:25 was open"])

    def test_timed_out(self) -> None:
        """Who timed out is remembered; who refused is not."""
        calling = self.calling("10:4a 20:4b=!")
        self.connector.scripts["192.0.2.97"] = TIMED_OUT
        self.all(calling)
        self.assertEqual(self.silent("10:4a 20:4b"), "a")

    def test_open_again(self) -> None:
        """Who is open is no longer remembered."""
        [exchanger] = self.exchangers("10:4a")
        self.reachability.no_answer(exchanger, self.clock.seconds())
        self.all(self.calling("10:4a"))
        self.assertEqual(self.silent("10:4a"), "")

    def test_no_route(self) -> None:
        """A family to which there is no route is remembered when the other works."""
        calling = self.calling("10:6a 10:6b 10:6c 10:4d 10:6e")
        self.connector.scripts |= {f"2001:db8::{ord(n):x}": NoRoute("Network is unreachable") for n in "abc"}
        for _ in range(4):
            self.successResultOf(self.next(calling))
        self.assertEqual(self.silent("10:6a 10:6x 10:4d"), "ax")
        self.successResultOf(self.next(calling))
        self.assertEqual(self.silent("10:6a 10:6x 10:4d"), "")  # one of it was open


class Walks(SynchronousTestCase):
    """Whole attempts."""

    def world(self, delays: dict[str, float], *, walk: WalkSettings | None = None, **scripts: Script | str) -> World:
        """Servers of one preference."""
        world = World({}, walk=walk)
        world.place("example.org", scripts, preference=10)
        world.connector.delays = {a: delays[name] for a, name in world.names.items() if name in delays}
        return world

    def test_dead_address_costs_one_stagger_and_then_nothing(self) -> None:
        """The first delivery waits a quarter of a second for a dead address; the next ones do not call it."""
        world = self.world({"a": NEVER}, a=Script(), b=Script())
        spent = []
        for _ in range(3):
            began = world.clock.seconds()
            self.assertEqual(short(world.deliver()), ["sent 2.0.0"])
            spent.append(world.clock.seconds() - began)
        self.assertEqual((spent, world.attempts), ([0.25, 0.0, 0.0], "a b b b"))

    def test_tried_again(self) -> None:
        """After ten minutes it is called again."""
        world = self.world({"a": NEVER}, a=Script(), b=Script())
        world.deliver()
        world.connector.delays.clear()
        world.clock.advance(599.0)
        world.deliver()
        world.clock.advance(1.0)
        world.deliver()
        self.assertEqual(world.attempts, "a b b a")

    def test_all_fail(self) -> None:
        """When nobody answers, each has its line in the log, in order, and the last is the reason."""
        world = self.world(
            {"a": 30.0, "b": 30.0, "c": 1.0}, a="Connection timed out", b="Connection timed out", c="Refused"
        )
        [outcome] = world.deliver().outcomes
        self.assertEqual(
            world.lines,
            [
                "connect to mx-a.example[192.0.2.1]:25: Connection timed out",
                "connect to mx-b.example[192.0.2.2]:25: Connection timed out",
                "connect to mx-c.example[192.0.2.3]:25: Refused",
            ],
        )
        self.assertEqual(outcome.reason, "connect to mx-c.example[192.0.2.3]:25: Refused")
        self.assertEqual(world.clock.seconds(), 1030.25)

    def test_session_that_fails_goes_on_to_who_was_given_up(self) -> None:
        """Sessions are counted as ever, and who was given up has its turn when another session is allowed."""
        grey = Script({"mail": "450 4.7.1 grey"})
        attempts = {}
        for limit in (1, 2):
            world = self.world({"a": 1.0}, walk=WalkSettings(session_limit=limit), a=Script(), b=grey)
            attempts[limit] = short(world.deliver()), world.attempts
        self.assertEqual(attempts, {1: (["deferred 4.7.1"], "a b"), 2: (["sent 2.0.0"], "a b a")})

    def test_slow_greeting_is_an_answer(self) -> None:
        """A server that is slow to greet is waited for."""
        world = self.world({}, a=Script({"connect": ["!sleep 1", "220 mx"]}), b=Script())
        self.assertEqual((short(world.deliver()), world.attempts), (["sent 2.0.0"], "a"))

    def test_cancelled_everywhere(self) -> None:
        """Whenever it is cancelled, no connection of it stays."""
        for moment in range(12):
            world = self.world({"a": NEVER, "b": 0.1}, a=Script(), b=Script({"mail": "!hang"}))
            running = Deferred.fromCoroutine(world.attempt(world.request()))
            for _ in range(moment):
                world.clock.advance(0.05)
                world.flush()
            running.cancel()
            self.failureResultOf(running, CancelledError)
            world.flush()
            self.assertEqual((world.connector.under_way, world.clock.getDelayedCalls()), ([], []))


class Services(SynchronousTestCase):
    """The parameters, with the whole service in simulated time."""

    def spent(self, **parameters: str) -> list[float]:
        """How long deliveries take to a domain of two equal servers, one of them dead."""
        play = Play(smtp_randomize_addresses="no", smtp_connection_cache_on_demand="no", **parameters)
        play.zone["there.test", dns.MX] = [dns.Record_MX(10, b"first.test"), dns.Record_MX(10, b"second.test")]
        play.host(SECOND)
        network = play.reactor.network
        dial = network.dial

        def answer(host: str, port: int, factory: ClientFactory, timeout: float) -> Dial:
            network.weather.vanish = float(host == FIRST)
            return dial(host, port, factory, timeout)

        network.dial = answer  # type: ignore[method-assign]
        play.values["smtp_destination_concurrency_limit"] = "1"
        return [outcome.delays.connecting for outcome in play.run(messages=2, seconds=100.0)]

    def test_rows(self) -> None:
        """What the two parameters make of a dead address."""
        rows = {
            "0.25s": ({}, 0.25, 0.0),
            "1s": ({"smtp_connect_stagger_time": "1s"}, 1.0, 0.0),
            "not beside": ({"smtp_connect_stagger_time": "0"}, 30.0, 0.0),
            "no memory": ({"smtp_slow_address_time_limit": "0"}, 0.25, 0.25),
            "neither": ({"smtp_connect_stagger_time": "0", "smtp_slow_address_time_limit": "0"}, 30.0, 30.0),
        }
        for name, (parameters, *wanted) in rows.items():
            spent = self.spent(**parameters)
            self.assertEqual([round(s - w) for s, w in zip(spent, wanted, strict=True)], [0, 0], (name, spent))


class Sockets(TestCase):
    """Real connections."""

    async def told(self, *addresses: tuple[str, int], stagger: float = 0.05) -> str:
        """Who answers."""
        exchangers = [Exchanger(f"mx{number}", *where, 10) for number, where in enumerate(addresses)]
        connector = Connector(reactor, reactor, ConnectorSettings(5.0))
        caller = Caller(connector, Reachability(), Places(), reactor, MailLog(), stagger)  # type: ignore[arg-type]

        async def terms(exchanger: Exchanger) -> Terms:
            return Terms(exchanger.host, CLEAR)

        calling = Calling(caller, exchangers, terms)
        told = []
        while (called := await calling.next()) is not None:
            if isinstance(called.line, Channel):
                called.line.abort()
                await called.line.gone()
                told.append(called.exchanger.host)
                break
            told.append(str(called.line))
        calling.close()
        return " ".join(told)

    async def test_silent_one(self) -> None:
        """A host that answers nothing is passed, over IPv4 and IPv6."""
        for address in ("127.0.0.1", "::1"):
            server = ScriptedServer(Script(), reactor)
            try:
                port = server.listen(reactor, address)
            except error.CannotListenError:
                continue  # a machine without IPv6
            where = address, port
            self.assertEqual(await self.told(("127.0.0.1", silent_port(self)), where), "mx1")
            await server.close()

    async def test_refused(self) -> None:
        """A host that refuses is told, and passed at once, whatever the stagger."""
        server = ScriptedServer(Script(), reactor)
        where = "127.0.0.1", server.listen(reactor)
        refused = os.strerror(errno.ECONNREFUSED)
        self.assertEqual(await self.told(("127.0.0.1", free_port()), where, stagger=60.0), f"{refused} mx1")
        await server.close()
