"""
What reports need to know of the configuration, as one frozen value.

The report modules receive this and not the whole of :class:`~smtpclient.config.parameters.Parameters`: a test
states six values, and a reader sees which parameters reports depend on.

Promises: every address in it is complete; what the operator wrote without a domain has got ``@$myorigin``.

Does not: read files.
"""

import re
from dataclasses import dataclass

from smtpclient.config.parameters import Parameters

DAY = 86400.0

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class ReportSettings:
    """
    The parameters that reports are made by.

    :param hostname: ``myhostname``: who reports.
    :param origin: ``myorigin``: the domain of ``MAILER-DAEMON``.
    :param notify_classes: what the postmaster wants to hear of.
    :param double_bounce_sender: the sender of mail to the postmaster; what comes back to it is discarded.
    :param bounce_size_limit: bytes; a longer message is returned as its header alone. 0: no limit.
    :param maximal_queue_lifetime: seconds that a message is tried for.
    :param bounce_queue_lifetime: the same for one whose sender is null.
    :param mail_name: what the mail system calls itself.
    :param threaded: whether a report refers to the message it is about, so that mail readers show them together.
    """

    hostname: str
    origin: str
    notify_classes: frozenset[str] = frozenset({"resource", "software"})
    bounce_notice_recipient: str = "postmaster"
    double_bounce_notice_recipient: str = "postmaster"
    delay_notice_recipient: str = "postmaster"
    error_notice_recipient: str = "postmaster"
    double_bounce_sender: str = "double-bounce"
    bounce_size_limit: int = 50000
    maximal_queue_lifetime: float = 5 * DAY
    bounce_queue_lifetime: float = 5 * DAY
    mail_name: str = "smtpclient"
    threaded: bool = False

    def __post_init__(self) -> None:
        for name in (
            "bounce_notice_recipient",
            "double_bounce_notice_recipient",
            "delay_notice_recipient",
            "error_notice_recipient",
            "double_bounce_sender",
        ):
            object.__setattr__(self, name, self._complete(getattr(self, name)))

    def _complete(self, address: str) -> str:
        return address if "@" in address or not address else f"{address}@{self.origin}"

    @classmethod
    def from_parameters(cls, parameters: Parameters) -> "ReportSettings":
        """What a configuration says."""
        return cls(
            hostname=parameters.text("myhostname"),
            origin=parameters.text("myorigin"),
            notify_classes=frozenset(parameters.words("notify_classes")),
            bounce_notice_recipient=parameters.text("bounce_notice_recipient"),
            double_bounce_notice_recipient=parameters.text("2bounce_notice_recipient"),
            delay_notice_recipient=parameters.text("delay_notice_recipient"),
            error_notice_recipient=parameters.text("error_notice_recipient"),
            double_bounce_sender=parameters.text("double_bounce_sender"),
            bounce_size_limit=parameters.size("bounce_size_limit"),
            maximal_queue_lifetime=parameters.seconds("maximal_queue_lifetime"),
            bounce_queue_lifetime=parameters.seconds("bounce_queue_lifetime"),
            mail_name=parameters.text("mail_name"),
            threaded=parameters.boolean("enable_threaded_bounces"),
        )

    @property
    def daemon_address(self) -> str:
        """Who reports are from; nobody reads what is sent there."""
        return f"MAILER-DAEMON@{self.origin}"

    @property
    def field_prefix(self) -> str:
        """How header fields of our own begin."""
        return "X-" + (_NOT_IN_A_NAME.sub("-", self.mail_name).strip("-") or "Mail")

    def is_double_bounce(self, sender: str) -> bool:
        """Whether a message is one of our own to the postmaster, so that nobody is to be told of its fate."""
        return sender.lower() in (
            self.double_bounce_sender.lower(),
            self.double_bounce_sender.partition("@")[0].lower(),
        )

    def retry_until(self, sender: str, created: float) -> float:
        """When a message is given up, seconds since the epoch."""
        return created + (self.maximal_queue_lifetime if sender else self.bounce_queue_lifetime)
