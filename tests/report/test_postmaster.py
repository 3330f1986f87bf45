"""Tests for :mod:`smtpclient.report.postmaster`."""

import errno
import re
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.mail.envelope import NewMessage, Recipient
from smtpclient.report.postmaster import CLASSES, TRANSCRIPT_LIMIT, PostmasterNotices
from tests.report.world import PEER, World, parsed, whole

TRANSCRIPT = (
    "In: 220 mx.example.com ESMTP",
    "Out: EHLO mail.example.org",
    "In: 250 mx.example.com",
    "Out: MAIL FROM:<author@example.org>",
    "In: 500 5.5.2 syntax error",
    "Out: QUIT",
)


def read_transcript(message: NewMessage) -> list[str]:
    """What was said, as a program finds it in a notice: marks in the second column, continuations further right."""
    said: list[str] = []
    for line in whole(message).partition(b"\n\n")[2].decode().split("\n"):
        if found := re.fullmatch(r" (In|Out):\s+(.*)", line):
            said.append(f"{found[1]}: {found[2]}")
        elif line.startswith("     ") and said:
            said[-1] += " " + line.strip()
    return said


class Notices(SynchronousTestCase):
    """Mail to the postmaster."""

    def send(self, transcript: Sequence[str] = TRANSCRIPT, error_class: str = "protocol", **changes: Any) -> World:
        """Report an error to a postmaster who wants to hear of everything."""
        sender = changes.pop("sender", "author@example.org")
        world = World(self.mktemp(), **{"notify_classes": frozenset(CLASSES), **changes})
        notices = PostmasterNotices(world.settings, world.submit, world.maillog, world.clock, world.random)
        reason = "500 5.5.2 syntax error"
        self.successResultOf(notices.error(error_class, transcript, PEER, "ABCDE1234", reason, sender))
        return world

    def test_notice(self) -> None:
        """The notice says with whom, about which message, and what was said; the log has its queue id."""
        world = self.send()
        (notice,) = world.submitted
        found = parsed(notice)
        self.assertEqual(found["Subject"], "smtpclient SMTP client: errors from mx.example.com[192.0.2.1]:25")
        self.assertEqual(found["To"], "postmaster@example.org")
        self.assertEqual(found["Auto-Submitted"], "auto-generated")
        self.assertEqual(found.get_content_type(), "text/plain")
        self.assertIn(
            b"\n\nA session with mx.example.com[192.0.2.1]:25 had a protocol error\n"
            b"while it delivered the message ABCDE1234: 500 5.5.2 syntax error\n\n",
            whole(notice),
        )
        self.assertEqual(read_transcript(notice), list(TRANSCRIPT))
        self.assertEqual(world.lines, ["smtp: ABCDE1234: postmaster protocol error notification: NEW1"])

    def test_envelope(self) -> None:
        """It goes from the double-bounce address to error_notice_recipient."""
        (notice,) = self.send(error_notice_recipient="errors@example.net").submitted
        self.assertEqual(
            (notice.sender, notice.recipients, notice.encoding),
            ("double-bounce@example.org", [Recipient("errors@example.net")], "7bit"),
        )

    def test_protocol_error(self) -> None:
        """``protocol_error`` is the class protocol."""
        world = World(self.mktemp(), notify_classes=frozenset({"protocol"}))
        notices = PostmasterNotices(world.settings, world.submit, world.maillog, world.clock, world.random)
        self.successResultOf(notices.protocol_error(TRANSCRIPT, PEER, "ABCDE1234", "odd", "author@example.org"))
        self.assertEqual(len(world.submitted), 1)

    def test_classes(self) -> None:
        """Each class is sent when, and only when, notify_classes has it."""
        sent = {
            (wanted, happened): len(self.send(error_class=happened, notify_classes=frozenset({wanted})).submitted)
            for wanted in CLASSES
            for happened in CLASSES
        }
        self.assertEqual(sent, {(wanted, happened): int(wanted == happened) for wanted, happened in sent})

    def test_no_notice_about_notices(self) -> None:
        """Trouble with delivering a report or a notice makes no notice, so that they cannot breed."""
        for sender in ("", "double-bounce@example.org", "double-bounce"):
            self.assertEqual(self.send(sender=sender).submitted, [])

    def test_wants(self) -> None:
        """A caller can ask beforehand whether a transcript is worth keeping."""
        world = World(self.mktemp(), notify_classes=frozenset({"protocol"}))
        notices = PostmasterNotices(world.settings, world.submit, world.maillog, world.clock, world.random)
        cases = {
            ("protocol", "author@example.org"): True,
            ("resource", "author@example.org"): False,
            ("protocol", ""): False,
            ("protocol", "double-bounce@example.org"): False,
        }
        self.assertEqual({case: notices.wants(*case) for case in cases}, cases)

    def test_failure_costs_nothing(self) -> None:
        """A notice that cannot be queued is a line in the log; the delivery goes on."""
        world = World(self.mktemp(), notify_classes=frozenset({"protocol"}))
        world.refusals = [OSError(errno.ENOSPC, "No space left on device")]
        notices = PostmasterNotices(world.settings, world.submit, world.maillog, world.clock, world.random)
        self.successResultOf(notices.protocol_error(TRANSCRIPT, PEER, "ABCDE1234", "odd", "author@example.org"))
        self.assertEqual(
            world.lines,
            [
                "smtp: ABCDE1234: warning: postmaster protocol error notification was not queued:"
                " [Errno 28] No space left on device"
            ],
        )

    def test_long_lines_are_folded(self) -> None:
        """A long line goes on further to the right; its mark stays with what follows."""
        transcript = ["In: 250 " + "word " * 50 + "end", "Out: " + "x" * 200]
        (notice,) = self.send(transcript).submitted
        self.assertEqual(read_transcript(notice), transcript)

    def test_utf8(self) -> None:
        """What a server said in UTF-8 is passed on as such; bytes that are none become question marks."""
        (notice,) = self.send(["In: garbage é", "In: \udce9"]).submitted
        self.assertEqual(notice.encoding, "8bit")
        self.assertEqual(parsed(notice)["Content-Type"], "text/plain; charset=utf-8")
        self.assertEqual(read_transcript(notice), ["In: garbage é", "In: ?"])

    def test_other_lines(self) -> None:
        """A line without a mark is passed on as it is."""
        (notice,) = self.send(["In: 220 x", "(TLS from here)"]).submitted
        self.assertIn(b"\n      (TLS from here)\n", whole(notice))

    def test_endless_transcript(self) -> None:
        """Of a very long transcript the beginning is sent."""
        (notice,) = self.send([f"In: 250-{number}" for number in range(TRANSCRIPT_LIMIT + 5)]).submitted
        self.assertEqual(len(read_transcript(notice)), TRANSCRIPT_LIMIT)
        self.assertIn(b"\n ... and 5 more lines\n", whole(notice))

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(st.lists(st.text(max_size=100), max_size=5))
    def test_whatever_was_said(self, said: list[str]) -> None:
        """A server's words stay in the body: the notice has its header and nothing else."""
        (notice,) = self.send(["In: " + line for line in said]).submitted
        found = parsed(notice)
        self.assertEqual(len(found.keys()), 9)
        self.assertEqual(found.defects, [])
        self.assertFalse(found.is_multipart())
        self.assertTrue(whole(notice).endswith(b"\n\nThe mail log has the rest.\n"))
