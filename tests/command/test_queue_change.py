"""``smtpclient queue hold``, ``release``, ``delete``, ``requeue``, ``expire`` and ``flush``."""

import os
import socket
import subprocess
from unittest.mock import patch

from twisted.trial.unittest import SkipTest

from smtpclient.command import queue_change
from smtpclient.mail.envelope import Recipient
from tests.command.queue_case import QueueCase
from tests.queue.disk import NOW, message

UNKNOWN = "12345ABCDE"


class ChangeCase(QueueCase):
    """Verbs, with somebody at the door of the queue where the test asks for it."""

    def listen(self) -> None:
        """Be the service that hears letters."""
        self.door = socket.socket(socket.AF_UNIX)
        self.addCleanup(self.door.close)
        self.door.bind(os.path.relpath(f"{self.path}/public/qmgr"))
        self.door.listen()
        self.door.setblocking(False)

    def heard(self) -> str:
        """The letters of the one who rang; nothing when nobody did."""
        try:
            caller, _ = self.door.accept()
        except BlockingIOError:
            return ""
        with caller:
            return caller.recv(100).decode()


class Verbs(ChangeCase):
    """What each verb does to one message."""

    def test_hold(self) -> None:
        """hold keeps a message in its own queue, and says so."""
        queue_id = self.queue(where="deferred")
        self.assertEqual(self.perform("hold", queue_id), 0)
        self.assertEqual(self.where(), {queue_id: "hold"})
        self.assertEqual(self.stdout.getvalue(), f"{queue_id}: placed on hold\n")

    def test_release(self) -> None:
        """release lets it go on at once, and wakes the service."""
        self.listen()
        queue_id = self.queue(where="hold")
        self.assertEqual(self.perform("release", queue_id), 0)
        self.assertEqual(self.where(), {queue_id: "incoming"})
        self.assertEqual(self.heard(), "W")

    def test_requeue(self) -> None:
        """requeue has a deferred message looked at anew, at once."""
        self.listen()
        queue_id = self.queue(where="deferred")
        self.assertEqual(self.perform("requeue", queue_id), 0)
        self.assertEqual(self.where(), {queue_id: "incoming"})
        self.assertEqual([entry.due for entry in self.spool.scan("incoming")], [NOW])
        self.assertEqual(self.heard(), "W")

    def test_expire(self) -> None:
        """expire marks a message to be returned at its next attempt and leaves it where it is."""
        queue_id = self.queue(where="deferred")
        self.assertEqual(self.perform("expire", queue_id), 0)
        self.assertEqual([entry.expire_now for entry in self.spool.scan("deferred")], [True])
        self.assertEqual(self.stdout.getvalue(), f"{queue_id}: expired\n")

    def test_delete(self) -> None:
        """delete removes a message with all that was recorded of it."""
        queue_id = self.queue(where="deferred")
        self.record(queue_id, Recipient("b@dest.example"))
        self.record(queue_id, Recipient("c@dest.example"), kind="bounce")
        self.assertEqual(self.perform("delete", queue_id), 0)
        self.assertEqual((self.where(), self.journals(queue_id)), ({}, []))
        self.assertEqual(self.stdout.getvalue(), f"{queue_id}: removed\n")

    def test_change_is_logged(self) -> None:
        """What was done stands in the service's log file, in postsuper's words."""
        open(self.log, "w").close()
        queue_id = self.queue()
        self.perform("delete", queue_id, maillog_file=self.log)
        with open(self.log) as log:
            self.assertRegex(log.read(), rf"client smtpclient/postsuper\[\d+\]: {queue_id}: removed\n$")

    def test_no_log_file_is_made(self) -> None:
        """Where the service has not begun to write a log, none is made in the operator's name."""
        self.perform("delete", self.queue(), maillog_file=self.log)
        self.assertFalse(os.path.exists(self.log))


