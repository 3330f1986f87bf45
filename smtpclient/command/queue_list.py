"""
``smtpclient queue list``: what waits, in the two forms that postqueue(1) has made familiar.

The table of ``mailq`` and ``postqueue -p``: behind a queue id stands ``*`` for a message that is being delivered, ``!``
for one on hold, ``#`` for one that will be returned at its next attempt; above a recipient stands the reason why it
waits. And the objects of ``postqueue -j``, one a line, with the same members.

Promises: neither memory nor the time until the first line grows with the queue; a message that moves on meanwhile is
left out, and may be seen twice if it moves into a queue that comes later.

Does not: sort. Messages come in the order of the folders.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

from smtpclient.command.queue_directory import QUEUES, CorruptQueueFile, Listed, QueueDirectory
from smtpclient.mail import address
from smtpclient.observe.maillog import printable

MARKS = {"active": "*", "hold": "!"}
NO_SENDER = "MAILER-DAEMON"


@dataclass(frozen=True, slots=True)
class Columns:
    """
    The layout of the table.

    :param recipient: where the sender and the recipients start, characters from the left.
    """

    heading: str
    row: str
    recipient: int


SHORT = Columns(
    "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n", "{:<11} {:>7} {:>20.20} {}\n", 41
)
LONG = Columns(
    "----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------\n", "{:<17} {:>8} {:>19.19} {}\n", 47
)
REASON_ENDS = 78
"""Reasons are set to the right, so that they stand apart from recipients, and end here."""


async def list_queue(queue: QueueDirectory, stdout: TextIO, stderr: TextIO, *, as_json: bool) -> None:
    """
    List every message.

    :raises OSError: when a folder cannot be read.
    """
    columns = LONG if queue.long_ids else SHORT
    count = size = 0
    for name, entry in queue.entries(*QUEUES):
        try:
            listed = await queue.listed(name, entry)
        except FileNotFoundError:
            continue
        except CorruptQueueFile as error:
            stderr.write(f"smtpclient queue list: {error}\n")
            continue
        if as_json:
            stdout.write(json_line(listed))
        else:
            stdout.write("\n" if count else columns.heading)
            stdout.writelines(table_rows(listed, columns))
        count += 1
        size += listed.message.envelope.size
    if not as_json and count:
        stdout.write(f"\n-- {size // 1024} Kbytes in {count} Request{'' if count == 1 else 's'}.\n")
    elif not as_json:
        stdout.write("Mail queue is empty\n")


def table_rows(listed: Listed, columns: Columns) -> Iterator[str]:
    """One message as lines of the table."""
    envelope = listed.message.envelope
    mark = MARKS.get(listed.queue, "") + ("#" if listed.entry.expire_now else "")
    arrival = time.asctime(time.localtime(envelope.arrival))  # the row cuts off the year
    yield columns.row.format(envelope.queue_id + mark, envelope.size, arrival, _shown(envelope.sender) or NO_SENDER)
    for recipient in listed.message.recipients:
        if listed.reasons:
            reason = f"({_reason(listed, recipient.address) or 'reason unavailable'})"
            yield f"{reason:>{REASON_ENDS}}\n"
        yield " " * columns.recipient + _shown(recipient.address) + "\n"


def json_line(listed: Listed) -> str:
    """One message as a line of JSON; members have the names that postqueue(1) gives them."""
    envelope = listed.message.envelope
    recipients = []
    for recipient in listed.message.recipients:
        reason = _reason(listed, recipient.address)
        shown = {"address": _shown(recipient.address)}
        recipients.append(shown | {"delay_reason": reason} if reason else shown)
    members = {
        "queue_name": listed.queue,
        "queue_id": envelope.queue_id,
        "arrival_time": int(envelope.arrival),
        "message_size": envelope.size,
        "forced_expire": listed.entry.expire_now,
        "sender": _shown(envelope.sender) or NO_SENDER,
        "recipients": recipients,
    }
    return json.dumps(members, ensure_ascii=False) + "\n"


def _shown(internal: str) -> str:
    return printable(address.external(internal))


def _reason(listed: Listed, recipient: str) -> str:
    return printable(listed.reasons.get(recipient, ""))
