"""
Every parameter of the manual page, with two values of it making a difference: the whole service in simulated time.

The nine timed stages are in ``tests.smtp.test_stages``, at their default values, and on real sockets at small ones.
"""

from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol
from twisted.names import dns
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.parameters import Parameters
from smtpclient.mail.outcome import Outcome
from smtpclient.observe.maillog import MailLog
from smtpclient.outbound import Outbound
from tests.simulation.disk import Disk, SimulatedFiles
from tests.simulation.names import resolver
from tests.simulation.network import Weather
from tests.simulation.reactor import SimulatedReactor
from tests.smtp.scripted_server import Script, ScriptedSession, Steps

FIRST, SECOND, RELAY, HOME = "10.0.1.1", "10.0.1.2", "10.0.1.3", "10.0.1.4"


class Host(Factory):
    """A scripted server that counts its sessions."""

    noisy = False

    def __init__(self, play: "Play", address: str, script: Script) -> None:
        self.play, self.address, self.script = play, address, script
        self.sessions: list[ScriptedSession] = []
        self.parallel = self.most = 0

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        session = ScriptedSession(self.script, self.play.reactor)
        self.sessions.append(session)
        self.play.visited.append(self.address)
        self.parallel += 1
        self.most = max(self.most, self.parallel)
        lost = session.connectionLost

        def left(reason: Failure) -> None:
            self.parallel -= 1
            lost(reason)

        session.connectionLost = left  # type: ignore[method-assign, assignment]
        return session


class Play:
    """
    A domain ``there.test`` with two mail exchangers, a relay, a home for reports, and the service with its parameters.

    :ivar visited: the addresses that were called, in order.
    :ivar lines: the mail log.
    """

    def __init__(self, **parameters: str) -> None:
        random = Random(1)
        self.reactor = SimulatedReactor(Weather(random))
        self.visited: list[str] = []
        self.lines: list[str] = []
        self.hosts: dict[str, Host] = {}
        self.zone: dict[tuple[str, int], list[object]] = {
            ("there.test", dns.MX): [dns.Record_MX(10, b"first.test"), dns.Record_MX(20, b"second.test")],
            ("first.test", dns.A): [dns.Record_A(FIRST)],
            ("second.test", dns.A): [dns.Record_A(SECOND)],
            ("home.test", dns.MX): [dns.Record_MX(10, b"mx.home.test")],
            ("mx.home.test", dns.A): [dns.Record_A(HOME)],
        }
        self.host(HOME)
        self.host(RELAY)
        self.random = random
        self.values = {
            "queue_directory": "/spool",
            "myhostname": "home.test",
            "inet_interfaces": "10.0.0.1",
            "inet_protocols": "ipv4",
            "smtp_tls_security_level": "none",
            **parameters,
        }

    def host(self, address: str, **on: Steps) -> Host:
        """Let a server listen."""
        host = self.hosts[address] = Host(self, address, Script(on))
        self.reactor.network.listen(address, 25, host)
        return host

    def run(
        self, *recipients: str, seconds: float = 30.0, sender: str = "me@home.test", messages: int = 1
    ) -> list[Outcome]:
        """Submit and wait; the outcomes of the first attempt, as far as there are any."""
        maillog = MailLog(self.reactor.seconds)
        maillog.publisher.addObserver(self._logged)
        self.outbound = Outbound(
            Parameters.from_values(self.values, machine_name=lambda: "home.test"),
            reactor=self.reactor,
            files=SimulatedFiles(Disk(self.random, self.reactor.seconds), self.reactor),
            resolver=resolver(self.reactor, self.zone, self.random),
            random=self.random,
            maillog=maillog,
            doors=False,
        )
        outcomes: list[Outcome] = []
        self.outbound.outcomes.subscribe(lambda envelope, outcome: outcomes.append(outcome))
        self.outbound.startService()
        content = b"From: <me@home.test>\nSubject: x\n\nhello\n"
        for _ in range(messages):
            Deferred.fromCoroutine(self.outbound.submit(sender, recipients or ("you@there.test",), content))
        self.reactor.advance(seconds)
        return outcomes

    def _logged(self, event: dict[str, Any]) -> None:
        self.lines.append(event["mail_line"])

    def told(self, address: str) -> int:
        """How many messages somebody at home has got."""
        sessions = self.hosts[HOME].sessions
        return sum(line.startswith(f"RCPT TO:<{address}>") for session in sessions for line in session.commands)


