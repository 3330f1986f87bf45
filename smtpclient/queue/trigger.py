"""
The door bell of the queue: ``public/qmgr``, a UNIX stream socket.

Who has put a file into ``incoming/``, or wants the queue looked at, connects, writes letters and closes, as to
Postfix's queue manager; ``postqueue -f`` works. What the letters ask for:

=====  ============================================
``W``  look at ``incoming/``
``I``  the same
``D``  look at ``deferred/``
``F``  forget which destinations are dead
``A``  ignore the times of the next attempt
=====  ============================================

:class:`Trigger` listens, :func:`open_doors` puts it on its sockets, :func:`poke` is the client. ``public/pickup`` is
served beside ``public/qmgr``, because ``postqueue -f`` rings there too; for Postfix that is a look at ``maildrop/``,
for us one more reason to look at the queue.

Promises: whatever a caller sends, the door stays open for the next; a caller holds a connection for
``PATIENCE`` seconds and ``LONGEST`` bytes at most; letters that arrive within one turn of the reactor are told
once, together; the spool directory may lie deeper than the 107 bytes that a socket's path may have.

Does not: say that the work is done, or that it was worth doing; nothing is ever written back. A lost ring costs the
time until the next scan, never mail.

Known limits: a directory deeper than 107 bytes needs a mounted ``/proc``.
"""

import os
import socket
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import cast

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IDelayedCall, IListeningPort, IReactorTime, IReactorUNIX
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

LETTERS = frozenset("WIDFA")
PATIENCE = 10.0  # seconds; Postfix's own clients give up after trigger_timeout, which is as long
LONGEST = 512  # bytes; there are five letters to say
DOORS = ("qmgr", "pickup")

_NOTHING = (0, 0)  # no file's device and inode
_LONGEST_PATH = 107  # sun_path holds 108 bytes, one of them the NUL


class TriggerError(Exception):
    """A socket cannot be opened; the text names it and says why."""


class _Caller(Protocol):
    """One connection: letters, then nothing."""

    def __init__(self, trigger: "Trigger") -> None:
        self._trigger = trigger
        self._room = LONGEST
        self._timer: IDelayedCall | None = None

    def connectionMade(self) -> None:
        self._timer = self._trigger.clock.callLater(PATIENCE, self._hang_up)

    def dataReceived(self, data: bytes) -> None:
        self._trigger.heard(data[: self._room])
        self._room -= len(data)
        if self._room <= 0:
            self.transport.abortConnection()  # type: ignore[union-attr]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _hang_up(self) -> None:
        self.transport.abortConnection()  # type: ignore[union-attr]


class Trigger(Factory):
    """
    Hears letters and tells them, once per turn of the reactor.

    :param callback: is given the letters; what it raises is logged.
    """

    noisy = False
    _log = Logger()

    def __init__(self, callback: Callable[[frozenset[str]], object], clock: IReactorTime) -> None:
        self.clock = clock
        self._callback = callback
        self._letters: set[str] = set()
        self._turn: IDelayedCall | None = None

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """Take one caller."""
        return _Caller(self)

    def heard(self, data: bytes) -> None:
        """Take letters; what is none is passed over, as Postfix does."""
        self._letters.update(LETTERS.intersection(data.decode("latin-1")))
        if self._letters and self._turn is None:
            self._turn = self.clock.callLater(0, self._tell)

    def close(self) -> None:
        """Forget what was heard and not yet told."""
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        self._letters.clear()

    def _tell(self) -> None:
        self._turn = None
        letters = frozenset(self._letters)
        self._letters.clear()
        try:
            self._callback(letters)
        except Exception:
            # The door must stay open: without it every message waits for the next scan.
            self._log.failure("queue trigger {letters} failed", letters="".join(sorted(letters)))


