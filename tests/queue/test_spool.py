"""The queue directory as the queue manager sees it."""

import errno
import os
from collections.abc import Sequence
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.interfaces import IReactorFromThreads
from twisted.trial.unittest import SynchronousTestCase, TestCase

from smtpclient.mail.envelope import Recipient
from smtpclient.queue.content import SpoolContent
from smtpclient.queue.files import Files
from smtpclient.queue.glimpse import Glimpse
from smtpclient.queue.record_reader import WINDOW
from smtpclient.queue.spool import BusyQueueFile, CorruptQueueFile, Entry, Spool, SpoolError
from tests.queue.disk import NOW, DirectFiles, FailingFiles, message, run, spool, tree


class Case(SynchronousTestCase):
    """A prepared queue directory."""

    def setUp(self) -> None:
        self.directory = os.path.abspath(self.mktemp())
        self._use(DirectFiles())

    def _use(self, files: Files, **options: Any) -> None:
        self.files = files
        self.spool, self.clock, self.lines = spool(self.directory, files, **options)
        self.addCleanup(self.spool.close)

    def _create(self, queue: str = "incoming", **fields: Any) -> str:
        return run(self.spool.create(message(**fields), queue))

    def _active(self, **fields: Any) -> str:
        queue_id = self._create(**fields)
        self.assertIsNotNone(self.spool.take(queue_id, "incoming"))
        return queue_id

    def _queue_of(self, queue_id: str) -> list[str]:
        """The folders that have a file of this name."""
        return [os.path.dirname(path) for path in tree(self.directory) if os.path.basename(path) == queue_id]


