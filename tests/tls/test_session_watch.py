"""Tests for :mod:`smtpclient.tls.session_watch`: what is counted of a session, and as what."""

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.mail.outcome import Peer
from smtpclient.tls.certificate import Presented
from smtpclient.tls.level import Level
from smtpclient.tls.policy import FROM_DANE, FROM_HEADER, FROM_LEVEL, PolicyProblem, Requirement, TlsPolicy
from smtpclient.tls.report_counts import ReportedPolicy, SessionFailure
from smtpclient.tls.result_type import ResultType
from smtpclient.tls.session_watch import NOT_NAMED, SessionEnd, SessionWatch, kind_of
from smtpclient.tls.sts_policy import StsPolicy, parse
from smtpclient.tls.tlsa import TlsaRecord
from tests.tls.certificates import issue

PEER = Peer("mx.example.org", "192.0.2.1", 25)
STS = parse(b"version: STSv1\nmode: testing\nmx: mx.example.org\nmax_age: 86400\n")
GOOD = Presented((issue("", ["mx.example.org"]).certificate,))
MAY = TlsPolicy(Level.MAY)


class Watching(SynchronousTestCase):
    """One session."""

    def setUp(self) -> None:
        self.known: StsPolicy | None = None
        self.noted: list[tuple[str, ReportedPolicy, SessionFailure | None]] = []
        self.watch = SessionWatch(lambda *note: self.noted.append(note), lambda domain: self.known)

    def kinds(self, *ends: SessionEnd, policy: TlsPolicy = MAY, peer: Peer = PEER) -> list[str]:
        """What sessions are counted as."""
        self.noted.clear()
        for end in ends:
            self.watch.ended("example.org", policy, peer, end)
        return [failure.result.value if failure else "" for _, _, failure in self.noted]

    def test_policies(self) -> None:
        """DANE's records, the lines of an MTA-STS policy, or none; DANE wins."""
        dane = TlsPolicy(Level.DANE, FROM_DANE, tlsa=(TlsaRecord(3, 1, 1, b"\xab" * 32),))
        self.watch.ended("Example.ORG", MAY, PEER, SessionEnd())
        self.known = STS
        self.watch.ended("example.org", MAY, PEER, SessionEnd(presented=GOOD))
        self.watch.ended("example.org", dane, PEER, SessionEnd())
        self.assertEqual(
            self.noted,
            [
                ("example.org", ReportedPolicy("no-policy-found"), None),
                ("example.org", ReportedPolicy("sts", STS.lines, ("mx.example.org",)), None),
                ("example.org", ReportedPolicy("tlsa", ("3 1 1 " + "ab" * 32,)), None),
            ],
        )

    def test_not_counted(self) -> None:
        """Sessions without TLS by our own will, those without policies, and those with an address."""
        self.assertEqual(self.kinds(SessionEnd(), policy=TlsPolicy(Level.NONE)), [])
        self.assertEqual(self.kinds(SessionEnd(), policy=TlsPolicy(Level.MAY, FROM_HEADER)), [])
        for next_hop in ("192.0.2.1", "2001:db8::1", "", "-x-"):
            self.watch.ended(next_hop, MAY, PEER, SessionEnd())
        self.assertEqual(self.noted, [])

    def test_without_policy(self) -> None:
        """What the level accepts is good; what it does not, and what went wrong before, is not."""
        ends = (
            SessionEnd(presented=Presented((), "")),
            SessionEnd(ResultType.STARTTLS_NOT_SUPPORTED),
            SessionEnd(complaint="untrusted: self-signed certificate: certificate of x"),
        )
        self.assertEqual(self.kinds(*ends), ["", "starttls-not-supported", "certificate-not-trusted"])

    def test_tested_policy(self) -> None:
        """What an MTA-STS policy would have refused is counted, though the mail was sent."""
        self.known = STS
        other = issue("", ["elsewhere.test"]).certificate
        ends = {
            SessionEnd(presented=GOOD): "",
            SessionEnd(): "",
            SessionEnd(presented=Presented()): "certificate-not-trusted",
            SessionEnd(presented=Presented(GOOD.certificates, "certificate has expired")): "certificate-expired",
            SessionEnd(presented=Presented(GOOD.certificates, "self-signed certificate")): "certificate-not-trusted",
            SessionEnd(presented=Presented((other,))): "certificate-host-mismatch",
            SessionEnd(presented=Presented((issue("").certificate,))): "certificate-host-mismatch",
        }
        self.assertEqual(dict(zip(ends, self.kinds(*ends), strict=True)), ends)
        self.assertEqual(
            self.kinds(SessionEnd(), peer=Peer("mx.evil.example", "192.0.2.9", 25)), ["validation-failure"]
        )

    def test_complaints(self) -> None:
        """Each complaint of ours has its name."""
        rows = {
            "untrusted: certificate has expired: certificate of x": "certificate-expired",
            "untrusted: unable to get local issuer certificate": "certificate-not-trusted",
            "hostname mismatch, expected x": "certificate-host-mismatch",
            "no matching DANE TLSA records": "validation-failure",
            "no certificate was presented": "certificate-not-trusted",
        }
        self.assertEqual({words: kind_of(words).value for words in rows}, rows)

    def test_details(self) -> None:
        """Who, from where, and why."""
        self.watch.ended(
            "example.org", MAY, PEER, SessionEnd(ResultType.VALIDATION_FAILURE, "w", "c", local="192.0.2.7")
        )
        ((_, _, failure),) = self.noted
        self.assertEqual(
            failure,
            SessionFailure(ResultType.VALIDATION_FAILURE, "mx.example.org", "192.0.2.1", "192.0.2.7", "w", "c"),
        )

    def test_barred(self) -> None:
        """A server that was not contacted is counted where that is the domain's doing."""
        dane = PolicyProblem("TLSA lookup error", result=ResultType.DNSSEC_INVALID)
        sts = PolicyProblem("not named", result=ResultType.VALIDATION_FAILURE, code=NOT_NAMED)
        self.known = STS
        self.watch.barred("example.org", Requirement(Level.DANE), "mx", dane)
        self.watch.barred("example.org", Requirement(Level.MAY), "mx", sts)
        self.watch.barred("example.org", Requirement(Level.MAY), "mx", PolicyProblem("our own misfortune"))
        self.watch.barred("example.org", Requirement(Level.MAY, FROM_HEADER), "mx", sts)
        self.watch.barred("192.0.2.1", Requirement(Level.DANE), "mx", dane)
        self.assertEqual(
            [(policy.kind, failure and failure.result.value) for _, policy, failure in self.noted],
            [("tlsa", "dnssec-invalid"), ("sts", "validation-failure")],
        )
        self.assertEqual(Requirement(Level.MAY).source, FROM_LEVEL)
