"""Parameters: the table, what a configuration makes of it, and what is refused."""

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.parameters import ROWS, ConfigurationError, Parameters


def parameters(**values: str) -> Parameters:
    """A configuration on a machine called mail.example.com."""
    return Parameters.from_values(values, machine_name=lambda: "mail.example.com")


class DefaultTests(SynchronousTestCase):
    """What holds when nothing is set."""

    def test_every_default_is_valid(self) -> None:
        """The table's own defaults pass the table's own checks, without a warning."""
        self.assertEqual(parameters().warnings, ())

    def test_every_row_is_readable(self) -> None:
        """Each row has a value as written and as expanded."""
        read = parameters()
        self.assertEqual([name for name in ROWS if "$" in read.expanded(name) or read.raw(name) is None], [])

    def test_where_the_seed_and_postfix_differ_the_seed_counts(self) -> None:
        """No error behind the greeting moves on, every address is tried, greetings with an error skip no server."""
        read = parameters()
        self.assertEqual(
            (
                read.integer("smtp_mx_session_limit"),
                read.integer("smtp_mx_address_limit"),
                read.boolean("smtp_skip_4xx_greeting"),
                read.boolean("smtp_skip_5xx_greeting"),
                read.words("smtp_pix_workarounds"),
                read.boolean("disable_mime_output_conversion"),
            ),
            (1, 0, False, False, (), True),
        )


class RefusalTests(SynchronousTestCase):
    """What stops the start."""

    def test_all_problems_come_at_once(self) -> None:
        """Every faulty setting is named, not only the first."""
        error = self.assertRaises(ConfigurationError, parameters, queue_run_delay="soon", smtp_bind_address="x")
        self.assertEqual(len(error.problems), 2)
