"""Chains to an authority that a record speaks of."""

from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from OpenSSL import crypto
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.tls import chain
from tests.tls.certificates import CLIENT, SERVER, Issued, authority, issue

ROOT = authority("root")
MIDDLE = authority("middle", ROOT)
LEAF = issue("", ["mx.example"], MIDDLE)
KINDS = [(selector, matching) for selector in (0, 1) for matching in (0, 1, 2)]


def fault(sent: Sequence[Issued], anchor: Issued, selector: int = 0, matching: int = 1) -> str:
    """Why what was sent does not lead to an authority."""
    return chain.fault_of([issued.certificate for issued in sent], [anchor.tlsa(2, selector, matching)])


class Chains(SynchronousTestCase):
    def test_an_authority_that_was_sent(self) -> None:
        """Any authority in the chain will do, root or not, by every kind of record."""
        sent = (LEAF, MIDDLE, ROOT)
        wanted = dict.fromkeys([(anchor, kind) for anchor in ("middle", "root") for kind in KINDS], "")
        anchors = {"middle": MIDDLE, "root": ROOT}
        self.assertEqual({(name, kind): fault(sent, anchors[name], *kind) for name, kind in wanted}, wanted)

    def test_an_authority_that_was_not_sent(self) -> None:
        """A whole authority in the record need not be sent; of a digest nobody knows what it was."""
        wanted = {kind: not kind[1] for kind in KINDS}
        self.assertEqual({kind: not fault([LEAF], MIDDLE, *kind) for kind in KINDS}, wanted)
        self.assertEqual({kind: not fault([LEAF, MIDDLE], ROOT, *kind) for kind in KINDS}, wanted)

    def test_another_authority(self) -> None:
        """An authority that has signed nothing here is of no use."""
        stranger = authority("root")
        for kind in KINDS:
            self.assertNotEqual(fault((LEAF, MIDDLE, ROOT), stranger, *kind), "")

    def test_a_forged_chain(self) -> None:
        """The right authority behind a certificate that it has not signed does not help."""
        stranger = authority("middle")
        forged = issue("", ["mx.example"], stranger)
        for kind in KINDS:
            self.assertNotEqual(fault((forged, MIDDLE, ROOT), MIDDLE, *kind), "")
            self.assertNotEqual(fault((forged, stranger, ROOT), ROOT, *kind), "")

    def test_self_signed(self) -> None:
        """A server's own certificate is never its authority."""
        own = issue("mx.example", ["mx.example"])
        for kind in ((0, 1), (0, 2), (1, 1), (1, 2)):
            self.assertNotEqual(fault([own], own, *kind), "")

    def test_no_right_to_sign(self) -> None:
        """A certificate that is no authority's has no right to sign one."""
        server = issue("server", ["server.example"], ROOT)
        forged = issue("", ["mx.example"], server)
        self.assertNotEqual(fault((forged, server, ROOT), ROOT), "")

    def test_dates(self) -> None:
        """A certificate out of its dates is refused, whoever vouches for it."""
        for days in ((-30, -1), (1, 30)):
            late = issue("", ["mx.example"], MIDDLE, days=days)
            for kind in KINDS:
                self.assertIn("certificate", fault((late, MIDDLE, ROOT), MIDDLE, *kind))

    def test_purpose(self) -> None:
        """A certificate for clients is none for a server."""
        self.assertEqual(fault((issue("x", issuer=ROOT, purposes=[SERVER]), ROOT), ROOT), "")
        self.assertIn("purpose", fault((issue("x", issuer=ROOT, purposes=[CLIENT]), ROOT), ROOT))

    def test_kinds_of_keys(self) -> None:
        """A bare key is recognized by its signature, whether RSA, EC or Ed25519; another one is not."""
        found = {}
        for key in (rsa.generate_private_key(65537, 2048), None):
            name = type(key).__name__
            signer = issue("signer", authority=True, key=key)
            found[name] = fault([issue("x", issuer=signer)], signer, 1, 0)
            self.assertNotEqual(fault([issue("x", issuer=ROOT)], signer, 1, 0), "")
        self.assertEqual(set(found.values()), {""})
        self.assertEqual(fault([issue("x", issuer=ED25519, function=None), ED25519], ED25519, 1, 0), "")

    def test_weak_signature(self) -> None:
        """A signature over SHA-1 proves nothing."""
        signer = issue("signer", authority=True, key=rsa.generate_private_key(65537, 2048))
        weak = _resigned(issue("x", issuer=signer), "sha1")
        for kind in ((0, 0), (1, 0), (0, 1)):
            self.assertNotEqual(fault((weak, signer), signer, *kind), "")


def _resigned(issued: Issued, digest: str) -> Issued:
    """The certificate, signed again with a hash function that is no longer for signing."""
    assert issued.issuer is not None
    certificate = crypto.X509.from_cryptography(issued.certificate)
    certificate.sign(crypto.PKey.from_cryptography_key(issued.issuer.key), digest)
    return Issued(certificate.to_cryptography(), issued.key, issued.issuer)


ED25519 = issue("Test CA", authority=True, key=ed25519.Ed25519PrivateKey.generate(), function=None)
