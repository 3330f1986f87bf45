"""Tests for :mod:`smtpclient.report.event`."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.mail.envelope import Envelope, Notify, Recipient, Return
from smtpclient.report.entry import Entry, from_outcome
from smtpclient.report.event import Event, encode
from tests.report.world import NOW, bounced, deferred, entry, envelope


def told(about: Envelope, recorded: Entry, name: str = "bounced") -> dict[str, Any]:
    """An event as the other side reads it."""
    line = encode(Event(name, about, recorded, NOW + 0.25))
    assert line.endswith(b"\n") and line.count(b"\n") == 1 and line.isascii(), line
    found: dict[str, Any] = json.loads(line)
    return found


class Json(SynchronousTestCase):
    """The form that other programs rely on."""

    maxDiff = None

    def test_keys(self) -> None:
        """The keys and their values are exactly these: programs of others read them."""
        about = envelope(envelope_id="QQ314159", ret=Return.HEADERS, arrival=NOW - 3600.5)
        outcome = bounced(notify=Notify.FAILURE | Notify.DELAY)
        self.assertEqual(
            told(about, from_outcome(outcome, "failed")),
            {
                "version": 1,
                "event": "bounced",
                "time": NOW + 0.25,
                "queue_id": "ABCDE1234",
                "sender": "author@example.org",
                "envelope_id": "QQ314159",
                "ret": "HDRS",
                "arrival": NOW - 3600.5,
                "size": 99,
                "recipient": "nobody@example.com",
                "original": "",
                "orcpt": "rfc822;nobody@example.com",
                "notify": ["FAILURE", "DELAY"],
                "status": "5.1.1",
                "reason": "host mx.example.com[192.0.2.1] said: 550 5.1.1 unknown (in reply to RCPT TO command)",
                "reply": "550 5.1.1 unknown",
                "host": "mx.example.com",
            },
        )

    def test_what_is_not_known_is_empty(self) -> None:
        """A key is there also when there is nothing to say."""
        found = told(envelope(""), from_outcome(deferred(), "delayed"), "deferred")
        self.assertEqual(
            {
                key: found[key]
                for key in ("sender", "envelope_id", "ret", "original", "orcpt", "notify", "reply", "host")
            },
            {
                "sender": "",
                "envelope_id": "",
                "ret": "",
                "original": "",
                "orcpt": "",
                "notify": [],
                "reply": "",
                "host": "",
            },
        )

    def test_addresses_are_external(self) -> None:
        """Addresses are quoted where they must be."""
        recorded = entry(recipient=Recipient("a b@example.com", original="c d@example.com"))
        found = told(envelope("e f@example.org"), recorded)
        self.assertEqual(
            (found["sender"], found["recipient"], found["original"]),
            ('"e f"@example.org', '"a b"@example.com', '"c d"@example.com'),
        )

    @settings(max_examples=100, deadline=None, derandomize=True)
    @given(st.binary(), st.text(st.characters()))
    def test_any_text(self, address: bytes, reason: str) -> None:
        """Whatever an address or a reason contains, it is a line of JSON without halves of surrogate pairs."""
        recorded = entry(address.decode("utf-8", "surrogateescape") + "@example.com", reason=reason + "\udce9\n")
        found = told(envelope(), recorded)
        found["reason"].encode()
        found["recipient"].encode()
        self.assertTrue(found["recipient"].endswith("@example.com"))
