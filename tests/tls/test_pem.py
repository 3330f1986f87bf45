"""Certificates and keys in files."""

from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import crypto
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.tls import pem
from smtpclient.tls.pem import PemError
from tests.tls.certificates import authority, issue

CA = authority()
LEAF = issue("client.example", issuer=CA)
NOISE = b"This is a bundle.\nsubject=/CN=whoever\n\n"


def der(certificate: crypto.X509) -> bytes:
    """The certificate's bytes."""
    return crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)


class Reading(SynchronousTestCase):
    def test_bundle(self) -> None:
        """Every certificate of a bundle, in order; text between them, and keys, are passed over."""
        found = pem.certificates("f", NOISE + LEAF.pem + NOISE + LEAF.key_pem + CA.pem)
        self.assertEqual([der(certificate) for certificate in found], [LEAF.der, CA.der])

    def test_broken(self) -> None:
        """A block that is none, and a file without any, are named."""
        broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
        for data, words in (
            (LEAF.pem + broken, "f: certificate 2"),
            (b"", "f: no certificate"),
            (CA.key_pem, "f: no cert"),
        ):
            self.assertIn(words, str(self.assertRaises(PemError, pem.certificates, "f", data)))

    def test_encrypted_key(self) -> None:
        """A key that needs a passphrase is refused; nobody is asked for one."""
        secret = LEAF.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
        self.assertIn("must not be encrypted", str(self.assertRaises(PemError, pem.keys, "f", secret)))
        self.assertIn("no private key", str(self.assertRaises(PemError, pem.keys, "f", LEAF.pem)))

    def test_chain_file(self) -> None:
        """Keys, each followed by its certificate and the chain of that."""
        other = issue("other.example")
        found = pem.identities("f", LEAF.key_pem + LEAF.pem + CA.pem + other.key_pem + other.pem)
        self.assertEqual(
            [(der(identity.certificate), [der(each) for each in identity.chain]) for identity in found],
            [(LEAF.der, [CA.der]), (other.der, [])],
        )

    def test_wrong_chain_file(self) -> None:
        """A certificate before its key, another one's, and no key at all are told apart."""
        rows = {
            LEAF.pem + LEAF.key_pem: "must come before",
            LEAF.key_pem + CA.pem: "is not that of the first certificate",
            LEAF.key_pem: "no certificate",
            b"": "no private key",
        }
        for data, words in rows.items():
            self.assertIn(words, str(self.assertRaises(PemError, pem.identities, "f", data)))

    def test_anchors(self) -> None:
        """Trust anchors are certificates and bare keys."""
        key = CA.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.assertEqual(pem.anchors("f", CA.pem + NOISE + key), (CA.tlsa(2, 0, 0), CA.tlsa(2, 1, 0)))
        self.assertRaises(PemError, pem.anchors, "f", b"")
        self.assertRaises(PemError, pem.anchors, "f", key.replace(b"M", b"N", 1))

    @settings(max_examples=100, deadline=None, derandomize=True)
    @given(st.binary(max_size=60), st.sampled_from([b"CERTIFICATE", b"PRIVATE KEY", b"PUBLIC KEY"]))
    def test_any_bytes(self, data: bytes, kind: bytes) -> None:
        """Any bytes are what they are, or a PemError."""
        block = b"-----BEGIN " + kind + b"-----\n" + data + b"\n-----END " + kind + b"-----\n"
        for read in (pem.certificates, pem.keys, pem.identities, pem.anchors):
            self.assertRaises(PemError, read, "f", block)
