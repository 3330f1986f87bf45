"""SASL mechanisms against the examples of their standards."""

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.smtp.mechanisms.bearer import OAuthBearer, XOAuth2
from smtpclient.smtp.mechanisms.cram_md5 import CramMd5
from smtpclient.smtp.mechanisms.mechanism import Credentials, ExchangeFailed, Mechanism
from smtpclient.smtp.mechanisms.plain import Login, Plain
from smtpclient.smtp.mechanisms.saslprep import saslprep

TIM = Credentials("tim", "tanstaaftanstaaf")
TOKEN = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="


class Examples(SynchronousTestCase):
    """The examples that the standards give."""

    def test_plain(self) -> None:
        """RFC 4616 section 4: NUL, name, NUL, password; the authorization identity is left out."""
        self.assertEqual(Plain(TIM).start(), b"\0tim\0tanstaaftanstaaf")

    def test_plain_carries_utf8_and_raw_bytes(self) -> None:
        """A password goes out as UTF-8, or as the very bytes of a table that is not UTF-8."""
        self.assertEqual(Plain(Credentials("jörg", "p\udce4ss")).start(), b"\0j\xc3\xb6rg\0p\xe4ss")

    def test_login(self) -> None:
        """LOGIN: the name to the first prompt, the password to the second, in whatever language they are."""
        login = Login(TIM)
        answers = [login.start(), login.respond(b"Nutzername:"), login.respond(b"")]
        self.assertEqual(answers, [None, b"tim", b"tanstaaftanstaaf"])

    def test_cram_md5(self) -> None:
        """RFC 2195 section 2."""
        cram = CramMd5(TIM)
        self.assertIsNone(cram.start())
        response = cram.respond(b"<1896.697170952@postoffice.reston.mci.net>")
        self.assertEqual(response, b"tim b913a602c7eda7a495b4e6e7334d3890")

    def test_oauthbearer(self) -> None:
        """RFC 7628 section 4.1."""
        bearer = OAuthBearer(Credentials("user@example.com", TOKEN, is_token=True), "server.example.com", 587)
        wanted = f"n,a=user@example.com,\x01host=server.example.com\x01port=587\x01auth=Bearer {TOKEN}\x01\x01"
        self.assertEqual(bearer.start(), wanted.encode())

    def test_oauthbearer_escapes_the_name(self) -> None:
        """A comma or an equals sign in a name does not end it (RFC 5801 section 4)."""
        bearer = OAuthBearer(Credentials("a=b,c", "t", is_token=True), "h", 25)
        self.assertTrue(bearer.start().startswith(b"n,a=a=3Db=2Cc,\x01"))

    def test_xoauth2(self) -> None:
        """The form that its providers document."""
        bearer = XOAuth2(Credentials("someuser@example.com", "ya29.vF9dft4qmTc2", is_token=True))
        self.assertEqual(bearer.start(), b"user=someuser@example.com\x01auth=Bearer ya29.vF9dft4qmTc2\x01\x01")

    def test_bearers_acknowledge_the_refusal(self) -> None:
        """The challenge that says why a token is refused is answered with what lets the server refuse it."""
        answers = {}
        for mechanism in (OAuthBearer(TIM, "h", 25), XOAuth2(TIM)):
            mechanism.start()
            answers[mechanism.name] = mechanism.respond(b'{"status":"401"}')
        self.assertEqual(answers, {"OAUTHBEARER": b"\x01", "XOAUTH2": b""})


class Ends(SynchronousTestCase):
    """A server that goes on where there is nothing more to say."""

    def exhausted(self, make: Callable[[], Mechanism], challenges: int) -> bool:
        """Whether a mechanism takes so many challenges and no more."""
        mechanism = make()
        mechanism.start()
        for _ in range(challenges):
            mechanism.respond(b"challenge")
        try:
            mechanism.respond(b"challenge")
        except ExchangeFailed:
            return True
        return False

    def test_every_mechanism_ends(self) -> None:
        """After its last response a mechanism gives up, so that no server keeps a client answering."""
        makers: dict[Callable[[], Mechanism], int] = {
            lambda: Plain(TIM): 0,
            lambda: Login(TIM): 2,
            lambda: CramMd5(TIM): 1,
            lambda: XOAuth2(TIM): 1,
            lambda: OAuthBearer(TIM): 1,
        }
        ends = {make().name: self.exhausted(make, challenges) for make, challenges in makers.items()}
        self.assertEqual(ends, dict.fromkeys(["PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2", "OAUTHBEARER"], True))

    def test_initial_response_may_come_late(self) -> None:
        """What sends everything at once can also say it when it is asked."""
        late = {mechanism.name: mechanism.respond(b"") for mechanism in (Plain(TIM), XOAuth2(TIM))}
        self.assertEqual(late, {"PLAIN": Plain(TIM).start(), "XOAUTH2": XOAuth2(TIM).start()})

    def test_cram_md5_signs_no_empty_challenge(self) -> None:
        """An empty challenge is refused: its answer would be the same every time."""
        self.assertRaises(ExchangeFailed, CramMd5(TIM).respond, b"")

    def test_separators_in_secrets(self) -> None:
        """A NUL in a password, or a control character in a token, is refused rather than sent as something else."""
        self.assertRaises(ExchangeFailed, Plain(Credentials("tim", "a\0b")).start)
        self.assertRaises(ExchangeFailed, XOAuth2(Credentials("tim", "a\x01b")).start)
        self.assertRaises(ExchangeFailed, OAuthBearer(Credentials("ti\x01m", "ab")).start)


class Secrecy(SynchronousTestCase):
    """Values that hold secrets."""

    def test_no_secret_in_repr(self) -> None:
        """Neither the credentials nor a mechanism shows the secret, only the name."""
        shown = [repr(TIM), *(repr(make(TIM)) for make in (Plain, Login, CramMd5, OAuthBearer, XOAuth2))]
        self.assertEqual([text for text in shown if TIM.secret in text], [])
        self.assertIn("tim", shown[0])

    def test_no_secret_in_exceptions(self) -> None:
        """A refusal to send a password does not hold it."""
        error = self.assertRaises(ExchangeFailed, Plain(Credentials("tim", "verysecret\0")).start)
        self.assertNotIn("verysecret", str(error) + repr(error))


class SaslPrep(SynchronousTestCase):
    """RFC 4013."""

    def test_examples(self) -> None:
        """Section 3: what is mapped and normalized, and what is left alone."""
        examples = {"I\u00adX": "IX", "user": "user", "USER": "USER", "\u00aa": "a", "\u2168": "IX", "a\u00a0b": "a b"}
        self.assertEqual({text: saslprep(text) for text in examples}, examples)

    def test_prohibited(self) -> None:
        """Section 3: control characters, and right-to-left text that ends in something else."""
        refused = []
        for text in ("\x07", "\u06271", "\u0627a\u0627", "\ue000", "\udce4"):
            self.assertRaises(ValueError, saslprep, text)
            refused.append(text)
        self.assertEqual(len(refused), 5)

    def test_right_to_left(self) -> None:
        """Text that is right-to-left from end to end is fine, and so is the empty one."""
        self.assertEqual([saslprep("\u0627\u0628"), saslprep("")], ["\u0627\u0628", ""])
