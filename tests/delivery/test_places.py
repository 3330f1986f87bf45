"""Places: so many connections to one address, and no more."""

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.names import dns
from twisted.trial.unittest import SynchronousTestCase, TestCase

import smtpclient.outbound
from smtpclient.config.parameters import ConfigurationError, Parameters
from smtpclient.delivery.destination import Destination
from smtpclient.delivery.means import WalkSettings
from smtpclient.delivery.places import Place, Places, Terms
from smtpclient.delivery.pool import PoolSettings
from smtpclient.delivery.session import Session
from smtpclient.dns.exchangers import Exchanger, Exchangers
from smtpclient.mail.outcome import Peer
from smtpclient.mail.request import DeliveryResult
from smtpclient.smtp.capability import Capabilities
from smtpclient.smtp.channel import Channel
from smtpclient.smtp.settings import DialogueSettings
from smtpclient.tls.policy import CLEAR
from tests.delivery.memory_network import World, short
from tests.delivery.socket_world import SocketWorld
from tests.smtp.scripted_server import PIPELINING, Script
from tests.test_seed_parameters import FIRST, HOME, Play

WHERE = ("192.0.2.1", 25)
TERMS = Terms("mx.example", CLEAR)


def session() -> Session:
    """A session with the server."""
    return Session(Channel(Clock()), DialogueSettings("me.example"), Peer("mx.example", *WHERE), Capabilities(), 0.0)


class Entering(SynchronousTestCase):
    """Places by themselves."""

    def enter(self, places: Places, terms: Terms | None = TERMS, address: str = WHERE[0]) -> Deferred[Place | Session]:
        """Ask for a place."""
        return Deferred.fromCoroutine(places.enter((address, 25), terms))

    def place(self, asked: Deferred[Place | Session]) -> Place:
        """What was got."""
        found = self.successResultOf(asked)
        assert isinstance(found, Place)
        return found

    def test_so_many(self) -> None:
        """So many get a place at once; for another address it is counted by itself."""
        places = Places(2)
        first, second, third = (self.enter(places) for _ in range(3))
        self.place(first), self.place(second)
        self.assertNoResult(third)
        self.place(self.enter(places, address="192.0.2.2"))

    def test_no_limit(self) -> None:
        """With 0 everybody gets one."""
        places = Places(0)
        got = [self.place(self.enter(places)) for _ in range(100)]
        got[0].give_back()
        self.assertEqual(len(got), 100)

    def test_first_come(self) -> None:
        """Who came first is served first, and who comes when there is a free place and others wait is the last."""
        places = Places(1)
        place = self.place(self.enter(places))
        served: list[int] = []
        for number in range(3):
            self.enter(places).addCallback(lambda place, number=number: served.append(number) or place)
        place.give_back()
        self.assertEqual(served, [0])

    def test_given_back_once(self) -> None:
        """A place that is given back twice makes room for one."""
        places = Places(1)
        place = self.place(self.enter(places))
        second, third = self.enter(places), self.enter(places)
        place.give_back()
        place.give_back()
        self.place(second)
        self.assertNoResult(third)

    def test_cancelled(self) -> None:
        """Who does not want to wait any more is passed over."""
        places = Places(1)
        place = self.place(self.enter(places))
        second, third = self.enter(places), self.enter(places)
        second.cancel()
        self.failureResultOf(second, CancelledError)
        place.give_back()
        self.place(third).give_back()
        self.assertFalse(places.is_wanted(session()))
        self.place(self.enter(places))

    def test_many_that_give_back_at_once(self) -> None:
        """Thousands who do not need their place after all are no stack of thousands."""
        places = Places(1)
        place = self.place(self.enter(places))
        served: list[None] = []
        for _ in range(5000):
            self.enter(places).addCallback(lambda place: served.append(place.give_back()))  # type: ignore[func-returns-value, union-attr]
        place.give_back()
        self.assertEqual(len(served), 5000)

    def test_handed_over(self) -> None:
        """A session that is what the first asks for is given to it, with its place."""
        places, standing = Places(1), session()
        place = self.place(self.enter(places))
        places.hold(place, standing.channel)
        second, third = self.enter(places), self.enter(places)
        self.assertTrue(places.is_wanted(standing))
        self.assertTrue(places.hand_over(standing))
        self.assertIs(self.successResultOf(second), standing)
        self.assertNoResult(third)
        place.give_back()
        self.place(third)

    def test_not_handed_over(self) -> None:
        """Who asks for something else, or for a new one, does not get it, and nobody is served before it."""
        for terms in (Terms("other.example", CLEAR), None):
            places, standing = Places(1), session()
            place = self.place(self.enter(places))
            places.hold(place, standing.channel)
            self.enter(places, terms)
            self.enter(places)
            self.assertFalse(places.hand_over(standing))

    def test_idle_one(self) -> None:
        """Who would have to wait is offered what stands idle; when one is closed instead, its place is free."""
        places, standing = Places(1), session()
        places.hold(self.place(self.enter(places)), standing.channel)
        places.idle = lambda where, terms: standing
        self.assertIs(self.successResultOf(self.enter(places)), standing)
        places = Places(1)
        place = self.place(self.enter(places))
        places.idle = lambda where, terms: place.give_back()  # type: ignore[func-returns-value]
        self.place(self.enter(places))


