"""Attempts: which addresses are tried, when an error moves on, and what is said in the end."""

import errno
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.parameters import Parameters
from smtpclient.delivery.attempt import Attempt
from smtpclient.delivery.connector import CannotBind, Shortage
from smtpclient.delivery.means import WalkSettings
from smtpclient.delivery.pool import PoolSettings
from smtpclient.dns.exchangers import Exchangers
from smtpclient.mail.envelope import Utf8
from smtpclient.mail.outcome import Disposition, Outcome, SiteFailure
from smtpclient.smtp.settings import DialogueSettings
from tests.delivery.memory_network import LOOP, NOT_FOUND, TRY_AGAIN, World, short
from tests.mail.messages import MemoryContent
from tests.smtp.scripted_server import PIPELINING, Script

REFUSED = "Connection refused"
GOOD = Script()
SKIP_4XX = {"skip_4xx_greeting": True}
SKIP_5XX = {"skip_5xx_greeting": True}


def script(**on: Any) -> Script:
    """A server that does this."""
    return Script(on)


class MovingOn(SynchronousTestCase):
    """The table of the module, row by row: a server that fails, and a good one behind it."""

    maxDiff = None

    def outcome(self, first: Script | str, limit: int, **dialogue: Any) -> str:
        """The servers that are tried and the outcome."""
        world = World(
            {"a": first, "b": GOOD},
            walk=WalkSettings(session_limit=limit),
            dialogue=DialogueSettings("me.example", "me.example", **dialogue),
        )
        return f"{world.attempts}: {short(world.deliver())[0]}".replace(": ", f"{world.attempts}: ", 1)

    def check(self, rows: dict[str, tuple[Script | str, dict[str, bool], str, str]]) -> None:
        """Each row with one session a request, and with two, and with no limit."""
        found = {}
        for name, (first, dialogue, _, _) in rows.items():
            two, unlimited = self.outcome(first, 2, **dialogue), self.outcome(first, 0, **dialogue)
            self.assertEqual(two, unlimited, name)
            found[name] = (first, dialogue, self.outcome(first, 1, **dialogue), two)
        self.assertEqual(found, rows)

    def test_before_the_greeting(self) -> None:
        """Where no server has greeted, the next is tried."""
        self.check(
            {
                "refused": (REFUSED, {}, "a b: sent 2.0.0", "a b: sent 2.0.0"),
                "close": (script(connect="!close"), {}, "a b: sent 2.0.0", "a b: sent 2.0.0"),
                "silence": (script(connect="!hang"), {}, "a b: sent 2.0.0", "a b: sent 2.0.0"),
                "half a greeting": (script(connect=["220-mx", "!hang"]), {}, "a b: sent 2.0.0", "a b: sent 2.0.0"),
            }
        )

    def test_greeting(self) -> None:
        """A greeting that refuses moves on where the operator says so; a 4xx also where sessions are left."""
        later, no = script(connect="450 4.3.2 later"), script(connect="554 5.7.1 no")
        self.check(
            {
                "4xx": (later, {}, "a: deferred 4.3.2", "a b: sent 2.0.0"),
                "4xx, skipped": (later, SKIP_4XX, "a b: sent 2.0.0", "a b: sent 2.0.0"),
                "4xx, 5xx skipped": (later, SKIP_5XX, "a: deferred 4.3.2", "a b: sent 2.0.0"),
                "421 and close": (script(connect=["421 4.3.2 bye", "!close"]), SKIP_4XX, *["a b: sent 2.0.0"] * 2),
                "5xx": (no, {}, "a: bounced 5.7.1", "a: bounced 5.7.1"),
                "5xx, 4xx skipped": (no, SKIP_4XX, "a: bounced 5.7.1", "a: bounced 5.7.1"),
                "5xx, skipped": (no, SKIP_5XX, "a b: sent 2.0.0", "a b: sent 2.0.0"),
                "3xx": (script(connect="354 go"), SKIP_5XX, "a: bounced 5.5.0", "a: bounced 5.5.0"),
            }
        )

    def test_introduction(self) -> None:
        """After the greeting, EHLO and HELO move on where sessions are left, and a 5xx never."""
        self.check(
            {
                "EHLO 421": (script(ehlo="421 4.3.2 busy"), SKIP_4XX, "a: deferred 4.3.2", "a b: sent 2.0.0"),
                "EHLO close": (script(ehlo="!close"), {}, "a: deferred 4.4.2", "a b: sent 2.0.0"),
                "EHLO silence": (script(ehlo="!hang"), {}, "a: deferred 4.4.2", "a b: sent 2.0.0"),
                "HELO 4xx": (script(ehlo="502 what", helo="450 4.3.2 no"), {}, "a: deferred 4.3.2", "a b: sent 2.0.0"),
                "HELO 5xx": (script(ehlo="502 what", helo="550 5.7.1 no"), {}, *["a: bounced 5.7.1"] * 2),
            }
        )

    def test_transaction(self) -> None:
        """In the transaction a 4xx and a lost connection move on where sessions are left, and a 5xx never."""
        self.check(
            {
                "MAIL 4xx": (script(mail="450 4.7.1 grey"), {}, "a: deferred 4.7.1", "a b: sent 2.0.0"),
                "MAIL 5xx": (script(mail="550 5.7.1 no"), {}, "a: bounced 5.7.1", "a: bounced 5.7.1"),
                "MAIL close": (script(mail="!close"), {}, "a: deferred 4.4.2", "a b: sent 2.0.0"),
                "RCPT 4xx": (script(rcpt="450 4.2.1 busy"), {}, "a: deferred 4.2.1", "a b: sent 2.0.0"),
                "RCPT 5xx": (script(rcpt="550 5.1.1 unknown"), {}, "a: bounced 5.1.1", "a: bounced 5.1.1"),
                "DATA 4xx": (script(data="451 4.3.0 not now"), {}, "a: deferred 4.3.0", "a b: sent 2.0.0"),
                "dot 4xx": (script(eod="451 4.3.0 error"), {}, "a: deferred 4.3.0", "a b: sent 2.0.0"),
                "dot 5xx": (script(eod="554 5.6.0 no"), {}, "a: bounced 5.6.0", "a: bounced 5.6.0"),
                "dot close": (script(eod="!close"), {}, "a: deferred 4.4.2", "a b: sent 2.0.0"),
            }
        )

    def test_unfit(self) -> None:
        """A message that a server cannot take bounces, as with Postfix, without asking the next."""
        small = {"a": Script(ehlo=("SIZE 1000",)), "b": GOOD}
        plain = {"a": Script(ehlo=("8BITMIME",)), "b": Script(ehlo=("SMTPUTF8",))}
        for limit in (1, 2, 0):
            world = World(small, walk=WalkSettings(session_limit=limit))
            self.assertEqual((short(world.deliver(size=5000)), world.attempts), (["bounced 5.3.4"], "a"))
            world = World(plain, walk=WalkSettings(session_limit=limit))
            utf8 = Utf8.REQUESTED | Utf8.RECIPIENT
            self.assertEqual((short(world.deliver(utf8=utf8)), world.attempts), (["bounced 5.6.7"], "a"))


