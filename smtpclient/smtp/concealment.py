"""
Secrets in what a server says: a refusal may repeat what was sent, and replies go into logs and reports.

:class:`Concealment` replaces a secret in the text of replies by :data:`SHOWN`, whether it stands there as it is, in
any case of letters, in base64, or as a part of what was sent in base64. Codes and enhanced status codes are left
alone.

Known limits: a secret of less than four characters is replaced only where it stands as a word of its own, for it would
be found everywhere; other encodings than base64 are not known.
"""

import base64
import re

from smtpclient.observe.maillog import printable
from smtpclient.smtp.mechanisms.mechanism import Credentials, encoded
from smtpclient.smtp.reply import Reply

SHOWN = "<credentials>"

_SHORT = 4
_CODES = re.compile(r"[0-9]{3}(?:[ -] *[245]\.[0-9]{1,3}\.[0-9]{1,3}(?!\S))?")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{6,}=*")


class Concealment:
    """
    What must not be seen of one session.

    :param credentials: those that it logs in with; the name is no secret.
    """

    def __init__(self, credentials: Credentials) -> None:
        self._name = encoded(credentials.username)
        forms = {credentials.secret, printable(credentials.secret)} - {""}
        self._sent = {base64.b64encode(encoded(form)).decode() for form in forms}
        words = sorted(forms, key=len, reverse=True)
        self._secret = re.compile("|".join(map(_pattern, words)), re.IGNORECASE) if words else None

    def __repr__(self) -> str:
        return "<Concealment>"

    def sent(self, response: bytes) -> None:
        """Take note of a response that holds the secret, or what was made from it."""
        if response and response != self._name:
            self._sent.add(base64.b64encode(response).decode())

    def __call__(self, reply: Reply) -> Reply:
        """The reply without the secret."""
        text = "\n".join(self._line(line) for line in reply.text.split("\n"))
        return reply if text == reply.text else reply._replace(text=text)

    def _line(self, line: str) -> str:
        code = _CODES.match(line)
        end = code.end() if code else 0
        said = _BASE64.sub(self._encoded, line[end:])
        return line[:end] + (self._secret.sub(SHOWN, said) if self._secret else said)

    def _encoded(self, found: re.Match[str]) -> str:
        bare = found[0].rstrip("=")
        return SHOWN if any(bare in sent for sent in self._sent) else found[0]


def _pattern(form: str) -> str:
    return re.escape(form) if len(form) >= _SHORT else rf"(?<!\w){re.escape(form)}(?!\w)"
