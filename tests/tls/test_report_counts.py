"""Tests for :mod:`smtpclient.tls.report_counts`."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.tls import report_counts
from smtpclient.tls.report_counts import (
    MOST_FAILURES,
    MOST_POLICIES,
    DayCounts,
    ReportedPolicy,
    SessionFailure,
    decode,
)
from smtpclient.tls.result_type import ResultType

NONE = ReportedPolicy("no-policy-found")
REFUSED = SessionFailure(ResultType.STARTTLS_NOT_SUPPORTED, "mx.example.com", "192.0.2.1")


class Counting(SynchronousTestCase):
    """Sessions of one day."""

    def setUp(self) -> None:
        self.counts = DayCounts(20000)

    def test_counted(self) -> None:
        """Successes and failures, by domain, policy and kind of failure."""
        for failure in (None, REFUSED, None, REFUSED, None):
            self.counts.note("example.com", NONE, failure)
        self.counts.note("example.org", ReportedPolicy("sts", ("mode: testing",), ("mx",)), None)
        found = self.counts.of("example.com")[NONE]
        self.assertEqual((found.successes, found.failed, found.failures), (3, 2, {REFUSED: 2}))
        self.assertEqual(list(self.counts.domains()), ["example.com", "example.org"])
        self.assertIn("example.org", self.counts)
        self.counts.forget("example.org")
        self.assertEqual((len(self.counts), self.counts.of("example.org")), (1, {}))

    def test_kept(self) -> None:
        """What goes to disk comes back."""
        self.counts.note("example.com", NONE, REFUSED)
        self.counts.note("example.com", ReportedPolicy("tlsa", ("3 1 1 ab",)), None)
        self.assertEqual(decode(self.counts.encode()), self.counts)

    def test_limits(self) -> None:
        """Whatever servers make up, what is remembered stays small, and every session is counted."""
        for number in range(3 * MOST_FAILURES):
            self.counts.note("example.com", NONE, SessionFailure(ResultType.VALIDATION_FAILURE, code=f"x{number}"))
        found = self.counts.of("example.com")[NONE]
        self.assertEqual((found.failed, len(found.failures)), (3 * MOST_FAILURES, MOST_FAILURES + 1))
        for number in range(2 * MOST_POLICIES):
            self.counts.note("example.com", ReportedPolicy("sts", (f"id {number}",)), None)
        self.assertEqual(len(self.counts.of("example.com")), MOST_POLICIES)
        self.assertEqual(sum(one.successes for one in self.counts.of("example.com").values()), 2 * MOST_POLICIES)
        self.patch(report_counts, "MOST_DOMAINS", 2)
        self.counts.note("example.org", NONE, None)
        self.counts.note("example.net", NONE, None)
        self.assertEqual(len(self.counts), 2)

    def test_rubbish(self) -> None:
        """A file that was not kept by us is refused, however it is broken."""
        self.counts.note("example.com", NONE, REFUSED)
        whole = self.counts.encode()
        for data in (
            b"",
            b"{}",
            b"[]",
            b'{"day": 1e999, "domains": {}}',
            b'{"day": 1, "domains": []}',
            b"[" * 100000,
            b"\xff",
            whole[:-5],
            whole.replace(b"starttls-not", b"dance-not"),
            whole.replace(b'"", 1]', b'"", "", 1]'),
        ):
            self.assertRaises(ValueError, decode, data)

    @settings(max_examples=100, deadline=None, derandomize=True)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["a.example", "b.example"]),
                st.builds(ReportedPolicy, st.sampled_from(["sts", "tlsa"]), st.tuples(st.text(max_size=5))),
                st.none() | st.builds(SessionFailure, st.sampled_from(ResultType), st.text(max_size=5)),
            ),
            max_size=30,
        )
    )
    def test_any_counts(self, sessions: list[tuple[str, ReportedPolicy, SessionFailure | None]]) -> None:
        """No session is lost or made up, nor on the way through the file."""
        counts = DayCounts(1)
        for session in sessions:
            counts.note(*session)
        back = decode(counts.encode())
        self.assertEqual(back, counts)
        every = [one for domain in back.domains() for one in back.of(domain).values()]
        self.assertEqual(sum(one.successes + one.failed for one in every), len(sessions))
