"""
What the service and its workers say to each other, as frozen values; what is said of every request is a named tuple.

===========  ==================  =======================================================================
to a worker  :class:`Begin`      first of all: the parameters
..           :class:`Deliver`    one delivery request; the content is named by the queue id
..           :class:`Cancel`     break a delivery off
..           :class:`Reopen`     the log file has been moved away
..           :class:`Stop`       end when everything under way has ended
from one     :class:`Ready`      requests are welcome
..           :class:`Refused`    it cannot work with these parameters
..           :class:`Done`       what a request has come to
..           :class:`Broken`     a delivery that raised
..           :class:`Logged`     a line for the mail log, where the worker has no file for it
..           :class:`Queued`     a report has been put into ``incoming/``
===========  ==================  =======================================================================

Does not: say how they look on the way (``smtpclient.workers.wire``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from smtpclient.mail.envelope import Envelope, Recipient
from smtpclient.mail.outcome import Outcome, SiteFailure


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
    """

    number: int
    transport: str
    next_hop: str
    activated: float
    backlog: int
    sole: bool
    envelope: Envelope
    recipients: tuple[Recipient, ...]


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


class Done(NamedTuple):
    """
    What a request has come to.

    :param outcomes: one for each recipient, as settled.
    :param removed: the queue file is gone: there was nothing else to do.
    """

    number: int
    outcomes: tuple[Outcome, ...]
    site_failure: SiteFailure | None = None
    removed: bool = False


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


Message = Begin | Deliver | Cancel | Reopen | Stop | Ready | Refused | Done | Broken | Logged | Queued