class Walking(SynchronousTestCase):
    """The order of contacts."""

    def test_order(self) -> None:
        """Addresses are tried in the order of the list until one is good."""
        world = World(dict.fromkeys("abcdefg", REFUSED) | {"h": GOOD, "i": GOOD})
        self.assertEqual((short(world.deliver()), world.attempts), (["sent 2.0.0"], "a b c d e f g h"))

    def test_last_failure_is_the_reason(self) -> None:
        """When all addresses fail, the last failure is the outcome; no server is named that was not reached."""
        world = World({"a": script(connect="!close"), "b": REFUSED, "c": "No route to host"})
        [outcome] = world.deliver().outcomes
        self.assertEqual(outcome.reason, "connect to mx-c.example[192.0.2.3]:25: No route to host")
        self.assertEqual((outcome.status, outcome.relay), ("4.4.1", "none"))

    def test_last_failure_of_a_server(self) -> None:
        """When the last that failed was a server, it is named."""
        world = World({"a": REFUSED, "b": script(connect="!close")})
        [outcome] = world.deliver().outcomes
        self.assertEqual(
            outcome.reason,
            "lost connection with mx-b.example[192.0.2.2] while receiving the initial server greeting",
        )
        self.assertEqual(outcome.relay, "mx-b.example[192.0.2.2]:25")

    def test_failures_on_the_way_are_logged(self) -> None:
        """What was tried in vain stands in the log: connections as they are, sessions with the message's id."""
        world = World({"a": REFUSED, "b": script(connect="!close"), "c": GOOD})
        world.deliver()
        self.assertEqual(
            world.lines,
            [
                "connect to mx-a.example[192.0.2.1]:25: Connection refused",
                "3A66D21A822: lost connection with mx-b.example[192.0.2.2] while receiving the initial server greeting",
            ],
        )

    def test_mixed_recipients_move_on(self) -> None:
        """Where sessions are left, those who were deferred go on to the next address, and only they."""
        first = script(rcpt={"u2@": "450 4.2.1 busy", "u3@": "550 5.1.1 unknown"})
        world = World({"a": first, "b": GOOD}, walk=WalkSettings(session_limit=2))
        result = world.deliver("u1@x", "u2@x", "u3@x")
        self.assertEqual(short(result), ["sent 2.0.0", "sent 2.0.0", "bounced 5.1.1"])
        self.assertEqual([len(batch) for batch in world.settled], [2, 1])
        self.assertEqual(world.sessions("b")[0].commands[2:4], ["RCPT TO:<u2@x>", "DATA"])
        self.assertIn(
            "3A66D21A822: host mx-a.example[192.0.2.1] said: 450 4.2.1 busy (in reply to RCPT TO command)", world.lines
        )

    def test_mixed_recipients_stay(self) -> None:
        """With one session a request they wait."""
        world = World({"a": script(rcpt={"u2@": "450 4.2.1 busy"}), "b": GOOD})
        self.assertEqual(short(world.deliver("u1@x", "u2@x")), ["sent 2.0.0", "deferred 4.2.1"])
        self.assertEqual((world.attempts, [len(batch) for batch in world.settled]), ("a", [2]))

    def test_session_limit(self) -> None:
        """So many sessions and no more; addresses that give none do not count."""
        grey = script(mail="450 4.7.1 grey")
        servers = {"a": grey, "b": REFUSED, "c": script(connect="450 no"), "d": grey, "e": GOOD}
        attempts = {}
        for limit in (1, 2, 3, 0):
            world = World(servers, walk=WalkSettings(session_limit=limit))
            attempts[limit] = (*short(world.deliver()), world.attempts)
        self.assertEqual(
            attempts,
            {
                1: ("deferred 4.7.1", "a"),
                2: ("deferred 4.7.1", "a b c d"),
                3: ("sent 2.0.0", "a b c d e"),
                0: ("sent 2.0.0", "a b c d e"),
            },
        )

    def test_nobody(self) -> None:
        """A request without recipients contacts nobody and settles nothing."""
        world = World({"a": GOOD})
        request = world.request()
        empty = type(request)(request.envelope, (), "smtp", "example.org", request.content, 0.0)
        result = world.run(Attempt(world.means, empty, world.settle).run())
        self.assertEqual((result.outcomes, world.attempts, world.settled), ((), "", []))


