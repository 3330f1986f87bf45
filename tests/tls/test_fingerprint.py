"""Fingerprints."""

import hashlib

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
