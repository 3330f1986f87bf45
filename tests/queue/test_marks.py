"""What is changed in a complete queue file."""

import os

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.mail.envelope import Recipient
from smtpclient.queue.marks import mark_done, mark_warned
from smtpclient.queue.queuefile import CorruptQueueFile, read_message
from tests.queue.disk import NOW, DirectFiles, message, queue_file


class MarkTests(SynchronousTestCase):
    """Recipients that are done, senders that have been warned."""

    def setUp(self) -> None:
        self.files = DirectFiles()
        self.path = os.path.abspath(self.mktemp())
        recipients = [Recipient(f"r{number}@dest.example", orcpt="rfc822;r") for number in range(4)]
        with open(self.path, "wb") as file:
            file.write(queue_file(message(recipients=recipients), warn_at=NOW + 60))
        self.fd = self.files.open(self.path, os.O_RDWR)
        self.addCleanup(self.files.close, self.fd)
        self.message = read_message(self.files, self.fd, self.path, "ID")
        self.offsets = [recipient.offset for recipient in self.message.recipients]

    def _left(self) -> list[str]:
        found = read_message(self.files, self.fd, self.path, "ID")
        return [recipient.address.partition("@")[0] for recipient in found.recipients]

    def test_done(self) -> None:
        """A recipient that is marked is not read again, and is counted; the others keep what is theirs."""
        mark_done(self.files, self.fd, self.path, [self.offsets[1], self.offsets[2]])
        found = read_message(self.files, self.fd, self.path, "ID")
        self.assertEqual((self._left(), found.finished), (["r0", "r3"], 2))
        self.assertEqual(found.recipients[1], self.message.recipients[3])

    def test_twice(self) -> None:
        """To mark again does no harm."""
        mark_done(self.files, self.fd, self.path, self.offsets[:1])
        mark_done(self.files, self.fd, self.path, self.offsets[:1])
        self.assertEqual(self._left(), ["r1", "r2", "r3"])

    def test_wrong_offset(self) -> None:
        """Where no recipient's record stands nothing is written, and it is said; the right ones are marked first."""
        size = os.path.getsize(self.path)
        for right, wrong in zip(self.offsets, (0, -1, self.offsets[0] + 1, size), strict=True):
            error = self.assertRaises(CorruptQueueFile, mark_done, self.files, self.fd, self.path, [wrong, right])
            self.assertEqual((error.path, error.offset), (self.path, wrong))
        self.assertEqual((self._left(), os.path.getsize(self.path)), ([], size))

    def test_warned(self) -> None:
        """After the warning none is due any more; everything else stays."""
        self.assertEqual(self.message.warn_at, int(NOW + 60))
        mark_warned(self.files, self.fd, self.path, self.message.warn_offset)
        found = read_message(self.files, self.fd, self.path, "ID")
        self.assertEqual((found.warn_at, found.warn_offset), (0.0, self.message.warn_offset))
        self.assertEqual(found.recipients, self.message.recipients)

    def test_warned_at_a_wrong_offset(self) -> None:
        """Where no warning's record stands nothing is written."""
        with open(self.path, "rb") as file:
            before = file.read()
        for wrong in (0, 96, self.offsets[0], len(before) - 3, len(before) + 5):
            self.assertRaises(CorruptQueueFile, mark_warned, self.files, self.fd, self.path, wrong)
        with open(self.path, "rb") as file:
            self.assertEqual(file.read(), before)