class Lookups(SynchronousTestCase):
    """Destinations that have no address."""

    def test_failures(self) -> None:
        """What the lookup says is the outcome, without a relay, and a failure of the site where it may pass."""
        for failure, wanted in ((NOT_FOUND, "bounced 5.4.4"), (TRY_AGAIN, "deferred 4.4.3")):
            world = World({})
            world.fail("example.org", failure)
            result = world.deliver()
            self.assertEqual((short(result), result.outcomes[0].relay), ([wanted], "none"))
            self.assertEqual(result.outcomes[0].reason, failure.reason)
            temporary = failure is TRY_AGAIN
            self.assertEqual(result.site_failure, SiteFailure("4.4.3", failure.reason) if temporary else None)

    def test_no_address_and_no_failure(self) -> None:
        """A lookup that gives neither an address nor a reason defers."""
        world = World({})
        self.assertEqual(short(world.deliver()), ["deferred 4.3.0"])

    def test_relayhost_not_found(self) -> None:
        """A smarthost that does not exist is the operator's mistake: mail waits, and the log says what is wrong."""
        world = World({}, walk=WalkSettings(relayhost="example.org"))
        world.fail("example.org", NOT_FOUND)
        self.assertEqual(short(world.deliver()), ["deferred 4.3.5"])
        self.assertEqual(world.lines, ["warning: relayhost configuration problem: Host or domain name not found"])

    def test_next_hop_that_makes_no_sense(self) -> None:
        """A next hop that cannot be understood defers, in words."""
        world = World({})
        result = world.deliver(next_hop="[example.org")
        self.assertEqual(short(result), ["deferred 4.3.5"])
        self.assertIn("'[example.org'", result.outcomes[0].reason)

    def test_port(self) -> None:
        """The next hop's host is looked up, in lower case."""
        world = World({"a": GOOD})
        world.deliver(next_hop="Example.ORG:2525")
        self.assertEqual(world.lookup.asked, ["example.org"])


class Fallback(SynchronousTestCase):
    """smtp_fallback_relay."""

    RELAY = WalkSettings(fallback_relays=("[relay.example]",))

    def world(self, servers: dict[str, Script | str], relay: Script | str = GOOD, **changes: Any) -> World:
        """A world with a relay called f."""
        world = World(servers, **{"walk": self.RELAY, **changes})
        world.place("relay.example", {"f": relay})
        return world

    def test_which_failures_fall_back(self) -> None:
        """All exchangers first; then the relay, for everything that would have tried another exchanger."""
        table: dict[str, tuple[dict[str, Script | str], str]] = {
            "good": ({"a": GOOD}, "a"),
            "refused": ({"a": REFUSED}, "a f"),
            "all fail": ({"a": REFUSED, "b": script(connect="!close"), "c": REFUSED}, "a b c f"),
            "greeting 4xx": ({"a": script(connect="450 4.3.2 busy")}, "a"),
            "greeting 5xx": ({"a": script(connect="550 5.3.2 no")}, "a"),
            "RCPT 450": ({"a": script(rcpt="450 4.2.1 busy")}, "a"),
            "RCPT 550": ({"a": script(rcpt="550 5.1.1 unknown")}, "a"),
            "dot lost": ({"a": script(eod="!close")}, "a"),
        }
        found = {}
        for name, (servers, _) in table.items():
            world = self.world(servers)
            world.deliver()
            found[name] = (servers, world.attempts)
        self.assertEqual(found, table)

    def test_skipped_greeting_falls_back(self) -> None:
        """A 4xx greeting that is skipped leads on to the relay."""
        dialogue = DialogueSettings("me.example", skip_4xx_greeting=True)
        world = self.world({"a": script(connect="450 4.3.2 busy")}, dialogue=dialogue)
        self.assertEqual((short(world.deliver()), world.attempts), (["sent 2.0.0"], "a f"))

    def test_with_sessions_left(self) -> None:
        """With more than one session a request, a 4xx leads on to the relay, and sessions are counted anew there."""
        grey = script(rcpt="450 4.2.1 busy")
        for limit in (2, 0):
            walk = WalkSettings(fallback_relays=("[relay.example]",), session_limit=limit)
            world = self.world({"a": grey, "b": grey}, walk=walk)
            self.assertEqual((short(world.deliver()), world.attempts), (["sent 2.0.0"], "a b f"))

    def test_not_found(self) -> None:
        """A destination that does not exist, or cannot be looked up now, goes to the relay."""
        for failure in (NOT_FOUND, TRY_AGAIN):
            world = self.world({})
            world.fail("example.org", failure)
            self.assertEqual((short(world.deliver()), world.attempts), (["sent 2.0.0"], "f"))

    def test_relay_fails_too(self) -> None:
        """The last failure counts: a domain that was not found waits for the relay to come back."""
        world = self.world({}, REFUSED)
        world.fail("example.org", NOT_FOUND)
        self.assertEqual(short(world.deliver()), ["deferred 4.4.1"])

    def test_relay_refuses(self) -> None:
        """What the relay refuses is refused."""
        world = self.world({"a": REFUSED}, script(rcpt="550 5.7.1 no relaying"))
        self.assertEqual(short(world.deliver()), ["bounced 5.7.1"])

    def test_relay_not_found(self) -> None:
        """A relay that does not exist is the operator's mistake."""
        world = self.world({"a": REFUSED})
        world.fail("relay.example", NOT_FOUND)
        self.assertEqual(short(world.deliver()), ["deferred 4.3.5"])
        self.assertIn("warning: smtp_fallback_relay configuration problem: Host or domain name not found", world.lines)

    def test_several_relays(self) -> None:
        """Relays are tried in their order."""
        walk = WalkSettings(fallback_relays=("[relay.example]", "second.example"))
        world = self.world({"a": REFUSED}, REFUSED, walk=walk)
        world.place("second.example", {"g": REFUSED, "h": GOOD})
        self.assertEqual((short(world.deliver()), world.attempts), (["sent 2.0.0"], "a f g h"))

    def test_loops(self) -> None:
        """Where we are on the list ourselves, no relay is asked: it would send the mail back."""
        world = self.world({})
        world.fail("example.org", LOOP, found_self=True)
        self.assertEqual((short(world.deliver()), world.attempts), (["bounced 5.4.6"], ""))
        world = self.world({"a": REFUSED})
        found = world.lookup.sites["example.org"]
        world.lookup.sites["example.org"] = Exchangers(found.destination, found.addresses, None, True)
        self.assertEqual((short(world.deliver()), world.attempts), (["deferred 4.4.1"], "a"))

    def test_session_to_a_relay_is_not_kept(self) -> None:
        """The next message begins with the destination, not with the relay."""
        world = self.world({"a": REFUSED})
        world.deliver(backlog=lambda: True)
        self.assertEqual(world.verbs("f"), "EHLO MAIL RCPT DATA . QUIT")


