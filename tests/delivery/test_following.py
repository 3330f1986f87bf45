"""Messages that follow each other in one session without a pause: the next one's envelope with the end of the last."""

import gc
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.delivery.following import Habits
from smtpclient.delivery.pool import PoolSettings
from smtpclient.mail.envelope import Utf8
from smtpclient.mail.request import DeliveryRequest, DeliveryResult, Fits, Later
from smtpclient.smtp.settings import DialogueSettings, Grouping
from smtpclient.smtp.transaction import Transaction
from tests.delivery.memory_network import World, short
from tests.smtp.scripted_server import GOOD, PIPELINING, Script, Steps

GROUPS = DialogueSettings("me.example", "me.example", pipeline_messages=Grouping.YES)


class Line:
    """
    A queue of requests, each of which is begun when the one in front of it has its begin.

    :ivar results: of those that have begun, in their order.
    """

    def __init__(self, world: World, *requests: DeliveryRequest) -> None:
        self._world = world
        self._waiting = list(requests)
        self.results: list[Deferred[DeliveryResult]] = []

    def begin(self) -> None:
        """Begin the next one."""
        self._begin(self._next(None))

    def _next(self, behind: object) -> DeliveryRequest:
        request = self._waiting.pop(0)
        return request._replace(backlog=lambda: len(self._waiting), follow=self._follow, behind=behind)

    def _begin(self, request: DeliveryRequest) -> None:
        self.results.append(Deferred.fromCoroutine(self._world.attempt(request)))

    def _follow(self, fits: Fits, behind: object, later: Later | None = None, /) -> bool:
        if not self._waiting or not fits(self._waiting[0].envelope, self._waiting[0].recipients):
            return False
        assert later is not None
        request = self._next(behind)
        later(request, partial(self._begin, request))
        return True

    async def run(self) -> list[str]:
        """Make them all; one that could not follow begins when the one before it has ended."""
        found: list[str] = []
        while len(found) < len(self.results) or self._waiting:
            if len(found) == len(self.results):
                self.begin()
            found += short(await self.results[len(found)])
        return found


class FollowingCase(SynchronousTestCase):
    """A world with a server ``a``, which does what a script says."""

    def deliver(self, *requests: dict[str, Any], script: Script, then: Script | None = None, **world: Any) -> list[str]:
        """
        Make requests in a line, for u1, u2 and so on; what became of each.

        :param then: what the server does in its second session, and all after it.
        """
        self.world = World({"a": script}, **{"dialogue": GROUPS, **world})
        line = Line(
            self.world,
            *(self.world.request(f"u{number}@example.org", **request) for number, request in enumerate(requests, 1)),
        )
        line.begin()
        if then is not None:
            self.world.connector.scripts = dict.fromkeys(self.world.connector.scripts, then)
        return self.world.run(line.run())

    def script(self, ehlo: tuple[str, ...] = PIPELINING, **on: Steps | dict[str, Steps]) -> Script:
        """What the server does."""
        return Script(on, ehlo=ehlo)

    @property
    def grouped(self) -> list[int]:
        """For each session, how many messages began with the end of another."""
        return [session.grouped for session in self.world.sessions("a")]


