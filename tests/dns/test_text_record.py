"""Tests for :mod:`smtpclient.dns.text_record`."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.dns.answer import Address, Answer, Opaque, Status
from smtpclient.dns.text_record import TXT, only_text, text_of, texts_of


def answer(*rdata: bytes) -> Answer:
    """An answer with TXT records."""
    return Answer("example.com", TXT, Status.FOUND, tuple(Opaque(data) for data in rdata))


class Texts(SynchronousTestCase):
    """One record, and several."""

    def test_strings_are_put_together(self) -> None:
        """Several strings are one text without anything between; nothing, and what is cut short, is none."""
        rows = {
            b"\x05v=STS\x02v1": "v=STSv1",
            b"\x03abc": "abc",
            b"\x00": "",
            b"": None,
            b"\x05abc": None,
            b"\x01a\x01": None,
            b"\x02\xff\x00": "\udcff\x00",
        }
        self.assertEqual({data: text_of(data) for data in rows}, rows)

    def test_records_of_other_kinds_are_left_out(self) -> None:
        """Only what can be read as TXT counts."""
        mixed = Answer("e", TXT, Status.FOUND, (Address("192.0.2.1"), Opaque(b"\x01a"), Opaque(b"\x02a")))
        self.assertEqual(texts_of(mixed), ("a",))

    def test_exactly_one_of_the_version(self) -> None:
        """Records of other things do not count; two of the version are as good as none."""
        ours, spf = b"\x0cv=STSv1;id=1", b"\x07v=spf1 "
        self.assertEqual(only_text(answer(spf, ours), "v=STSv1"), "v=STSv1;id=1")
        self.assertEqual(only_text(answer(ours, ours), "v=STSv1"), "")
        self.assertEqual(only_text(answer(spf), "v=STSv1"), "")
        self.assertEqual(only_text(answer(b"\x0dv=STSv10;id=1"), "v=STSv1"), "")

    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(st.binary(max_size=600))
    def test_any_bytes(self, data: bytes) -> None:
        """Whatever a record holds, it is a text or none."""
        found = text_of(data)
        self.assertTrue(found is None or len(found) < len(data))
