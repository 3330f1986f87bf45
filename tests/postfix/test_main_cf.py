"""Postfix's own main.cf, as a delivery agent reads it."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.parameters import Parameters
from smtpclient.postfix.invocation import Invocation
from smtpclient.postfix.main_cf import Configuration, ProcessSettings, read

DEBIAN = """\
smtpd_banner = $myhostname ESMTP $mail_name (Debian/GNU)
biff = no
append_dot_mydomain = no
readme_directory = no
compatibility_level = 3.6
smtpd_tls_cert_file=/etc/ssl/certs/ssl-cert-snakeoil.pem
smtpd_tls_key_file=/etc/ssl/private/ssl-cert-snakeoil.key
smtpd_tls_security_level=may
smtp_tls_security_level=may
smtp_tls_session_cache_database = btree:${data_directory}/smtp_scache
smtpd_relay_restrictions = permit_mynetworks permit_sasl_authenticated defer_unauth_destination
myhostname = mail.example.com
alias_maps = hash:/etc/aliases
alias_database = hash:/etc/aliases
mydestination = $myhostname, mail.example.com, localhost
relayhost =
mynetworks = 127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128
mailbox_size_limit = 0
recipient_delimiter = +
inet_interfaces = all
inet_protocols = all
"""


class MainCfTests(SynchronousTestCase):
    """One main.cf."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir(parents=True)

    def configuration(self, text: str, *settings: str, **start: str) -> Configuration:
        """What comes of it."""
        (self.folder / "main.cf").write_text(text)
        return read(Invocation("smtpclient-smtp", "smtp", settings=settings, folder=str(self.folder), **start))  # type: ignore[arg-type]

    def parameters(self, text: str, *settings: str) -> Parameters:
        """The parameters, which can be used."""
        found = self.configuration(text, *settings)
        self.assertEqual(found.problems, ())
        assert found.parameters is not None
        return found.parameters

    def test_debian(self) -> None:
        """What Debian installs can be used as it is, and nothing in it is worth a warning."""
        found = self.parameters(DEBIAN)
        self.assertEqual((found.warnings, found.text("smtp_tls_security_level")), ((), "may"))

    def test_what_nobody_has_set_is_as_in_postfix(self) -> None:
        """Where our defaults are those of the old manual page, Postfix's hold here."""
        found = self.parameters("")
        self.assertEqual(
            (
                found.integer("smtp_mx_session_limit"),
                found.integer("smtp_mx_address_limit"),
                found.boolean("smtp_skip_5xx_greeting"),
                found.text("smtp_tls_security_level"),
                found.text("queue_directory"),
            ),
            (2, 5, True, "", "/var/spool/postfix"),
        )

    def test_other_daemons_settings(self) -> None:
        """What the queue manager, cleanup(8) and bounce(8) act on is theirs, whatever we would say to it."""
        others = {
            "transport_maps": "ldap:/etc/ldap.cf",
            "relay_domains": "proxy:mysql:/etc/mysql.cf",
            "fast_flush_domains": "$relay_domains",
            "content_filter": "smtp:[127.0.0.1]:10025",
            "default_transport_rate_delay": "1s",
            "smtp_recipient_limit": "100",
            "slow_recipient_refill_limit": "7",
            "qmgr_fudge_factor": "10",
            "bounce_template_file": "/etc/postfix/bounce.cf",
            "smtputf8_enable": "no",
            "line_length_limit": "4096",
            "maillog_file": "/var/log/mail",
            "bounce_queue_lifetime": "nonsense",
        }
        text = "".join(f"{name} = {value}\n" for name, value in others.items())
        self.assertEqual(self.parameters(text).warnings, ())

    def test_mail_that_waits_for_a_domain(self) -> None:
        """Whether flush(8) hears of deferrals goes by the domains of main.cf, or Postfix's default for them."""
        rows = {
            "": True,
            "compatibility_level = 3.6\n": False,
            "compatibility_level = 3.6\nrelay_domains = mysql:/etc/x.cf\n": True,
            "fast_flush_domains =\n": False,
        }
        found = {text: bool(self.parameters(text).text("fast_flush_domains")) for text in rows}
        self.assertEqual(found, rows)

    def test_what_would_not_be_honoured(self) -> None:
        """A client's setting that nothing acts on makes the whole unusable, and is named with file and line."""
        found = self.configuration("smtp_sasl_type = dovecot\nsmtp_helo_timeout = soon\n")
        self.assertIs(found.parameters, None)
        self.assertEqual(
            [problem.rpartition("main.cf")[2].partition(":")[2].partition(" =")[0] for problem in found.problems],
            ["2: smtp_helo_timeout", "1: smtp_sasl_type"],
        )

    def test_reports_about_tls(self) -> None:
        """Nobody would send them, so whoever asks for them is told."""
        found = self.configuration("smtp_tls_reporting = yes\n")
        self.assertIs(found.parameters, None)
        self.assertIn("main.cf:1: smtp_tls_reporting = yes: nobody sends the reports", found.problems[0])

    def test_a_slip_of_the_pen(self) -> None:
        """A name that is nobody's and resembles one of ours is a fault."""
        found = self.configuration("smtp_helo_timout = 5\n")
        self.assertIn("did you mean smtp_helo_timeout?", found.problems[0])

    def test_options_of_master_cf(self) -> None:
        """What master.cf says for a service counts more than main.cf, in braces too."""
        found = self.parameters(
            "smtp_helo_timeout = 5\n", "smtp_helo_timeout=6", "{ smtp_tls_security_level = encrypt }"
        )
        self.assertEqual((found.seconds("smtp_helo_timeout"), found.text("smtp_tls_security_level")), (6.0, "encrypt"))

    def test_settings_of_others_that_ours_refer_to(self) -> None:
        """A value that is written in terms of another daemon's setting gets what that one says."""
        found = self.parameters("relay_domains = there.test\nsmtp_helo_name = mail.$relay_domains\n")
        self.assertEqual(found.text("smtp_helo_name"), "mail.there.test")

    def test_process_settings(self) -> None:
        """What every daemon below master reads, and what is ours alone."""
        text = "max_idle = 7\nmax_use = 1000\ndaemon_timeout = 1h\nmail_owner = mailer\n"
        found = self.configuration(text, "max_idle=8s", "deliveries_per_process=20")
        self.assertEqual(found.process, ProcessSettings(8.0, 1000, 3600.0, "mailer", 20))
        self.assertEqual(self.configuration("").process, ProcessSettings())

    def test_wrong_process_settings(self) -> None:
        """One that makes no sense is named, and nothing is delivered."""
        found = self.configuration("max_idle = soon\n")
        self.assertIs(found.parameters, None)
        self.assertIn("main.cf:1: max_idle = soon: expected a time", found.problems[0])

    def test_no_main_cf(self) -> None:
        """Without one nothing is delivered, and the queue is where Postfix has it."""
        found = read(Invocation("smtpclient-smtp", "smtp", folder=str(self.folder)))
        self.assertEqual(found.queue_directory, "/var/spool/postfix")
        self.assertIn("No such file or directory", found.problems[0])

    def test_log_name(self) -> None:
        """Master's word counts, and master.cf's counts more."""
        rows = {
            ("", ""): "postfix",
            ("postfix-out", ""): "postfix-out",
            ("postfix", "syslog_name=postfix/$service_name"): "postfix/smtp",
        }
        found = {row: self.configuration("", *filter(None, [row[1]]), log_tag=row[0]).log_name for row in rows}
        self.assertEqual(found, rows)