class Limits(SynchronousTestCase):
    """Where the number comes from."""

    def most(self, **values: str) -> int:
        """How many get a place."""
        places = Places.from_parameters(Parameters.from_values(values))
        served: list[object] = []
        for _ in range(200):
            Deferred.fromCoroutine(places.enter(WHERE, TERMS)).addCallback(served.append)
        return len(served)

    def test_rows(self) -> None:
        """As many as a destination of the widest transport may have; or what is set; 0 is no limit in both."""
        rows: dict[int, dict[str, str]] = {
            20: {},
            30: {"default_destination_concurrency_limit": "30"},
            50: {"relay_destination_concurrency_limit": "50"},
            60: {"slow_destination_concurrency_limit": "60", "smtp_destination_concurrency_limit": "3"},
            200: {"slow_destination_concurrency_limit": "0"},
            5: {"smtp_host_connection_limit": "5", "relay_destination_concurrency_limit": "50"},
            199: {"smtp_host_connection_limit": "199"},
        }
        self.assertEqual({wanted: self.most(**values) for wanted, values in rows.items()}, {n: n for n in rows})
        self.assertEqual(self.most(smtp_host_connection_limit="0"), 200)

    def test_wrong_values(self) -> None:
        """What is no number is refused."""
        for value in ("-1", "many", "1.5"):
            with self.assertRaises(ConfigurationError):
                Parameters.from_values({"smtp_host_connection_limit": value})


