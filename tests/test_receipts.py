"""What somebody who submitted a message holds of it."""

import gc
import weakref

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.receipts import Receipt, Receipts


class ReceiptsTests(SynchronousTestCase):
    """Who is held, and by whom."""

    def setUp(self) -> None:
        self.receipts = Receipts()
        self.heard: list[str] = []

    async def _wait(self, receipt: Receipt) -> None:
        await receipt.finished()
        self.heard.append(receipt.queue_id)

    def test_waiting_is_enough(self) -> None:
        """A coroutine that waits on a receipt goes on in the end, though nobody holds either of them."""
        Deferred.fromCoroutine(self._wait(self.receipts.issue("ABCDEF", 1)))
        gc.collect()
        self.receipts.left("ABCDEF")
        self.assertEqual(self.heard, ["ABCDEF"])

    def test_nothing_is_kept(self) -> None:
        """A receipt that nobody waits on, or waits on any more, is gone when nobody holds it."""
        waited, thrown_away = self.receipts.issue("ABC1", 1), self.receipts.issue("ABC2", 1)
        Deferred.fromCoroutine(self._wait(waited))
        self.receipts.left("ABC1")
        references = [weakref.ref(waited), weakref.ref(thrown_away)]
        del waited, thrown_away
        gc.collect()
        self.assertEqual([reference() for reference in references], [None, None])

    def test_an_id_that_is_given_out_again(self) -> None:
        """Who throws away the receipt of an earlier message takes nothing from who holds that of the next."""
        earlier, later = self.receipts.issue("ABC1", 1), self.receipts.issue("ABC1", 1)
        del earlier
        gc.collect()
        Deferred.fromCoroutine(self._wait(later))
        self.receipts.left("ABC1")
        self.assertEqual(self.heard, ["ABC1"])

    def test_until_the_service_stops(self) -> None:
        """One that is waited on when the service stops is let go, too."""
        receipt = self.receipts.issue("ABCDEF", 1)
        waiting = Deferred.fromCoroutine(self._wait(receipt))
        self.receipts.stop()
        self.failureResultOf(waiting)
        reference = weakref.ref(receipt)
        del receipt, waiting
        gc.collect()
        self.assertIsNone(reference())
