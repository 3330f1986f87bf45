"""What a server says it takes at most (RFC 9422)."""

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.mail.envelope import Recipient
from smtpclient.smtp.limits import Limits, parse


def shares(limits: Limits, *addresses: str) -> list[list[int]]:
    """The shares of these recipients."""
    return limits.shares([Recipient(address) for address in addresses])


class ParseTests(SynchronousTestCase):
    """The parameters of the keyword."""

    def test_parameters(self) -> None:
        """Numbers count, in any order and case; what is none, is zero or belongs to another limit does not."""
        wanted = {
            "": Limits(),
            "MAILMAX=50 RCPTMAX=20": Limits(50, 20),
            "rcptdomainmax=1 FUTURE=7": Limits(0, 0, 1),
            "RCPTMAX=0 MAILMAX=many RCPTDOMAINMAX=-1": Limits(),
            "RCPTMAX=1234567": Limits(),
        }
        self.assertEqual(wanted, {text: parse(text) for text in wanted})


class ShareTests(SynchronousTestCase):
    """Recipients in transactions."""

    def test_without_limits_all_go_at_once(self) -> None:
        """One share, even of nobody."""
        self.assertEqual([[0, 1]], shares(Limits(9), "a@b", "c@d"))
        self.assertEqual([[]], shares(Limits()))

    def test_so_many_recipients(self) -> None:
        """RCPTMAX cuts in order."""
        self.assertEqual([[0, 1], [2, 3], [4]], shares(Limits(0, 2), *(f"u{number}@b" for number in range(5))))

    def test_so_many_domains(self) -> None:
        """RCPTDOMAINMAX counts domains, in whatever case; a share may have many recipients of each."""
        self.assertEqual([[0, 1], [2, 3]], shares(Limits(0, 0, 1), "a@b", "c@B", "d@e", "f@e"))
        self.assertEqual([[0, 1, 2], [3]], shares(Limits(0, 0, 2), "a@b", "d@e", "c@b", "d@f"))

    def test_both(self) -> None:
        """Whichever limit comes first ends a share."""
        self.assertEqual([[0, 1], [2], [3]], shares(Limits(0, 2, 1), "a@b", "c@b", "d@b", "d@f"))
