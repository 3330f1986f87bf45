"""Tests for :mod:`smtpclient.report.providers`."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import SkipTest

from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from smtpclient.config.parameters import Parameters
from smtpclient.interfaces import IBounceService, IReportServiceMaker
from smtpclient.postfix.reports import PostfixBounces, PostfixDeferrals, PostfixTraces
from smtpclient.report.bounce import QueueBounces
from smtpclient.report.defer import QueueDeferrals
from smtpclient.report.outside import OutsideBounces, OutsideDeferrals, OutsideDeliveries
from smtpclient.report.providers import BUILT_IN, KINDS, Surroundings, close, makers, provider
from smtpclient.report.trace import QueueTraces
from tests.report.world import Content, World, bounced, deferred, envelope, parsed

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "doc" / "examples" / "third_party_report"


def surroundings(world: World, **values: str) -> Surroundings:
    """What services get, in a test's world."""
    parameters = Parameters.from_values({"myhostname": "mail.example.org", **values})
    return Surroundings(
        parameters, world.spool, world.files, world.clock, world.maillog, world.submit, reactor, world.random
    )


@implementer(IReportServiceMaker)
class Maker:
    """A maker of whatever a test wants made."""

    def __init__(self, made: object, name: str = "mine") -> None:
        self.kind = "bounce"
        self.name = name
        self.made = made
        self.asked: list[tuple[str, object]] = []

    def make(self, arguments: str, surroundings: object) -> object:
        """Hand it out."""
        self.asked.append((arguments, surroundings))
        return self.made


class ProviderTests(SynchronousTestCase):
    """What the tests have in common."""

    def setUp(self) -> None:
        self.world = World(self.mktemp())
        self.surroundings = surroundings(self.world)

    def make(self, kind: str, name: str, *further: Any) -> Any:
        """A service; closed at the end."""
        service = provider(kind, name, self.surroundings, further)
        self.addCleanup(lambda: self.successResultOf(close(service)))
        return service

    def refusal(self, kind: str, name: str, *further: Any) -> str:
        """Why there is no such service."""
        return str(self.assertRaises(ValueError, provider, kind, name, self.surroundings, further))


class BuiltIn(ProviderTests):
    """Services that come with the product."""

    def test_every_kind(self) -> None:
        """Each name makes each kind of service, and what it makes is one."""
        found = {}
        for kind in KINDS:
            for name in ("queue", "log", "command:cat", "url:http://127.0.0.1:9/", "postfix"):
                service = self.make(kind, name)
                verifyObject(KINDS[kind], service)
                found[kind, name.partition(":")[0]] = type(service)
        outside = {"bounce": OutsideBounces, "defer": OutsideDeferrals, "trace": OutsideDeliveries}
        queue = {"bounce": QueueBounces, "defer": QueueDeferrals, "trace": QueueTraces}
        postfix = {"bounce": PostfixBounces, "defer": PostfixDeferrals, "trace": PostfixTraces}
        expected = {
            (kind, name): {"queue": queue, "postfix": postfix}.get(name, outside)[kind]
            for kind in KINDS
            for name in ("queue", "log", "command", "url", "postfix")
        }
        self.assertEqual(found, expected)

    def test_makers_are_makers(self) -> None:
        """Built-in makers provide what plugins provide."""
        for maker in BUILT_IN:
            verifyObject(IReportServiceMaker, maker)

    def test_queue_works(self) -> None:
        """The queue's service reports by the parameters, into the queue."""
        service = self.make("bounce", "queue")
        self.successResultOf(service.append(envelope(), bounced()))
        self.successResultOf(service.flush(envelope(), Content()))
        (report,) = self.world.submitted
        self.assertEqual(parsed(report)["From"], "MAILER-DAEMON@mail.example.org (Mail Delivery System)")

    def test_log_works(self) -> None:
        """The log's service logs; a deferral is also in the spool."""
        service = self.make("defer", "log")
        self.successResultOf(service.append(envelope(), deferred()))
        self.assertEqual(len(self.world.lines), 1)
        self.assertIsNotNone(self.world.journal_text("defer"))

    def test_arguments_that_make_no_sense(self) -> None:
        """Arguments are checked at the start, and the answer names them."""
        self.assertEqual(
            {name: self.refusal("bounce", name) for name in ("queue:x", "log:x", "command:", "url:x", "postfix:x")},
            {
                "queue:x": "queue:x: the service queue takes no arguments; write queue",
                "log:x": "log:x: the service log takes no arguments; write log",
                "command:": "command: a program is missing; write command:/path/to/program",
                "postfix:x": "postfix:x: the service postfix takes no arguments; write postfix",
                "url:x": "url:x is no URL that can be posted to; write url:https://host/path",
            },
        )

    def test_unknown_name(self) -> None:
        """A name that nobody knows is refused with those that there are."""
        self.assertEqual(
            self.refusal("trace", "kwueue"),
            "there is no trace service 'kwueue'; there are command, log, postfix, queue, url",
        )

    def test_close(self) -> None:
        """A service without anything to close is closed all the same."""
        self.successResultOf(close(object()))


