"""From parameters to policies."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.parameters import Parameters
from smtpclient.tls import policy_map
from smtpclient.tls.level import Level
from smtpclient.tls.policy import FROM_MAP, PolicyProblem, Requirement, TlsPolicy
from smtpclient.tls.settings import TlsSettings
from tests.tls.certificates import authority


def settings(**values: str) -> TlsSettings:
    """Settings of a main.cf with these lines."""
    return TlsSettings.from_parameters(Parameters.from_values(values))


def policy(level: Level, requirement: Requirement | None = None, **values: str) -> TlsPolicy:
    """The policy of a server of example.org."""
    wanted = requirement or Requirement(level)
    return settings(**values).policy(wanted, level, "example.org", "mx.example.org")


class Levels(SynchronousTestCase):
    def test_default(self) -> None:
        """Nothing said: TLS where it is offered."""
        self.assertEqual(settings().level, Level.MAY)

    def test_older_names(self) -> None:
        """smtp_use_tls and smtp_enforce_tls count where the level is not set."""
        rows: dict[tuple[tuple[str, str], ...], Level] = {
            (("smtp_tls_security_level", ""),): Level.NONE,
            (("smtp_tls_security_level", ""), ("smtp_use_tls", "yes")): Level.MAY,
            (("smtp_enforce_tls", "yes"),): Level.VERIFY,
            (("smtp_enforce_tls", "yes"), ("smtp_tls_enforce_peername", "no")): Level.ENCRYPT,
            (("smtp_enforce_tls", "yes"), ("smtp_tls_security_level", "may")): Level.MAY,
            (("smtp_tls_security_level", "dane-only"),): Level.DANE_ONLY,
        }
        self.assertEqual({row: settings(**dict(row)).level for row in rows}, rows)

    def test_insecure_mx(self) -> None:
        """DANE over an insecure list of exchangers: as the global level says."""
        self.assertEqual(settings(smtp_tls_security_level="dane").insecure_mx, Level.DANE)
        self.assertEqual(settings().insecure_mx, Level.MAY)


class Policies(SynchronousTestCase):
    def test_none(self) -> None:
        """No TLS is no policy at all."""
        self.assertEqual(policy(Level.NONE), TlsPolicy(Level.NONE))

    def test_optional_and_mandatory(self) -> None:
        """may has its own versions and ciphers; every stronger level has the mandatory ones."""
        values = {
            "smtp_tls_protocols": "TLSv1.2",
            "smtp_tls_mandatory_protocols": "TLSv1.3",
            "smtp_tls_ciphers": "low",
            "smtp_tls_mandatory_ciphers": "high",
            "smtp_tls_exclude_ciphers": "MD5",
            "smtp_tls_mandatory_exclude_ciphers": "kRSA, SHA1",
        }
        may, encrypt = policy(Level.MAY, **values), policy(Level.ENCRYPT, **values)
        self.assertEqual((may.versions, encrypt.versions), ((0x0303,), (0x0304,)))
        self.assertIn("LOW", may.ciphers)
        self.assertNotIn("MEDIUM", encrypt.ciphers)
        self.assertTrue(may.ciphers.endswith(":!MD5:@SECLEVEL=0"))
        self.assertTrue(encrypt.ciphers.endswith(":!MD5:!kRSA:!SHA1:@SECLEVEL=0"))
        self.assertTrue(policy(Level.SECURE, **values).ciphers.endswith(":!aNULL"))

    def test_names(self) -> None:
        """verify asks for the host, secure for the next hop, unless something else is set."""
        self.assertEqual(policy(Level.VERIFY).match, ("mx.example.org",))
        self.assertEqual(policy(Level.SECURE).match, ("example.org", ".example.org"))
        changed = policy(Level.SECURE, smtp_tls_secure_cert_match="hostname:nexthop")
        self.assertEqual(changed.match, ("mx.example.org", "example.org"))
        self.assertEqual(policy(Level.SECURE, Requirement(Level.SECURE, match=("mx.test",))).match, ("mx.test",))
        self.assertEqual(policy(Level.ENCRYPT).match, ())

    def test_a_map_overrules(self) -> None:
        """What an entry says counts before the parameters."""
        entry = policy_map.read("encrypt protocols=TLSv1.2 ciphers=low exclude=kRSA servername=hostname", print)
        found = policy(Level.ENCRYPT, entry, smtp_tls_exclude_ciphers="MD5", smtp_tls_servername="other.test")
        self.assertEqual((found.versions, found.sni, found.source), ((0x0303,), "mx.example.org", FROM_MAP))
        self.assertTrue(found.ciphers.endswith(":!kRSA:@SECLEVEL=0"))
        self.assertIn("LOW", found.ciphers)

    def test_servername(self) -> None:
        """A name to ask for is asked for; one that is none is a problem."""
        self.assertEqual(policy(Level.MAY, smtp_tls_servername="Mail.Test").sni, "mail.test")
        self.assertEqual(policy(Level.MAY).sni, "")
        self.assertRaises(PolicyProblem, policy, Level.MAY, smtp_tls_servername="not a name")

    def test_fingerprints(self) -> None:
        """The level needs fingerprints, and reads them."""
        found = policy(
            Level.FINGERPRINT, smtp_tls_fingerprint_digest="sha256", smtp_tls_fingerprint_cert_match="AA:" * 31 + "AA"
        )
        self.assertEqual((found.fingerprints, found.digest), (("aa" * 32,), "sha256"))
        self.assertRaises(PolicyProblem, policy, Level.FINGERPRINT)
        self.assertRaises(PolicyProblem, policy, Level.FINGERPRINT, smtp_tls_fingerprint_cert_match="AA:BB")

    def test_anchors(self) -> None:
        """Trust anchor files are read where names are checked, those of an entry in place of the parameter's."""
        anchor = authority().tlsa(2, 0, 0)
        asked: list[Any] = []

        def anchors(files: tuple[str, ...]) -> tuple[Any, ...]:
            asked.append(files)
            return (anchor,)

        ours = settings(smtp_tls_trust_anchor_file="/ta")
        entry = Requirement(Level.VERIFY, anchor_files=("/entry",))
        found = ours.policy(entry, Level.VERIFY, "example.org", "mx", anchors)
        ours.policy(Requirement(Level.SECURE), Level.SECURE, "example.org", "mx", anchors)
        ours.policy(Requirement(Level.ENCRYPT), Level.ENCRYPT, "example.org", "mx", anchors)
        self.assertEqual((found.anchors, asked), ((anchor,), [("/entry",), ("/ta",)]))

    def test_reuse(self) -> None:
        """connection_reuse, as the entry or else the parameter says."""
        self.assertFalse(policy(Level.MAY).reuse)
        self.assertTrue(policy(Level.MAY, smtp_tls_connection_reuse="yes").reuse)
        self.assertFalse(policy(Level.MAY, Requirement(Level.MAY, reuse=False), smtp_tls_connection_reuse="yes").reuse)


