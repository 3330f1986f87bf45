"""Files and time without a reactor."""

import os
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.command.direct import DirectClock, DirectFiles, at_once


class Direct(SynchronousTestCase):
    """Everything happens when it is asked for."""

    def test_coroutine_that_does_not_wait(self) -> None:
        """Its result is there at once."""

        async def answer() -> int:
            return 42

        self.assertEqual(at_once(answer()), 42)

    def test_coroutine_that_waits(self) -> None:
        """One that waits for something real is a defect, and not taken for success."""

        async def waiting() -> None:
            await Deferred()

        self.assertRaises(RuntimeError, at_once, waiting())

    def test_error(self) -> None:
        """What it raises, the caller sees."""

        async def failing() -> None:
            raise ValueError("as it was")

        self.assertRaises(ValueError, at_once, failing())

    def test_files(self) -> None:
        """What would be done in a thread is done here; a file and its name are synced for real."""
        folder = Path(self.mktemp())
        folder.mkdir()
        files = DirectFiles()
        synced: list[bool] = []
        real = os.fsync

        def fsync(fd: int) -> None:
            synced.append(os.path.isdir(f"/proc/self/fd/{fd}"))
            real(fd)

        self.patch(os, "fsync", fsync)

        async def write() -> bytes:
            fd = files.open(str(folder / "file"), os.O_RDWR | os.O_CREAT)
            try:
                await files.run_in_thread(files.write, fd, b"text")
                await files.sync(fd)
                await files.sync_folder(str(folder))
                return await files.run_in_thread(files.pread, fd, 100, 0)
            finally:
                files.close(fd)

        self.assertEqual(at_once(write()), b"text")
        self.assertEqual(synced, [False, True])

    def test_clock(self) -> None:
        """Who waits for time to pass does not wait, and finds that it has passed."""
        clock = DirectClock(1000.0)

        async def patient() -> float:
            await deferLater(clock, 5)
            return clock.seconds()

        self.assertEqual((clock.seconds(), at_once(patient())), (1000.0, 1005.0))
