"""
The folders of a queue directory: which there are, where in them what lies, moving files between them.

Names, modes and hashing are Postfix's, so that its tools work on our directory; ``doc/queue-files.rst`` says what each
folder is for. A hashed queue has sub-folders named after the first characters of the queue id; they are made when the
first file needs them.

Promises: no path leads out of the directory, whatever is given as a queue id; a move of a file that has vanished is
told from one whose target folder is missing.
"""

import errno
import os
import stat
from collections.abc import Callable, Collection, Iterator
from functools import lru_cache

from smtpclient.queue import queue_id as queue_ids
from smtpclient.queue.directory_entry import Entry
from smtpclient.queue.files import Files
from smtpclient.queue.instance_lock import SpoolError

QUEUES = ("incoming", "active", "deferred", "hold")
"""Where messages live, in the order in which they are looked for."""

JOURNALS = ("bounce", "defer", "trace")

MODES = {
    "incoming": 0o700,
    "active": 0o700,
    "deferred": 0o700,
    "hold": 0o700,
    "corrupt": 0o700,
    "bounce": 0o700,
    "defer": 0o700,
    "trace": 0o700,
    "flush": 0o700,
    "saved": 0o700,
    "private": 0o700,
    "maildrop": 0o730,
    "public": 0o710,
    "pid": 0o755,
}
"""Every folder of a queue directory and its mode. postqueue(1) fails when one that it looks into is missing."""