class OwnName(SynchronousTestCase):
    """A server that turns out to be ourselves."""

    def test_best(self) -> None:
        """At the best address the message bounces, and the log says who has our name."""
        world = World({"a": Script(host="me.example"), "b": GOOD})
        self.assertEqual((short(world.deliver()), world.attempts), (["bounced 5.4.6"], "a"))
        self.assertEqual(
            world.lines,
            ["warning: host mx-a.example[192.0.2.1]:25 replied to HELO/EHLO with my own hostname me.example"],
        )
        self.assertEqual(world.verbs("a"), "EHLO QUIT")

    def test_worse(self) -> None:
        """At a worse address it waits, and a further one is tried."""
        world = World({"a": REFUSED, "b": Script(host="me.example")})
        self.assertEqual((short(world.deliver()), world.attempts), (["deferred 4.4.6"], "a b"))
        world = World({"a": REFUSED, "b": Script(host="me.example"), "c": GOOD})
        self.assertEqual((short(world.deliver()), world.attempts), (["sent 2.0.0"], "a b c"))


class Goodbyes(SynchronousTestCase):
    """How sessions end."""

    def verbs(self, server: Script, *addresses: str, **dialogue: Any) -> str:
        """The commands that a server gets."""
        world = World({"a": server}, dialogue=DialogueSettings("me.example", "me.example", **dialogue))
        world.deliver(*addresses)
        world.flush()
        self.assertEqual(world.clock.getDelayedCalls(), [])
        self.assertTrue(all(session.over for session in world.sessions("a")))
        return world.verbs("a")

    def test_after_the_greeting(self) -> None:
        """A server that does not want to talk hears QUIT, unless it is gone."""
        self.assertEqual(self.verbs(script(connect="450 4.3.2 later")), "QUIT")
        self.assertEqual(self.verbs(script(connect=["421 4.3.2 bye", "!close"])), "")
        self.assertEqual(self.verbs(script(connect="!hang")), "")

    def test_after_the_introduction(self) -> None:
        """So with EHLO and HELO."""
        self.assertEqual(self.verbs(script(ehlo="421 4.3.2 busy")), "EHLO QUIT")
        self.assertEqual(self.verbs(script(ehlo="502 what", helo="550 5.7.1 no")), "EHLO HELO QUIT")
        self.assertEqual(self.verbs(script(ehlo="!close")), "EHLO")

    def test_after_the_transaction(self) -> None:
        """A transaction that came to nothing is reset first; a connection that is gone hears nothing."""
        table = {
            "all well": ({}, "EHLO MAIL RCPT DATA . QUIT", "EHLO MAIL RCPT DATA . QUIT"),
            "MAIL 550": ({"mail": "550 no"}, "EHLO MAIL RSET QUIT", "EHLO MAIL RCPT DATA RSET QUIT"),
            "MAIL 421": ({"mail": "421 no"}, "EHLO MAIL RSET QUIT", "EHLO MAIL RCPT DATA RSET QUIT"),
            "RCPT 550": ({"rcpt": "550 no"}, "EHLO MAIL RCPT RSET QUIT", "EHLO MAIL RCPT DATA RSET QUIT"),
            "DATA 451": ({"data": "451 no"}, "EHLO MAIL RCPT DATA RSET QUIT", "EHLO MAIL RCPT DATA RSET QUIT"),
            "dot 451": ({"eod": "451 no"}, "EHLO MAIL RCPT DATA . QUIT", "EHLO MAIL RCPT DATA . QUIT"),
            "dot close": ({"eod": "!close"}, "EHLO MAIL RCPT DATA .", "EHLO MAIL RCPT DATA ."),
            "RSET close": ({"mail": "550 no", "rset": "!close"}, "EHLO MAIL RSET", "EHLO MAIL RCPT DATA RSET"),
            "RSET 502": ({"mail": "550 no", "rset": "502 no"}, "EHLO MAIL RSET QUIT", "EHLO MAIL RCPT DATA RSET QUIT"),
            "RSET hang": ({"mail": "550 no", "rset": "!hang"}, "EHLO MAIL RSET", "EHLO MAIL RCPT DATA RSET"),
        }
        found = {
            name: (on, self.verbs(Script(on)), self.verbs(Script(on, PIPELINING))) for name, (on, _, _) in table.items()
        }
        self.assertEqual(found, table)

    def test_unfit(self) -> None:
        """A server whose SIZE is too small hears nothing more, one without SMTPUTF8 QUIT."""
        world = World({"a": Script(ehlo=("SIZE 10",))})
        world.deliver(size=5000)
        world.flush()
        self.assertEqual((world.verbs("a"), world.sessions("a")[0].over is not None), ("EHLO", True))
        world = World({"a": GOOD})
        world.deliver(utf8=Utf8.REQUESTED | Utf8.SENDER)
        world.flush()
        self.assertEqual(world.verbs("a"), "EHLO QUIT")

    def test_waiting_for_the_reply_to_quit(self) -> None:
        """With smtp_skip_quit_response = no the reply is waited for, and what it is does not matter."""
        for quit_steps in ("!default", "!hang", "!close", "500 5.5.2 what"):
            server = Script({"quit": quit_steps})
            self.assertEqual(self.verbs(server, skip_quit_response=False), "EHLO MAIL RCPT DATA . QUIT")

    def test_settled_before_quit(self) -> None:
        """The outcome is recorded before QUIT is said: whatever happens then costs nothing."""
        said: list[str] = []

        def settle(outcomes: Any) -> Any:
            world.flush()
            said.append(world.verbs("a"))
            return outcomes

        world = World({"a": GOOD}, settle=settle)
        world.deliver()
        self.assertEqual(said, ["EHLO MAIL RCPT DATA ."])


