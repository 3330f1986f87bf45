"""Firewalls that spoil SMTP: when they are seen, and what is done."""

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.parameters import Parameters
from smtpclient.config.tables import Tables
from smtpclient.smtp.pix import PixSettings, is_spoiled
from smtpclient.smtp.settings import DialogueSettings
from tests.delivery.memory_network import World
from tests.smtp.scripted_server import Script

STARS = "220 **********2******0**"
BOTH = frozenset({"disable_esmtp", "delay_dotcrlf"})


class Detection(SynchronousTestCase):
    """Greetings."""

    def test_greetings(self) -> None:
        """Nothing but 2, 0, asterisks and blanks is left; a name of any kind is none of that."""
        table = {
            STARS: True,
            "220": True,
            "220 ": True,
            "220 mx ESMTP": False,
            "220 ***1": False,
            "220-*\n220 *": False,
        }
        self.assertEqual({greeting: is_spoiled(greeting) for greeting in table}, table)

    def test_by_address(self) -> None:
        """A table by address counts more, also where it says nothing; what it does not know is as configured."""
        settings = PixSettings(BOTH, Tables("inline:{{192.0.2.1=none}, {192.0.2.2=disable_esmtp, nonsense}}"))
        found = [settings.workarounds(STARS, f"192.0.2.{number}") for number in (1, 2, 3)]
        self.assertEqual(found, [frozenset(), frozenset({"disable_esmtp"}), BOTH])
        self.assertEqual(settings.workarounds("220 mx ESMTP", "192.0.2.3"), frozenset())

    def test_parameters(self) -> None:
        """Each parameter reaches its field; nothing is done by default."""
        self.assertEqual(PixSettings.from_parameters(Parameters.from_values()), PixSettings())
        values = {
            "smtp_pix_workarounds": "disable_esmtp, delay_dotcrlf",
            "smtp_pix_workaround_threshold_time": "7s",
            "smtp_pix_workaround_delay_time": "8s",
        }
        found = PixSettings.from_parameters(Parameters.from_values(values))
        self.assertEqual(found, PixSettings(BOTH, None, 7.0, 8.0))


class Deliveries(SynchronousTestCase):
    """What the server sees."""

    def deliver(self, greeting: str, words: frozenset[str], waited: float, **on: str) -> tuple[World, float]:
        """One message that has waited so long; how long its delivery took."""
        dialogue = DialogueSettings("me.example", pix=PixSettings(words))
        world = World({"a": Script({"connect": greeting, **on})}, dialogue=dialogue)
        request = world.request()
        world.clock.advance(request.envelope.arrival + waited - world.clock.seconds())
        began = world.clock.seconds()
        result = world.run(world.attempt(request))
        self.result = result
        return world, world.clock.seconds() - began

    def test_disable_esmtp(self) -> None:
        """HELO is sent in place of EHLO to such a server, and to no other."""
        for greeting, words, hello in (
            (STARS, BOTH, "HELO"),
            (STARS, frozenset(), "EHLO"),
            ("220 mx ESMTP", BOTH, "EHLO"),
        ):
            world, _ = self.deliver(greeting, words, 20.0)
            self.assertTrue(world.verbs("a").startswith(hello), (greeting, words))
        world, _ = self.deliver(STARS, BOTH, 20.0)
        peer = "mx-a.example[192.0.2.1]:25"
        self.assertIn(f"enabling PIX workarounds: delay_dotcrlf, disable_esmtp for {peer}", world.lines)

    def test_delay_dotcrlf(self) -> None:
        """The end of a message that has waited long enough is sent after a pause; of others at once."""
        for words, waited, pause in ((BOTH, 500.0, 10.0), (BOTH, 499.0, 0.0), (frozenset(), 900.0, 0.0)):
            world, took = self.deliver(STARS, words, waited)
            self.assertEqual(took, pause)
            self.assertEqual(len(world.sessions("a")[0].contents), 1)
            self.assertTrue(world.sessions("a")[0].contents[0].endswith(b"\r\n.\r\n"))

    def test_answer_during_the_pause(self) -> None:
        """A server that refuses while we wait has decided: the end is not sent."""
        world, _ = self.deliver(STARS, BOTH, 900.0, content="550 5.7.1 enough")
        self.assertEqual(self.result.outcomes[0].status, "5.7.1")
        self.assertEqual(world.sessions("a")[0].contents, [])
