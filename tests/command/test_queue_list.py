"""``smtpclient queue list``."""

import json
import os
import shutil
import subprocess
import tempfile
import time
from unittest.mock import patch

from smtpclient.command.queue_list import list_queue
from smtpclient.mail.envelope import Recipient
from tests.command.queue_case import QueueCase
from tests.queue.disk import NOW, message, run

ARRIVAL = time.asctime(time.localtime(NOW))
POSTQUEUE = shutil.which("postqueue")
POSTFIX_MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {spool}
data_directory = {spool}/data
mail_owner = postfix
setgid_group = postdrop
enable_long_queue_ids = {long_ids}
"""


class Table(QueueCase):
    """The table for people."""

    def test_empty_queue(self) -> None:
        """An empty queue is said to be empty."""
        self.assertEqual(self.perform("list"), 0)
        self.assertEqual(self.stdout.getvalue(), "Mail queue is empty\n")

    def test_one_message(self) -> None:
        """A message is listed with id, size, arrival, sender and recipient, and the total below."""
        queue_id = self.queue(message(b"Subject: x\n\n" + b"x" * 2000 + b"\n"))
        self.assertEqual(self.perform("list"), 0)
        size = self.directory().look("incoming", queue_id).envelope.size
        self.assertEqual(
            self.stdout.getvalue().splitlines(),
            [
                "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------",
                f"{queue_id:11} {size:7} {ARRIVAL[:19]}  a@sender.example",
                " " * 41 + "b@dest.example",
                "",
                "-- 1 Kbytes in 1 Request.",
            ],
        )

    def test_marks(self) -> None:
        """Behind an id stands * when active, ! on hold, # when it will be returned at its next attempt."""
        active, held, expired, both = (self.queue(where=name) for name in ("active", "hold", "deferred", "hold"))
        self.spool.expire(expired)
        self.spool.expire(both)
        self.perform("list")
        listed = {line.split()[0] for line in self.stdout.getvalue().splitlines() if "a@sender" in line}
        self.assertEqual(listed, {f"{active}*", f"{held}!", f"{expired}#", f"{both}!#"})

    def test_reasons_stand_above_recipients(self) -> None:
        """The recorded reason stands above each recipient, set to the right; who has none is said to have none."""
        waiting, unknown = Recipient("b@dest.example"), Recipient("c@dest.example")
        queue_id = self.queue(message(recipients=(waiting, unknown)), "deferred")
        self.record(queue_id, waiting, reason="host mx.dest.example[192.0.2.1] said: 450 busy")
        self.perform("list")
        self.assertEqual(
            self.stdout.getvalue().splitlines()[2:6],
            [
                "(host mx.dest.example[192.0.2.1] said: 450 busy)".rjust(78),
                " " * 41 + "b@dest.example",
                "(reason unavailable)".rjust(78),
                " " * 41 + "c@dest.example",
            ],
        )

    def test_null_sender_is_mailer_daemon(self) -> None:
        """The null sender is shown as MAILER-DAEMON, as everywhere."""
        self.queue(message(sender=""))
        self.perform("list")
        self.assertIn("  MAILER-DAEMON\n", self.stdout.getvalue())

    def test_finished_recipients_are_not_shown(self) -> None:
        """Who has the message already is not listed."""
        queue_id = self.queue(message(recipients=(Recipient("done@x.example"), Recipient("left@x.example"))), "active")
        first = self.directory().look("active", queue_id).recipients[0]
        self.spool.mark_done(queue_id, [first.offset])
        self.perform("list")
        self.assertNotIn("done@x.example", self.stdout.getvalue())
        self.assertIn("left@x.example", self.stdout.getvalue())

    def test_nothing_can_break_out_of_a_line(self) -> None:
        """Control characters in addresses and reasons become question marks."""
        recipient = Recipient("b\x1b[2J@dest.example")
        queue_id = self.queue(message(recipients=(recipient,)), "deferred")
        self.record(queue_id, recipient, reason="host said: \x1b[31m")
        self.perform("list")
        self.assertNotIn("\x1b", self.stdout.getvalue())
        self.assertIn('"b?[2J"@dest.example', self.stdout.getvalue())

    def test_locked_messages_are_listed(self) -> None:
        """A message that somebody has locked is listed, for looking takes no lock."""
        queue_id = self.queue(where="active")
        envelope = self.directory().look("active", queue_id).envelope
        reader = self.spool.content(envelope).open()
        self.addCleanup(reader.close)
        self.assertEqual(self.perform("list"), 0)
        self.assertIn(queue_id, self.stdout.getvalue())

    def test_unfinished_files_are_not_listed(self) -> None:
        """A file that is still being written is nobody's business."""
        queue_id = self.queue()
        os.chmod(f"{self.path}/incoming/{queue_id}", 0o600)
        self.perform("list")
        self.assertEqual(self.stdout.getvalue(), "Mail queue is empty\n")

    def test_corrupt_file_is_named_and_the_rest_listed(self) -> None:
        """A file that is no message is named on standard error, and does not hide the others."""
        broken, sound = self.queue(), self.queue()
        os.truncate(f"{self.path}/incoming/{broken}", 30)
        self.assertEqual(self.perform("list"), 0)
        self.assertIn(f"incoming/{broken}", self.stderr.getvalue())
        self.assertIn(sound, self.stdout.getvalue())
        self.assertIn("in 1 Request.", self.stdout.getvalue())

    def test_vanished_message_is_left_out(self) -> None:
        """A message that goes while the queue is read is left out."""
        vanishing, staying = self.queue(), self.queue()
        directory = self.directory()
        found = list(directory.entries("incoming"))
        self.spool.delete(vanishing)
        with patch.object(directory, "entries", lambda *queues: found):
            run(list_queue(directory, self.stdout, self.stderr, as_json=True))
        self.assertEqual(self.stderr.getvalue(), "")
        self.assertEqual(json.loads(self.stdout.getvalue())["queue_id"], staying)


