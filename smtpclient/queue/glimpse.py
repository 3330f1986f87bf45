"""
Who a message is from and for, from one short read of its queue file: enough to see that it cannot go out now.

To take a message out of its folder, read it and put it back costs a third of a delivery. A glimpse costs a tenth of
that: no lock, no move, nothing made but two kinds of addresses.

Promises: nothing is seen where the first :data:`LENGTH` bytes do not hold all recipients, or anything in them is out
of the ordinary; one system call each to open, read and close.

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
_SIZE_BEGINS = bytes((record.SIZE, _SIZE_RECORD - 2))
_COUNT = slice(34, 49)  # where in it the number of recipients stands, the third of the six

# From one record to the next, by its length byte. One of more than 127 bytes has a second: it leads out of all bounds.
_STEPS = (*range(2, 0x80 + 2), *(1 << 30,) * 0x80)

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
        return seen(files.peek(path, LENGTH))
    except OSError:
        return None


def seen(data: bytes) -> Glimpse | None:
    """
    What the beginning of a queue file says.

    :return: None when it does not say all.
    """
    sender: str | None = None
    recipients: list[str] = []
    finished = 0
    at = _SIZE_RECORD
    try:
        # Made for each of a hundred thousand files in turn: an end that is not there is met by reading on.
        while True:
            kind = data[at]
            end = at + _STEPS[data[at + 1]]
            if kind in _PASSED:
                at = end
                continue
            if kind == record.RECIPIENT:
                recipients.append(address.from_bytes(data[at + 2 : end]))
            elif kind == record.SENDER:
                sender = address.from_bytes(data[at + 2 : end])
            elif kind == record.DONE:
                finished += 1
            else:
                break
            at = end
    except IndexError:
        return None
    # Behind the content there may be more recipients, from its header: then the size record counts more.
    total = len(recipients) + finished
    if kind != record.CONTENT or sender is None or not recipients or data[_COUNT] != b"%15d" % total:
        return None
    return Glimpse(sender, tuple(recipients)) if data.startswith(_SIZE_BEGINS) else None
