"""The queue as a domain without users; what it does in a mail service is in ``test_delivery``."""

from twisted.cred.error import UnauthorizedLogin
from twisted.mail import smtp
from twisted.mail.interfaces import IDomain
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from smtpclient.submission.access import permit_networks
from smtpclient.submission.domain import QueueDomain
from tests.submission.memory_queue import MemoryQueue, acceptor


class QueueDomainTests(SynchronousTestCase):
    """:class:`QueueDomain`."""

    def setUp(self) -> None:
        self.domain = QueueDomain(acceptor(MemoryQueue()), lambda client, sender, recipient: recipient == "a@y.test")

    def test_interface(self) -> None:
        """It is a domain."""
        self.assertTrue(verifyObject(IDomain, self.domain))

    def test_exists(self) -> None:
        """Every address exists that the policy lets through."""
        sender = smtp.Address("s@x.test")
        self.assertTrue(callable(self.domain.exists(smtp.User("a@y.test", None, None, sender))))
        error = self.assertRaises(smtp.SMTPBadRcpt, self.domain.exists, smtp.User("b@y.test", None, None, sender))
        self.assertEqual((554, "5.7.1 Relay access denied"), (error.code, error.resp))

    def test_no_users(self) -> None:
        """Nobody can be added, nobody can log in."""
        self.assertRaises(ValueError, self.domain.addUser, b"user", b"password")
        self.assertRaises(UnauthorizedLogin, self.domain.requestAvatar, b"user", None)
        self.assertEqual([], self.domain.getCredentialsCheckers())

    def test_loopback_only(self) -> None:
        """Without a connection there is nobody to refuse: a UNIX socket's mode has decided."""
        domain = QueueDomain(acceptor(MemoryQueue()), permit_networks())
        self.assertTrue(callable(domain.exists(smtp.User("a@y.test", None, None, smtp.Address("s@x.test")))))
