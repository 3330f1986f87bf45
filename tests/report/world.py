"""What the tests of reports stand on: a real spool in a folder, a clock that is set by hand, mail that is collected."""

import os
from collections.abc import Sequence
from email import message_from_bytes, policy
from email.message import Message
from random import Random
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface import implementer

from smtpclient.interfaces import IContentReader, IMessageContent
from smtpclient.mail.envelope import Envelope, NewMessage, Notify, Recipient
from smtpclient.mail.outcome import Disposition, Outcome, Peer
from smtpclient.observe.maillog import MailLog
from smtpclient.queue.files import Files, Make
from smtpclient.queue.spool import Spool
from smtpclient.report.entry import Entry
from smtpclient.report.journal import Journal
from smtpclient.report.notification import Notification
from smtpclient.report.settings import ReportSettings

NOW = 1763796935.0  # Sat, 22 Nov 2025 07:35:35 +0000

MAIL = b"From: author@example.org\nTo: reader@example.com\nSubject: hello\nMessage-ID: <1@example.org>\n\nHello!\n"

UNSAID = Notify(0)

PEER = Peer("mx.example.com", "192.0.2.1", 25)


@implementer(IContentReader)
class Reading:
    """Hands out bytes in blocks of one size."""

    def __init__(self, data: bytes, block: int) -> None:
        self._data = data
        self._block = block
        self.closed = False
        self.read = 0

    async def next_block(self) -> bytes:
        """The next bytes."""
        data = self._data[self.read : self.read + self._block]
        self.read += len(data)
        return data

    def close(self) -> None:
        """Note that it was closed."""
        self.closed = True


@implementer(IMessageContent)
class Content:
    """A content that is in memory."""

    def __init__(self, data: bytes = MAIL, block: int = 50) -> None:
        self.data = data
        self.block = block
        self.readings: list[Reading] = []

    def open(self) -> Reading:
        """Start reading."""
        self.readings.append(Reading(self.data, self.block))
        return self.readings[-1]


@implementer(IMessageContent)
class Unreadable:
    """A content whose file cannot be opened."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def open(self) -> Any:
        """Fail."""
        raise self.error


class DirectFiles(Files):
    """The real files; an fsync is made on the spot, and noted; it can be held up, or fail."""

    def __init__(self) -> None:
        super().__init__(cast(Any, None))
        self.synced: list[str] = []
        self.failing: OSError | None = None
        self.held: list[Deferred[None]] | None = None

    async def sync(self, fd: int, folders: Sequence[str] = ()) -> None:
        """Note which file, and fail if that is wanted."""
        if self.held is not None:
            waiting: Deferred[None] = Deferred()
            self.held.append(waiting)
            await waiting
        if self.failing:
            raise self.failing
        self.synced.append(os.readlink(f"/proc/self/fd/{fd}"))
        for folder in folders:
            await self.sync_folder(folder)

    async def make_and_sync(self, make: Make) -> None:
        """Make it here."""
        await self.sync(*make())

    async def sync_folder(self, path: str) -> None:
        """Note which folder."""
        self.synced.append(path)


class World:
    """A spool and everything around it; what is submitted is kept in ``submitted``."""

    def __init__(self, directory: str, **settings: Any) -> None:
        os.makedirs(directory, exist_ok=True)
        self.clock = Clock()
        self.clock.rightNow = NOW
        self.lines: list[str] = []
        self.maillog = MailLog(self.clock.seconds)
        self.maillog.publisher.addObserver(lambda event: self.lines.append(f"{event['process']}: {event['mail_line']}"))
        self.files = DirectFiles()
        self.spool = Spool(directory, self.files, self.clock, self.maillog)
        self.spool.prepare()
        self.settings = ReportSettings(**{"hostname": "mail.example.org", "origin": "example.org", **settings})
        self.journal = Journal(self.spool, self.files, self.clock)
        self.random = Random(1)
        self.submitted: list[NewMessage] = []
        self.refusals: list[Exception | None] = []  # of the next messages; None: taken
        self.notification = Notification(self.settings, self.submit, self.maillog, self.clock, self.random)

    async def submit(self, message: NewMessage) -> str:
        """Keep a message, or refuse it if that is wanted."""
        refusal = self.refusals.pop(0) if self.refusals else None
        if refusal:
            raise refusal
        self.submitted.append(message)
        return f"NEW{len(self.submitted)}"

    def journal_text(self, kind: str, queue_id: str = "ABCDE1234") -> bytes | None:
        """What is in a message's file; None when there is none."""
        try:
            with open(self.spool.journal_path(kind, queue_id), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def put_journal(self, kind: str, data: bytes, queue_id: str = "ABCDE1234") -> None:
        """Put bytes into a message's file."""
        path = self.spool.journal_path(kind, queue_id)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)


