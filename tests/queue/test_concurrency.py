"""The window of one destination."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.queue.concurrency import ConcurrencyLimits, Feedback, Per, Window

NOTHING = Feedback(0.0)


def sizes(window: Window, feedback: str) -> list[int]:
    """The sizes of a window after each success (``+``) or failure (``-``) of a full window; 0 is dead."""
    seen = []
    for sign in feedback:
        window = window.succeeded(window.size) if sign == "+" else window.failed()
        seen.append(0 if window.dead else window.size)
    return seen


class TheFeedback(SynchronousTestCase):
    """What an operator may write for a feedback."""

    def test_every_form_is_read(self) -> None:
        """A number, a fraction, a number over the concurrency or its square root; blanks do not matter."""
        texts = ("1", "0", "0.5", " 1 / 4 ", "1/concurrency", "0.5 / sqrt_concurrency")
        self.assertEqual(
            {text: Feedback.parse(text) for text in texts},
            {
                "1": Feedback(1.0),
                "0": Feedback(0.0),
                "0.5": Feedback(0.5),
                " 1 / 4 ": Feedback(0.25),
                "1/concurrency": Feedback(1.0, Per.CONCURRENCY),
                "0.5 / sqrt_concurrency": Feedback(0.5, Per.SQRT_CONCURRENCY),
            },
        )

    def test_what_makes_no_sense_is_refused_in_words(self) -> None:
        """The complaint quotes the text and says what was expected."""
        for text in ("", "x", "1/", "/concurrency", "1/0", "1/window", "-1", "1.5", "3/2", "nan", "2/concurrency"):
            error = self.assertRaises(ValueError, Feedback.parse, text)
            self.assertIn(f"{text!r}: expected a number from 0 to 1", str(error))

    def test_feedback_depends_on_the_window_where_it_says_so(self) -> None:
        """At a window of 16: the whole, a sixteenth, a quarter."""
        self.assertEqual(
            [Feedback(1.0, per).at(16) for per in (Per.DELIVERY, Per.CONCURRENCY, Per.SQRT_CONCURRENCY)],
            [1.0, 1 / 16, 1 / 4],
        )


class Growing(SynchronousTestCase):
    """What success does."""

    def test_a_window_begins_at_the_initial_concurrency(self) -> None:
        """But not above the limit, and never below one."""
        cases = {(5, 20): 5, (5, 2): 2, (5, 0): 5, (5, 1): 1}
        self.assertEqual({case: ConcurrencyLimits(*case).window().size for case in cases}, cases)

    def test_whole_feedback_grows_by_one_for_each_success_up_to_the_limit(self) -> None:
        """The default: fast, and then it stands still."""
        self.assertEqual(sizes(ConcurrencyLimits(5, 8).window(), "+++++"), [6, 7, 8, 8, 8])

    def test_feedback_by_concurrency_grows_by_one_for_each_cohort(self) -> None:
        """At a window of 3 it takes three successes, at 4 four more: the step comes at the end of the cycle."""
        limits = ConcurrencyLimits(3, 20, positive=Feedback(1.0, Per.CONCURRENCY))
        self.assertEqual(sizes(limits.window(), "+++++++"), [3, 3, 4, 4, 4, 4, 5])

    def test_a_window_that_is_hardly_used_does_not_grow(self) -> None:
        """One delivery at a time says nothing about six."""
        window = ConcurrencyLimits(5, 20).window()
        for _ in range(10):
            window = window.succeeded(1)
        self.assertEqual(window.size, 6)

    def test_without_a_limit_it_grows_on(self) -> None:
        """A limit of zero is none."""
        self.assertEqual(sizes(ConcurrencyLimits(5, 0).window(), "+" * 40)[-1], 45)

    def test_at_the_limit_nothing_new_is_made(self) -> None:
        """The usual case costs nothing: the same value."""
        window = ConcurrencyLimits(5, 5).window()
        self.assertIs(window.succeeded(5), window)


class Shrinking(SynchronousTestCase):
    """What failure does."""

    def test_one_failure_does_not_kill_a_window_of_five(self) -> None:
        """Each failure counts as one part of its window: 1/5, 1/4, 1/3, 1/2 make the first whole cohort."""
        self.assertEqual(sizes(ConcurrencyLimits(5, 20).window(), "----"), [4, 3, 2, 0])

    def test_one_failure_kills_a_window_of_one(self) -> None:
        """There it is a whole cohort."""
        self.assertEqual(sizes(ConcurrencyLimits(1, 20).window(), "-"), [0])

    def test_without_negative_feedback_a_whole_cohort_must_fail(self) -> None:
        """Six sixths are one, also in floating point."""
        self.assertEqual(sizes(ConcurrencyLimits(6, 6, negative=NOTHING).window(), "------"), [6, 6, 6, 6, 6, 0])

    def test_success_forgets_failed_cohorts(self) -> None:
        """Three failures, a success, three failures: alive."""
        limits = ConcurrencyLimits(5, 5, negative=NOTHING)
        self.assertEqual(sizes(limits.window(), "----+----"), [5] * 9)

    def test_a_cohort_limit_of_zero_never_kills(self) -> None:
        """The window shrinks to one and stays there."""
        limits = ConcurrencyLimits(3, 20, failed_cohort_limit=0)
        self.assertEqual(sizes(limits.window(), "-----"), [2, 1, 1, 1, 1])

    def test_negative_feedback_by_concurrency_acts_at_once_and_then_per_cohort(self) -> None:
        """The first failure takes one off; the next is due when a window's worth of them has come."""
        limits = ConcurrencyLimits(5, 20, negative=Feedback(1.0, Per.CONCURRENCY), failed_cohort_limit=0)
        self.assertEqual(sizes(limits.window(), "------"), [4, 4, 4, 4, 3, 3])

    def test_success_and_failure_cancel_each_other_out(self) -> None:
        """A destination that fails every second time keeps its window."""
        limits = ConcurrencyLimits(5, 20, failed_cohort_limit=0)
        self.assertEqual(sizes(limits.window(), "-+" * 4), [4, 5] * 4)