class Shared(SynchronousTestCase):
    """Destinations that share a server: whole attempts."""

    def world(self, script: Script | None = None, **pool: Any) -> World:
        """Three destinations, a, b and c, that share a server with one place; and o, the same by another name."""
        world = World({}, most=1, pool=PoolSettings(**pool))
        world.place("a.example", {"a": script or Script(ehlo=PIPELINING)}, preference=10)
        [shared] = world.lookup.sites["a.example"].addresses
        for name in "bc":
            site = f"{name}.example"
            world.lookup.sites[site] = Exchangers(Destination(site, 25, True, False), (shared,))
        other = Exchanger("other.example", shared.address, 25, 10)
        world.lookup.sites["o.example"] = Exchangers(Destination("o.example", 25, True, False), (other,))
        return world

    def begin(self, world: World, name: str, **changes: Any) -> Deferred[DeliveryResult]:
        """Begin a delivery to a destination."""
        request = world.request(f"u@{name}.example", next_hop=f"{name}.example", **changes)
        return Deferred.fromCoroutine(world.attempt(request))

    def finish(self, world: World, *running: Deferred[DeliveryResult]) -> list[str]:
        """Go on until they are through; their outcomes."""

        async def wait() -> list[str]:
            return [outcome for one in running for outcome in short(await one)]

        return world.run(wait())

    def test_waits(self) -> None:
        """The second waits for the end of the first, and is not deferred; what it waits is time to connect."""
        world = self.world(Script({"eod": ["!sleep 60", "250 2.0.0 Ok"]}), on_demand=False)
        first, second = self.begin(world, "a"), self.begin(world, "b")
        world.flush()
        self.assertEqual(len(world.sessions("a")), 1)
        self.assertEqual(self.finish(world, first, second), ["sent 2.0.0"] * 2)
        self.assertEqual([batch[0].delays.connecting for batch in world.settled], [0.0, 60.0])

    def test_gets_the_session(self) -> None:
        """Who waits gets the session of another destination, when it asks for nothing else."""
        world = self.world()
        running = [self.begin(world, name) for name in "abcab"]
        self.assertEqual(self.finish(world, *running), ["sent 2.0.0"] * 5)
        self.assertEqual([batch[0].session_uses for batch in world.settled], [1, 2, 3, 4, 5])
        self.assertEqual(world.verbs("a").split().count("QUIT"), 1)

    def test_gets_no_session_of_another_name(self) -> None:
        """Under another name the server is another one, whose session is closed to make room."""
        world = self.world()
        running = [self.begin(world, name) for name in "aoa"]
        self.assertEqual(self.finish(world, *running), ["sent 2.0.0"] * 3)
        self.assertEqual([batch[0].session_uses for batch in world.settled], [1, 1, 1])
        self.assertEqual([one.verbs[-1] for one in world.sessions("a")], ["QUIT"] * 3)

    def test_parked_one_makes_room(self) -> None:
        """A session that waits for more mail of its destination is used, or closed, at once."""
        for name, uses in (("b", 2), ("o", 1)):
            world = self.world()
            self.assertEqual(self.finish(world, self.begin(world, "a", backlog=lambda: True)), ["sent 2.0.0"])
            began = world.clock.seconds()
            self.assertEqual(self.finish(world, self.begin(world, name)), ["sent 2.0.0"])
            self.assertEqual((world.settled[1][0].session_uses, world.clock.seconds()), (uses, began))

    def test_limits_of_reuse_hold(self) -> None:
        """A session that has carried as many messages as it may is not given on."""
        world = self.world(uses=2)
        running = [self.begin(world, name) for name in "abcab"]
        self.assertEqual(self.finish(world, *running), ["sent 2.0.0"] * 5)
        self.assertEqual([batch[0].session_uses for batch in world.settled], [1, 2, 1, 2, 1])

    def test_dead_session(self) -> None:
        """When the session that one gets turns out dead, a new one is opened at the same address."""
        world = self.world(Script({"mail": ("!default", "!close")}, ehlo=PIPELINING))
        self.assertEqual(self.finish(world, self.begin(world, "a"), self.begin(world, "b")), ["sent 2.0.0"] * 2)
        self.assertEqual(len(world.sessions("a")), 2)

    def test_backup_is_not_used(self) -> None:
        """Who waits for a place at the best server does not go to a worse one."""
        world = self.world(Script({"eod": ["!sleep 60", "250 2.0.0 Ok"]}))
        [shared] = world.lookup.sites["b.example"].addresses
        world.place("x.example", {"backup": Script()}, preference=20)
        [backup] = world.lookup.sites["x.example"].addresses
        world.lookup.sites["b.example"] = Exchangers(Destination("b.example", 25, True, False), (shared, backup))
        self.finish(world, self.begin(world, "a"), self.begin(world, "b"))
        self.assertEqual(world.sessions("backup"), [])

    def test_equal_is_used(self) -> None:
        """A server of the same preference that has a place gets the mail after the stagger, and nobody is blamed."""
        world = self.world(Script({"eod": ["!sleep 60", "250 2.0.0 Ok"]}))
        [shared] = world.lookup.sites["b.example"].addresses
        world.place("x.example", {"equal": Script()}, preference=10)
        [equal] = world.lookup.sites["x.example"].addresses
        world.lookup.sites["b.example"] = Exchangers(Destination("b.example", 25, True, False), (shared, equal))
        first, second = self.begin(world, "a"), self.begin(world, "b")
        self.finish(world, second)
        self.assertEqual((world.clock.seconds(), len(world.sessions("equal"))), (1000.25, 1))
        self.assertFalse(world.means.reachability.is_silent(shared, world.clock.seconds()))
        self.finish(world, first)

    def test_session_that_moves_on_gives_its_place_back(self) -> None:
        """Between its sessions nobody holds a place: two that go from server to server do not wait for each other."""
        grey = Script({"mail": ["!sleep 1", "450 4.7.1 grey"]})
        world = World({}, most=1, walk=WalkSettings(session_limit=2))
        world.place("a.example", {"a": grey, "b": grey})
        one, two = world.lookup.sites["a.example"].addresses
        there = Exchanger(two.host, two.address, 25, 10), Exchanger(one.host, one.address, 25, 20)
        world.lookup.sites["b.example"] = Exchangers(Destination("b.example", 25, True, False), there)
        self.assertEqual(self.finish(world, self.begin(world, "a"), self.begin(world, "b")), ["deferred 4.7.1"] * 2)

    def test_cancelled(self) -> None:
        """Who is cancelled while it waits, or carries, leaves its place to the next."""
        world = self.world(Script({"eod": ["!sleep 60", "250 2.0.0 Ok"]}, ehlo=PIPELINING))
        first, second, third = (self.begin(world, name) for name in "abc")
        world.flush()
        for one in (second, first):
            one.cancel()
            self.failureResultOf(one, CancelledError)
            world.flush()
        self.assertEqual(self.finish(world, third), ["sent 2.0.0"])

    def test_stands_by(self) -> None:
        """Whoever asks is told how many deliveries do nothing but wait, and in the end that none does."""
        world = self.world(Script({"eod": ["!sleep 60", "250 2.0.0 Ok"]}), on_demand=False)
        standing: list[int] = []
        world.means.watch_places(lambda change: standing.append(sum(standing[-1:]) + change))
        running = [self.begin(world, name) for name in "abcab"]
        self.assertEqual(standing, [1, 2, 3, 4])
        running[4].cancel()
        self.failureResultOf(running[4], CancelledError)
        self.finish(world, *running[:4])
        self.assertEqual(standing, [1, 2, 3, 4, 3, 2, 1, 0])

    def test_does_not_stand_by_while_it_calls_another(self) -> None:
        """Who waits for one place and calls another server beside it uses a connection."""
        world = self.world(Script({"eod": ["!sleep 60", "250 2.0.0 Ok"]}))
        [shared] = world.lookup.sites["b.example"].addresses
        world.place("x.example", {"equal": Script()}, preference=10)
        [equal] = world.lookup.sites["x.example"].addresses
        world.connector.delays[equal.address] = 5.0
        world.lookup.sites["b.example"] = Exchangers(Destination("b.example", 25, True, False), (shared, equal))
        told: list[tuple[float, int]] = []
        world.means.watch_places(lambda change: told.append((world.clock.seconds() - 1000.0, change)))
        self.finish(world, self.begin(world, "a"), self.begin(world, "b"))
        self.assertEqual(told, [(0.0, 1), (0.25, -1)])

    def test_unreachable(self) -> None:
        """Connections that do not come about hold no place."""
        world = self.world()
        world.connector.scripts = dict.fromkeys(world.connector.scripts, "Connection refused")
        running = [self.begin(world, name) for name in "abc"]
        self.assertEqual(self.finish(world, *running), ["deferred 4.4.1"] * 3)

    def test_close(self) -> None:
        """The end of the agent leaves nothing behind."""
        world = self.world()
        self.finish(world, self.begin(world, "a", backlog=lambda: True))
        world.run(world.means.close())
        self.assertEqual(world.clock.getDelayedCalls(), [])
        self.assertEqual(self.finish(world, self.begin(world, "o")), ["sent 2.0.0"])


