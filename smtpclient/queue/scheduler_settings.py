"""
How much the scheduler does at once, as one value taken from the configuration.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Self

from smtpclient.config.parameters import Parameters
from smtpclient.queue.destination_queue import LOCAL, TransportSettings, feedback

LOCAL_TRANSPORTS = frozenset(("error", "retry", "discard"))
"""Those that contact nobody, and so need no window."""


def default_transport(name: str) -> TransportSettings:
    """What holds for a transport where nothing is configured."""
    return LOCAL if name in LOCAL_TRANSPORTS else TransportSettings()


@dataclass(frozen=True, slots=True)
class SchedulerSettings:
    """
    How much at once.

    :param transports: the settings of a transport, by its name.
    :param delivery_limit: requests under way to all destinations together; see ``descriptors``.
    :param active_limit: messages in memory.
    :param recipient_limit: recipients in memory.
    :param recipient_minimum: a message of no more recipients is taken whatever ``recipient_limit`` says.
    :param suspension: how long a destination is dead when it cannot be used, seconds.
    :param transport_suspension: the same, when the delivery itself broke down.
    :param clog_warn_time: how often to warn that one destination has more mail than its share, seconds; 0: never.
    """

    transports: Callable[[str], TransportSettings] = default_transport
    delivery_limit: int = 400
    active_limit: int = 20000
    recipient_limit: int = 20000
    recipient_minimum: int = 10
    suspension: float = 300.0
    transport_suspension: float = 60.0
    clog_warn_time: float = 300.0

    @classmethod
    def from_parameters(cls, parameters: Parameters) -> Self:
        """
        Take them from the configuration.

        :raises ValueError: when a concurrency feedback is none; the text says which and where it was set.
        """
        # Settings of a transport are read when its first mail comes: too late to complain.
        for line in parameters.dump(non_default_only=True):
            name = line.partition(" ")[0]
            if name.endswith("_feedback"):
                feedback(parameters, name)

        @cache
        def transports(name: str) -> TransportSettings:
            return LOCAL if name in LOCAL_TRANSPORTS else TransportSettings.from_parameters(parameters, name)

        return cls(
            transports=transports,
            active_limit=parameters.integer("qmgr_message_active_limit"),
            recipient_limit=parameters.integer("qmgr_message_recipient_limit"),
            recipient_minimum=parameters.integer("qmgr_message_recipient_minimum"),
            suspension=parameters.seconds("minimal_backoff_time"),
            transport_suspension=parameters.seconds("transport_retry_time"),
            clog_warn_time=parameters.seconds("qmgr_clog_warn_time"),
        )
