"""
A message in the active queue: what has become of it so far, and the value that says so at its end.

:class:`ActiveMessage` is the scheduler's running account, :class:`Tally` the frozen result from which
:class:`smtpclient.queue.completion.Completion` decides what happens to the queue file.

Every recipient of the message is, at the end, exactly one of these:

===========  ======================================================================================
sent         marked done in the queue file
bounced      recorded for the sender's report and marked done; so is a probe, whatever the answer
deferred     the reason is recorded in the defer journal; still to be delivered
held back    not tried: its destination has more than its share of the active queue
unsettled    not tried to the end: the delivery was broken off or failed in a way that nobody foresaw
===========  ======================================================================================

The last two have no record. A message that has any may not be given up as expired, for nobody would be told.
"""

from collections.abc import Iterable
from typing import NamedTuple

from smtpclient.interfaces import IMessageContent
from smtpclient.mail.envelope import TRACE_FLAGS, Notify, QueuedMessage
from smtpclient.mail.outcome import Disposition, Outcome


class Tally(NamedTuple):
    """
    One stay of a message in the active queue, after its last request.

    :param fresh: nothing was recorded of this message before: it had never been tried.
    :param expire: the operator wants it given up, whatever its age.
    :param success_wanted: some recipient was delivered whose sender wants to hear of it, or of every delivery.
    :param held_back_until: when the recipients that were held back may be tried, seconds since the epoch; zero
        where there are none.
    :param corrupt: what is wrong with the queue file, where a delivery could not read it to the end.
    """

    message: QueuedMessage
    fresh: bool = False
    expire: bool = False
    sent: int = 0
    bounced: int = 0
    deferred: int = 0
    success_wanted: bool = False
    held_back_until: float = 0.0
    corrupt: str = ""

    @property
    def remaining(self) -> int:
        """How many recipients are still to be delivered."""
        return len(self.message.recipients) - self.sent - self.bounced

    @property
    def all_recorded(self) -> bool:
        """Whether the defer journal knows every recipient that remains."""
        return self.remaining == self.deferred


class ActiveMessage:
    """
    The account of one message while it is in the active queue.

    :param activated: when it entered, seconds since the epoch.
    """

    # What holds of most messages from beginning to end.
    sent = bounced = deferred = held_back = 0  # recipients
    held_back_until = 0.0
    success_wanted = False
    corrupt = ""
    announced = False  # its "queue active" line is in the log
    interrupted = False  # a delivery was broken off because the service stops
    ending = False  # its completion has begun
    removed = False  # its file is gone already

    def __init__(
        self, message: QueuedMessage, content: IMessageContent, activated: float, fresh: bool, expire: bool
    ) -> None:
        self.message = message
        self.queue_id = message.envelope.queue_id
        self.content = content
        self.activated = activated
        self.fresh = fresh
        self.expire = expire
        self.waiting = count = len(message.recipients)  # recipients for whom no request has been made yet
        self.counted = count  # recipients that count as being in memory
        self.running = 0  # requests under way

    def hold_back(self, recipients: int, until: float) -> None:
        """Note that some recipients are not tried this time."""
        self.waiting -= recipients
        self.held_back += recipients
        self.held_back_until = max(self.held_back_until, until)

    def lose_sight(self, recipients: int) -> None:
        """Note that some recipients are marked done in the file, and nobody knows how they got there."""
        self.bounced += recipients
        self.fresh = False  # so that both reports are asked for

    def needs_only(self, delivered: int) -> bool:
        """
        Whether nothing is left to do or to tell once so many more recipients are delivered.

        :param delivered: recipients whose sender does not want to hear of it.
        """
        return (
            self.fresh
            and self.sent + delivered == len(self.message.recipients)
            and not self.success_wanted
            and TRACE_FLAGS not in self.message.envelope.attributes
        )

    def settle(self, outcomes: Iterable[Outcome]) -> None:
        """Note what became of some recipients, each of them once."""
        if self.removed:
            return  # nothing is left to be decided
        for outcome in outcomes:
            if outcome.disposition is Disposition.SENT:
                self.sent += 1
                # Most say nothing, and the flag's own operators cost more than all the rest here.
                if outcome.recipient.notify and outcome.recipient.notify & Notify.SUCCESS:
                    self.success_wanted = True
            elif outcome.disposition is Disposition.BOUNCED or self.message.envelope.is_probe:
                self.bounced += 1
            else:
                self.deferred += 1

    def tally(self) -> Tally:
        """What became of it, as a value."""
        # "sendmail -v" asks for a report of every attempt, whatever it comes to and the recipients' NOTIFY says.
        traced = self.message.envelope.is_traced
        return Tally(
            self.message,
            fresh=self.fresh,
            expire=self.expire,
            sent=self.sent,
            bounced=self.bounced,
            deferred=self.deferred,
            success_wanted=self.success_wanted or traced,
            held_back_until=self.held_back_until,
            corrupt=self.corrupt,
        )
