"""The options of twistd smtpclient."""

from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.options import Options
from smtpclient.config.parameters import ROWS
from smtpclient.config.parameters_lmtp import TWINS


def parsed(*words: str) -> Options:
    """The options of a command line."""
    options = Options()
    options.parseOptions(list(words))
    return options


class OptionTests(SynchronousTestCase):
    """What a command line comes to."""

    def write(self, text: str) -> str:
        """A file's path."""
        path = self.mktemp()
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def failure(self, *words: str) -> str:
        """What is wrong with a command line."""
        return str(self.assertRaises(UsageError, parsed, *words))

    def test_defaults(self) -> None:
        """Without options there are the built-in parameters and the queue's own services."""
        options = parsed()
        self.assertEqual(options.parameters.seconds("smtp_connect_timeout"), 30.0)
        names = ("config", "bounce-service", "defer-service", "trace-service", "submission", "admin")
        self.assertEqual([options[name] for name in names], [None, "queue", "queue", "queue", None, None])

    def test_every_parameter_is_an_option(self) -> None:
        """Each parameter can be set by its own option, with hyphens in place of underscores."""
        options = Options()
        self.assertEqual([name for name in ROWS if name.replace("_", "-") not in options], [])

    def test_a_parameters_own_option(self) -> None:
        """It sets the parameter and is its source."""
        parameters = parsed("--smtp-connect-timeout", "2m", "--2bounce-notice-recipient=x").parameters
        self.assertEqual(parameters.seconds("smtp_connect_timeout"), 120.0)
        self.assertEqual(parameters.text("2bounce_notice_recipient"), "x")
        self.assertEqual(parameters.source("smtp_connect_timeout"), "--smtp-connect-timeout")

    def test_an_empty_value(self) -> None:
        """An option may set a parameter to nothing."""
        self.assertEqual(parsed("--notify-classes", "").parameters.words("notify_classes"), ())

    def test_precedence(self) -> None:
        """The file counts more than what is built in, -o more than the file, the own option most."""
        path = self.write("mail_name = file\nsyslog_name = file\nmyorigin = file.test\n")
        parameters = parsed(
            "--syslog-name", "own", "-o", "syslog_name=o", "-c", path, "-o", "mail_name=o1", "-o", "mail_name = o2"
        ).parameters
        self.assertEqual(
            {
                name: (parameters.text(name), parameters.source(name))
                for name in ("myorigin", "mail_name", "syslog_name")
            },
            {
                "myorigin": ("file.test", f"{path}:3"),
                "mail_name": ("o2", "-o mail_name"),
                "syslog_name": ("own", "--syslog-name"),
            },
        )

    def test_everything_that_is_wrong_at_once(self) -> None:
        """Faults of options and of the file come together, a line each."""
        path = self.write("smtp_mail_timeout = soon\n")
        self.assertEqual(
            {line.partition(": ")[0] for line in self.failure("--config", path, "--hopcount-limit", "x").splitlines()},
            {f"{path}:1", "--hopcount-limit"},
        )

    def test_an_unknown_option(self) -> None:
        """The nearest option is named."""
        self.assertEqual(
            self.failure("--smtp-conect-timeout=3"),
            "option --smtp-conect-timeout not recognized; did you mean --smtp-connect-timeout?",
        )
        self.assertEqual(self.failure("--frobnicate"), "option --frobnicate not recognized")

    def test_a_setting_without_a_value(self) -> None:
        """-o wants name and value."""
        self.assertEqual(self.failure("-o", "x"), "-o x: expected name=value")

    def test_an_unknown_setting(self) -> None:
        """A misspelled name is refused, with what was meant."""
        self.assertEqual(
            self.failure("-o", "relay_host=x"),
            "-o relay_host: relay_host = x: there is no such parameter; did you mean relayhost?",
        )

    def test_superfluous_words(self) -> None:
        """Words that are no options are refused."""
        self.assertEqual(self.failure("start"), "Wrong number of arguments.")

    def test_a_missing_file(self) -> None:
        """A file that is not there is a wrong call, in words."""
        self.assertEqual(self.failure("--config", "no/such"), "no/such: No such file or directory")


class HelpTests(SynchronousTestCase):
    """What --help shows."""

    def test_one_line_for_each_option(self) -> None:
        """Every supported parameter but LMTP's twins has one line with sentence and default; others have none."""
        twins = set(TWINS.values())
        lines = str(Options()).splitlines()
        shown = [line.split()[0] for line in lines if line.startswith("  --") and "  " in line.strip()]
        self.assertEqual(
            [name for name in shown if name[2:].replace("-", "_") in ROWS],
            [f"--{name.replace('_', '-')}" for name, row in ROWS.items() if row.honoured and name not in twins],
        )
        self.assertIn(
            f"  {'--smtp-connect-timeout':<50}  For a TCP connection; 0 leaves it to the system. [30s]", lines
        )

    def test_groups(self) -> None:
        """Parameters stand under the headings of the manual, each heading once."""
        headings = [line for line in str(Options()).splitlines() if line.endswith(":") and not line.startswith(" ")]
        self.assertIn("SMTP client: time limits:", headings)
        self.assertEqual(len(headings), len(set(headings)))

    def test_the_services_own_options(self) -> None:
        """They come first, with their arguments."""
        text = str(Options())
        for words in ("-c, --config FILE ", "-o NAME=VALUE ", "--bounce-service NAME[:ARGS] ", "--admin ENDPOINT "):
            self.assertIn(f"\n  {words}", text)
