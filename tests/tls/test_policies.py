"""Which source of policies wins."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.parameters import Parameters
from smtpclient.delivery.destination import parse
from smtpclient.dns.exchangers import Exchanger, Exchangers
from smtpclient.tls.credentials import CredentialFiles, Credentials
from smtpclient.tls.level import Level
from smtpclient.tls.policies import Policies
from smtpclient.tls.policy import FROM_DANE, FROM_LEVEL, FROM_MAP, PolicyProblem, Requirement, TlsPolicy
from smtpclient.tls.settings import TlsSettings
from tests.tls.certificates import issue
from tests.tls.tls_world import Zone

EXCHANGER = Exchanger("mx.example.org", "192.0.2.1", 25, 10, True, "mx.example.org")
HOSTS = Exchangers(parse("example.org", 25), (EXCHANGER,), secure=True, from_mx=True)
STS = TlsPolicy(Level.SECURE, "a further source", match=("mx.example.org",))


class Further:
    """A source that has a policy for every server, or none."""

    def __init__(self, found: TlsPolicy | None) -> None:
        self.found = found
        self.asked = 0

    async def policy(self, requirement: Requirement, hosts: Exchangers, exchanger: Exchanger) -> TlsPolicy | None:
        """What the test says."""
        self.asked += 1
        return self.found


class Sources(SynchronousTestCase):
    def policies(self, further: Further | None = None, **values: str) -> Policies:
        """The policies of these parameters, with a further source behind DANE."""
        self.zone = Zone()
        settings = TlsSettings.from_parameters(Parameters.from_values(values))
        credentials = Credentials(CredentialFiles(), Clock().seconds)
        found = Policies.from_settings(settings, credentials, self.zone, lambda sentence: None)
        if further is None:
            return found
        dane = found._sources[0]
        return Policies(settings, credentials, (dane, further), lambda sentence: None)

    def decide(self, policies: Policies, next_hop: str = "example.org") -> TlsPolicy:
        """The policy of the server."""
        requirement = policies.requirement(next_hop)
        deferred: Deferred[Any] = Deferred.fromCoroutine(policies.policy(requirement, HOSTS, EXCHANGER))
        if isinstance(getattr(deferred, "result", None), Failure):
            self.failureResultOf(deferred).raiseException()
        found: TlsPolicy = self.successResultOf(deferred)
        return found

    def test_default_and_map(self) -> None:
        """An entry in the map wins over the default; each policy says where it is from."""
        policies = self.policies(smtp_tls_policy_maps="inline:{{example.net = encrypt}}")
        default, mapped = self.decide(policies), self.decide(policies, "example.net")
        self.assertEqual((default.level, default.source), (Level.MAY, FROM_LEVEL))
        self.assertEqual((mapped.level, mapped.source), (Level.ENCRYPT, FROM_MAP))

    def test_dane_or_may(self) -> None:
        """dane without TLSA records is may."""
        policies = self.policies(smtp_tls_security_level="dane", smtp_dns_support_level="dnssec")
        self.assertEqual(self.decide(policies).level, Level.MAY)
        self.zone.tlsa("_25._tcp.mx.example.org", issue("x").tlsa(3, 1, 1))
        found = self.decide(policies)
        self.assertEqual((found.level, found.source), (Level.DANE, FROM_DANE))

    def test_dane_wins(self) -> None:
        """A further source is asked when DANE has nothing to say, and not before."""
        further = Further(STS)
        policies = self.policies(further, smtp_tls_security_level="dane", smtp_dns_support_level="dnssec")
        self.assertEqual(self.decide(policies), STS)
        self.zone.tlsa("_25._tcp.mx.example.org", issue("x").tlsa(3, 1, 1))
        self.assertEqual((self.decide(policies).source, further.asked), (FROM_DANE, 1))

    def test_nobody_has_anything_to_say(self) -> None:
        """Then the level decides as it stands."""
        self.assertEqual(
            self.decide(self.policies(Further(None), smtp_tls_security_level="secure")).level, Level.SECURE
        )

    def test_wrapper(self) -> None:
        """Wrapper mode takes no policy that would do without TLS, from nobody."""
        for level in ("none", "may", "dane"):
            policies = self.policies(smtp_tls_wrappermode="yes", smtp_tls_security_level=level)
            problem = self.assertRaises(PolicyProblem, self.decide, policies)
            self.assertEqual(problem.status, "4.3.0")
        policies = self.policies(smtp_tls_wrappermode="yes", smtp_tls_security_level="encrypt")
        self.assertEqual(self.decide(policies).level, Level.ENCRYPT)

    def test_default_policies(self) -> None:
        """The policies for loading early are those that servers will get, and raise nothing."""
        levels = {policy.level for policy in self.policies(smtp_tls_security_level="verify").default_policies()}
        self.assertEqual(levels, {Level.VERIFY, Level.MAY, Level.ENCRYPT})
        levels = {policy.level for policy in self.policies(smtp_tls_security_level="fingerprint").default_policies()}
        self.assertEqual(levels, {Level.MAY, Level.ENCRYPT})
