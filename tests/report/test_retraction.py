"""What a process that died has recorded of recipients and not marked is not reported after their next attempt."""

import errno

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from smtpclient.interfaces import IRetractingService
from smtpclient.mail.envelope import NewMessage, Notify, QueuedMessage, Recipient
from smtpclient.queue.completion import Completion
from smtpclient.queue.schedule import ScheduleSettings
from smtpclient.report.bounce import QueueBounces
from smtpclient.report.defer import QueueDeferrals
from smtpclient.report.entry import from_outcome
from smtpclient.report.trace import QueueTraces
from tests.report.world import Content, World, bounced, groups, sent


class Retraction(SynchronousTestCase):
    """A message in ``active/``, its record, and the moment before its next attempt."""

    def setUp(self) -> None:
        self.world = world = World(self.mktemp())
        self.bounces = QueueBounces(world.journal, world.notification)
        self.traces = QueueTraces(world.journal, world.notification)
        self.completion = Completion(
            world.spool,
            self.bounces,
            QueueDeferrals(world.journal, world.notification),
            self.traces,
            ScheduleSettings(),
            world.clock,
            world.maillog,
        )

    def message(self, *addresses: str) -> QueuedMessage:
        """Put a message into active/."""
        new = NewMessage("author@example.org", [Recipient(address) for address in addresses], b"Subject: x\n\ny\n")
        queue_id = self.successResultOf(self.world.spool.create(new))
        self.world.spool.take(queue_id, "incoming")
        return self.world.spool.read(queue_id)

    def record(self, message: QueuedMessage, index: int) -> None:
        """Record a recipient as failed."""
        recipient = message.recipients[index]
        outcome = bounced(recipient.address, offset=recipient.offset)
        self.successResultOf(self.bounces.append(message.envelope, outcome))

    def begin(self, message: QueuedMessage) -> None:
        """Its next attempt begins."""
        self.successResultOf(self.completion.begin(message.envelope.queue_id))

    def reported(self, message: QueuedMessage) -> list[str]:
        """The recipients of the report that is sent now."""
        self.successResultOf(self.bounces.flush(message.envelope, Content()))
        return [group["Final-Recipient"] for report in self.world.submitted for group in groups(report)[1:]]

    def test_interface(self) -> None:
        """Both services of our own can do it."""
        for service in (self.bounces, self.traces):
            verifyObject(IRetractingService, service)

    def test_recorded_and_not_marked(self) -> None:
        """A recipient that is still to be delivered is not reported, and nothing is left of its record."""
        message = self.message("a@example.com")
        self.record(message, 0)
        self.begin(message)
        self.assertEqual(self.reported(message), [])
        self.assertIsNone(self.world.journal_text("bounce", message.envelope.queue_id))

    def test_recorded_and_marked(self) -> None:
        """Of several recipients those are reported that are marked, as they were recorded."""
        message = self.message("a@example.com", "b@example.com", "c@example.com")
        for index in range(3):
            self.record(message, index)
        self.world.spool.mark_done(message.envelope.queue_id, [message.recipients[1].offset])
        self.begin(message)
        self.assertEqual(self.reported(message), ["rfc822; b@example.com"])

    def test_failed_again(self) -> None:
        """What is recorded in the new attempt is reported."""
        message = self.message("a@example.com")
        self.record(message, 0)
        self.begin(message)
        self.record(message, 0)
        self.assertEqual(self.reported(message), ["rfc822; a@example.com"])

    def test_successes(self) -> None:
        """The same for deliveries whose sender asked to be told."""
        message = self.message("a@example.com")
        offset = message.recipients[0].offset
        outcome = sent(recipient=Recipient("a@example.com", offset=offset, notify=Notify.SUCCESS))
        self.successResultOf(self.traces.append(message.envelope, outcome))
        self.begin(message)
        self.successResultOf(self.traces.flush(message.envelope, Content()))
        self.assertEqual(self.world.submitted, [])

    def test_torn_retraction(self) -> None:
        """A retraction that a crash cuts short anywhere leaves the entry, or none, and never a part of one."""
        message = self.message("a@example.com")
        queue_id = message.envelope.queue_id
        self.record(message, 0)
        whole = self.world.journal_text("bounce", queue_id) or b""
        length = len(whole.strip(b"\n")) + 1
        for done in range(1, length + 1):
            self.world.put_journal("bounce", whole[:1] + b"\n" * done + whole[1 + done :], queue_id)
            entries = self.successResultOf(self.world.journal.read("bounce", queue_id))
            recorded = from_outcome(bounced("a@example.com", offset=message.recipients[0].offset), "failed")
            self.assertIn(entries, ([], [recorded]))

    def test_disk_failure(self) -> None:
        """A record that cannot be changed does not keep the message from being tried; the log says so."""
        message = self.message("a@example.com")
        self.record(message, 0)
        self.world.files.failing = OSError(errno.EIO, "Input/output error")
        self.begin(message)
        words = "warning: cannot take back what was recorded and not marked: [Errno 5] Input/output error"
        self.assertIn(f"bounce: {message.envelope.queue_id}: {words}", self.world.lines)
