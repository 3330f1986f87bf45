"""
``smtpclient queue show``: one message, in the way of postcat(1): envelope, recipients, content.

Reads like the header of a message: ``name: value``, one to a line, between lines of asterisks. With ``--content`` there
is nothing but the content, so that it can be piped into a program that reads messages.

Promises: the content comes out as it will be sent, but with plain line feeds, byte for byte.
"""

import time
from collections.abc import Iterator
from typing import TextIO

from smtpclient.command.queue_directory import Listed, QueueDirectory
from smtpclient.mail import address
from smtpclient.mail.envelope import Notify, Recipient, Return
from smtpclient.observe.maillog import printable


async def show(
    queue: QueueDirectory, listed: Listed, stdout: TextIO, *, envelope: bool = True, content: bool = True
) -> None:
    """
    Show one message.

    :param envelope: show what is known beside the content.
    :param content: show the content.
    :raises CorruptQueueFile: when the content cannot be made out.
    :raises FileNotFoundError: when it has moved on.
    """
    both = envelope and content
    name = f"{listed.queue}/{listed.message.envelope.queue_id}"
    if envelope:
        stdout.write(f"*** ENVELOPE {name} ***\n")
        stdout.writelines(f"{label}: {value}\n" for label, value in _envelope(listed))
        for recipient in listed.message.recipients:
            stdout.writelines(f"{label}: {value}\n" for label, value in _recipient(listed, recipient))
        if listed.message.finished:
            stdout.write(f"finished_recipients: {listed.message.finished}\n")
    if both:
        stdout.write(f"*** CONTENT {name} ***\n")
    if content:
        reader = queue.open_content(listed)
        try:
            while block := await reader.next_block():
                stdout.write(address.from_bytes(block))
        finally:
            reader.close()
    if both:
        stdout.write(f"*** END {name} ***\n")


def _envelope(listed: Listed) -> Iterator[tuple[str, str]]:
    envelope = listed.message.envelope
    yield "arrival_time", _time(envelope.arrival)
    if int(envelope.created) != int(envelope.arrival):
        yield "create_time", _time(envelope.created)
    if listed.queue == "deferred":
        yield "next_attempt", _time(listed.entry.due)
    if listed.entry.expire_now:
        yield "forced_expire", "yes"
    if listed.message.warn_at > 0:
        yield "delay_warning", _time(listed.message.warn_at)
    yield "message_size", str(envelope.size)
    yield "sender", printable(address.external(envelope.sender)) or "<>"
    values = {
        "full_name": envelope.full_name,
        "encoding": envelope.encoding,
        "smtputf8": str(envelope.utf8.name or "").lower().replace("|", ", "),
        "tls": str(envelope.tls.name or "").lower(),
        "envelope_id": envelope.envelope_id,
        "return": "" if envelope.ret is Return.UNSPECIFIED else envelope.ret.name.lower(),
        **envelope.attributes,
    }
    yield from ((label, printable(value)) for label, value in values.items() if value)


def _recipient(listed: Listed, recipient: Recipient) -> Iterator[tuple[str, str]]:
    yield "recipient", printable(address.external(recipient.address))
    if recipient.original and recipient.original != recipient.address:
        yield "  original_recipient", printable(address.external(recipient.original))
    if recipient.orcpt:
        yield "  dsn_original_recipient", printable(recipient.orcpt)
    if recipient.notify:
        yield "  notify", ", ".join(flag.name.lower() for flag in Notify if flag in recipient.notify and flag.name)
    if reason := listed.reasons.get(recipient.address):
        yield "  delay_reason", printable(reason)


def _time(seconds: float) -> str:
    return time.strftime("%a, %d %b %Y %H:%M:%S %z", time.localtime(seconds))
