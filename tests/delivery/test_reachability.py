"""What is remembered of addresses and families that did not answer."""

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.delivery.reachability import Reachability
from smtpclient.dns.order import Exchanger
from tests.dns.test_order import exchangers, words


def one(text: str) -> Exchanger:
    """A single address."""
    [found] = exchangers(text)
    return found


class Addresses(SynchronousTestCase):
    """Addresses by themselves."""

    def test_last_of_its_preference(self) -> None:
        """What did not answer goes last among its equals, and stays before what is worse."""
        memory = Reachability()
        found = exchangers("10:4a 10:6b 10:4c 20:4d 20:4e")
        memory.no_answer(found[0], 0.0)
        memory.no_answer(found[3], 0.0)
        self.assertEqual(words(memory.arrange(found, 1.0)), "10:6b 10:4c 10:4a 20:4e 20:4d")

    def test_nothing_known(self) -> None:
        """Where nothing is known the order stays as it is."""
        found = exchangers("10:4a 10:6b 20:4c")
        self.assertEqual(Reachability().arrange(found, 0.0), found)

    def test_time(self) -> None:
        """After its time it is as good as any."""
        memory = Reachability(60.0)
        memory.no_answer(one("10:4a"), 0.0)
        self.assertEqual([memory.is_silent(one("10:4a"), now) for now in (59.9, 60.0)], [True, False])

    def test_open(self) -> None:
        """When it answers, that is forgotten."""
        memory = Reachability()
        memory.no_answer(one("10:4a"), 0.0)
        memory.opened(one("10:4a"), 1.0)
        self.assertFalse(memory.is_silent(one("10:4a"), 1.0))

    def test_port(self) -> None:
        """Another port of the same address is another server."""
        memory = Reachability()
        memory.no_answer(Exchanger("a", "192.0.2.1", 25, 10), 0.0)
        self.assertFalse(memory.is_silent(Exchanger("a", "192.0.2.1", 587, 10), 0.0))

    def test_bounded(self) -> None:
        """The oldest entry makes room; one that is noted again is no longer the oldest."""
        memory = Reachability(most=2)
        for name in "abac":
            memory.no_answer(one(f"10:4{name}"), 0.0)
        self.assertEqual([n for n in "abc" if memory.is_silent(one(f"10:4{n}"), 0.0)], ["a", "c"])

    def test_off(self) -> None:
        """With no time nothing is remembered."""
        memory = Reachability(0.0)
        for name in "abc":
            memory.no_answer(one(f"10:6{name}"), 0.0)
        memory.opened(one("10:4d"), 0.0)
        self.assertEqual([memory.is_silent(one(f"10:6{name}"), 0.0) for name in "ax"], [False, False])


class Families(SynchronousTestCase):
    """What many addresses say about their family."""

    def memory(self, failed: str, *, other_works: bool = True) -> Reachability:
        """So many different IPv6 addresses came to nothing, at the seconds 0, 1, 2; IPv4 works at 5."""
        memory = Reachability(60.0)
        for now, name in enumerate(failed):
            memory.no_route(one(f"10:6{name}"), float(now))
        if other_works:
            memory.opened(one("10:4z"), 5.0)
        return memory

    def test_three_addresses(self) -> None:
        """Three different addresses stand for the family; one, three times, does not."""
        found = exchangers("10:6x 10:4y 20:6x 20:4y")
        self.assertEqual(words(self.memory("abc").arrange(found, 6.0)), "10:4y 10:6x 20:4y 20:6x")
        for failed in ("ab", "aaa"):
            self.assertEqual(self.memory(failed).arrange(found, 6.0), found)

    def test_other_family_fails_too(self) -> None:
        """Where the other family does not work either, or did only before, it is the network."""
        found = exchangers("10:6x 10:4y")
        self.assertEqual(self.memory("abc", other_works=False).arrange(found, 6.0), found)
        memory = Reachability()
        memory.opened(one("10:4z"), 0.0)
        for name in "abc":
            memory.no_route(one(f"10:6{name}"), 1.0)
        self.assertEqual(memory.arrange(found, 6.0), found)

    def test_one_that_is_open(self) -> None:
        """One address of it that answers clears the whole family, and the count begins anew."""
        memory = self.memory("abc")
        memory.opened(one("10:6x"), 6.0)
        self.assertFalse(memory.is_silent(one("10:6a"), 6.0))
        memory.no_route(one("10:6a"), 7.0)
        self.assertFalse(memory.is_silent(one("10:6a"), 7.0))

    def test_time(self) -> None:
        """After its time it is tried again, and then one failure is enough."""
        memory = self.memory("abc")
        self.assertEqual([memory.is_silent(one("10:6x"), now) for now in (61.9, 62.0)], [True, False])
        memory.no_route(one("10:6x"), 62.0)
        self.assertTrue(memory.is_silent(one("10:6y"), 62.0))
