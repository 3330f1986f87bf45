"""TLSA records."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.tls import tlsa
from smtpclient.tls.tlsa import TlsaRecord
from tests.tls.certificates import issue

OURS, OTHER = issue("mx.example"), issue("mx.example")


class Records(SynchronousTestCase):
    def test_every_kind_matches_its_certificate_only(self) -> None:
        """Each selector with each matching type knows its certificate, and no other one."""
        kinds = [(selector, matching) for selector in (0, 1) for matching in (0, 1, 2)]
        wanted = dict.fromkeys(kinds, (True, True, False))
        found = {}
        for kind in kinds:
            record = OURS.tlsa(3, *kind)
            found[kind] = (record.is_usable, record.matches(OURS.certificate), record.matches(OTHER.certificate))
        self.assertEqual(found, wanted)

    def test_a_renewed_certificate_keeps_its_key(self) -> None:
        """Selector 1 knows the key in another certificate; selector 0 does not."""
        renewed = issue("mx.example", key=OURS.key)
        self.assertTrue(OURS.tlsa(3, 1, 1).matches(renewed.certificate))
        self.assertFalse(OURS.tlsa(3, 0, 1).matches(renewed.certificate))

    def test_unusable(self) -> None:
        """What cannot be compared with anything is not usable; usages for others are not supported."""
        digest = bytes(32)
        rows = {
            TlsaRecord(3, 1, 1, digest): (True, True),
            TlsaRecord(0, 1, 1, digest): (False, False),
            TlsaRecord(1, 1, 1, digest): (False, False),
            TlsaRecord(255, 1, 1, digest): (False, False),
            TlsaRecord(3, 2, 1, digest): (True, False),
            TlsaRecord(3, 1, 9, digest): (True, False),
            TlsaRecord(3, 1, 1, digest[:4]): (True, False),
            TlsaRecord(3, 1, 2, digest): (True, False),
            TlsaRecord(3, 0, 0, b"no certificate"): (True, False),
            TlsaRecord(2, 1, 0, b"no key"): (True, False),
        }
        self.assertEqual({record: (record.is_supported, record.is_usable) for record in rows}, rows)

    def test_digest_agility(self) -> None:
        """RFC 7671 section 9: within a usage and selector the strongest digest counts, beside full data."""
        weak, strong, other = (
            TlsaRecord(3, 1, 1, bytes(32)),
            TlsaRecord(3, 1, 2, bytes(64)),
            TlsaRecord(3, 0, 1, bytes(32)),
        )
        broken = TlsaRecord(3, 1, 2, b"short")
        whole = OURS.tlsa(3, 1, 0)
        self.assertEqual(tlsa.strongest([weak, strong, other, whole]), (strong, other, whole))
        self.assertEqual(tlsa.strongest([weak, broken]), (weak,))

    def test_not_without_end(self) -> None:
        """Of a multitude of records the first that can be used are looked at."""
        useless = [TlsaRecord(3, 1, 9, bytes(32))] * 50
        many = [TlsaRecord(3, 1, 1, number.to_bytes(32, "big")) for number in range(100)]
        self.assertEqual(tlsa.strongest([*useless, *many]), tuple(many[: tlsa.MOST]))

    def test_reading(self) -> None:
        """The wire form of RFC 6698 section 2.1; what is cut short is none."""
        self.assertEqual(tlsa.read(b"\3\1\1" + bytes(32)), TlsaRecord(3, 1, 1, bytes(32)))
        self.assertIsNone(tlsa.read(b"\3\1\1"))
        self.assertEqual(str(tlsa.read(b"\3\1\1\xab\xcd")), "3 1 1 abcd")

    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(st.binary(max_size=100))
    def test_any_bytes(self, data: bytes) -> None:
        """Any bytes are read, looked at and shown without harm, and match nothing by chance."""
        record = tlsa.read(data)
        if record is not None:
            self.assertFalse(record.is_usable and record.matches(OURS.certificate))
            self.assertNotIn("\n", str(record))
