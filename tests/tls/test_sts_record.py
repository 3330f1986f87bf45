"""Tests for :mod:`smtpclient.tls.sts_record`: RFC 8461 section 3.1."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.dns.answer import Answer, Opaque, Status
from smtpclient.dns.text_record import TXT
from smtpclient.tls.sts_record import name_of, policy_id, read
from tests.tls.web_world import text


class Record(SynchronousTestCase):
    """What a text says."""

    def test_grammar(self) -> None:
        """The RFC's example is read; extensions are passed over; what breaks the grammar has no id."""
        rows = {
            "v=STSv1; id=20160831085700Z;": "20160831085700Z",
            "v=STSv1;id=1": "1",
            "v=STSv1 ; id=1 ;": "1",
            "v=STSv1; new.thing=x:/y; id=1": "1",
            "v=STSv1; id=1; id=2": "1",
            "v=STSv1; id=" + "a" * 32: "a" * 32,
            "v=STSv1; id=" + "a" * 33: "",
            "v=STSv1; id=2016-08": "",
            "v=STSv1; id=": "",
            "v=STSv1; id=1; nonsense": "",
            "v=STSv1; id=1;;": "",
            "v=STSv1; ID=1": "",
            "id=1; v=STSv1;": "",
            "v=stsv1; id=1": "",
            "v=STSv1": "",
            "": "",
        }
        self.assertEqual({given: read(given) for given in rows}, rows)

    def test_answers(self) -> None:
        """One record of the version, beside others; no answer has an id."""
        good, other = Opaque(text("v=STSv1; id=7;")), Opaque(text("v=spf1 -all"))
        found = Answer("x", TXT, Status.FOUND, (other, good))
        self.assertEqual(policy_id(found), "7")
        self.assertEqual(policy_id(Answer("x", TXT, Status.FOUND, (good, good))), "")
        self.assertEqual(policy_id(Answer("x", TXT, Status.RETRY)), "")
        self.assertEqual(name_of("example.com"), "_mta-sts.example.com")

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(st.text(alphabet="v=STSv1;id Aa0\t\udcff", max_size=40))
    def test_ids_are_words(self, given: str) -> None:
        """Whatever stands there, an id is letters and digits."""
        found = read("v=STSv1;" + given)
        self.assertTrue(found == "" or (found.isascii() and found.isalnum()))