class Doors:
    """The open sockets; made by :func:`open_doors`."""

    def __init__(self, trigger: Trigger) -> None:
        self._trigger = trigger
        self._ports: list[tuple[IListeningPort, str, tuple[int, int]]] = []
        self._folders: list[int] = []

    def open(self, reactor: IReactorUNIX, path: str) -> None:
        """
        Listen on one more socket.

        :raises TriggerError: when that cannot be.
        """
        reachable, folder = path, -1
        if len(os.fsencode(path)) > _LONGEST_PATH:
            # The folder stays open while we listen: the socket is removed by the same name.
            reachable, folder = _short_name(path)
            self._folders.append(folder)
        _remove_stale(path, reachable)
        try:
            port = reactor.listenUNIX(reachable, self._trigger, mode=0o666)
        except CannotListenError as error:
            raise TriggerError(f"{path}: cannot listen: {error.socketError}") from error
        self._ports.append((port, reachable, _identity(reachable)))

    @property
    def taken_over(self) -> bool:
        """Whether another program listens in our place; it only has to make its socket anew."""
        return any(_identity(reachable) not in (_NOTHING, ours) for _, reachable, ours in self._ports)

    async def close(self) -> None:
        """Stop listening and remove the sockets, but for one that is another program's."""
        self._trigger.close()
        while self._ports:
            port, reachable, ours = self._ports.pop()
            others = reachable + ".aside" if _identity(reachable) not in (_NOTHING, ours) else ""
            if others:
                os.rename(reachable, others)
            _put_back(reachable)
            await cast("Deferred[object]", maybeDeferred(port.stopListening))
            if others:
                os.rename(others, reachable)
        while self._folders:
            os.close(self._folders.pop())


def open_doors(reactor: IReactorUNIX, spool_directory: str, trigger: Trigger, names: Sequence[str] = DOORS) -> Doors:
    """
    Listen on sockets in the spool's ``public`` folder, in place of those that nobody listens on any more.

    The folder must exist; its mode says who may ring, the sockets' own mode is 0666 as Postfix has it.

    :raises TriggerError: when a socket is in use, or cannot be made; those that are open already close by themselves.
    """
    doors = Doors(trigger)
    try:
        for name in names:
            doors.open(reactor, os.path.join(spool_directory, "public", name))
    except TriggerError:
        # A service that starts cannot wait for that.
        Deferred.fromCoroutine(doors.close())
        raise
    return doors


def poke(spool_directory: str, letters: str = "W", *, name: str = "qmgr", timeout: float = 1.0) -> bool:
    """
    Ring, without waiting for an answer: there is none.

    For programs beside the service; it blocks for up to ``timeout`` seconds.

    :return: whether somebody listens.
    """
    path = os.path.join(spool_directory, "public", name)
    try:
        with _within_reach(path) as reachable, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
            caller.settimeout(timeout)
            caller.connect(reachable)
            caller.sendall(letters.encode("ascii"))
    except (OSError, TriggerError):
        return False
    return True


def _short_name(path: str) -> tuple[str, int]:
    """
    Another name for a path whose own is too long for a socket, good while the descriptor is open.

    :raises TriggerError: when the folder cannot be opened.
    """
    folder, name = os.path.split(path)
    try:
        descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise TriggerError(f"{folder}: {error.strerror}") from error
    return f"/proc/self/fd/{descriptor}/{name}", descriptor


@contextmanager
def _within_reach(path: str) -> Iterator[str]:
    """The path, or a short name for it."""
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        yield path
        return
    reachable, folder = _short_name(path)
    try:
        yield reachable
    finally:
        os.close(folder)


def _identity(reachable: str) -> tuple[int, int]:
    """Which file this is: the same name may be another one's later."""
    try:
        found = os.lstat(reachable)
    except OSError:
        return _NOTHING
    return found.st_dev, found.st_ino


def _put_back(reachable: str) -> None:
    """Make sure that there is something to remove: a port whose name is gone would never report itself closed."""
    try:
        os.close(os.open(reachable, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return


def _remove_stale(path: str, reachable: str) -> None:
    """
    Remove a socket that nobody listens on.

    :raises TriggerError: when somebody does, or when what stands there is no socket.
    """
    try:
        if not stat.S_ISSOCK(os.lstat(reachable).st_mode):
            raise TriggerError(f"{path}: is not a socket; move it away")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
            caller.setblocking(False)
            caller.connect(reachable)
    except ConnectionRefusedError:
        os.unlink(reachable)
    except FileNotFoundError:
        return
    except BlockingIOError as error:  # its backlog is full, so it has a listener
        raise TriggerError(f"{path}: another program is listening on it") from error
    except OSError as error:
        raise TriggerError(f"{path}: {error.strerror}") from error
    else:
        # Taking the socket away from a running queue manager would leave it deaf without its knowing.
        raise TriggerError(f"{path}: another program is listening on it")
