"""
What the service and its workers say to each other, as frozen values; what is said of every request is a named tuple.

===========  ==================  ======================================================================================
to a worker  :class:`Begin`      first of all: the parameters
..           :class:`Deliver`    one delivery request, to begin at once, or in the place of an earlier one; the
                                 content is named by the queue id
..           :class:`Cancel`     break a delivery off
..           :class:`Reopen`     the log file has been moved away
..           :class:`Stop`       end when everything under way has ended
from one     :class:`Ready`      requests are welcome
..           :class:`Refused`    it cannot work with these parameters
..           :class:`Done`       what a request has come to
..           :class:`Removed`    the same, in short
..           :class:`Broken`     a delivery that raised
..           :class:`Logged`     a line for the mail log, where the worker has no file for it
..           :class:`Queued`     a report has been put into ``incoming/``
===========  ==================  ======================================================================================

Does not: say how they look on the way (``smtpclient.workers.wire``).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from smtpclient.mail.envelope import Envelope, Recipient
from smtpclient.mail.outcome import Delays, Disposition, Outcome, Peer, SiteFailure


@dataclass(frozen=True, slots=True)
class Begin:
    """
    What a worker is to be.

    :param settings: the text of every parameter that was set, expanded, a dollar sign doubled.
    :param sources: where each of them was set, for messages.
    :param bounce: ``NAME[:ARGUMENTS]`` of the service for failed recipients.
    :param writes_log: lines go to the parameters' log file, where that can be opened, and not over the socket.
    """

    settings: Mapping[str, str]
    sources: Mapping[str, str]
    bounce: str = "queue"
    defer: str = "queue"
    trace: str = "queue"
    writes_log: bool = True


class Deliver(NamedTuple):
    """
    One delivery request.

    :param number: names the request in what is said about it.
    :param backlog: how many messages for the destination wait.
    :param sole: the message has nobody else left and nothing to report: once all of these are delivered, its file is
        to be removed.
    :param told: what becomes of each recipient is to be told; else only how it ended, where the file could be removed.
    :param behind: the number of a request for the same destination in whose place this one is to begin, once that is
        over or lets it follow; 0: it begins at once.
    """

    number: int
    transport: str
    next_hop: str
    activated: float
    backlog: int
    sole: bool
    envelope: Envelope
    recipients: tuple[Recipient, ...]
    told: bool = True
    behind: int = 0


@dataclass(frozen=True, slots=True)
class Cancel:
    """Break the delivery of that number off."""

    number: int


@dataclass(frozen=True, slots=True)
class Reopen:
    """Open the log file anew."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Take nothing more, and end."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The parameters are understood; requests are welcome."""


@dataclass(frozen=True, slots=True)
class Refused:
    """
    The worker cannot work, and ends.

    :param why: for the operator.
    """

    why: str


class Settled(NamedTuple):
    """
    An outcome; who asked knows the recipient. Whatever else an outcome has is here, in the same order.

    :param position: of the recipient among those of the request.
    """

    position: int
    disposition: Disposition
    status: str
    reason: str
    reply: str = ""
    peer: Peer | None = None
    stage: str = ""
    in_doubt: bool = False
    relayed_dsn: bool = False
    delays: Delays = Delays()
    session_uses: int = 1
    tls: str = ""
    final: bool = False


# A named tuple's own call costs as much as the rest, and the number of fields is the same.
_settled: Callable[[tuple[object, ...]], Settled] = partial(tuple.__new__, Settled)
_outcome: Callable[[tuple[object, ...]], Outcome] = partial(tuple.__new__, Outcome)


def settled(request: Deliver, outcomes: Sequence[Outcome]) -> tuple[Settled, ...]:
    """
    The outcomes of a request as they are told.

    :raises KeyError: when one of them is of nobody who was asked for.
    """
    make = _settled
    if len(request.recipients) == 1:
        return tuple([make((0, *outcome[1:])) for outcome in outcomes])
    positions = {recipient: position for position, recipient in enumerate(request.recipients)}
    return tuple([make((positions[outcome.recipient], *outcome[1:])) for outcome in outcomes])


def outcomes(recipients: Sequence[Recipient], told: Sequence[Settled]) -> tuple[Outcome, ...]:
    """
    The outcomes that were told of some recipients.

    :raises IndexError: when there is no such recipient.
    """
    if told and min(told).position < 0:
        raise IndexError("a recipient before the first")
    make = _outcome
    return tuple([make((recipients[each.position], *each[1:])) for each in told])


class Done(NamedTuple):
    """
    What a request has come to.

    :param outcomes: one for each recipient, as settled.
    :param removed: the queue file is gone: there was nothing else to do.
    """

    number: int
    outcomes: tuple[Settled, ...]
    site_failure: SiteFailure | None = None
    removed: bool = False


class Removed(NamedTuple):
    """All are delivered, and the queue file is gone; nobody wants to know more."""

    number: int


@dataclass(frozen=True, slots=True)
class Broken:
    """
    A delivery that raised.

    :param why: in words.
    :param corrupt_path: the queue file, where that is what cannot be read; else empty.
    :param corrupt_offset: where in it.
    :param cancelled: it was broken off because somebody said so.
    """

    number: int
    why: str
    corrupt_path: str = ""
    corrupt_offset: int = 0
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class Logged:
    """
    A line for the mail log.

    :param level: ``info``, ``warn`` or ``error``.
    :param text: without what the level puts in front of it.
    """

    level: str
    process: str
    queue_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Queued:
    """A message of that id is complete in ``incoming/``."""

    queue_id: str


Message = Begin | Deliver | Cancel | Reopen | Stop | Ready | Refused | Done | Removed | Broken | Logged | Queued
