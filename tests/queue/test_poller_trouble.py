"""The poller, and what can be wrong with a file, a folder, a disk."""

import errno
import fcntl
import os

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.queue.directory_entry import STALE
from tests.queue.disk import NOW, DirectFiles
from tests.queue.polling import Scene
from tests.queue.scheduling import deferred, sent


class Trouble(SynchronousTestCase):
    """What can be wrong with a file, a folder, a disk."""

    def setUp(self) -> None:
        """An empty queue."""
        self.scene = Scene(self.mktemp())

    def tearDown(self) -> None:
        """The service stops whatever has happened."""
        self.successResultOf(self.scene.stop())
        self.scene.spool.close()

    def good(self) -> None:
        """Show that the poller still works."""
        before = len(self.scene.agent.started)
        self.scene.put()
        self.scene.agent.answer = sent
        self.scene.poller.trigger(frozenset("W"))
        for _ in range(3):
            self.scene.clock.advance(5)
        self.assertEqual(len(self.scene.agent.started), before + 1)

    def warnings(self) -> list[str]:
        """The warnings in the log."""
        return [line for line in self.scene.log.lines if "warning" in line]

    def test_a_damaged_file_goes_to_corrupt(self) -> None:
        """With what is wrong, and where."""
        queue_id = self.scene.put()
        with open(self.scene.path("incoming", queue_id), "r+b") as file:
            file.truncate(120)
        self.scene.start()
        self.assertEqual(self.scene.queues, {queue_id: "corrupt"})
        words = f'saving corrupt file "{queue_id}" from queue "incoming" to queue "corrupt": '
        self.assertIn(words, self.warnings()[0])
        self.good()

    def test_a_file_that_an_agent_has_marked_goes_to_corrupt(self) -> None:
        """Mode 0400."""
        queue_id = self.scene.put()
        os.chmod(self.scene.path("incoming", queue_id), 0o400)
        self.scene.start()
        self.assertEqual(self.scene.queues, {queue_id: "corrupt"})

    def unfinished(self, age: float) -> str:
        """A file of this age, seconds, that has its name and was never completed."""
        queue_id = self.scene.put("incoming", NOW - age)
        os.chmod(self.scene.path("incoming", queue_id), 0o600)
        return queue_id

    def test_a_file_that_was_never_completed_is_removed_when_it_is_old(self) -> None:
        """So old that nobody can be writing it any more; a younger one is left alone."""
        old, young = self.unfinished(STALE + 1), self.unfinished(STALE - 1)
        path = self.scene.path("incoming", old)
        self.scene.start()
        self.assertEqual(self.scene.queues, {young: "incoming"})
        self.assertEqual(self.warnings(), [f"warning: removed {path}: it was never completed"])

    def test_what_was_never_completed_and_cannot_be_removed_holds_up_nobody(self) -> None:
        """The walk goes on, and the log says what is left."""
        queue_id = self.unfinished(STALE + 1)
        path = self.scene.path("incoming", queue_id)

        def read_only(_path: str) -> None:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

        self.patch(DirectFiles, "unlink", staticmethod(read_only))
        self.scene.start()
        self.assertEqual(self.scene.queues, {queue_id: "incoming"})
        self.assertEqual(
            self.warnings(),
            [f"warning: cannot remove {path}, which was never completed: {os.strerror(errno.EROFS)}"],
        )
        self.assertFalse(self.scene.poller.is_walking)

    def test_a_file_that_somebody_works_on_is_left_for_a_minute(self) -> None:
        """Another queue manager has not let go of it; then it is delivered, on time."""
        queue_id = self.scene.put()
        with open(self.scene.path("incoming", queue_id), "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            self.scene.start()
            self.assertEqual(self.scene.queues, {queue_id: "deferred"})
            self.assertIn(f"{queue_id}: skipped, still being delivered", self.scene.log.lines)
        self.scene.agent.answer = sent
        self.scene.clock.advance(59)
        self.assertEqual(self.scene.queues, {queue_id: "deferred"})
        self.scene.clock.advance(1)
        self.assertEqual(self.scene.queues, {})

    def test_a_file_that_vanishes_before_it_is_claimed_is_nothing(self) -> None:
        """The operator was faster."""
        queue_id = self.scene.put("deferred", NOW + 10)
        self.scene.start()
        self.scene.spool.delete(queue_id)
        self.scene.clock.advance(10)
        self.assertEqual((self.scene.agent.started, self.warnings()), ([], []))

    def test_a_file_that_vanishes_before_it_is_read_is_nothing(self) -> None:
        """Likewise."""
        queue_id = self.scene.put("deferred", NOW + 10)
        self.scene.start()
        entry = self.scene.spool.entry(queue_id, "deferred")
        self.patch(self.scene.spool, "entry", lambda queue_id, queue: entry)
        self.scene.spool.delete(queue_id)
        self.scene.clock.advance(10)
        self.assertEqual((self.scene.agent.started, self.warnings()), ([], []))

    def test_a_file_that_vanishes_before_it_is_moved_is_nothing(self) -> None:
        """What was read of it is forgotten."""
        queue_id = self.scene.put()

        def gone(_files: DirectFiles, old: str, _new: str) -> None:
            os.unlink(old)
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), old)

        self.patch(DirectFiles, "rename", gone)
        self.scene.start()
        self.assertEqual((self.scene.spool.tried, self.scene.spool.claimed), ([("incoming", queue_id)], []))
        self.assertEqual((self.scene.queues, self.warnings(), self.scene.spool._small_files.size), ({}, [], 0))

    def test_a_pipe_among_the_files_holds_up_nobody(self) -> None:
        """To open it would be to wait until somebody writes to it."""
        os.mkfifo(f"{self.scene.spool.directory}/incoming/ABCDEF", 0o700)
        self.scene.start()
        self.assertEqual((self.scene.queues, self.warnings()), ({"ABCDEF": "incoming"}, []))
        self.good()

    def test_a_file_that_cannot_be_read_now_is_left_for_a_minute(self) -> None:
        """With one warning a minute, however many there are."""
        queue_ids = {self.scene.put() for _ in range(5)}
        self.scene.spool.fails["take"] = OSError(errno.EIO, "Input/output error")
        self.scene.start()
        self.assertEqual(self.scene.queues, dict.fromkeys(queue_ids, "deferred"))
        self.assertEqual(
            self.warnings(),
            ["warning: cannot take a message from the queue: [Errno 5] Input/output error (EIO); it is tried again"],
        )
        self.scene.spool.fails.clear()
        self.scene.agent.answer = sent
        self.scene.clock.advance(60)
        self.assertEqual(self.scene.queues, {})

    def test_when_there_are_no_file_descriptors_left_the_poller_rests(self) -> None:
        """The next file would fare no better; after a few seconds it goes on."""
        for _ in range(5):
            self.scene.put()
        self.scene.spool.fails["take"] = OSError(errno.EMFILE, "Too many open files")
        self.scene.start()
        self.assertEqual(len(self.scene.spool.tried), 1)
        self.scene.poller.trigger(frozenset("W"))
        self.scene.clock.advance(4.9)
        self.assertEqual(len(self.scene.spool.tried), 1)
        self.scene.spool.fails.clear()
        self.scene.agent.answer = sent
        self.scene.clock.advance(0.1)
        self.assertEqual(len(self.scene.spool.tried), 5)

    def test_a_file_that_cannot_be_moved_stays_and_the_others_are_taken(self) -> None:
        """It is tried again by the next look, and what was read of it is forgotten."""
        queue_id = self.scene.put()
        rename = DirectFiles.rename

        def refused(files: DirectFiles, old: str, new: str) -> None:
            if queue_id in old:
                raise OSError(errno.EACCES, "Permission denied")
            rename(files, old, new)

        self.patch(DirectFiles, "rename", refused)
        self.scene.start()
        self.assertIn("Permission denied (EACCES)", self.warnings()[0])
        self.assertEqual((self.scene.queues, self.scene.spool._small_files.size), ({queue_id: "incoming"}, 0))
        self.good()
        self.patch(DirectFiles, "rename", rename)
        self.scene.clock.advance(300)
        self.assertEqual(self.scene.queues, {})

    def test_a_file_that_cannot_be_claimed_now_is_left_for_a_minute(self) -> None:
        """Where it can be moved elsewhere."""
        queue_id = self.scene.put()
        rename = DirectFiles.rename

        def refused(files: DirectFiles, old: str, new: str) -> None:
            if "/active/" in new:
                raise OSError(errno.EACCES, "Permission denied")
            rename(files, old, new)

        self.patch(DirectFiles, "rename", refused)
        self.scene.start()
        self.assertEqual(self.scene.queues, {queue_id: "deferred"})
        self.patch(DirectFiles, "rename", rename)
        self.scene.agent.answer = sent
        self.scene.clock.advance(60)
        self.assertEqual(self.scene.queues, {})

    def test_what_is_being_written_need_not_be_open_to_us(self) -> None:
        """It is left alone, without a word."""
        queue_id = self.scene.put()
        os.chmod(self.scene.path("incoming", queue_id), 0o600)

        def refused(*_arguments: object) -> int:
            raise PermissionError(errno.EACCES, "Permission denied")

        self.patch(DirectFiles, "open", refused)
        self.scene.start()
        self.assertEqual((self.scene.queues, self.warnings()), ({queue_id: "incoming"}, []))

    def test_a_file_that_is_stranded_in_active_is_found_again(self) -> None:
        """It was tried, and could not be moved: by the next look at deferred/ it is taken where it is."""
        queue_id = self.scene.put()
        self.scene.spool.fails["defer"] = OSError(errno.EIO, "Input/output error")
        self.scene.agent.answer = deferred
        self.scene.start()
        self.assertEqual(self.scene.queues, {queue_id: "active"})
        self.scene.spool.fails.clear()
        self.scene.agent.answer = sent
        self.scene.clock.advance(300)
        self.assertEqual(self.scene.queues, {})

    def test_active_messages_are_not_taken_for_stranded_ones(self) -> None:
        """They are being delivered."""
        self.scene.put()
        self.scene.start()
        self.scene.clock.advance(900)
        self.assertEqual(len(self.scene.agent.started), 1)
        self.scene.agent.finish(sent)

    def test_an_unforeseen_error_costs_one_message_a_minute(self) -> None:
        """The traceback is logged, the others are delivered."""
        queue_id = self.scene.put()
        self.scene.spool.fails["take"] = RuntimeError("bug")
        self.scene.start()
        self.assertEqual(self.scene.queues, {queue_id: "deferred"})
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.scene.spool.fails.clear()
        self.good()

    def test_a_folder_that_cannot_be_read_does_not_stop_the_other(self) -> None:
        """It is looked at again after a few seconds; one warning a minute."""
        self.scene.put("deferred", NOW - 1)
        self.scene.put()
        self.scene.spool.fails["scan deferred"] = OSError(errno.EACCES, "Permission denied")
        self.scene.agent.answer = sent
        self.scene.start()
        self.scene.clock.advance(5)
        self.scene.clock.advance(5)
        self.assertEqual([queue for queue, _ in self.scene.spool.claimed], ["incoming"])
        self.assertEqual(
            self.warnings(),
            ["warning: cannot look through the queue: [Errno 13] Permission denied (EACCES); it is tried again"],
        )
        self.scene.spool.fails.clear()
        self.scene.clock.advance(5)
        self.assertEqual([queue for queue, _ in self.scene.spool.claimed], ["incoming", "deferred"])
