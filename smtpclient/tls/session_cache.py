"""
TLS sessions to resume, in memory: a second connection to a server then costs no signature and no certificate.

A session is kept together with the judgement about the server that it was made with, under the policy that judged: what
is resumed has lived up to the very same demands.

Promises: no more than ``MOST`` are kept, none longer than ``smtp_tls_session_cache_timeout``, and only those of servers
that were accepted. A session is used once, as RFC 8446 appendix C.4 asks.

Does not: write to disk. ``smtp_tls_session_cache_database`` only says whether there is a cache.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass

from OpenSSL import SSL

from smtpclient.tls.certificate import Judgement

MOST = 1000


@dataclass(frozen=True, slots=True)
class Kept:
    """A session, and what was found out about its server."""

    session: SSL.Session
    judgement: Judgement
    until: float


class SessionCache:
    """
    Sessions by key.

    :param seconds: a clock's reading.
    :param lifetime: how long a session is kept, seconds; 0: none is.
    """

    def __init__(self, seconds: Callable[[], float], lifetime: float) -> None:
        self._seconds = seconds
        self._lifetime = lifetime
        self._kept: dict[Hashable, Kept] = {}

    def take(self, key: Hashable) -> Kept | None:
        """The session under a key, which is forgotten here; None when there is none that is fresh."""
        kept = self._kept.pop(key, None)
        return kept if kept is not None and self._seconds() < kept.until else None

    def keep(self, key: Hashable, session: SSL.Session, judgement: Judgement) -> None:
        """Keep a session for the next connection."""
        if self._lifetime <= 0 or not judgement.accepted:
            return
        self._kept.pop(key, None)
        if len(self._kept) >= MOST:
            self._kept.pop(next(iter(self._kept)))
        self._kept[key] = Kept(session, judgement, self._seconds() + self._lifetime)
