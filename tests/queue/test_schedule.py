"""When a message is tried again, warned of, given up."""

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.parameters import Parameters
from smtpclient.queue.schedule import ScheduleSettings, expired, next_attempt, warning_due

CREATED = 1_800_000_000.0


class NextAttempt(SynchronousTestCase):
    """The pause is the age, within bounds."""

    def test_the_pause_is_the_age_between_the_bounds(self) -> None:
        """A message waits as long again as it is old, at least the lower bound, at most the upper."""
        pauses = {
            age: next_attempt(CREATED + age, CREATED, 300.0, 4000.0) - (CREATED + age)
            for age in (0.0, 299.0, 300.0, 1000.0, 4000.0, 86400.0)
        }
        self.assertEqual(
            pauses, {0.0: 300.0, 299.0: 300.0, 300.0: 300.0, 1000.0: 1000.0, 4000.0: 4000.0, 86400.0: 4000.0}
        )

    def test_attempts_double_the_age(self) -> None:
        """From attempt to attempt the age doubles, until the pause reaches its upper bound."""
        now, ages = CREATED, []
        for _ in range(7):
            now = next_attempt(now, CREATED, 300.0, 4000.0)
            ages.append(now - CREATED)
        self.assertEqual(ages, [300.0, 600.0, 1200.0, 2400.0, 4800.0, 8800.0, 12800.0])

    def test_a_clock_that_was_set_back_costs_one_lower_bound(self) -> None:
        """A message from the future waits the lower bound, not until its future."""
        self.assertEqual(next_attempt(CREATED - 1e6, CREATED, 300.0, 4000.0), CREATED - 1e6 + 300.0)

    def test_the_lower_bound_wins_over_a_smaller_upper_one(self) -> None:
        """Bounds that contradict each other give the lower one."""
        self.assertEqual(next_attempt(CREATED, CREATED, 300.0, 10.0), CREATED + 300.0)


class Lifetime(SynchronousTestCase):
    """When a message is too old."""

    def test_a_message_expires_when_it_is_as_old_as_its_lifetime(self) -> None:
        """Not a moment before."""
        self.assertEqual(
            [expired(CREATED + age, CREATED, 100.0) for age in (0.0, 99.9, 100.0, 101.0)], [False, False, True, True]
        )

    def test_a_lifetime_of_nothing_is_one_attempt(self) -> None:
        """maximal_queue_lifetime = 0: the first attempt is the last."""
        self.assertTrue(expired(CREATED, CREATED, 0.0))

    def test_mail_from_the_null_sender_has_a_lifetime_of_its_own(self) -> None:
        """bounce_queue_lifetime is for bounces, maximal_queue_lifetime for the rest."""
        settings = ScheduleSettings(maximal_queue_lifetime=5.0, bounce_queue_lifetime=2.0)
        self.assertEqual((settings.lifetime("a@b.example"), settings.lifetime("")), (5.0, 2.0))

    def test_settings_come_from_the_parameters_of_the_same_names(self) -> None:
        """Each of the four is read under its own name."""
        settings = ScheduleSettings.from_parameters(
            Parameters.from_values(
                {
                    "minimal_backoff_time": "1s",
                    "maximal_backoff_time": "2s",
                    "maximal_queue_lifetime": "3d",
                    "bounce_queue_lifetime": "4d",
                }
            )
        )
        self.assertEqual(settings, ScheduleSettings(1.0, 2.0, 3 * 86400.0, 4 * 86400.0))

    def test_defaults_are_those_of_the_parameters(self) -> None:
        """Without a configuration the settings are what an empty one gives."""
        self.assertEqual(ScheduleSettings.from_parameters(Parameters.from_values()), ScheduleSettings())


class Warning(SynchronousTestCase):
    """When the sender is told of a delay."""

    def test_a_warning_is_due_a_second_before_its_time(self) -> None:
        """The queue file holds whole seconds, so a second early is on time."""
        self.assertEqual([warning_due(now, 1000.0) for now in (0.0, 998.9, 999.0, 1001.0)], [False, False, True, True])

    def test_no_time_is_never(self) -> None:
        """Zero says that no warning is wanted, or that it was sent."""
        self.assertFalse(warning_due(CREATED, 0.0))
