"""Tests for :mod:`smtpclient.tls.sts_cache` and :mod:`smtpclient.tls.state_file`: real files."""

import errno
import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.tls.state_file import LARGEST, StateFolder
from smtpclient.tls.sts_cache import KeptPolicy, StsCache
from smtpclient.tls.sts_policy import parse
from tests.queue.disk import NOW, DirectFiles, FailingFiles, run

POLICY = parse(b"version: STSv1\nmode: enforce\nmx: mx.example.com\nmax_age: 1000\n")


def kept(domain: str = "example.com", policy_id: str = "1", fetched: float = NOW) -> KeptPolicy:
    """A policy that was fetched."""
    return KeptPolicy(domain, policy_id, fetched, POLICY)


class Folder(SynchronousTestCase):
    """Small files, replaced whole."""

    def setUp(self) -> None:
        self.files = DirectFiles()
        self.path = self.mktemp()
        self.folder = StateFolder(self.files, self.path)

    def test_written_and_read(self) -> None:
        """The folder is made for the first file; file and folder are synced before the call returns."""
        run(self.folder.write("a", b"one"))
        run(self.folder.write("a", b"two"))
        self.assertEqual(self.folder.read("a"), b"two")
        self.assertEqual(list(self.folder.names()), ["a"])
        self.assertEqual(os.stat(self.path).st_mode & 0o777, 0o700)
        self.assertIn(self.path, self.files.synced)

    def test_absent(self) -> None:
        """No folder and no file is nothing to be afraid of."""
        self.assertEqual(list(self.folder.names()), [])
        self.assertIsNone(self.folder.read("a"))
        self.folder.remove("a")

    def test_too_large(self) -> None:
        """A file that cannot be ours is not read into memory."""
        run(self.folder.write("a", b""))
        os.truncate(f"{self.path}/a", LARGEST + 1)
        self.assertRaises(OSError, self.folder.read, "a")

    def test_unfinished_is_removed(self) -> None:
        """What a crash left behind is no file, and goes."""
        run(self.folder.write("a", b"one"))
        Path(self.path, "#7.1").write_bytes(b"half")
        self.assertEqual(list(self.folder.names()), ["a"])
        self.folder.sweep()
        self.assertEqual(os.listdir(self.path), ["a"])

    def test_disk_fails(self) -> None:
        """Whichever operation fails, the old content stays and nothing is left beside it."""
        files = FailingFiles(errno.ENOSPC)
        folder = StateFolder(files, self.path)
        run(folder.write("a", b"one"))
        for operation in range(1, 20):
            files.fails_at = len(files.done) + operation
            try:
                run(folder.write("a", b"two"))
            except OSError:
                files.fails_at = 0
                self.assertIn(folder.read("a"), (b"one", b"two"))
            files.fails_at = 0
            self.assertEqual(sorted(set(folder.names())), ["a"])


