"""Tests for :mod:`smtpclient.tls.mta_sts`: the life of a policy, with attacks on it."""

import os

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.observe.maillog import MailLog
from smtpclient.tls.mta_sts import AFTER_FAILURE, AGAIN, OUTDATED, UNUSED, MtaSts
from smtpclient.tls.result_type import ResultType
from smtpclient.tls.sts_cache import StsCache
from smtpclient.tls.sts_fetch import FetchFailed
from smtpclient.tls.sts_policy import StsPolicy, parse
from tests.queue.disk import NOW, DirectFiles
from tests.tls.web_world import Names

DOMAIN = "example.com"
RECORD = "_mta-sts.example.com"
WEEK = 604_800


def policy(host: str = "mx.example.com", mode: str = "enforce", age: int = WEEK) -> StsPolicy:
    """A policy that names one host."""
    return parse(f"version: STSv1\nmode: {mode}\nmx: {host}\nmax_age: {age}\n".encode())


class Web:
    """What is published on the web; nothing: no answer that counts."""

    def __init__(self) -> None:
        self.policies: dict[str, StsPolicy] = {}
        self.fetched: list[str] = []
        self.gate: Deferred[None] | None = None

    async def fetch(self, domain: str) -> StsPolicy:
        """Fetch one."""
        self.fetched.append(domain)
        if self.gate is not None:
            await self.gate
        if domain not in self.policies:
            raise FetchFailed(ResultType.STS_POLICY_FETCH_ERROR, "answered 500: no policy")
        return self.policies[domain]


class World(SynchronousTestCase):
    """A domain with a record and a policy."""

    def setUp(self) -> None:
        self.directory = self.mktemp()
        os.mkdir(self.directory)
        self.clock = Clock()
        self.clock.advance(NOW)
        self.names = Names(texts={RECORD: ["v=STSv1; id=1;"]})
        self.web = Web()
        self.web.policies[DOMAIN] = policy()
        self.failures: list[tuple[str, ResultType]] = []
        self.lines: list[str] = []
        self.sts = self.start()

    def start(self) -> MtaSts:
        """A service that has just been started."""
        maillog = MailLog(self.clock.seconds)
        maillog.publisher.addObserver(lambda event: self.lines.append(event["mail_line"]))
        cache = StsCache(DirectFiles(), self.directory, self.lines.append)

        def note(domain: str, result: ResultType, words: str) -> None:
            self.failures.append((domain, result))

        return MtaSts(self.names, self.web, cache, self.clock, maillog, note)  # type: ignore[arg-type]

    def find(self, sts: MtaSts | None = None) -> tuple[str, ...]:
        """The hosts of the policy that holds."""
        found = self.successResultOf(Deferred.fromCoroutine((sts or self.sts).find(DOMAIN)))
        return found.mx if found is not None else ()

    def publish(self, policy_id: str, new: StsPolicy | None = None) -> None:
        """Another id, and another policy with it."""
        self.names.texts[RECORD] = [f"v=STSv1; id={policy_id};"]
        if new is not None:
            self.web.policies[DOMAIN] = new


