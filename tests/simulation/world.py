"""
One random world, from its seed to its verdict.

A :class:`World` draws domains, servers, messages and a plan of trouble from a seed, runs the real service in them
(poller, scheduler, resolver, dialogue, settlement, reports, spool), kills it and cuts its power at random operations,
then lets the weather clear up and the queue run empty, and says what was violated. The invariants:

1. every recipient is, at the end, delivered, or reported to the sender as failed;
2. nobody is delivered twice, but where the server's final reply was lost, or the power was before the mark was on disk;
3. nobody is reported as failed who was delivered, under the same conditions;
4. nothing is tried before its time;
5. no destination has more deliveries under way than its window allows, and no server more connections than it may;
6. when the service has stopped, no timer, connection or open file of it is left.
"""

import gc
import hashlib
import os
import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import globalLogPublisher
from twisted.names import dns

from smtpclient.config.parameters import Parameters
from smtpclient.mail.request import DeliveryRequest, DeliveryResult, Fits, Later
from smtpclient.observe.maillog import MailLog
from smtpclient.outbound import Outbound
from smtpclient.queue.spool import SpoolError
from tests.simulation.disk import Disk, PowerLost, SimulatedFiles
from tests.simulation.names import Zone, resolver
from tests.simulation.network import End, Weather
from tests.simulation.reactor import SimulatedReactor
from tests.simulation.servers import Ledger, MailServer, Manners

HOUR = 3600.0
WINDOW = 4
SPOOL = "/spool"
SENDER = "sender@home.test"

_USERS = ("user", "user", "user", "nobody")
_QUEUED = re.compile(rf"{SPOOL}/(incoming|active|deferred|hold)/([0-9A-F]/)?[0-9A-Za-z]+$")


@dataclass(frozen=True)
class Incident:
    """
    What happens at one file operation.

    :param operation: the number of the operation, from the start of the first process.
    :param error: what the operation fails with; None: the process dies there, unless one of the last two happens.
    :param length: how many operations fail in a row.
    :param power_cut: the process dies because the power is gone.
    :param clock_step: the clock is set forward by so many seconds, negative: back, when the turn of the reactor is
        over: whether something was taken up before its time is judged by the time at which that was decided.
    :param no_names_for: name servers do not answer for so many seconds.
    """

    operation: int
    error: int | None = None
    length: int = 1
    power_cut: bool = False
    clock_step: float = 0.0
    no_names_for: float = 0.0

    def happens(self, number: int) -> bool:
        """Whether this operation is one of those."""
        return self.operation <= number < self.operation + self.length


@dataclass
class Violations:
    """What went wrong, in words."""

    words: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Take one down; a thousand of a kind say no more than ten."""
        if len(self.words) < 20:
            self.words.append(text)


class PunctualFiles(SimulatedFiles):
    """A disk's files, and an eye on what is taken up before its time."""

    violations: Violations

    def rename(self, old: str, new: str) -> None:
        if f"{SPOOL}/deferred/" in old and f"{SPOOL}/active/" in new:
            early = self.stat(old).st_mtime - self.disk.seconds()
            if early > 0.001:
                self.violations.note(f"{old} was taken up {early:.3f} s before its time")
        super().rename(old, new)


