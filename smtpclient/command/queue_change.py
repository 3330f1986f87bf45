"""
What an operator does to queued messages: hold, release, delete, requeue, expire, flush.

The first five are those of postsuper(1), on messages named by their queue ids, or on ``ALL`` of one queue or of all
queues that they make sense for. Each message is said on standard output and in the mail log, in postsuper's words.
``flush`` is that of postqueue(1): it has messages tried now.

Promises: works beside a running service, and without one; a message that is being delivered is not broken off: what was
said to a server stays said. A service that is running hears of it at once.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TextIO

from smtpclient.command.queue_directory import CorruptQueueFile, QueueDirectory
from smtpclient.queue.spool import Spool
from smtpclient.queue.trigger import poke

EVERYTHING = "ALL"


@dataclass(frozen=True, slots=True)
class Verb:
    """
    One thing to do to a message.

    :param apply: does it; says whether there was a message to do it to.
    :param queues: where ``ALL`` looks for messages.
    :param done: what is said of each message, and logged.
    :param letters: what the service is told afterwards.
    :param where: where there was nothing to be found.
    """

    apply: Callable[[Spool, str], bool]
    queues: tuple[str, ...]
    done: str
    letters: str = ""
    where: str = "in the queue"


VERBS = {
    "hold": Verb(
        Spool.hold, ("incoming", "active", "deferred"), "placed on hold", where="in the queue and not on hold"
    ),
    "release": Verb(Spool.release, ("hold",), "released from hold", "W", where="on hold"),
    "delete": Verb(Spool.delete, ("incoming", "active", "deferred", "hold"), "removed"),
    "requeue": Verb(Spool.requeue, ("incoming", "deferred", "hold"), "requeued", "W", where="waiting"),
    "expire": Verb(Spool.expire, ("incoming", "active", "deferred", "hold"), "expired"),
}


def change(queue: QueueDirectory, name: str, words: Sequence[str], stdout: TextIO, stderr: TextIO) -> bool:
    """
    Do one thing to some messages.

    :param name: of the verb.
    :param words: queue ids, or ``ALL``, or ``ALL`` and the name of a queue.
    :return: whether every message that was named has been found.
    :raises ValueError: when the words make no sense; nothing has been done.
    :raises OSError: when a file cannot be changed; those before it have been.
    """
    verb = VERBS[name]
    maillog = queue.open_log()
    count, missing = 0, []
    for queue_id in _named(queue, verb, words):
        if verb.apply(queue.spool, queue_id):
            count += 1
            stdout.write(f"{queue_id}: {verb.done}\n")
            maillog.info("postsuper", verb.done, queue_id)
        elif words[0] != EVERYTHING:
            missing.append(queue_id)
    for queue_id in missing:
        stderr.write(
            f"smtpclient queue {name}: {queue_id}: no such message {verb.where}; "
            "smtpclient queue list shows what there is\n"
        )
    if count and verb.letters:
        poke(queue.path, verb.letters)
    return not missing


def _named(queue: QueueDirectory, verb: Verb, words: Sequence[str]) -> Iterable[str]:
    """
    The queue ids that some words name; those of ``ALL`` as the folders are read.

    :raises ValueError: as :func:`change`.
    """
    if words[0] == EVERYTHING:
        queues = tuple(words[1:]) or verb.queues
        for name in queues:
            if name not in verb.queues:
                raise ValueError(f"{name!r}: {EVERYTHING} may be followed by one of {', '.join(verb.queues)}")
        # Gathered before anything moves: a message that is moved into a queue still to be read would come twice.
        return [entry.queue_id for _, entry in queue.entries(*queues)]
    for word in words:
        queue.spool.find(word)  # refuses what is no queue id, before anything has been done
    return words


def flush(queue: QueueDirectory, words: Sequence[str], site: str, stdout: TextIO, stderr: TextIO) -> bool:
    """
    Have messages tried now: those named, those for one site, or all that wait.

    :param words: queue ids; none: those for the site, or all.
    :param site: a domain of recipients, or nothing.
    :return: whether every message that was named has been found.
    :raises ValueError: when a word is no queue id; nothing has been done.
    :raises ConnectionRefusedError: when all messages are to be tried and no service runs.
    :raises OSError: when a message cannot be moved.
    """
    if not words and not site:
        # F: a destination that was dead may be alive again, which is why somebody asks for this.
        if not poke(queue.path, "FADI"):
            raise ConnectionRefusedError
        return True
    found_all = True
    queue_ids = words or list(_for_site(queue, site, stderr))
    for queue_id in queue_ids:
        queue.spool.find(queue_id)
    for queue_id in queue_ids:
        if queue.spool.find(queue_id) == "hold":
            stderr.write(f"smtpclient queue flush: {queue_id}: is on hold; smtpclient queue release lets it go\n")
            found_all = False
        elif queue.spool.requeue(queue_id) or queue.spool.find(queue_id):
            stdout.write(f"{queue_id}: to be tried now\n")
        elif words:
            stderr.write(
                f"smtpclient queue flush: {queue_id}: no such message in the queue; "
                "smtpclient queue list shows what there is\n"
            )
            found_all = False
    if not poke(queue.path, "FW"):
        stderr.write(f"smtpclient queue flush: no service runs in {queue.path}; the next one to start tries them\n")
    return found_all


def _for_site(queue: QueueDirectory, site: str, stderr: TextIO) -> Iterator[str]:
    """The deferred messages that have a recipient in a domain."""
    domain = site.lower().rstrip(".")
    for name, entry in queue.entries("deferred"):
        try:
            message = queue.look(name, entry.queue_id)
        except FileNotFoundError:
            continue
        except CorruptQueueFile as error:
            stderr.write(f"smtpclient queue flush: {error}\n")
            continue
        if any(recipient.domain == domain for recipient in message.recipients):
            yield entry.queue_id