class Life(World):
    """A policy from its first day on."""

    def test_fetched_once(self) -> None:
        """The first delivery fetches it; the others look at the record only; so does a restarted service."""
        self.assertEqual(self.find(), ("mx.example.com",))
        self.clock.advance(3600)
        self.assertEqual(self.find(), ("mx.example.com",))
        self.assertEqual(self.find(self.start()), ("mx.example.com",))
        self.assertEqual(self.web.fetched, [DOMAIN])

    def test_no_record(self) -> None:
        """Without a record nothing is fetched, and nothing holds."""
        for texts in ([], ["v=spf1 -all"], ["v=STSv1; id=1", "v=STSv1; id=2"], ["v=STSv1;"]):
            self.names.texts[RECORD] = texts
            self.assertEqual(self.find(), ())
        del self.names.texts[RECORD]
        self.assertEqual(self.find(), ())
        self.assertEqual(self.web.fetched, [])

    def test_another_id(self) -> None:
        """It brings the new policy."""
        self.find()
        self.clock.advance(AGAIN)
        self.publish("2", policy("new.example.com"))
        self.assertEqual(self.find(), ("new.example.com",))
        self.assertEqual(len(self.web.fetched), 2)

    def test_taken_back(self) -> None:
        """Mode ``none`` is remembered like any other, and means no policy."""
        self.find()
        self.clock.advance(AGAIN)
        self.publish("2", policy(mode="none"))
        self.assertEqual(self.find(), ())
        self.assertEqual(self.find(), ())
        self.assertEqual(len(self.web.fetched), 2)

    def test_out_of_force(self) -> None:
        """After ``max_age`` it is fetched again, though its id is the same."""
        self.find()
        self.clock.advance(WEEK)
        self.assertEqual(self.find(), ("mx.example.com",))
        self.assertEqual(len(self.web.fetched), 2)

    def test_out_of_force_and_gone(self) -> None:
        """After ``max_age`` a policy that cannot be had any more does not hold."""
        self.find()
        self.clock.advance(WEEK)
        self.web.policies.clear()
        self.assertEqual(self.find(), ())


class Attacks(World):
    """Who stands between us and the domain."""

    def test_record_suppressed(self) -> None:
        """No record, no answer, a broken record: the policy that is known holds until its time is over."""
        self.find()
        del self.names.texts[RECORD]
        self.assertEqual(self.find(), ("mx.example.com",))
        self.names.broken.add(RECORD)
        self.assertEqual(self.find(self.start()), ("mx.example.com",))
        self.clock.advance(WEEK - 1)
        self.assertEqual(self.find(), ("mx.example.com",))
        self.clock.advance(1)
        self.assertEqual(self.find(), ())

    def test_web_server_suppressed(self) -> None:
        """Another id whose policy cannot be fetched leaves the one that is known in force, and is reported."""
        self.find()
        self.clock.advance(AGAIN)
        self.publish("2")
        self.web.policies.clear()
        self.assertEqual(self.find(), ("mx.example.com",))
        self.assertEqual(self.failures, [(DOMAIN, ResultType.STS_POLICY_FETCH_ERROR)])
        self.assertEqual(
            self.lines[-1],
            "warning: no MTA-STS policy of example.com: answered 500: no policy; the one that is known stays in force",
        )

    def test_id_replayed(self) -> None:
        """An old id fetches what is published now: it does not bring the old policy back."""
        self.find()
        self.clock.advance(AGAIN)
        self.publish("2", policy("new.example.com"))
        self.find()
        self.clock.advance(AGAIN)
        self.publish("1")
        self.assertEqual(self.find(), ("new.example.com",))
        self.assertEqual(self.find(self.start()), ("new.example.com",))

    def test_id_changed_again_and_again(self) -> None:
        """Who forges one id after the other does not make us fetch for each message."""
        self.find()
        for number in range(100):
            self.publish(f"f{number}")
            self.assertEqual(self.find(), ("mx.example.com",))
        self.assertEqual(len(self.web.fetched), 1)

    def test_change_suppressed(self) -> None:
        """An old record that is played back does not keep an old policy for longer than a day."""
        self.find()
        self.web.policies[DOMAIN] = policy("new.example.com")
        self.clock.advance(OUTDATED)
        self.successResultOf(Deferred.fromCoroutine(self.sts.refresh()))
        self.assertEqual(self.find(), ("new.example.com",))

    def test_failing_web_server(self) -> None:
        """It is asked now and then, and mail does not wait for it in between."""
        self.web.policies.clear()
        for _ in range(10):
            self.assertEqual(self.find(), ())
        self.assertEqual(len(self.web.fetched), 1)
        self.clock.advance(AFTER_FAILURE)
        self.web.policies[DOMAIN] = policy()
        self.assertEqual(self.find(), ("mx.example.com",))

    def test_clock_set_back(self) -> None:
        """A clock that was wrong for a while does not keep us from fetching for ever."""
        self.web.policies.clear()
        self.clock.advance(10 * WEEK)
        self.find()
        self.clock.advance(-10 * WEEK)
        self.web.policies[DOMAIN] = policy()
        self.assertEqual(self.find(), ("mx.example.com",))


