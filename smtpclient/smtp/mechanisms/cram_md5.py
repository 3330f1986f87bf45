"""
CRAM-MD5 (RFC 2195): a digest of the server's challenge, keyed with the password.

The password does not cross the wire, but who listens can try a dictionary, and the server proves nothing.
"""

import hmac

from smtpclient.smtp.mechanisms.mechanism import Credentials, ExchangeFailed, encoded


class CramMd5:
    """One login by CRAM-MD5."""

    name = "CRAM-MD5"
    proven = True

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._answered = False

    def start(self) -> None:
        """The server speaks first."""

    def respond(self, challenge: bytes) -> bytes:
        """
        Name, blank, digest.

        :raises ExchangeFailed: on an empty or a second challenge: a server that chooses what is signed twice learns
            more.
        """
        if self._answered or not challenge:
            raise ExchangeFailed("the server's challenge is " + ("one too many" if self._answered else "empty"))
        self._answered = True
        digest = hmac.new(encoded(self._credentials.secret), challenge, "md5").hexdigest()
        return encoded(self._credentials.username) + b" " + digest.encode("ascii")
