"""Nothing is lost when the service is killed, at whatever moment."""

import random
import time
from collections import Counter
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.observe.maillog import MailLog
from smtpclient.queue.spool import Spool
from tests.queue.disk import DirectFiles
from tests.service.installed import Service, Sink, message, wait_until

MESSAGES = 1000
KILLS = 50
AT_ONCE = 5


class KillTests(SynchronousTestCase):
    """kill -9, again and again."""

    def test_every_message_is_delivered_and_only_those_in_flight_twice(self) -> None:
        """
        A thousand messages survive fifty kills at random moments: each is delivered, and once more for each kill at
        which the server had accepted it and the queue did not have that yet, which are no more than go out at once.
        """
        dice = random.Random(20261122)
        base = Path(self.mktemp()).absolute()
        base.mkdir(parents=True)
        sink = Sink(base, delay=0.02)
        self.addCleanup(sink.stop)
        service = Service(base, sink.port, smtp_destination_concurrency_limit=str(AT_ONCE), queue_run_delay="2s")
        self.addCleanup(service.stop)
        addresses = [f"user{number}@there.example" for number in range(MESSAGES)]
        queue_ids = dict(zip(addresses, service.fill(map(message, addresses)), strict=True))
        in_flight: Counter[str] = Counter()
        for _ in range(KILLS):
            before = len(sink.accepted)
            service.start(wait=False)
            if dice.random() < 0.2:
                time.sleep(dice.uniform(0.05, 0.8))  # while it starts
            else:
                goal = before + dice.randint(1, 25)
                wait_until(lambda goal=goal: len(sink.accepted) >= goal or not service.queued(), 120, "deliveries")
            service.kill()
            sink.wait_until_alone()
            accepted = [address for _, address in sink.accepted[before:]]
            interrupted = [address for address in accepted if self.is_left(service, queue_ids[address])]
            self.assertLessEqual(len(interrupted), AT_ONCE)
            in_flight.update(interrupted)
        service.start()
        wait_until(lambda: not service.queued(), 180, "the queue is empty")
        service.stop()
        self.assertEqual(Counter(addresses) + in_flight, Counter(address for _, address in sink.accepted))

    def is_left(self, service: Service, queue_id: str) -> bool:
        """Whether a message, of a service that does not run, is still to be delivered."""
        spool = Spool(str(service.spool), DirectFiles(), Clock(), MailLog())
        queue = spool.find(queue_id)
        return queue is not None and bool(spool.read(queue_id, queue).recipients)
