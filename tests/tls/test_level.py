"""Security levels."""

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.tls import level
from smtpclient.tls.level import Level


class Levels(SynchronousTestCase):
    def test_words(self) -> None:
        """The words are Postfix's, in any case."""
        words = ("none", "may", "encrypt", "fingerprint", "dane", "dane-only", "verify", "secure")
        self.assertEqual([level.parse(word) for word in words], list(Level))
        self.assertEqual([each.word for each in Level], list(words))
        self.assertEqual(level.parse(" Dane-Only "), Level.DANE_ONLY)

    def test_other_words(self) -> None:
        """Another word is refused, and the right ones are named."""
        why = self.assertRaises(ValueError, level.parse, "very-secure")
        self.assertIn('"very-secure"', str(why))
        self.assertIn("fingerprint, dane", str(why))

    def test_properties(self) -> None:
        """What each level asks for."""
        wanted = {
            Level.NONE: (False, False, False),
            Level.MAY: (False, False, False),
            Level.ENCRYPT: (True, False, False),
            Level.FINGERPRINT: (True, True, False),
            Level.DANE: (True, True, True),
            Level.DANE_ONLY: (True, True, True),
            Level.VERIFY: (True, True, False),
            Level.SECURE: (True, True, False),
        }
        self.assertEqual({each: (each.required, each.authenticates, each.is_dane) for each in Level}, wanted)