class AtOnce(World):
    """Several deliveries at the same time."""

    def setUp(self) -> None:
        super().setUp()
        self.web.gate = Deferred()

    def begin(self) -> "Deferred[StsPolicy | None]":
        """One that waits."""
        return Deferred.fromCoroutine(self.sts.find(DOMAIN))

    def test_one_fetch(self) -> None:
        """All wait for the one fetch, and all get the policy."""
        assert self.web.gate is not None
        waiting = [self.begin() for _ in range(5)]
        for one in waiting:
            self.assertNoResult(one)
        self.web.gate.callback(None)
        self.assertEqual([self.successResultOf(one) for one in waiting], [policy()] * 5)
        self.assertEqual(self.web.fetched, [DOMAIN])

    def test_the_first_is_cancelled(self) -> None:
        """The others do not go on without the policy."""
        assert self.web.gate is not None
        first, second = self.begin(), self.begin()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertNoResult(second)
        self.web.gate.callback(None)
        self.assertEqual(self.successResultOf(second), policy())

    def test_closed(self) -> None:
        """The end of the service ends what is under way."""
        waiting = self.begin()
        self.sts.close()
        self.assertIsNone(self.successResultOf(waiting))

    def test_defect(self) -> None:
        """A defect of ours is logged, and neither a policy nor for ever."""
        assert self.web.gate is not None
        waiting = self.begin()
        self.web.gate.errback(ZeroDivisionError())
        self.assertIsNone(self.successResultOf(waiting))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class Refreshing(World):
    """The daily round."""

    def refresh(self) -> None:
        """One round."""
        self.successResultOf(Deferred.fromCoroutine(self.sts.refresh()))

    def test_before_its_time_is_over(self) -> None:
        """A policy that is in use never goes out of force while the domain publishes it, record or no record."""
        self.find()
        del self.names.texts[RECORD]
        for _ in range(20):
            self.clock.advance(OUTDATED)
            self.refresh()
            self.assertEqual(self.find(), ("mx.example.com",))
        self.assertEqual(len(self.web.fetched), 21)

    def test_not_too_early(self) -> None:
        """What was fetched today is left alone."""
        self.find()
        self.clock.advance(OUTDATED - 1)
        self.refresh()
        self.assertEqual(len(self.web.fetched), 1)

    def test_short_ages(self) -> None:
        """A policy of two hours is fetched anew after one."""
        self.publish("1", policy(age=7200))
        self.find()
        self.clock.advance(3600)
        self.refresh()
        self.assertEqual(len(self.web.fetched), 2)

    def test_new_id(self) -> None:
        """The record's id is noted, so that the next delivery has nothing to fetch."""
        self.find()
        self.publish("2", policy("new.example.com"))
        self.clock.advance(OUTDATED)
        self.refresh()
        self.assertEqual(self.find(), ("new.example.com",))
        self.assertEqual(len(self.web.fetched), 2)

    def test_not_used_any_more(self) -> None:
        """What no mail has needed for a month runs out, and is forgotten; failures do not count as use."""
        self.publish("1", policy(age=3 * 30 * 86400))
        self.find()
        self.clock.advance(UNUSED - 1)
        self.web.policies.clear()
        self.refresh()
        self.clock.advance(AFTER_FAILURE)
        self.refresh()
        self.assertEqual(len(self.web.fetched), 2)
        self.assertEqual(os.listdir(f"{self.directory}/sts"), [DOMAIN])
        self.clock.advance(2 * UNUSED)
        self.refresh()
        self.assertEqual(os.listdir(f"{self.directory}/sts"), [])
