"""The service: each failed recipient is a line of five columns, on disk before mail counts as done."""

import os

from zope.interface import implementer

from smtpclient.interfaces import IBounceService, IMessageContent
from smtpclient.mail import address
from smtpclient.mail.envelope import Envelope
from smtpclient.mail.outcome import Outcome
from smtpclient.queue.files import Files


@implementer(IBounceService)
class BounceTable:
    """
    Writes ``queue id, sender, recipient, status, reason``, separated by tabs.

    :param path: the table; made when it is missing.
    :param files: makes every operation on files.
    """

    def __init__(self, path: str, files: Files) -> None:
        self._path = path
        self._files = files

    async def append(self, envelope: Envelope, outcome: Outcome) -> None:
        """
        Write one line.

        :raises OSError: when it cannot be written; the recipient then stays queued.
        """
        columns = (
            envelope.queue_id,
            address.external(envelope.sender),
            address.external(outcome.recipient.address),
            outcome.status,
            outcome.reason,
        )
        # What a server said must not make a column or a line of its own.
        line = "\t".join(" ".join(column.split()) for column in columns) + "\n"
        fd = self._files.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            self._files.write(fd, address.to_bytes(line))
            await self._files.sync(fd)
        finally:
            self._files.close(fd)

    async def flush(self, envelope: Envelope, content: IMessageContent) -> None:
        """Nothing more is to be done: whoever reads the table writes to the sender."""
