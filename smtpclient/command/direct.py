"""
Files and time for a program that has nothing else to do: without a reactor, in one thread, each thing when it is asked
for.

The queue's code is made for a service that must not be held up by a disk; a command may be, and so it needs nothing of
all that: what would wait in a thread is simply done, and what would wait for a moment goes on. A coroutine that only
waits for such things is a function: :func:`at_once`.
"""

import os
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ParamSpec, TypeVar

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock

from smtpclient.queue.files import Files, Make

P = ParamSpec("P")
T = TypeVar("T")


class DirectFiles(Files):
    """File operations that are done when they are asked for."""

    def __init__(self) -> None:
        """Without a reactor, nor its threads."""

    async def run_in_thread(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call it here."""
        return call(*args, **kwargs)

    async def sync(self, fd: int, folders: Sequence[str] = ()) -> None:
        """fsync(2)."""
        os.fsync(fd)
        for folder in folders:
            await self.sync_folder(folder)

    async def make_and_sync(self, make: Make) -> None:
        """Make it here."""
        await self.sync(*make())

    async def sync_folder(self, path: str) -> None:
        """fsync(2) of a folder."""
        fd = self.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            self.close(fd)


class DirectClock(Clock):
    """
    A clock for code that lets others have their turn now and then: there are none.

    :param now: the time, seconds since the epoch; it stands still but for what is waited for.
    """

    def __init__(self, now: float) -> None:
        super().__init__()
        self.rightNow = now

    def callLater(self, delay: float, callable: Callable[..., object], *args: object, **kw: object) -> IDelayedCall:
        """Call it now."""
        delayed = super().callLater(delay, callable, *args, **kw)
        self.advance(delay)
        return delayed


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """
    The result of a coroutine that has nothing to wait for.

    :raises RuntimeError: when it waits all the same.
    """
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    coroutine.close()
    raise RuntimeError("something waits for a reactor, and there is none")
