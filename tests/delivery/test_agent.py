"""The agent: a request in, settled outcomes out."""

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.delivery.agent import Agent
from tests.delivery.memory_network import World, short
from tests.smtp.scripted_server import PIPELINING, Script


class Agents(SynchronousTestCase):
    """Requests of every kind."""

    def test_dialogue(self) -> None:
        """The transports smtp and relay are an attempt over the network."""
        for transport in ("smtp", "relay"):
            world = World({"a": Script()})
            result = world.run(Agent(world.means).deliver(world.request(transport=transport), world.settle))
            self.assertEqual((short(result), world.attempts, len(world.settled)), (["sent 2.0.0"], "a", 1))

    def test_refusal(self) -> None:
        """The transports without a server are settled at once, and contact nobody."""
        wanted = {
            "error": "bounced 5.7.1",
            "retry": "deferred 4.0.0",
            "discard": "sent 2.0.0",
        }
        found = {}
        for transport in wanted:
            world = World({"a": Script()})
            request = world.request(transport=transport, next_hop="5.7.1 no")
            result = world.run(Agent(world.means).deliver(request, world.settle))
            found[transport] = short(result)[0]
            self.assertEqual((world.attempts, len(world.settled)), ("", 1))
        self.assertEqual(found, wanted)

    def test_many_at_once(self) -> None:
        """Any number of requests are under way at the same time."""
        world = World({"a": Script({"eod": ["!sleep 10", "!default"]}, PIPELINING)})
        agent = Agent(world.means)
        began = world.clock.seconds()
        running = [
            Deferred.fromCoroutine(agent.deliver(world.request(f"u{number}@x"), world.settle)) for number in range(50)
        ]
        world.flush()
        world.clock.advance(10.0)
        world.flush()
        self.assertEqual({short(self.successResultOf(deferred))[0] for deferred in running}, {"sent 2.0.0"})
        self.assertEqual((len(world.connector.attempts), world.clock.seconds() - began), (50, 10.0))

    def test_close(self) -> None:
        """The end of the agent is the end of the sessions that wait."""
        world = World({"a": Script()})
        agent = Agent(world.means)
        world.run(agent.deliver(world.request(backlog=lambda: True), world.settle))
        world.run(agent.close())
        self.assertEqual(world.verbs("a"), "EHLO MAIL RCPT DATA . QUIT")
        self.assertEqual(world.clock.getDelayedCalls(), [])
