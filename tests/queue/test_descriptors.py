"""How many deliveries may be under way, as far as file descriptors go."""

import resource

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.queue import descriptors


class DescriptorTests(SynchronousTestCase):
    """A budget from a limit."""

    def test_a_usual_limit(self) -> None:
        """1024 descriptors are enough for 448 deliveries."""
        self.assertEqual(descriptors.delivery_limit(1024), 448)

    def test_bounds(self) -> None:
        """Never none, never more than one process has use for."""
        limits = [descriptors.delivery_limit(number) for number in (0, 64, 1_000_000)]
        self.assertEqual(limits, [descriptors.LEAST, descriptors.LEAST, descriptors.MOST])

    def test_what_can_be_had_is_taken(self) -> None:
        """The soft limit becomes the hard one."""
        asked: list[tuple[int, int]] = []
        self.patch(resource, "getrlimit", lambda _which: (100, 5000))
        self.patch(resource, "setrlimit", lambda _which, limits: asked.append(limits))
        descriptors.raise_limit()
        self.assertEqual(asked, [(5000, 5000)])

    def test_what_cannot_be_had(self) -> None:
        """The limit stays what it is, and the service works with that."""

        def refuse(_which: int, _limits: tuple[int, int]) -> None:
            raise ValueError("not allowed to raise maximum limit")

        self.patch(resource, "getrlimit", lambda _which: (100, 5000))
        self.patch(resource, "setrlimit", refuse)
        descriptors.raise_limit()
        self.assertEqual(descriptors.available(), 100)

    def test_no_limit(self) -> None:
        """Where there is none, the bound is ours."""
        self.patch(resource, "getrlimit", lambda _which: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        self.assertEqual(descriptors.delivery_limit(descriptors.available()), descriptors.MOST)
