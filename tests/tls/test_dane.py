"""DANE: what TLSA records, and their absence, mean for a server."""

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.parameters import Parameters
from smtpclient.delivery.destination import parse
from smtpclient.dns.exchangers import Exchanger, Exchangers
from smtpclient.dns.resolver import CNAME
from smtpclient.tls.dane import DaneSource
from smtpclient.tls.level import Level
from smtpclient.tls.policy import FROM_DANE, PolicyProblem, Requirement, TlsPolicy
from smtpclient.tls.settings import TlsSettings
from smtpclient.tls.tlsa import TlsaRecord
from tests.tls.certificates import issue
from tests.tls.tls_world import Zone

OURS = issue("mx.example.org")
EE, TA, PKIX = OURS.tlsa(3, 1, 1), OURS.tlsa(2, 0, 1), OURS.tlsa(1, 1, 1)
HOST, NAME = "mx.example.org", "_25._tcp.mx.example.org"


class DaneCase(SynchronousTestCase):
    def setUp(self) -> None:
        """A zone, and what was warned of."""
        self.zone = Zone()
        self.said: list[str] = []

    def policy(
        self,
        level: Level = Level.DANE,
        *,
        secure: bool = True,
        host_secure: bool = True,
        canonical: str = HOST,
        next_hop: str = "example.org",
        from_mx: bool = True,
        port: int = 25,
        **values: str,
    ) -> TlsPolicy | None:
        """The policy of a server."""
        full = {"smtp_tls_security_level": "dane", "smtp_dns_support_level": "dnssec", **values}
        settings = TlsSettings.from_parameters(Parameters.from_values(full))
        exchanger = Exchanger(HOST, "192.0.2.1", port, 10, host_secure, canonical)
        hosts = Exchangers(
            parse(next_hop, 25), (exchanger,), secure=secure, from_mx=from_mx, canonical="real.example.org"
        )
        source = DaneSource(self.zone, settings, self.said.append)
        deferred = Deferred.fromCoroutine(source.policy(Requirement(level), hosts, exchanger))
        if isinstance(getattr(deferred, "result", None), Failure):
            self.failureResultOf(deferred).raiseException()
        return self.successResultOf(deferred)

    def outcome(self, level: Level = Level.DANE, **values: object) -> str:
        """The level that comes out, or no DANE, or why the server must not be contacted."""
        try:
            policy = self.policy(level, **values)  # type: ignore[arg-type]
        except PolicyProblem as problem:
            return problem.reason
        return policy.level.word if policy is not None else "no DANE"

    def both(self, **values: object) -> tuple[str, str]:
        """What comes out at dane and at dane-only."""
        return self.outcome(Level.DANE, **values), self.outcome(Level.DANE_ONLY, **values)


class Decisions(DaneCase):
    def test_records(self) -> None:
        """Records decide; the name they stand under is asked for."""
        self.zone.tlsa(NAME, EE, TA)
        policy = self.policy()
        assert policy is not None
        self.assertEqual(
            (policy.level, policy.source, policy.sni, policy.tlsa, policy.half),
            (Level.DANE, FROM_DANE, HOST, (EE, TA), False),
        )
        self.assertEqual(policy.match, (HOST, "real.example.org", "example.org"))

    def test_other_levels(self) -> None:
        """At other levels nobody is asked."""
        self.zone.tlsa(NAME, EE)
        for level in set(Level) - {Level.DANE, Level.DANE_ONLY}:
            self.assertEqual(self.outcome(level), "no DANE")
        self.assertEqual(self.zone.asked, [])

    def test_denial(self) -> None:
        """No records, and the DNS is sure of it: no DANE; for dane-only no contact."""
        self.assertEqual(self.both(), ("no DANE", "no TLSA records found"))

    def test_lookup_failure(self) -> None:
        """RFC 7672 section 2.1: a lookup that fails is no absence."""
        self.zone.fail(NAME)
        words = f"TLSA lookup error for {HOST}:25"
        self.assertEqual(self.both(), (words, words))
        self.assertIn(f"DANE TLSA lookup problem: {NAME}: SERVFAIL", self.said)

    def test_answer_without_ad(self) -> None:
        """Records that nobody vouches for count for nothing."""
        self.zone.tlsa(NAME, EE, secure=False)
        self.assertEqual(self.both(), ("no DANE", "no TLSA records found"))

    def test_insecure_host(self) -> None:
        """RFC 7672 section 2.2.2: for a host that nobody vouches for, nobody is asked; unless that is forced."""
        self.zone.tlsa(NAME, EE)
        self.assertEqual(self.both(host_secure=False), ("no DANE", "no TLSA records found"))
        self.assertEqual(self.zone.asked, [])
        forced = self.both(host_secure=False, smtp_tls_force_insecure_host_tlsa_lookup="yes")
        self.assertEqual(forced, ("dane", "dane-only"))

    def test_port(self) -> None:
        """The port is part of the name."""
        self.zone.tlsa("_587._tcp.mx.example.org", EE)
        self.assertEqual((self.outcome(port=587), self.outcome(port=25)), ("dane", "no DANE"))

    def test_pkix_usages(self) -> None:
        """RFC 7672 section 3.1.3: usages 0 and 1 are unusable: TLS, and nothing checked."""
        self.zone.tlsa(NAME, PKIX, OURS.tlsa(0, 0, 1))
        self.assertEqual(self.both(), ("encrypt", "TLSA records unusable"))
        policy = self.policy()
        assert policy is not None
        self.assertEqual((policy.sni, policy.tlsa, policy.source), ("", (), FROM_DANE))
        self.assertTrue(self.said[0].startswith(f"{NAME}: unusable TLSA record: 1 1 1 "))

    def test_pkix_usages_beside_others(self) -> None:
        """They do not take anything from those that are usable."""
        self.zone.tlsa(NAME, PKIX, EE)
        policy = self.policy()
        assert policy is not None
        self.assertEqual((policy.level, policy.tlsa), (Level.DANE, (EE,)))

    def test_unusable_data(self) -> None:
        """RFC 7671 section 10.1.1 and RFC 7672 section 2.2: records that cannot be compared with mean encrypt."""
        for record in (TlsaRecord(3, 1, 9, bytes(32)), TlsaRecord(3, 7, 1, bytes(32)), TlsaRecord(3, 1, 1, bytes(4))):
            self.zone.tlsa(NAME, record)
            self.assertEqual(self.both(), ("encrypt", "dane-only"))
            policy = self.policy(Level.DANE_ONLY)
            assert policy is not None
            self.assertEqual(policy.tlsa, ())


