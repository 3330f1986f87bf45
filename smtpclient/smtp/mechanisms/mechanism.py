"""
What every SASL mechanism of the client is: bytes in, bytes out (RFC 4422).

A mechanism is made for one login. :meth:`Mechanism.start` gives the initial response, or None where the server speaks
first; :meth:`Mechanism.respond` answers one challenge. Base64, the AUTH command and what a refusal means for mail are
for ``smtpclient.smtp.authentication``.

Promises: a secret is in no ``repr()`` and in no exception's text; every mechanism ends after a fixed number of
challenges, so no server keeps a client answering.
"""

from dataclasses import dataclass, field
from typing import Protocol


class ExchangeFailed(Exception):
    """The client does not go on; the text says why, and holds nothing that is secret."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """
    Who logs in, and by what.

    :param secret: the password, or the access token.
    :param is_token: the secret is a token (RFC 6750).
    """

    username: str
    secret: str = field(repr=False)
    is_token: bool = False


class Mechanism(Protocol):
    """One login."""

    @property
    def name(self) -> str:
        """As IANA registers it."""

    @property
    def proven(self) -> bool:
        """Whether a server that says yes now may be believed; always, where it has no way to prove anything."""

    def start(self) -> bytes | None:
        """The initial response; None: the server speaks first."""

    def respond(self, challenge: bytes) -> bytes:
        """
        The response to a challenge.

        :raises ExchangeFailed: when there is none.
        """


def encoded(text: str) -> bytes:
    """A name or secret as it goes to a server: UTF-8, or the very bytes that stood in the table."""
    return text.encode("utf-8", "surrogateescape")
