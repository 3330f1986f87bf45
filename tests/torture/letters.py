"""
The mail of a play: nine messages, by two doors, that come to every end there is.

The local part of an address says how the server takes it:

==========  =======================================================================
``good``    at once
``later``   the second time; 450 before
``never``   the fourth time; 450 before. The operator has it expire before that
``bounce``  never; 550
``fickle``  the second time; 550 before
==========  =======================================================================
"""

from dataclasses import dataclass

DOMAIN = "there.example"
SENDER = "author@client.example"
PATIENCE = {"later": 1, "never": 3, "fickle": 1}
"""How often an address is refused before it is taken."""


@dataclass(frozen=True)
class Letter:
    """
    One message.

    :param users: the local parts of its recipients.
    :param door: ``submit`` or ``sendmail``.
    :param options: of ``sendmail``.
    :param lines: of the body.
    """

    number: int
    users: tuple[str, ...]
    door: str = "submit"
    options: tuple[str, ...] = ()
    lines: int = 3

    @property
    def recipients(self) -> tuple[str, ...]:
        """The addresses."""
        return tuple(f"{user}{self.number}@{DOMAIN}" for user in self.users)

    @property
    def body(self) -> bytes:
        """What must arrive, whole."""
        return b"All of it must arrive.\n" * self.lines + b"The end of number %d.\n" % self.number

    @property
    def content(self) -> bytes:
        """Header and body."""
        return b"From: <%b>\nSubject: a play\nX-Id: %d\n\n%b" % (SENDER.encode(), self.number, self.body)


LETTERS = (
    Letter(0, ("good", "bounce", "later")),
    Letter(1, ("good",)),
    Letter(2, ("good", "later"), "sendmail"),
    Letter(3, ("good", "bounce"), "sendmail", ("-N", "success,failure")),
    Letter(4, ("never",)),
    Letter(5, ("good", "later"), lines=15_000),
    Letter(6, ("later",), "sendmail"),
    Letter(7, ("bounce",)),
    Letter(8, ("later", "good")),
    Letter(9, ("fickle", "good")),
)
