"""
The queue as a domain of ``twisted.mail.mail.MailService``: set it as the default domain, and mail for every domain
that is not local goes out::

    service.domains.setDefaultDomain(QueueDomain(acceptor, permit_networks()))

Does not: have users. Its messages are those of ``smtpclient.submission.delivery``, with the same promises and limits.
"""

from collections.abc import Callable
from typing import NoReturn

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.error import UnauthorizedLogin
from twisted.mail import smtp
from twisted.mail.interfaces import IDomain
from zope.interface import Interface, implementer

from smtpclient.submission.acceptance import Acceptor
from smtpclient.submission.access import Policy
from smtpclient.submission.delivery import QueueMessage, Transactions


@implementer(IDomain)
class QueueDomain:
    """
    Every address in the world.

    :param policy: who may send where; it sees who has logged in. A ``MailService`` that has been given a queue of its
        own (``setQueue``) does not ask its default domain about clients that have: give it none.
    """

    def __init__(self, acceptor: Acceptor, policy: Policy, *, answer_failures: bool = True) -> None:
        self._transactions = Transactions(acceptor, policy, answer_failures)

    def exists(self, user: smtp.User) -> Callable[[], QueueMessage]:
        """
        Take a recipient.

        :raises SMTPBadRcpt: when this client may not send there.
        """
        return self._transactions.receiver(user)

    def addUser(self, user: bytes, password: bytes) -> NoReturn:
        """
        There are no users here.

        :raises ValueError: always.
        """
        raise ValueError("the outbound queue has no mailboxes to add a user to")

    def getCredentialsCheckers(self) -> list[ICredentialsChecker]:
        """Nobody can log in here."""
        return []

    def requestAvatar(self, avatarId: bytes | tuple[()], mind: object, *interfaces: type[Interface]) -> NoReturn:
        """
        Nobody can log in here.

        :raises UnauthorizedLogin: always.
        """
        raise UnauthorizedLogin("the outbound queue has no users")
