"""
A queue directory with messages in it, and the command ``queue`` run on it.
"""

import io
import os
from collections.abc import Iterable

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.command import queue as queue_command
from smtpclient.command.queue_directory import QueueDirectory
from smtpclient.config.parameters import Parameters
from smtpclient.mail.envelope import NewMessage, Recipient
from smtpclient.queue.folders import JOURNALS
from smtpclient.report.entry import Entry, encode
from tests.queue.disk import NOW, DirectFiles, message, run, spool


class QueueCase(SynchronousTestCase):
    """Each test has a queue directory of its own; nobody listens at its door unless the test does."""

    maxDiff = None

    def setUp(self) -> None:
        self.path = self.new_path()
        self.log = f"{self.path}.log"
        self.spool, self.clock, _ = spool(self.path)
        self.files = DirectFiles()
        self.stdout, self.stderr = io.StringIO(), io.StringIO()

    def new_path(self) -> str:
        """Where the queue directory is to be."""
        return os.path.abspath(str(self.mktemp()))

    def parameters(self, **values: str) -> Parameters:
        """A configuration that leads to the directory."""
        return Parameters.from_values({"queue_directory": self.path, "myhostname": "client.example", **values})

    def directory(self, **values: str) -> QueueDirectory:
        """The directory as commands see it."""
        return QueueDirectory(self.parameters(**values), self.files, self.clock)

    def queue(self, new: NewMessage | None = None, where: str = "incoming") -> str:
        """Put a message into the queue; its id."""
        queue_id = run(self.spool.create(new or message()))
        if where in ("active", "deferred"):
            self.spool.take(queue_id, "incoming")
        if where == "deferred":
            self.spool.defer(queue_id, NOW + 300)
        if where == "hold":
            self.spool.hold(queue_id)
        return queue_id

    def record(self, queue_id: str, *recipients: Recipient, kind: str = "defer", reason: str = "busy") -> None:
        """Write into a message's journal why recipients wait."""
        path = self.spool.journal_path(kind, queue_id)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "ab") as file:
            for recipient in recipients:
                file.write(encode(Entry(recipient, "4.2.1", "delayed", reason)))

    def perform(self, *words: str, **values: str) -> int:
        """Run the command; its exit code."""
        options = queue_command.parser().parse_args(words)
        parameters = self.parameters(**values)
        return run(queue_command.perform(parameters, options, self.files, self.clock, self.stdout, self.stderr))

    def where(self) -> dict[str, str]:
        """The queue that each message lies in."""
        return {
            entry.queue_id: queue
            for queue in ("incoming", "active", "deferred", "hold")
            for entry in self.spool.scan(queue)
        }

    def journals(self, queue_id: str) -> Iterable[str]:
        """The journals that a message has."""
        return [kind for kind in JOURNALS if os.path.exists(self.spool.journal_path(kind, queue_id))]
