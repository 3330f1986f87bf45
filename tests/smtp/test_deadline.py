"""One time limit for a whole request or reply."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.parameters import Parameters
from smtpclient.config.tables import Tables
from smtpclient.smtp.deadline import GRACE, STANDSTILL, Deadline, Pace, missed
from smtpclient.smtp.settings import DialogueSettings
from tests.delivery.memory_network import World, short
from tests.smtp.scripted_server import Script


class Missed(SynchronousTestCase):
    """Deadlines that have come."""

    def test_in_time_or_by_far(self) -> None:
        """One that was missed by far is moved on, by less than the limit; the others stay."""
        for now, limit, wanted in (
            (90.0, 300.0, 100.0),
            (100.0 + STANDSTILL, 300.0, 100.0),
            (3700.0, 300.0, 3700.0 + GRACE),
            (3700.0, 1.0, 3701.0),
        ):
            self.assertEqual(missed(100.0, now, limit), wanted)


class Waits(SynchronousTestCase):
    """Waits that follow each other, and their one timer."""

    def setUp(self) -> None:
        """A deadline that notes when it has passed."""
        self.clock = Clock()
        self.passed: list[float] = []
        self.deadline = Deadline(self.clock, lambda: self.passed.append(self.clock.seconds()))

    def advance(self, seconds: float) -> None:
        """Let time pass as it does: in small steps."""
        self.clock.pump([0.125] * round(seconds * 8))

    def test_passes(self) -> None:
        """It passes after its limit, once, and leaves no timer."""
        self.deadline.begin(5.0)
        self.advance(20.0)
        self.assertEqual((self.passed, self.clock.getDelayedCalls()), ([5.0], []))

    def test_in_time(self) -> None:
        """A wait that ended in time passes nothing; the timer that it left serves the next one, which is longer."""
        self.deadline.begin(5.0)
        (timer,) = self.clock.getDelayedCalls()
        self.deadline.end()
        self.advance(3.0)
        self.deadline.begin(5.0)
        self.assertEqual(self.clock.getDelayedCalls(), [timer])
        self.advance(4.875)
        self.assertEqual(self.passed, [])
        self.advance(0.125)
        self.assertEqual(self.passed, [8.0])

    def test_earlier(self) -> None:
        """A limit that is earlier than the timer rings counts all the same, and there is still one timer."""
        self.deadline.begin(300.0)
        self.deadline.begin(1.0)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.advance(1.125)
        self.assertEqual(self.passed, [1.0])

    def test_signs_of_life(self) -> None:
        """Each sign of life buys the limit anew, and all of them no more than so many limits as there is patience."""
        self.deadline.begin(5.0, 2)
        for _ in range(5):
            self.advance(3.0)
            self.deadline.extend()
        self.assertEqual(self.passed, [10.0])

    def test_stop(self) -> None:
        """Where nobody will wait again there is no timer, and a sign of life means nothing."""
        self.deadline.begin(5.0)
        self.deadline.stop()
        self.deadline.extend()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class Paces(SynchronousTestCase):
    """The time that one content has left."""

    def test_earning(self) -> None:
        """There is one limit; what is sent earns time at the rate, never more than the limit."""
        pace = Pace(500)
        self.assertEqual(pace.allowance(180.0, 65536), 180.0)
        pace.spent(100.0)
        self.assertEqual(pace.allowance(180.0, 5000), 90.0)
        pace.spent(1.0)
        self.assertEqual(pace.allowance(180.0, 500000), 180.0)
        pace.spent(200.0)
        self.assertEqual(pace.allowance(180.0, 1000), 2.0)
        pace.begin()
        self.assertEqual(pace.allowance(180.0, 1), 180.0)


class Replies(SynchronousTestCase):
    """Replies whose lines come one by one."""

    def test_whole_reply(self) -> None:
        """With a deadline the limit counts for the whole reply; without, for each line of it."""
        slow = [step for _ in range(4) for step in ("!raw 250-wait\\r\\n", "!sleep 200")]
        found = {}
        for rate in (0, 500):
            dialogue = DialogueSettings("me.example", min_data_rate=rate)
            world = World({"a": Script({"mail": [*slow, "250 2.1.0 Ok"]})}, dialogue=dialogue)
            found[rate] = short(world.deliver())
        self.assertEqual(found, {0: ["sent 2.0.0"], 500: ["deferred 4.4.2"]})

    def test_parameters(self) -> None:
        """The rate counts only where deadlines are wanted, under the newer name or the older."""
        values = ({}, {"smtp_per_request_deadline": "yes"}, {"smtp_per_record_deadline": "yes"})
        rates = [DialogueSettings.from_parameters(Parameters.from_values(value)).min_data_rate for value in values]
        self.assertEqual(rates, [0, 500, 500])


class ReplyFilters(SynchronousTestCase):
    """Lines that are replaced before they are read."""

    def test_a_line_is_replaced(self) -> None:
        """What the table has for a line is what the server said, as far as we know."""
        tables = Tables("inline:{{250 2.1.5 Ok = 450 4.2.1 later}}")
        world = World({"a": Script()}, dialogue=DialogueSettings("me.example", reply_filter=tables))
        [outcome] = world.deliver().outcomes
        self.assertEqual((outcome.status, outcome.reply), ("4.2.1", "450 4.2.1 later"))

    def test_ehlo_keywords_by_address(self) -> None:
        """A table by address says which extensions are not to be believed, in place of the general list."""
        maps = Tables("inline:{{192.0.2.1=size, silent-discard}}")
        dialogue = DialogueSettings("me.example", discard_ehlo_keywords=frozenset({"8BITMIME"}), discard_ehlo_maps=maps)
        self.assertEqual(dialogue.discarded("192.0.2.1"), frozenset({"SIZE"}))
        self.assertEqual(dialogue.discarded("192.0.2.2"), frozenset({"8BITMIME"}))
        world = World({"a": Script()}, dialogue=dialogue)
        world.deliver(size=100)
        mail = next(line for line in world.sessions("a")[0].commands if line.startswith("MAIL"))
        self.assertNotIn("SIZE", mail)