class Reuse(SynchronousTestCase):
    """Sessions that carry more than one message."""

    def deliver(self, world: World, count: int, **changes: Any) -> list[Outcome]:
        """Deliver several messages one after the other while more wait."""
        return [world.deliver(backlog=lambda: True, **changes).outcomes[0] for _ in range(count)]

    def test_on_demand(self) -> None:
        """While more mail waits one session carries it all, and each outcome says which use it was."""
        world = World({"a": Script(ehlo=PIPELINING)})
        outcomes = self.deliver(world, 3)
        self.assertEqual([outcome.session_uses for outcome in outcomes], [1, 2, 3])
        self.assertEqual({outcome.relay for outcome in outcomes}, {"mx-a.example[192.0.2.1]:25"})
        self.assertEqual((world.attempts, world.lookup.asked), ("a", ["example.org"]))
        self.assertEqual(world.verbs("a"), "EHLO" + " MAIL RCPT DATA ." * 3)

    def test_no_demand(self) -> None:
        """Where nothing waits the session ends."""
        world = World({"a": GOOD})
        world.deliver()
        world.deliver()
        self.assertEqual(world.attempts, "a a")

    def test_after_a_refusal(self) -> None:
        """A refused transaction is reset, and the session goes on."""
        world = World({"a": script(rcpt={"bad@": "550 5.1.1 no"})})
        world.deliver("bad@x", backlog=lambda: True)
        self.assertEqual(short(world.deliver("good@x", backlog=lambda: True)), ["sent 2.0.0"])
        self.assertEqual(world.verbs("a"), "EHLO MAIL RCPT RSET MAIL RCPT DATA .")

    def test_reset_that_fails(self) -> None:
        """A session that cannot be reset is not kept."""
        for steps in ("502 no", "!close", "!hang"):
            world = World({"a": script(rcpt="550 5.1.1 no", rset=steps)})
            self.deliver(world, 2)
            self.assertEqual(world.attempts, "a a")

    def test_other_destination(self) -> None:
        """A session is for its own destination, and its own transport; the next hop matches in any case."""
        world = World({"a": GOOD})
        world.place("example.net", {"b": GOOD})
        self.deliver(world, 1)
        self.deliver(world, 1, next_hop="example.net")
        self.deliver(world, 1, transport="relay")
        self.deliver(world, 1, next_hop="EXAMPLE.org")
        self.assertEqual(world.attempts, "a b a")

    def test_worse_exchanger(self) -> None:
        """A session to a worse exchanger is not kept: the next message tries the best first."""
        world = World({"a": REFUSED, "b": GOOD})
        self.deliver(world, 2)
        self.assertEqual(world.attempts, "a b a b")

    def test_equal_exchangers(self) -> None:
        """One to another of the best is."""
        world = World({})
        world.place("example.org", {"a": REFUSED, "b": GOOD}, preference=10)
        self.deliver(world, 2)
        self.assertEqual(world.attempts, "a b")

    def test_dead_session(self) -> None:
        """One that ended while it was parked is forgotten, and the message goes over a new one."""
        world = World({"a": GOOD})
        self.deliver(world, 1)
        world.sessions("a")[0].transport.loseConnection()
        world.flush()
        [outcome] = self.deliver(world, 1)
        self.assertEqual((outcome.disposition, outcome.session_uses, world.attempts), (Disposition.SENT, 1, "a a"))

    def test_session_that_dies_at_mail(self) -> None:
        """One that ends before it has answered anything gives no verdict: the message goes over a new one."""
        for steps in ("!close", "!hang", "421 4.4.2 idle too long", ["421 4.4.2 idle too long", "!close"]):
            world = World({"a": Script({"mail": ("!default", steps)}, PIPELINING)})
            outcomes = self.deliver(world, 2)
            self.assertEqual([outcome.session_uses for outcome in outcomes], [1, 1])
            self.assertEqual([outcome.status for outcome in outcomes], ["2.0.0", "2.0.0"])
            self.assertEqual((world.attempts, len(world.settled)), ("a a", 2))

    def test_unsolicited_421(self) -> None:
        """A session on which the server says goodbye is dropped before anyone takes it."""
        world = World({"a": GOOD})
        self.deliver(world, 1)
        world.sessions("a")[0].say("421 4.4.2 idle")
        world.flush()
        self.assertTrue(world.sessions("a")[0].over)
        self.deliver(world, 1)
        self.assertEqual(world.attempts, "a a")

    def test_lost_later(self) -> None:
        """One that ends after it has answered MAIL is a verdict like any other."""
        world = World({"a": script(rcpt=("!default", "!close"))})
        outcomes = self.deliver(world, 2)
        self.assertEqual([outcome.status for outcome in outcomes], ["2.0.0", "4.4.2"])
        self.assertEqual((world.attempts, outcomes[1].session_uses), ("a", 2))

    def test_deferred_over_a_reused_session(self) -> None:
        """With more than one session a request, who is deferred over a reused one gets a new one, and it counts."""
        moody = script(rcpt=("!default", "450 4.2.1 busy"))
        for limit, attempts in ((2, "a a"), (0, "a a"), (1, "a")):
            world = World({"a": moody, "b": GOOD}, walk=WalkSettings(session_limit=limit))
            outcomes = self.deliver(world, 2)
            self.assertEqual(world.attempts, attempts)
            self.assertEqual([outcome.status for outcome in outcomes], ["2.0.0", "4.2.1" if limit == 1 else "2.0.0"])
        world = World({"a": script(rcpt="450 4.2.1 busy"), "b": GOOD}, walk=WalkSettings(session_limit=2))
        self.deliver(world, 1)
        self.assertEqual(world.attempts, "a b")

    def test_reused_session_counts(self) -> None:
        """A reused session is one of those that a request may have."""
        grey = script(rcpt=("!default", "450 4.2.1 busy"))
        world = World({"a": grey, "b": script(rcpt="450 4.2.1 busy")}, walk=WalkSettings(session_limit=2))
        self.deliver(world, 1)
        world.connector.scripts["192.0.2.1"] = script(rcpt="450 4.2.1 busy")
        [outcome] = self.deliver(world, 1)
        self.assertEqual((outcome.status, world.attempts), ("4.2.1", "a a"))

    def test_unfit_for_the_session(self) -> None:
        """What a reused session cannot carry is told as over a new one."""
        world = World({"a": Script(ehlo=("SIZE 1000",))})
        self.deliver(world, 1)
        self.assertEqual(short(world.deliver(size=5000)), ["bounced 5.3.4"])
        self.assertEqual(world.attempts, "a")

    def test_pool_closes(self) -> None:
        """When the agent ends, sessions that wait hear QUIT."""
        world = World({"a": GOOD})
        self.deliver(world, 1)
        world.run(world.pool.close())
        self.assertEqual(world.verbs("a"), "EHLO MAIL RCPT DATA . QUIT")
        self.assertEqual(world.clock.getDelayedCalls(), [])

    def test_idle_time(self) -> None:
        """A session that nobody takes in time hears QUIT."""
        world = World({"a": GOOD}, pool=PoolSettings(idle=2.0))
        self.deliver(world, 1)
        world.clock.advance(2.0)
        world.flush()
        self.assertEqual(world.verbs("a"), "EHLO MAIL RCPT DATA . QUIT")