def statuses(outcomes: list[Outcome]) -> list[str]:
    """``sent 2.0.0`` and the like."""
    return [f"{outcome.disposition.value} {outcome.status}" for outcome in outcomes]


class MiscellaneousTests(SynchronousTestCase):
    """The section of that name."""

    def test_debug_peer_list(self) -> None:
        """The session of a host that matches a domain, an address or a network is logged; others are not."""
        logged = {}
        for pattern in ("", "first.test", "test", "other.test", FIRST, "10.0.1.0/24", "10.0.2.0/24"):
            play = Play(debug_peer_list=pattern)
            play.host(FIRST)
            play.run()
            logged[pattern] = any(line.startswith(f"< first.test[{FIRST}]:25: 220 ") for line in play.lines)
        self.assertEqual(
            {"": False, "first.test": True, "test": True, "other.test": False}
            | {FIRST: True, "10.0.1.0/24": True, "10.0.2.0/24": False},
            logged,
        )

    def test_debug_peer_level(self) -> None:
        """Level 1 logs what is said; 2 adds how long each reply took."""
        timed = {}
        for level in ("1", "2"):
            play = Play(debug_peer_list="test", debug_peer_level=level)
            play.host(FIRST)
            play.run()
            timed[level] = any(line.startswith(f"= first.test[{FIRST}]:25: reply after ") for line in play.lines)
        self.assertEqual({"1": False, "2": True}, timed)

    def test_fallback_relay(self) -> None:
        """What is unreachable goes to the fallback relay where there is one, and waits where there is none."""
        results = {}
        for relay in ("", f"[{RELAY}]"):
            play = Play(fallback_relay=relay)
            results[relay] = (statuses(play.run()), RELAY in play.visited)
        self.assertEqual({"": (["deferred 4.4.1"], False), f"[{RELAY}]": (["sent 2.0.0"], True)}, results)

    def test_ignore_mx_lookup_error(self) -> None:
        """When the name server fails, mail waits; or, if told so, goes to the address of the domain itself."""
        results = {}
        for value in ("no", "yes"):
            play = Play(ignore_mx_lookup_error=value)
            play.host(FIRST)
            play.zone[("there.test", dns.A)] = [dns.Record_A(FIRST)]
            failing = play.reactor.network.weather
            strikes = failing.strikes
            # The first question for the MX fails, and so does its repetition by the other server.
            answers = iter([False, True, False, True])
            failing.strikes = lambda chance, it=answers, plain=strikes: next(it, plain(chance))  # type: ignore[method-assign]
            results[value] = statuses(play.run())
        self.assertEqual({"no": ["deferred 4.4.3"], "yes": ["sent 2.0.0"]}, results)

    def test_inet_interfaces(self) -> None:
        """An exchanger that is this machine ends the list: the one behind it is not tried."""
        visited = {}
        for value in ("10.0.0.1", f"10.0.0.1, {SECOND}"):
            play = Play(inet_interfaces=value)
            play.host(SECOND)
            outcomes = play.run()
            visited[value] = (play.visited, statuses(outcomes))
        self.assertEqual(
            {
                "10.0.0.1": ([SECOND], ["sent 2.0.0"]),
                f"10.0.0.1, {SECOND}": ([], ["deferred 4.4.1"]),
            },
            visited,
        )

    def test_smtp_skip_4xx_greeting(self) -> None:
        """A server that greets with 4xx is skipped, or ends the attempt."""
        visited = {}
        for value in ("no", "yes"):
            play = Play(smtp_skip_4xx_greeting=value)
            play.host(FIRST, connect="450 4.3.2 not now")
            play.host(SECOND)
            visited[value] = (statuses(play.run()), play.visited)
        self.assertEqual({"no": (["deferred 4.3.2"], [FIRST]), "yes": (["sent 2.0.0"], [FIRST, SECOND])}, visited)

    def test_smtp_skip_quit_response(self) -> None:
        """The session ends with QUIT, or with the reply to it."""
        open_sessions = {}
        for value in ("yes", "no"):
            play = Play(smtp_skip_quit_response=value)
            host = play.host(FIRST, quit="!hang")
            play.run(seconds=5)
            open_sessions[value] = host.parallel
        self.assertEqual({"yes": 0, "no": 1}, open_sessions)


