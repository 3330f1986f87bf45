"""What is done to a queue directory before its first message is looked at."""

import os

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.queue.directory_entry import STALE
from tests.queue.disk import NOW, message, queue_file, spool, tree


class RecoveryTests(SynchronousTestCase):
    """Preparing a directory that another process has left."""

    def setUp(self) -> None:
        self.directory = os.path.abspath(self.mktemp())
        self._prepare()

    def _prepare(self) -> list[str]:
        made, _clock, lines = spool(self.directory)
        made.close()
        return lines

    def _file(self, path: str, mode: int = 0o700, mtime: float = NOW) -> None:
        path = f"{self.directory}/{path}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(queue_file(message()))
        os.chmod(path, mode)
        os.utime(path, (mtime, mtime))

    def test_active_goes_back(self) -> None:
        """What was being worked on is new mail again, due at once, whatever time it had been given last."""
        self._file("active/3A66D21A822", mtime=NOW + 4000)
        self._file("active/A/ABCDEF")
        self._prepare()
        self.assertEqual(tree(self.directory), {"incoming/3A66D21A822": 0o700, "incoming/ABCDEF": 0o700})
        self.assertEqual(os.stat(self.directory + "/incoming/3A66D21A822").st_mtime, NOW)

    def test_expiry_on_demand_survives(self) -> None:
        """What the operator wants expired still is."""
        self._file("active/ABCDEF", 0o710)
        self._prepare()
        self.assertEqual(tree(self.directory), {"incoming/ABCDEF": 0o710})

    def test_damaged(self) -> None:
        """What a delivery agent has marked as damaged is set aside, with a line in the log."""
        self._file("active/ABCDEF", 0o400)
        lines = self._prepare()
        self.assertEqual(tree(self.directory), {"corrupt/ABCDEF": 0o400})
        self.assertEqual(lines, ['warning: saving corrupt file "ABCDEF" from queue "active" to queue "corrupt"'])

    def test_requeued(self) -> None:
        """A queue file in maildrop/ is taken back as new mail; what is of another form, or unfinished, stays there."""
        self._file("maildrop/ABCDEF", mtime=NOW + 4000)
        self._file("maildrop/BBCDEF", 0o600)
        self._file("maildrop/CBCDEF")
        with open(self.directory + "/maildrop/CBCDEF", "wb") as file:
            file.write(b"T\x0a1800000000S\x00")
        made, _clock, lines = spool(self.directory)
        self.addCleanup(made.close)
        self.assertEqual(1, made.take_back_requeued())
        self.assertEqual(
            tree(self.directory), {"incoming/ABCDEF": 0o700, "maildrop/BBCDEF": 0o600, "maildrop/CBCDEF": 0o700}
        )
        self.assertEqual(os.stat(self.directory + "/incoming/ABCDEF").st_mtime, NOW)
        self.assertEqual(lines, ["ABCDEF: requeued"])

    def test_requeued_by_nobody(self) -> None:
        """A pipe in maildrop/ that is named like a queue file stays there, and holds up nobody."""
        os.mkfifo(f"{self.directory}/maildrop/ABCDEF", 0o700)
        self._file("maildrop/BBCDEF")
        made, _clock, _lines = spool(self.directory)
        self.addCleanup(made.close)
        self.assertEqual(1, made.take_back_requeued())
        self.assertEqual(tree(self.directory), {"incoming/BBCDEF": 0o700, "maildrop/ABCDEF": 0o700})

    def test_strange_names(self) -> None:
        """What is no queue file by its name stays where it is, with a line in the log."""
        self._file("active/core.123")
        lines = self._prepare()
        self.assertEqual(tree(self.directory), {"active/core.123": 0o700})
        self.assertIn("core.123 is left alone", lines[0])

    def test_stale(self) -> None:
        """What never got a queue id is removed when nobody can be writing it any more, and not before."""
        self._file("incoming/1234.98", 0o600, NOW - STALE - 1)
        self._file("incoming/1234.99", 0o600, NOW - STALE + 1)
        lines = self._prepare()
        self.assertEqual(tree(self.directory), {"incoming/1234.99": 0o600})
        path = os.path.join(self.directory, "incoming/1234.98")
        self.assertEqual(lines, [f"warning: removed {path}: it was never completed"])

    def test_files_with_a_queue_id_are_not_looked_at(self) -> None:
        """A hundred thousand of them would hold up the start; the poller comes by."""
        self._file("incoming/ABCDE1", 0o600, NOW - STALE - 1)
        self._file("incoming/ABCDE2", 0o700, NOW - 10 * STALE)
        before = tree(self.directory)
        self.assertEqual((self._prepare(), tree(self.directory)), ([], before))

    def test_the_rest(self) -> None:
        """All else stays as it is."""
        for path in ("deferred/A/ABCDE1", "hold/ABCDE2", "corrupt/ABCDE3", "incoming/ABCDE4"):
            self._file(path)
        before = tree(self.directory)
        self.assertEqual((self._prepare(), tree(self.directory)), ([], before))
