"""The pool: sessions that wait."""

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.parameters import Parameters
from smtpclient.delivery.pool import Pool, PoolSettings
from smtpclient.delivery.session import Session
from smtpclient.smtp.capability import Capabilities
from smtpclient.smtp.channel import Channel
from smtpclient.smtp.settings import DialogueSettings
from tests.smtp.in_memory import PEER
from tests.smtp.test_channel import Transport

KEY = ("smtp", "example.org", None, "")


class PoolTestCase(SynchronousTestCase):
    """A pool on a clock of its own."""

    def setUp(self) -> None:
        self.clock = Clock()

    def pool(self, **settings: object) -> Pool:
        """A pool with these settings."""
        return Pool(PoolSettings(**settings), self.clock)  # type: ignore[arg-type]

    def session(self, *, skip_quit_response: bool = True) -> tuple[Session, Transport]:
        """A session that stands."""
        channel, transport = Channel(self.clock), Transport()
        channel.makeConnection(transport)
        settings = DialogueSettings("me.example", skip_quit_response=skip_quit_response)
        return Session(channel, settings, PEER, Capabilities(), self.clock.seconds()), transport

    def lose(self, session: Session) -> None:
        """The connection ends."""
        session.channel.connectionLost(Failure(ConnectionDone()))


class Wanted(PoolTestCase):
    """Which sessions are kept."""

    def test_on_demand(self) -> None:
        """While more mail waits, or for a destination that is listed."""
        session, _ = self.session()
        plain, off = self.pool(), self.pool(on_demand=False)
        listed = self.pool(on_demand=False, destinations=frozenset({"example.org"}))
        table = {
            "backlog": (plain.wants(KEY, session, "example.org", True), True),
            "no backlog": (plain.wants(KEY, session, "example.org", False), False),
            "not on demand": (off.wants(KEY, session, "example.org", True), False),
            "listed": (listed.wants(KEY, session, "Example.ORG", False), True),
            "not listed": (listed.wants(KEY, session, "example.net", True), False),
        }
        self.assertEqual(
            {name: found for name, (found, _) in table.items()}, {name: want for name, (_, want) in table.items()}
        )

    def test_uses(self) -> None:
        """Up to so many messages; 0 is no limit."""
        session, _ = self.session()
        session.uses = 3
        wants = {uses: self.pool(uses=uses).wants(KEY, session, "x", True) for uses in (0, 2, 3, 4)}
        self.assertEqual(wants, {0: True, 2: False, 3: False, 4: True})

    def test_lifetime(self) -> None:
        """For so long."""
        session, _ = self.session()
        pool = self.pool(lifetime=300.0)
        self.clock.advance(299.9)
        self.assertTrue(pool.wants(KEY, session, "x", True))
        self.clock.advance(0.1)
        self.assertFalse(pool.wants(KEY, session, "x", True))

    def test_usable(self) -> None:
        """Only one that stands, and on which nothing was said unasked."""
        session, _ = self.session()
        session.channel.dataReceived(b"4")
        self.assertFalse(self.pool().wants(KEY, session, "x", True))
        session, _ = self.session()
        self.lose(session)
        self.assertFalse(self.pool().wants(KEY, session, "x", True))

    def test_settings(self) -> None:
        """The defaults are those of the parameter table, and each parameter reaches its field."""
        self.assertEqual(PoolSettings.from_parameters(Parameters.from_values()), PoolSettings())
        parameters = Parameters.from_values(
            {
                "smtp_connection_cache_on_demand": "no",
                "smtp_connection_cache_destinations": "Example.ORG, [relay.example]",
                "smtp_connection_cache_time_limit": "3s",
                "smtp_connection_reuse_time_limit": "4m",
                "smtp_connection_reuse_count_limit": "5",
            }
        )
        self.assertEqual(
            PoolSettings.from_parameters(parameters),
            PoolSettings(False, frozenset({"example.org", "[relay.example]"}), 3.0, 240.0, 5),
        )


class Demand(PoolTestCase):
    """How many are kept."""

    def test_no_more_than_there_is_mail(self) -> None:
        """For two messages two sessions are kept: a third would only take a place at the server."""
        pool = self.pool()
        wanted = []
        for _ in range(3):
            session, _ = self.session()
            wanted.append(pool.wants(KEY, session, "x", 2))
            pool.park(KEY, session)
        self.assertEqual(wanted, [True, True, False])


