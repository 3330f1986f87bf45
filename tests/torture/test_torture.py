"""Real processes, killed and stopped at some places; ``make torture`` does it at all of them."""

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.service.installed import ROOT, environment


class RealProcesses(SynchronousTestCase):
    """Whatever happens to the process, every recipient is accounted for."""

    def perform(self, *words: str) -> tuple[int, str]:
        """Run a module in a process of its own, where no reactor is; its exit code and what it printed."""
        command = [sys.executable, "-m", *words]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=1200, env=environment(), cwd=ROOT, check=False
        )
        return done.returncode, done.stdout + done.stderr

    def test_killed(self) -> None:
        """
        Killed at operations from the first to the last of a mixed workload: what was taken is delivered or reported
        after a restart, and nobody is served twice but those who were being served.
        """
        code, words = self.perform("tests.torture.kills", "--first", "5", "--step", "97", "--seconds", "15")
        self.assertEqual(code, 0, words)
        self.assertRegex(words, r"\nSIGKILL +[1-9]\d* plays +0 with violations")

    def test_a_mark_before_the_record_is_found(self) -> None:
        """A service that marks a failed recipient before it has recorded it loses one, and is caught."""
        self.assert_found("mark-before-record", "open bounce", 1)

    def test_a_record_removed_before_the_report_is_found(self) -> None:
        """A service that forgets who has failed before the report is on disk loses one, and is caught."""
        self.assert_found("forget-before-report", "unlink bounce", 2)

    def assert_found(self, plant: str, after: str, operation: int) -> None:
        """With a fault planted, a kill at this operation is a loss; without, the same kill is none."""
        words = ("tests.torture.kills", "--after", after, "--first", str(operation), "--plays", "1")
        code, said = self.perform(*words)
        self.assertEqual((code, "lost:" in said), (0, False), said)
        code, said = self.perform(*words, "--plant", plant)
        self.assertEqual((code, "lost: bounce" in said), (1, True), said)

    def test_stopped_beyond_every_limit(self) -> None:
        """Stopped for longer than the service waits for anything: what servers have said meanwhile counts."""
        code, words = self.perform("tests.torture.stops", "--step", "24", "--minutes", "0.15", "--hasty")
        self.assertEqual(code, 0, words)
        self.assertRegex(words, r"\nSIGSTOP for 9 s, past all limits +[1-9]\d* plays +0 with violations")

    def test_stopped(self) -> None:
        """Stopped in the middle of dialogues until servers hang up: everybody is served once, without a restart."""
        code, words = self.perform("tests.torture.stops", "--step", "20", "--minutes", "0.05")
        self.assertEqual(code, 0, words)
        self.assertRegex(words, r"\nSIGSTOP for 3 s +[1-9]\d* plays +0 with violations")
