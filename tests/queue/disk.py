"""
Disks for tests: the real one without threads, one whose n-th operation fails, and what is put on them.
"""

import errno
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent
from zope.interface import provider

from smtpclient.mail.envelope import NewMessage, Recipient
from smtpclient.observe.maillog import MailLog
from smtpclient.queue.files import Files, Make
from smtpclient.queue.queuefile import build
from smtpclient.queue.spool import Spool

T = TypeVar("T")

NOW = 1_800_000_000.25


class DirectFiles(Files):
    """The real file system; what would be done in a thread is done at once, and counted."""

    def __init__(self) -> None:
        super().__init__(None)  # type: ignore[arg-type]
        self.in_threads: list[str] = []
        self.synced: list[str] = []

    async def run_in_thread(self, call: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call it here."""
        self.in_threads.append(call.__name__)
        return call(*args, **kwargs)

    async def sync(self, fd: int, folders: Sequence[str] = ()) -> None:
        """Only note which file, and which folders."""
        self.synced.append(os.readlink(f"/proc/self/fd/{fd}"))
        for folder in folders:
            await self.sync_folder(folder)

    async def make_and_sync(self, make: Make) -> None:
        """Make it here."""
        await self.sync(*make())

    async def sync_folder(self, path: str) -> None:
        """Only note which folder."""
        self.synced.append(path)


class FailingFiles(DirectFiles):
    """
    A disk that fails once.

    :ivar fails_at: which operation from now on fails; 0: none.
    :ivar done: the names of all operations so far.
    """

    def __init__(self, code: int = errno.EIO) -> None:
        super().__init__()
        self.code = code
        self.fails_at = 0
        self.done: list[str] = []

    def _count(self, name: str, subject: object = None) -> None:
        self.done.append(name)
        if self.fails_at:
            self.fails_at -= 1
            if not self.fails_at:
                raise OSError(self.code, os.strerror(self.code), subject if isinstance(subject, str) else None)


def _counted(name: str) -> Callable[..., Any]:
    def operation(self: FailingFiles, *args: Any, **kwargs: Any) -> Any:
        if name == "close":  # the descriptor is gone, whatever close(2) says
            super(FailingFiles, self).close(*args)
            return self._count(name)
        self._count(name, *args[:1])
        return getattr(super(FailingFiles, self), name)(*args, **kwargs)

    operation.__name__ = name
    return operation


OPERATIONS = [name for name, value in vars(Files).items() if callable(value) and not name.startswith("_")]
OPERATIONS.remove("run_in_thread")
OPERATIONS.remove("make_and_sync")

for _name in OPERATIONS:
    setattr(FailingFiles, _name, _counted(_name))


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never really waits."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coroutine.close()
    raise AssertionError("the coroutine waits for something")


def message(content: bytes | Sequence[bytes] = b"Subject: test\n\nHello\n", **fields: Any) -> NewMessage:
    """A small message from a to b."""
    values: Mapping[str, Any] = {"sender": "a@sender.example", "recipients": (Recipient("b@dest.example"),), **fields}
    return NewMessage(content=content, **values)


def queue_file(new: NewMessage, now: float = NOW, warn_at: float = 0.0) -> bytes:
    """The bytes of a message's queue file."""
    made = build(new, now, warn_at)
    data = b"".join(made.blocks())
    return made.size_record + data[len(made.size_record) :]


def spool(directory: str, files: Files | None = None, **options: Any) -> tuple[Spool, Clock, list[str]]:
    """A prepared queue directory, its clock, and the lines of its log."""
    os.makedirs(directory, exist_ok=True)
    clock = Clock()
    clock.advance(NOW)
    maillog = MailLog(clock.seconds)
    lines: list[str] = []

    @provider(ILogObserver)
    def observe(event: LogEvent) -> None:
        lines.append(event["mail_line"])

    maillog.publisher.addObserver(observe)
    made = Spool(directory, files or DirectFiles(), clock, maillog, **options)
    made.prepare()
    return made, clock, lines


def tree(directory: str) -> dict[str, int]:
    """Every file below a folder and its permission bits, but for the locks."""
    found = {}
    for folder, _folders, names in os.walk(directory):
        for name in names:
            path = os.path.join(folder, name)
            if not folder.endswith("/pid"):
                found[os.path.relpath(path, directory)] = os.stat(path).st_mode & 0o777
    return found
