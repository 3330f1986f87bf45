"""Postfix's tools and daemons on a queue directory of ours."""

import json
import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.mail.envelope import Notify, Recipient, Return, Utf8
from smtpclient.observe.maillog import MailLog
from smtpclient.queue.spool import Spool, SpoolError
from tests.interop.private_postfix import ACCEPTING, DAEMONS, DELIVERING, LOOPBACK, PrivatePostfix, missing
from tests.interop.recording_sink import RecordingSink, address_of
from tests.ports import free_port
from tests.queue.disk import DirectFiles, message, run, tree


class Case(SynchronousTestCase):
    """A spool of ours in a Postfix instance that does not run."""

    skip = missing() or None

    def setUp(self) -> None:
        self.sink = RecordingSink()
        self.addCleanup(self.sink.stop)
        self.postfix = PrivatePostfix({"relayhost": f"[{LOOPBACK}]:{self.sink.port}"})
        self.addCleanup(self.postfix.remove)
        self.clock = Clock()
        self.now = int(time.time()) - 10
        self.clock.advance(self.now)
        self.spool = self._spool()
        self.spool.prepare()
        self.addCleanup(self.spool.close)

    def _spool(self, long_ids: bool = False) -> Spool:
        user = pwd.getpwnam("postfix")
        owner, maillog = (user.pw_uid, user.pw_gid), MailLog(self.clock.seconds)
        return Spool(self.postfix.queue, DirectFiles(), self.clock, maillog, owner=owner, long_ids=long_ids)

    def _create(self, queue: str = "incoming", **fields: Any) -> str:
        return run(self.spool.create(message(**fields), queue))


class PostcatTests(Case):
    """postcat(1) reads what we write."""

    def test_records(self) -> None:
        """Every record is there, in an order that Postfix knows, with the text that we gave."""
        queue_id = self._create(
            content=b"Subject: test\n\n.dot\n" + b"x" * 3000 + b"\nlast",
            recipients=[
                Recipient("b@dest.test", "alias@dest.test", orcpt="rfc822;o@x", notify=Notify.FAILURE | Notify.DELAY),
                Recipient("user name@dest.test"),
            ],
            encoding="8bit",
            utf8=Utf8.REQUESTED,
            envelope_id="env+1",
            ret=Return.HEADERS,
            full_name="Some One",
            attributes={"log_message_origin": "local"},
        )
        printed = self.postfix.run("postcat", "-e", "-h", "-b", f"{self.postfix.queue}/incoming/{queue_id}")
        envelope, _, content = printed.partition("*** MESSAGE CONTENTS")
        wanted = [
            "message_arrival_time: ",
            "create_time: ",
            "named_attribute: log_message_origin=local",
            "named_attribute: envelope_id=env+1",
            "named_attribute: ret_flags=2",
            "named_attribute: encoding=8bit",
            "sender_fullname: Some One",
            "sender: a@sender.example",
            "named_attribute: notify_flags=12",
            "named_attribute: dsn_orig_rcpt=rfc822;o@x",
            "original_recipient: alias@dest.test",
            "recipient: b@dest.test",
            "original_recipient: user name@dest.test",
            "recipient: user name@dest.test",
        ]

        lines = envelope.splitlines()
        self.assertEqual([line for line in wanted if not any(line in one for one in lines)], [])
        self.assertIn("Subject: test\n\n.dot\n" + "x" * 3000 + "\nlast\n", content)

    def test_large(self) -> None:
        """A large message, whose size record was put right at the end, is printed whole."""
        content = b"".join([b"line %d\n" % number for number in range(100_000)])
        queue_id = self._create(content=content)
        printed = self.postfix.run("postcat", "-b", "-h", "-q", queue_id)
        self.assertIn(content.decode(), printed)

    def test_done(self) -> None:
        """A recipient that we marked is one that postcat calls done."""
        queue_id = self._create(recipients=[Recipient("b@dest.test"), Recipient("c@dest.test")])
        self.spool.take(queue_id, "incoming")
        self.spool.mark_done(queue_id, [self.spool.read(queue_id).recipients[0].offset])
        printed = self.postfix.run("postcat", "-e", "-q", queue_id)

        self.assertIn("done_recipient: b@dest.test", printed)
        self.assertIn("\nrecipient: c@dest.test", printed)


