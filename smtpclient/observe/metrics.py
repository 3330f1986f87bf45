"""
Numbers for whoever watches: what has become of recipients, and what waits, in Prometheus' text format.

:class:`Metrics` subscribes to outcomes; what is in the queue now is asked of the scheduler when somebody looks. Each
metric has its help text where it is counted.

Does not: count what other processes do with the queue directory, or remember anything over a restart.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from smtpclient.mail.envelope import Envelope
from smtpclient.mail.outcome import Outcome
from smtpclient.queue.destination_queue import DestinationState

_MOST_DESTINATIONS = 1000  # a page of a million lines helps nobody


class Metrics:
    """
    The numbers of one service.

    :param messages: how many are in the active queue.
    :param destinations: the destinations that have mail or are suspended.
    """

    def __init__(self, messages: Callable[[], int], destinations: Callable[[], Iterable[DestinationState]]) -> None:
        self._messages = messages
        self._destinations = destinations
        self._outcomes: Counter[tuple[str, str]] = Counter()
        self._seconds: Counter[str] = Counter()

    def count(self, envelope: Envelope, outcome: Outcome) -> None:
        """A subscriber to outcomes."""
        disposition = outcome.disposition.value
        self._outcomes[disposition, outcome.status] += 1
        self._seconds[disposition] += round(outcome.delays.total * 1000)

    def text(self) -> str:
        """All of them."""
        return "\n".join((*self._counters(), *self._gauges())) + "\n"

    def _counters(self) -> Iterator[str]:
        yield "# HELP smtpclient_outcomes_total Outcomes of recipients, by disposition and enhanced status code."
        yield "# TYPE smtpclient_outcomes_total counter"
        for (disposition, status), number in sorted(self._outcomes.items()):
            yield f'smtpclient_outcomes_total{{disposition="{disposition}",status="{status}"}} {number}'
        yield "# HELP smtpclient_delay_seconds_total Time from arrival to outcome, summed over outcomes."
        yield "# TYPE smtpclient_delay_seconds_total counter"
        for disposition, thousandths in sorted(self._seconds.items()):
            yield f'smtpclient_delay_seconds_total{{disposition="{disposition}"}} {thousandths / 1000:.3f}'

    def _gauges(self) -> Iterator[str]:
        yield "# HELP smtpclient_active_messages Messages in the active queue."
        yield "# TYPE smtpclient_active_messages gauge"
        yield f"smtpclient_active_messages {self._messages()}"
        states = [state for _, state in zip(range(_MOST_DESTINATIONS), self._destinations(), strict=False)]
        for name, words, value in _OF_DESTINATIONS:
            yield f"# HELP smtpclient_destination_{name} {words}"
            yield f"# TYPE smtpclient_destination_{name} gauge"
            for state in states:
                yield f"smtpclient_destination_{name}{{{_labels(state)}}} {value(state)}"


_OF_DESTINATIONS: tuple[tuple[str, str, Callable[[DestinationState], int]], ...] = (
    ("waiting_recipients", "Recipients in memory that wait for the destination.", lambda state: state.recipients),
    ("deliveries", "Deliveries under way.", lambda state: state.running),
    ("window", "How many deliveries there may be at once.", lambda state: state.window),
    ("suspended", "Whether the destination is not contacted for now.", lambda state: int(bool(state.suspended))),
)


def _labels(state: DestinationState) -> str:
    return f'transport="{_quoted(state.transport)}",next_hop="{_quoted(state.next_hop)}"'


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
