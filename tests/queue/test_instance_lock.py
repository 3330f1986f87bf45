"""One queue manager to a queue directory."""

import errno
import os
import socket
from contextlib import chdir as _inside

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.queue.instance_lock import InstanceLock, SpoolError
from tests.queue.disk import DirectFiles, FailingFiles


class InstanceLockTests(SynchronousTestCase):
    """Taking a directory and giving it back."""

    def setUp(self) -> None:
        self.directory = os.path.abspath(self.mktemp())
        os.makedirs(self.directory + "/pid")

    def _take(self) -> InstanceLock:
        lock = InstanceLock(DirectFiles(), self.directory)
        self.addCleanup(lock.release)
        return lock

    def test_says_who(self) -> None:
        """The lock file holds the process id, also over a longer one of earlier times."""
        with open(self.directory + "/pid/smtpclient.lock", "w") as file:
            file.write("12345678901234567890\n")
        self._take()
        with open(self.directory + "/pid/smtpclient.lock") as file:
            self.assertEqual(file.read(), f"{os.getpid()}\n")

    def test_taken(self) -> None:
        """A second one is refused, with the process that has it, the file, and what to do."""
        self._take()
        error = self.assertRaises(SpoolError, self._take)
        for words in (f"in use by process {os.getpid()}", self.directory, "smtpclient.lock", "stop that one"):
            self.assertIn(words, str(error))

    def test_given_back(self) -> None:
        """After it was given back, once or twice, another can take it."""
        lock = self._take()
        lock.release()
        lock.release()
        self._take()

    def test_under_postfix(self) -> None:
        """A running Postfix, which holds its own lock, is not disturbed; nor is our own lock left behind."""
        files = DirectFiles()
        master = files.open(self.directory + "/pid/master.pid", os.O_RDWR | os.O_CREAT)
        self.addCleanup(lambda: files.close(master))
        files.write(master, b"            4711\n")
        files.flock(master, exclusive=True)
        error = self.assertRaises(SpoolError, self._take)
        self.assertIn("in use by process 4711", str(error))
        held = files.open(self.directory + "/pid/smtpclient.lock", os.O_RDWR)
        self.addCleanup(files.close, held)
        files.flock(held, exclusive=True)

    def test_keeps_postfix_out(self) -> None:
        """While it is held, Postfix's master finds its lock taken, and no process id to kill."""
        self._take()
        files = DirectFiles()
        fd = files.open(self.directory + "/pid/master.pid", os.O_RDWR)
        self.addCleanup(files.close, fd)
        self.assertRaises(BlockingIOError, files.flock, fd, exclusive=True)
        self.assertEqual(files.pread(fd, 10, 0), b"")

    def _run_master(self) -> None:
        """Hold the lock of Postfix's master."""
        files = DirectFiles()
        master = files.open(self.directory + "/pid/master.pid", os.O_RDWR | os.O_CREAT)
        self.addCleanup(files.close, master)
        files.flock(master, exclusive=True)

    def test_beside_postfix(self) -> None:
        """Beside a master without a queue manager the directory can be taken, once."""
        self._run_master()
        lock = InstanceLock(DirectFiles(), self.directory, beside_postfix=True)
        self.addCleanup(lock.release)
        error = self.assertRaises(SpoolError, InstanceLock, DirectFiles(), self.directory, beside_postfix=True)
        self.assertIn("smtpclient.lock", str(error))

    def test_beside_queue_manager(self) -> None:
        """Beside a master that has a queue manager it is refused, in words that say what to do, and no lock is left."""
        self._run_master()
        os.makedirs(self.directory + "/public")
        path = self.directory + "/public/qmgr"
        with socket.socket(socket.AF_UNIX) as listener:
            with _inside(os.path.dirname(path)):
                listener.bind("qmgr")
            listener.listen()
            error = self.assertRaises(SpoolError, InstanceLock, DirectFiles(), self.directory, beside_postfix=True)
        self.assertIn("take the line of qmgr out of Postfix's master.cf", str(error))
        InstanceLock(DirectFiles(), self.directory, beside_postfix=True).release()

    def test_disk_error(self) -> None:
        """A disk error rises as such, and leaves no lock."""
        for at in range(1, 7):
            files = FailingFiles(errno.EROFS)
            files.fails_at = at
            self.assertRaises(OSError, InstanceLock, files, self.directory)
            self._take().release()
