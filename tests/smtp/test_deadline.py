"""One time limit for a whole request or reply."""

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.parameters import Parameters
from smtpclient.config.tables import Tables
from smtpclient.smtp.deadline import GRACE, STANDSTILL, Pace, missed
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
