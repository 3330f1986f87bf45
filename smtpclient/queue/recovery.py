"""
What is done to a queue directory before its messages are looked at.

What the queue manager before us had claimed goes back to ``incoming/``: it may have died at any point of its work, and
what each file says of its recipients is what counts. A file that was never completed was never promised to anybody; it
is removed when it is so old that nobody can be writing it any more: one that has no queue id yet before the first
message is looked at, and one that has its name when the poller comes by. What ``postsuper -r`` has put into
``maildrop/`` comes back, too; what Postfix's postdrop(1) writes there is of another form and left alone.
"""

from smtpclient.observe.maillog import MailLog
from smtpclient.queue import queue_id as queue_ids
from smtpclient.queue import record
from smtpclient.queue.directory_entry import DAMAGED, KIND, MESSAGE, OWNER
from smtpclient.queue.files import Files
from smtpclient.queue.folders import Folders


def remove_stale(files: Files, folders: Folders, maillog: MailLog, now: float) -> None:
    """
    Remove what was left in ``incoming/`` before it had a queue id.

    What has one is looked at when its turn comes: a look at each of a hundred thousand files would hold up the first.

    :param now: seconds since the epoch.
    :raises OSError: when the folder cannot be read.
    """
    for folder, name in folders.names("incoming"):
        if not queue_ids.is_valid(name):
            entry = folders.entry(folder, name)
            if entry is not None and entry.is_stale(now):
                remove_unfinished(files, maillog, folder + name)


def remove_unfinished(files: Files, maillog: MailLog, path: str) -> None:
    """Remove a file that was never completed; where that cannot be done it stays, for it is in nobody's way."""
    try:
        files.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        maillog.warning("qmgr", f"cannot remove {path}, which was never completed: {error.strerror}")
        return
    maillog.warning("qmgr", f"removed {path}: it was never completed")


def reclaim_active(files: Files, folders: Folders, maillog: MailLog, now: float) -> None:
    """
    Move ``active/`` back to ``incoming/``, due at once; what an agent has marked as damaged goes to ``corrupt/``.

    :param now: seconds since the epoch.
    :raises OSError: when a file cannot be moved.
    """
    for folder, name in list(folders.names("active")):
        path = folder + name
        found = folders.stat(path)
        if not queue_ids.is_valid(name):
            maillog.warning("qmgr", f"{path} is left alone: that is not the name of a queue file")
        elif found is not None and found.st_mode & OWNER == DAMAGED:
            folders.move(path, folders.path("corrupt", name))
            maillog.warning("qmgr", f'saving corrupt file "{name}" from queue "active" to queue "corrupt"')
        elif found is not None:
            files.utime(path, now)
            folders.move(path, folders.path("incoming", name))


def take_back_requeued(files: Files, folders: Folders, maillog: MailLog, now: float) -> int:
    """
    Move queue files from ``maildrop/`` to ``incoming/``, due at once.

    :param now: seconds since the epoch.
    :return: how many.
    :raises OSError: when the folder cannot be read or a file not be moved.
    """
    taken = 0
    for folder, name in list(folders.names("maildrop")):
        path = folder + name
        found = folders.stat(path)
        if found is None or not queue_ids.is_valid(name) or found.st_mode & KIND != MESSAGE:
            continue
        fd = files.open(path)
        try:
            is_queue_file = files.pread(fd, 1, 0) == bytes((record.SIZE,))
        finally:
            files.close(fd)
        if is_queue_file:
            files.utime(path, now)
            folders.move(path, folders.path("incoming", name))
            maillog.info("qmgr", "requeued", name)
            taken += 1
    return taken