def envelope(sender: str = "author@example.org", **changes: Any) -> Envelope:
    """The envelope of a message that came an hour ago."""
    values: dict[str, Any] = {
        "queue_id": "ABCDE1234",
        "sender": sender,
        "arrival": NOW - 3600,
        "created": NOW - 3600,
        "size": len(MAIL),
        "content_offset": 97,
    }
    return Envelope(**{**values, **changes})


def bounced(address: str = "nobody@example.com", notify: Notify = UNSAID, offset: int = 512) -> Outcome:
    """A recipient whom a server does not know."""
    return Outcome(
        recipient=Recipient(address, offset=offset, orcpt="rfc822;" + address, notify=notify),
        disposition=Disposition.BOUNCED,
        status="5.1.1",
        reason="host mx.example.com[192.0.2.1] said: 550 5.1.1 unknown (in reply to RCPT TO command)",
        reply="550 5.1.1 unknown",
        peer=PEER,
        stage="RCPT TO command",
    )


def deferred(address: str = "slow@example.com", notify: Notify = UNSAID, offset: int = 600) -> Outcome:
    """A recipient whose server cannot be reached."""
    return Outcome(
        recipient=Recipient(address, offset=offset, notify=notify),
        disposition=Disposition.DEFERRED,
        status="4.4.1",
        reason="connect to mx.example.com[192.0.2.1]:25: Connection refused",
        peer=PEER,
    )


def sent(address: str = "friend@example.com", notify: Notify = Notify.SUCCESS, **changes: Any) -> Outcome:
    """A recipient whose mail was taken."""
    values: dict[str, Any] = {
        "recipient": Recipient(address, offset=700, notify=notify),
        "disposition": Disposition.SENT,
        "status": "2.0.0",
        "reason": "250 2.0.0 Ok: queued as 1",
        "reply": "250 2.0.0 Ok: queued as 1",
        "peer": PEER,
        "stage": "end of DATA command",
    }
    return Outcome(**{**values, **changes})


def entry(address: str = "nobody@example.com", reason: str = "it failed", **changes: Any) -> Entry:
    """A recorded recipient without a server's reply."""
    recipient = changes.pop("recipient", Recipient(address, notify=changes.pop("notify", UNSAID)))
    return Entry(**{"recipient": recipient, "status": "5.0.0", "action": "failed", "reason": reason, **changes})


def parsed(message: NewMessage) -> Message:
    """A submitted message as a mail reader sees it."""
    return message_from_bytes(whole(message), policy=policy.compat32)


def whole(message: NewMessage) -> bytes:
    """The content of a submitted message."""
    return message.content if isinstance(message.content, bytes) else b"".join(message.content)


def parts(message: NewMessage) -> list[Message]:
    """The parts of a report."""
    found = parsed(message)
    assert found.is_multipart(), found
    return cast("list[Message]", found.get_payload())


def groups(message: NewMessage) -> list[dict[str, str]]:
    """The groups of fields in a delivery status, unfolded; the first is that of the message."""
    text = part_bytes(message, 1)
    return [fields(group) for group in text.rstrip(b"\n").split(b"\n\n")]


def fields(group: bytes) -> dict[str, str]:
    """The fields of a group, unfolded."""
    lines = group.decode().replace("\n ", " ").split("\n")
    return {name: value for name, _, value in (line.partition(": ") for line in lines)}


def part_bytes(message: NewMessage, number: int) -> bytes:
    """The body of a part as it stands in the report, without the help of a parser for mail."""
    boundary = cast(str, parsed(message).get_boundary())
    part = whole(message).split(b"\n--" + boundary.encode())[number + 1]
    return part.partition(b"\n\n")[2]


def lines_of(message: NewMessage) -> Sequence[bytes]:
    """The lines of a submitted message."""
    return whole(message).split(b"\n")
