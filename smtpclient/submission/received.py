"""
Content while it is being received: in memory as long as it is small, then in a temporary file.

It is no queue file, and nothing here is durable: the client has not been told anything yet.

Promises: memory is bounded whatever the client sends; ``size_limit`` is noticed at once; the file has no name, so a
crash leaves nothing behind.
"""

import os
import tempfile
from collections.abc import Iterator
from typing import IO

from smtpclient.queue.header import BLOCK
from smtpclient.queue.intake import IntakeError

IN_MEMORY = 4 * BLOCK


class ReceivedContent:
    """
    The content of one message; iterate it for its blocks, as often as needed.

    :param size_limit: bytes; 0: no limit.
    :param folder: where the temporary file is made; None: where such files go.
    :ivar size: bytes so far.
    """

    def __init__(self, size_limit: int = 0, folder: str | None = None) -> None:
        self.size = 0
        self._size_limit = size_limit
        self._folder = folder
        self._memory = bytearray()
        self._file: IO[bytes] | None = None
        self._in_file = 0

    def write(self, block: bytes) -> None:
        """
        Add to the content.

        :raises IntakeError: when it becomes too large.
        :raises OSError: when the temporary file cannot be written.
        """
        self.size += len(block)
        if self._size_limit and self.size > self._size_limit:
            raise IntakeError("5.3.4", f"message is larger than {self._size_limit} bytes")
        self._memory += block
        if len(self._memory) > IN_MEMORY:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 -- until close()
            self._spill(self._file)

    def _spill(self, file: IO[bytes]) -> None:
        with memoryview(self._memory) as rest:
            written = 0
            while written < len(rest):
                written += os.write(file.fileno(), rest[written:])
        self._in_file += written
        self._memory.clear()

    def __iter__(self) -> Iterator[bytes]:
        """
        The blocks so far.

        :raises OSError: when the temporary file cannot be read.
        """
        for offset in range(0, self._in_file, BLOCK):
            yield os.pread(self._file.fileno(), min(BLOCK, self._in_file - offset), offset)  # type: ignore[union-attr]
        for start in range(0, len(self._memory), BLOCK):
            yield bytes(self._memory[start : start + BLOCK])

    def close(self) -> None:
        """Forget the content; more calls do no harm."""
        self._memory.clear()
        self._in_file = 0
        if self._file is not None:
            self._file.close()
            self._file = None
