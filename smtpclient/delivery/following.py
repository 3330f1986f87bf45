"""
Messages that follow each other in one session without a pause.

Behind the end of one message goes the envelope of the next, in one group (RFC 2920 section 3.1: a new transaction may
begin where the content of the last one ends). The server then has MAIL, RCPT and DATA at hand when it has answered the
dot; a round trip a message is spared, and half of the segments.

The message in front owns the session until it is settled. The one behind it (:class:`Turn`) waits for that with its
lines sent and its replies unread; what becomes of it, and by what rules, is no different from any other message that
goes over a session which stands.

Promises: the next message only begins so while nothing else could be done with the session, that is to say where its
destination has as many deliveries under way as it may have; no connection more is made for it.

Does not: believe a server that refuses MAIL behind another message. Some do so because they did not expect it there.
The message is sent in a session of its own then, and the server (:class:`Unfollowed`) gets no further groups.

Known limits: it is for servers that answer in order (``smtp_pipeline_messages``). One that leaves out its reply to the
dot, or answers MAIL before it, would be misunderstood: its yes to MAIL would count for the message in front. What was
learnt of servers is forgotten when the process ends. Nothing follows in LMTP, or by BDAT, where a message takes one
round trip anyway, or in a session whose dialogue is recorded.
"""

from collections import OrderedDict

from twisted.internet.defer import Deferred

_MOST = 1000  # servers that are remembered


class Turn:
    """
    The place behind a message in its session.

    :ivar lines: what the message there says first; it goes out with the end of the one in front.
    :ivar is_taken: somebody waits there.
    """

    __slots__ = ("_over", "is_taken", "lines")

    def __init__(self) -> None:
        self.lines = b""
        self.is_taken = False
        self._over: Deferred[None] = Deferred()

    async def wait(self, lines: bytes) -> None:
        """Have these lines sent, and return when the message in front is over."""
        self.lines = lines
        self.is_taken = True
        await self._over

    def come(self) -> None:
        """The message in front is over."""
        if not self._over.called:
            self._over.callback(None)


class Unfollowed:
    """The servers, by address, that want one message to be over before the next one begins."""

    def __init__(self) -> None:
        self._addresses: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, address: object) -> bool:
        return address in self._addresses

    def note(self, address: str, uses: int, said: str) -> None:
        """
        A message came to nothing behind another one: remember the server, unless it has only had enough messages.

        :param uses: how many messages the session has carried, this one included.
        :param said: the server's answer to MAIL; empty: the connection has ended.
        """
        has_had_enough = said.startswith("421") if said else uses > 2
        if has_had_enough:
            return
        self._addresses[address] = None
        if len(self._addresses) > _MOST:
            self._addresses.popitem(last=False)
