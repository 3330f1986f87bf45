"""Envelopes, recipients, outcomes and requests: what the values say of themselves."""

from typing import get_type_hints

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from smtpclient.interfaces import IContentReader, IMessageContent
from smtpclient.mail.envelope import Envelope, NewMessage, Notify, Recipient, Return, TraceFlags, Utf8
from smtpclient.mail.outcome import Delays, Disposition, Outcome, Peer
from smtpclient.mail.request import DeliveryRequest, DeliveryResult
from tests.mail.messages import MemoryContent, envelope, recipients


class Values(SynchronousTestCase):
    """Frozen values with defaults that ask for nothing."""

    def test_numbers_are_those_of_queue_files(self) -> None:
        """The flags have the numbers that Postfix writes."""
        self.assertEqual([flag.value for flag in Notify], [1, 2, 4, 8])
        self.assertEqual([value.value for value in Return], [0, 1, 2])
        self.assertEqual([flag.value for flag in Utf8], [1, 2, 4, 8])

    def test_recipient_knows_its_domain(self) -> None:
        """Routing goes by the domain in lower case."""
        self.assertEqual(Recipient("a@b@Example.ORG").domain, "example.org")

    def test_recipient_is_not_marked_by_default(self) -> None:
        """A recipient that nobody gave an offset has none in the queue file."""
        self.assertEqual(Recipient("a@example.org").offset, -1)

    def test_peer_is_named_as_in_the_log(self) -> None:
        """The log names host, address and port; reasons leave the port out."""
        peer = Peer("mx.example", "2001:db8::1", 25)
        self.assertEqual((str(peer), peer.name), ("mx.example[2001:db8::1]:25", "mx.example[2001:db8::1]"))

    def test_relay_of_an_outcome(self) -> None:
        """An outcome that no server decided has the relay none."""
        outcome = Outcome(Recipient("a@example.org"), Disposition.DEFERRED, "4.4.1", "why")
        self.assertEqual(outcome.relay, "none")
        outcome = outcome._replace(peer=Peer("mx", "192.0.2.1", 25))
        self.assertEqual(outcome.relay, "mx[192.0.2.1]:25")

    def test_delays_add_up(self) -> None:
        """The delay of the log is the sum of its parts."""
        self.assertEqual(Delays(1.0, 0.5, 0.25, 0.125).total, 1.875)

    def test_values_cannot_be_changed(self) -> None:
        """What has been said of a message stays said."""
        request = DeliveryRequest(envelope(), recipients("a@b.example"), "smtp", "b.example", MemoryContent(), 0.0)
        values = [envelope(), *request.recipients, Delays(), request, DeliveryResult(()), NewMessage("", (), b"")]
        for value in values:
            name = next(iter(get_type_hints(type(value))))
            with self.assertRaises(AttributeError):
                setattr(value, name, None)

    def test_content_in_memory_keeps_the_interface(self) -> None:
        """The content that other tests use is content as the queue gives it."""
        content = MemoryContent()
        verifyObject(IMessageContent, content)
        verifyObject(IContentReader, content.open())


class TraceFlagsTests(SynchronousTestCase):
    """What is to be traced."""

    def flags(self, text: str) -> TraceFlags:
        """Those of a message with this attribute."""
        return Envelope("A", "", 0, 0, 0, 0, attributes={"trace_flags": text}).trace_flags

    def test_of_a_message(self) -> None:
        """A message says it with an attribute; what is no number, or no such flag, counts for nothing."""
        self.assertEqual(
            [self.flags(text) for text in ("512", "1027", "x", "", "-1", "9" * 5000)],
            [TraceFlags.PROBE, TraceFlags.RECORD, *[TraceFlags(0)] * 4],
        )

    def test_none(self) -> None:
        """A message without the attribute is to be delivered and nothing else."""
        self.assertEqual(Envelope("A", "", 0, 0, 0, 0).trace_flags, TraceFlags(0))
