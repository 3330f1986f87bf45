"""The server's side of SCRAM-SHA-256, for tests: as a scripted server's script."""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field

from smtpclient.smtp.mechanisms.scram import ChannelBinding
from tests.smtp.scripted_server import Script


@dataclass
class ScramServer:
    """
    What knows the password, and checks that the client does.

    :ivar header: what the client said about channel binding.
    """

    password: str = "pencil"
    iterations: int = 4096
    salt: bytes = b"saltsaltsalt"
    binding: ChannelBinding | None = None
    suffix: str = "server"
    header: str = ""
    _bare: str = ""
    _first: str = ""

    def first(self, message: bytes) -> bytes:
        """The answer to the client's first message."""
        text = message.decode()
        header, comma, self._bare = text.partition(",,")
        self.header = header + comma
        nonce = self._bare.partition(",r=")[2]
        salt = base64.b64encode(self.salt).decode()
        self._first = f"r={nonce}{self.suffix},s={salt},i={self.iterations}"
        return self._first.encode()

    def final(self, message: bytes) -> bytes | None:
        """The server's proof; None when the client's is none."""
        without_proof, _, proof = message.decode().rpartition(",p=")
        bound = self.header.encode() + (self.binding.data if self.binding else b"")
        if f"c={base64.b64encode(bound).decode()}," not in without_proof:
            return None
        salted = hashlib.pbkdf2_hmac("sha256", self.password.encode(), self.salt, self.iterations)
        signed = f"{self._bare},{self._first},{without_proof}".encode()
        stored = hashlib.sha256(_mac(salted, b"Client Key")).digest()
        key = bytes(a ^ b for a, b in zip(base64.b64decode(proof), _mac(stored, signed), strict=True))
        if hashlib.sha256(key).digest() != stored:
            return None
        return b"v=" + base64.b64encode(_mac(_mac(salted, b"Server Key"), signed))


def _mac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


@dataclass(frozen=True)
class ScramScript(Script):
    """A server that takes SCRAM."""

    ehlo: Sequence[str] | None = ("AUTH SCRAM-SHA-256",)
    scram: ScramServer = field(default_factory=ScramServer)

    def steps(self, event: str, line: str, occurrence: int = 0) -> list[str]:
        """What to do at an event."""
        if event != "other":
            return super().steps(event, line, occurrence)
        if line.startswith("AUTH "):
            answer: bytes | None = self.scram.first(base64.b64decode(line.split()[2]))
        elif line == "":
            return ["235 2.7.0 welcome"]
        else:
            answer = self.scram.final(base64.b64decode(line))
        return ["535 5.7.8 no" if answer is None else "334 " + base64.b64encode(answer).decode()]
