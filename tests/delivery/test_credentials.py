"""Which login belongs to a server."""

import os

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.parameters import ConfigurationError, Parameters
from smtpclient.config.tables import Tables
from smtpclient.delivery.credentials import CredentialLookup, CredentialSettings, Entry

TABLE = """inline:{
    {me@example.com = full:1}, {"odd one"@example.com = odd:1}, {@example.com = domain:1},
    {mx.example.net = host:2}, {example.net = hop:3}, {[smtp.example.net]:587 = port:4}}"""


def lookup(table: str = TABLE, **settings: object) -> CredentialLookup:
    """A lookup in a table of the parameter itself."""
    tables = Tables(" ".join(table.split()))
    return CredentialLookup(CredentialSettings(True, tables, **settings))  # type: ignore[arg-type]


class Order(SynchronousTestCase):
    """What is asked, and what wins."""

    def names(self, where: CredentialLookup, *questions: tuple[str, str, str]) -> list[str]:
        """The logins that are found, or ``-``."""
        found = [where.find(*question) for question in questions]
        return [entry.username if entry else "-" for entry in found]

    def test_host_before_next_hop(self) -> None:
        """The server's name decides before the next hop, which is asked as it is written."""
        names = self.names(
            lookup(),
            ("me@example.com", "mx.example.net", "example.net"),
            ("me@example.com", "other.example.net", "example.net"),
            ("me@example.com", "smtp.example.net", "[smtp.example.net]:587"),
            ("me@example.com", "smtp.example.net", "[smtp.example.net]"),
            ("me@example.com", "other.example.net", "EXAMPLE.net"),
        )
        self.assertEqual(names, ["host", "hop", "port", "-", "hop"])

    def test_sender_only_when_wanted(self) -> None:
        """Senders are asked with ``smtp_sender_dependent_authentication``, before everything else."""
        question = ("me@example.com", "mx.example.net", "example.net")
        self.assertEqual(self.names(lookup(by_sender=True), question), ["full"])
        self.assertIsNone(lookup().of_sender("me@example.com"))

    def test_forms_of_a_sender(self) -> None:
        """The address, without its extension, its domain; the null sender has none."""
        where = lookup(by_sender=True, delimiter="+-")
        senders = ("me@example.com", "me+x@example.com", "you@example.com", "odd one@example.com", "", "me@other.test")
        names = self.names(where, *((sender, "mx.example.net", "example.net") for sender in senders))
        self.assertEqual(names, ["full", "full", "domain", "odd", "host", "host"])

    def test_no_extension_without_delimiter(self) -> None:
        """Without ``recipient_delimiter`` an address is one word."""
        names = self.names(lookup(by_sender=True), ("me+x@example.com", "h", "n"))
        self.assertEqual(names, ["domain"])

    def test_switched_off(self) -> None:
        """Without ``smtp_sasl_auth_enable`` nobody logs in anywhere."""
        off = CredentialLookup(CredentialSettings(False, Tables("static:u:p"), True))
        self.assertEqual([off.find("a@b", "h", "n"), off.of_sender("a@b")], [None, None])


class Entries(SynchronousTestCase):
    """What an entry says."""

    def entry(self, text: str) -> Entry | None:
        """What a table's text stands for."""
        return lookup(f"static:{{{text}}}").find("", "h", "n")

    def test_forms(self) -> None:
        """The name ends at the first colon; a password may be missing, and may hold anything else."""
        entries = {text: self.entry(text) for text in ("bob:a:b c", "bob", "bob:")}
        self.assertEqual(
            entries,
            {"bob:a:b c": Entry("bob", "a:b c", "h"), "bob": Entry("bob", "", "h"), "bob:": Entry("bob", "", "h")},
        )

    def test_repr_has_no_password(self) -> None:
        """An entry can be shown."""
        shown = repr(self.entry("bob:hunter2"))
        self.assertEqual(shown, "Entry(username='bob', key='h')")


