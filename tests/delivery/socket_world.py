"""A delivery agent on real sockets: scripted servers on loopback addresses, the real connector, the real reactor."""

import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from twisted.internet import reactor
from twisted.logger import LogEvent
from twisted.trial.unittest import TestCase

from smtpclient.delivery.agent import Agent
from smtpclient.delivery.connector import Connector, ConnectorSettings
from smtpclient.delivery.destination import Destination
from smtpclient.delivery.means import Means, WalkSettings
from smtpclient.delivery.places import Places
from smtpclient.delivery.pool import Pool, PoolSettings
from smtpclient.dns.exchangers import Exchanger, Exchangers
from smtpclient.mail.outcome import Outcome
from smtpclient.mail.request import DeliveryRequest, DeliveryResult
from smtpclient.observe.maillog import MailLog
from smtpclient.smtp.settings import DialogueSettings
from tests.delivery.memory_network import MemoryLookup
from tests.mail.messages import MemoryContent, envelope, recipients
from tests.smtp.scripted_server import Script, ScriptedServer, ScriptedSession


class SocketWorld:
    """
    One agent and its servers.

    :param servers: name to script, or to a port at 127.0.0.1 where something else listens. They are the exchangers of
        ``example.org``, in this order.
    :param most: connections to one address; 0: no limit.
    :param limits: time limits of the dialogue, and other settings of it.
    """

    def __init__(
        self,
        servers: Mapping[str, Script | int],
        *,
        walk: WalkSettings | None = None,
        connect_timeout: float = 60.0,
        most: int = 0,
        **limits: Any,
    ) -> None:
        self._servers: dict[str, ScriptedServer] = {}
        self.lookup = MemoryLookup()
        self.lines: list[str] = []
        exchangers = []
        for number, (name, script) in enumerate(servers.items(), 1):
            address = "127.0.0.1"
            if isinstance(script, Script):
                address = f"127.0.1.{number}"
                self._servers[name] = ScriptedServer(script, reactor)
                port = self._servers[name].listen(reactor, address)
            else:
                port = script
            exchangers.append(Exchanger(f"mx-{name}.example", address, port, 10 * number))
        self.lookup.sites["example.org"] = Exchangers(Destination("example.org", 25, True, False), tuple(exchangers))
        maillog = MailLog()
        maillog.publisher.addObserver(self._note_line)
        settings = {"skip_quit_response": False, **limits}
        self.means = Means(
            walk or WalkSettings(),
            DialogueSettings("me.example", "me.example", **settings),
            self.lookup,  # type: ignore[arg-type]
            Connector(reactor, reactor, ConnectorSettings(connect_timeout)),
            Pool(PoolSettings(), reactor, Places(most)),
            reactor,
            maillog,
        )
        self.agent = Agent(self.means)

    def sessions(self, name: str) -> list[ScriptedSession]:
        """The connections to a server."""
        return self._servers[name].sessions

    async def deliver(
        self,
        *addresses: str,
        content: Any = None,
        backlog: Callable[[], bool] = lambda: False,
        site: str = "example.org",
        **mail: Any,
    ) -> DeliveryResult:
        """
        Deliver one message, to these recipients or to one.

        :param site: the next hop, with the same exchangers whichever it is.
        """
        self.lookup.sites.setdefault(site, replace(self.lookup.sites["example.org"]))
        now = reactor.seconds()
        whom = recipients(*(addresses or ("u1@example.org",)))
        message = envelope(arrival=now, created=now, **mail)
        request = DeliveryRequest(message, whom, "smtp", site, content or MemoryContent(), now, backlog)
        return await self.agent.deliver(request, _settle)

    async def close(self) -> None:
        """End everything."""
        await self.agent.close()
        for server in self._servers.values():
            await server.close()

    def _note_line(self, event: LogEvent) -> None:
        self.lines.append(event["mail_line"])


async def _settle(request: DeliveryRequest, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
    return outcomes


def silent_port(case: TestCase) -> int:
    """A port at 127.0.0.1 that answers no SYN while a test runs: its queue is full."""
    full, *fillers = (socket.socket() for _ in range(3))
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(full.getsockname())
    for each in (full, *fillers):
        case.addCleanup(each.close)
    port = full.getsockname()[1]
    assert isinstance(port, int)
    return port
