"""Lists of TLS versions."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.tls import versions
from smtpclient.tls.versions import SPOKEN

ONE_0, ONE_1, ONE_2, ONE_3 = SPOKEN


class Lists(SynchronousTestCase):
    def test_forms(self) -> None:
        """Bounds, names, exclusions, numbers; any separator, any case."""
        wanted = {
            "": (ONE_0, ONE_1, ONE_2, ONE_3),
            ">=TLSv1": (ONE_0, ONE_1, ONE_2, ONE_3),
            ">=TLSv1.2": (ONE_2, ONE_3),
            ">= tlsv1.2": (ONE_2, ONE_3),
            "<=TLSv1.2": (ONE_0, ONE_1, ONE_2),
            ">=TLSv1, <=TLSv1.1": (ONE_0, ONE_1),
            "TLSv1.2": (ONE_2,),
            "TLSv1.3 TLSv1": (ONE_0, ONE_3),
            "TLSv1.0": (ONE_0,),
            "!TLSv1.3": (ONE_0, ONE_1, ONE_2),
            "!SSLv2, !SSLv3, !TLSv1, !TLSv1.1": (ONE_2, ONE_3),
            ">=TLSv1:!TLSv1.3": (ONE_0, ONE_1, ONE_2),
            ">=0304": (ONE_3,),
            ">=0x0303": (ONE_2, ONE_3),
            ">=TLSv1.3, >=TLSv1.1": (ONE_1, ONE_2, ONE_3),
            "TLSv1.2 !TLSv1.2 TLSv1.3": (ONE_3,),
            ">=SSLv3": (ONE_0, ONE_1, ONE_2, ONE_3),
        }
        self.assertEqual({text: versions.parse(text) for text in wanted}, wanted)

    def test_words(self) -> None:
        """A list may come in words."""
        self.assertEqual(versions.parse([">=TLSv1.2", "!TLSv1.3"]), (ONE_2,))

    def test_nonsense(self) -> None:
        """A word that is no version is named, and never means any version."""
        for text in ("TLSv9", "=>TLSv1.2", ">=", "!", "TLS1.2", ">=TLSv1.2 secure", "=TLSv1.2"):
            why = self.assertRaises(ValueError, versions.parse, text)
            self.assertIn("is no TLS version", str(why))

    def test_nothing_left(self) -> None:
        """A list that leaves nothing is refused."""
        for text in ("SSLv3", ">=TLSv1.3 <=TLSv1.2", ">=TLSv1.3 !TLSv1.3", ">=0305"):
            self.assertIn("leaves no TLS version", str(self.assertRaises(ValueError, versions.parse, text)))

    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(st.text(alphabet="<>=!TLSvssl.0123456789, :x"))
    def test_any_text(self, text: str) -> None:
        """Any text is a list of versions that are spoken, or a ValueError."""
        try:
            found = versions.parse(text)
        except ValueError:
            return
        self.assertTrue(found)
        self.assertEqual(list(found), sorted(set(found) & set(SPOKEN)))