class Outcomes(SynchronousTestCase):
    """What is told of a delivery."""

    def test_delays(self) -> None:
        """The time goes into its four parts."""
        slow = script(connect=["!sleep 3", "!default"], eod=["!sleep 7", "!default"])
        world = World({"a": slow})
        [outcome] = world.deliver().outcomes
        delays = outcome.delays
        self.assertEqual(
            (delays.before_active, delays.in_queue, delays.connecting, delays.sending), (5.0, 5.0, 3.0, 7.0)
        )

    def test_delays_of_a_reused_session(self) -> None:
        """A session that is reused costs no time to connect."""
        world = World({"a": script(connect=["!sleep 3", "!default"], eod=["!sleep 7", "!default"])})
        world.deliver(backlog=lambda: True)
        [outcome] = world.deliver().outcomes
        self.assertEqual((outcome.delays.connecting, outcome.delays.sending), (0.0, 7.0))

    def test_delays_without_a_session(self) -> None:
        """Where no session came about, all the time went into trying."""
        world = World({"a": script(connect="!hang"), "b": REFUSED})
        [outcome] = world.deliver().outcomes
        self.assertEqual((outcome.delays.connecting, outcome.delays.sending), (300.0, 0.0))

    def test_clock_that_goes_back(self) -> None:
        """No delay is negative, whatever the clock does."""
        world = World({"a": GOOD})
        [outcome] = world.deliver(activated=5000.0).outcomes
        self.assertEqual((outcome.delays.in_queue, outcome.delays.before_active), (0.0, 4010.0))

    def test_details(self) -> None:
        """Status, reply, server and stage are those that decided."""
        world = World({"a": script(rcpt="550 5.1.1 unknown")})
        [outcome] = world.deliver().outcomes
        self.assertEqual(
            (outcome.status, outcome.reply, outcome.relay, outcome.stage, outcome.in_doubt),
            ("5.1.1", "550 5.1.1 unknown", "mx-a.example[192.0.2.1]:25", "RCPT TO command", False),
        )

    def test_doubt(self) -> None:
        """A connection that ends after the dot leaves doubt."""
        world = World({"a": script(eod="!close")})
        [outcome] = world.deliver().outcomes
        self.assertTrue(outcome.in_doubt)
        self.assertIn("message may be sent more than once", outcome.reason)

    def test_relayed_dsn(self) -> None:
        """A server that has DSN takes over reporting what it accepts, and nothing else."""
        server = Script({"rcpt": {"bad@": "550 5.1.1 no"}}, ("DSN",))
        world = World({"a": server})
        relayed = {outcome.recipient.address: outcome.relayed_dsn for outcome in world.deliver("u@x", "bad@x").outcomes}
        self.assertEqual(relayed, {"u@x": True, "bad@x": False})
        self.assertFalse(World({"a": GOOD}).deliver().outcomes[0].relayed_dsn)

    def test_settled_outcomes_are_the_result(self) -> None:
        """The result holds what settling has made of the outcomes."""
        changed: list[Outcome] = []

        def settle(outcomes: Any) -> Any:
            changed.extend(outcomes)
            return [type(outcome)(outcome.recipient, Disposition.DEFERRED, "4.3.0", "no disk") for outcome in outcomes]

        world = World({"a": script(rcpt="550 5.1.1 no")}, settle=settle)
        self.assertEqual((short(world.deliver()), changed[0].status), (["deferred 4.3.0"], "5.1.1"))


