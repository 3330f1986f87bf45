"""Fingerprints."""

import hashlib

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.tls import fingerprint
from tests.tls.certificates import issue

OURS, OTHER = issue("mx.example"), issue("mx.example")


class Fingerprints(SynchronousTestCase):
    def test_certificate_or_key(self) -> None:
        """The digest of the certificate will do, and that of its key, and no other."""
        whole = hashlib.sha256(OURS.der).hexdigest()
        key = hashlib.sha256(OURS.key_info).hexdigest()
        self.assertEqual(fingerprint.of(OURS.certificate, "sha256"), (whole, key))
        for wanted, met in (
            ((whole,), True),
            ((key,), True),
            (("00" * 32, whole), True),
            (("00" * 32,), False),
            ((), False),
        ):
            self.assertEqual(fingerprint.matches(OURS.certificate, wanted, "sha256"), met)
        self.assertFalse(fingerprint.matches(OTHER.certificate, (whole, key), "sha256"))

    def test_spelling(self) -> None:
        """Colons and case do not matter."""
        self.assertEqual(fingerprint.normalize(" AB:cd" + ":00" * 30, "SHA256"), "abcd" + "00" * 30)

    def test_nonsense(self) -> None:
        """A text of the wrong length, of other letters, or with an unknown function is refused."""
        for text, digest in (
            ("abcd", "sha256"),
            ("zz" * 32, "sha256"),
            ("00" * 32, "sha1"),
            ("00" * 32, "rot13"),
            ("", "md5"),
        ):
            self.assertRaises(ValueError, fingerprint.normalize, text, digest)
        self.assertRaises(ValueError, fingerprint.new, "shake_128")


class KeyInfo(SynchronousTestCase):
    def test_as_it_stands(self) -> None:
        """The key is taken as it is written, and not written anew: a compressed point stays one."""
        numbers = OURS.key.public_key()
        compressed = numbers.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
        whole = numbers.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
        info = OURS.key_info.replace(b"\x03\x42\x00" + whole, b"\x03\x22\x00" + compressed)
        info = bytes([info[0], len(info) - 2]) + info[2:]
        data = OURS.der.replace(OURS.key_info, info)
        for at in (1, 5):  # the lengths of the certificate and of what is signed in it
            size = int.from_bytes(data[at + 1 : at + 3], "big") if data[at] == 0x82 else data[at + 1]
            assert data[at] in (0x81, 0x82)
            shorter = size - len(OURS.key_info) + len(info)
            width = data[at] & 0x7F
            data = data[: at + 1] + shorter.to_bytes(width, "big") + data[at + 1 + width :]
        certificate = x509.load_der_x509_certificate(data)
        self.assertEqual(fingerprint.public_key_info(certificate), info)

    def test_usual(self) -> None:
        """Usually that is what writing the key gives."""
        for issued in (OURS, issue("x", key=rsa.generate_private_key(65537, 2048))):
            self.assertEqual(fingerprint.public_key_info(issued.certificate), issued.key_info)