class Configuration(SynchronousTestCase):
    """The parameters."""

    SECRET = "pw-hunter2"

    def problems(self, **values: str) -> str:
        """What is wrong with a configuration."""
        with self.assertRaises(ConfigurationError) as caught:
            Parameters.from_values(values)
        return str(caught.exception)

    def test_from_parameters(self) -> None:
        """The settings are those of the parameters."""
        parameters = Parameters.from_values(
            {"smtp_sasl_auth_enable": "yes", "smtp_sasl_password_maps": "static:u:p", "recipient_delimiter": "+"}
        )
        settings = CredentialSettings.from_parameters(parameters)
        self.assertEqual((settings.enabled, settings.by_sender, settings.delimiter), (True, False, "+"))
        entry = CredentialLookup(settings).find("", "h", "n")
        self.assertEqual(entry, Entry("u", "p", "h"))

    def test_enabled_without_passwords(self) -> None:
        """To log in without a table of logins is refused, as by Postfix."""
        parameters = Parameters.from_values({"smtp_sasl_auth_enable": "yes"})
        error = self.assertRaises(ValueError, CredentialSettings.from_parameters, parameters)
        self.assertIn("specify a password table with smtp_sasl_password_maps", str(error))

    def test_faults_do_not_show_passwords(self) -> None:
        """What is wrong with a table of passwords is told with file and line, and without a word of what it holds."""
        path = self.mktemp()
        with open(path, "w") as file:
            file.write(f"mx.example.net bob:{self.SECRET}\nbob:{self.SECRET}\n")
        values = {
            "file": f"texthash:{path}",
            "missing": "texthash:/no/such",
            "inline": f"inline:{{mx.example.net bob:{self.SECRET}}}",
            "braces": f"inline:{{mx=bob:{self.SECRET}",
            "kind": f"bob:{self.SECRET}",
            "control": f"static:bob:{self.SECRET}\x01",
            "reference": f"static:bob:{self.SECRET}${{x",
            "several": f"static:bob:{self.SECRET}, texthash:/no/such",
        }
        told = {name: self.problems(smtp_sasl_password_maps=value) for name, value in values.items()}
        self.assertEqual([name for name, words in told.items() if self.SECRET in words], [])
        self.assertIn("smtp_sasl_password_maps = (not shown): expected tables such as", told["inline"])
        self.assertIn("texthash:/no/such: /no/such: No such file or directory", told["missing"])
        self.assertIn("a $ in a password is written $$", told["reference"])
        self.assertIn("a control character is not allowed here", told["control"])

    def test_line_of_a_fault(self) -> None:
        """File and line are named."""
        path = os.path.abspath(self.mktemp())
        with open(path, "w") as file:
            file.write(f"bob:{self.SECRET}\n")
        self.assertIn(f"{path}:1", self.problems(smtp_sasl_password_maps=f"texthash:{path}"))

    def test_warnings_do_not_show_passwords(self) -> None:
        """A ``$`` that makes a name of a part of the password is warned of, without that name."""
        parameters = Parameters.from_values({"smtp_sasl_password_maps": f"static:u:x${self.SECRET.replace('-', '_')}"})
        [warning] = [text for text in parameters.warnings if "password_maps" in text]
        self.assertNotIn("hunter", warning)
        self.assertIn("$(not shown) is not set anywhere", warning)

    def test_repr_of_parameters(self) -> None:
        """A configuration with a password in it can be shown."""
        parameters = Parameters.from_values({"smtp_sasl_password_maps": f"static:u:{self.SECRET}"})
        self.assertNotIn(self.SECRET, repr(parameters))

    def test_words_that_are_not_taken(self) -> None:
        """An unknown security option, and a file of mechanisms, are refused."""
        self.assertIn("noplain", self.problems(smtp_sasl_security_options="noplain"))
        self.assertIn("files are not taken", self.problems(smtp_sasl_mechanism_filter="/etc/mechanisms"))
        self.assertIn("not supported", self.problems(smtp_sasl_auth_cache_name="hash:/x"))
        self.assertIn("not supported", self.problems(send_cyrus_sasl_authzid="yes"))
