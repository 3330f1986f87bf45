"""Names that are not ours: another program's, the operator's own, slips of the pen."""

import shutil
import subprocess

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.elsewhere import OwnNames, is_elsewhere, looks_like_ours, nearest
from smtpclient.config.parameters import ROWS, ConfigurationError, Parameters


class ElsewhereTests(SynchronousTestCase):
    """Settings of other programs."""

    def test_other_programs(self) -> None:
        """What another program of a mail system reads is known to be its own."""
        names = ("smtpd_banner", "virtual_alias_maps", "alias_maps", "always_bcc", "mail_owner", "setgid_group",
                 "data_directory", "daemon_directory", "policyd-spf_time_limit", "lmdb_map_size",
                 "header_checks", "milter_default_action", "tls_random_source", "tls_preempt_cipherlist")  # fmt: skip
        self.assertEqual([name for name in names if not is_elsewhere(name)], [])

    def test_nothing_of_ours_is_elsewhere(self) -> None:
        """No parameter is counted as another program's, neither by its name nor by how it begins or ends."""
        self.assertEqual([name for name in ROWS if is_elsewhere(name)], [])

    def test_slips_of_the_pen_are_not_elsewhere(self) -> None:
        """How a name ends is not enough when it begins like ours."""
        self.assertFalse(is_elsewhere("smtp_conection_cache_time_limit"))

    def test_every_name_of_postfix_is_known(self) -> None:
        """Whatever postconf(1) of the installed Postfix lists is accepted, ignored, or refused as not supported."""
        if shutil.which("postconf") is None:
            self.skipTest("postconf is not installed")
        listed = subprocess.run(["postconf", "-d"], capture_output=True, text=True, check=False).stdout.splitlines()
        values = dict(line.split(" =", 1) for line in listed)
        try:
            Parameters.from_values(values)
        except ConfigurationError as error:
            self.assertEqual([problem for problem in error.problems if "there is no such parameter" in problem], [])


class OwnNameTests(SynchronousTestCase):
    """Names that the operator chose."""

    def test_what_another_value_refers_to(self) -> None:
        """A name is the operator's own when it is used, in whatever form."""
        own = OwnNames({"relayhost": "$my_relay", "smtpd_banner": "${x?{$my_text}}"})
        self.assertEqual([name in own for name in ("my_relay", "my_text", "x", "other")], [True, True, True, False])

    def test_restriction_classes(self) -> None:
        """The classes of an SMTP server's restrictions are names of the operator's."""
        self.assertIn("greylist", OwnNames({"smtpd_restriction_classes": "insiders, greylist"}))

    def test_sources_of_tables(self) -> None:
        """A directory's or data base's settings may stand in main.cf, behind the name of the source."""
        own = OwnNames({"virtual_alias_maps": "hash:/x, ldap:people"})
        self.assertEqual([name in own for name in ("people_server_host", "peoples", "x_y")], [True, False, False])


class NearestTests(SynchronousTestCase):
    """What a misspelled name was meant to be."""

    def test_slips(self) -> None:
        """The usual slips lead to the name that was meant."""
        meant = {
            "relay_host": "relayhost",
            "smtp_conect_timeout": "smtp_connect_timeout",
            "maximal_queue_life_time": "maximal_queue_lifetime",
            "SMTP_HELO_TIMEOUT": "smtp_helo_timeout",
            "transport_map": "transport_maps",
            "qmgr_message_recipients_limit": "qmgr_message_recipient_limit",
        }
        self.assertEqual({name: nearest(name, ROWS) for name in meant}, meant)

    def test_names_unlike_any(self) -> None:
        """A name that resembles none is left alone, unless it begins like ours."""
        names = ("mua_client_restrictions", "my_own_name", "smtp_frobnicate", "queue_colour")
        self.assertEqual([looks_like_ours(name, ROWS) for name in names], [False, False, True, True])
