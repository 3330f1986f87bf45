"""
Who a message is from and for, from one short read of its queue file: enough to see that it cannot go out now.

To take a message out of its folder, read it and put it back costs a third of a delivery. A glimpse costs a tenth of
that: no lock, no move, nothing made but two kinds of addresses.

Promises: nothing is seen where the first :data:`LENGTH` bytes do not hold all recipients, or anything in them is out
of the ordinary; one system call each to open, read and close, one more where the file is shorter.

Does not: judge. What a glimpse says is a hint, and whoever acts on it reads the message properly before it is
delivered, reported or changed.
"""

from typing import NamedTuple

from smtpclient.mail import address
from smtpclient.queue import record
from smtpclient.queue.files import Files

LENGTH = 1024
"""How much of a file is looked at, bytes."""

_SIZE_RECORD = 97  # bytes, as everybody writes it: type, length, six numbers of 15 digits, five blanks

_PASSED = frozenset(
    (
        record.TIME,
        record.ATTRIBUTE,
        record.FULL_NAME,
        record.CREATE_TIME,
        record.WARN,
        record.ORIGINAL,
        record.ORCPT,
        record.NOTIFY,
        record.RETURN,
        record.ENVELOPE_ID,
    )
)


class Glimpse(NamedTuple):
    """
    What was seen.

    :param recipients: those that are not done.
    """

    sender: str
    recipients: tuple[str, ...]


def glimpse(files: Files, path: str) -> Glimpse | None:
    """
    Look into a queue file.

    :return: None when it takes more than a glimpse, or there is no file that can be read.
    """
    try:
        fd = files.open(path)
    except OSError:
        return None
    try:
        data = files.pread(fd, LENGTH, 0)
    except OSError:
        return None
    finally:
        files.close(fd)
    return seen(data)


def seen(data: bytes) -> Glimpse | None:
    """
    What the beginning of a queue file says.

    :return: None when it does not say all.
    """
    sender: str | None = None
    recipients: list[str] = []
    finished = 0
    at, room = _SIZE_RECORD, len(data)
    while at + 2 <= room:
        kind, length = data[at], data[at + 1]
        end = at + 2 + length
        if length > 0x7F or end > room:
            return None
        if kind in _PASSED:
            at = end
            continue
        if kind == record.RECIPIENT:
            recipients.append(address.from_bytes(data[at + 2 : end]))
        elif kind == record.SENDER:
            sender = address.from_bytes(data[at + 2 : end])
        elif kind == record.DONE:
            finished += 1
        elif kind == record.CONTENT:
            # Behind the content there may be more, from its header.
            if sender is None or not recipients or len(recipients) + finished != _counted(data):
                return None
            return Glimpse(sender, tuple(recipients))
        else:
            return None
        at = end
    return None


def _counted(data: bytes) -> int:
    """How many recipients the size record counts; -1: it is none, or of another form."""
    number = data[34:49].strip()  # the third of its fields
    return int(number) if data[0] == record.SIZE and data[1] == _SIZE_RECORD - 2 and number.isdigit() else -1