class PostqueueTests(Case):
    """postqueue(1) lists what is queued."""

    def _list(self) -> dict[str, dict[str, Any]]:
        lines = self.postfix.run("postqueue", "-j").splitlines()
        return {entry["queue_id"]: entry for entry in map(json.loads, lines)}

    def test_queues(self) -> None:
        """Each message is listed in its queue, with sender, size, recipients and time of arrival."""
        queues = {queue: self._create(queue) for queue in ("incoming", "active", "deferred", "hold")}
        listed = self._list()
        self.assertEqual({entry["queue_name"]: queue_id for queue_id, entry in listed.items()}, queues)
        entry = listed[queues["deferred"]]
        self.assertEqual((entry["sender"], entry["arrival_time"]), ("a@sender.example", self.now))
        self.assertEqual([one["address"] for one in entry["recipients"]], ["b@dest.example"])
        self.assertEqual(entry["message_size"], self.spool.read(queues["hold"], "hold").envelope.size)

    def test_for_people(self) -> None:
        """So is it in the list for people, with the marks for active, hold and forced expiry."""
        active, held = self._create("active"), self._create("hold")
        self.spool.expire(held)
        listed = self.postfix.run("postqueue", "-p")
        for words in (f"{active}* ", f"{held}!", "a@sender.example", "b@dest.example", "in 2 Requests"):
            self.assertIn(words, listed)
        self.assertTrue(self._list()[held]["forced_expire"])

    def test_done(self) -> None:
        """Recipients that we marked are not listed."""
        queue_id = self._create("active", recipients=[Recipient("b@dest.test"), Recipient("c@dest.test")])
        self.spool.mark_done(queue_id, [self.spool.read(queue_id).recipients[0].offset])
        self.assertEqual([one["address"] for one in self._list()[queue_id]["recipients"]], ["c@dest.test"])

    def test_unfinished(self) -> None:
        """What is still being written is not listed."""
        queue_id = self._create()
        os.chmod(f"{self.postfix.queue}/incoming/{queue_id}", 0o600)
        self.assertEqual(self._list(), {})


class QshapeTests(Case):
    """qshape(1) counts what is queued."""

    def test_domains(self) -> None:
        """Each recipient counts for its domain, by age of its message; one that is done does not count."""
        if not shutil.which("qshape"):
            raise self.skipTest("qshape is not installed")
        for name in ("one", "two", "two"):
            queue_id = self._create("deferred", recipients=[Recipient(f"b@{name}.test"), Recipient("done@done.test")])
            self.spool.mark_done(queue_id, [self.spool.read(queue_id, "deferred").recipients[1].offset])
        lines = [line.split()[:3] for line in self.postfix.run("qshape", "deferred").splitlines()]
        self.assertEqual(lines[1:], [["TOTAL", "3", "3"], ["two.test", "2", "2"], ["one.test", "1", "1"]])


class PostsuperTests(Case):
    """postsuper(1) works on our queue, and we find what it did."""

    def test_hold_and_release(self) -> None:
        """What it holds we find on hold; what it releases we find waiting, due."""
        queue_id = self._create("deferred")
        self.postfix.run("postsuper", "-h", queue_id)
        self.assertEqual(self.spool.find(queue_id), "hold")
        self.postfix.run("postsuper", "-H", queue_id)
        self.assertEqual(self.spool.find(queue_id), "deferred")
        self.assertEqual(len(self.spool.read(queue_id, "deferred").recipients), 1)

    def test_delete(self) -> None:
        """What it deletes is gone, with its journals."""
        queue_id = self._create("deferred")
        path = self.spool.journal_path("defer", queue_id)
        os.makedirs(os.path.dirname(path))
        with open(path, "w"):
            os.chown(os.path.dirname(path), pwd.getpwnam("postfix").pw_uid, -1)
        self.postfix.run("postsuper", "-d", queue_id)
        self.assertEqual(tree(self.postfix.queue), {})

    def test_expire(self) -> None:
        """What it marks to expire we see so marked."""
        queue_id = self._create("deferred")
        self.postfix.run("postsuper", "-e", queue_id)
        self.assertEqual([entry.expire_now for entry in self.spool.scan("deferred")], [True])
        self.assertIsNotNone(self.spool.take(queue_id, "deferred"))
        self.assertEqual(len(self.spool.read(queue_id).recipients), 1)

    def test_requeue(self) -> None:
        """What it requeues by way of maildrop/ comes back as new mail."""
        queue_id = self._create("deferred")
        self.postfix.run("postsuper", "-r", queue_id)
        self.assertIsNone(self.spool.find(queue_id))
        self.assertEqual(self.spool.take_back_requeued(), 1)
        self.assertEqual(len(os.listdir(self.postfix.queue + "/incoming")), 1)
        self.assertEqual(os.listdir(self.postfix.queue + "/maildrop"), [])

    def test_check(self) -> None:
        """Its check of the whole directory, which every start of Postfix makes, has nothing to correct."""
        for queue in ("incoming", "active", "deferred", "hold"):
            self._create(queue)
        before = tree(self.postfix.queue)
        self.postfix.run("postsuper", "-s", "-p")
        self.assertEqual(tree(self.postfix.queue), before)

    def test_check_of_long_ids(self) -> None:
        """Nor with long ids, where it is told of them."""
        self.postfix.set({"enable_long_queue_ids": "yes"})
        self.spool.close()
        self.spool = self._spool(long_ids=True)
        for queue in ("incoming", "deferred"):
            self._create(queue)
        before = tree(self.postfix.queue)
        self.postfix.run("postsuper", "-s", "-p")
        self.assertEqual(tree(self.postfix.queue), before)