class Folders:
    """
    The folders of one queue directory.

    :param hash_names: the queues that have sub-folders.
    :param hash_depth: how many of them on the way to a file.
    :param owner: user and group that new folders are given to; None: whom the process runs as.
    :ivar path: where the file of a message lies, by queue and queue id; it raises ValueError when there is no such
        queue, or the id could lead out of it.
    """

    def __init__(
        self,
        files: Files,
        directory: str,
        hash_names: Collection[str],
        hash_depth: int,
        owner: tuple[int, int] | None = None,
    ) -> None:
        self.directory = os.path.abspath(directory)
        self._files = files
        self._owner = owner
        self._depths = {name: hash_depth if name in hash_names else 0 for name in MODES}
        self._tops = {name: f"{self.directory}/{name}/" for name in MODES}
        self._flat_tops = {name: top for name, top in self._tops.items() if not self._depths[name]}
        # Nearly every step of a message asks for the path that the step before has asked for, and some thousands may be
        # active at a time.
        self.path: Callable[[str, str], str] = lru_cache(maxsize=4096)(self._path)

    def queue(self, queue: str) -> str:
        """
        The folder of a queue.

        :raises ValueError: when there is no such queue.
        """
        return self._top(queue)[:-1]

    def _top(self, queue: str) -> str:
        try:
            return self._tops[queue]
        except KeyError:
            raise ValueError(f"{queue!r} is no queue; queues are {', '.join(QUEUES)}") from None

    def _path(self, queue: str, queue_id: str) -> str:
        if queue_ids.match(queue_id) is None:
            raise ValueError(f"{queue_id!r} is no queue id")
        return self.path_of_valid(queue, queue_id)

    def path_of_valid(self, queue: str, queue_id: str) -> str:
        """
        As ``path``, for an id that has been found to be one.

        :raises ValueError: when there is no such queue.
        """
        top = self._flat_tops.get(queue)
        return (self.folder(queue, queue_id) if top is None else top) + queue_id

    def journal_path(self, kind: str, queue_id: str) -> str:
        """
        Where the record of a message's failed, waiting or delivered recipients lies.

        :raises ValueError: when there is no such kind, or the id could lead out of it.
        """
        if kind not in JOURNALS:
            raise ValueError(f"{kind!r} is no kind of journal; there are {', '.join(JOURNALS)}")
        return self.path(kind, queue_id)

    def folder(self, queue: str, queue_id: str) -> str:
        """
        Where the file of a message lies, with a slash at its end.

        :raises ValueError: when there is no such queue, or the id could lead out of it.
        """
        if not queue_ids.is_valid(queue_id):
            raise ValueError(f"{queue_id!r} is no queue id")
        return f"{self._top(queue)}{queue_ids.hash_folders(queue_id, self._depths[queue])}"

    def above(self, queue: str, path: str) -> Iterator[str]:
        """The folders that lead to a file, from its own up to that of its queue."""
        top = self.queue(queue)
        while path != top:
            path = os.path.dirname(path)
            yield path

    def names(self, queue: str) -> Iterator[tuple[str, str]]:
        """
        Every file in a queue, sub-folders included: its folder with a slash, and its name; read as they are asked for.

        :raises OSError: when a folder cannot be read.
        """
        waiting = [self._top(queue)]
        while waiting:
            folder = waiting.pop()
            for name in self._files.scan(folder):
                if len(name) == 1:
                    waiting.append(f"{folder}{name}/")
                else:
                    yield folder, name

    def entry(self, folder: str, name: str) -> Entry | None:
        """
        What the system knows of a file; None: there is none of that name, or it is something else.

        :param folder: with a slash at its end.
        :raises OSError: when that cannot be told.
        """
        found = self.stat(folder + name)
        if found is None or not stat.S_ISREG(found.st_mode):
            return None
        return Entry(name, found.st_mtime, stat.S_IMODE(found.st_mode))

    def move(self, old: str, new: str) -> bool:
        """
        Rename a file, making the folder it goes to where that is missing.

        :return: False when the file has vanished.
        :raises OSError: when it is there and cannot be moved.
        """
        try:
            self._files.rename(old, new)
        except FileNotFoundError:
            if self.stat(old) is None:
                return False
            self._make_above(new)
            try:
                self._files.rename(old, new)
            except FileNotFoundError:
                return False
        return True

    def stat(self, path: str) -> os.stat_result | None:
        """
        What the system knows of a file; None: there is none.

        :raises OSError: when that cannot be told.
        """
        try:
            return self._files.stat(path)
        except FileNotFoundError:
            return None

    def unlink(self, path: str) -> bool:
        """
        Remove a file; false when it has vanished.

        :raises OSError: when it cannot be removed.
        """
        try:
            self._files.unlink(path)
        except FileNotFoundError:
            return False
        return True

    def make(self) -> None:
        """
        Make every folder that is missing, the queue directory itself too.

        Not what should be above it: a wrong name in ``queue_directory``, or a file system that is not mounted, must not
        go unnoticed.

        :raises SpoolError: when the queue directory cannot be used, and why.
        """
        try:
            found = self._files.stat(self.directory)
        except FileNotFoundError:
            found = self._make_itself()
        except OSError as error:
            raise SpoolError(f"queue directory {self.directory} cannot be used: {error.strerror}") from error
        if not stat.S_ISDIR(found.st_mode):
            raise SpoolError(f"queue directory {self.directory} is not a directory; set queue_directory to one")
        for name, mode in MODES.items():
            path = f"{self.directory}/{name}"
            try:
                self._make_one(path, mode, None if name == "pid" else self._owner)
            except NotADirectoryError:
                raise SpoolError(f"{path} is not a directory; move it away") from None
            except OSError as error:
                why = "the file system is read-only" if error.errno == errno.EROFS else error.strerror
                raise SpoolError(f"{path} cannot be made: {why}") from error

    def _make_itself(self) -> os.stat_result:
        try:
            self._files.mkdir(self.directory, 0o755)
            if self._owner is not None:
                self._files.chown(self.directory, *self._owner)
            return self._files.stat(self.directory)
        except OSError as error:
            raise SpoolError(
                f"queue directory {self.directory} does not exist and cannot be made: {error.strerror}; make it, or "
                "set queue_directory"
            ) from error

    def _make_above(self, path: str) -> None:
        """Make the sub-folders of a queue that lead to a file, outermost first."""
        parts = path[len(self.directory) + 1 :].split("/")
        for count in range(1, len(parts)):
            name = "/".join(parts[:count])
            self._make_one(f"{self.directory}/{name}", MODES.get(name, 0o700), self._owner)

    def _make_one(self, path: str, mode: int, owner: tuple[int, int] | None) -> None:
        try:
            self._files.mkdir(path, mode)
            if owner is not None:
                self._files.chown(path, *owner)
        except FileExistsError:
            if not stat.S_ISDIR(self._files.stat(path).st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path) from None
