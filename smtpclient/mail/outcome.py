"""
What became of one recipient in one attempt, as a value that does not change.

Everything that is logged, reported, counted or handed to a subscriber comes from an :class:`Outcome`; nothing
is parsed back out of text. What is made for every recipient is a named tuple (see ``envelope``).
"""

import enum
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from smtpclient.mail.envelope import Recipient


class Disposition(enum.StrEnum):
    """How an attempt ended for one recipient; the values are the log's words."""

    SENT = "sent"
    DEFERRED = "deferred"
    BOUNCED = "bounced"


@dataclass(frozen=True)
class Peer:
    """
    The server that an outcome speaks of.

    :param host: its name as the exchanger list or the operator gave it.
    :param address: its IP address in text, or the path of a UNIX socket.
    :param port: TCP port; 0 for a UNIX socket.
    """

    host: str
    address: str
    port: int

    def __str__(self) -> str:
        return self.relay

    @cached_property  # asked for with every message
    def relay(self) -> str:
        """``host[address]:port``, as the log's ``relay=`` names a server; of a UNIX socket without a port."""
        return f"{self.name}:{self.port}" if self.port else self.name

    @property
    def name(self) -> str:
        """``host[address]``, as reasons name a server."""
        return f"{self.host}[{self.address}]"


class Delays(NamedTuple):
    """
    Where the time went, in seconds: the ``delays=a/b/c/d`` of the log.

    :param before_active: from arrival until the queue manager took the message.
    :param in_queue: from then until the delivery agent took the request.
    :param connecting: name lookups, connect, greeting, EHLO, TLS; zero on a reused session.
    :param sending: the mail transaction.
    """

    before_active: float = 0.0
    in_queue: float = 0.0
    connecting: float = 0.0
    sending: float = 0.0

    @property
    def total(self) -> float:
        """All of them: the ``delay=`` of the log."""
        return sum(self)


class Outcome(NamedTuple):
    """
    What became of one recipient.

    :param status: enhanced status code, RFC 3463, for instance ``5.1.1``; its class agrees with the disposition.
    :param reason: the sentence in the log line's parentheses and in reports; never empty, one line.
    :param reply: the server's reply that decided it, ``550 5.1.1 unknown``, lines joined by blanks; empty when
        no reply did.
    :param peer: the server that decided it; None when none was reached.
    :param stage: the words for the part of the dialogue, for instance ``RCPT TO command``; empty before it.
    :param in_doubt: the connection died between the final dot and its reply: it may have been delivered.
    :param relayed_dsn: the server offered DSN and took over reporting success (RFC 3461 section 5.2.2).
    :param session_uses: how many messages this session has carried, this one included.
    :param tls: protocol and cipher of the session; empty when in clear text.
    :param final: it is in the recipient's mailbox now: a report says delivered, not relayed.
    """

    recipient: Recipient
    disposition: Disposition
    status: str
    reason: str
    reply: str = ""
    peer: Peer | None = None
    stage: str = ""
    in_doubt: bool = False
    relayed_dsn: bool = False
    delays: Delays = Delays()
    session_uses: int = 1
    tls: str = ""
    final: bool = False

    @property
    def relay(self) -> str:
        """The log's ``relay=``: ``host[address]:port``, or ``none``."""
        return self.peer.relay if self.peer else "none"


@dataclass(frozen=True, slots=True)
class SiteFailure:
    """
    The next hop as a whole could not be used: no session, or a session that no recipient could use.

    The scheduler takes it as negative feedback for the destination.
    """

    status: str
    reason: str