class Following(FollowingCase):
    """What is said, and what becomes of the messages."""

    def test_one_group(self) -> None:
        """The end of a message and the next envelope go out together; the server hears nothing but good SMTP."""
        self.assertEqual(self.deliver({}, {}, {}, script=self.script()), ["sent 2.0.0"] * 3)
        self.assertEqual(self.grouped, [2])
        self.assertEqual(self.world.verbs("a"), "EHLO" + " MAIL RCPT DATA ." * 3 + " QUIT")
        self.assertEqual(
            [command for command in self.world.sessions("a")[0].commands if command.startswith("RCPT")],
            [f"RCPT TO:<u{number}@example.org>" for number in (1, 2, 3)],
        )

    def test_each_counts_for_itself(self) -> None:
        """Outcomes say the how manieth of the session a message was, and how long its own part took."""
        script = self.script(eod=["!sleep 5", "!default"])
        self.deliver({}, {}, script=script)
        first, second = (outcomes[0] for outcomes in self.world.settled)
        self.assertEqual((first.session_uses, second.session_uses), (1, 2))
        self.assertEqual(
            [(round(o.delays.connecting), round(o.delays.sending)) for o in (first, second)], [(0, 5), (0, 5)]
        )

    def test_settled_in_order(self) -> None:
        """The message in front is settled before the one behind it says another word."""
        said: list[str] = []
        script = self.script()

        def settle(outcomes: Any) -> Any:
            said.append(self.world.verbs("a"))
            return list(outcomes)

        self.deliver({}, {}, script=script, settle=settle)
        self.assertEqual(said[0], "EHLO MAIL RCPT DATA . MAIL RCPT DATA")

    def test_refused_in_front(self) -> None:
        """A message that is refused at its end costs the next one nothing."""
        for reply, fate in (("452 full", "deferred 4.0.0"), ("554 5.7.1 spam", "bounced 5.7.1")):
            found = self.deliver({}, {}, script=self.script(eod=(reply, "!default")))
            self.assertEqual((found, self.grouped), ([fate, "sent 2.0.0"], [1]))

    def test_refused_behind(self) -> None:
        """A recipient that is refused behind another message is refused; the session goes on."""
        found = self.deliver({}, {}, {}, script=self.script(rcpt={"u2@": "550 5.1.1 unknown", "*": "!default"}))
        self.assertEqual((found, self.grouped), (["sent 2.0.0", "bounced 5.1.1", "sent 2.0.0"], [1]))

    def test_lost_in_front(self) -> None:
        """When the connection ends at the end of a message, only that one is in doubt: the next was never begun."""
        found = self.deliver({}, {}, script=self.script(eod="!close"), then=self.script())
        self.assertEqual((found, self.grouped), (["deferred 4.4.2", "sent 2.0.0"], [1, 0]))
        self.assertTrue(self.world.settled[0][0].in_doubt)

    def test_silence_in_front(self) -> None:
        """One limit of time for the reply to the dot; behind it nobody waits any longer."""
        found = self.deliver({}, {}, script=self.script(eod="!hang"), then=self.script())
        self.assertEqual(found, ["deferred 4.4.2", "sent 2.0.0"])
        self.assertEqual(round(self.world.clock.seconds()), 1600)

    def test_nothing_is_left(self) -> None:
        """When messages are over, what was made for them is gone without a search by the garbage collector."""
        for dialogue in (GROUPS, DialogueSettings("me.example", pipeline_messages=Grouping.DISTINCT)):
            gc.collect()
            gc.disable()
            self.addCleanup(gc.enable)
            before = sum(isinstance(thing, Transaction) for thing in gc.get_objects())
            self.deliver(*[{}] * 5, script=self.script(), dialogue=dialogue)
            after = sum(isinstance(thing, Transaction) for thing in gc.get_objects())
            self.assertEqual(after, before, dialogue.pipeline_messages)

    def test_unsafe_address_behind(self) -> None:
        """A message for which there is nothing to be said waits for its turn all the same, and keeps the session."""
        world = World({"a": self.script()}, dialogue=GROUPS)
        requests = [world.request(address) for address in ("u1@example.org", "a@b c.example", "u3@example.org")]
        found = world.run(Line(world, *requests).run())
        self.assertEqual(found, ["sent 2.0.0", "bounced 5.1.3", "sent 2.0.0"])
        self.assertEqual(len(world.sessions("a")), 1)

    def test_cancelled(self) -> None:
        """Where the one in front is broken off, the next begins with another connection; nothing is left behind."""
        world = World({"a": self.script(eod="!hang")}, dialogue=GROUPS)
        line = Line(world, world.request("u1@example.org"), world.request("u2@example.org"))
        line.begin()
        world.flush()
        world.clock.advance(0)
        world.flush()
        self.assertEqual((len(line.results), world.sessions("a")[0].grouped), (1, 1))
        for number in range(2):
            line.results[number].addErrback(lambda why: None)
            line.results[number].cancel()
            world.flush()
        self.assertEqual([bool(session.over) for session in world.sessions("a")], [True, True])
        self.assertEqual(world.clock.getDelayedCalls(), [])

    def test_broken_off_before_it_begins(self) -> None:
        """The session of a message that is broken off in its turn is given up: the server has its envelope."""
        world = World({"a": self.script()}, dialogue=GROUPS)
        line = Line(world, world.request("u1@example.org"), world.request("u2@example.org"))
        line.begin()
        self.patch(line, "_begin", lambda request: None)
        world.flush()
        world.clock.advance(0)
        world.flush()
        (session,) = world.sessions("a")
        self.assertEqual(short(self.successResultOf(line.results[0])), ["sent 2.0.0"])
        self.assertEqual((session.grouped, bool(session.over)), (1, True))
        self.assertEqual(world.clock.getDelayedCalls(), [])


