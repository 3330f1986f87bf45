"""
What a server says it takes at most (LIMITS, RFC 9422), and recipients in shares that keep to it.

``MAILMAX`` is about transactions in a session, ``RCPTMAX`` about recipients in a transaction, ``RCPTDOMAINMAX`` about
their domains. A limit that makes no sense is as good as none; one of another name means nothing to a client.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from smtpclient.mail.envelope import Recipient

_LIMIT = re.compile(r"(MAILMAX|RCPTMAX|RCPTDOMAINMAX)=([1-9][0-9]{0,5})", re.I)


class Limits(NamedTuple):
    """Each of them a number, or 0 where there is no such limit."""

    mails: int = 0
    recipients: int = 0
    domains: int = 0

    def shares(self, recipients: Sequence[Recipient]) -> list[list[int]]:
        """
        The recipients in shares, each for a transaction of its own, by their indexes and in their order.

        A share ends where the next recipient, or the next one's domain, would be one too many.
        """
        if not self.recipients and not self.domains:
            return [list(range(len(recipients)))]
        shares: list[list[int]] = [[]]
        domains: set[str] = set()
        for index, recipient in enumerate(recipients):
            is_full = self.recipients and len(shares[-1]) >= self.recipients
            is_new = recipient.domain not in domains
            if shares[-1] and (is_full or (self.domains and is_new and len(domains) >= self.domains)):
                shares.append([])
                domains.clear()
            shares[-1].append(index)
            domains.add(recipient.domain)
        return shares


@lru_cache(maxsize=256)
def parse(parameters: str) -> Limits:
    """Read what stands behind the keyword: ``MAILMAX=50 RCPTMAX=20``."""
    found = dict.fromkeys(("MAILMAX", "RCPTMAX", "RCPTDOMAINMAX"), 0)
    for word in parameters.split():
        limit = _LIMIT.fullmatch(word)
        if limit:
            found[limit[1].upper()] = int(limit[2])
    return Limits(*found.values())