class NotifyTests(SynchronousTestCase):
    """``notify_classes``."""

    def test_protocol(self) -> None:
        """The transcript of a session with a protocol error goes to the postmaster when the class is there."""
        told = {}
        for value in ("", "protocol"):
            play = Play(notify_classes=value, error_notice_recipient="errors@home.test")
            play.host(FIRST, mail="500 5.5.2 what?")
            play.run()
            told[value] = play.told("errors@home.test")
        self.assertEqual({"": 0, "protocol": 1}, told)

    def test_policy(self) -> None:
        """The transcript of a session that was refused for reasons of policy goes to the postmaster."""
        told = {}
        for value in ("", "policy"):
            play = Play(notify_classes=value, error_notice_recipient="errors@home.test")
            play.host(FIRST, mail="550 5.7.1 you are on a list")
            play.run()
            told[value] = play.told("errors@home.test")
        self.assertEqual({"": 0, "policy": 1}, told)

    def test_bounce(self) -> None:
        """The postmaster gets a copy of what is returned to its sender."""
        told = {}
        for value in ("", "bounce"):
            play = Play(notify_classes=value, bounce_notice_recipient="bounces@home.test")
            play.host(FIRST, rcpt="550 5.1.1 unknown")
            play.run()
            told[value] = play.told("bounces@home.test")
        self.assertEqual({"": 0, "bounce": 1}, told)

    def test_2bounce(self) -> None:
        """The postmaster gets what could not be returned."""
        told = {}
        for value in ("", "2bounce"):
            play = Play(notify_classes=value, **{"2bounce_notice_recipient": "double@home.test"})
            play.host(FIRST, rcpt="550 5.1.1 unknown")
            play.run(sender="")
            told[value] = play.told("double@home.test")
        self.assertEqual({"": 0, "2bounce": 1}, told)

    def test_delay(self) -> None:
        """The postmaster hears of a message that its sender was warned of."""
        told = {}
        for value in ("", "delay"):
            play = Play(notify_classes=value, delay_notice_recipient="delays@home.test", delay_warning_time="1h")
            play.run(seconds=3 * 3600)
            told[value] = (play.told("delays@home.test"), play.told("me@home.test"))
        self.assertEqual({"": (0, 1), "delay": (1, 1)}, told)

    def test_resource(self) -> None:
        """The postmaster hears of a delivery that failed for want of a resource of this machine."""
        told = {}
        for value in ("", "resource"):
            play = Play(notify_classes=value, error_notice_recipient="errors@home.test")
            told[value] = self._broken(play, OSError(24, "Too many open files"))
        self.assertEqual({"": 0, "resource": 1}, told)

    def test_software(self) -> None:
        """The postmaster hears of a delivery that failed in a way that nobody foresaw."""
        told = {}
        for value in ("", "software"):
            play = Play(notify_classes=value, error_notice_recipient="errors@home.test")
            told[value] = self._broken(play, ZeroDivisionError("division by zero"))
            self.flushLoggedErrors(ZeroDivisionError)
        self.assertEqual({"": 0, "software": 1}, told)

    def _broken(self, play: Play, error: Exception) -> int:
        """How many notices there are when the delivery to ``there.test`` raises."""
        play.host(FIRST)
        parse = play.reactor.network.dial

        def dial(host: str, *others: Any) -> Any:
            if host == FIRST:
                raise error
            return parse(host, *others)

        play.reactor.network.dial = dial  # type: ignore[method-assign]
        play.run()
        return play.told("errors@home.test")


class ResourceTests(SynchronousTestCase):
    """The resource controls."""

    def test_smtp_destination_concurrency_limit(self) -> None:
        """So many sessions with one destination there are at once, and no more."""
        most = {}
        for value in ("1", "3"):
            play = Play(smtp_destination_concurrency_limit=value, smtp_skip_quit_response="no")
            host = play.host(FIRST, eod=["!sleep 1", "!default"])
            self.assertEqual(["sent 2.0.0"] * 8, statuses(play.run(messages=8, seconds=60)))
            most[value] = host.most
        self.assertEqual({"1": 1, "3": 3}, most)

    def test_smtp_destination_recipient_limit(self) -> None:
        """So many recipients go into one delivery, and no more."""
        counts = {}
        for value in ("2", "50"):
            play = Play(smtp_destination_recipient_limit=value)
            host = play.host(FIRST)
            play.run(*(f"user{number}@there.test" for number in range(5)))
            commands = [line[:4] for session in host.sessions for line in session.commands]
            counts[value] = (commands.count("MAIL"), commands.count("RCPT"))
        self.assertEqual({"2": (3, 5), "50": (1, 5)}, counts)