class LifeTests(Case):
    """From the queue to the delivery and back."""

    def test_the_way_of_a_message(self) -> None:
        """Queued, found, claimed, read, in part done, deferred, claimed again, done, gone."""
        queue_id = self._create(recipients=[Recipient("b@x"), Recipient("c@x")])
        self.assertEqual(list(self.spool.scan("incoming")), [Entry(queue_id, NOW, 0o700)])
        self.assertIsNotNone(self.spool.take(queue_id, "incoming"))
        read = self.spool.read(queue_id)
        reader = self.spool.content(read.envelope).open()
        self.assertEqual(run(reader.next_block()), b"Subject: test\n\nHello\n")
        reader.close()
        self.spool.mark_done(queue_id, [read.recipients[0].offset])
        self.assertTrue(self.spool.defer(queue_id, NOW + 300))
        self.assertEqual(list(self.spool.scan("deferred")), [Entry(queue_id, NOW + 300, 0o700)])
        self.assertEqual(self._queue_of(queue_id), [f"deferred/{queue_id[0]}"])
        self.assertIsNotNone(self.spool.take(queue_id, "deferred"))
        again = self.spool.read(queue_id)
        self.assertEqual((again.recipients, again.finished), (read.recipients[1:], 1))
        self.assertTrue(self.spool.remove(queue_id))
        self.assertEqual(tree(self.directory), {})
        self.assertEqual(self.lines, [])

    def test_scan_is_lazy(self) -> None:
        """A scan looks at a file when it is asked for the next one, and is content to be dropped."""
        counting = FailingFiles()
        self._use_another(counting)
        for _ in range(5):
            self._create()
        del counting.done[:]
        entries = self.spool.scan("incoming")
        next(entries)
        self.assertEqual(counting.done, ["scan", "stat"])
        entries.close()  # type: ignore[attr-defined]

    def test_names_are_given_without_a_look_at_the_files(self) -> None:
        """Only the folder is read."""
        counting = FailingFiles()
        self._use_another(counting)
        created = {self._create(), self._create()}
        del counting.done[:]
        self.assertEqual((set(self.spool.names("incoming")), counting.done), (created, ["scan"]))

    def test_a_glimpse_takes_no_lock_and_moves_nothing(self) -> None:
        """It is there, or it is not."""
        queue_id = self._create()
        found = self.spool.glimpse(queue_id, "incoming")
        self.assertEqual(found, Glimpse("a@sender.example", ("b@dest.example",)))
        self.assertIsNone(self.spool.glimpse(queue_id, "active"))

    def _use_another(self, files: Files) -> None:
        self.spool.close()
        self._use(files)

    def test_scan_skips(self) -> None:
        """What is no message by its name or kind, or vanishes meanwhile, is passed over."""
        kept, vanishing = self._create(), self._create()
        os.mkdir(self.directory + "/incoming/FOLDER")
        with open(self.directory + "/incoming/1234.99", "w"):
            os.symlink("none", self.directory + "/incoming/LINK")
        stat = self.files.stat

        def vanish(path: str) -> os.stat_result:
            if path.endswith(vanishing):
                raise FileNotFoundError(path)
            return stat(path)

        self.patch(self.files, "stat", vanish)
        self.assertEqual([entry.queue_id for entry in self.spool.scan("incoming")], [kept])

    def test_entry(self) -> None:
        """The mode says whether it is a message yet, is one no more, or has to expire."""
        got = {}
        for mode in (0o700, 0o600, 0o400, 0o710, 0o740):
            entry = Entry("ABCDEF", NOW, mode)
            got[mode] = (entry.complete, entry.damaged, entry.expire_now)
        wanted = {
            0o700: (True, False, False),
            0o600: (False, False, False),
            0o400: (False, True, False),
            0o710: (True, False, True),
            0o740: (True, False, False),
        }
        self.assertEqual(got, wanted)

    def test_not_before_it_is_durable(self) -> None:
        """A message that may yet be withdrawn is not claimed; once it is durable it is."""
        waiting: list[Deferred[None]] = []

        async def sync(fd: int, folders: Sequence[str]) -> None:
            waiting.append(Deferred())
            await waiting[-1]

        self.patch(self.files, "sync", sync)
        creating = Deferred.fromCoroutine(self.spool.create(message()))
        (entry,) = self.spool.scan("incoming")
        self.assertEqual((entry.complete, self.spool.take(entry.queue_id, "incoming")), (True, None))
        waiting[0].callback(None)
        self.assertEqual(self.successResultOf(creating), entry.queue_id)
        self.assertIsNotNone(self.spool.take(entry.queue_id, "incoming"))

    def test_warned(self) -> None:
        """That the sender was warned is kept with the message."""
        self._use_another_with_warning()
        queue_id = self._active()
        read = self.spool.read(queue_id)
        self.assertEqual(read.warn_at, int(NOW + 60))
        self.spool.warned(queue_id, read)
        self.assertEqual(self.spool.read(queue_id).warn_at, 0.0)

    def _use_another_with_warning(self) -> None:
        self.spool.close()
        self._use(DirectFiles(), warn_after=60.0)

    def test_warned_without_warning(self) -> None:
        """Where no warning was wanted there is nothing to note."""
        queue_id = self._active()
        before = self.spool.read(queue_id)
        self.spool.warned(queue_id, before)
        self.assertEqual(self.spool.read(queue_id), before)

    def test_long_ids_are_hashed_alike(self) -> None:
        """Messages with long ids go the same way."""
        self.spool.close()
        self._use(DirectFiles(), long_ids=True, hash_depth=2)
        queue_id = self._active()
        self.spool.defer(queue_id, NOW)
        self.assertEqual(self._queue_of(queue_id), ["deferred/3/D"])
        self.assertIsNotNone(self.spool.take(queue_id, "deferred"))

    def test_journal_path(self) -> None:
        """The journals lie where Postfix's tools look for them."""
        got = [self.spool.journal_path(kind, "3A66D21A822") for kind in ("bounce", "defer", "trace")]
        wanted = ["bounce/3A66D21A822", "defer/3/3A66D21A822", "trace/3A66D21A822"]
        self.assertEqual(got, [f"{self.directory}/{path}" for path in wanted])
        self.assertIn(
            "no kind of journal", str(self.assertRaises(ValueError, self.spool.journal_path, "active", "ABC"))
        )


class TakeOverTests(Case):
    """Taking a queue directory into use."""

    def test_in_use(self) -> None:
        """A directory that is in use is refused, and stays with who has it."""
        queue_id = self._active()
        error = self.assertRaises(SpoolError, spool, self.directory)
        self.assertIn(f"in use by process {os.getpid()}", str(error))
        self.assertEqual(self._queue_of(queue_id), ["active"])
        self.spool.close()
        self.spool.close()
        spool(self.directory)[0].close()

    def test_disk_errors(self) -> None:
        """Whatever fails, the operator reads which directory and why; the lock is given back."""
        self.spool.close()
        for code, words in ((errno.EROFS, "read-only"), (errno.EACCES, "permission denied")):
            steps = 0
            while error := self._failure(FailingFiles(code), steps + 1):
                self.assertIn(self.directory, error)
                self.assertIn(words, error.lower())
                steps += 1
            self.assertGreater(steps, 20)

    def _failure(self, failing: FailingFiles, at: int) -> str:
        """What the operator is told when a step of the taking over fails; nothing when it has fewer steps."""
        for name in ("ABCDE1", "ABCDE2"):
            with open(f"{self.directory}/active/{name}", "w"):
                failing.fails_at = at
        try:
            made, _clock, _lines = spool(self.directory, failing)
        except SpoolError as error:
            return str(error)
        made.close()
        return ""


