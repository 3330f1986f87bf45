"""
Small files of state in a folder of the queue directory: read whole, replaced whole.

Promises: a file holds what one :meth:`StateFolder.write` put there, never a mixture, also after a power failure; what
that has returned for is on disk. A file larger than :data:`LARGEST` is not read.

Does not: keep two programs apart: the folder belongs to whoever holds the queue directory's lock.
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
        self._unfinished: set[str] = set()

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
        number = f"{_UNFINISHED}{self._number}"
        unfinished = f"{self.path}/{number}"
        fd = self._open(unfinished)
        self._unfinished.add(number)
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
        finally:
            self._unfinished.discard(number)
        await self._files.sync_folder(self.path)

    def _open(self, path: str) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        try:
            return self._files.open(path, flags, 0o600)
        except FileNotFoundError:
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

    def touched(self, name: str) -> float:
        """
        When a file was last of use, or written.

        :raises OSError: when there is no such file.
        """
        return self._files.stat(f"{self.path}/{name}").st_mtime

    def names(self) -> Iterator[str]:
        """
        The files; what an earlier process left unfinished is removed on the way.

        :raises OSError: when the folder cannot be read.
        """
        try:
            for name in self._files.scan(self.path):
                if not name.startswith(_UNFINISHED):
                    yield name
                elif name not in self._unfinished:
                    self.remove(name)
        except FileNotFoundError:
            return
