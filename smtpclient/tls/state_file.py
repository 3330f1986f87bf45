"""
Small files of state in a folder of the queue directory: read whole, replaced whole.

Promises: a file holds what one :meth:`StateFolder.write` put there, never a mixture, also after a power failure; what
that has returned for is on disk. A file larger than :data:`LARGEST` is not read.

Several processes of one service may share a folder: readers see the old content or the new one, and of two writers the
last one wins.
"""

import os
from collections.abc import Iterator
from contextlib import suppress

from smtpclient.queue.files import Files

LARGEST = 16_000_000
_UNFINISHED = "#"


class StateFolder:
    """
    One folder.

    :param path: made when the first file is written.
    """

    def __init__(self, files: Files, path: str) -> None:
        self.path = path
        self._files = files
        self._number = 0

    def read(self, name: str) -> bytes | None:
        """
        The content of a file; None when there is no such file.

        :raises OSError: when it cannot be read, or is too large to be one of ours.
        """
        try:
            fd = self._files.open(f"{self.path}/{name}", os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            data = self._files.pread(fd, LARGEST + 1, 0)
        finally:
            self._files.close(fd)
        if len(data) > LARGEST:
            raise OSError(f"{self.path}/{name}: more than {LARGEST} bytes")
        return data

    async def write(self, name: str, data: bytes) -> None:
        """
        Put a file there, or other content into it.

        :return: when it is on disk.
        :raises OSError: when it cannot be written; what was there before is there still.
        """
        self._number += 1
        unfinished = f"{self.path}/{_UNFINISHED}{os.getpid()}.{self._number}"
        fd = self._open(unfinished)
        try:
            try:
                await self._files.run_in_thread(self._files.write, fd, data)
                await self._files.sync(fd)
            finally:
                self._files.close(fd)
            self._files.rename(unfinished, f"{self.path}/{name}")
        except BaseException:
            with suppress(OSError):
                self._files.unlink(unfinished)
            raise
        await self._files.sync_folder(self.path)

    def _open(self, path: str) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        try:
            return self._files.open(path, flags, 0o600)
        except FileNotFoundError:
            with suppress(FileExistsError):  # another process was faster
                self._files.mkdir(self.path)
            return self._files.open(path, flags, 0o600)

    def remove(self, name: str) -> None:
        """
        Remove a file, if it is there.

        :raises OSError: when it is, and cannot be removed.
        """
        with suppress(FileNotFoundError):
            self._files.unlink(f"{self.path}/{name}")

    def touch(self, name: str, seconds: float) -> None:
        """
        Note when a file was last of use.

        :raises OSError: when there is no such file.
        """
        self._files.utime(f"{self.path}/{name}", seconds)

    def status(self, name: str) -> os.stat_result | None:
        """What the system knows of a file; None when there is none that can be looked at."""
        try:
            return self._files.stat(f"{self.path}/{name}")
        except OSError:
            return None

    def names(self) -> Iterator[str]:
        """
        The files.

        :raises OSError: when the folder cannot be read.
        """
        return (name for name in self._all() if not name.startswith(_UNFINISHED))

    def sweep(self) -> None:
        """
        Remove what an earlier service left unfinished; for when no other process is at work.

        :raises OSError: when the folder cannot be read, or a file not removed.
        """
        for name in list(self._all()):
            if name.startswith(_UNFINISHED):
                self.remove(name)

    def _all(self) -> Iterator[str]:
        try:
            yield from self._files.scan(self.path)
        except FileNotFoundError:
            return