class NotFollowing(FollowingCase):
    """When one message ends before the next begins."""

    def test_what_the_session_is_like(self) -> None:
        """Not without PIPELINING, where recipients are shared out, or where sessions are not kept or not grouped."""
        table: dict[str, dict[str, Any]] = {
            "no pipelining": {"script": self.script(GOOD)},
            "shares": {"script": self.script((*PIPELINING, "LIMITS RCPTMAX=5"))},
            "enough": {"script": self.script((*PIPELINING, "LIMITS MAILMAX=1"))},
            "not kept": {"script": self.script(), "pool": PoolSettings(on_demand=False)},
            "used up": {"script": self.script(), "pool": PoolSettings(uses=1)},
            "not wanted": {
                "script": self.script(),
                "dialogue": DialogueSettings("me.example"),
            },
            "chunks": {
                "script": self.script((*PIPELINING, "CHUNKING")),
                "dialogue": DialogueSettings("me.example", use_bdat=True, pipeline_messages=Grouping.YES),
            },
            "recorded": {"script": self.script(), "notify": True},
            "logged": {"script": self.script(), "debug_peers": ["mx-a.example"]},
        }
        for name, world in table.items():
            if name == "chunks":
                world["script"] = Script({"other": "250 2.0.0 Ok"}, ehlo=(*PIPELINING, "CHUNKING"))
                self.deliver({}, {}, **world)
            else:
                self.assertEqual(self.deliver({}, {}, **world), ["sent 2.0.0"] * 2, name)
            self.assertEqual(sum(self.grouped), 0, name)

    def test_what_the_next_message_is_like(self) -> None:
        """Not one that is too big for the server, or needs what it does not offer."""
        for request in ({"size": 20000000}, {"utf8": Utf8.REQUESTED | Utf8.HEADER}):
            found = self.deliver({}, request, script=self.script())
            self.assertEqual((found[0], self.grouped[0]), ("sent 2.0.0", 0))
            self.assertTrue(found[1].startswith("bounced"), found)

    def test_somebody_waits_for_a_connection(self) -> None:
        """Who waits for a place at the server gets the session, and not the next message of its own."""
        world = World({"a": self.script()}, most=1, dialogue=GROUPS)
        world.pool.places.is_wanted = lambda session: True  # type: ignore[method-assign]
        world.pool.places.hand_over = lambda session: False  # type: ignore[method-assign]
        world.run(Line(world, world.request(), world.request()).run())
        self.assertEqual({session.grouped for session in world.sessions("a")}, {0})


class Disbelief(FollowingCase):
    """Servers that do not expect MAIL where it comes."""

    def test_mail_refused_behind(self) -> None:
        """What a server says to MAIL behind another message is not believed, but asked again in another session."""
        script = self.script(mail=("!default", "554 5.5.0 synchronization error"))
        found = self.deliver({}, {}, {}, script=script, then=self.script())
        self.assertEqual(found, ["sent 2.0.0"] * 3)
        self.assertEqual(self.grouped, [1, 0])

    def test_refused_there_too(self) -> None:
        """What it says to MAIL in a session of its own counts."""
        no = "550 5.7.1 not you"
        found = self.deliver({}, {}, script=self.script(mail=("!default", no)), then=self.script(mail=no))
        self.assertEqual(found, ["sent 2.0.0", "bounced 5.7.1"])

    def test_closed_behind_the_first(self) -> None:
        """A server that hangs up at the first group loses nothing, and gets no more of them."""
        script = self.script(mail=("!default", "!close"))
        found = self.deliver({}, {}, {}, script=script)
        self.assertEqual((found, self.grouped), (["sent 2.0.0"] * 3, [1, 0, 0]))

    def test_enough_messages(self) -> None:
        """A server that has had enough messages in one session goes on to get groups in the next."""
        script = self.script(mail=("!default", "!default", "421 4.7.0 too many"))
        found = self.deliver({}, {}, {}, {}, script=script)
        self.assertEqual((found, self.grouped), (["sent 2.0.0"] * 4, [2, 1]))

    def test_memory(self) -> None:
        """So many servers are remembered, and then the oldest are forgotten."""
        habits = Habits()
        for number in range(1001):
            habits.went_well(f"192.0.2.{number}")
            habits.came_to_nothing(f"192.0.2.{number}", "554 5.5.0 what?")
        for kept in (habits.orderly, habits.refused):
            self.assertEqual([f"192.0.2.{number}" in kept for number in (0, 1, 1000)], [False, True, True])