class Services(SynchronousTestCase):
    """The whole service, in simulated time."""

    def play(self, **parameters: str) -> Play:
        """Ten domains whose only exchanger is one server."""
        play = Play(**parameters)
        for number in range(10):
            play.zone[f"d{number}.test", dns.MX] = [dns.Record_MX(10, b"mx.home.test")]
        return play

    def test_shared_server(self) -> None:
        """Ten domains together have no more connections to their server than the limit, and all mail arrives."""
        recipients = [f"u{n}@d{n % 10}.test" for n in range(100)]
        most = {}
        for limit in ("3", "", "0"):
            play = self.play(smtp_host_connection_limit=limit, smtp_destination_recipient_limit="1")
            outcomes = play.run(*recipients, seconds=60.0)
            self.assertEqual([outcome.disposition.value for outcome in outcomes], ["sent"] * 100, limit)
            most[limit] = play.hosts[HOME].most
        # Without a limit the windows of all let through more than one alone.
        self.assertEqual((most["3"], most[""], most["0"] > 20), (3, 20, True))

    def test_others_are_not_held_up(self) -> None:
        """However many wait for a slow server, mail for another domain goes out at once."""
        self.patch(smtpclient.outbound, "_DESCRIPTORS", 256)
        play = Play(smtp_host_connection_limit="2", smtp_destination_recipient_limit="1")
        for number in range(100):
            play.zone[f"d{number}.test", dns.MX] = [dns.Record_MX(10, b"mx.home.test")]
        play.host(HOME, eod=["!sleep 5", "250 2.0.0 Ok"])
        play.host(FIRST)
        play.run(*(f"u{n}@d{n % 100}.test" for n in range(400)), seconds=3.0)
        submitting = play.outbound.submit("me@home.test", ["you@there.test"], b"Subject: x\n\nx\n")
        receipt = Deferred.fromCoroutine(submitting)
        play.reactor.advance(2.0)
        self.assertEqual(len(play.hosts[FIRST].sessions), 1)
        self.successResultOf(receipt)

    def test_stop_while_many_wait(self) -> None:
        """When the service stops nobody waits on, and no connection is left."""
        play = self.play(smtp_host_connection_limit="1", smtp_destination_recipient_limit="1")
        play.host(HOME, mail="!hang")
        play.run(*(f"u@d{n}.test" for n in range(10)), seconds=10.0)
        stopped: list[object] = []
        stopping = play.outbound.stopService()
        assert stopping is not None
        stopping.addBoth(stopped.append)
        play.reactor.advance(60.0)
        self.assertEqual((stopped, list(play.reactor.network.ends), play.reactor.getDelayedCalls()), ([None], [], []))


class Sockets(TestCase):
    """Real connections."""

    async def test_shared_server(self) -> None:
        """Three destinations get on with two connections to their server, and nobody is deferred."""
        world = SocketWorld({"a": Script({"eod": ["!sleep 0.02", "250 2.0.0 Ok"]})}, most=2)
        deliveries = [
            Deferred.fromCoroutine(world.deliver(f"u{number}@x", site=f"d{number % 3}.example")) for number in range(9)
        ]
        outcomes = [outcome for delivery in deliveries for outcome in short(await delivery)]
        self.assertEqual((outcomes, len(world.sessions("a"))), (["sent 2.0.0"] * 9, 2))
        await world.close()

    async def test_server_that_closes(self) -> None:
        """Where every session ends after one message, places go on from one to the next."""
        world = SocketWorld({"a": Script({"eod": ["250 2.0.0 Ok", "!close"]})}, most=1)
        deliveries = [Deferred.fromCoroutine(world.deliver("u@x", site=f"d{number}.example")) for number in range(5)]
        outcomes = [outcome for delivery in deliveries for outcome in short(await delivery)]
        self.assertEqual((outcomes, len(world.sessions("a"))), (["sent 2.0.0"] * 5, 5))
        await world.close()