class InsecureLists(DaneCase):
    def test_policy(self) -> None:
        """smtp_tls_dane_insecure_mx_policy decides what a list that nobody vouches for is worth."""
        self.zone.tlsa(NAME, EE)
        rows = {"dane": "dane", "encrypt": "encrypt", "may": "no DANE"}
        found = {word: self.outcome(secure=False, smtp_tls_dane_insecure_mx_policy=word) for word in rows}
        self.assertEqual(found, rows)
        self.assertEqual(self.outcome(Level.DANE_ONLY, secure=False), "non DNSSEC destination")

    def test_half(self) -> None:
        """What DANE says then is half the truth, and the alias of the domain is nobody's word."""
        self.zone.tlsa(NAME, EE)
        policy = self.policy(secure=False)
        assert policy is not None
        self.assertEqual((policy.half, policy.match), (True, (HOST, "example.org")))

    def test_without_a_list(self) -> None:
        """Where there is no list, none can be insecure."""
        self.zone.tlsa(NAME, EE)
        policy = self.policy(Level.DANE_ONLY, secure=False, from_mx=False, next_hop="[mx.example.org]")
        assert policy is not None
        self.assertEqual((policy.half, policy.match), (False, (HOST,)))


class Aliases(DaneCase):
    """RFC 7672 section 2.2.2: the name behind the aliases first, then the name in the MX record."""

    def base(self, **values: object) -> str:
        """The name under which records were found."""
        policy = self.policy(canonical="real.example.net", **values)  # type: ignore[arg-type]
        return policy.sni if policy is not None else ""

    def test_all_secure(self) -> None:
        """Target first; the alias where the target has none and the alias itself is vouched for."""
        self.zone.tlsa("_25._tcp.real.example.net", EE)
        self.zone.tlsa(NAME, EE)
        self.zone.alias(HOST, secure=True)
        self.assertEqual(self.base(), "real.example.net")
        del self.zone.answers["_25._tcp.real.example.net", 52]
        self.assertEqual(self.base(), HOST)

    def test_insecure_target(self) -> None:
        """An alias that is vouched for has records of its own, whatever it leads to."""
        self.zone.tlsa("_25._tcp.real.example.net", EE)
        self.zone.tlsa(NAME, EE)
        self.zone.alias(HOST, secure=True)
        self.assertEqual(self.base(host_secure=False), HOST)
        self.assertNotIn("_25._tcp.real.example.net", self.zone.asked)

    def test_insecure_alias(self) -> None:
        """An alias that nobody vouches for is asked for nothing."""
        self.zone.tlsa(NAME, EE)
        self.zone.alias(HOST, secure=False)
        self.assertEqual(self.base(host_secure=False), "")

    def test_alias_lookup_failure(self) -> None:
        """Where nobody can tell about the alias, nobody can tell about its records."""
        self.zone.fail(HOST, CNAME)
        problem = self.assertRaises(PolicyProblem, self.base, host_secure=False)
        self.assertEqual(problem.reason, f"TLSA lookup error for {HOST}:25")


class Settings(DaneCase):
    def test_without_dnssec(self) -> None:
        """Without smtp_dns_support_level = dnssec there is no DANE, and that is said."""
        self.zone.tlsa(NAME, EE)
        found = self.both(smtp_dns_support_level="")
        self.assertEqual(found, ("no DANE", "client TLS configuration problem"))
        self.assertIn("smtp_dns_support_level = dnssec", self.said[0])

    def test_with_errors_ignored(self) -> None:
        """Nor is there where a list that could not be had is taken for none."""
        self.zone.tlsa(NAME, EE)
        found = self.both(ignore_mx_lookup_error="yes")
        self.assertEqual(found, ("no DANE", "client TLS configuration problem"))

    def test_strength(self) -> None:
        """DANE has the mandatory versions and no anonymous ciphers."""
        self.zone.tlsa(NAME, EE)
        policy = self.policy(smtp_tls_mandatory_protocols="TLSv1.3", smtp_tls_servername="other.test")
        assert policy is not None
        self.assertEqual((policy.versions, policy.sni), ((0x0304,), HOST))
        self.assertTrue(policy.ciphers.endswith("!aNULL"))