class World:
    """
    A world.

    :param seed: decides everything.
    :param messages: how many are submitted.
    :param incident: instead of crashes that the dice plan, this one at this operation of the first process.
    """

    def __init__(self, seed: int, messages: int = 40, incident: Incident | None = None) -> None:
        self.random = Random(seed)
        self.violations = Violations()
        self.ledger = Ledger()
        draw = self.random
        rough = draw.choice((0.0, 0.005, 0.02))
        self.weather = Weather(
            draw,
            latency=(0.001, draw.choice((0.01, 0.3))),
            refuse=draw.choice((0.0, 0.1)),
            vanish=draw.choice((0.0, 0.05)),
            reset=rough,
            freeze=draw.choice((0.0, 0.003)),
            drop=draw.choice((0.0, 0.1)),
            servfail=draw.choice((0.0, 0.1)),
        )
        self.reactor = SimulatedReactor(self.weather)
        self.disk = Disk(draw, self.reactor.seconds)
        self.servers: list[MailServer] = []
        self._in_groups = draw.choice(("yes", "distinct", "distinct", "no"))
        self._rush = draw.choice((12, messages))  # the most that come at a time
        self.zone = self._zone()
        self.trace: list[str] = []
        self.wanted: dict[tuple[int, str], float] = {}
        self.power_cuts = 0
        self._messages = messages
        self._incident = incident
        self.operations = 0
        self._running: Counter[tuple[str, str]] = Counter()
        self._lifetime = draw.choice((2 * HOUR, 24 * HOUR))
        self._connections = draw.choice((0, 2))
        self._watch_connections()
        self._crash_at: int | None = None
        self._crash_is_power_cut = False
        self.dead = False
        self.files: PunctualFiles
        self.outbound: Outbound

    # -- what there is --------------------------------------------------------------------------------------------

    def _zone(self) -> Zone:
        """A few domains with a few servers each, some of them dead, and a home that takes the reports."""
        zone: dict[tuple[str, int], list[object]] = {}
        for number in range(self.random.randint(2, 6)):
            self._domain(
                zone, f"d{number}.test", number, self.random.randint(1, 3), temper=self.random.choice((0, 0.05, 0.2))
            )
            if number and self.random.random() < 0.3:
                # One server for several domains.
                zone[f"d{number}.test", dns.MX].append(dns.Record_MX(10, b"mx0.d0.test"))
        self._domain(zone, "home.test", 9, 1, temper=0.0)
        return zone

    def _domain(
        self, zone: dict[tuple[str, int], list[object]], name: str, net: int, hosts: int, temper: float
    ) -> None:
        for number in range(hosts):
            host, address = f"mx{number}.{name}", f"10.{net}.0.{number + 1}"
            preference = self.random.choice((10, 10 * number))
            zone.setdefault((name, dns.MX), []).append(dns.Record_MX(preference, host.encode()))
            zone[host, dns.A] = [dns.Record_A(address)]
            if name != "home.test" and self.random.random() < 0.2:
                continue  # nobody listens there
            manners = Manners(self.random, temper, self.random.random() < 0.7)
            if self._in_groups != "yes" and self.random.random() < 0.3:
                manners.haste = 0.3  # to such a server nobody may say yes
            server = MailServer(host, self.ledger, manners, self.reactor)
            self.servers.append(server)
            self.reactor.network.listen(address, 25, server)

    def _parameters(self) -> Parameters:
        return Parameters.from_values(
            {
                "queue_directory": SPOOL,
                "myhostname": "client.test",
                "inet_interfaces": "10.0.0.1",
                "inet_protocols": "ipv4",
                "smtp_destination_concurrency_limit": str(WINDOW),
                "smtp_host_connection_limit": str(self._connections),
                "smtp_pipeline_messages": self._in_groups,
                "maximal_queue_lifetime": f"{self._lifetime:g}s",
                "bounce_queue_lifetime": f"{self._lifetime:g}s",
                "smtp_mx_session_limit": self._sessions,
                "smtp_skip_4xx_greeting": "yes",
            },
            machine_name=lambda: "client.test",
            seconds=self.reactor.seconds,
        )

    # -- the life of the service ----------------------------------------------------------------------------------

    def start(self) -> None:
        """A new process on what the last one left."""
        self.dead = False
        self._running.clear()
        self.files = PunctualFiles(self.disk, self.reactor, self._trouble)
        self.files.violations = self.violations
        maillog = MailLog(self.reactor.seconds)
        maillog.publisher.addObserver(self._logged)
        self.outbound = Outbound(
            self._parameters(),
            reactor=self.reactor,
            files=self.files,
            resolver=resolver(self.reactor, self.zone, self.random),
            random=self.random,
            maillog=maillog,
            doors=False,
        )
        self._watch_windows(self.outbound)
        self.outbound.startService()

    def _begin(self) -> None:
        """Start, or die in the attempt: whoever started it will try again."""
        try:
            self.start()
        except (PowerLost, SpoolError):
            self.dead = True

    def _logged(self, event: dict[str, Any]) -> None:
        self.trace.append(f"{self.reactor.seconds():.6f} {event['process']} {event['mail_line']}")

    def _trouble(self, name: str, number: int) -> None:
        """Every file operation comes by here."""
        self.operations += 1
        if self._incident is not None and not self.dead and self._incident.happens(self.operations):
            self._befall(self._incident, number)
        if self.dead or (self._crash_at is not None and number >= self._crash_at):
            self.dead = True
            raise PowerLost

    def _befall(self, incident: Incident, number: int) -> None:
        """
        What is to happen at this operation does.

        :raises OSError: when the operation is to fail.
        """
        if incident.error is not None:
            raise OSError(incident.error, os.strerror(incident.error))
        if incident.clock_step:
            self.reactor.callLater(0, self._set_clock, incident.clock_step)
        elif incident.no_names_for:
            drop, self.weather.drop = self.weather.drop, 1.0
            self.reactor.callLater(incident.no_names_for, setattr, self.weather, "drop", drop)
        else:
            self._crash_at, self._crash_is_power_cut = number, incident.power_cut

    def _set_clock(self, seconds: float) -> None:
        self.reactor.now += seconds

    def _watch_windows(self, outbound: Outbound) -> None:
        deliver = outbound.agent.deliver

        async def watched(request: DeliveryRequest, settle: Any) -> DeliveryResult:
            key = (request.transport, request.next_hop)
            self._running[key] += 1
            if self._running[key] > WINDOW:
                self.violations.note(f"{self._running[key]} deliveries to {key} at once")
            taken = 1

            def follow(fits: Fits, behind: object, later: Later | None = None, /) -> bool:
                nonlocal taken
                self._running[key] -= taken  # whoever begins now has the place
                taken -= request.follow(fits, behind, later)
                self._running[key] += taken
                return not taken

            try:
                return await deliver(request._replace(follow=follow), settle)
            finally:
                self._running[key] -= taken

        outbound.agent.deliver = watched  # type: ignore[method-assign]

    def _watch_connections(self) -> None:
        network = self.reactor.network
        pair = network.pair

        def watched(where: tuple[str, int]) -> tuple[End, End]:
            ends = pair(where)
            there = [end for end in network.ends if end.peer == where and end.connected and not end.disconnecting]
            if where[1] == 25 and self._connections and len(there) > self._connections:
                self.violations.note(f"{len(there)} connections to {where[0]} at once")
            return ends

        network.pair = watched  # type: ignore[method-assign]

    def _run_for(self, seconds: float) -> None:
        end = self.reactor.seconds() + seconds
        while not self.dead and (when := self.reactor.next_time()) is not None and when <= end:
            try:
                self.reactor.step()
            except PowerLost:
                return
        if not self.dead:
            self.reactor.now = max(self.reactor.now, end)

    def _bury(self) -> None:
        """The process is gone: nothing of it may run any more, and its peers hear of it."""
        self.dead = True
        _GRAVEYARD.append(self.outbound)
        for call in self.reactor.getDelayedCalls():
            call.cancel()
        for end in list(self.reactor.network.ends):
            end.connected = False
            if end.host[0] != "10.0.0.1" and end.protocol is not None:
                end.protocol.connectionLost()
        self.reactor.network.ends.clear()
        for where in [where for where in self.reactor.network.ports if where[1] == 0]:
            del self.reactor.network.ports[where]
        if self._crash_is_power_cut:
            self.power_cuts += 1
            self.disk.lose_power()

    # -- the play -------------------------------------------------------------------------------------------------

    def run(self) -> list[str]:
        """
        Play it.

        :return: what was violated; nothing is as it should be.
        """
        globalLogPublisher.addObserver(self._unforeseen)
        try:
            self._play()
        finally:
            globalLogPublisher.removeObserver(self._unforeseen)
        return self.violations.words

    def _unforeseen(self, event: dict[str, Any]) -> None:
        """A traceback in the log is a failure nobody thought of, unless the power was cut under it."""
        failure = event.get("log_failure")
        expected = (PowerLost,) if self._incident is None or self._incident.error is None else (PowerLost, OSError)
        if failure is not None and not self.dead and not failure.check(*expected):
            self.violations.note(f"unforeseen: {failure.getErrorMessage()} {failure.getBriefTraceback()}")

    def _play(self) -> None:
        self._sessions = self.random.choice(("1", "2", "0"))
        self.disk.make_folder(SPOOL, 0o700)
        self._begin()
        submitted = 0
        while submitted < self._messages:
            submitted = self._submit_some(submitted)
            self._recover()
            self._plan_crash()
            self._run_for(self.random.choice((1.0, 60.0, HOUR)))
            self._recover()
            if self.random.random() < 0.15:
                self._disturb()
        self._clear_up()
        self._check_outcome()

    def _disturb(self) -> None:
        """The clock is set, or the name servers are gone for an hour."""
        if self.random.random() < 0.5:
            drop, self.weather.drop = self.weather.drop, 1.0
            self._run_for(HOUR)
            self._recover()
            self.weather.drop = drop
        else:
            self.reactor.now += self.random.choice((-HOUR, HOUR))

    def _submit_some(self, submitted: int) -> int:
        domains = sorted({name for name, kind in self.zone if kind == dns.MX} - {"home.test"})
        for number in range(submitted, min(submitted + self.random.randint(1, self._rush), self._messages)):
            recipients = [
                f"{self.random.choice(_USERS)}{number}x{count}@{self.random.choice(domains)}"
                for count in range(self.random.choice((1, 1, 1, 3, 8)))
            ]
            body = b"text\n" * self.random.choice((1, 100, 20_000))
            content = b"From: <%s>\nSubject: test\nX-Id: %d\n\n%s" % (SENDER.encode(), number, body)
            self._submit(number, recipients, content)
            submitted = number + 1
        return submitted

    def _submit(self, number: int, recipients: list[str], content: bytes) -> None:
        def stored(_: object) -> None:
            for recipient in recipients:
                self.wanted[number, recipient] = self.reactor.seconds()

        if not self.dead:
            accepted = Deferred.fromCoroutine(self.outbound.submit(SENDER, recipients, content))
            # What was refused, or cut short by a crash, was never promised.
            accepted.addCallbacks(stored, lambda _: None)

    def _plan_crash(self) -> None:
        self._crash_at = None
        if self._incident is None and self.random.random() < 0.3:
            self._crash_at = self.files.operations + self.random.randint(1, 300)
            self._crash_is_power_cut = self.random.random() < 0.5

    def _recover(self) -> None:
        self._crash_at = None
        while self.dead:
            self._bury()
            self.reactor.advance(self.random.uniform(0, 600))
            self._begin()

    def _clear_up(self) -> None:
        """The sun comes out; what can be delivered is."""
        self.weather.refuse = self.weather.vanish = self.weather.reset = self.weather.freeze = 0
        self.weather.drop = self.weather.servfail = 0
        for server in self.servers:
            server.manners.temper = 0
        for _ in range(200):
            self._run_for(HOUR)
            self._recover()
            if not self.queued():
                break
        else:
            self.violations.note(f"still queued after {200} quiet hours: {self.queued()[:5]}")
        stopped: list[object] = []
        self.outbound.stopService().addBoth(stopped.append)
        self._run_for(HOUR)
        if self.dead:
            self._recover()
            stopped.clear()
            self.outbound.stopService().addBoth(stopped.append)
            self._run_for(HOUR)
        self._check_stopped(stopped)

    def queued(self) -> list[str]:
        """The files of messages; what was never finished is none."""
        return [path for path, inode in self.disk.files.items() if _QUEUED.match(path) and inode.mode & 0o100]

    # -- the verdict ----------------------------------------------------------------------------------------------

    def _check_stopped(self, stopped: list[object]) -> None:
        if not stopped or stopped[0] is not None:
            self.violations.note(f"the service did not stop: {stopped}")
        if timers := [call for call in self.reactor.getDelayedCalls() if call.getTime() < self.reactor.seconds() + 1e6]:
            self.violations.note(f"timers are left: {timers[:3]}")
        if ends := [end for end in self.reactor.network.ends if end.host[0] == "10.0.0.1"]:
            self.violations.note(f"{len(ends)} connections are left")
        if self.files.open_count:
            self.violations.note(f"{self.files.open_count} files are left open")
        corrupt = [path for path in self.disk.files if path.startswith(f"{SPOOL}/corrupt/")]
        if corrupt and not self.power_cuts:
            # What was never synced may be anything after a power cut, and was never promised to anybody.
            self.violations.note(f"files of ours were taken for corrupt: {corrupt[:5]}")

    def _check_outcome(self) -> None:
        delivered: dict[tuple[int, str], list[bool]] = {}
        for acceptance in self.ledger.accepted:
            if acceptance.recipient != SENDER:
                delivered.setdefault((acceptance.message, acceptance.recipient), []).append(acceptance.confirmed)
        reported = {(number, address) for number, address in self.ledger.reports}
        reported_at_all = {address for _, address in reported}
        given_up = self._given_up()
        for number, recipient in self.wanted:
            heard = delivered.get((number, recipient), [])
            was_reported = recipient in reported_at_all
            if not heard and not was_reported and recipient not in given_up:
                self.violations.note(f"lost: message {number} to {recipient}")
            certain = [confirmed for confirmed in heard if confirmed]
            if len(certain) > 1 and not self._marks_may_be_gone:
                self.violations.note(f"message {number} to {recipient} was delivered {len(heard)} times: {heard}")
            if certain and was_reported and not self._marks_may_be_gone:
                self.violations.note(f"message {number} to {recipient} was delivered and reported as failed")

    def _given_up(self) -> set[str]:
        """
        Recipients whose report has expired: the sender's own server could not be reached for as long as mail lives.

        As the log tells it: a report was discarded; it was the report of a message; that message was to somebody.
        """
        log = "\n".join(self.trace)
        reports = dict(map(reversed, re.findall(r" bounce (\w+): sender non-delivery notification: (\w+)", log)))
        discarded = re.findall(r" bounce (\w+): undeliverable notification discarded", log)
        messages = {reports[report] for report in discarded if report in reports}
        return {address for message, address in re.findall(r" \w+ (\w+): to=<([^>]*)>", log) if message in messages}

    @property
    def _marks_may_be_gone(self) -> bool:
        """After a power cut a mark may be gone with the power; a disk that fails may have taken none."""
        return bool(self.power_cuts) or (self._incident is not None and self._incident.error is not None)

    @property
    def digest(self) -> str:
        """Two runs of one seed have the same."""
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()[:16]


_GRAVEYARD: list[object] = []
"""Dead services: what is collected would run its ``finally`` clauses, which a killed process does not."""


def forget_the_dead() -> None:
    """Give back their memory; they were unplugged long ago, and what they have to say about it is of no interest."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        _GRAVEYARD.clear()
        gc.collect()
    finally:
        sys.unraisablehook = hook