class DaemonTests(Case):
    """Postfix's queue manager and ours take turns."""

    def test_it_delivers_what_we_queued(self) -> None:
        """From any of our queues its own daemons deliver, to those recipients that are not done, what we were given."""
        content = b"Subject: test\n\n.dot\n" + b"x" * 900 + b"\nlast\n"
        for queue in ("incoming", "active", "deferred"):
            recipients = [Recipient(f"{name}@dest.test") for name in ("done", "todo")]
            queue_id = self._create(queue, sender=f"{queue}@sender.test", recipients=recipients, content=content)
            offset = self.spool.read(queue_id, queue).recipients[0].offset
            self.spool.mark_done(queue_id, [offset])
        self.spool.close()
        self.postfix.start(ACCEPTING + DELIVERING)
        self.assertTrue(self.sink.wait(3, 120), self.postfix.log())
        got = {
            address_of(one.mail): ([address_of(to) for to in one.recipients], one.wire)
            for one in self.sink.transactions
        }
        wire = content.replace(b"\n.", b"\n..").replace(b"\n", b"\r\n") + b".\r\n"
        wanted = {f"{queue}@sender.test": (["todo@dest.test"], wire) for queue in ("incoming", "active", "deferred")}
        self.assertEqual(got, wanted)
        self._until(lambda: not any(list(self.spool.scan(queue)) for queue in ("incoming", "active", "deferred")))

    def test_we_take_over(self) -> None:
        """What it has deferred we find deferred, with the time of the next attempt and the recipients that are left."""
        self.postfix.set({"relayhost": f"[{LOOPBACK}]:{free_port()}"})
        queue_id = self._create()
        self.spool.close()
        self.postfix.start(ACCEPTING + DELIVERING)
        self._until(lambda: os.path.exists(f"{self.postfix.queue}/deferred/{queue_id[0]}/{queue_id}"))
        self.postfix.stop()
        self.spool.prepare()
        (entry,) = self.spool.scan("deferred")
        self.assertEqual((entry.queue_id, entry.complete), (queue_id, True))
        self.assertGreater(entry.due, os.stat(self.postfix.base + "/maillog").st_mtime)
        self.assertEqual([one.address for one in self.spool.read(queue_id, "deferred").recipients], ["b@dest.example"])

    def _until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 120
        while not condition():
            self.assertLess(time.monotonic(), end, self.postfix.log())
            time.sleep(0.05)

    def test_never_both(self) -> None:
        """While one has the directory the other does not start on it, and says why."""
        refused = subprocess.run(
            [f"{DAEMONS}/master", "-c", self.postfix.etc, "-t"], check=False, capture_output=True, timeout=120
        )
        self.assertNotEqual(refused.returncode, 0)
        self.spool.close()
        self.postfix.start(ACCEPTING)
        self.assertIn("in use by process", str(self.assertRaises(SpoolError, self.spool.prepare)))
