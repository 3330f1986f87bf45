"""SCRAM-SHA-256: the example of RFC 7677, a server of our own, and servers that are none."""

import base64
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.smtp.mechanisms.mechanism import Credentials, ExchangeFailed
from smtpclient.smtp.mechanisms.scram import MOST_ITERATIONS, ChannelBinding, Scram
from tests.smtp.scram_server import ScramServer

PENCIL = Credentials("user", "pencil")
NONCE = "rOprNGfwEbeRWgbNEkqO"
FIRST = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
BINDING = ChannelBinding("tls-exporter", b"\x00\xff" * 16)


def converse(scram: Scram, server: ScramServer) -> bool:
    """Let both go on to the end; whether the server let the client in."""
    final = server.final(scram.respond(server.first(scram.start())))
    return final is not None and scram.respond(final) == b"" and scram.proven


class Example(SynchronousTestCase):
    """RFC 7677 section 3."""

    def test_whole_exchange(self) -> None:
        """All messages are those of the example, and only the server's proof makes it proven."""
        scram = Scram(PENCIL, NONCE)
        self.assertEqual(scram.start(), b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO")
        self.assertEqual(
            scram.respond(FIRST),
            b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        )
        self.assertFalse(scram.proven)
        self.assertEqual(scram.respond(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), b"")
        self.assertTrue(scram.proven)


class Conversation(SynchronousTestCase):
    """A server that knows the password."""

    def test_right_and_wrong_password(self) -> None:
        """The server lets in who knows the password, and nobody else."""
        outcomes = {word: converse(Scram(Credentials("u", word), NONCE), ScramServer()) for word in ("pencil", "pen")}
        self.assertEqual(outcomes, {"pencil": True, "pen": False})

    def test_password_is_prepared(self) -> None:
        """Both forms of one password are the same (SASLprep)."""
        self.assertTrue(converse(Scram(Credentials("u", "I\u00adX"), NONCE), ScramServer("IX")))

    def test_name_is_escaped(self) -> None:
        """A comma and an equals sign in a name do not end it."""
        self.assertEqual(Scram(Credentials("a=b,c", "p"), NONCE).start(), b"n,,n=a=3Db=2Cc,r=" + NONCE.encode())

    def test_late_first_message(self) -> None:
        """The first message can also answer an empty challenge."""
        scram, server = Scram(PENCIL, NONCE), ScramServer()
        final = server.final(scram.respond(server.first(scram.respond(b""))))
        self.assertEqual((scram.respond(final or b""), scram.proven), (b"", True))

    def test_with_channel_binding(self) -> None:
        """-PLUS binds to the channel: a server at the other end of another channel does not let in."""
        other = ChannelBinding("tls-exporter", b"other")
        outcomes = [
            converse(Scram(PENCIL, NONCE, BINDING, plus=True), ScramServer(binding=b)) for b in (BINDING, other)
        ]
        self.assertEqual(outcomes, [True, False])

    def test_what_is_said_about_binding(self) -> None:
        """``p=`` with it; ``y`` where we could and were not offered it; ``n`` where we cannot or do not want to."""
        headers = {}
        cases: dict[str, dict[str, Any]] = {
            "plus": {"binding": BINDING, "plus": True},
            "not offered": {"binding": BINDING},
            "hidden": {"binding": BINDING, "hidden": True},
            "no TLS": {},
        }
        for name, options in cases.items():
            server = ScramServer()
            server.first(Scram(PENCIL, NONCE, **options).start())
            headers[name] = server.header
        self.assertEqual(headers, {"plus": "p=tls-exporter,,", "not offered": "y,,", "hidden": "n,,", "no TLS": "n,,"})

    def test_names_of_the_two(self) -> None:
        """The mechanism is named for whether it binds."""
        names = [Scram(PENCIL, NONCE).name, Scram(PENCIL, NONCE, BINDING, plus=True).name]
        self.assertEqual(names, ["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"])


class Impostors(SynchronousTestCase):
    """Servers that do not know the password, or want to learn it."""

    def failure(self, *challenges: bytes, credentials: Credentials = PENCIL) -> str:
        """Why the client does not go on."""
        scram = Scram(credentials, NONCE)
        scram.start()
        with self.assertRaises(ExchangeFailed) as caught:
            for challenge in challenges:
                scram.respond(challenge)
        self.assertFalse(scram.proven)
        return str(caught.exception)

    def test_wrong_proof(self) -> None:
        """A server that cannot prove that it knows the password is not believed."""
        wanted = "the server does not prove that it knows the password"
        wrong = base64.b64encode(b"x" * 32)
        self.assertEqual([self.failure(FIRST, b"v=" + wrong), self.failure(FIRST, b"x=1")], [wanted, wanted])

    def test_error_of_the_server(self) -> None:
        """The server's own error is shown, when it is one of the words that errors are."""
        shown = [self.failure(FIRST, b"e=invalid-proof"), self.failure(FIRST, b"e=\x1b[31m pencil")]
        self.assertEqual(shown, ["the server ends SCRAM: invalid-proof", "the server ends SCRAM: other-error"])

    def test_iteration_counts(self) -> None:
        """Too few iterations make a dictionary cheap, too many hold us up: neither is computed."""
        counts = ("1", "4095", str(MOST_ITERATIONS + 1), "9" * 10, "-1", "4096x", "٤٠٩٦", "9" * 11)
        for count in counts:
            first = f"r={NONCE}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i={count}".encode()
            self.assertIn("iteration count", self.failure(first))

    def test_nonce_must_continue_ours(self) -> None:
        """A replayed first message, or one that adds nothing of the server's own, is refused."""
        answers = [f"r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096".encode() for nonce in ("other", NONCE)]
        self.assertEqual(
            {self.failure(answer) for answer in answers}, {"the server's SCRAM nonce does not continue ours"}
        )

    def test_what_is_not_understood(self) -> None:
        """A mandatory extension, a missing part, no base64, no UTF-8, one message too many."""
        nonce = NONCE.encode()
        firsts = (b"", b"m=ext," + FIRST, b"r=" + nonce + b"x", b"r=" + nonce + b"x,s=%%,i=4096", b"\xff")
        for first in firsts:
            self.failure(first)
        self.failure(FIRST, b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=x")

    def test_one_message_too_many(self) -> None:
        """Nothing follows the server's proof."""
        scram = Scram(PENCIL, NONCE)
        scram.start()
        scram.respond(FIRST)
        scram.respond(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
        self.assertRaises(ExchangeFailed, scram.respond, b"")

    def test_password_that_cannot_be_prepared(self) -> None:
        """A password with what SASLprep forbids is said to be unusable, without showing it."""
        words = self.failure(FIRST, credentials=Credentials("user", "hidden\x07"))
        self.assertEqual(words, "the password holds a character that SASLprep (RFC 4013) forbids")

    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(st.lists(st.binary(max_size=80) | st.just(FIRST), max_size=4))
    def test_any_bytes(self, challenges: list[bytes]) -> None:
        """Whatever a server sends, the client answers or gives up; it is never convinced by chance."""
        scram = Scram(PENCIL, NONCE)
        scram.start()
        try:
            for challenge in challenges:
                scram.respond(challenge)
        except ExchangeFailed:
            pass
        self.assertFalse(scram.proven)
