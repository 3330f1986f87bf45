"""Tests for :mod:`smtpclient.report.settings`."""

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.parameters import Parameters
from smtpclient.report.settings import DAY, ReportSettings


class Settings(SynchronousTestCase):
    """What reports know of the configuration."""

    def test_defaults_agree(self) -> None:
        """The defaults here are those of the parameters."""
        parameters = Parameters.from_values({"myhostname": "mail.example.org", "myorigin": "example.org"})
        self.assertEqual(ReportSettings.from_parameters(parameters), ReportSettings("mail.example.org", "example.org"))

    def test_from_parameters(self) -> None:
        """Every parameter arrives where it belongs."""
        parameters = Parameters.from_values(
            {
                "myhostname": "mail.example.org",
                "myorigin": "example.org",
                "notify_classes": "bounce, delay",
                "bounce_notice_recipient": "a@example.net",
                "2bounce_notice_recipient": "b@example.net",
                "delay_notice_recipient": "c@example.net",
                "error_notice_recipient": "d@example.net",
                "double_bounce_sender": "twice@example.net",
                "bounce_size_limit": "1234",
                "maximal_queue_lifetime": "3d",
                "bounce_queue_lifetime": "2d",
                "mail_name": "Acme",
                "enable_threaded_bounces": "yes",
            }
        )
        self.assertEqual(
            ReportSettings.from_parameters(parameters),
            ReportSettings(
                hostname="mail.example.org",
                origin="example.org",
                notify_classes=frozenset({"bounce", "delay"}),
                bounce_notice_recipient="a@example.net",
                double_bounce_notice_recipient="b@example.net",
                delay_notice_recipient="c@example.net",
                error_notice_recipient="d@example.net",
                double_bounce_sender="twice@example.net",
                bounce_size_limit=1234,
                maximal_queue_lifetime=3 * DAY,
                bounce_queue_lifetime=2 * DAY,
                mail_name="Acme",
                threaded=True,
            ),
        )

    def test_addresses_are_completed(self) -> None:
        """What has no domain gets the origin."""
        settings = ReportSettings("mail.example.org", "example.org")
        self.assertEqual(
            (settings.error_notice_recipient, settings.double_bounce_sender, settings.daemon_address),
            ("postmaster@example.org", "double-bounce@example.org", "MAILER-DAEMON@example.org"),
        )

    def test_end_of_the_queue(self) -> None:
        """A message without a sender is given up by its own parameter."""
        settings = ReportSettings("h", "o", maximal_queue_lifetime=500, bounce_queue_lifetime=50)
        self.assertEqual((settings.retry_until("a@b", 1000), settings.retry_until("", 1000)), (1500, 1050))
