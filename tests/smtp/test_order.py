"""Whether a server's answers tell what they answer."""

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.smtp.order import Order
from smtpclient.smtp.reply import Reply


def seen(envelope: tuple[str, ...], message: str) -> Order:
    """What was learnt from replies of these texts."""
    order = Order()
    for text in envelope:
        order.to_envelope(Reply(250, text))
    order.to_message(Reply(250, message))
    return order


class Told(SynchronousTestCase):
    """Which servers' answers tell."""

    def test_the_subject_of_the_status(self) -> None:
        """A yes to an envelope is about addresses, and one to a message is not (RFC 3463 section 3.2)."""
        envelope = ("250 2.1.0 Ok", "250 2.1.5 Ok", "251 2.1.5 will forward")
        table = {
            "250 2.0.0 Ok: queued as 4F": True,
            "250 2.6.0 <1@b> Queued mail for delivery": True,
            "250-well\n250 2.0.0 done": True,
            "250 2.1.5 Ok": False,
            "250 Ok": False,
            "250-2.0.0 well\n250 done": False,
            "250 2.0 Ok": False,
            "250 5.0.0 Ok": False,
        }
        for message, told in table.items():
            self.assertEqual(seen(envelope, message).is_told, told, message)

    def test_both_are_to_be_seen(self) -> None:
        """Nothing is told by half of it."""
        order = Order()
        self.assertFalse(order.is_told)
        order.to_message(Reply(250, "250 2.0.0 Ok"))
        self.assertFalse(order.is_told)
        order.to_envelope(Reply(250, "250 2.1.0 Ok"))
        self.assertTrue(order.is_told)

    def test_one_that_is_not_like_the_others(self) -> None:
        """One yes to an envelope that looks otherwise is enough to trust no more."""
        self.assertFalse(seen(("250 2.1.0 Ok", "250 2.0.0 Ok"), "250 2.0.0 Ok").is_told)
        self.assertFalse(seen(("250 Ok", "250 2.1.5 Ok"), "250 2.0.0 Ok").is_told)

    def test_belief(self) -> None:
        """A yes has to look like one to a message; a no is believed of who has shown that it answers in order."""
        order = seen(("250 2.1.0 Ok",), "250 2.0.0 Ok")
        yes = {"250 2.0.0 Ok": True, "250 2.6.0 Ok": True, "250 2.1.0 Ok": False, "250 Ok": False}
        for is_orderly in (False, True):
            for text, believed in yes.items():
                self.assertEqual(order.believes(is_orderly, Reply(250, text)), believed, text)
            for code in (354, 452, 554):
                self.assertEqual(order.believes(is_orderly, Reply(code, f"{code} no")), is_orderly, code)