class SiteFailures(SynchronousTestCase):
    """What the scheduler learns about a destination."""

    def site_failure(self, servers: dict[str, Script | str], *addresses: str, limit: int = 1) -> str:
        """The status of the failure of the site, or nothing."""
        world = World(servers, walk=WalkSettings(session_limit=limit))
        failure = world.deliver(*addresses).site_failure
        return failure.status if failure is not None else ""

    def test_table(self) -> None:
        """A site has failed when no session came about, or no transaction came to an end; not when it refused."""
        table: dict[str, tuple[dict[str, Script | str], str]] = {
            "good": ({"a": GOOD}, ""),
            "second is good": ({"a": REFUSED, "b": GOOD}, ""),
            "refused": ({"a": REFUSED}, "4.4.1"),
            "no greeting": ({"a": script(connect="!close")}, "4.4.2"),
            "greeting 4xx": ({"a": script(connect="450 4.3.2 no")}, "4.3.2"),
            "greeting 5xx": ({"a": script(connect="550 5.3.2 no")}, ""),
            "EHLO 421": ({"a": script(ehlo="421 4.3.2 no")}, "4.3.2"),
            "MAIL 4xx": ({"a": script(mail="450 4.7.1 grey")}, ""),
            "RCPT 4xx": ({"a": script(rcpt="450 4.7.1 grey")}, ""),
            "RCPT 4xx behind one that refuses": ({"a": REFUSED, "b": script(rcpt="450 4.7.1 grey")}, ""),
            "lost in RCPT": ({"a": script(rcpt="!close")}, "4.4.2"),
            "lost at the dot": ({"a": script(eod="!close")}, "4.4.2"),
        }
        found = {name: (servers, self.site_failure(servers)) for name, (servers, _) in table.items()}
        self.assertEqual(found, table)

    def test_answer_for_somebody(self) -> None:
        """A site that bounced one recipient before the connection was lost is alive."""
        server = script(rcpt={"u1@": "550 5.1.1 no", "u2@": "!close"})
        self.assertEqual(self.site_failure({"a": server}, "u1@x", "u2@x"), "")

    def test_failures_after_an_answer(self) -> None:
        """A site that answered is alive, although the next address of it is not."""
        self.assertEqual(self.site_failure({"a": script(rcpt="450 no"), "b": REFUSED}, limit=2), "")


