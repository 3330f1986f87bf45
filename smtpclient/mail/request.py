"""
The delivery request: the seam between a scheduler and the delivery agent.

Whoever schedules (our own scheduler, or a foreign queue manager over a socket) says: this message, these
recipients, this next hop. The agent answers with outcomes, host by host, and a :class:`DeliveryResult`.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from smtpclient.interfaces import IMessageContent
from smtpclient.mail.envelope import Envelope, Recipient
from smtpclient.mail.outcome import Outcome, SiteFailure


class DeliveryInterrupted(Exception):
    """
    A delivery ended before it was done, by no fault of its destination.

    Some of its recipients may have been settled; the queue file knows which.
    """


Fits = Callable[[Envelope, Sequence[Recipient]], bool]


def _no_backlog() -> int:
    return 0


Later = Callable[["DeliveryRequest", Callable[[], None]], None]


class Follow(Protocol):
    """See :class:`DeliveryRequest`."""

    def __call__(self, fits: Fits, behind: object, later: Later | None = None, /) -> bool:
        """Whether there was one."""


def _nobody(_fits: Fits, _behind: object, _later: Later | None = None, /) -> bool:
    return False


class DeliveryRequest(NamedTuple):
    """
    Deliver one message to some of its recipients by way of one next hop.

    :param transport: ``smtp``, ``relay`` (the same dialogue), ``lmtp``, ``error``, ``retry`` or ``discard``.
    :param next_hop: as a transport table gives it: ``domain``, ``domain:port``, ``[host]``, ``[address]:port``.
    :param activated: when the message entered the active queue, seconds since the epoch.
    :param backlog: how many messages for this destination wait at the moment of asking, or are sure to come: so many
        sessions are worth keeping for them.
    :param follow: has the next message for this destination begin in the place of this one, while this one only waits
        for the server's last word: if there is one, if nothing else could begin, and if it fits. Its request carries
        what is given along as ``behind``. It begins at once, or ``later`` is given the request, and what begins it,
        which has to be called once. Whether there was one.
    :param behind: what whoever is in front has given along.
    """

    envelope: Envelope
    recipients: tuple[Recipient, ...]
    transport: str
    next_hop: str
    content: IMessageContent
    activated: float
    backlog: Callable[[], int] = _no_backlog
    follow: Follow = _nobody
    behind: object = None


class DeliveryResult(NamedTuple):
    """
    One outcome per recipient of the request, as settled, and what the next hop as a whole was like.

    :param outcomes: one for each recipient; a bounce that could not be recorded has become a deferral.
    :param site_failure: the destination could not be used at all; None: it answered.
    """

    outcomes: tuple[Outcome, ...]
    site_failure: SiteFailure | None = None
