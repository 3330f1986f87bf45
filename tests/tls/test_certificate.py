"""What a server shows, and what its policy asks for."""

import hashlib

from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.tls import tlsa
from smtpclient.tls.certificate import Judgement, Presented, Trust, describe, judge
from smtpclient.tls.level import Level
from smtpclient.tls.policy import TlsPolicy
from smtpclient.tls.tlsa import TlsaRecord
from tests.tls.certificates import Issued, authority, issue

CA = authority()
LEAF = issue("", ["mx.example"], CA)
SELF = issue("mx.example", ["mx.example"])
GOOD = Presented(LEAF.chain)
SELF_SIGNED = Presented(SELF.chain, "self-signed certificate")
NOTHING = Presented()


def dane(*records: TlsaRecord, match: str = "mx.example") -> TlsPolicy:
    """A policy of these records."""
    return TlsPolicy(Level.DANE, tlsa=tlsa.strongest(records), match=(match,))


def bad(usage: int, selector: int, matching: int) -> TlsaRecord:
    """A record of somebody else."""
    return issue("other").tlsa(usage, selector, matching)


class Judgements(SynchronousTestCase):
    def test_nothing_asked(self) -> None:
        """may and encrypt take anybody; the word says what was seen."""
        for level in (Level.MAY, Level.ENCRYPT):
            found = [judge(presented, TlsPolicy(level)) for presented in (GOOD, SELF_SIGNED, NOTHING)]
            self.assertEqual(found, [Judgement(trust) for trust in (Trust.TRUSTED, Trust.UNTRUSTED, Trust.ANONYMOUS)])

    def test_authority_and_name(self) -> None:
        """verify and secure ask for a trusted authority and a name."""
        for level in (Level.VERIFY, Level.SECURE):
            policy = TlsPolicy(level, match=("mx.example",))
            self.assertEqual(judge(GOOD, policy), Judgement(Trust.VERIFIED))
            untrusted = judge(SELF_SIGNED, policy)
            self.assertEqual(untrusted.trust, Trust.UNTRUSTED)
            self.assertTrue(
                untrusted.complaint.startswith("untrusted: self-signed certificate: certificate of CN=mx.ex")
            )
            wrong = judge(GOOD, TlsPolicy(level, match=("other.example", ".test")))
            self.assertTrue(
                wrong.complaint.startswith("hostname mismatch, expected other.example or .test: certificate")
            )
            self.assertIn("for mx.example, issued by CN=Test CA", wrong.complaint)

    def test_no_certificate(self) -> None:
        """A server without a certificate is nobody."""
        for level in Level:
            self.assertEqual(judge(NOTHING, TlsPolicy(level)).accepted, not level.authenticates)

    def test_own_anchors(self) -> None:
        """Trust anchors replace the authorities: who is trusted by these only is not, and the other way round."""
        stranger = Presented(LEAF.chain[:1], "unable to get local issuer certificate")
        policy = TlsPolicy(Level.SECURE, match=("mx.example",), anchors=(CA.tlsa(2, 0, 0),))
        self.assertEqual(judge(stranger, policy), Judgement(Trust.VERIFIED))
        other = TlsPolicy(Level.SECURE, match=("mx.example",), anchors=(authority().tlsa(2, 0, 0),))
        self.assertFalse(judge(GOOD, other).accepted)

    def test_fingerprint(self) -> None:
        """The digest counts, and nothing else; the complaint holds what would have been right."""
        key = hashlib.sha256(SELF.key_info).hexdigest()
        policy = TlsPolicy(Level.FINGERPRINT, fingerprints=(key,), digest="sha256")
        self.assertEqual(judge(SELF_SIGNED, policy), Judgement(Trust.VERIFIED))
        wrong = judge(SELF_SIGNED, TlsPolicy(Level.FINGERPRINT, fingerprints=("00" * 32,), digest="sha256"))
        self.assertIn(f"key {key}", wrong.complaint)


