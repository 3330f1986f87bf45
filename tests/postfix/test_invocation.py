"""How master starts a service."""

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.postfix.invocation import Invocation, invocation

PROGRAM = "/usr/lib/postfix/sbin/../../../../opt/bin/smtpclient-smtp"


class InvocationTests(SynchronousTestCase):
    """Command line and environment."""

    def test_as_master_does_it(self) -> None:
        """A line of Debian's master.cf, with what master adds to it."""
        words = [PROGRAM, "-n", "relay", "-t", "unix", "-u", "-c", "-o", "syslog_name=postfix/$service_name"]
        environment = {
            "MAIL_CONFIG": "/etc/postfix",
            "MAIL_LOGTAG": "postfix",
            "GENERATION": "24",
            "POSTLOG_SERVICE": "/var/spool/postfix/public/postlog",
        }
        self.assertEqual(
            invocation(words, environment),
            Invocation(
                program="smtpclient-smtp",
                service="relay",
                gives_up_root=True,
                shuts_itself_in=True,
                settings=("syslog_name=postfix/$service_name",),
                generation=0o24,
                folder="/etc/postfix",
                log_tag="postfix",
                log_socket="/var/spool/postfix/public/postlog",
            ),
        )

    def test_letters_together(self) -> None:
        """Letters may stand together, and a value may follow its letter at once."""
        found = invocation([PROGRAM, "-ludvn", "tx", "-s2", "-oa=b", "-o", "c=d"], {})
        wanted = (True, True, "tx", 2, ("a=b", "c=d"))
        self.assertEqual(
            (found.is_alone, found.gives_up_root, found.service, found.sockets, found.settings),
            wanted,
        )

    def test_which_protocol(self) -> None:
        """The program's name tells, as with Postfix; a program of another name goes by the service's."""
        rows = {
            ("smtpclient-smtp", "smtp"): "smtp",
            ("smtpclient-smtp", "lmtp"): "smtp",
            ("smtpclient-lmtp", "dovecot"): "lmtp",
            ("agent", "lmtp"): "lmtp",
            ("agent", "relay"): "smtp",
        }
        found = {row: invocation([row[0], "-n", row[1]], {}).process for row in rows}
        self.assertEqual(found, rows)

    def test_what_no_master_says(self) -> None:
        """What master would never write is refused in words."""
        rows = {
            ("-t", "inet"): "-t inet: delivery agents listen at sockets of the type unix",
            ("-S",): "-S: this program only runs below master(8)",
            ("-o",): "-o: a value is missing",
            ("-Q",): "-Q: there is no such option",
            ("x=y",): "'x=y' is no option; write what is to be set as -o name=value",
            ("-s", "0"): "-s 0: this is no number that master gives",
            ("-n", "../x"): "-n ../x: this is no name of a service",
        }
        found = {row: str(self.assertRaises(ValueError, invocation, ["x", *row], {})) for row in rows}
        self.assertEqual(found, rows)
