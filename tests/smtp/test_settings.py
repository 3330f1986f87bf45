"""Settings of the dialogue from the parameters."""

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.parameters import Parameters
from smtpclient.smtp.settings import DialogueSettings


class FromParameters(SynchronousTestCase):
    """The value and the table say the same."""

    def test_defaults(self) -> None:
        """The defaults of the value are those of the parameter table."""
        found = DialogueSettings.from_parameters(Parameters.from_values({"myhostname": "Me.Example"}))
        self.assertEqual(found, DialogueSettings("Me.Example", "me.example"))

    def test_everything_can_be_set(self) -> None:
        """Each parameter reaches its field."""
        found = DialogueSettings.from_parameters(
            Parameters.from_values(
                {
                    "myhostname": "me.example",
                    "smtp_helo_name": "out.example",
                    "smtp_helo_timeout": "1s",
                    "smtp_mail_timeout": "2s",
                    "smtp_rcpt_timeout": "3s",
                    "smtp_data_init_timeout": "4s",
                    "smtp_data_xfer_timeout": "5s",
                    "smtp_data_done_timeout": "6s",
                    "smtp_quit_timeout": "7s",
                    "smtp_rset_timeout": "8s",
                    "smtp_always_send_ehlo": "no",
                    "smtp_never_send_ehlo": "yes",
                    "smtp_skip_4xx_greeting": "yes",
                    "smtp_skip_5xx_greeting": "yes",
                    "smtp_skip_quit_response": "no",
                    "smtp_quote_rfc821_envelope": "no",
                    "smtp_line_length_limit": "100",
                    "smtp_discard_ehlo_keywords": "pipelining, silent-discard, dsn",
                }
            )
        )
        self.assertEqual(
            found,
            DialogueSettings(
                helo_name="out.example",
                own_name="me.example",
                helo=1.0,
                mail=2.0,
                rcpt=3.0,
                data_init=4.0,
                data_xfer=5.0,
                data_done=6.0,
                quit=7.0,
                rset=8.0,
                always_send_ehlo=False,
                never_send_ehlo=True,
                skip_4xx_greeting=True,
                skip_5xx_greeting=True,
                skip_quit_response=False,
                quote_envelope=False,
                line_length_limit=100,
                discard_ehlo_keywords=frozenset({"PIPELINING", "DSN"}),
            ),
        )