class Problems(SynchronousTestCase):
    def test_typos(self) -> None:
        """A list or a grade that cannot be read is a problem that names the parameter, and allows nothing."""
        rows = {
            "smtp_tls_protocols": (Level.MAY, "TLSv9"),
            "smtp_tls_mandatory_protocols": (Level.ENCRYPT, "TLSv9"),
            "smtp_tls_ciphers": (Level.MAY, "splendid"),
            "smtp_tls_mandatory_ciphers": (Level.SECURE, "splendid"),
        }
        for name, (level, value) in rows.items():
            found = policy(level, **{name: value})
            self.assertTrue(found.problem.startswith(f'{name}: "{value}" is no'), found.problem)
            self.assertEqual((found.versions, found.ciphers), ((), ""))
            self.assertEqual(settings(**{name: value}).problems, (found.problem,))

    def test_typos_of_the_other_kind_do_no_harm(self) -> None:
        """What is wrong with the mandatory list is no problem where TLS is optional."""
        self.assertEqual(policy(Level.MAY, smtp_tls_mandatory_protocols="TLSv9").problem, "")
        self.assertEqual(settings().problems, ())

    def test_typo_in_an_entry(self) -> None:
        """A problem in an entry names its attribute."""
        found = policy(Level.MAY, Requirement(Level.MAY, protocols="TLSv9"))
        self.assertTrue(found.problem.startswith('protocols: "TLSv9"'))
