"""Tests for :mod:`smtpclient.tls.sts_source`: what a policy means for a server."""

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.delivery import destination
from smtpclient.dns.exchangers import Exchanger, Exchangers
from smtpclient.tls.level import Level
from smtpclient.tls.policy import FROM_LEVEL, FROM_MAP, PolicyProblem, Requirement, TlsPolicy
from smtpclient.tls.settings import TlsSettings
from smtpclient.tls.sts_policy import StsPolicy, parse
from smtpclient.tls.sts_source import FROM_STS, StsSource, applies, policy_domain

MAY = Requirement(Level.MAY)


def policy(mode: str) -> StsPolicy:
    """A policy for all hosts of a domain."""
    return parse(f"version: STSv1\nmode: {mode}\nmx: *.example.net\nmax_age: 86400\n".encode())


class Known:
    """Stands for what is known of a domain's policy."""

    def __init__(self, found: StsPolicy | None) -> None:
        self.found = found
        self.asked: list[str] = []

    async def find(self, domain: str) -> StsPolicy | None:
        """Find it."""
        self.asked.append(domain)
        return self.found


class Source(SynchronousTestCase):
    """One server of one next hop."""

    def ask(
        self, mode: str, host: str, *, enforce: bool = True, next_hop: str = "example.com", wanted: Requirement = MAY
    ) -> TlsPolicy | str | None:
        """The policy, or why the server is not contacted."""
        self.known = Known(policy(mode) if mode else None)
        self.warnings: list[str] = []
        settings = TlsSettings(servername="other.example", anchor_files=("/nowhere",))
        source = StsSource(self.known, settings, self.warnings.append, enforce=enforce)  # type: ignore[arg-type]
        hosts = Exchangers(destination.parse(next_hop, 25))
        done = Deferred.fromCoroutine(source.policy(wanted, hosts, Exchanger(host, "192.0.2.1", 25, 10)))
        done.addErrback(lambda failure: failure.trap(PolicyProblem) and failure.value.reason)
        return self.successResultOf(done)

    def test_named_host(self) -> None:
        """It must show a valid certificate for its name, from a public authority; that name is asked for."""
        found = self.ask("enforce", "mx.example.net")
        assert isinstance(found, TlsPolicy)
        self.assertEqual((found.level, found.source), (Level.VERIFY, FROM_STS))
        self.assertEqual((found.match, found.sni, found.anchors), (("mx.example.net",), "mx.example.net", ()))

    def test_forged_host(self) -> None:
        """A host that the policy does not name is not contacted: a forged MX record leads nowhere."""
        self.assertEqual(
            self.ask("enforce", "mx.evil.example"),
            "host mx.evil.example is not named by the MTA-STS policy of example.com",
        )

    def test_testing(self) -> None:
        """In testing, the domain's or ours, nothing changes but what is said."""
        rows: dict[tuple[str, bool], object] = {
            ("testing", True): None,
            ("testing", False): None,
            ("enforce", False): None,
        }
        for host, warnings in (("mx.example.net", 0), ("mx.evil.example", 1)):
            for mode, enforce in rows:
                self.assertIsNone(self.ask(mode, host, enforce=enforce))
                self.assertEqual(len(self.warnings), warnings)

    def test_no_policy(self) -> None:
        """Without one there is nothing to say."""
        self.assertIsNone(self.ask("", "mx.example.net"))
        self.assertEqual(self.known.asked, ["example.com"])

    def test_the_operator_has_decided(self) -> None:
        """Levels that ask for more or for nothing, and entries of the policy maps, are not touched."""
        rows = {
            (level, source): level is Level.DANE or (source == FROM_LEVEL and level in (Level.MAY, Level.ENCRYPT))
            for level in Level
            for source in (FROM_LEVEL, FROM_MAP)
        }
        self.assertEqual({row: applies(Requirement(*row)) for row in rows}, rows)
        self.assertIsNone(self.ask("enforce", "mx.evil.example", wanted=Requirement(Level.SECURE)))
        self.assertEqual(self.known.asked, [])

    def test_policy_domain(self) -> None:
        """That of the next hop, in its one spelling; a smarthost's own; an address has none."""
        rows = {
            "Example.COM": "example.com",
            "b\u00fccher.example": "xn--bcher-kva.example",
            "[relay.example.net]:587": "relay.example.net",
            "[192.0.2.1]": "",
            "-bad-.example": "",
        }
        found = {}
        for next_hop in rows:
            try:
                found[next_hop] = policy_domain(Exchangers(destination.parse(next_hop, 25)))
            except ValueError:
                found[next_hop] = ""
        self.assertEqual(found, rows)
        self.assertIsNone(self.ask("enforce", "mx.evil.example", next_hop="[192.0.2.1]"))