class Cache(SynchronousTestCase):
    """Policies over time and restarts."""

    def setUp(self) -> None:
        self.directory = self.mktemp()
        os.mkdir(self.directory)
        self.warnings: list[str] = []
        self.cache = self.new()

    def new(self, most: int = 10) -> StsCache:
        """One that has just been started."""
        return StsCache(DirectFiles(), self.directory, self.warnings.append, most)

    def test_in_force_until_its_age(self) -> None:
        """A policy counts from the time it was fetched for ``max_age``, and not a second longer."""
        run(self.cache.put(kept(), NOW))
        self.assertEqual(self.cache.get("example.com", NOW + 999), kept())
        self.assertIsNone(self.cache.get("example.com", NOW + 1000))
        self.assertIsNone(self.cache.get("www.example.com", NOW))

    def test_survives_a_restart(self) -> None:
        """What was kept is there afterwards, for its rest of time."""
        run(self.cache.put(kept(), NOW))
        self.assertEqual(self.new().get("example.com", NOW + 1), kept())
        self.assertIsNone(self.new().get("example.com", NOW + 1000))

    def test_no_duration(self) -> None:
        """A policy without duration is fetched once a minute, not for each message."""
        policy = parse(POLICY.text.replace("1000", "0").encode())
        self.assertEqual(KeptPolicy("example.com", "1", NOW, policy).expires, NOW + 60)

    def test_replaced_and_forgotten(self) -> None:
        """The last one counts; after that none."""
        run(self.cache.put(kept(), NOW))
        run(self.cache.put(kept(policy_id="2"), NOW))
        self.assertEqual([one.policy_id for one in self.new().kept()], ["2"])
        self.cache.forget("example.com")
        self.assertIsNone(self.cache.get("example.com", NOW))
        self.assertEqual(list(self.new().kept()), [])

    def test_use_is_noted_once_a_day(self) -> None:
        """The file's time says when it was last needed; a newer policy does not change that."""
        run(self.cache.put(kept(), NOW))
        self.cache.note_use("example.com", NOW + 50)
        self.cache.note_use("example.com", NOW + 60)
        run(self.cache.put(kept(policy_id="2"), NOW + 900))
        self.assertEqual(self.new().last_used("example.com"), NOW + 50)
        self.cache.note_use("example.com", NOW + 50 + 86400)
        self.assertEqual(self.cache.last_used("example.com"), NOW + 50 + 86400)
        self.cache.note_use("nowhere.example", NOW)
        self.assertEqual(self.cache.last_used("nowhere.example"), 0)

    def test_several_processes(self) -> None:
        """What one process has learnt the others know, also where they had known something else, or nothing."""
        other = self.new()
        self.assertIsNone(other.get("example.com", NOW))
        run(self.cache.put(kept(), NOW))
        self.assertEqual(other.get("example.com", NOW), kept())
        run(self.cache.put(kept(policy_id="2"), NOW))
        self.assertEqual(other.get("example.com", NOW), kept(policy_id="2"))
        self.cache.forget("example.com")
        self.assertIsNone(other.get("example.com", NOW))

    def test_not_the_service(self) -> None:
        """Who only asks leaves nothing behind, and still knows what it has learnt."""
        self.cache.is_writable = False
        run(self.cache.put(kept(), NOW))
        self.cache.note_use("example.com", NOW)
        self.assertEqual(self.cache.get("example.com", NOW), kept())
        self.assertEqual(os.listdir(self.directory), [])

    def test_rubbish(self) -> None:
        """A file that holds no policy, or another domain's, is said and counts as none."""
        os.mkdir(f"{self.directory}/sts")
        run(self.cache.put(kept("other.example"), NOW))
        theirs = Path(self.directory, "sts/other.example").read_bytes()
        for data in (b"", b"[]", b"{}", b'{"policy": "x"}', b'{"policy": 1}', b"\xff", b"[" * 100000, theirs):
            Path(self.directory, "sts/example.com").write_bytes(data)
            self.warnings.clear()
            self.assertIsNone(self.new().get("example.com", NOW))
            self.assertEqual(len(self.warnings), 1, data[:20])
            self.assertIn("sts/example.com", self.warnings[0])

    def test_names_do_not_lead_out(self) -> None:
        """Files that are no domain's are not looked at."""
        os.mkdir(f"{self.directory}/sts")
        Path(self.directory, "sts/README.TXT").write_bytes(b"x")
        self.assertEqual(list(self.cache.kept()), [])
        self.assertEqual(self.warnings, [])

    def test_full(self) -> None:
        """Where there is no room, what is out of force makes it; else the new one is in memory only."""
        cache = self.new(most=2)
        run(cache.put(kept("a.example", fetched=NOW - 5000), NOW))
        run(cache.put(kept("b.example"), NOW))
        run(cache.put(kept("c.example"), NOW))
        self.assertEqual(sorted(one.domain for one in self.new().kept()), ["b.example", "c.example"])
        run(cache.put(kept("d.example"), NOW))
        self.assertEqual(cache.get("d.example", NOW), kept("d.example"))
        self.assertEqual(sorted(one.domain for one in self.new().kept()), ["b.example", "c.example"])
        self.assertEqual(len(self.warnings), 1)
        self.assertEqual(cache.get("b.example", NOW), kept("b.example"))

    def test_full_disk(self) -> None:
        """The policy protects until the restart; the log says what is wrong."""
        os.rmdir(self.directory)
        run(self.cache.put(kept(), NOW))
        self.assertEqual(self.cache.get("example.com", NOW), kept())
        self.assertIn("cannot keep the MTA-STS policy of example.com: ", self.warnings[0])

    def test_unreadable_folder(self) -> None:
        """It is said; nothing is raised."""
        Path(self.directory, "sts").write_bytes(b"")
        self.assertEqual(list(self.cache.kept()), [])
        self.cache.forget("example.com")
        self.cache.sweep()
        self.assertEqual(len(self.warnings), 3)