class Parked(PoolTestCase):
    """What happens to one that is kept."""

    def test_take(self) -> None:
        """It is given to who asks under its key, once; the one used last first."""
        pool = self.pool()
        (first, _), (second, _) = self.session(), self.session()
        pool.park(KEY, first)
        pool.park(KEY, second)
        self.assertIsNone(pool.take(("relay", "example.org", None, "")))
        self.assertEqual([pool.take(KEY), pool.take(KEY), pool.take(KEY)], [second, first, None])

    def test_end(self) -> None:
        """One that ends while it waits is forgotten at once."""
        pool = self.pool()
        session, _ = self.session()
        pool.park(KEY, session)
        self.lose(session)
        self.assertIsNone(pool.take(KEY))

    def test_input(self) -> None:
        """One that says anything unasked is dropped at once."""
        pool = self.pool()
        session, transport = self.session()
        pool.park(KEY, session)
        session.channel.dataReceived(b"421 4.4.2 idle\r\n")
        self.assertTrue(transport.aborted)
        self.assertIsNone(pool.take(KEY))

    def test_input_after_it_was_taken(self) -> None:
        """What a session that was taken says is for who took it."""
        pool = self.pool()
        session, transport = self.session()
        pool.park(KEY, session)
        pool.take(KEY)
        session.channel.dataReceived(b"250 ok\r\n")
        self.assertEqual((transport.aborted, session.channel.has_reply), (False, True))

    def test_one_that_broke_unnoticed(self) -> None:
        """One that is not usable when it is taken is dropped, and the next is given."""
        pool = self.pool()
        (good, _), (bad, transport) = self.session(), self.session()
        pool.park(KEY, good)
        pool.park(KEY, bad)
        bad.channel.on_idle_input = None
        bad.channel.dataReceived(b"4")
        self.assertIs(pool.take(KEY), good)
        self.assertTrue(transport.aborted)

    def test_idle_limit(self) -> None:
        """After its time it hears QUIT."""
        pool = self.pool(idle=2.0)
        session, transport = self.session()
        pool.park(KEY, session)
        self.clock.advance(1.9)
        self.assertEqual(transport.value(), b"")
        self.clock.advance(0.1)
        self.assertEqual((transport.value(), transport.disconnecting), (b"QUIT\r\n", True))
        self.lose(session)
        self.assertIsNone(pool.take(KEY))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_lifetime_while_it_waits(self) -> None:
        """Its lifetime does not wait for its idle limit."""
        pool = self.pool(idle=60.0, lifetime=70.0)
        session, transport = self.session()
        self.clock.advance(50.0)
        pool.park(KEY, session)
        self.clock.advance(20.0)
        self.assertEqual(transport.value(), b"QUIT\r\n")
        self.lose(session)

    def test_limits_of_many(self) -> None:
        """One timer serves all: each leaves when its time is over, or a tenth of a second before, with another."""
        pool = self.pool(idle=2.0)
        (first, one), (second, two), (third, three) = self.session(), self.session(), self.session()
        pool.park(KEY, first)
        self.clock.advance(0.05)
        pool.park(("smtp", "other.example", None, ""), second)
        self.clock.advance(0.45)
        pool.park(KEY, third)
        self.assertEqual(len([call for call in self.clock.getDelayedCalls() if call.getTime() == 2.0]), 1)
        self.clock.advance(1.5)
        self.assertEqual([one.value(), two.value(), three.value()], [b"QUIT\r\n", b"QUIT\r\n", b""])
        self.clock.advance(0.5)
        self.assertEqual(three.value(), b"QUIT\r\n")
        for session in (first, second, third):
            self.lose(session)

    def test_others_stay(self) -> None:
        """The end of one does not concern the others under its key."""
        pool = self.pool()
        (first, _), (second, _) = self.session(), self.session()
        pool.park(KEY, first)
        pool.park(KEY, second)
        self.lose(second)
        self.assertIs(pool.take(KEY), first)


class Closing(PoolTestCase):
    """The end of the agent."""

    def test_all_hear_quit(self) -> None:
        """All hear QUIT; nobody waits for their replies, and all sockets are closed before it is over."""
        pool = self.pool()
        sessions = [self.session(skip_quit_response=False) for _ in range(3)]
        for number, (session, _) in enumerate(sessions):
            pool.park(("smtp", f"{number % 2}.example", None, ""), session)
        closing = Deferred.fromCoroutine(pool.close())
        self.assertEqual({transport.value() for _, transport in sessions}, {b"QUIT\r\n"})
        for session, _ in sessions:
            self.assertNoResult(closing)
            self.lose(session)
        self.successResultOf(closing)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_waits_for_those_on_their_way(self) -> None:
        """One whose time was up already is waited for, too."""
        pool = self.pool(idle=2.0)
        session, _ = self.session()
        pool.park(KEY, session)
        self.clock.advance(2.0)
        closing = Deferred.fromCoroutine(pool.close())
        self.assertNoResult(closing)
        self.lose(session)
        self.successResultOf(closing)

    def test_none_is_parked_meanwhile(self) -> None:
        """What comes back while the pool closes is not kept; afterwards the pool can be used again."""
        pool = self.pool()
        (waiting, _), (late, _) = self.session(), self.session()
        pool.park(KEY, waiting)
        closing = Deferred.fromCoroutine(pool.close())
        self.assertFalse(pool.wants(KEY, late, "x", True))
        self.lose(waiting)
        self.successResultOf(closing)
        self.assertTrue(pool.wants(KEY, late, "x", True))

    def test_nothing_to_close(self) -> None:
        """An empty pool closes at once."""
        self.successResultOf(Deferred.fromCoroutine(self.pool().close()))