class Watching(SynchronousTestCase):
    """Transcripts and traces."""

    def notices(self, server: Script, **changes: Any) -> list[str]:
        """The reasons of the notices that the postmaster gets."""
        world = World({"a": server}, notify=True)
        world.deliver(**changes)
        return [f"{error_class}: {reason}" for error_class, *_, reason in world.notices]

    def test_which_sessions(self) -> None:
        """Replies against the protocol, and lines that are none; not refusals, and not lost connections."""
        self.assertEqual(len(self.notices(script(mail="500 5.5.2 syntax error"))), 1)
        self.assertEqual(len(self.notices(script(rcpt="354 what"))), 1)
        self.assertEqual(len(self.notices(script(mail=["garbage", "250 2.1.0 Ok"]))), 1)
        self.assertEqual(len(self.notices(script(connect="354 what"))), 1)
        self.assertEqual(len(self.notices(Script({"connect": ["garbage", "220 mx"]}, ("SIZE 1",)), size=5000)), 1)
        self.assertEqual(self.notices(script(rcpt="550 5.1.1 unknown")), [])
        self.assertEqual(self.notices(script(mail="!close")), [])
        self.assertEqual(self.notices(Script(ehlo=None)), [])
        self.assertEqual(self.notices(GOOD), [])

    def test_transcript(self) -> None:
        """The postmaster sees the whole session, QUIT and all, and learns whose message it was."""
        world = World({"a": Script({"mail": "500 5.5.2 what", "quit": "!default"}, ())}, notify=True)
        world.deliver()
        [(_, transcript, peer, message, reason)] = world.notices
        self.assertEqual(
            transcript,
            (
                "In:  220 mx.example ESMTP scripted",
                "Out: EHLO me.example",
                "In:  250 mx.example",
                "Out: MAIL FROM:<sender@example.org>",
                "In:  500 5.5.2 what",
                "Out: RSET",
                "In:  250 2.0.0 Ok",
                "Out: QUIT",
            ),
        )
        self.assertEqual((str(peer), message.queue_id), ("mx-a.example[192.0.2.1]:25", "3A66D21A822"))
        self.assertIn("500 5.5.2 what", reason)

    def test_reused_session(self) -> None:
        """What one message did is not told again of the next."""
        world = World({"a": script(rcpt={"odd@": "354 what"})}, notify=True)
        world.deliver("odd@x", backlog=lambda: True)
        world.deliver("u@x", backlog=lambda: True)
        self.assertEqual((world.attempts, len(world.notices)), ("a", 1))
        world.deliver("odd@x", backlog=lambda: True)
        self.assertEqual([line[:9] for line in world.notices[1][1][:1]], ["Out: MAIL"])

    def test_policy(self) -> None:
        """A refusal for reasons of policy is of another class than an error in the dialogue; one can be both."""
        host = "host mx-a.example[192.0.2.1]"
        refusal = f"{host} said: 550 5.7.1 you are on a list (in reply to RCPT TO command)"
        self.assertEqual(self.notices(script(rcpt="550 5.7.1 you are on a list")), [f"policy: {refusal}"])
        refusal = f"{host} refused to talk to me: 421 4.7.0 too many"
        self.assertEqual(self.notices(script(connect="421 4.7.0 too many")), [f"policy: {refusal}"])
        both = script(connect=["garbage", "220 mx"], mail="550 5.7.1 no")
        self.assertEqual([notice.split(":")[0] for notice in self.notices(both)], ["protocol", "policy"])

    def test_shortage(self) -> None:
        """For want of a resource nothing else is tried, the postmaster hears of it, the destination is not blamed."""
        world = World({"a": Shortage("Too many open files"), "b": GOOD}, notify=True)
        result = world.deliver()
        self.assertEqual((short(result), result.site_failure), (["deferred 4.3.0"], None))
        self.assertEqual(world.attempts, "a")
        [(error_class, transcript, peer, _, reason)] = world.notices
        words = "local resource shortage: Too many open files"
        self.assertEqual((error_class, transcript, peer, reason), ("resource", (), None, words))
        self.assertEqual(result.outcomes[0].reason, words)

    def test_our_end_has_not_its_address(self) -> None:
        """It waits, and not because of the server; one of the other family may do."""
        world = World({"a": CannotBind("Cannot assign requested address")})
        result = world.deliver()
        self.assertEqual((short(result), result.outcomes[0].reason), (["deferred 4.4.0"], "server configuration error"))
        world = World({"a": CannotBind("Cannot assign requested address"), "b": GOOD})
        self.assertEqual(short(world.deliver()), ["sent 2.0.0"])

    def test_shortage_while_reading(self) -> None:
        """Content that cannot be opened for want of files is such a shortage, too."""
        world = World({"a": GOOD}, notify=True)

        class Unopened:
            def open(self) -> Any:
                raise OSError(errno.EMFILE, "Too many open files")

        self.assertEqual(short(world.deliver(content=Unopened())), ["deferred 4.3.0"])
        self.assertEqual([error_class for error_class, *_ in world.notices], ["resource"])

    def test_notice_that_fails(self) -> None:
        """A notice that cannot be sent is a warning; the delivery is what it was."""
        world = World({"a": script(mail="500 what")}, notify=True)

        async def fail(*arguments: Any) -> None:
            raise RuntimeError("no disk")

        object.__setattr__(world.means, "notify", fail)
        self.assertEqual(short(world.deliver()), ["bounced 5.0.0"])
        self.assertEqual(world.lines, ["warning: cannot tell the postmaster about mx-a.example[192.0.2.1]:25: no disk"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_debug_peers(self) -> None:
        """The dialogue with a host that is listed goes into the log, line by line; with others it does not."""
        for notify in (False, True):
            world = World({"a": REFUSED, "b": GOOD}, debug_peers=["mx-b.example"], notify=notify)
            world.deliver()
            self.assertIn("> mx-b.example[192.0.2.2]:25: EHLO me.example", world.lines)
            self.assertIn("< mx-b.example[192.0.2.2]:25: 250 2.0.0 Ok: queued", world.lines)
        world = World({"a": GOOD}, debug_peers=["mx-b.example"])
        world.deliver()
        self.assertEqual(world.lines, [])

    def test_debug_level(self) -> None:
        """At level 2 the time of each reply is logged, too."""
        world = World({"a": script(mail=["!sleep 2", "!default"])}, debug_peers=["192.0.2.0/24"])
        object.__setattr__(world.means, "debug_level", 2)
        world.deliver()
        peer = "mx-a.example[192.0.2.1]:25"
        at = world.lines.index(f"< {peer}: 250 2.1.0 Ok") - 1
        self.assertEqual(world.lines[at + 1 : at + 3], [f"< {peer}: 250 2.1.0 Ok", f"= {peer}: reply after 2.000 s"])


class BrokenOff(SynchronousTestCase):
    """Attempts that do not come to their end."""

    def test_cancelled(self) -> None:
        """Wherever it is, an attempt that is cancelled leaves neither socket nor timer, and settles nothing."""
        for event in ("connect", "ehlo", "mail", "rcpt", "data", "eod"):
            world = World({"a": script(**{event: "!hang"})})
            attempt = Attempt(world.means, world.request(), world.settle)
            running = Deferred.fromCoroutine(attempt.run())
            world.flush()
            running.cancel()
            self.failureResultOf(running, CancelledError)
            world.flush()
            self.assertTrue(world.sessions("a")[0].over)
            self.assertEqual((world.clock.getDelayedCalls(), world.settled), ([], []))

    def test_settling_fails(self) -> None:
        """When settling raises, the connection is dropped and the error is told."""

        def settle(outcomes: Any) -> Any:
            raise RuntimeError("no settlement")

        for server in (GOOD, script(mail="550 no")):
            world = World({"a": server}, settle=settle)
            with self.assertRaises(RuntimeError):
                world.deliver(backlog=lambda: True)
            world.flush()
            self.assertTrue(world.sessions("a")[0].over)
            self.assertEqual(world.clock.getDelayedCalls(), [])

    def test_settling_a_refusal_fails(self) -> None:
        """The same where no session came about."""

        def settle(outcomes: Any) -> Any:
            raise RuntimeError("no settlement")

        world = World({"a": script(connect="554 no")}, settle=settle)
        with self.assertRaises(RuntimeError):
            world.deliver()
        world.flush()
        self.assertTrue(world.sessions("a")[0].over)
        self.assertEqual(world.clock.getDelayedCalls(), [])

    def test_corrupt_content(self) -> None:
        """Content that is none is the queue's concern: the error is told, the server has no message."""
        world = World({"a": GOOD})
        with self.assertRaises(ValueError):
            world.deliver(content=MemoryContent(b"Subject: x\n", ValueError("no record")))
        world.flush()
        self.assertEqual((world.sessions("a")[0].contents, world.settled), ([], []))
        self.assertEqual(world.clock.getDelayedCalls(), [])


class Settings(SynchronousTestCase):
    """Settings from the parameters."""

    def test_defaults(self) -> None:
        """The defaults of the value are those of the table."""
        self.assertEqual(WalkSettings.from_parameters(Parameters.from_values()), WalkSettings())

    def test_everything_can_be_set(self) -> None:
        """Each parameter reaches its field; a port may be a service's name; the seed's old name works."""
        parameters = Parameters.from_values(
            {
                "smtp_tcp_port": "submission",
                "fallback_relay": "[a.example], b.example:26",
                "relayhost": "[smart.example]",
                "smtp_mx_session_limit": "2",
            }
        )
        self.assertEqual(
            WalkSettings.from_parameters(parameters),
            WalkSettings(587, ("[a.example]", "b.example:26"), "[smart.example]", 2),
        )
