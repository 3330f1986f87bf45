"""How workers are asked for."""

from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.options import Options
from smtpclient.config.parameters import Parameters
from smtpclient.mail.envelope import NewMessage, Recipient
from smtpclient.outbound import Outbound
from smtpclient.queue import queuefile
from smtpclient.queue.files import Files
from smtpclient.report.log import LogListener
from smtpclient.report.outside import OutsideBounces
from smtpclient.workers.crew import Crew


class OptionTests(SynchronousTestCase):
    """``--workers``."""

    def parsed(self, *words: str) -> Any:
        """The value of the option."""
        options = Options()
        options.parseOptions(words)
        return options["workers"]

    def test_a_number_is_taken(self) -> None:
        """None by default, up to 256."""
        given: tuple[tuple[str, ...], ...] = ((), ("--workers", "2"), ("--workers=256",))
        self.assertEqual(["0", "2", "256"], [self.parsed(*words) for words in given])

    def test_anything_else_is_refused_in_words(self) -> None:
        """The error has the value and what was expected."""
        for wrong in ("two", "-1", "257", "1.5", ""):
            with self.assertRaisesRegex(UsageError, f"--workers {wrong}: a number from 0 to 256 is expected"):
                self.parsed("--workers", wrong)


class OutboundTests(SynchronousTestCase):
    """``Outbound(workers=...)``."""

    def outbound(self, **more: Any) -> Outbound:
        """A service that is not started."""
        parameters = Parameters.from_values({"queue_directory": self.mktemp(), "myhostname": "home.test"})
        return Outbound(parameters, reactor=reactor, doors=False, **more)

    def test_what_belongs_to_this_process_alone_is_refused(self) -> None:
        """An object cannot be a worker's report service, files or resolver; a number must be one of processes."""
        ours = self.outbound()
        listener = OutsideBounces(LogListener(ours.maillog), reactor)
        for words, wrong in (
            ("must be named", {"bounce": listener}),
            ("cannot be given", {"files": Files(reactor)}),
            ("cannot be given", {"resolver": object()}),
            ("257", {"workers": 257}),
            ("-1", {"workers": -1}),
        ):
            with self.assertRaisesRegex(ValueError, words):
                self.outbound(**{"workers": 2, **wrong})

    def test_workers_are_a_service_below(self) -> None:
        """With workers there is a crew, which starts and stops with the whole; without there is none."""
        self.assertEqual([1, 0], [sum(isinstance(s, Crew) for s in self.outbound(workers=n)) for n in (1, 0)])

    def test_the_service_keeps_no_content_for_workers(self) -> None:
        """Workers read the content themselves; without them a small message is kept until it is sent."""
        for workers, kept in ((1, 0), (0, 1)):
            outbound = self.outbound(workers=workers)
            Path(outbound.spool.directory).mkdir()
            outbound.spool.prepare()
            self.addCleanup(outbound.spool.close)
            queue_id = self._queued(outbound)
            outbound.spool.read(queue_id, "incoming")
            self.assertEqual(kept, len(outbound.spool._small_files._kept))

    def test_what_nobody_hears_of_need_not_be_told(self) -> None:
        """A receipt that is held, and whoever has subscribed, want to hear of outcomes."""
        outbound = self.outbound(workers=1)
        receipt = outbound._receipts.issue("A1", 1)
        self.assertEqual([True, False], [outbound._is_heard_of(queue_id) for queue_id in ("A1", "B1")])
        end = outbound.outcomes.subscribe(lambda _envelope, _outcome: None)
        self.assertTrue(outbound._is_heard_of("B1"))
        end()
        self.assertEqual((False, "A1"), (outbound._is_heard_of("B1"), receipt.queue_id))

    def _queued(self, outbound: Outbound) -> str:
        """A message in ``incoming/``."""
        new = queuefile.build(NewMessage("me@home.test", [Recipient("you@there.example")], b"Subject: x\n\nx\n"), 1.0)
        path = Path(outbound.spool.directory) / "incoming" / "000011234"
        path.write_bytes(b"".join(new.blocks()))
        path.chmod(0o700)
        return path.name

    def test_a_jail_without_interpreter_is_said_at_start(self) -> None:
        """The service does not start, and gives the queue directory back."""
        outbound = self.outbound(workers=1)
        Path(outbound.spool.directory).mkdir()
        (crew,) = (service for service in outbound if isinstance(service, Crew))
        crew._executable = "/no/such/python"
        with self.assertRaisesRegex(OSError, "workers need the Python interpreter /no/such/python"):
            outbound.startService()
        outbound.spool.prepare()
        outbound.spool.close()

    def test_the_scheduler_tells_which_file_may_go(self) -> None:
        """A message that is not active has something to say yet, and nobody minds that its file is removed."""
        outbound = self.outbound()
        self.assertFalse(outbound.scheduler.needs_only("A1", 1))
        outbound.scheduler.removed("A1")
        self.assertEqual(0, len(outbound.scheduler))
