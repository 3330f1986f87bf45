"""
Where outcomes are told: a list of subscribers.

A subscriber is called once for each settled outcome, in the order of settlement, after the outcome was recorded and
marked. One that raises is logged and kept: whoever watches must not be able to stop the mail.
"""

from collections.abc import Callable

from twisted.logger import Logger

from smtpclient.mail.envelope import Envelope
from smtpclient.mail.outcome import Outcome

Subscriber = Callable[[Envelope, Outcome], object]


class Outcomes:
    """The subscribers to one service's outcomes."""

    _log = Logger()

    def __init__(self) -> None:
        # Never changed, only replaced: who leaves while an outcome is told keeps nobody else from hearing of it.
        self._subscribers: tuple[Subscriber, ...] = ()

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """
        Call the subscriber with ``(envelope, outcome)`` for every outcome from now on.

        :return: what ends the subscription; more calls do no harm.
        """
        self._subscribers += (subscriber,)

        def unsubscribe() -> None:
            left = list(self._subscribers)
            if subscriber in left:
                left.remove(subscriber)
                self._subscribers = tuple(left)

        return unsubscribe

    @property
    def subscribers(self) -> int:
        """How many there are."""
        return len(self._subscribers)

    def publish(self, envelope: Envelope, outcome: Outcome) -> None:
        """Tell everyone."""
        for subscriber in self._subscribers:
            try:
                subscriber(envelope, outcome)
            except Exception:
                self._log.failure("{queue_id}: a subscriber to outcomes failed", queue_id=envelope.queue_id)
