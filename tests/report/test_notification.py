"""Tests for :mod:`smtpclient.report.notification`."""

import errno
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.mail.envelope import Envelope, NewMessage, Notify, Return
from smtpclient.queue.record import CorruptQueueFile
from smtpclient.report.entry import Entry, from_outcome
from smtpclient.report.notification import IN_ONE_GO
from tests.report.world import (
    MAIL,
    Content,
    Unreadable,
    World,
    bounced,
    deferred,
    entry,
    envelope,
    groups,
    part_bytes,
    parts,
    sent,
)

DOUBLE_BOUNCE = "double-bounce@example.org"


class NotificationTests(SynchronousTestCase):
    """What the tests have in common."""

    def tell(
        self, event: str, about: Envelope, entries: list[Entry], content: Any = None, **settings: Any
    ) -> list[str]:
        """Have something happened; what was sent, as ``sender -> recipient``."""
        self.world = World(self.mktemp(), **settings)
        happened = getattr(self.world.notification, event)
        self.successResultOf(happened(about, entries, content or Content()))
        return [f"{message.sender} -> {message.recipients[0].address}" for message in self.world.submitted]

    @property
    def only(self) -> NewMessage:
        """The one message that was sent."""
        (message,) = self.world.submitted
        return message

    def reported(self, message: NewMessage) -> list[str]:
        """The recipients that a report names."""
        return [group["Final-Recipient"].removeprefix("rfc822; ") for group in groups(message)[1:]]


FAILED = [from_outcome(bounced(), "failed")]


class Failed(NotificationTests):
    """Recipients that failed."""

    def test_sender_is_told(self) -> None:
        """The sender gets a report from the null sender, and the log says so."""
        self.assertEqual(self.tell("failed", envelope(), FAILED), [" -> author@example.org"])
        self.assertEqual(self.world.lines, ["bounce: ABCDE1234: sender non-delivery notification: NEW1"])
        self.assertEqual(parts(self.only)[2].get_content_type(), "message/rfc822")

    def test_nobody_failed(self) -> None:
        """Where nothing is recorded, nobody is told."""
        for sender in ("author@example.org", "", DOUBLE_BOUNCE):
            self.assertEqual(self.tell("failed", envelope(sender), [], notify_classes=frozenset({"bounce"})), [])
            self.assertEqual(self.world.lines, [])

    def test_notify(self) -> None:
        """Only those recipients are reported of whom the sender wants to hear."""
        entries = [
            entry("unsaid@example.com"),
            entry("never@example.com", notify=Notify.NEVER),
            entry("success@example.com", notify=Notify.SUCCESS | Notify.DELAY),
            entry("failure@example.com", notify=Notify.FAILURE),
        ]
        self.tell("failed", envelope(), entries)
        self.assertEqual(self.reported(self.only), ["unsaid@example.com", "failure@example.com"])

    def test_never(self) -> None:
        """Where the sender wants to hear of none, no report is made."""
        self.assertEqual(self.tell("failed", envelope(), [entry(notify=Notify.NEVER)]), [])

    def test_headers_only(self) -> None:
        """RET=HDRS returns the header alone; RET=FULL and nothing said, everything."""
        types = {}
        for ret in Return:
            self.tell("failed", envelope(ret=ret), FAILED)
            types[ret] = parts(self.only)[2].get_content_type()
        self.assertEqual(
            types,
            {
                Return.UNSPECIFIED: "message/rfc822",
                Return.FULL: "message/rfc822",
                Return.HEADERS: "text/rfc822-headers",
            },
        )

    def test_message_above_the_limit(self) -> None:
        """Of a message of 4 MB, above bounce_size_limit, the header is returned, and little more is read."""
        content = Content(MAIL + b"0123456789abcde\n" * 262144, block=65536)
        self.tell("failed", envelope(ret=Return.FULL), FAILED, content)
        self.assertEqual(part_bytes(self.only, 2), MAIL.partition(b"\n\n")[0] + b"\n")
        self.assertEqual(parts(self.only)[2].get_content_type(), "text/rfc822-headers")
        self.assertEqual(content.readings[0].read, 65536)

    def test_copy_for_the_postmaster(self) -> None:
        """With the class bounce, the postmaster gets the header, from the double-bounce address."""
        told = self.tell(
            "failed",
            envelope(),
            [entry("a@example.com", notify=Notify.FAILURE), entry("b@example.com", notify=Notify.SUCCESS)],
            notify_classes=frozenset({"bounce"}),
            bounce_notice_recipient="watch@example.net",
        )
        self.assertEqual(told, [" -> author@example.org", f"{DOUBLE_BOUNCE} -> watch@example.net"])
        copy = self.world.submitted[1]
        self.assertEqual(self.reported(copy), ["a@example.com", "b@example.com"])
        self.assertEqual(parts(copy)[2].get_content_type(), "text/rfc822-headers")
        self.assertEqual(self.world.lines[1], "bounce: ABCDE1234: postmaster non-delivery notification: NEW2")

    def test_copy_respects_never(self) -> None:
        """Of whom nobody is to hear, the postmaster does not hear either."""
        told = self.tell("failed", envelope(), [entry(notify=Notify.NEVER)], notify_classes=frozenset({"bounce"}))
        self.assertEqual(told, [])

    def test_copy_that_cannot_be_queued(self) -> None:
        """A copy that fails is logged; the sender has been told and is not told again."""
        self.world = World(self.mktemp(), notify_classes=frozenset({"bounce"}))
        self.world.refusals = [None, OSError(errno.ENOSPC, "No space left on device")]
        self.successResultOf(self.world.notification.failed(envelope(), FAILED, Content()))
        self.assertEqual(len(self.world.submitted), 1)
        self.assertEqual(
            self.world.lines[1],
            "bounce: ABCDE1234: warning: postmaster non-delivery notification to <postmaster@example.org>"
            " was not queued: [Errno 28] No space left on device",
        )

    def test_report_that_cannot_be_queued(self) -> None:
        """A report that cannot be queued is an error: nothing may be forgotten."""
        world = World(self.mktemp())
        world.refusals = [OSError(errno.ENOSPC, "No space left on device")]
        self.failureResultOf(world.notification.failed(envelope(), FAILED, Content()), OSError)
        self.assertEqual(world.lines, [])


