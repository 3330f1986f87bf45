"""
The only two things that are ever changed in a complete queue file: a recipient is done, the sender has been warned.

Both are written in place, over a record of the same length, after a look at what stands there: an offset that is wrong
must not damage a message.
"""

from collections.abc import Sequence

from smtpclient.queue import record
from smtpclient.queue.files import Files
from smtpclient.queue.record import CorruptQueueFile

_NEVER = b"%15d" % -1


def mark_done(files: Files, fd: int, path: str, offsets: Sequence[int]) -> None:
    """
    Turn recipients to do into recipients done.

    :param fd: the queue file, open for reading and writing.
    :param offsets: where the type bytes of their records stand; one that is marked already stays so.
    :raises CorruptQueueFile: when something else stands at one of them; all others are marked.
    :raises OSError: when the file cannot be read or written.
    """
    wrong: CorruptQueueFile | None = None
    for offset in offsets:
        found = files.pread(fd, 1, offset) if offset >= 0 else b""
        if found == b"R":
            files.pwrite(fd, b"D", offset)
        elif found != b"D":
            words = f"{found!r} where a recipient's record should stand; it is not marked as done"
            wrong = CorruptQueueFile(path, offset, words)
    if wrong is not None:
        raise wrong


def mark_warned(files: Files, fd: int, path: str, offset: int) -> None:
    """
    Note that the delay warning has been sent, or need not be.

    :param fd: the queue file, open for reading and writing.
    :param offset: where the record of its time stands.
    :raises CorruptQueueFile: when no such record stands there.
    :raises OSError: when the file cannot be read or written.
    """
    wanted = record.encode(record.WARN, _NEVER)
    found = files.pread(fd, len(wanted), offset)
    if len(found) < len(wanted) or found[:2] != wanted[:2]:
        raise CorruptQueueFile(path, offset, f"{found[:2]!r} where the record of the delay warning should stand")
    files.pwrite(fd, wanted, offset)
