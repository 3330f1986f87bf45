"""
New mail for Postfix: a message is handed to cleanup(8), which rewrites its addresses and puts it into the queue.

Promises: when :meth:`HandingIn.submit` returns, the message is in Postfix's queue; addresses without a domain, virtual
aliases and canonical maps are dealt with as Postfix deals with them in mail of its own.

Does not: stream; for notices, which are small.
"""

from collections.abc import Iterator
from email.utils import formatdate

from smtpclient.mail.envelope import NewMessage, Utf8
from smtpclient.postfix.attributes import Fields, WireError, encode
from smtpclient.postfix.call import Caller, Unanswered
from smtpclient.queue import record
from smtpclient.queue.content_records import LineEncoder
from smtpclient.queue.queuefile import envelope_text

_SOCKET = "public/cleanup"
_PROTOCOL = "cleanup_protocol"
_MAP_ADDRESSES = 32
_UTF8 = 256


class HandingIn:
    """
    The way in.

    :param caller: reaches Postfix's sockets.
    :param hostname: what this machine is called in the ``Received:`` field, which cleanup(8) insists on.
    :param mail_name: what the mail system calls itself there.
    """

    def __init__(self, caller: Caller, hostname: str, mail_name: str) -> None:
        self._caller = caller
        self._by = f"{hostname} ({mail_name})"

    async def submit(self, message: NewMessage, now: float) -> str:
        """
        Hand in a message.

        :param now: seconds since the epoch.
        :return: its queue id, once it is queued.
        :raises Unanswered: when it was not, or nobody knows.
        :raises ValueError: when it cannot be said.
        """
        queue_ids: list[str] = []

        def greeted(fields: Fields) -> None:
            queue_ids.append(fields.text("queue_id"))
            fields.end()

        flags = _MAP_ADDRESSES | (_UTF8 if message.utf8 & Utf8.REQUESTED else 0)
        request = encode([("flags", flags)]) + b"".join(_records(message, now, self._by))
        answer = await self._caller.ask(_SOCKET, _PROTOCOL, request, greeted)
        try:
            status, reason = answer.integer("status"), answer.text("reason")
        except WireError as why:
            raise Unanswered(f"{_SOCKET}: {why}") from None
        if status:
            raise Unanswered(f"{_SOCKET}: the message was not taken (status {status}): {reason}")
        return queue_ids[0]


def _records(message: NewMessage, now: float, by: str) -> Iterator[bytes]:
    """
    The message as cleanup(8) wants it.

    :raises ValueError: for a line break or NUL in an address.
    """
    yield record.encode(record.TIME, b"%d %d" % divmod(int(now * 1e6), 1_000_000))
    yield record.encode(record.ATTRIBUTE, b"log_message_origin=local")
    yield record.encode(record.SENDER, envelope_text("sender", message.sender))
    for recipient in message.recipients:
        yield record.encode(record.RECIPIENT, envelope_text("recipient", recipient.address))
    yield record.encode(record.CONTENT)
    content = message.content if isinstance(message.content, bytes) else b"".join(message.content)
    lines = LineEncoder()
    yield lines.feed(f"Received: by {by};\n\t{formatdate(now, localtime=True)}\n".encode())
    yield lines.feed(content)
    yield lines.finish()
    yield record.encode(record.EXTRACTED) + record.encode(record.END)
