"""main.cf: its syntax, its faults, and what overrides it."""

import os

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.maincf import Override, load, override, parse, read
from smtpclient.config.parameters import ConfigurationError, Parameters

#: What Debian's package writes for a host that sends by itself, but for TLS.
_DEBIAN = b"""\
# See /usr/share/postfix/main.cf.dist for a commented, more complete version

smtpd_banner = $myhostname ESMTP $mail_name (Debian/GNU)
biff = no
append_dot_mydomain = no
readme_directory = no
compatibility_level = 3.6

# TLS parameters
smtpd_tls_cert_file=/etc/ssl/certs/ssl-cert-snakeoil.pem
smtpd_tls_security_level=may
smtp_tls_CApath=/etc/ssl/certs
smtp_tls_security_level=none
smtp_tls_session_cache_database = btree:${data_directory}/smtp_scache

smtpd_relay_restrictions = permit_mynetworks permit_sasl_authenticated defer_unauth_destination
myhostname = mail.example.com
alias_maps = hash:/etc/aliases
alias_database = hash:/etc/aliases
mydestination = $myhostname, localhost.example.com, , localhost
relayhost =
mynetworks = 127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128
mailbox_size_limit = 0
recipient_delimiter = +
inet_interfaces = all
inet_protocols = all
"""


def problems(data: bytes) -> tuple[str, ...]:
    """What is wrong with a file, by itself and as a configuration; nothing, if it can be used."""
    try:
        file = parse(data, "main.cf")
        Parameters.from_values(file.values, sources=file.sources)
    except ConfigurationError as error:
        return error.problems
    return ()


class SyntaxTests(SynchronousTestCase):
    """What a file says."""

    def test_settings(self) -> None:
        """Names and values come without the blanks around them, with file and line."""
        file = parse(b"# c\na = b\n\nc=d = e\nf =\n g,\n# c\n h\n", "dir/main.cf")
        self.assertEqual(dict(file.values), {"a": "b", "c": "d = e", "f": "g, h"})
        self.assertEqual(dict(file.sources), {"a": "dir/main.cf:2", "c": "dir/main.cf:4", "f": "dir/main.cf:5"})
        self.assertEqual(file.warnings, ())

    def test_an_empty_value(self) -> None:
        """A value may be empty; that is not the same as no setting."""
        self.assertEqual(dict(parse(b"a =\n", "f").values), {"a": ""})

    def test_the_last_setting_counts(self) -> None:
        """A doubled setting is warned of, with both lines."""
        file = parse(b"a = 1\nb = 2\na = 3\n", "main.cf")
        self.assertEqual(dict(file.values), {"a": "3", "b": "2"})
        self.assertEqual(file.warnings, ("main.cf:3: a was set before, at main.cf:1; this line counts",))

    def test_a_first_line_that_continues_nothing(self) -> None:
        """It counts for nothing, as in Postfix, and is warned of."""
        file = parse(b"  a = 1\nb = 2\n", "main.cf")
        self.assertEqual(dict(file.values), {"b": "2"})
        self.assertEqual(
            file.warnings, ("main.cf:1: ignored, for a line that starts with a blank continues nothing here",)
        )

    def test_lines_that_set_nothing(self) -> None:
        """Each is named."""
        self.assertEqual(
            problems(b"relayhost\n= x\na b = c\n"),
            (
                'main.cf:1: expected "name = value", found "relayhost"',
                'main.cf:2: expected "name = value", found "= x"',
                'main.cf:3: expected "name = value", found "a b = c"',
            ),
        )

    def test_nul_bytes(self) -> None:
        """A file with a NUL byte is no text file; the line is named."""
        self.assertEqual(problems(b"a = b\nc\0\n"), ("main.cf:2: a NUL byte, so this is no text file",))

    def test_bytes_that_are_no_utf_8(self) -> None:
        """They do no harm in comments and in other programs' settings, and are refused in ours."""
        self.assertEqual(problems(b"# \xe4\nsmtpd_banner = \xe4\n"), ())
        self.assertEqual(problems(b"mail_name = \xe4\n"), ("main.cf:1: mail_name = ?: this is not UTF-8",))

    def test_a_value_that_fails_names_its_line(self) -> None:
        """File, line, name, value, and what was expected."""
        self.assertEqual(
            problems(b"\nsmtp_skip_4xx_greeting = sometimes\n"),
            ("main.cf:2: smtp_skip_4xx_greeting = sometimes: expected yes or no",),
        )

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(
        st.binary()
        | st.lists(
            st.sampled_from(
                [b" ", b"relayhost", b"myhostname", b"smtp_", b"queue_run_delay", b"transport_maps", b" = ",
                 b"=", b"\n", b"#", b"$", b"{", b"}", b"?", b":", b"==", b"inline:", b"/", b"\0", b"\xff", b"1",
                 b"yes", b"\r"]
            )
        ).map(b"".join)
    )  # fmt: skip
    def test_any_bytes(self, data: bytes) -> None:
        """Whatever the bytes, there are values or a ConfigurationError with words."""
        found = problems(data)
        self.assertTrue(all(found))
        if not found:
            self.assertEqual(Parameters.from_values(parse(data, "f").values).integer("hopcount_limit"), 50)


