"""``smtpclient queue show``."""

import email.utils
import fcntl
import os
from unittest.mock import patch

from smtpclient.mail.envelope import Notify, Recipient, Return, Utf8
from tests.command.queue_case import QueueCase
from tests.queue.disk import NOW, message


def shown_time(seconds: float) -> str:
    """A time as it is shown."""
    return email.utils.formatdate(seconds, localtime=True)


class Show(QueueCase):
    """One message."""

    def test_small_message(self) -> None:
        """Envelope, recipients and content stand between lines of asterisks."""
        queue_id = self.queue()
        self.assertEqual(self.perform("show", queue_id), 0)
        size = self.directory().look("incoming", queue_id).envelope.size
        self.assertEqual(
            self.stdout.getvalue(),
            f"*** ENVELOPE incoming/{queue_id} ***\n"
            f"arrival_time: {shown_time(NOW)}\n"
            f"message_size: {size}\n"
            "sender: a@sender.example\n"
            "recipient: b@dest.example\n"
            f"*** CONTENT incoming/{queue_id} ***\n"
            "Subject: test\n\nHello\n"
            f"*** END incoming/{queue_id} ***\n",
        )

    def test_everything_an_envelope_can_say(self) -> None:
        """What the sender asked for, what is recorded, and when it goes on are shown."""
        recipient = Recipient(
            "b@dest.example", "B@Dest.example", orcpt="rfc822;B@Dest.example", notify=Notify.SUCCESS | Notify.DELAY
        )
        queue_id = self.queue(
            message(
                recipients=(recipient,),
                created=NOW - 100,
                encoding="8bit",
                utf8=Utf8.REQUESTED | Utf8.HEADER,
                envelope_id="QQ314159",
                ret=Return.HEADERS,
                full_name="Alice",
                attributes={"log_message_origin": "local"},
            ),
            "deferred",
        )
        self.spool.expire(queue_id)
        self.record(queue_id, recipient, reason="host said: 450 busy")
        self.perform("show", queue_id, "--envelope")
        lines = self.stdout.getvalue().splitlines()
        self.assertEqual(
            [line for line in lines if not line.startswith("message_size")],
            [
                f"*** ENVELOPE deferred/{queue_id} ***",
                f"arrival_time: {shown_time(NOW)}",
                f"create_time: {shown_time(NOW - 100)}",
                f"next_attempt: {shown_time(NOW + 300)}",
                "forced_expire: yes",
                "sender: a@sender.example",
                "full_name: Alice",
                "encoding: 8bit",
                "smtputf8: requested, header",
                "envelope_id: QQ314159",
                "return: headers",
                "log_message_origin: local",
                "recipient: b@dest.example",
                "  original_recipient: B@Dest.example",
                "  dsn_original_recipient: rfc822;B@Dest.example",
                "  notify: success, delay",
                "  delay_reason: host said: 450 busy",
            ],
        )

    def test_null_sender_and_finished_recipients(self) -> None:
        """The null sender is two angle brackets; recipients that are done are counted."""
        queue_id = self.queue(message(sender="", recipients=(Recipient("b@x.example"), Recipient("c@x.example"))))
        self.spool.mark_done(queue_id, [self.directory().look("incoming", queue_id).recipients[0].offset])
        self.perform("show", queue_id, "--envelope")
        self.assertIn("\nsender: <>\n", self.stdout.getvalue())
        self.assertIn("\nrecipient: c@x.example\nfinished_recipients: 1\n", self.stdout.getvalue())

    def test_delay_warning(self) -> None:
        """The time of a delay warning to come is shown."""
        self.spool._writer._warn_after = 3600.0
        queue_id = self.queue()
        self.perform("show", queue_id, "--envelope")
        self.assertIn(f"\ndelay_warning: {shown_time(NOW + 3600)}\n", self.stdout.getvalue())

    def test_content_alone(self) -> None:
        """With --content there is the content and nothing else, byte for byte, however long."""
        content = b"Subject: \xff\xfe\n\n" + b"".join(b"line %d\n" % number for number in range(100_000))
        queue_id = self.queue(message(content))
        self.assertEqual(self.perform("show", "--content", queue_id), 0)
        self.assertEqual(self.stdout.getvalue().encode("utf-8", "surrogateescape"), content)

    def test_unknown(self) -> None:
        """A message that is nowhere is named, and where to look."""
        self.assertEqual(self.perform("show", "12345ABCDE"), 1)
        self.assertIn("12345ABCDE: no such message in the queue; smtpclient queue list", self.stderr.getvalue())

    def test_what_is_no_id(self) -> None:
        """A word that can be no queue id is a wrong command line."""
        self.assertEqual(self.perform("show", "../x"), os.EX_USAGE)

    def test_corrupt(self) -> None:
        """A file that is no message is named, with what is wrong and where."""
        queue_id = self.queue()
        os.truncate(f"{self.path}/incoming/{queue_id}", 30)
        self.assertEqual(self.perform("show", queue_id), os.EX_DATAERR)
        self.assertIn(f"incoming/{queue_id}", self.stderr.getvalue())

    def test_locked(self) -> None:
        """A message that somebody has locked is shown, for looking takes no lock."""
        queue_id = self.queue()
        with open(f"{self.path}/incoming/{queue_id}") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            self.assertEqual(self.perform("show", queue_id), 0)
        self.assertIn("\nHello\n", self.stdout.getvalue())

    def test_moves_on_meanwhile(self) -> None:
        """A message that moves while it is looked at may be shown in a moment."""
        queue_id = self.queue()
        gone = FileNotFoundError(2, "No such file or directory", "/spool/incoming/x")
        with patch.object(self.files, "open", side_effect=gone):
            self.assertEqual(self.perform("show", queue_id), os.EX_TEMPFAIL)
        self.assertEqual(
            self.stderr.getvalue(), "smtpclient queue show: /spool/incoming/x has just moved on; try again\n"
        )
