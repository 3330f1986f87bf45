"""
SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677): both sides prove that they know the password.

The server gets a proof that is of no use for anything else, and proves in turn that it knows the password's verifier;
a server that says yes without that is an impostor (``proven``). With -PLUS the proof covers the TLS channel, so that
nobody can stand in between, whatever certificate he has.

Promises: an iteration count below :data:`FEWEST_ITERATIONS` is refused, for it would make a dictionary cheap, and one
above :data:`MOST_ITERATIONS` too, for the server decides how long we compute; a client that could bind the channel
and was not offered to says so (``y``), by which a server notices that its offer was cut.

Known limits: one hash function. The computation takes milliseconds to a second: call :meth:`Scram.respond` in a thread.
"""

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass

from smtpclient.smtp.mechanisms.mechanism import Credentials, ExchangeFailed
from smtpclient.smtp.mechanisms.saslprep import saslprep

FEWEST_ITERATIONS = 4096
MOST_ITERATIONS = 2_000_000
_HASH = "sha256"
_ERROR = re.compile(r"[a-z0-9-]{1,60}")  # RFC 5802 section 7, server-error-value


@dataclass(frozen=True, slots=True)
class ChannelBinding:
    """
    What ties a login to the TLS channel it goes over (RFC 5056).

    :param kind: ``tls-exporter`` (RFC 9266) or ``tls-server-end-point`` (RFC 5929).
    """

    kind: str
    data: bytes


class Scram:
    """
    One login.

    :param nonce: printable, without comma, never used before.
    :param binding: of the channel; None: there is no TLS, or nothing to bind to.
    :param plus: the mechanism with channel binding was offered and chosen.
    :param hidden: the other mechanism was offered, and it was we who did not want it.
    """

    def __init__(
        self,
        credentials: Credentials,
        nonce: str,
        binding: ChannelBinding | None = None,
        *,
        plus: bool = False,
        hidden: bool = False,
    ) -> None:
        self.name = "SCRAM-SHA-256-PLUS" if plus else "SCRAM-SHA-256"
        self.proven = False
        self._credentials = credentials
        self._nonce = nonce
        self._bound = b""
        self._header = "n,,"
        if plus and binding is not None:
            self._header = f"p={binding.kind},,"
            self._bound = binding.data
        elif binding is not None and not hidden:
            self._header = "y,,"
        self._bare = ""
        self._signature = b""
        self._step = 0

    def start(self) -> bytes:
        """
        The client's first message.

        :raises ExchangeFailed: when the name is none that SCRAM can carry.
        """
        name = _prepared("name", self._credentials.username).replace("=", "=3D").replace(",", "=2C")
        self._bare = f"n={name},r={self._nonce}"
        self._step = 1
        return (self._header + self._bare).encode()

    def respond(self, challenge: bytes) -> bytes:
        """
        The proof; then nothing, when the server's own proof holds.

        :raises ExchangeFailed: when a message makes no sense, or the server does not know the password.
        """
        if self._step == 0:
            return self.start()
        self._step += 1
        if self._step == 2:
            return self._proof(challenge)
        if self._step == 3:
            self._verify(challenge)
            return b""
        raise ExchangeFailed("the server goes on after SCRAM has ended")

    def _proof(self, challenge: bytes) -> bytes:
        first = _text(challenge)
        nonce, salt, iterations = self._server_first(first)
        try:
            password = _prepared("password", self._credentials.secret).encode()
        except UnicodeEncodeError:
            raise ExchangeFailed("the password is not UTF-8, which SCRAM needs") from None
        salted = hashlib.pbkdf2_hmac(_HASH, password, salt, iterations)
        client_key = _mac(salted, b"Client Key")
        bound = base64.b64encode(self._header.encode() + self._bound).decode()
        without_proof = f"c={bound},r={nonce}"
        signed = f"{self._bare},{first},{without_proof}".encode()
        signature = _mac(hashlib.new(_HASH, client_key).digest(), signed)
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        self._signature = _mac(_mac(salted, b"Server Key"), signed)
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()

    def _server_first(self, text: str) -> tuple[str, bytes, int]:
        """Nonce, salt and iterations of the server's first message."""
        parts = text.split(",")
        if len(parts) < 3 or [part[:2] for part in parts[:3]] != ["r=", "s=", "i="]:
            # RFC 5802 section 5.1: an extension before the nonce is mandatory, and we know none.
            raise ExchangeFailed("the server's first SCRAM message is not understood")
        nonce, iterations = parts[0][2:], parts[2][2:]
        if not nonce.startswith(self._nonce) or nonce == self._nonce:
            raise ExchangeFailed("the server's SCRAM nonce does not continue ours")
        salt = _decoded(parts[1][2:])
        if not (iterations.isascii() and iterations.isdigit() and len(iterations) <= 10):
            raise ExchangeFailed("the server's SCRAM iteration count is no number")
        if not FEWEST_ITERATIONS <= int(iterations) <= MOST_ITERATIONS:
            limits = f"{FEWEST_ITERATIONS} to {MOST_ITERATIONS}"
            raise ExchangeFailed(f"the server's SCRAM iteration count {int(iterations)} is not within {limits}")
        return nonce, salt, int(iterations)

    def _verify(self, challenge: bytes) -> None:
        first = _text(challenge).split(",")[0]
        if first.startswith("e="):
            known = _ERROR.fullmatch(first[2:])
            raise ExchangeFailed(f"the server ends SCRAM: {known[0] if known else 'other-error'}")
        if not first.startswith("v=") or not hmac.compare_digest(_decoded(first[2:]), self._signature):
            raise ExchangeFailed("the server does not prove that it knows the password")
        self.proven = True


def _mac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, _HASH)


def _prepared(what: str, text: str) -> str:
    try:
        return saslprep(text)
    except ValueError as why:
        raise ExchangeFailed(f"the {what} holds {why}") from None


def _text(challenge: bytes) -> str:
    try:
        return challenge.decode()
    except UnicodeDecodeError:
        raise ExchangeFailed("the server's SCRAM message is not UTF-8") from None


def _decoded(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if not data:
        raise ExchangeFailed("the server's SCRAM message is not understood")
    return data
