"""Greeting, EHLO and HELO."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.mail.outcome import Disposition
from smtpclient.smtp.capability import Capabilities
from smtpclient.smtp.channel import ConnectionLost, SessionOver, TimedOut
from smtpclient.smtp.handshake import Introduction, Refused
from smtpclient.smtp.settings import DialogueSettings
from smtpclient.smtp.verdict import Stage
from tests.smtp.in_memory import PEER, Conversation
from tests.smtp.scripted_server import PIPELINING, Script, Steps

BOUNCED, DEFERRED = Disposition.BOUNCED, Disposition.DEFERRED


class HandshakeTestCase(SynchronousTestCase):
    """One introduction to a scripted server."""

    maxDiff = None

    def introduce(self, script: Script, *, best: bool = True, **settings: Any) -> Capabilities:
        """Introduce ourselves; the conversation stays in ``self``."""
        self.conversation = Conversation(script)
        dialogue = DialogueSettings("me.example", "me.example", **settings)
        self.introduction = Introduction(self.conversation.channel, dialogue, PEER, next_hop="example.org", best=best)
        return self.conversation.run(self.introduction.run())

    def refused(self, script: Script, *, best: bool = True, **settings: Any) -> Refused:
        """Introduce ourselves to a server that does not want us."""
        with self.assertRaises(Refused) as caught:
            self.introduce(script, best=best, **settings)
        return caught.exception

    def fails(self, on: dict[str, Steps], error: type[SessionOver], **settings: Any) -> Stage:
        """Introduce ourselves to a server that ends the session; give the stage."""
        with self.assertRaises(error):
            self.introduce(Script(on), **settings)
        return self.introduction.stage

    @property
    def commands(self) -> list[str]:
        """What the server was told."""
        return self.conversation.server.commands


class Greeting(HandshakeTestCase):
    """The first words of the server."""

    def test_forms(self) -> None:
        """Any 2xx is a welcome: code alone, several lines, garbage before it, in pieces."""
        forms: list[Steps] = [
            "220 mx.example ESMTP",
            "!raw 220\\r\\n",
            "220-mx.example\n220-welcome\n220 here",
            ["hello there", "220 mx.example ESMTP"],
            ["!raw 22", "!sleep 1", "!raw 0 mx", "!sleep 1", "!raw \\r\\n"],
            "299 unusual",
        ]
        for form in forms:
            self.introduce(Script({"connect": form}))
            self.assertEqual((self.commands, self.introduction.greeted), (["EHLO me.example"], True))

    def test_refusals(self) -> None:
        """A greeting that is no welcome is a verdict, and no command follows it."""
        table = {
            "450 4.3.2 later": (DEFERRED, "4.3.2"),
            "421 busy": (DEFERRED, "4.0.0"),
            "554 5.7.1 go away": (BOUNCED, "5.7.1"),
            "354 go ahead": (BOUNCED, "5.5.0"),
        }
        for text, wanted in table.items():
            no = self.refused(Script({"connect": text}))
            self.assertEqual((no.verdict.disposition, no.verdict.status), wanted)
            self.assertEqual(no.verdict.reason, f"host mx.example[192.0.2.1] refused to talk to me: {text}")
            self.assertEqual((self.commands, self.introduction.greeted), ([], False))

    def test_which_greetings_are_skipped(self) -> None:
        """Whether a greeting moves on to the next address, for all settings of the two skips."""
        greetings = ("450 4.3.2 later", "421 4.3.2 busy", "554 5.7.1 no", "354 what")
        moves_on = {
            (skip_4xx, skip_5xx): [
                self.refused(Script({"connect": text}), skip_4xx_greeting=skip_4xx, skip_5xx_greeting=skip_5xx).moves_on
                for text in greetings
            ]
            for skip_4xx in (False, True)
            for skip_5xx in (False, True)
        }
        self.assertEqual(
            moves_on,
            {
                (False, False): [False, False, False, False],
                (True, False): [True, True, False, False],
                (False, True): [False, False, True, False],
                (True, True): [True, True, True, False],
            },
        )

    def test_skipped_5xx_defers(self) -> None:
        """Where a 5xx greeting is skipped it is no reason to bounce."""
        no = self.refused(Script({"connect": "554 5.7.1 no"}), skip_5xx_greeting=True)
        self.assertEqual((no.verdict.disposition, no.verdict.status), (DEFERRED, "4.7.1"))

    def test_no_greeting(self) -> None:
        """A server that hangs up, or says half a greeting, or only garbage, has not greeted."""
        dropped: list[Steps] = ["!close", ["!raw 220 mx", "!close"], ["hello", "!close"], ["220-mx", "!close"]]
        for steps in dropped:
            self.assertEqual(self.fails({"connect": steps}, ConnectionLost), Stage.GREETING)
            self.assertFalse(self.introduction.greeted)
        self.assertEqual(self.fails({"connect": "!hang"}, TimedOut), Stage.GREETING)
        self.assertFalse(self.introduction.greeted)


class Ehlo(HandshakeTestCase):
    """EHLO, and HELO where EHLO is not known."""

    def test_capabilities(self) -> None:
        """The reply to EHLO says what the session may use."""
        found = self.introduce(Script(ehlo=PIPELINING))
        self.assertEqual((found.esmtp, found.pipelining, found.server_name), (True, True, "mx.example"))
        self.assertIs(self.introduction.capabilities, found)

    def test_helo_after_a_refusal(self) -> None:
        """Whatever refuses EHLO, short of a 421, HELO is tried; it offers nothing."""
        for text in ("502 5.5.1 what", "500 what", "550 5.7.1 no", "450 4.3.2 later", "354 hm"):
            found = self.introduce(Script({"ehlo": text}))
            self.assertEqual(self.commands, ["EHLO me.example", "HELO me.example"])
            self.assertEqual((found.esmtp, found.keywords), (False, {}))

    def test_421(self) -> None:
        """A 421 means that the server is about to close: no HELO."""
        no = self.refused(Script({"ehlo": "421 4.3.2 busy"}))
        self.assertEqual((no.verdict.disposition, no.verdict.status, no.moves_on), (DEFERRED, "4.3.2", False))
        self.assertEqual(self.commands, ["EHLO me.example"])

    def test_421_is_not_skipped(self) -> None:
        """The skips are for greetings alone."""
        no = self.refused(Script({"ehlo": "421 4.3.2 busy"}), skip_4xx_greeting=True, skip_5xx_greeting=True)
        self.assertFalse(no.moves_on)

    def test_helo_refused(self) -> None:
        """Where HELO is refused, too, the server does not want to talk."""
        table = {
            "450 4.3.2 later": (DEFERRED, "4.3.2"),
            "550 5.7.1 not you": (BOUNCED, "5.7.1"),
            "354 x": (BOUNCED, "5.5.0"),
        }
        for text, wanted in table.items():
            no = self.refused(Script({"helo": text}, ehlo=None))
            self.assertEqual((no.verdict.disposition, no.verdict.status, no.moves_on), (*wanted, False))
            self.assertEqual(no.verdict.reason, f"host mx.example[192.0.2.1] refused to talk to me: {text}")

    def test_lost_connections(self) -> None:
        """The stage says where the session ended."""
        self.assertEqual(self.fails({"ehlo": "!close"}, ConnectionLost), Stage.EHLO)
        self.assertTrue(self.introduction.greeted)
        self.assertEqual(self.fails({"ehlo": ["502 5.5.2 what", "!close"]}, ConnectionLost), Stage.HELO)
        self.assertEqual(self.fails({"ehlo": "502 what", "helo": "!close"}, ConnectionLost), Stage.HELO)

    def test_esmtp_in_the_greeting(self) -> None:
        """With smtp_always_send_ehlo = no, EHLO is for servers whose greeting holds the word ESMTP."""
        banners = {
            "220 mx ESMTP": ["EHLO me.example"],
            "220 mx other esmtp words": ["EHLO me.example"],
            "220-mx\n220 ESMTP-ready": ["EHLO me.example"],
            "220 mx ready": ["HELO me.example"],
            "220 esmtp.example SMTP": ["HELO me.example"],
            "!raw 220\\r\\n": ["HELO me.example"],
        }
        found = {}
        for banner in banners:
            self.introduce(Script({"connect": banner}), always_send_ehlo=False)
            found[banner] = self.commands
        self.assertEqual(found, banners)

    def test_never(self) -> None:
        """With smtp_never_send_ehlo = yes it is always HELO."""
        found = self.introduce(Script({"connect": "220 mx ESMTP"}, ehlo=PIPELINING), never_send_ehlo=True)
        self.assertEqual((self.commands, found.keywords), (["HELO me.example"], {}))

    def test_our_name(self) -> None:
        """smtp_helo_name is what we call ourselves, whatever our own name is."""
        conversation = Conversation(Script(ehlo=None))
        dialogue = DialogueSettings("out.example", "me.example")
        conversation.run(Introduction(conversation.channel, dialogue, PEER).run())
        self.assertEqual(conversation.server.commands, ["EHLO out.example", "HELO out.example"])

    def test_discarded_keywords(self) -> None:
        """What smtp_discard_ehlo_keywords names was not offered."""
        found = self.introduce(Script(ehlo=PIPELINING), discard_ehlo_keywords=frozenset({"PIPELINING"}))
        self.assertFalse(found.pipelining)


class OwnName(HandshakeTestCase):
    """A server that has our own name is ourselves."""

    def test_best(self) -> None:
        """At the best address, mail would go round: it bounces."""
        no = self.refused(Script(host="ME.example"))
        self.assertEqual(
            (no.verdict.disposition, no.verdict.status, no.verdict.reason, no.moves_on),
            (BOUNCED, "5.4.6", "mail for example.org loops back to myself", False),
        )
        self.assertTrue(self.introduction.found_self)

    def test_worse(self) -> None:
        """At a worse address, the better ones may come back: it waits."""
        no = self.refused(Script(host="me.example"), best=False)
        self.assertEqual((no.verdict.disposition, no.verdict.status, no.moves_on), (DEFERRED, "4.4.6", True))

    def test_helo(self) -> None:
        """The reply to HELO tells it as well."""
        self.assertEqual(self.refused(Script(host="me.example", ehlo=None)).verdict.status, "5.4.6")

    def test_greeting(self) -> None:
        """The greeting may say what it likes, and so may the rest of the reply."""
        self.introduce(Script({"connect": "220 me.example ESMTP"}))
        self.introduce(Script({"ehlo": "250-mx.example greets me.example\n250 me.example"}))

    def test_no_own_name(self) -> None:
        """Where we do not know our name, nobody has it."""
        conversation = Conversation(Script(host=""))
        conversation.run(Introduction(conversation.channel, DialogueSettings("me"), PEER).run())