class DoubleBounce(NotificationTests):
    """Reports and notices that fail themselves."""

    def test_by_notify_classes(self) -> None:
        """What cannot be returned goes to the postmaster if the class 2bounce or bounce is there; else nowhere."""
        told = {
            classes: self.tell("failed", envelope(""), FAILED, notify_classes=frozenset(classes.split()))
            for classes in ("", "resource software", "2bounce", "bounce", "bounce 2bounce")
        }
        to_postmaster = [f"{DOUBLE_BOUNCE} -> postmaster@example.org"]
        self.assertEqual(
            told,
            {
                "": [],
                "resource software": [],
                "2bounce": to_postmaster,
                "bounce": to_postmaster,
                "bounce 2bounce": to_postmaster,
            },
        )

    def test_whole_message(self) -> None:
        """It is the last chance for this message to be seen: it goes whole, whatever RET says."""
        self.tell(
            "failed",
            envelope("", ret=Return.HEADERS),
            FAILED,
            notify_classes=frozenset({"2bounce"}),
            double_bounce_notice_recipient="last@example.net",
        )
        self.assertEqual(self.only.recipients[0].address, "last@example.net")
        self.assertEqual(parts(self.only)[2].get_content_type(), "message/rfc822")

    def test_dropping_is_logged(self) -> None:
        """Where nobody is told, the log says so."""
        self.tell("failed", envelope(""), FAILED)
        self.assertEqual(self.world.lines, ["bounce: ABCDE1234: undeliverable notification discarded"])

    def test_no_triple_bounce(self) -> None:
        """A notice to the postmaster that fails is dropped, whatever the classes, and the log warns."""
        for sender in (DOUBLE_BOUNCE, "Double-Bounce@Example.Org", "double-bounce"):
            told = self.tell("failed", envelope(sender), FAILED, notify_classes=frozenset({"bounce", "2bounce"}))
            self.assertEqual(told, [])
            self.assertEqual(
                self.world.lines, ["bounce: ABCDE1234: warning: undeliverable postmaster notification discarded"]
            )

    def test_sender_that_cannot_be_written_to(self) -> None:
        """A sender with a line break in it, which no queue takes, is treated as none."""
        told = self.tell("failed", envelope("a\nb@example.org"), FAILED, notify_classes=frozenset({"2bounce"}))
        self.assertEqual(told, [f"{DOUBLE_BOUNCE} -> postmaster@example.org"])


