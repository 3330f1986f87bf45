"""
One question to the name servers, until one of them gives an answer that can be believed.

A round asks the servers one after the other; what one does not answer in time, or answers with SERVFAIL, REFUSED,
FORMERR, NOTIMP, nonsense or an empty referral, goes to the next. Servers that stayed silent are asked once more in
the next round; one that refused is not, for it would refuse again. A truncated answer is fetched over TCP, once,
from the server that gave it.

Promises: :meth:`Engine.ask` always returns, after ``rounds`` times the number of servers times the timeout at most
(the time spent waiting for one of the ``concurrency`` places comes on top); query ids are random, and new for each
try, as is the source port; no more sockets are open than there are places; running out of descriptors is a failed
try like any other. A server that stayed silent is asked last for half a minute, so that one dead server does not
slow every lookup down.

Does not: remember answers, follow aliases, or join equal questions (``smtpclient.dns.resolver``).

Known limits: no EDNS, so that answers over 512 bytes cost a TCP connection.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

from twisted.internet.defer import DeferredSemaphore

from smtpclient.dns import message
from smtpclient.dns.message import MalformedReply, Reply
from smtpclient.dns.servers import NameServer
from smtpclient.dns.transport import NoAnswer, QueryFailed, QueryTransport

_ANSWERS = (message.NO_ERROR, message.NAME_ERROR)
_SILENT_FOR = 30.0


class Finding(NamedTuple):
    """
    What became of a question.

    :param reply: the answer: NOERROR or NXDOMAIN; None when no server gave one.
    :param secure: the server that gave it has validated it, and may be believed.
    :param detail: which server said what, for the operator.
    """

    reply: Reply | None
    secure: bool
    detail: str


class Engine:
    """
    Asks.

    :param transport: the way to the servers.
    :param servers: those to ask, in order; called for each question.
    :param seconds: the clock's reading.
    :param random: where query ids come from; unpredictable, outside of tests.
    :param timeout: how long one server has for one try, seconds.
    :param rounds: how often a silent server is tried.
    :param concurrency: questions under way at once, and so sockets open.
    """

    def __init__(
        self,
        transport: QueryTransport,
        servers: Callable[[], Sequence[NameServer]],
        seconds: Callable[[], float],
        random: Random,
        timeout: float = 5.0,
        rounds: int = 2,
        concurrency: int = 500,
    ) -> None:
        self._transport = transport
        self._servers = servers
        self._seconds = seconds
        self._random = random
        self._timeout = timeout
        self._rounds = rounds
        self._places = DeferredSemaphore(concurrency)
        self._silent: dict[NameServer, float] = {}

    async def ask(self, name: str, record_type: int) -> Finding:
        """
        Put one question.

        :param name: as :func:`smtpclient.dns.name.to_ascii` returns it.
        """
        await self._places.acquire()
        try:
            return await self._ask_servers(name, record_type)
        finally:
            self._places.release()

    async def _ask_servers(self, name: str, record_type: int) -> Finding:
        complaints = []
        servers = self._in_order()
        for _ in range(self._rounds):
            silent = []
            for server in servers:
                try:
                    reply = await self._try(server, name, record_type)
                except NoAnswer as failed:
                    silent.append(server)
                    self._silent[server] = self._seconds()
                    complaints.append(f"{server}: {failed}")
                except (QueryFailed, MalformedReply) as failed:
                    complaints.append(f"{server}: {failed}")
                else:
                    self._silent.pop(server, None)
                    return Finding(reply, reply.authentic and server.trusted, f"{server}: {reply.rcode_name}")
            servers = silent
        return Finding(None, False, "; ".join(dict.fromkeys(complaints)) or "no name server is configured")

    async def _try(self, server: NameServer, name: str, record_type: int) -> Reply:
        """
        One server, once.

        :raises QueryFailed: when it gave no answer to this question.
        :raises MalformedReply: when what it gave cannot be read.
        """
        query = message.encode_query(self._random.getrandbits(16), name, record_type)
        reply = message.read_reply(await self._transport.datagram(server, query, self._timeout))
        if reply.truncated:
            reply = message.read_reply(await self._transport.stream(server, query, self._timeout))
            if reply.truncated:
                raise MalformedReply("truncated answer over TCP")
        if reply.rcode not in _ANSWERS:
            raise QueryFailed(reply.rcode_name)
        if reply.lame:
            raise QueryFailed("neither knows the domain nor asks others")
        return reply

    def _in_order(self) -> list[NameServer]:
        """The servers as configured, with those that were silent a moment ago behind the others."""
        if not self._silent:
            return list(self._servers())
        now = self._seconds()
        self._silent = {server: since for server, since in self._silent.items() if 0 <= now - since < _SILENT_FOR}
        return sorted(self._servers(), key=self._silent.__contains__)
