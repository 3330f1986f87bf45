"""Messages for tests: envelopes, recipients and content in memory."""

from typing import Any

from zope.interface import implementer

from smtpclient.interfaces import IContentReader, IMessageContent
from smtpclient.mail.envelope import Envelope, Recipient

TEXT = b"From: <sender@example.org>\nSubject: test\n\nHello.\n"


def envelope(**changes: Any) -> Envelope:
    """An envelope in which everything that is not named is plain."""
    values: dict[str, Any] = {
        "queue_id": "3A66D21A822",
        "sender": "sender@example.org",
        "arrival": 0.0,
        "created": 0.0,
        "size": len(TEXT),
        "content_offset": 0,
    }
    return Envelope(**{**values, **changes})


def recipients(*addresses: str) -> tuple[Recipient, ...]:
    """Recipients of these addresses, each with an offset of its own."""
    return tuple(Recipient(address, offset=100 + number) for number, address in enumerate(addresses))


@implementer(IMessageContent)
class MemoryContent:
    """
    Content that is given in blocks.

    :param blocks: each is what one call of ``next_block`` gives; an exception is raised in its place.
    """

    def __init__(self, *blocks: bytes | Exception) -> None:
        self._blocks = blocks or (TEXT,)
        self.readers: list[MemoryReader] = []

    def open(self) -> "MemoryReader":
        """A new reading."""
        self.readers.append(MemoryReader(self._blocks))
        return self.readers[-1]


@implementer(IContentReader)
class MemoryReader:
    """One reading of :class:`MemoryContent`."""

    def __init__(self, blocks: tuple[bytes | Exception, ...]) -> None:
        self._blocks = list(blocks)
        self.closed = False

    async def next_block(self) -> bytes:
        """The next block, or nothing."""
        block = self._blocks.pop(0) if self._blocks else b""
        if isinstance(block, Exception):
            raise block
        return block

    def close(self) -> None:
        """No more."""
        self.closed = True
