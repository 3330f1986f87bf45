"""What a message's own wishes (RFC 8689) make of policies: :mod:`smtpclient.tls.policies`."""

from dataclasses import replace

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.parameters import Parameters
from smtpclient.delivery.destination import parse
from smtpclient.dns.exchangers import Exchanger, Exchangers
from smtpclient.mail.envelope import TlsWish
from smtpclient.tls.credentials import CredentialFiles, Credentials
from smtpclient.tls.level import Level
from smtpclient.tls.policies import Policies
from smtpclient.tls.policy import (
    FROM_DANE,
    FROM_HEADER,
    FROM_LEVEL,
    FROM_MAP,
    FROM_REQUIRETLS,
    PolicyProblem,
    Requirement,
    TlsPolicy,
)
from smtpclient.tls.settings import TlsSettings
from tests.tls.certificates import issue
from tests.tls.tls_world import Zone

EXCHANGER = Exchanger("mx.example.org", "192.0.2.1", 25, 10, True, "mx.example.org")
HOSTS = Exchangers(parse("example.org", 25), (EXCHANGER,), secure=True, from_mx=True)
BOTH = TlsWish.OPTIONAL | TlsWish.REQUIRED


class Wishes(SynchronousTestCase):
    """Levels, sources and wishes."""

    def setUp(self) -> None:
        self.zone = Zone()

    def policies(self, **values: str) -> Policies:
        """The policies of these parameters."""
        settings = TlsSettings.from_parameters(Parameters.from_values(values))
        credentials = Credentials(CredentialFiles(), Clock().seconds)
        return Policies.from_settings(settings, credentials, self.zone, lambda sentence: None)

    def decide(self, wish: TlsWish, hosts: Exchangers = HOSTS, **values: str) -> TlsPolicy | str:
        """The policy of the server, or why there is none."""
        policies = self.policies(**values)
        requirement = policies.requirement("example.org", wish)
        made = Deferred.fromCoroutine(policies.policy(requirement, hosts, EXCHANGER))
        made.addErrback(lambda failure: failure.trap(PolicyProblem) and failure.value.status)
        found: TlsPolicy | str = self.successResultOf(made)
        return found

    def test_requirements(self) -> None:
        """The operator's levels stay; the domain's are left out by the one wish, and completed by the other."""
        rows = {}
        for level in Level:
            without = Level.MAY if level.is_dane else level
            rows[level.word] = (
                Requirement(without, FROM_HEADER),
                Requirement(level, FROM_LEVEL, verified=True),
                Requirement(level, FROM_LEVEL, verified=True),
            )
        found = {}
        for level in Level:
            policies = self.policies(smtp_tls_security_level=level.word)
            wishes = (TlsWish.OPTIONAL, TlsWish.REQUIRED, BOTH)
            found[level.word] = tuple(policies.requirement("example.org", wish) for wish in wishes)
        self.assertEqual(found, rows)

    def test_without_dane(self) -> None:
        """``TLS-Required: No`` goes to a server whose records are wrong, or cannot be had."""
        self.zone.fail("_25._tcp.mx.example.org")
        dane = {"smtp_tls_security_level": "dane", "smtp_dns_support_level": "dnssec"}
        self.assertEqual(self.decide(TlsWish(0), **dane), "4.7.5")
        found = self.decide(TlsWish.OPTIONAL, **dane)
        assert isinstance(found, TlsPolicy)
        self.assertEqual((found.level, found.source), (Level.MAY, FROM_HEADER))

    def test_the_operators_map_stays(self) -> None:
        """What the operator asks for a destination is not for a message to waive."""
        found = self.decide(TlsWish.OPTIONAL, smtp_tls_policy_maps="inline:{example.org=secure}")
        assert isinstance(found, TlsPolicy)
        self.assertEqual(found.level, Level.SECURE)

    def test_required_by_dane(self) -> None:
        """A server with usable records is shown by them; one whose list nobody vouches for is not."""
        self.zone.tlsa("_25._tcp.mx.example.org", issue("x").tlsa(3, 1, 1))
        dane = {"smtp_tls_security_level": "dane", "smtp_dns_support_level": "dnssec"}
        found = self.decide(TlsWish.REQUIRED, **dane)
        assert isinstance(found, TlsPolicy)
        self.assertEqual((found.level, found.source), (Level.DANE, FROM_DANE))
        self.assertEqual(self.decide(TlsWish.REQUIRED, replace(HOSTS, secure=False), **dane), "5.7.10")

    def test_required_of_a_secure_list(self) -> None:
        """With DNSSEC for the list, or without a list, the certificate has to be valid for the server's name."""
        for hosts in (HOSTS, replace(HOSTS, from_mx=False, secure=False)):
            found = self.decide(TlsWish.REQUIRED, hosts)
            assert isinstance(found, TlsPolicy)
            self.assertEqual(
                (found.level, found.source, found.match), (Level.VERIFY, FROM_REQUIRETLS, ("mx.example.org",))
            )

    def test_cannot_be_met(self) -> None:
        """A list that nobody vouches for, or no TLS at all: the message cannot go, today or tomorrow."""
        self.assertEqual(self.decide(TlsWish.REQUIRED, replace(HOSTS, secure=False)), "5.7.10")
        self.assertEqual(self.decide(TlsWish.REQUIRED, smtp_tls_security_level="none"), "5.7.10")

    def test_the_operator_vouches(self) -> None:
        """A level of the operator's that shows who the server is will do."""
        for level in ("verify", "secure"):
            found = self.decide(
                TlsWish.REQUIRED,
                replace(HOSTS, secure=False),
                smtp_tls_policy_maps=f"inline:{{example.org={level}}}",
            )
            assert isinstance(found, TlsPolicy)
            self.assertEqual((found.level.word, found.source), (level, FROM_MAP))
