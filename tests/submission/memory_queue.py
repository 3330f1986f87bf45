"""A queue in memory that does what a test tells it, and what the tests here need around it."""

import random
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock

from smtpclient.mail.envelope import NewMessage
from smtpclient.queue.intake import Rules
from smtpclient.submission.acceptance import Acceptor

RULES = Rules(myhostname="mail.example.test", myorigin="example.test", message_size_limit=1_000_000)


@dataclass
class MemoryQueue:
    """
    Keeps what is put into it.

    :ivar failure: what the next messages end with.
    :ivar hold: while it is set, messages wait for it.
    """

    messages: list[NewMessage] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    failure: Exception | None = None
    hold: "Deferred[None] | None" = None

    async def enqueue(self, message: NewMessage) -> str:
        """Queue one message, as told."""
        if self.hold is not None:
            await self.hold
        content = b"".join(message.content if not isinstance(message.content, bytes) else [message.content])
        if self.failure is not None:
            raise self.failure
        self.messages.append(message)
        self.contents.append(content)
        return f"ID{len(self.messages)}"

    @property
    def recipients(self) -> list[list[str]]:
        """The recipients of each message."""
        return [[recipient.address for recipient in message.recipients] for message in self.messages]


def acceptor(queue: MemoryQueue, clock: IReactorTime | None = None, rules: Rules = RULES) -> Acceptor:
    """What feeds a queue, the same each time."""
    return Acceptor(queue.enqueue, rules, clock or Clock(), random.Random(1))