class Named(ChangeCase):
    """Which messages are meant."""

    def test_several(self) -> None:
        """Several ids are worked on one after the other."""
        first, second, third = self.queue(), self.queue(), self.queue()
        self.assertEqual(self.perform("hold", first, third), 0)
        self.assertEqual(self.where(), {first: "hold", second: "incoming", third: "hold"})

    def test_unknown_is_named_and_the_others_are_done(self) -> None:
        """An id that is nowhere is named with what to do, the others are done, and the exit code is 1."""
        queue_id = self.queue()
        self.assertEqual(self.perform("hold", UNKNOWN, queue_id), 1)
        self.assertEqual(self.where(), {queue_id: "hold"})
        self.assertEqual(
            self.stderr.getvalue(),
            f"smtpclient queue hold: {UNKNOWN}: no such message in the queue and not on hold; "
            "smtpclient queue list shows what there is\n",
        )

    def test_what_is_no_id_stops_before_anything_is_done(self) -> None:
        """A word that can be no queue id is a wrong command line, and nothing is done."""
        queue_id = self.queue()
        self.assertEqual(self.perform("delete", queue_id, "../../etc/passwd"), os.EX_USAGE)
        self.assertEqual(self.where(), {queue_id: "incoming"})
        self.assertIn("'../../etc/passwd' is no queue id", self.stderr.getvalue())

    def test_all(self) -> None:
        """ALL means every message that the verb makes sense for."""
        moving = [self.queue(where=name) for name in ("incoming", "active", "deferred")]
        held = self.queue(where="hold")
        self.assertEqual(self.perform("hold", "ALL"), 0)
        self.assertEqual(self.where(), dict.fromkeys([*moving, held], "hold"))
        self.assertNotIn(held, self.stdout.getvalue())

    def test_all_of_one_queue(self) -> None:
        """ALL and a queue's name means that queue's messages."""
        kept, deleted = self.queue(), self.queue(where="deferred")
        self.assertEqual(self.perform("delete", "ALL", "deferred"), 0)
        self.assertEqual(self.where(), {kept: "incoming"})
        self.assertEqual(self.stdout.getvalue(), f"{deleted}: removed\n")

    def test_all_of_nothing(self) -> None:
        """ALL of an empty queue is done when it is begun."""
        self.assertEqual(self.perform("delete", "ALL"), 0)
        self.assertEqual(self.stderr.getvalue(), "")

    def test_all_of_a_queue_that_there_is_not(self) -> None:
        """A queue that the verb does not know is refused with those that it does."""
        queue_id = self.queue()
        self.assertEqual(self.perform("release", "ALL", "deferred"), os.EX_USAGE)
        self.assertEqual(
            self.stderr.getvalue(), "smtpclient queue release: 'deferred': ALL may be followed by one of hold\n"
        )
        self.assertEqual(self.where(), {queue_id: "incoming"})

    def test_message_that_goes_while_all_are_worked_on(self) -> None:
        """With ALL, a message that has gone meanwhile is no mistake of anybody's."""
        directory = self.directory()
        going, staying = self.queue(), self.queue()
        found = list(directory.entries("incoming"))
        self.spool.delete(going)
        with patch.object(directory, "entries", lambda *queues: found):
            self.assertTrue(queue_change.change(directory, "hold", ["ALL"], self.stdout, self.stderr))
        self.assertEqual(self.where(), {staying: "hold"})
        self.assertEqual(self.stderr.getvalue(), "")


