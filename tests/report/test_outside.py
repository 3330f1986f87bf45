"""Tests for :mod:`smtpclient.report.outside`."""

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from smtpclient.interfaces import IBounceService, IDeferService, ITraceService
from smtpclient.report.event import Event
from smtpclient.report.outside import OutsideBounces, OutsideDeferrals, OutsideDeliveries
from tests.report.world import NOW, Content, World, bounced, deferred, envelope, sent


class Hearing:
    """A listener that remembers, and refuses what it is told to."""

    def __init__(self) -> None:
        self.heard: list[Event] = []
        self.refused: set[str] = set()
        self.closed = False

    async def tell(self, event: Event) -> None:
        """Remember an event."""
        if event.entry.recipient.address in self.refused:
            raise ConnectionError("not now")
        self.heard.append(event)

    async def close(self) -> None:
        """Remember that too."""
        self.closed = True

    @property
    def words(self) -> list[tuple[str, str]]:
        """What was heard, in short."""
        return [(event.name, event.entry.recipient.address) for event in self.heard]


class OutsideTests(SynchronousTestCase):
    """What the tests have in common."""

    def setUp(self) -> None:
        self.world = World(self.mktemp())
        self.listener = Hearing()


class Bounces(OutsideTests):
    """Failed recipients."""

    def setUp(self) -> None:
        super().setUp()
        self.service = OutsideBounces(self.listener, self.world.clock)

    def test_told_at_once(self) -> None:
        """Each is told of when it fails, with the time; the end of the message adds nothing."""
        verifyObject(IBounceService, self.service)
        self.successResultOf(self.service.append(envelope(), bounced()))
        self.successResultOf(self.service.flush(envelope(), Content()))
        self.assertEqual(self.listener.words, [("bounced", "nobody@example.com")])
        self.assertEqual((self.listener.heard[0].time, self.listener.heard[0].envelope), (NOW, envelope()))
        self.assertEqual((self.world.submitted, self.world.journal_text("bounce")), ([], None))

    def test_not_accepted(self) -> None:
        """What is not accepted is an error, so that the recipient stays queued."""
        self.listener.refused.add("nobody@example.com")
        self.failureResultOf(self.service.append(envelope(), bounced()), ConnectionError)

    def test_close(self) -> None:
        """Closing the service closes the listener."""
        self.successResultOf(self.service.close())
        self.assertTrue(self.listener.closed)


class Probes(OutsideTests):
    """Recipients that are only asked about."""

    def tell(self, flags: str) -> None:
        """All three services hear of one."""
        about = envelope(attributes={"trace_flags": flags})
        told = self.listener, self.world.clock
        for service, outcome in (
            (OutsideBounces(*told), bounced()),
            (OutsideDeferrals(*told, self.world.journal), deferred()),
            (OutsideDeliveries(*told), sent()),
        ):
            self.successResultOf(service.append(about, outcome))

    def test_told_as_what_it_is(self) -> None:
        """Nobody is told of a delivery or a failure that there was not, and nothing is left on record."""
        self.tell("512")
        self.assertEqual(
            self.listener.words,
            [
                ("undeliverable", "nobody@example.com"),
                ("undeliverable", "slow@example.com"),
                ("deliverable", "friend@example.com"),
            ],
        )
        self.assertIsNone(self.world.journal_text("defer"))

    def test_nobody_asked(self) -> None:
        """What is meant for Postfix's verify(8) is told to nobody else."""
        self.tell("256")
        self.assertEqual(self.listener.words, [])


class Deliveries(OutsideTests):
    """Delivered recipients."""

    def test_told_at_once(self) -> None:
        """Each is told of when it is delivered."""
        service = OutsideDeliveries(self.listener, self.world.clock)
        verifyObject(ITraceService, service)
        self.successResultOf(service.append(envelope(), sent()))
        self.successResultOf(service.flush(envelope(), Content()))
        self.assertEqual(self.listener.words, [("delivered", "friend@example.com")])


class Deferrals(OutsideTests):
    """Deferred recipients."""

    def setUp(self) -> None:
        super().setUp()
        self.service = OutsideDeferrals(self.listener, self.world.clock, self.world.journal)
        for address, offset in (("a@example.com", 1), ("b@example.com", 2)):
            self.successResultOf(self.service.append(envelope(), deferred(address, offset=offset)))
        self.told, self.listener.heard = self.listener.words, []

    def test_told_and_recorded(self) -> None:
        """Each is told of, and recorded for the operator."""
        verifyObject(IDeferService, self.service)
        self.assertEqual(self.told, [("deferred", "a@example.com"), ("deferred", "b@example.com")])
        self.assertIn(b"Connection refused", self.world.journal_text("defer") or b"")

    def test_warning(self) -> None:
        """When the warning is due, each that still waits is told of."""
        self.successResultOf(self.service.warn(envelope(), Content()))
        self.assertEqual(self.listener.words, [("delayed", "a@example.com"), ("delayed", "b@example.com")])

    def test_expiry(self) -> None:
        """When the message is given up, each that still waits is told of, and the record is gone."""
        self.successResultOf(self.service.flush(envelope(), Content()))
        self.assertEqual(self.listener.words, [("expired", "a@example.com"), ("expired", "b@example.com")])
        self.assertIsNone(self.world.journal_text("defer"))

    def test_expiry_that_is_not_accepted(self) -> None:
        """If one is not accepted, all are told again next time."""
        self.listener.refused = {"b@example.com"}
        self.failureResultOf(self.service.flush(envelope(), Content()), ConnectionError)
        self.listener.refused = set()
        self.successResultOf(self.service.flush(envelope(), Content()))
        self.assertEqual(
            self.listener.words,
            [("expired", "a@example.com"), ("expired", "a@example.com"), ("expired", "b@example.com")],
        )

    def test_new_attempt(self) -> None:
        """Whoever was delivered after all is not told of as expired."""
        self.successResultOf(self.service.forget("ABCDE1234"))
        self.successResultOf(self.service.append(envelope(), deferred("b@example.com", offset=2)))
        self.listener.heard = []
        self.successResultOf(self.service.flush(envelope(), Content()))
        self.assertEqual(self.listener.words, [("expired", "b@example.com")])
