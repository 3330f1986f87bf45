"""Delivery requests and answers, as bytes and as values."""

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.mail.envelope import Notify, Recipient, Return, TlsWish, Utf8
from smtpclient.mail.outcome import SiteFailure
from smtpclient.postfix.attributes import WireError
from smtpclient.postfix.request import GREETING, MOST_RECIPIENTS, Flags, Request, RequestReader, encode_answer
from tests.mail.messages import envelope
from tests.postfix import queue_manager

ALICE = Recipient("alice@there.test", "al@there.test", 700, "rfc822;al@there.test", Notify.SUCCESS)
BOB = Recipient("bob@there.test", offset=800)
FULL = envelope(
    arrival=1795331475.25,
    created=1795331475.25,
    content_offset=600,
    encoding="8bit",
    utf8=Utf8.REQUESTED | Utf8.RECIPIENT,
    envelope_id="x+2By",
    ret=Return.HEADERS,
    tls=TlsWish.REQUIRED,
    attributes={"log_client_name": "c.test", "log_ident": "ABC", "sasl_username": "me", "rewrite_context": "remote"},
)


def read(data: bytes) -> Request | None:
    """What a reader makes of it."""
    return RequestReader().feed(data)


class RequestTests(SynchronousTestCase):
    """What the queue manager sends."""

    def test_greeting(self) -> None:
        """The greeting is the 36 bytes that the queue manager expects."""
        self.assertEqual(GREETING, b"protocol\0delivery_request_protocol\0\0")

    def test_everything_arrives(self) -> None:
        """Each attribute gets where the delivery agent looks for it."""
        data = queue_manager.request(ALICE, BOB, envelope=FULL, next_hop="[10.0.0.1]:26", activated=1795331476.5)
        wanted = Request(
            Flags.MARK_SENT | Flags.MARK_BOUNCED, "active", "[10.0.0.1]:26", 1795331476.5, FULL, (ALICE, BOB)
        )
        self.assertEqual(read(data), wanted)

    def test_in_pieces(self) -> None:
        """A request that comes byte by byte is complete with its last byte, and not before."""
        data = queue_manager.request(ALICE, BOB, envelope=FULL)
        reader = RequestReader()
        found = [reader.feed(data[at : at + 1]) for at in range(len(data))]
        self.assertEqual(found[:-1], [None] * (len(data) - 1))
        self.assertEqual(found[-1], read(data))

    def test_wishes_have_two_names(self) -> None:
        """Postfix 3.10 calls the wishes of a message otherwise; they mean the same."""
        old = read(queue_manager.request(BOB, wishes=("smtputf8", 43)))
        new = read(queue_manager.request(BOB, wishes=("sendopts", 43)))
        assert new is not None
        self.assertEqual(old, new)
        self.assertEqual((new.envelope.utf8, new.envelope.tls), (Utf8(11), TlsWish.REQUIRED))

    def test_flags(self) -> None:
        """What is to be traced goes with the envelope, where report services look for it; the rest is for the agent."""
        found = read(queue_manager.request(BOB, flags=0x1800 | 0x200 | 3 | 0x10))
        assert found is not None
        self.assertEqual(found.flags, Flags.MARK_SENT | Flags.MARK_BOUNCED | Flags.REUSE | Flags.KEEP)
        self.assertEqual((found.envelope.attributes["trace_flags"], found.envelope.is_probe), ("512", True))

    def test_nobody_to_be_marked(self) -> None:
        """Whoever does not ask for marks gets none, wherever the recipients stand in the file."""
        found = read(queue_manager.request(ALICE, BOB, flags=0))
        assert found is not None
        self.assertEqual([each.offset for each in found.recipients], [-1, -1])

    def test_no_time_of_activation(self) -> None:
        """Without it, the message has not waited in the active queue."""
        found = read(queue_manager.request(BOB, activated=0.0))
        assert found is not None
        self.assertEqual(found.activated, 1.25)

    def test_what_is_no_request(self) -> None:
        """Each fault is named, and nothing of such a request is delivered."""
        good = queue_manager.request(BOB)
        faults = {
            good.replace(b"nexthop", b"nexthip"): "expected attribute nexthop, not nexthip",
            good + good: "expected nothing behind 1 recipients",
            queue_manager.request(BOB, count=0): f"recipient_count: expected 1 to {MOST_RECIPIENTS}, not 0",
            queue_manager.request(BOB, count=MOST_RECIPIENTS + 1): "recipient_count: expected 1 to",
            queue_manager.request(BOB, count=-1): "recipient_count: expected 1 to",
            queue_manager.request(BOB, envelope=envelope(size=-1)): "expected a content that begins and has a size",
            good.replace(b"time\0", b"time\0AAAA"): "attribute time: expected",
        }
        self.assertEqual({data: self._fault(data, words) for data, words in faults.items()}, faults)

    def _fault(self, data: bytes, words: str) -> str:
        """The words, if they are in the complaint; else all of that."""
        found = str(self.assertRaises(WireError, read, data))
        return words if words in found else found


class AnswerTests(SynchronousTestCase):
    """What the queue manager hears."""

    def test_all_done(self) -> None:
        """An answer without trouble is the 77 bytes that Postfix's own agent sends."""
        self.assertEqual(
            encode_answer(True),
            b"status\0\0diag_type\0\0diag_text\0\0mta_type\0\0mta_mname\0\0action\0\0reason\0\0status\x000\0\0",
        )

    def test_not_done(self) -> None:
        """Somebody is left, and the destination is well."""
        self.assertEqual(queue_manager.answer(encode_answer(False)), (-1, "", ""))

    def test_site_failure(self) -> None:
        """The destination is not: both status and reason are there."""
        failure = SiteFailure("4.4.1", "connect to there.test[10.0.0.1]:25: Connection\nrefused")
        found = queue_manager.answer(encode_answer(False, failure))
        self.assertEqual(found, (-1, "4.4.1", "connect to there.test[10.0.0.1]:25: Connection?refused"))
