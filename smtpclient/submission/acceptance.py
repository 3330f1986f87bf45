"""
Taking responsibility: one message from a server's hands into the queue, or an SMTP reply that says why not.

An :class:`Acceptor` is what a server or a provider of this package is given: the way into the queue, the operator's
rules, the clock. Whatever goes wrong comes out as :class:`Refused`, which is a reply: 5xx only where the message itself
is refused and would be again, 4xx for everything that is our trouble, so that the client keeps the message and tries
again.

Promises: :meth:`Acceptor.accept` returns only when the queue has said that the message is durable.

Does not: tell clients what our trouble is; that is in the log.
"""

import errno
import re
from collections.abc import Awaitable, Callable, Sequence
from random import Random, SystemRandom

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from smtpclient.mail import address
from smtpclient.mail.envelope import NewMessage
from smtpclient.observe.maillog import printable
from smtpclient.queue.intake import IntakeError, Rules, Submission, prepare
from smtpclient.submission.access import Client

Enqueue = Callable[[NewMessage], Awaitable[object]]

_NO_NAME = re.compile(r"[^A-Za-z0-9.:\[\]_-]")
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_CODES = {"5.1.3": 553, "5.1.7": 553, "5.3.4": 552}  # the others are 554, RFC 5321 section 4.2.3


class Refused(Exception):
    """
    A message that is not taken: an SMTP reply.

    :param text: ASCII, one line, with an enhanced status code in front.
    """

    def __init__(self, code: int, text: str) -> None:
        text = printable(text).encode("ascii", "replace").decode("ascii")
        super().__init__(f"{code} {text}")
        self.code = code
        self.text = text


class Acceptor:
    """
    Makes messages ready and puts them into a queue.

    :param enqueue: takes a message, for instance ``Outbound.enqueue``; it returns when the message is durable, with its
        queue id or an object that has one as ``queue_id``. Whatever it raises, the message is not queued.
    :param random: makes Message-IDs unique; None: the operating system's.
    """

    _log = Logger()

    def __init__(self, enqueue: Enqueue, rules: Rules, clock: IReactorTime, random: Random | None = None) -> None:
        self.rules = rules
        self._enqueue = enqueue
        self._clock = clock
        self._random = random or SystemRandom()

    async def accept(self, submission: Submission) -> str:
        """
        Queue a message.

        :return: its queue id, or nothing when the queue does not tell.
        :raises Refused: when it is not queued.
        """
        try:
            message = prepare(submission, self.rules, self.now(), self._random)
            receipt = await self._enqueue(message)
        except Exception as error:
            raise self.refusal(error) from error
        return receipt if isinstance(receipt, str) else str(getattr(receipt, "queue_id", ""))

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._clock.seconds()

    def trace(self, helo: str, client: Client, protocol: str, recipients: Sequence[str] = ()) -> str:
        """
        What a Received field says of a message from a client, without its name and date (RFC 5321 section 4.4).

        :param helo: as the client said it; what could break the field or deceive a reader of it becomes ``?``.
        :param recipients: the envelope's; only a single one is named, for several may be blind copies.
        """
        said = _NO_NAME.sub("?", helo[:255]) or "unknown"
        where = f"IPv6:{client.address}" if ":" in client.address else client.address or "local"
        by = f"by {self.rules.myhostname} (smtpclient) with {protocol}"
        whom = f"\n\tfor <{address.external(recipients[0])}>" if len(recipients) == 1 else ""
        return f"from {said} ([{where}])\n\t{by}{whom}"

    def refusal(self, error: Exception) -> Refused:
        """The reply for an error; one that is not the message's fault is logged."""
        if isinstance(error, Refused):
            return error
        if isinstance(error, IntakeError):
            return Refused(_CODES.get(error.status, 554), f"{error.status} Error: {error.text}")
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            self._log.error("no room for a new message: {error}", error=error)
            return Refused(452, "4.3.1 Insufficient system storage")
        self._log.failure("cannot queue a message")
        return Refused(451, "4.3.0 Error: queue file write error")
