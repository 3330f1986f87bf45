"""
A disk in memory that knows what would survive.

Names and contents are kept twice: as the running system sees them, and as they would be found after the power had
gone. A content survives as it was at its last fsync, and whatever was written later may survive in part; names survive
up to the last fsync of a folder, and those of later renames may, in the order in which they were made. A killed
process, unlike a lost power supply, loses nothing that was handed to the kernel.

:class:`SimulatedFiles` is the product's own :class:`~smtpclient.queue.files.Files` on such a disk. It can fail, or lose
power, at any operation; the operations are counted.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from twisted.internet.defer import Deferred

from smtpclient.queue.files import Files, Make
from tests.simulation.reactor import SimulatedReactor


class PowerLost(BaseException):
    """The machine is off; nothing may catch this and go on."""


@dataclass(eq=False)
class Inode:
    """A file, by whatever name."""

    number: int
    mode: int
    mtime: float
    data: bytearray = field(default_factory=bytearray)
    kept: bytes | None = None  # the content at the last fsync
    kept_mode: int = 0
    kept_mtime: float = 0.0


@dataclass
class Open:
    """An open file of one process."""

    path: str
    inode: Inode
    position: int = 0
    lock: str = ""


class Disk:
    """Names and files; what they are, and what would be left of them."""

    def __init__(self, random: Random, seconds: Callable[[], float]) -> None:
        self.random = random
        self.seconds = seconds
        self.folders: dict[str, Inode] = {"/": Inode(1, stat.S_IFDIR | 0o755, 0.0)}
        self.files: dict[str, Inode] = {}
        self._kept_files: dict[str, Inode] = {}
        self._journal: list[dict[str, Inode | None]] = []
        self._next_inode = 100_000

    def make_folder(self, path: str, mode: int) -> None:
        """Make a folder; folders always survive."""
        self.folders[path] = Inode(self._number(), stat.S_IFDIR | mode, self.seconds())

    def _number(self) -> int:
        self._next_inode += 1
        return self._next_inode

    def create(self, path: str, mode: int) -> Inode:
        """Make an empty file."""
        inode = Inode(self._number(), stat.S_IFREG | mode, self.seconds())
        self.name({path: inode})
        return inode

    def name(self, change: dict[str, Inode | None]) -> None:
        """Change names: path to file, or to nothing; all at once."""
        self._journal.append(change)
        _apply(self.files, change)

    def sync_names(self) -> None:
        """Names are on disk."""
        for change in self._journal:
            _apply(self._kept_files, change)
        self._journal.clear()

    def sync_file(self, inode: Inode) -> None:
        """A content is on disk."""
        inode.kept, inode.kept_mode, inode.kept_mtime = bytes(inode.data), inode.mode, inode.mtime

    def lose_power(self) -> None:
        """What is left when the power comes back."""
        for change in self._journal[: self.random.randint(0, len(self._journal))]:
            _apply(self._kept_files, change)
        self._journal.clear()
        self.files = dict(self._kept_files)
        for inode in dict.fromkeys(self.files.values()):
            if inode.kept is None:
                # Never synced: a length and nothing else, as file systems leave it.
                inode.data = inode.data[: self.random.randint(0, len(inode.data))]
            elif bytes(inode.data) != inode.kept and self.random.random() < 0.5:
                inode.data = bytearray(inode.kept)
                inode.mode, inode.mtime = inode.kept_mode, inode.kept_mtime
            self.sync_file(inode)


def _apply(names: dict[str, Inode], change: dict[str, Inode | None]) -> None:
    for path, inode in change.items():
        if inode is None:
            names.pop(path, None)
        else:
            names[path] = inode


class SimulatedFiles(Files):
    """
    The operations of one process on a disk.

    :param trouble: asked before each operation with its name and number; raises what is to happen.
    """

    def __init__(
        self, disk: Disk, reactor: SimulatedReactor, trouble: Callable[[str, int], None] = lambda name, number: None
    ) -> None:
        super().__init__(reactor)
        self.disk = disk
        self._clock = reactor
        self._trouble = trouble
        self._open: dict[int, Open] = {}
        self._next_fd = 1000
        self.operations = 0

    def _operation(self, name: str) -> None:
        self.operations += 1
        self._trouble(name, self.operations)

    @property
    def open_count(self) -> int:
        """How many files are open."""
        return len(self._open)

    def _file(self, path: str) -> Inode:
        found = self.disk.files.get(path) or self.disk.folders.get(path)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return found

    def open(self, path: str, flags: int = os.O_RDONLY, mode: int = 0o600) -> int:
        path = os.path.normpath(path)
        self._operation("open")
        exists = path in self.disk.files
        if flags & os.O_CREAT and exists and flags & os.O_EXCL:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        if flags & os.O_CREAT and not exists:
            if os.path.dirname(path) not in self.disk.folders:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            inode = self.disk.create(path, mode)
        else:
            inode = self._file(path)
        if flags & os.O_TRUNC:
            inode.data.clear()
        self._next_fd += 1
        self._open[self._next_fd] = Open(path, inode, len(inode.data) if flags & os.O_APPEND else 0)
        return self._next_fd

    def close(self, fd: int) -> None:
        del self._open[fd]

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        self._operation("pread")
        return bytes(self._open[fd].inode.data[offset : offset + size])

    def peek(self, path: str, size: int) -> bytes:
        self._operation("peek")
        return bytes(self._file(os.path.normpath(path)).data[:size])

    def write(self, fd: int, data: bytes) -> None:
        opened = self._open[fd]
        self.pwrite(fd, data, opened.position)
        opened.position += len(data)

    def pwrite(self, fd: int, data: bytes, offset: int) -> None:
        inode = self._open[fd].inode
        try:
            self._operation("write")
        except OSError:
            data = data[: self.disk.random.randint(0, len(data))]  # a full disk takes the beginning
            raise
        finally:
            inode.data[offset : offset + len(data)] = data
            inode.mtime = self.disk.seconds()

    def fstat(self, fd: int) -> os.stat_result:
        return _stat(self._open[fd].inode)

    def stat(self, path: str) -> os.stat_result:
        path = os.path.normpath(path)
        self._operation("stat")
        return _stat(self._file(path))

    def fchmod(self, fd: int, mode: int) -> None:
        self._operation("chmod")
        _chmod(self._open[fd].inode, mode)

    def fchown(self, fd: int, uid: int, gid: int) -> None:
        self._operation("chown")

    def chmod(self, path: str, mode: int) -> None:
        path = os.path.normpath(path)
        self._operation("chmod")
        _chmod(self._file(path), mode)

    def chown(self, path: str, uid: int, gid: int) -> None:
        path = os.path.normpath(path)
        self._operation("chown")

    def ftruncate(self, fd: int, size: int) -> None:
        self._operation("truncate")
        data = self._open[fd].inode.data
        del data[size:]
        data.extend(b"\0" * (size - len(data)))

    def flock(self, fd: int, exclusive: bool) -> None:
        mine = self._open[fd]
        for opened in self._open.values():
            if opened is not mine and opened.inode is mine.inode and opened.lock and (exclusive or opened.lock == "x"):
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        mine.lock = "x" if exclusive else "s"

    def rename(self, old: str, new: str) -> None:
        old, new = os.path.normpath(old), os.path.normpath(new)
        self._operation("rename")
        inode = self.disk.files.get(old)
        if inode is None or os.path.dirname(new) not in self.disk.folders:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), old)
        self.disk.name({old: None, new: inode})

    def unlink(self, path: str) -> None:
        path = os.path.normpath(path)
        self._operation("unlink")
        if path not in self.disk.files:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        self.disk.name({path: None})

    def mkdir(self, path: str, mode: int = 0o700) -> None:
        path = os.path.normpath(path)
        self._operation("mkdir")
        if path in self.disk.folders:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        if os.path.dirname(path) not in self.disk.folders:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        self.disk.make_folder(path, mode)

    def utime(self, path: str, seconds: float) -> None:
        path = os.path.normpath(path)
        self._operation("utime")
        self._file(path).mtime = seconds

    def scan(self, path: str) -> Iterator[str]:
        path = os.path.normpath(path)
        self._operation("scan")
        if path not in self.disk.folders:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        names = [*self.disk.files, *self.disk.folders]
        yield from sorted({os.path.basename(name) for name in names if name != "/" and os.path.dirname(name) == path})

    def free_bytes(self, path: str) -> int:
        return 1 << 40

    async def run_in_thread(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        await self._a_moment()
        return call(*args, **kwargs)

    async def sync(self, fd: int, folders: Sequence[str] = ()) -> None:
        inode = self._open[fd].inode
        await self._a_moment()
        self._operation("fsync")
        self.disk.sync_file(inode)
        for folder in folders:
            await self.sync_folder(folder)

    async def make_and_sync(self, make: Make) -> None:
        await self._a_moment()
        await self.sync(*make())

    async def sync_folder(self, path: str) -> None:
        await self._a_moment()
        self._operation("fsync")
        self.disk.sync_names()

    async def _a_moment(self) -> None:
        moment: Deferred[None] = Deferred()
        self._clock.callLater(self.disk.random.uniform(0.0001, 0.02), moment.callback, None)
        await moment


def _chmod(inode: Inode, mode: int) -> None:
    inode.mode = stat.S_IFMT(inode.mode) | mode


def _stat(inode: Inode) -> os.stat_result:
    size, moment = len(inode.data), int(inode.mtime)
    fields = (inode.mode, inode.number, 1, 1, 0, 0, size, moment, moment, moment)
    exact = {"st_mtime": inode.mtime, "st_mtime_ns": int(inode.mtime * 1e9)}
    return os.stat_result(fields, exact)
