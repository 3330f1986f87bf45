"""A glimpse of a queue file: sender and recipients, or nothing."""

import os

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.mail.envelope import NewMessage, Notify, Recipient
from smtpclient.queue import queuefile, record
from smtpclient.queue.glimpse import LENGTH, Glimpse, glimpse, seen
from smtpclient.queue.record import encode
from tests.queue import disk


def file(*addresses: str, sender: str = "a@sender.example") -> bytes:
    """A queue file as it is written."""
    recipients = [Recipient(address, notify=Notify.NEVER, orcpt=f"rfc822;{address}") for address in addresses]
    new = queuefile.build(NewMessage(sender, recipients, b"Subject: x\n\ntext\n", full_name="A. Sender"), disk.NOW)
    return b"".join(new.blocks())


class Seen(SynchronousTestCase):
    """What the first bytes say."""

    def test_sender_and_recipients(self) -> None:
        """Of a whole file, and of as much of it as is read."""
        whole = file("x@one.example", "y@two.example")
        found = Glimpse("a@sender.example", ("x@one.example", "y@two.example"))
        self.assertEqual((seen(whole), seen(whole[:LENGTH])), (found, found))

    def test_the_null_sender_is_one(self) -> None:
        """Reports of our own."""
        self.assertEqual(seen(file("x@one.example", sender="")), Glimpse("", ("x@one.example",)))

    def test_who_is_done_is_passed(self) -> None:
        """A message that was tried before."""
        whole = file("x@one.example", "y@two.example")
        offset = whole.index(encode(record.RECIPIENT, b"x@one.example"))
        marked = whole[:offset] + b"D" + whole[offset + 1 :]
        self.assertEqual(seen(marked), Glimpse("a@sender.example", ("y@two.example",)))

    def test_every_cut_says_nothing_or_all(self) -> None:
        """A message is never seen without some of its recipients."""
        whole = file("x@one.example", "y@two.example")
        found = {seen(whole[:length]) for length in range(len(whole))}
        self.assertEqual(found, {None, seen(whole)})

    def test_what_is_out_of_the_ordinary_is_left_to_the_reader(self) -> None:
        """More recipients behind the content, pointers, other files, a recipient that is all done."""
        whole = file("x@one.example")
        counted = whole.replace(b"%15d" % 1, b"%15d" % 2, 1)
        pointer = whole.replace(encode(record.CONTENT), encode(record.POINTER, b"0") + encode(record.CONTENT))
        offset = whole.index(encode(record.RECIPIENT, b"x@one.example"))
        done = whole[:offset] + b"D" + whole[offset + 1 :]
        self.assertEqual([seen(data) for data in (counted, pointer, done, b"", b"x" * 300)], [None] * 5)


class Files(SynchronousTestCase):
    """On disk."""

    def test_a_file_is_looked_into(self) -> None:
        """And not locked: another program may hold it."""
        path = self.mktemp()
        with open(path, "wb") as out:
            out.write(file("x@one.example"))
        self.assertEqual(glimpse(disk.DirectFiles(), path), Glimpse("a@sender.example", ("x@one.example",)))

    def test_what_cannot_be_read_is_not_seen(self) -> None:
        """Whoever takes it will hear why."""
        folder = self.mktemp()
        os.mkdir(folder)
        files = disk.DirectFiles()
        self.assertEqual((glimpse(files, folder), glimpse(files, folder + "/gone")), (None, None))
