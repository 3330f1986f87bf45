"""
OAUTHBEARER (RFC 7628) and XOAUTH2: an access token instead of a password.

Both send everything at once. A server that does not take the token sends a challenge with a JSON object that says why,
and the refusal itself only when that has been answered with nothing (XOAUTH2) or a 0x01 (OAUTHBEARER).
"""

from abc import ABC, abstractmethod

from smtpclient.smtp.mechanisms.mechanism import Credentials, ExchangeFailed, encoded


class _Bearer(ABC):
    """What both have in common."""

    proven = True
    _acknowledgement = b""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._said = False
        self._refused = False

    def start(self) -> bytes:
        """
        Name and token.

        :raises ExchangeFailed: when a control character in either would end it.
        """
        message = self._message()
        if any(ord(character) < 0x20 for character in self._credentials.username + self._credentials.secret):
            raise ExchangeFailed("a name or token with a control character cannot be sent")
        self._said = True
        return message

    @abstractmethod
    def _message(self) -> bytes:
        """Name and token as the mechanism wants them."""

    def respond(self, challenge: bytes) -> bytes:
        """
        What :meth:`start` gives, where the command had no room for it; or that the refusal has been read.

        :raises ExchangeFailed: when the server goes on after that.
        """
        if not self._said:
            return self.start()
        if self._refused:
            raise ExchangeFailed("the server goes on after it has refused the token")
        self._refused = True
        return self._acknowledgement


class OAuthBearer(_Bearer):
    """
    OAUTHBEARER.

    :param host: the server's name, so that a token is no good elsewhere.
    """

    name = "OAUTHBEARER"
    _acknowledgement = b"\x01"

    def __init__(self, credentials: Credentials, host: str = "", port: int = 25) -> None:
        super().__init__(credentials)
        self._host = host
        self._port = port

    def _message(self) -> bytes:
        name = self._credentials.username.replace("=", "=3D").replace(",", "=2C")
        fields = [f"n,a={name},", f"host={self._host}", f"port={self._port}"]
        return encoded("\x01".join([*fields, f"auth=Bearer {self._credentials.secret}", "", ""]))


class XOAuth2(_Bearer):
    """XOAUTH2, the form from before the standard, which is the one that large providers take."""

    name = "XOAUTH2"

    def _message(self) -> bytes:
        return encoded(f"user={self._credentials.username}\x01auth=Bearer {self._credentials.secret}\x01\x01")
