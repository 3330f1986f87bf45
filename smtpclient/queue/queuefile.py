"""
Queue files: a message as one file of records, in Postfix's format.

``C`` size record, envelope, ``M``, content, ``X``, what was extracted from the content, ``E``. Written by
:class:`NewQueueFile` and read by :func:`read_message`; ``doc/queue-files.rst`` describes the format and the life of a
file.

Promises: what is written is read back as it was, by us and by postcat(1); a file cut at any byte, with any byte
changed, is either a message or a :class:`CorruptQueueFile`; neither costs memory that grows with the message.

Does not: touch folders (``spool``), read content (``content``).
"""

from collections.abc import Callable, Iterable, Iterator

from smtpclient.mail import address
from smtpclient.mail.envelope import NewMessage, QueuedMessage, Recipient
from smtpclient.queue import record
from smtpclient.queue.content_records import LineEncoder
from smtpclient.queue.envelope_reader import EnvelopeReader
from smtpclient.queue.files import Files
from smtpclient.queue.record import CorruptQueueFile, MalformedRecord, encode
from smtpclient.queue.record_reader import WINDOW, RecordReader

__all__ = ["BLOCK", "WINDOW", "CorruptQueueFile", "NewQueueFile", "build", "read_message"]

BLOCK = 256 * 1024
"""About how much of a new queue file is made at once, bytes."""

_OWN_ATTRIBUTES = {"create_time", "envelope_id", "ret_flags", "encoding", "notify_flags", "dsn_orig_rcpt"}


def _no_remark(_words: str) -> None:
    return


def read_message(
    files: Files,
    fd: int,
    path: str,
    queue_id: str,
    remark: Callable[[str], None] = _no_remark,
    size: int = -1,
    beginning: bytes = b"",
) -> QueuedMessage:
    """
    Read the message of an open queue file.

    :param path: only for the complaint.
    :param remark: told, in words, of what is odd and does no harm.
    :param size: how long the file is, bytes; -1: nothing is known of it yet.
    :param beginning: who knows its size has read all of it, or the first :data:`WINDOW` bytes.
    :raises CorruptQueueFile: when the file does not hold a message.
    :raises OSError: when the file cannot be read; that says nothing about what it holds.
    """
    if size < 0:
        size = files.fstat(fd).st_size
        beginning = files.pread(fd, min(size, WINDOW), 0)
    try:
        return EnvelopeReader(queue_id, RecordReader(files, fd, size, beginning), remark).read()
    except MalformedRecord as error:
        raise CorruptQueueFile(path, error.offset, error.why) from error


def build(message: NewMessage, now: float, warn_at: float = 0.0) -> "NewQueueFile":
    """
    Make the queue file of a new message.

    :param now: the arrival time, seconds since the epoch.
    :param warn_at: when its sender is to be warned of a delay, seconds since the epoch; 0: never.
    :raises ValueError: when the envelope cannot be written: no recipient, a line break or NUL in an address.
    """
    return NewQueueFile(message, now, warn_at)


class NewQueueFile:
    """
    The bytes of one new queue file, made block by block.

    :ivar size_record: what has to stand at the start of the file once all blocks are written.
    """

    def __init__(self, message: NewMessage, now: float, warn_at: float = 0.0) -> None:
        self._envelope = b"".join(_envelope(message, now, warn_at))
        self._message = message
        notify = 0
        for recipient in message.recipients:
            notify |= int(recipient.notify)
        self._notify = notify << 1
        self.size_record = self._sizes(0)

    def blocks(self) -> Iterator[bytes]:
        """
        The file, front to back.

        The first block starts with :attr:`size_record`, which is only right when all blocks have been made; a small
        message has only one block, and it is right.
        """
        made = [self._envelope]
        size = content = 0
        front = self.size_record  # goes out with the first block
        for records in self._content_records():
            made.append(records)
            size += len(records)
            content += len(records)
            if size >= BLOCK:
                yield front + b"".join(made)
                made, size, front = [], 0, b""
        if not content:
            # Postfix's queue manager takes a message without any content record for damaged.
            made.append(encode(record.LINE))
            content = len(made[-1])
        made.append(encode(record.EXTRACTED) + encode(record.END))
        self.size_record = self._sizes(content)
        yield (self.size_record if front else b"") + b"".join(made)

    def _content_records(self) -> Iterator[bytes]:
        lines = LineEncoder()
        for text in _slices(self._message.content):
            yield lines.feed(text)
        yield lines.finish()

    def _sizes(self, content: int) -> bytes:
        message = self._message
        fields = (
            content,
            _SIZE_RECORD + len(self._envelope),
            len(message.recipients),
            self._notify,
            content,
            int(message.utf8) | int(message.tls),
        )
        return encode(record.SIZE, b"%15d %15d %15d %15d %15d %15d" % fields)


_SIZE_RECORD = 97  # bytes: type, length, six numbers of 15 digits, five blanks


def _slices(content: bytes | Iterable[bytes]) -> Iterator[bytes]:
    """The content in blocks of bounded size."""
    for block in (content,) if isinstance(content, bytes) else content:
        if len(block) <= BLOCK:
            yield block
        else:
            for start in range(0, len(block), BLOCK):
                yield block[start : start + BLOCK]


def _envelope(message: NewMessage, now: float, warn_at: float) -> Iterator[bytes]:
    """The records from the arrival time to the one that opens the content."""
    if not message.recipients:
        raise ValueError("a message without recipients cannot be queued")
    microseconds = round(now * 1e6)
    yield encode(record.TIME, b"%d %d" % divmod(microseconds, 1_000_000))
    yield _attribute("create_time", str(int(now if message.created is None else message.created)))
    for name, value in message.attributes.items():
        if name in _OWN_ATTRIBUTES or not name.strip() or "=" in name:
            raise ValueError(f"{name!r} is no name for a further attribute of a message")
        yield _attribute(name, value)
    for name, value in (
        ("envelope_id", message.envelope_id),
        ("ret_flags", str(int(message.ret)) if message.ret else ""),
        ("encoding", message.encoding),
    ):
        if value:
            yield _attribute(name, value)
    if message.full_name:
        yield encode(record.FULL_NAME, envelope_text("full name", message.full_name))
    yield encode(record.SENDER, envelope_text("sender", message.sender))
    if warn_at:
        yield encode(record.WARN, b"%15d" % warn_at)
    for recipient in message.recipients:
        yield from _recipient(recipient)
    yield encode(record.CONTENT)


def _recipient(recipient: Recipient) -> Iterator[bytes]:
    if not recipient.address:
        raise ValueError("a recipient without address cannot be queued")
    if recipient.notify:
        yield _attribute("notify_flags", str(int(recipient.notify)))
    if recipient.orcpt:
        yield _attribute("dsn_orig_rcpt", recipient.orcpt)
    text = envelope_text("recipient", recipient.address)
    yield encode(record.ORIGINAL, envelope_text("original recipient", recipient.original) or text)
    yield encode(record.RECIPIENT, text)


def _attribute(name: str, value: str) -> bytes:
    return encode(record.ATTRIBUTE, envelope_text(f"attribute {name}", f"{name}={value}"))


def envelope_text(what: str, text: str) -> bytes:
    """
    The bytes of an envelope text that no reader will take for two lines.

    :param what: it is, for the operator.
    :raises ValueError: when it holds a line break or NUL.
    """
    if "\n" in text or "\r" in text or "\0" in text:
        raise ValueError(f"the {what} {text!r} holds a line break or NUL and cannot be queued")
    return address.to_bytes(text)