class Delayed(NotificationTests):
    """Recipients that have to wait."""

    DELAYED = (from_outcome(deferred(), "delayed"),)

    def test_sender_is_warned(self) -> None:
        """The sender is told, with the header, and the log says so."""
        self.assertEqual(
            self.tell("delayed", envelope(ret=Return.FULL), list(self.DELAYED)), [" -> author@example.org"]
        )
        self.assertEqual(groups(self.only)[1]["Action"], "delayed")
        self.assertEqual(parts(self.only)[2].get_content_type(), "text/rfc822-headers")
        self.assertEqual(self.world.lines, ["bounce: ABCDE1234: sender delay notification: NEW1"])

    def test_notify(self) -> None:
        """NOTIFY without DELAY asks for no warning."""
        entries = [entry("a@example.com", notify=Notify.DELAY), entry("b@example.com", notify=Notify.FAILURE)]
        self.tell("delayed", envelope(), entries)
        self.assertEqual(self.reported(self.only), ["a@example.com"])

    def test_postmaster(self) -> None:
        """With the class delay the postmaster hears of it too, also where there is no sender."""
        told = {
            sender: self.tell(
                "delayed",
                envelope(sender),
                list(self.DELAYED),
                notify_classes=frozenset({"delay"}),
                delay_notice_recipient="watch@example.net",
            )
            for sender in ("author@example.org", "", DOUBLE_BOUNCE)
        }
        copy = f"{DOUBLE_BOUNCE} -> watch@example.net"
        self.assertEqual(told, {"author@example.org": [" -> author@example.org", copy], "": [copy], DOUBLE_BOUNCE: []})

    def test_null_sender(self) -> None:
        """Without that class, a delay of a report is nobody's concern."""
        self.assertEqual(self.tell("delayed", envelope(""), list(self.DELAYED)), [])


class Delivered(NotificationTests):
    """Recipients whose mail was taken."""

    def test_sender_is_told(self) -> None:
        """The sender gets the header and the reply; the log says so."""
        entries = [from_outcome(sent(), "relayed"), entry("b@example.com", notify=Notify.FAILURE)]
        self.assertEqual(self.tell("delivered", envelope(), entries), [" -> author@example.org"])
        self.assertEqual(self.reported(self.only), ["friend@example.com"])
        self.assertEqual(parts(self.only)[2].get_content_type(), "text/rfc822-headers")
        self.assertEqual(self.world.lines, ["bounce: ABCDE1234: sender delivery status notification: NEW1"])

    def test_nobody_to_tell(self) -> None:
        """Reports and notices have no sender to tell."""
        for sender in ("", DOUBLE_BOUNCE):
            self.assertEqual(self.tell("delivered", envelope(sender), [from_outcome(sent(), "relayed")]), [])


class Message(NotificationTests):
    """The message that is reported on."""

    def test_message_that_cannot_be_read(self) -> None:
        """A file gone bad, or gone, is reported on without it, and the log says why."""
        for error in (CorruptQueueFile("active/X", 97, "unknown record"), FileNotFoundError(2, "No such file", "X")):
            self.tell("failed", envelope(), FAILED, Unreadable(error))
            self.assertEqual(len(parts(self.only)), 2)
            self.assertIn("warning: the report goes without the message", self.world.lines[0])

    def test_shortage(self) -> None:
        """Where only file descriptors or memory are short, the report waits."""
        for number in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN):
            world = World(self.mktemp())
            content = Unreadable(OSError(number, "short"))
            self.failureResultOf(world.notification.failed(envelope(), FAILED, content), OSError)
            self.assertEqual(world.submitted, [])

    def test_thousands_of_recipients(self) -> None:
        """A long report is made with turns for others in between, and names everybody."""
        world = World(self.mktemp())
        entries = [entry(f"{number}@example.com") for number in range(3 * IN_ONE_GO)]
        telling = Deferred.fromCoroutine(world.notification.failed(envelope(), entries, Content()))
        turns = []

        def somebody_else() -> None:
            if not telling.called:
                turns.append(world.clock.callLater(0, somebody_else))

        somebody_else()
        self.assertNoResult(telling)
        world.clock.advance(0)
        self.successResultOf(telling)
        self.assertGreaterEqual(len(turns), 6)
        self.assertEqual(len(self.reported(world.submitted[0])), 3 * IN_ONE_GO)