class Flush(ChangeCase):
    """``flush``: try now."""

    def test_everything(self) -> None:
        """Without a name the service is told to try everything, dead destinations too."""
        self.listen()
        queue_id = self.queue(where="deferred")
        self.assertEqual(self.perform("flush"), 0)
        self.assertEqual(self.heard(), "FADI")
        self.assertEqual(self.where(), {queue_id: "deferred"})

    def test_everything_without_a_service(self) -> None:
        """Where no service runs, that is said, with the exit code for it."""
        self.assertEqual(self.perform("flush"), os.EX_UNAVAILABLE)
        self.assertEqual(
            self.stderr.getvalue(),
            f"smtpclient queue flush: no service runs in {self.path}; it tries all messages when it starts\n",
        )

    def test_one_message(self) -> None:
        """A deferred message that is named is due at once, also when its destination was dead."""
        self.listen()
        first, second = self.queue(where="deferred"), self.queue(where="deferred")
        self.assertEqual(self.perform("flush", first), 0)
        self.assertEqual(self.where(), {first: "incoming", second: "deferred"})
        self.assertEqual(self.heard(), "FW")
        self.assertEqual(self.stdout.getvalue(), f"{first}: to be tried now\n")

    def test_one_message_without_a_service(self) -> None:
        """Without a service the message is made due, and it is said that somebody has to start one."""
        queue_id = self.queue(where="deferred")
        self.assertEqual(self.perform("flush", queue_id), 0)
        self.assertEqual(self.where(), {queue_id: "incoming"})
        self.assertIn(f"no service runs in {self.path}", self.stderr.getvalue())

    def test_active_message(self) -> None:
        """A message that is being delivered is left to that."""
        self.listen()
        queue_id = self.queue(where="active")
        self.assertEqual(self.perform("flush", queue_id), 0)
        self.assertEqual(self.where(), {queue_id: "active"})

    def test_message_on_hold(self) -> None:
        """A message on hold stays there; it is said how to let it go."""
        self.listen()
        queue_id = self.queue(where="hold")
        self.assertEqual(self.perform("flush", queue_id), 1)
        self.assertEqual(self.where(), {queue_id: "hold"})
        self.assertIn("smtpclient queue release", self.stderr.getvalue())

    def test_unknown_message(self) -> None:
        """A message that is nowhere is named."""
        self.listen()
        self.assertEqual(self.perform("flush", UNKNOWN), 1)
        self.assertIn(f"{UNKNOWN}: no such message in the queue", self.stderr.getvalue())

    def test_site(self) -> None:
        """With --site the deferred messages with a recipient in that domain are due, whatever its letters' case."""
        self.listen()
        there = self.queue(message(recipients=(Recipient("x@y.example"), Recipient("b@Dest.Example"))), "deferred")
        elsewhere = self.queue(message(recipients=(Recipient("x@sub.dest.example"),)), "deferred")
        self.assertEqual(self.perform("flush", "--site", "DEST.example."), 0)
        self.assertEqual(self.where(), {there: "incoming", elsewhere: "deferred"})
        self.assertEqual(self.heard(), "FW")

    def test_site_without_mail(self) -> None:
        """A site that nothing waits for is no mistake."""
        self.listen()
        self.assertEqual(self.perform("flush", "--site", "dest.example"), 0)
        self.assertEqual((self.stdout.getvalue(), self.stderr.getvalue()), ("", ""))

    def test_site_with_a_corrupt_file(self) -> None:
        """A file that is no message is named, and keeps nobody else from being tried."""
        self.listen()
        broken, sound = self.queue(where="deferred"), self.queue(where="deferred")
        os.truncate(self.directory().spool._folders.path("deferred", broken), 30)
        self.assertEqual(self.perform("flush", "--site", "dest.example"), 0)
        self.assertEqual(self.where()[sound], "incoming")
        self.assertIn(broken, self.stderr.getvalue())


class Errors(ChangeCase):
    """What stands in the way, in words and exit codes."""

    def test_no_queue_directory(self) -> None:
        """A directory that is none is a mistake in the configuration, and nothing is made."""
        elsewhere = os.path.abspath(self.mktemp())
        self.path = elsewhere
        self.assertEqual(self.perform("list"), os.EX_CONFIG)
        self.assertIn(f"{elsewhere} is no queue directory; start the service once", self.stderr.getvalue())
        self.assertFalse(os.path.exists(elsewhere))

    def failing(self, error: OSError) -> int:
        """The exit code where a message cannot be moved."""
        queue_id = self.queue()
        with patch.object(self.files, "rename", side_effect=error):
            return self.perform("hold", queue_id)

    def test_not_allowed(self) -> None:
        """Who may not do it is told who may."""
        error = PermissionError(13, "Permission denied", "/spool/incoming/x")
        self.assertEqual(self.failing(error), os.EX_NOPERM)
        self.assertEqual(
            self.stderr.getvalue(),
            "smtpclient queue hold: /spool/incoming/x: Permission denied; be root, or the directory's owner\n",
        )

    def test_disk_error(self) -> None:
        """An error of the disk is told with the file."""
        self.assertEqual(self.failing(OSError(5, "Input/output error", "/spool/incoming/x")), os.EX_IOERR)
        self.assertEqual(self.stderr.getvalue(), "smtpclient queue hold: /spool/incoming/x: Input/output error\n")

    def test_directory_that_may_not_be_looked_into(self) -> None:
        """A directory that keeps the caller out is not said to be missing."""
        with patch.object(self.files, "stat", side_effect=PermissionError(13, "Permission denied", self.path)):
            self.assertEqual(self.perform("list"), os.EX_NOPERM)

    def test_folders_that_root_makes_are_the_services(self) -> None:
        """A sub-folder that a move by root needs belongs to the service, which could not use it otherwise."""
        if os.geteuid() != 0:
            raise SkipTest("only root can give files away")
        queue_id = self.queue()
        subprocess.run(["chown", "-R", "12345:23456", self.path], check=True)
        self.assertEqual(self.perform("hold", queue_id, hash_queue_names="hold"), 0)
        folder = os.stat(f"{self.path}/hold/{queue_id[0]}")
        self.assertEqual((folder.st_uid, folder.st_gid), (12345, 23456))
