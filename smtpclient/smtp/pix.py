"""
What is done about firewalls of the PIX kind, which spoil SMTP: ``smtp_pix_workarounds``.

Such a firewall shows itself by a greeting that has nothing left in it but its code and asterisks. Two things help:

=================  ========================================================================================
``disable_esmtp``  HELO is sent in place of EHLO
``delay_dotcrlf``  what ends a message is sent alone, after a pause, once the message has waited for a while
=================  ========================================================================================
"""

import re
from dataclasses import dataclass

from smtpclient.config.parameters import Parameters
from smtpclient.config.tables import Tables

WORDS = frozenset({"disable_esmtp", "delay_dotcrlf"})

_GREETING = re.compile(r"[20 *\t\n]*")


def is_spoiled(greeting: str) -> bool:
    """Whether a greeting, code and all, looks as one that such a firewall has been at."""
    return _GREETING.fullmatch(greeting) is not None


@dataclass(frozen=True, slots=True)
class PixSettings:
    """
    What is done, and when.

    :param maps: the same by server address; None: none.
    :param threshold: how long a message has been in the queue when ``delay_dotcrlf`` begins, seconds.
    :param delay: how long the pause is, seconds.
    """

    words: frozenset[str] = frozenset()
    maps: Tables | None = None
    threshold: float = 500.0
    delay: float = 10.0

    @classmethod
    def from_parameters(cls, parameters: Parameters) -> "PixSettings":
        """Take the settings from the parameters."""
        return cls(
            frozenset(parameters.words("smtp_pix_workarounds")),
            parameters.tables("smtp_pix_workaround_maps") or None,
            parameters.seconds("smtp_pix_workaround_threshold_time"),
            parameters.seconds("smtp_pix_workaround_delay_time"),
        )

    def workarounds(self, greeting: str, address: str) -> frozenset[str]:
        """What to do with the server at an address that greets so; words that mean nothing are left out."""
        if not is_spoiled(greeting):
            return frozenset()
        found = self.maps.lookup(address) if self.maps is not None else None
        return self.words if found is None else WORDS & frozenset(found.replace(",", " ").split())
