"""Grades of ciphers."""

from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.tls import ciphers


def offered(string: str) -> list[str]:
    """The ciphers that OpenSSL makes of a string."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_cipher_list(string.encode())
    return [name for name in SSL.Connection(context, None).get_cipher_list() if not name.startswith("TLS_")]


class Grades(SynchronousTestCase):
    def test_every_grade_is_taken_by_openssl(self) -> None:
        """Each grade is one that OpenSSL has ciphers for, authenticated or not."""
        for grade in ciphers.GRADES:
            for authenticated in (False, True):
                string = ciphers.cipher_string(grade, authenticated=authenticated)
                if grade != "null":
                    self.assertTrue(offered(string), string)

    def test_anonymous(self) -> None:
        """Ciphers without a certificate are offered where none is looked at, and only there."""
        unauthenticated = offered(ciphers.cipher_string("medium", authenticated=False))
        authenticated = offered(ciphers.cipher_string("medium", authenticated=True))
        self.assertEqual(
            [any("ADH" in name or "AECDH" in name for name in names) for names in (unauthenticated, authenticated)],
            [True, False],
        )

    def test_exclude(self) -> None:
        """What is excluded is not offered."""
        before = offered(ciphers.cipher_string("high", authenticated=True))
        after = offered(ciphers.cipher_string("high", ["AES256", "kRSA"], authenticated=True))
        self.assertTrue(any("AES256" in name for name in before))
        self.assertFalse(any("AES256" in name for name in after))

    def test_nonsense(self) -> None:
        """No grade and no exclusion is taken for what it is not."""
        for grade, exclude in (("splendid", []), ("", []), ("high", ["AES:@SECLEVEL=0"]), ("high", [""])):
            self.assertRaises(ValueError, ciphers.cipher_string, grade, exclude, authenticated=True)