class Distinct(FollowingCase):
    """Servers of which nothing is known beforehand (``smtp_pipeline_messages = distinct``)."""

    dialogue = DialogueSettings("me.example", "me.example", pipeline_messages=Grouping.DISTINCT)

    def test_first_seen_alone(self) -> None:
        """The first message of a session shows what its yes looks like; from the second on they follow each other."""
        found = self.deliver({}, {}, {}, {}, script=self.script(), dialogue=self.dialogue)
        self.assertEqual((found, self.grouped), (["sent 2.0.0"] * 4, [2]))

    def test_not_told_apart(self) -> None:
        """Where a yes to a message looks like a yes to an envelope, or says nothing of its kind, nothing follows."""
        alike = {"mail": "250 2.0.0 Ok"}, {"rcpt": "250 2.0.0 Ok"}, {"eod": "250 2.1.6 Ok"}
        bare = {"mail": "250 Ok"}, {"rcpt": "250 Accepted"}, {"eod": "250 OK id=1rX"}
        for steps in (*alike, *bare):
            found = self.deliver({}, {}, {}, script=self.script(**steps), dialogue=self.dialogue)
            self.assertEqual(([fate[:4] for fate in found], self.grouped), (["sent"] * 3, [0]), steps)

    def test_a_message_that_nobody_gets(self) -> None:
        """A message of which the server has taken nothing shows nothing; the next one does."""
        script = self.script(rcpt={"u1@": "550 5.1.1 unknown", "*": "!default"})
        found = self.deliver({}, {}, {}, script=script, dialogue=self.dialogue)
        self.assertEqual((found, self.grouped), (["bounced 5.1.1", "sent 2.0.0", "sent 2.0.0"], [0]))

    def test_yes_to_mail_in_place_of_the_dots(self) -> None:
        """A server that answers MAIL before the dot is found out: its yes counts for nobody, and groups end."""
        script = self.script(eod=("!default", ["!later 5 554 5.7.1 spam"], "!default"))
        found = self.deliver({}, {}, {}, {}, script=script, then=self.script(), dialogue=self.dialogue)
        self.assertEqual(found, ["sent 2.0.0", "deferred 4.5.0", "sent 2.0.0", "sent 2.0.0"])
        self.assertEqual(self.grouped, [1, 0])
        doubtful = self.world.settled[1][0]
        self.assertTrue(doubtful.in_doubt)
        self.assertEqual(
            doubtful.reason,
            "host mx-a.example[192.0.2.1] answered out of order, it seems (250 2.1.0 Ok) while sending end of data "
            "-- message may be sent more than once",
        )

    def test_a_dot_without_an_answer(self) -> None:
        """Nor does a yes to MAIL count for a dot that is never answered."""
        script = self.script(eod=("!default", [], "!default"))
        found = self.deliver({}, {}, {}, script=script, then=self.script(), dialogue=self.dialogue)
        self.assertEqual(found, ["sent 2.0.0", "deferred 4.5.0", "sent 2.0.0"])

    def test_refusal_from_a_stranger(self) -> None:
        """The no to the first group that a server gets may be one to MAIL: it bounces nothing."""
        script = self.script(eod=("!default", "554 5.7.1 spam", "!default"))
        found = self.deliver({}, {}, {}, script=script, then=self.script(), dialogue=self.dialogue)
        self.assertEqual(found, ["sent 2.0.0", "deferred 4.5.0", "sent 2.0.0"])

    def test_refusal_from_who_is_known(self) -> None:
        """A server that has answered a group in order is believed its no, in later sessions too."""
        eod = ("!default", "!default", "554 5.7.1 spam", "!default")
        found = self.deliver({}, {}, {}, {}, script=self.script(eod=eod), dialogue=self.dialogue)
        self.assertEqual((found, self.grouped), (["sent 2.0.0"] * 2 + ["bounced 5.7.1", "sent 2.0.0"], [2]))

    def test_lost_at_the_first_group(self) -> None:
        """A server that is lost with the first group to it gets no more, for that may have been the cause."""
        script = self.script(eod=("!default", "!close"))
        found = self.deliver({}, {}, {}, {}, script=script, dialogue=self.dialogue)
        self.assertEqual((found[1], self.grouped), ("deferred 4.4.2", [1, 0]))

    def test_lost_later(self) -> None:
        """One that is lost later gets groups again: it has had enough, or the network has."""
        script = self.script(eod=("!default", "!default", "!close"))
        found = self.deliver(*[{}] * 6, script=script, dialogue=self.dialogue)
        self.assertEqual((found[2], self.grouped), ("deferred 4.4.2", [2, 1]))
