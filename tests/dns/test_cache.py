"""Tests of the cache of answers."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.dns.answer import Address, Answer, Status
from smtpclient.dns.cache import Cache


def answer(name: str, ttl: float = 60.0, records: int = 1) -> Answer:
    """An answer of type A."""
    return Answer(name, 1, Status.FOUND, tuple(Address(f"192.0.2.{i}") for i in range(records)), name, ttl)


class CacheTests(SynchronousTestCase):
    def setUp(self) -> None:
        """A cache of three places on a clock that stands."""
        self.clock = Clock()
        self.clock.advance(1000)
        self.cache = Cache(self.clock.seconds, limit=3)

    def test_remembers_for_ttl(self) -> None:
        """An answer is handed out with what is left of its time, and not a second longer."""
        self.cache.put(answer("a", 60))
        self.clock.advance(59)
        found = self.cache.get("a", 1)
        self.assertEqual((found.records, found.ttl), (answer("a").records, 1.0))
        self.clock.advance(1)
        self.assertEqual((self.cache.get("a", 1), len(self.cache)), (None, 0))

    def test_by_name_and_type(self) -> None:
        """Another type of the same name is another answer."""
        self.cache.put(answer("a"))
        self.assertIsNone(self.cache.get("a", 28))

    def test_absence(self) -> None:
        """That there is nothing is remembered in the same way."""
        nothing = Answer("a", 1, Status.NO_NAME, ttl=10)
        self.cache.put(nothing)
        self.assertEqual(self.cache.get("a", 1), nothing)

    def test_zero_ttl(self) -> None:
        """A TTL of zero means: use it now and forget it; also what was known before."""
        self.cache.put(answer("a", 60))
        self.cache.put(answer("a", 0))
        self.assertIsNone(self.cache.get("a", 1))

    def test_bounded(self) -> None:
        """The least recently used goes when there are too many."""
        for name in "abc":
            self.cache.put(answer(name))
        self.cache.get("a", 1)
        self.cache.put(answer("d"))
        self.assertEqual([name for name in "abcd" if self.cache.get(name, 1)], ["a", "c", "d"])

    def test_clock_set_back(self) -> None:
        """A clock that is set back makes an answer forgotten, not immortal."""
        self.cache.put(answer("a"))
        self.clock.rightNow -= 500
        self.assertIsNone(self.cache.get("a", 1))

    def test_outlandish(self) -> None:
        """An answer with hundreds of records is not kept."""
        self.cache.put(answer("a", records=101))
        self.assertEqual(len(self.cache), 0)

    def test_clear(self) -> None:
        """All can be forgotten at once."""
        self.cache.put(answer("a"))
        self.cache.clear()
        self.assertIsNone(self.cache.get("a", 1))