class Further(ProviderTests):
    """Services of others."""

    def test_given_maker(self) -> None:
        """A maker that is handed over gets the arguments, whatever they contain, and the surroundings."""
        service = QueueBounces(self.world.journal, self.world.notification)
        maker = Maker(service)
        self.assertIs(self.make("bounce", "mine:a:b,c", maker), service)
        self.assertEqual(maker.asked, [("a:b,c", self.surroundings)])

    def test_only_its_kind(self) -> None:
        """It makes its own kind only."""
        self.assertIn("there is no defer service 'mine'", self.refusal("defer", "mine", Maker(None)))

    def test_built_in_names_are_taken(self) -> None:
        """A built-in name cannot be taken over."""
        self.assertIs(type(self.make("bounce", "queue", Maker(None, "queue"))), QueueBounces)
        self.assertEqual(type(makers("bounce", [Maker(None, "queue")])["queue"]).__name__, "BuiltIn")

    def test_what_it_makes_is_checked(self) -> None:
        """What is no bounce service is refused before any mail depends on it."""

        @implementer(IBounceService)
        class Half:
            async def append(self, envelope: object, outcome: object) -> None:
                """Only this."""

        for made in (None, object(), Half(), QueueDeferrals(self.world.journal, self.world.notification)):
            self.assertIn(
                "what the plugin 'mine' has made is no bounce service", self.refusal("bounce", "mine", Maker(made))
            )


ASK = """
import sys
from tests.report.test_providers import surroundings
from tests.report.world import World, bounced, envelope
from smtpclient.report.providers import makers, provider
from twisted.internet.defer import Deferred

world = World(sys.argv[1])
print(sorted(makers("bounce")), sorted(makers("defer")))
service = provider("bounce", "table:" + sys.argv[2], surroundings(world))
Deferred.fromCoroutine(service.append(envelope(), bounced())).addErrback(lambda failure: failure.printTraceback())
try:
    provider("bounce", "table:relative", surroundings(world))
except ValueError as error:
    print(error)
"""


class Installed(SynchronousTestCase):
    """The example of a package by somebody else, as its users have it."""

    def install(self) -> str:
        """Build the package; the folder that holds what an installation would put beside Twisted."""
        if importlib.util.find_spec("setuptools") is None:
            raise SkipTest("setuptools is not installed")
        source, target = os.path.abspath(self.mktemp()), os.path.abspath(self.mktemp())
        shutil.copytree(EXAMPLE, source)
        subprocess.run(
            [sys.executable, "setup.py", "-q", "build", "--build-lib", target],
            cwd=source,
            check=True,
            capture_output=True,
            timeout=120,
        )
        return target

    def test_found_and_used(self) -> None:
        """Once it is installed, its name is known, its arguments are checked, and it gets the failed recipients."""
        target, table = self.install(), os.path.abspath(self.mktemp())
        self.assertTrue(os.path.exists(os.path.join(target, "twisted", "plugins", "bounce_table_plugin.py")))
        ran = subprocess.run(
            [sys.executable, "-c", ASK, os.path.abspath(self.mktemp()), table],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([target, str(ROOT)]), "PYTHONDONTWRITEBYTECODE": "1"},
            cwd=target,
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )
        self.assertEqual(ran.stderr, "")
        self.assertEqual(
            ran.stdout.splitlines(),
            [
                "['command', 'log', 'postfix', 'queue', 'table', 'url'] ['command', 'log', 'postfix', 'queue', 'url']",
                "table:relative: write the absolute path of the table, as in table:/var/lib/bounces.tsv",
            ],
        )
        self.assertEqual(
            Path(table).read_text(),
            "ABCDE1234\tauthor@example.org\tnobody@example.com\t5.1.1\t"
            "host mx.example.com[192.0.2.1] said: 550 5.1.1 unknown (in reply to RCPT TO command)\n",
        )