class Death(SynchronousTestCase):
    """What is left of a dead destination."""

    def setUp(self) -> None:
        """One that has died of one failure."""
        self.limits = ConcurrencyLimits(1, 20)
        self.dead = self.limits.window().failed()

    def test_more_failures_change_nothing(self) -> None:
        """Those that were under way when it died."""
        self.assertIs(self.dead.failed(), self.dead)

    def test_a_delivery_that_gets_through_revives_it(self) -> None:
        """With the window it began with."""
        self.assertEqual(self.dead.succeeded(1), self.limits.window())


class Invariants(SynchronousTestCase):
    """Whatever happens."""

    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(
        initial=st.integers(1, 30),
        limit=st.integers(0, 30),
        positive=st.sampled_from(["0", "1", "0.3", "1/concurrency", "1/sqrt_concurrency"]),
        negative=st.sampled_from(["0", "1", "0.3", "1/concurrency", "1/sqrt_concurrency"]),
        cohorts=st.integers(0, 3),
        history=st.text("+-", max_size=80),
    )
    def test_a_window_stays_between_one_and_the_limit(
        self, initial: int, limit: int, positive: str, negative: str, cohorts: int, history: str
    ) -> None:
        """And what is accumulated never makes more than one step."""
        window = ConcurrencyLimits(initial, limit, Feedback.parse(positive), Feedback.parse(negative), cohorts).window()
        for sign in history:
            before = window
            window = window.succeeded(window.size) if sign == "+" else window.failed()
            self.assertGreaterEqual(window.size, 1)
            self.assertTrue(not limit or window.size <= limit)
            self.assertTrue(0 <= window.success <= 1 and 0 <= window.failure + 1e-6 <= 1 + 2e-6, window)
            self.assertTrue(before.dead or abs(window.size - before.size) <= 1)
