"""Nothing is lost when the service is killed, at whatever moment."""

import random
import time
from collections import Counter
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.service.installed import Service, Sink, message, wait_until

MESSAGES = 1000
KILLS = 50


class KillTests(SynchronousTestCase):
    """kill -9, again and again."""

    def test_every_message_is_delivered_and_only_those_in_flight_twice(self) -> None:
        """
        A thousand messages survive fifty kills at random moments: each is delivered, and a second time only where the
        server had accepted it and its reply was still on the way at the moment of a kill.
        """
        dice = random.Random(20261122)
        base = Path(self.mktemp()).absolute()
        base.mkdir(parents=True)
        sink = Sink(base, delay=0.02)
        self.addCleanup(sink.stop)
        service = Service(base, sink.port, smtp_destination_concurrency_limit="5", queue_run_delay="2s")
        self.addCleanup(service.stop)
        service.fill(message(f"user{number}@there.example") for number in range(MESSAGES))
        kills = []
        for _ in range(KILLS):
            before = len(sink.accepted)
            service.start(wait=False)
            if dice.random() < 0.2:
                time.sleep(dice.uniform(0.05, 0.8))  # while it starts
            else:
                goal = before + dice.randint(1, 25)
                wait_until(lambda goal=goal: len(sink.accepted) >= goal or not service.queued(), 120, "deliveries")
            kills.append(time.time())
            service.kill()
        service.start()
        wait_until(lambda: not service.queued(), 180, "the queue is empty")
        service.stop()

        accepted = sink.accepted
        times = Counter(address for _, address in accepted)
        self.assertEqual({f"user{number}@there.example" for number in range(MESSAGES)}, set(times))
        in_flight = {address for moment, address in accepted if any(moment <= kill < moment + 0.5 for kill in kills)}
        self.assertEqual(set(), {address for address, count in times.items() if count > 1} - in_flight)
        self.assertLessEqual(sum(count - 1 for count in times.values()), KILLS * 5)
