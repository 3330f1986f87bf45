"""The parameters of the LMTP client, which are those of the SMTP client once more."""

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.parameters import ROWS, ConfigurationError, Parameters
from smtpclient.config.parameters_lmtp import TWINS


class Twins(SynchronousTestCase):
    """Rows that are derived."""

    def test_every_parameter_of_the_dialogue(self) -> None:
        """What the SMTP client has, the LMTP client has, of the same kind and with the same choices."""
        for name in ("smtp_mail_timeout", "smtp_header_checks", "smtp_tls_CAfile", "smtp_sasl_password_maps"):
            self.assertIn("l" + name[1:], ROWS)
        for smtp, lmtp in TWINS.items():
            self.assertEqual((ROWS[lmtp].kind, ROWS[lmtp].choices), (ROWS[smtp].kind, ROWS[smtp].choices), lmtp)
        self.assertEqual(TWINS["smtp_helo_name"], "lmtp_lhlo_name")

    def test_defaults(self) -> None:
        """Defaults are the other side's, with the names of this one; a few are Postfix's for LMTP."""
        lmtp = Parameters.from_values({"myhostname": "me.example"}).as_lmtp()
        self.assertEqual(lmtp.seconds("smtp_mail_timeout"), 300.0)
        self.assertEqual(lmtp.text("smtp_tcp_port"), "24")
        self.assertEqual(lmtp.seconds("smtp_connect_timeout"), 0.0)
        self.assertTrue(lmtp.boolean("smtp_skip_5xx_greeting"))
        self.assertEqual(lmtp.text("smtp_mta_sts"), "none")

    def test_each_side_has_its_own(self) -> None:
        """What is set for one is not seen by the other, and its source comes with it."""
        values = {"smtp_mail_timeout": "7s", "lmtp_rcpt_timeout": "8s", "lmtp_lhlo_name": "hello.example"}
        sources = {"smtp_mail_timeout": "main.cf:1", "lmtp_rcpt_timeout": "main.cf:2"}
        smtp = Parameters.from_values(values, sources=sources)
        lmtp = smtp.as_lmtp()
        found = [(side.seconds("smtp_mail_timeout"), side.seconds("smtp_rcpt_timeout")) for side in (smtp, lmtp)]
        self.assertEqual(found, [(7.0, 300.0), (300.0, 8.0)])
        found_sources = (lmtp.source("smtp_mail_timeout"), lmtp.source("smtp_rcpt_timeout"))
        self.assertEqual(found_sources, ("built-in", "main.cf:2"))
        self.assertEqual(lmtp.text("smtp_helo_name"), "hello.example")

    def test_default_that_refers(self) -> None:
        """A default that refers to another parameter refers to its twin."""
        options = "noplaintext, noanonymous, noactive"
        lmtp = Parameters.from_values({"lmtp_sasl_security_options": options}).as_lmtp()
        self.assertIn("noactive", lmtp.words("smtp_sasl_tls_security_options"))

    def test_faults(self) -> None:
        """A fault is told under the name that the operator wrote, and a slip of the pen is noticed."""
        with self.assertRaises(ConfigurationError) as caught:
            Parameters.from_values({"lmtp_mail_timeout": "soon", "lmtp_mail_timeuot": "1s"})
        [first, second] = sorted(caught.exception.problems)
        self.assertTrue(first.startswith("lmtp_mail_timeout = soon: expected a time"), first)
        self.assertIn("did you mean lmtp_mail_timeout?", second)
