"""
Messages that follow each other in one session without a pause.

Behind the end of one message goes the envelope of the next, in one group (RFC 2920 section 3.1: a new transaction may
begin where the content of the last one ends). The server then has MAIL, RCPT and DATA at hand when it has answered the
dot; a round trip a message is spared, and half of the segments.

The message in front owns the session until it is settled. Then the one behind it (:class:`Turn`) begins, with its
lines sent and its replies unread; what becomes of it, and by what rules, is no different from any other message that
goes over a session which stands.

Promises: the next message only begins so while nothing else could be done with the session, that is to say where its
destination has as many deliveries under way as it may have; no connection more is made for it.

Does not: believe a server that refuses MAIL behind another message. Some do so because they did not expect it there.
The message is sent in a session of its own then, and the server (:class:`Habits`) gets no further groups.

Known limits: a server that answers MAIL before the dot in front of it, or leaves out its answer to the dot, must not be
misunderstood. By default nothing follows therefore but where a yes to a message does not look like a yes to an envelope
(``smtpclient.smtp.order``); with ``smtp_pipeline_messages = yes`` the operator vouches for all servers. What was learnt
of servers is forgotten when the process ends. Nothing follows in LMTP, or by BDAT, where a message takes one round trip
anyway, or in a session whose dialogue is recorded.
"""

from collections import OrderedDict
from collections.abc import Callable

from smtpclient.smtp.transaction import Transaction

_MOST = 1000  # servers that are remembered


class Turn:
    """
    The place behind a message in its session, and who has it.

    :param is_orderly: the server is known to answer in order, so that its no to the message in front is believed.
    :ivar transaction: of the message there, whose lines go out with the end of the one in front; None: there is none,
        or it has begun.
    """

    __slots__ = ("_begin", "is_orderly", "transaction")

    def __init__(self, *, is_orderly: bool) -> None:
        self.is_orderly = is_orderly
        self.transaction: Transaction | None = None
        self._begin: Callable[[], None] | None = None

    def take(self, transaction: Transaction, begin: Callable[[], None]) -> None:
        """
        A message has this place.

        :param begin: begins its delivery.
        """
        self.transaction = transaction
        self._begin = begin

    def come(self) -> None:
        """The message in front is over."""
        begin, self._begin = self._begin, None
        if begin is not None:
            begin()

    def begun(self) -> Transaction:
        """The transaction of the message here, for who carries it."""
        transaction, self.transaction = self.transaction, None
        assert transaction is not None
        return transaction


class Habits:
    """
    How servers, by address, take messages that follow each other.

    :ivar orderly: they have answered the end of a message, and then the next one's envelope behind it.
    :ivar refused: they want one message to be over before the next one begins, as far as can be told.
    """

    def __init__(self) -> None:
        self.orderly: OrderedDict[str, None] = OrderedDict()
        self.refused: OrderedDict[str, None] = OrderedDict()

    def went_well(self, address: str) -> None:
        """A group was answered to its end."""
        if address not in self.orderly:
            _remember(self.orderly, address)

    def came_to_nothing(self, address: str, said: str = "") -> None:
        """
        A group was answered badly: that tells of the server, unless it has only had enough messages.

        :param said: the server's answer to MAIL behind a message; empty: the session has ended before it.
        """
        has_had_enough = said.startswith("421") if said else address in self.orderly
        if not has_had_enough:
            _remember(self.refused, address)


def _remember(servers: OrderedDict[str, None], address: str) -> None:
    servers[address] = None
    if len(servers) > _MOST:
        servers.popitem(last=False)
