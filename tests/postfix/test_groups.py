"""Groups of attributes: a recipient and what became of it, there and back."""

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.mail.envelope import Notify, Recipient
from smtpclient.mail.outcome import Disposition, Outcome, Peer
from smtpclient.postfix.attributes import Fields, Pair, Parser, encode
from smtpclient.postfix.groups import (
    DeliveryStatus,
    from_entry,
    recipient_pairs,
    status_pairs,
    take_recipient,
)
from smtpclient.report.entry import NO_REASON, from_outcome


def take_status(fields: Fields) -> DeliveryStatus:
    """
    What became of it, as it came.

    :raises WireError: when it is not that.
    """
    names = ("status", "diag_type", "diag_text", "mta_type", "mta_mname", "action", "reason")
    return DeliveryStatus(*[fields.text(name) for name in names])


def sent(pairs: list[Pair]) -> Fields:
    """What the other side gets of it."""
    parser = Parser()
    parser.feed(encode(pairs))
    fields = parser.next_list()
    assert fields is not None
    return fields


class RecipientTests(SynchronousTestCase):
    """The five attributes of a recipient."""

    def test_round_trip(self) -> None:
        """A recipient arrives as it was sent, unmarked ones and bytes that are not UTF-8 included."""
        recipients = [
            Recipient(
                "a b@example.com", "c@example.com", 1 << 33, "rfc822;c@example.com", Notify.SUCCESS | Notify.DELAY
            ),
            Recipient("\udcff@example.com"),
        ]
        self.assertEqual([take_recipient(sent(recipient_pairs(each))) for each in recipients], recipients)

    def test_on_the_wire(self) -> None:
        """The attributes have Postfix's names and order, and -1 is an offset of 64 bits."""
        self.assertEqual(
            encode(recipient_pairs(Recipient("a@b"))),
            b"original_recipient\0\0recipient\0a@b\0offset\x0018446744073709551615\0dsn_orig_rcpt\0\0notify_flags\x000\0\0",
        )

    def test_unknown_wishes(self) -> None:
        """Bits that are no wish of RFC 3461 are passed over."""
        pairs = [*recipient_pairs(Recipient("a@b"))[:-1], ("notify_flags", 0xF2)]
        self.assertEqual(take_recipient(sent(pairs)).notify, Notify.SUCCESS)

    def test_line_break(self) -> None:
        """A line break in an address cannot begin another line of what Postfix keeps."""
        self.assertEqual(
            take_recipient(sent(recipient_pairs(Recipient("a\nstatus=2.0.0@b")))).address, "a?status=2.0.0@b"
        )


class StatusTests(SynchronousTestCase):
    """The seven attributes of what became of it."""

    def test_of_an_outcome(self) -> None:
        """A server's refusal arrives with its reply and its name."""
        outcome = Outcome(
            Recipient("a@b"), Disposition.BOUNCED, "5.1.1", "host mx said: 550", "550 5.1.1 no", Peer("mx", "::1", 25)
        )
        self.assertEqual(
            take_status(sent(status_pairs(from_entry(from_outcome(outcome, "failed"))))),
            DeliveryStatus("5.1.1", "smtp", "550 5.1.1 no", "dns", "mx", "failed", "host mx said: 550"),
        )

    def test_nothing(self) -> None:
        """Nothing to say is seven empty strings."""
        self.assertEqual(
            encode(status_pairs(DeliveryStatus())),
            b"status\0\0diag_type\0\0diag_text\0\0mta_type\0\0mta_mname\0\0action\0\0reason\0\0\0",
        )

    def test_no_reason(self) -> None:
        """A status never goes without a reason, which Postfix would refuse."""
        self.assertEqual(take_status(sent(status_pairs(DeliveryStatus("4.0.0", reason=" ")))).reason, NO_REASON)

    def test_halves(self) -> None:
        """A type without its text, and a text without its type, are left out."""
        status = DeliveryStatus("5.0.0", "smtp", "", "", "mx", "failed", "no")
        self.assertEqual(take_status(sent(status_pairs(status))), DeliveryStatus("5.0.0", action="failed", reason="no"))

    def test_control_characters(self) -> None:
        """A server's words stay in one line, and a NUL in them is none."""
        status = DeliveryStatus("5.0.0", "smtp", "550 a\r\nb\0c", "dns", "mx", "failed", "said: a\nb")
        arrived = take_status(sent(status_pairs(status)))
        self.assertEqual((arrived.diagnostic, arrived.reason), ("550 a??b?c", "said: a?b"))
