"""
PLAIN (RFC 4616) and LOGIN: name and password as they are.

LOGIN was never standardised. Its two prompts are answered in order, whatever they say, for servers word and
translate them as they like.
"""

from collections.abc import Sequence

from smtpclient.smtp.mechanisms.mechanism import Credentials, ExchangeFailed, encoded


class Plain:
    """PLAIN: one message, no authorization identity."""

    name = "PLAIN"
    proven = True

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._said = False

    def start(self) -> bytes:
        """
        NUL, name, NUL, password.

        :raises ExchangeFailed: when one of the two holds a NUL, which would end it.
        """
        name, secret = encoded(self._credentials.username), encoded(self._credentials.secret)
        if b"\0" in name + secret:
            raise ExchangeFailed("a name or password with a NUL cannot be sent")
        self._said = True
        return b"\0" + name + b"\0" + secret

    def respond(self, challenge: bytes) -> bytes:
        """
        What :meth:`start` gives, where the command had no room for it.

        :raises ExchangeFailed: when it was said before.
        """
        if self._said:
            raise ExchangeFailed("the server asks for more than PLAIN has")
        return self.start()


class Login:
    """LOGIN: the name, then the password."""

    name = "LOGIN"
    proven = True

    def __init__(self, credentials: Credentials) -> None:
        self._answers: Sequence[bytes] = (encoded(credentials.username), encoded(credentials.secret))

    def start(self) -> None:
        """The server speaks first."""

    def respond(self, challenge: bytes) -> bytes:
        """
        The next of the two.

        :raises ExchangeFailed: when both are said.
        """
        if not self._answers:
            raise ExchangeFailed("the server asks for more than a name and a password")
        answer, *self._answers = self._answers
        return answer
