"""What a server says of a secret is not seen."""

import base64

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.smtp.concealment import Concealment
from smtpclient.smtp.mechanisms.mechanism import Credentials
from smtpclient.smtp.reply import Reply

SECRET = "hunter2!x"


def concealment(secret: str = SECRET) -> Concealment:
    """After PLAIN with the secret has been sent."""
    concealed = Concealment(Credentials("bob", secret))
    concealed.sent(b"\0bob\0" + secret.encode())
    return concealed


class Concealed(SynchronousTestCase):
    """Replies that repeat what was sent."""

    def shown(self, text: str, secret: str = SECRET) -> str:
        """The text of a reply, as it may be seen."""
        return concealment(secret)(Reply(int(text[:3]), text)).text

    def test_forms_of_a_secret(self) -> None:
        """As it is, in another case, in base64 with and without padding, whole and in part."""
        sent = base64.b64encode(b"\0bob\0" + SECRET.encode()).decode()
        alone = base64.b64encode(SECRET.encode()).decode()
        for form in (SECRET, SECRET.upper(), sent, sent.rstrip("="), sent[:14], sent[5:], alone):
            self.assertEqual(self.shown(f"535 5.7.8 no {form}"), "535 5.7.8 no <credentials>")

    def test_all_lines(self) -> None:
        """Every line of a reply is looked at."""
        text = self.shown(f"535-5.7.8 {SECRET}\n535 5.7.8 {SECRET} again")
        self.assertEqual(text, "535-5.7.8 <credentials>\n535 5.7.8 <credentials> again")

    def test_codes_stay(self) -> None:
        """A secret that is a code does not change what a reply means."""
        self.assertEqual(self.shown("535 5.7.8 code 535", "535"), "535 5.7.8 code <credentials>")

    def test_short_secrets(self) -> None:
        """A short secret is found as a word only."""
        self.assertEqual(self.shown("535 5.7.8 a bad (ba)", "ba"), "535 5.7.8 a bad (<credentials>)")

    def test_name_is_no_secret(self) -> None:
        """The name stays, so that the operator sees whose login it was, also when LOGIN has sent it by itself."""
        concealed = concealment()
        concealed.sent(b"bob")
        self.assertEqual(concealed(Reply(535, "535 Ym9iYm9i bob")).text, "535 Ym9iYm9i bob")

    def test_untouched(self) -> None:
        """A reply that holds nothing of it is the same value."""
        reply = Reply(250, "250 2.1.0 Ok")
        self.assertIs(concealment()(reply), reply)

    def test_nothing_to_conceal(self) -> None:
        """An empty password hides nothing."""
        self.assertEqual(Concealment(Credentials("bob", ""))(Reply(535, "535 no")).text, "535 no")

    def test_no_repr(self) -> None:
        """What conceals does not show."""
        self.assertEqual(repr(concealment()), "<Concealment>")

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=4, max_size=40), st.text(max_size=20))
    def test_any_secret(self, secret: str, around: str) -> None:
        """No secret of four or more characters is left in what is shown."""
        text = concealment(secret)(Reply(535, f"535 {around} {secret}{around}".replace("\n", " "))).text
        rest = text[4:].replace("<credentials>", "")
        self.assertFalse(secret.lower() in rest.lower() and secret.lower() not in around.lower(), text)
