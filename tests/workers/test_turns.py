"""Beginning a few at a time."""

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.workers.turns import MOST, Turns


class Reactor(Clock):
    """Calls what is to be called later in its next turn at the earliest, as the reactor does and a clock does not."""

    def callLater(self, when: float, *what: Any, **how: Any) -> IDelayedCall:
        return super().callLater(when + 1, *what, **how)

    def turn(self) -> None:
        self.advance(1)


class TurnsTests(SynchronousTestCase):
    """Who begins when."""

    def setUp(self) -> None:
        self.reactor = Reactor()
        self.turns = Turns(self.reactor)
        self.begun: list[int] = []

    def come(self, count: int) -> "list[Deferred[None]]":
        """So many come, numbered in their order."""
        return [Deferred.fromCoroutine(self._begin(number)) for number in range(count)]

    async def _begin(self, number: int) -> None:
        await self.turns.come()
        self.begun.append(number)

    def test_a_few_begin_at_once(self) -> None:
        """Who comes alone, or among few, does not wait."""
        self.come(MOST)
        self.assertEqual(MOST, len(self.begun))

    def test_the_others_begin_in_the_turns_that_follow(self) -> None:
        """No more in one turn of the reactor, first come, first begun; who comes late is behind who waits."""
        self.come(2 * MOST)
        self.assertEqual(list(range(MOST)), self.begun)
        late = self.come(1)
        self.reactor.turn()
        self.assertEqual(list(range(2 * MOST)), self.begun)
        self.assertNoResult(late[0])
        self.reactor.turn()
        self.successResultOf(late[0])

    def test_who_is_cancelled_takes_no_turn(self) -> None:
        """Another one begins in its place."""
        coming = self.come(2 * MOST + 1)
        coming[MOST].cancel()
        self.failureResultOf(coming[MOST], CancelledError)
        self.reactor.turn()
        self.assertEqual([*range(MOST), *range(MOST + 1, 2 * MOST + 1)], self.begun)

    def test_there_is_no_timer_while_nobody_comes(self) -> None:
        """A worker with nothing to begin is at rest."""
        self.come(3 * MOST)
        for _ in range(3):
            self.assertEqual(1, len(self.reactor.getDelayedCalls()))
            self.reactor.turn()
        self.assertEqual([], self.reactor.getDelayedCalls())