class TroubleTests(Case):
    """Files that are damaged, busy, or not where they were."""

    def test_corrupt(self) -> None:
        """A damaged file is told from a disk error, set aside as it is, and the log says what was wrong and where."""
        queue_id = self._active()
        path = f"{self.directory}/active/{queue_id}"
        os.truncate(path, os.path.getsize(path) - 1)
        error = self.assertRaises(CorruptQueueFile, self.spool.read, queue_id)
        self.assertTrue(self.spool.set_aside(queue_id, "active", str(error)))
        self.assertEqual(tree(self.directory), {f"corrupt/{queue_id}": 0o700})
        start = f'warning: saving corrupt file "{queue_id}" from queue "active" to queue "corrupt": {path}: offset '
        self.assertTrue(self.lines[0].startswith(start), self.lines)

    def test_disk_error(self) -> None:
        """A disk that cannot be read now says nothing of the message: no part of reading takes it for damage."""
        queue_id = self._active()
        self.spool.close()
        failing = FailingFiles(errno.EIO)
        other = Spool(self.directory, failing, self.clock, self.spool._maillog)
        for at, name in enumerate(("open", "fstat", "flock", "pread"), 1):
            failing.fails_at = at
            error = self.assertRaises(OSError, other.read, queue_id)
            self.assertEqual((error.errno, failing.done[-2 + (name == "open")]), (errno.EIO, name))
        self.assertEqual(len(other.read(queue_id).recipients), 1)

    def test_marked_as_damaged(self) -> None:
        """A file that a delivery agent has marked is damaged, whatever it holds."""
        queue_id = self._active()
        os.chmod(f"{self.directory}/active/{queue_id}", 0o400)
        self.assertIn("marked", str(self.assertRaises(CorruptQueueFile, self.spool.read, queue_id)))

    def test_unfinished(self) -> None:
        """A file that is still being written is busy, not damaged."""
        queue_id = self._active()
        os.chmod(f"{self.directory}/active/{queue_id}", 0o600)
        self.assertIn("still being written", str(self.assertRaises(BusyQueueFile, self.spool.read, queue_id)))

    def test_locked(self) -> None:
        """A file that another has locked is busy, also when it is only being read."""
        queue_id = self._active()
        reader = SpoolContent(self.files, f"{self.directory}/active/{queue_id}", 0).open()
        self.assertIn("locked", str(self.assertRaises(BusyQueueFile, self.spool.read, queue_id)))
        reader.close()
        self.spool.read(queue_id)

    def test_taken_away_while_it_is_in_memory(self) -> None:
        """Content that has been read already cannot be opened once the message was put on hold or deleted."""
        for take_away in (self.spool.hold, self.spool.delete, self.spool.remove):
            queue_id = self._active()
            content = self.spool.content(self.spool.read(queue_id).envelope)
            take_away(queue_id)
            self.assertRaises(FileNotFoundError, content.open)

    def test_marked_while_it_is_in_memory(self) -> None:
        """Content is the same whether or not a recipient has been marked as done meanwhile."""
        queue_id = self._active(recipients=[Recipient("b@dest.example"), Recipient("c@dest.example")])
        read = self.spool.read(queue_id)
        self.spool.mark_done(queue_id, [read.recipients[0].offset])
        reader = self.spool.content(read.envelope).open()
        self.addCleanup(reader.close)
        self.assertEqual(run(reader.next_block()), b"Subject: test\n\nHello\n")

    def test_large_messages_are_not_kept_in_memory(self) -> None:
        """A file that is longer than the first read of it is opened again for its content."""
        for size, operations in ((WINDOW // 2, ["stat"]), (WINDOW, ["open", "flock"])):
            queue_id = self._active(content=b"x" * (size - 1) + b"\n")
            envelope = self.spool.read(queue_id).envelope
            counting = FailingFiles()
            self.patch(self.spool._small_files, "_files", counting)
            content = self.spool.content(envelope)
            self.patch(content, "_files", counting)
            content.open().close()
            self.assertEqual(counting.done[: len(operations)], operations)

    def test_odd_but_harmless(self) -> None:
        """What is odd in a file and does no harm is said in the log, under its id."""
        queue_id = self._active()
        with open(f"{self.directory}/active/{queue_id}", "r+b") as file:
            file.write(b"C\x5f" + b" ".join([b"%15d" % 0] * 6))
        self.assertEqual(len(self.spool.read(queue_id).recipients), 1)
        self.assertTrue(self.lines[0].startswith(f"{queue_id}: warning: the size record"), self.lines)

    def test_vanished(self) -> None:
        """A message that has gone makes every move return False and every reading say so."""
        queue_id = self._active()
        read = self.spool.read(queue_id)
        self.assertTrue(self.spool.remove(queue_id))
        moves = [
            self.spool.defer(queue_id, NOW),
            self.spool.remove(queue_id),
            self.spool.set_aside(queue_id, "active", "it is gone"),
            self.spool.hold(queue_id),
            self.spool.release(queue_id),
            self.spool.requeue(queue_id),
            self.spool.expire(queue_id),
            self.spool.delete(queue_id),
        ]
        self.assertEqual((moves, self.lines, tree(self.directory)), ([False] * 8, [], {}))
        self.assertIsNone(self.spool.take(queue_id, "incoming"))
        self.assertRaises(FileNotFoundError, self.spool.read, queue_id)
        self.assertRaises(FileNotFoundError, self.spool.content(read.envelope).open)
        self.assertRaises(FileNotFoundError, self.spool.mark_done, queue_id, [read.recipients[0].offset])
        self.assertIsNone(self.spool.find(queue_id))

    def test_held_while_it_is_delivered(self) -> None:
        """A recipient is marked where the message lies now: it is not delivered again after its release."""
        queue_id = self._active(recipients=[Recipient("b@x"), Recipient("c@x")])
        offset = self.spool.read(queue_id).recipients[0].offset
        self.spool.hold(queue_id)
        self.spool.mark_done(queue_id, [offset])
        self.assertFalse(self.spool.defer(queue_id, NOW))
        self.assertTrue(self.spool.release(queue_id))
        self.assertEqual([one.address for one in self.spool.read(queue_id, "incoming").recipients], ["c@x"])

    def test_wrong_mark(self) -> None:
        """An offset at which no recipient stands is a complaint that names the file."""
        queue_id = self._active()
        error = self.assertRaises(CorruptQueueFile, self.spool.mark_done, queue_id, [0])
        self.assertIn(queue_id, str(error))


class OperatorTests(Case):
    """The operator's verbs."""

    def _in_each(self) -> dict[str, str]:
        """A message in each queue, not yet due where it is deferred."""
        made = {queue: self._create(queue) for queue in ("incoming", "hold")}
        made["active"] = self._active()
        made["deferred"] = self._active()
        self.spool.defer(made["deferred"], NOW + 4000)
        return made

    def _queues(self, made: dict[str, str]) -> dict[str, str | None]:
        return {queue: self.spool.find(queue_id) for queue, queue_id in made.items()}

    def test_find(self) -> None:
        """A message is found in every queue."""
        made = self._in_each()
        self.assertEqual(self._queues(made), {queue: queue for queue in made})

    def test_find_on_the_move(self) -> None:
        """A message that moves into a queue that was looked into already is found all the same."""
        queue_id = self._active()
        self.spool.defer(queue_id, NOW)
        stat, looked = self.files.stat, []

        def move_meanwhile(path: str) -> os.stat_result:
            looked.append(path)
            if len(looked) == 3:
                self.spool.take(queue_id, "deferred")
            return stat(path)

        self.patch(self.files, "stat", move_meanwhile)
        self.assertEqual(self.spool.find(queue_id), "active")

    def test_hold(self) -> None:
        """From any queue a message can be held; one that is held is not found to hold."""
        made = self._in_each()
        got = {queue: self.spool.hold(queue_id) for queue, queue_id in made.items()}
        self.assertEqual(got, {"incoming": True, "active": True, "deferred": True, "hold": False})
        self.assertEqual(set(self._queues(made).values()), {"hold"})

    def test_release(self) -> None:
        """A message that was held goes on at once; others are not touched."""
        made = self._in_each()
        self.clock.advance(100)
        got = {queue: self.spool.release(queue_id) for queue, queue_id in made.items()}
        self.assertEqual(got, {"incoming": False, "active": False, "deferred": False, "hold": True})
        self.assertIn(Entry(made["hold"], NOW + 100, 0o700), list(self.spool.scan("incoming")))

    def test_requeue(self) -> None:
        """A message starts anew, at once, and is as old as before; one that is being delivered stays where it is."""
        made = self._in_each()
        self.clock.advance(100)
        got = {queue: self.spool.requeue(queue_id) for queue, queue_id in made.items()}
        self.assertEqual(got, {"incoming": True, "active": False, "deferred": True, "hold": True})
        self.assertEqual({entry.due for entry in self.spool.scan("incoming")}, {NOW + 100})
        self.assertEqual(len(list(self.spool.scan("incoming"))), 3)
        self.assertEqual(self.spool.read(made["deferred"], "incoming").envelope.created, int(NOW))

    def test_expire(self) -> None:
        """A message in any queue is marked to expire, and stays where and as it is."""
        made = self._in_each()
        before = self._queues(made)
        self.assertTrue(all(self.spool.expire(queue_id) for queue_id in made.values()))
        self.assertEqual(self._queues(made), before)
        for queue, queue_id in made.items():
            self.assertEqual([entry.expire_now for entry in self.spool.scan(queue)], [True])
            self.assertEqual(len(self.spool.read(queue_id, queue).recipients), 1)

    def test_expire_on_the_move(self) -> None:
        """A message that moves while it is being marked is marked where it has gone."""
        queue_id = self._active()
        chmod = self.files.chmod

        def move_first(path: str, mode: int) -> None:
            self.spool.defer(queue_id, NOW)
            chmod(path, mode)

        self.patch(self.files, "chmod", move_first)
        self.assertTrue(self.spool.expire(queue_id))
        self.assertEqual([entry.expire_now for entry in self.spool.scan("deferred")], [True])

    def test_delete(self) -> None:
        """A message in any queue is removed, with all that was recorded of its recipients; others keep theirs."""
        made = self._in_each()
        other = self._create()
        for queue_id in (*made.values(), other):
            for kind in ("bounce", "defer", "trace"):
                path = self.spool.journal_path(kind, queue_id)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w"):
                    os.chmod(path, 0o600)
        self.assertTrue(all(self.spool.delete(queue_id) for queue_id in made.values()))
        self.assertEqual({os.path.basename(path) for path in tree(self.directory)}, {other})
        self.assertEqual(len(tree(self.directory)), 4)

    def test_what_is_no_id(self) -> None:
        """What could lead out of the directory is refused by every verb."""
        for verb in (self.spool.hold, self.spool.release, self.spool.requeue, self.spool.expire, self.spool.delete):
            self.assertIn("no queue id", str(self.assertRaises(ValueError, verb, "../incoming/ABCDEF")))
        self.assertRaises(ValueError, self.spool.find, "../incoming/ABCDEF")


class ThreadedTests(TestCase):
    """With the reactor and real threads."""

    def setUp(self) -> None:
        self.directory = os.path.abspath(self.mktemp())
        self.files = Files(IReactorFromThreads(reactor))
        self.spool, _clock, self.lines = spool(self.directory, self.files)
        self.addCleanup(self.spool.close)

    async def test_many_at_once(self) -> None:
        """A hundred messages queued at once all get ids of their own, and all are there."""
        creating = [Deferred.fromCoroutine(self.spool.create(message(sender=f"{n}@x"))) for n in range(100)]
        queue_ids = await gatherResults(creating)
        senders = {self.spool.read(queue_id, "incoming").envelope.sender for queue_id in queue_ids}
        self.assertEqual((len(set(queue_ids)), senders), (100, {f"{n}@x" for n in range(100)}))
        self.assertEqual(set(tree(self.directory).values()), {0o700})

    async def test_large(self) -> None:
        """A large message goes through threads in both directions and comes back as it was."""
        content = b"".join([b"%d" % number * 10 + b"\n" for number in range(30_000)])
        queue_id = await self.spool.create(message(content))
        reader = self.spool.content(self.spool.read(queue_id, "incoming").envelope, "incoming").open()
        blocks = []
        while block := await reader.next_block():
            blocks.append(block)
        reader.close()
        self.assertGreater(len(blocks), 4)
        self.assertEqual(b"".join(blocks), content)

    async def test_cancelled(self) -> None:
        """Whoever gives up while his message is being written or synced leaves nothing of it behind."""
        for content in (b"x\n", b"x" * 70 * 20_000):
            creating = Deferred.fromCoroutine(self.spool.create(message(content)))
            creating.cancel()
            await self.assertFailure(creating, CancelledError)
        self.assertEqual(tree(self.directory), {})
        await self.spool.create(message())