class Json(QueueCase):
    """The objects for programs."""

    def listed(self) -> list[object]:
        """What the command prints, decoded."""
        self.assertEqual(self.perform("list", "--json"), 0)
        return [json.loads(line) for line in self.stdout.getvalue().splitlines()]

    def test_empty_queue(self) -> None:
        """An empty queue is no object, not even a line."""
        self.assertEqual(self.perform("list", "--json"), 0)
        self.assertEqual(self.stdout.getvalue(), "")

    def test_members(self) -> None:
        """One object a line with the members that postqueue -j documents; a reason only where there is one."""
        recipients = (Recipient("b@dest.example"), Recipient("ü@dest.example"))
        queue_id = self.queue(message(recipients=recipients), "deferred")
        self.record(queue_id, recipients[0], reason="host said: 450 busy")
        self.assertEqual(
            self.listed(),
            [
                {
                    "queue_name": "deferred",
                    "queue_id": queue_id,
                    "arrival_time": int(NOW),
                    "message_size": self.directory().look("deferred", queue_id).envelope.size,
                    "forced_expire": False,
                    "sender": "a@sender.example",
                    "recipients": [
                        {"address": "b@dest.example", "delay_reason": "host said: 450 busy"},
                        {"address": "ü@dest.example"},
                    ],
                }
            ],
        )

    def test_forced_expiry(self) -> None:
        """A message that the operator has given up says so."""
        self.spool.expire(self.queue())
        (listed,) = self.listed()
        assert isinstance(listed, dict)
        self.assertIs(listed["forced_expire"], True)


class BesidePostqueue(QueueCase):
    """What postqueue(1) prints of the same directory, to the character."""

    if POSTQUEUE is None:
        skip = "postqueue is not installed"
    elif os.getuid() != 0:
        skip = "postqueue shows the queue of a system that is not running to root only"

    def setUp(self) -> None:
        super().setUp()
        recipients = tuple(
            Recipient(address) for address in ("b@dest.example", "two words@dest.example", "ü@x.example")
        )
        for where in ("incoming", "active", "deferred", "hold"):
            queue_id = self.queue(message(recipients=recipients), where)
        self.spool.expire(queue_id)
        self.queue(message(sender=""), "hold")
        late = self.queue(message(recipients=recipients, content=b"Subject: y\n\n" + b"y\n" * 5000), "deferred")
        self.record(late, recipients[0])
        self.record(
            late, recipients[1], reason="a reason that is long enough to need more than one line of a terminal " * 2
        )

    def new_path(self) -> str:
        """Postfix's user must be able to reach it, so it cannot lie where other tests have theirs."""
        above = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, above)
        os.chmod(above, 0o755)
        return f"{above}/spool"

    def postqueue(self, option: str, long_ids: str) -> str:
        """What postqueue prints, with a configuration that leads to the directory."""
        configuration = os.path.dirname(self.path)
        os.makedirs(f"{self.path}/data", exist_ok=True)
        with open(f"{configuration}/main.cf", "w", encoding="ascii") as file:
            file.write(POSTFIX_MAIN_CF.format(spool=self.path, long_ids=long_ids))
        open(f"{configuration}/master.cf", "w", encoding="ascii").close()
        subprocess.run(["chown", "-R", "postfix", self.path], check=True)
        command = [str(POSTQUEUE), "-c", configuration, option]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def ours(self, *words: str, **values: str) -> str:
        """What our command prints."""
        self.assertEqual(self.perform("list", *words, **values), 0)
        return self.stdout.getvalue()

    def assert_same_messages(self, ours: list[str], theirs: list[str]) -> None:
        """The same parts; folders of a hashed queue may be read in another order."""
        self.assertEqual(sorted(ours), sorted(theirs))
        self.assertEqual(len(ours), len(theirs))

    def test_table(self) -> None:
        """The table is that of postqueue -p."""
        ours, theirs = self.ours(), self.postqueue("-p", "no")
        self.assertEqual(ours.splitlines()[0], theirs.splitlines()[0])
        self.assert_same_messages(ours.partition("\n")[2].split("\n\n"), theirs.partition("\n")[2].split("\n\n"))

    def test_table_with_long_ids(self) -> None:
        """Where queue ids are long, so are their columns."""
        ours, theirs = self.ours(enable_long_queue_ids="yes"), self.postqueue("-p", "yes")
        self.assertEqual(ours.splitlines()[0], theirs.splitlines()[0])
        self.assert_same_messages(ours.partition("\n")[2].split("\n\n"), theirs.partition("\n")[2].split("\n\n"))

    def test_json(self) -> None:
        """The objects are those of postqueue -j."""
        self.assert_same_messages(self.ours("--json").splitlines(), self.postqueue("-j", "no").splitlines())
