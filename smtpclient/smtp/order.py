"""
Whether a server's answers tell what they answer.

Replies carry no name of the command that they answer; a client counts them. A server that answers one command before
another that came first would be misunderstood, and where the end of a message is followed by the next envelope in one
group that matters: its yes to MAIL would count for the message in front, and mail would be lost.

But most servers speak with enhanced status codes, and RFC 3463 section 3.2 has a subject for addresses: the yes to
MAIL is 2.1.0, to RCPT 2.1.5, and that to a message has another subject (2.0.0, 2.6.0). :class:`Order` learns from a
session's messages that stand alone whether its server does so. Where it does, a yes to a message is told from a yes to
an envelope by its looks.

Promises: no yes is believed of which it cannot be said that it is one to a message; no refusal, before the server has
been seen to answer a group in order.

Does not: read replies, or decide who goes behind whom (``smtpclient.delivery.following``).
"""

import re
from functools import lru_cache

from smtpclient.smtp.reply import Reply

_STATUS = re.compile(r"2[0-9]{2} +2\.([0-9]{1,3})\.[0-9]{1,3}(?!\S)")
_ADDRESSES = "1"


class Order:
    """What the replies of one session look like."""

    __slots__ = ("_envelopes", "_messages")

    def __init__(self) -> None:
        self._envelopes: set[str] = set()
        self._messages: set[str] = set()

    @property
    def is_told(self) -> bool:
        """Whether both have been seen, the yes to an envelope and that to a message, and each is of its own kind."""
        return self._envelopes == {_ADDRESSES} and bool(self._messages) and self._messages.isdisjoint(("", _ADDRESSES))

    def to_envelope(self, reply: Reply) -> None:
        """A yes to MAIL or RCPT."""
        self._envelopes.add(_subject(reply.last_line))

    def to_message(self, reply: Reply) -> None:
        """A yes to a message that nothing stood behind."""
        self._messages.add(_subject(reply.last_line))

    def believes(self, is_orderly: bool, reply: Reply) -> bool:
        """
        Whether a reply is that to a message, behind which an envelope stood.

        :param is_orderly: the server has been seen to answer such a group in order.
        """
        return _subject(reply.last_line) not in ("", _ADDRESSES) if reply.category == 2 else is_orderly


@lru_cache(maxsize=256)  # many servers say the same to each message
def _subject(line: str) -> str:
    """The subject of the enhanced status code of a yes; empty: it has none."""
    found = _STATUS.match(line)
    return found[1] if found is not None else ""