class Dane(SynchronousTestCase):
    def accepted(self, issued: Issued, *records: TlsaRecord, match: str = "mx.example") -> bool:
        """Whether a server with this certificate and its chain may have the mail."""
        return judge(Presented(issued.chain, "whatever"), dane(*records, match=match)).accepted

    def test_usage_3(self) -> None:
        """RFC 7671 section 5.1: the key counts; names, dates and authorities do not."""
        odd = issue("", ["other.example"], authority("unknown"), days=(-30, -1))
        for selector in (0, 1):
            for matching in (0, 1, 2):
                self.assertTrue(self.accepted(odd, odd.tlsa(3, selector, matching)))
                self.assertFalse(self.accepted(odd, bad(3, selector, matching)))

    def test_usage_3_is_not_for_authorities(self) -> None:
        """A record of usage 3 speaks of the server's certificate, not of its authority."""
        self.assertFalse(self.accepted(LEAF, CA.tlsa(3, 0, 1)))

    def test_usage_2(self) -> None:
        """RFC 7671 section 5.2: the authority counts, and with it name and dates."""
        self.assertTrue(self.accepted(LEAF, CA.tlsa(2, 0, 1)))
        self.assertFalse(self.accepted(LEAF, CA.tlsa(2, 0, 1), match="other.example"))
        self.assertFalse(self.accepted(issue("", ["mx.example"], CA, days=(-30, -1)), CA.tlsa(2, 0, 1)))
        self.assertFalse(self.accepted(LEAF, bad(2, 0, 1)))

    def test_any_record(self) -> None:
        """One record that matches will do, of whatever usage."""
        self.assertTrue(self.accepted(LEAF, bad(3, 1, 1), LEAF.tlsa(3, 1, 1)))
        self.assertTrue(self.accepted(LEAF, bad(3, 1, 1), CA.tlsa(2, 0, 1)))
        self.assertTrue(self.accepted(LEAF, bad(2, 0, 1), LEAF.tlsa(3, 1, 1)))

    def test_digest_agility(self) -> None:
        """RFC 7671 section 9: the strongest digest decides for its usage and selector."""
        self.assertFalse(self.accepted(LEAF, LEAF.tlsa(3, 1, 1), bad(3, 1, 2)))
        self.assertTrue(self.accepted(LEAF, bad(3, 1, 1), LEAF.tlsa(3, 1, 2)))
        self.assertTrue(self.accepted(LEAF, LEAF.tlsa(3, 0, 1), bad(3, 1, 2)))

    def test_no_record(self) -> None:
        """Without a record that can be compared with, nobody is the right one."""
        self.assertIn("no matching DANE TLSA records", judge(GOOD, dane()).complaint)

    def test_half(self) -> None:
        """Where nobody vouches for the list of servers, the one that matches is Trusted, not Verified."""
        policy = TlsPolicy(Level.DANE, tlsa=(SELF.tlsa(3, 1, 1),), half=True)
        self.assertEqual(judge(SELF_SIGNED, policy), Judgement(Trust.TRUSTED))


class Odd(SynchronousTestCase):
    @settings(max_examples=400, deadline=None, derandomize=True)
    @given(
        st.integers(0, len(LEAF.der) - 1), st.integers(1, 255), st.integers(0, len(LEAF.der) - 1), st.integers(0, 255)
    )
    def test_any_certificate(self, first: int, change: int, second: int, other: int) -> None:
        """Whatever a server shows, it is judged: nothing is raised, and what was changed is not the right one."""
        data = bytearray(LEAF.der)
        data[first] ^= change
        data[second] ^= other
        if bytes(data) == LEAF.der:
            return
        try:
            certificate = x509.load_der_x509_certificate(bytes(data))
        except Exception:
            return
        presented = Presented((certificate, CA.certificate), "whatever")
        fingerprints = (hashlib.sha256(LEAF.der).hexdigest(),)
        for policy in (
            TlsPolicy(Level.FINGERPRINT, fingerprints=fingerprints, digest="sha256"),
            TlsPolicy(Level.SECURE, match=("mx.example",), anchors=(CA.tlsa(2, 0, 0),)),
            TlsPolicy(Level.SECURE, match=("mx.example",), anchors=(CA.tlsa(2, 1, 0),)),
            TlsPolicy(Level.SECURE, match=("mx.example",)),
            dane(LEAF.tlsa(3, 0, 1), CA.tlsa(2, 1, 1)),
        ):
            self.assertFalse(judge(presented, policy).accepted)


class Words(SynchronousTestCase):
    def test_describe(self) -> None:
        """A certificate in one line, however many names it has."""
        many = issue("", [f"mx{number}.example" for number in range(50)])
        words = describe(many.certificate)
        self.assertIn("certificate of nobody for mx0.example, ", words)
        self.assertIn("mx9.example, ..., issued by nobody", words)
        self.assertIn("for no name", describe(issue("", [], CA).certificate))