class ReadTests(SynchronousTestCase):
    """Files on disk."""

    def write(self, data: bytes) -> str:
        """A file's path."""
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(data)
        return path

    def test_read(self) -> None:
        """A file is read, and its path is in the sources."""
        path = self.write(b"a = b\n")
        self.assertEqual(dict(read(path).sources), {"a": f"{path}:1"})

    def test_files_that_cannot_be_read(self) -> None:
        """A missing file, a directory and a path that is none end in words with the path."""
        wanted = {"no/such": "no/such: No such file or directory", os.curdir: ".: Is a directory"}
        found = {path: self.assertRaises(ConfigurationError, read, path).problems[0] for path in wanted}
        self.assertEqual(found, wanted)
        self.assertIn("this is no path", self.assertRaises(ConfigurationError, read, "a\0b").problems[0])

    def test_a_file_without_permission(self) -> None:
        """A file that may not be read ends in words with the path."""
        if os.geteuid() == 0:
            self.skipTest("root may read everything")
        path = self.write(b"")
        os.chmod(path, 0)
        self.assertEqual(self.assertRaises(ConfigurationError, read, path).problems, (f"{path}: Permission denied",))

    def test_a_main_cf_of_postfix(self) -> None:
        """A file that was written for Postfix is taken as it is; what has no value here is warned of."""
        read_file = load(self.write(_DEBIAN))
        self.assertEqual(read_file.words("mydestination"), ("mail.example.com", "localhost.example.com", "localhost"))
        self.assertEqual(len(read_file.warnings), 1)
        self.assertIn("$data_directory is not set anywhere", read_file.warnings[0])


class PrecedenceTests(SynchronousTestCase):
    """Built-in, file, options."""

    def setUp(self) -> None:
        """A file with two settings."""
        self.path = self.mktemp()
        with open(self.path, "w", encoding="utf-8") as file:
            file.write("mail_name = file\nqueue_run_delay = 2s\nqueue_run_delay = 3s\n")

    def test_an_override_counts_more_than_the_file(self) -> None:
        """The last of several counts; what is not overridden is the file's."""
        read_file = load(self.path, [Override("mail_name", "a", "-o x"), Override("mail_name", "b", "-o mail_name")])
        self.assertEqual((read_file.text("mail_name"), read_file.source("mail_name")), ("b", "-o mail_name"))
        self.assertEqual(read_file.seconds("queue_run_delay"), 3.0)
        self.assertEqual(read_file.source("queue_run_delay"), f"{self.path}:3")
        self.assertEqual(read_file.source("relayhost"), "built-in")

    def test_the_files_warnings_are_kept(self) -> None:
        """They are the parameters' own."""
        self.assertIn("queue_run_delay was set before", load(self.path).warnings[0])

    def test_no_file(self) -> None:
        """Without a file there are the defaults."""
        self.assertEqual(load(None).text("mail_name"), "smtpclient")

    def test_the_argument_of_an_option(self) -> None:
        """Blanks around name and value are dropped, braces around it all too."""
        wanted = Override("relayhost", "[a]:25 = b", "-o relayhost")
        self.assertEqual(
            [
                override(text)
                for text in ("relayhost=[a]:25 = b", " relayhost = [a]:25 = b ", "{ relayhost = [a]:25 = b }")
            ],
            [wanted] * 3,
        )

    def test_an_argument_without_a_value(self) -> None:
        """It is refused in words."""
        for text in ("relayhost", "=x", ""):
            error = self.assertRaises(ConfigurationError, override, text)
            self.assertEqual(error.problems, (f"-o {text}: expected name=value",))
