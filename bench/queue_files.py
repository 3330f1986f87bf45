"""
Queue directories full of messages, made quickly: the same files for every mail system that is measured.
"""

import os
import shutil
import time
from collections.abc import Iterator

from smtpclient.mail.envelope import NewMessage, Recipient
from smtpclient.queue import queue_id, queuefile

_ALPHABET = b"the quick brown fox jumps over the lazy dog 0123456789 "


def content(size: int, number: int) -> bytes:
    """A message of about so many bytes in lines of 70."""
    head = (
        f"From: Load <load@bench.example>\nTo: reader@dest.example\nSubject: message {number}\n"
        f"Message-Id: <{number}@bench.example>\nDate: Sun, 22 Nov 2026 08:00:00 +0000\n\n"
    ).encode()
    start = number % 40
    line = (_ALPHABET * 3)[start : start + 70] + b"\n"
    return head + line * max((size - len(head)) // len(line), 1)


def recipients(number: int, count: int, destinations: int) -> list[Recipient]:
    """The recipients of one message, all at one destination."""
    domain = f"dest{number % destinations}.example"
    return [Recipient(f"reader{index}@{domain}") for index in range(count)]


def fill(
    directory: str, messages: Iterator[NewMessage], queue: str = "incoming", owner: str = "", due: float = 0.0
) -> int:
    """
    Put messages into a queue.

    :param owner: the user that the files are to belong to; empty: whoever we are.
    :param due: seconds from now, for ``deferred``.
    :return: how many.
    """
    folder = os.path.join(directory, queue)
    os.makedirs(folder, exist_ok=True)
    number = 0
    for number, message in enumerate(messages, 1):
        now = time.time()
        new = queuefile.build(message, now)
        draft = os.path.join(folder, f"draft.{number}")
        fd = os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
        for block in new.blocks():
            os.write(fd, block)
        os.pwrite(fd, new.size_record, 0)
        name = queue_id.short_id(int(now % 1 * 1e6), os.fstat(fd).st_ino)
        if owner:
            shutil.chown(draft, owner)
        os.fchmod(fd, 0o700)
        os.close(fd)
        target = folder
        if queue == "deferred":
            target = os.path.join(folder, name[0])
            os.makedirs(target, exist_ok=True)
        os.rename(draft, os.path.join(target, name))
        os.utime(os.path.join(target, name), (now + due, now + due))
    if owner:
        shutil.chown(folder, owner)
    return number


def messages(count: int, size: int, destinations: int = 1, each: int = 1) -> Iterator[NewMessage]:
    """
    Messages for :func:`fill`.

    :param each: recipients of each.
    """
    for number in range(count):
        yield NewMessage(
            "load@bench.example",
            recipients(number, each, destinations),
            content(size, number),
            attributes={"log_message_origin": "local", "rewrite_context": "local"},
        )


def left(directory: str) -> int:
    """How many messages a queue directory still has to deliver."""
    return sum(
        len(files)
        for queue in ("incoming", "active", "deferred")
        for _, _, files in os.walk(os.path.join(directory, queue))
    )
