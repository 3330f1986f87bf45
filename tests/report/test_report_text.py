"""Tests for :mod:`smtpclient.report.report_text`."""

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.report.report_text import Kind, duration, introduction, subject


class Words(SynchronousTestCase):
    """What people read."""

    def test_duration(self) -> None:
        """A length of time is told in the largest unit of which there are two."""
        cases = {
            -1.0: "0 seconds",
            90: "90 seconds",
            120: "2 minutes",
            3600: "60 minutes",
            7200: "2 hours",
            4.25 * 3600: "4.2 hours",
            86400: "24 hours",
            5 * 86400: "5 days",
        }
        self.assertEqual({seconds: duration(seconds) for seconds in cases}, cases)

    def test_subjects(self) -> None:
        """Subjects are the ones that people and programs sort by."""
        self.assertEqual(
            [subject(kind, to_postmaster) for to_postmaster in (False, True) for kind in Kind],
            [
                "Undelivered Mail Returned to Sender",
                "Delayed Mail (still being retried)",
                "Successful Mail Delivery Report",
                "Mail Delivery Status Report",
                "Postmaster Copy: Undelivered Mail",
                "Postmaster Warning: Delayed Mail",
                "Postmaster Copy: Successful Mail Delivery Report",
                "Postmaster Copy: Mail Delivery Status Report",
            ],
        )

    def test_lines_are_short_ascii(self) -> None:
        """Introductions are plain text that fits any screen."""
        for kind in Kind:
            for attached in ("", "message", "header"):
                text = introduction(kind, "mail.example.org", attached, 5 * 3600, 5 * 86400)
                self.assertTrue(text.isascii())
                self.assertLessEqual(max(map(len, text.split("\n"))), 78)

    def test_what_is_attached(self) -> None:
        """The text says what is returned, and nothing where nothing is."""
        said = {attached: introduction(Kind.FAILURE, "h", attached) for attached in ("", "message", "header")}
        self.assertNotIn("attached.", said[""])
        self.assertIn("\nYour message is attached.\n", said["message"])
        self.assertIn("\nThe header of your message is attached.\n", said["header"])

    def test_delay(self) -> None:
        """A warning says how long, and how much longer."""
        text = introduction(Kind.DELAY, "mail.example.org", "header", 4 * 3600, 5 * 86400)
        self.assertIn("For 4 hours your message", text)
        self.assertIn("until it is 5 days old", text)
