"""Tests of the order in which addresses are tried."""

import random
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.dns.order import Exchanger, arrange, beside, last_of_equals, limit, truncate_at_self


def exchangers(text: str) -> tuple[Exchanger, ...]:
    """From words such as ``10:4a``, ``20:6b``: preference, family, and a letter that tells hosts apart."""
    found = []
    for word in text.split():
        preference, _, rest = word.partition(":")
        address = f"192.0.2.{ord(rest[1])}" if rest[0] == "4" else f"2001:db8::{ord(rest[1]):x}"
        found.append(Exchanger(rest[1], address, 25, int(preference)))
    return tuple(found)


def words(found: tuple[Exchanger, ...]) -> str:
    """The same, back."""
    return " ".join(f"{e.preference}:{6 if ':' in e.address else 4}{e.host}" for e in found)


class Truncating(SynchronousTestCase):
    def truncate(self, text: str, *own: str) -> tuple[str, bool]:
        """What is left of a list when the hosts with these letters are this machine."""
        found = exchangers(text)
        left, found_self = truncate_at_self(found, {e.address for e in found if e.host in own})
        return words(left), found_self

    def test_rows(self) -> None:
        """From the best of our own addresses on, nothing is left; equals of it neither."""
        got = {
            ("10:4a 20:4b 30:4c", own): self.truncate("10:4a 20:4b 30:4c", *own) for own in ("", "a", "b", "c", "bc")
        }
        self.assertEqual(
            [*got.values()],
            [("10:4a 20:4b 30:4c", False), ("", True), ("10:4a", True), ("10:4a 20:4b", True), ("10:4a", True)],
        )
        self.assertEqual(self.truncate("10:4a 10:4b", "b"), ("", True))
        self.assertEqual(self.truncate("", "b"), ("", False))


class Arranging(SynchronousTestCase):
    def test_preference(self) -> None:
        """By preference; without a random source equals stay as they came."""
        found = exchangers("30:4a 10:4b 20:6c 10:4d")
        self.assertEqual(words(arrange(found, "any", None)), "10:4b 10:4d 20:6c 30:4a")

    def test_family(self) -> None:
        """A preferred family goes first, inside a preference only."""
        found = exchangers("10:4a 10:6b 20:6c 20:4d")
        got = {family: words(arrange(found, family, None)) for family in ("any", "ipv4", "ipv6")}
        self.assertEqual(
            got,
            {
                "any": "10:4a 10:6b 20:6c 20:4d",
                "ipv4": "10:4a 10:6b 20:4d 20:6c",
                "ipv6": "10:6b 10:4a 20:6c 20:4d",
            },
        )

    def test_shuffle(self) -> None:
        """Equals are shuffled, each order as often as any other; preferences are kept."""
        found = exchangers("10:4a 10:4b 10:4c 20:4d")
        source = random.Random(3)
        orders = Counter(words(arrange(found, "any", source)) for _ in range(6000))
        self.assertEqual(len(orders), 6)
        self.assertTrue(all(order.endswith(" 20:4d") for order in orders))
        self.assertTrue(all(800 < count < 1200 for count in orders.values()), orders)


class Limiting(SynchronousTestCase):
    def test_no_limit(self) -> None:
        """Zero means all."""
        self.assertEqual(words(limit(exchangers("10:4a 10:4b"), 0, True)), "10:4a 10:4b")

    def test_balance(self) -> None:
        """Both families keep half; what one does not need goes to the other; the odd place to the first's family."""
        rows = {
            ("1:6a 1:6b 1:6c 1:6d 1:6e 1:4f", 5): "1:6a 1:6b 1:6c 1:6d 1:4f",
            ("1:6a 1:6b 1:6c 1:4d 1:4e 1:4f", 5): "1:6a 1:6b 1:6c 1:4d 1:4e",
            ("1:4a 1:6b 1:6c 1:6d 1:4e 1:4f", 5): "1:4a 1:6b 1:6c 1:4e 1:4f",
            ("1:4a 1:4b 1:4c 1:4d 1:4e 1:6f 1:6g", 4): "1:4a 1:4b 1:6f 1:6g",
            ("1:4a 1:4b 1:4c", 2): "1:4a 1:4b",
            ("1:6a 1:4b", 1): "1:6a",
        }
        got = {(text, most): words(limit(exchangers(text), most, True)) for text, most in rows}
        self.assertEqual(got, rows)

    def test_no_balance(self) -> None:
        """Without balancing the first ones are kept, whatever they are."""
        self.assertEqual(words(limit(exchangers("1:6a 1:6b 1:4c"), 2, False)), "1:6a 1:6b")

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(st.lists(st.sampled_from("46"), max_size=20), st.integers(0, 12))
    def test_any_list(self, families: list[str], most: int) -> None:
        """As many are kept as there is room for, in their order, and no family that is there is left out."""
        found = exchangers(" ".join(f"1:{family}{chr(97 + n)}" for n, family in enumerate(families)))
        kept = limit(found, most, True)
        self.assertEqual(len(kept), min(len(found), most or len(found)))
        self.assertEqual([e for e in found if e in kept], list(kept))
        if most > 1:
            self.assertEqual({":" in e.address for e in kept}, {":" in e.address for e in found})


class Silent(SynchronousTestCase):
    """What does not answer."""

    def test_last_of_equals(self) -> None:
        """Those that are to be last change places with their equals only; the others keep their order."""
        found = exchangers("10:4a 10:6b 10:4c 20:4d 20:4e 30:4f")
        got = last_of_equals(found, lambda exchanger: exchanger.host in "acdf")
        self.assertEqual(words(got), "10:6b 10:4a 10:4c 20:4e 20:4d 30:4f")

    def test_beside(self) -> None:
        """Beside one that does not answer: the first of the other family; where there is none, the first."""
        found = {
            (waiting, called): words((beside(exchangers(waiting), exchangers(called)),))
            for waiting in ("10:6a 10:4b 10:4c", "10:6a")
            for called in ("10:6x", "10:4x", "10:6x 10:4x")
        }
        self.assertEqual([*found.values()], ["10:4b", "10:6a", "10:6a", "10:6a", "10:6a", "10:6a"])
