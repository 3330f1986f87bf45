"""
From a request of Postfix's queue manager to the answer: the file is held, the mail delivered, its recipients settled.

============================================ ======================================================================
what happens                                 what becomes of it
============================================ ======================================================================
every recipient is sent or failed            marked, "done"
somebody is deferred                         recorded with defer(8), "not done"
the next hop as a whole is of no use         the same, with the reason: less mail is sent there for a while
the content cannot be read                   recipients fail (5.3.0), the file is marked as damaged, "not done"
the file is not there, or cannot be locked   nothing, "not done"
a fault of our own                           recipients are deferred (4.3.0), "not done"
cancelled, for it takes too long             recipients without an outcome are deferred (4.4.2), "not done"
============================================ ======================================================================

Promises: there is an answer, whatever happens; "done" only when every recipient has been settled for good, for the
queue manager forgets them then.

Does not: speak with the queue manager (``smtpclient.postfix.transport``), complete or remove messages.
"""

from collections.abc import Sequence
from functools import partial

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from smtpclient.delivery.assembly import Delivery
from smtpclient.delivery.settlement import Settlement
from smtpclient.mail.envelope import Recipient
from smtpclient.mail.outcome import Delays, Disposition, Outcome, SiteFailure
from smtpclient.mail.request import DeliveryRequest
from smtpclient.observe.maillog import MailLog
from smtpclient.postfix.queue_message import QueueMessage, Unavailable
from smtpclient.postfix.request import Flags, Request, encode_answer
from smtpclient.queue.files import Files
from smtpclient.queue.folders import Folders
from smtpclient.queue.record import CorruptQueueFile

NOT_DONE = encode_answer(False)

_MANY = 1 << 20

_TOO_LONG = "the delivery was interrupted: it took too long, or the mail system was reloaded"


class _Account:
    """What one request has come to, also where it comes to no end."""

    def __init__(self, settlement: Settlement) -> None:
        self._settlement = settlement
        self._decided: set[int] = set()
        self.settled: list[Outcome] = []

    async def settle(self, request: DeliveryRequest, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
        """Have outcomes settled; their recipients are no longer left from now on."""
        self._decided.update(id(outcome.recipient) for outcome in outcomes)
        settled = await self._settlement.settle(request, outcomes)
        self.settled += settled
        return settled

    async def settle_rest(
        self, request: DeliveryRequest, disposition: Disposition, status: str, reason: str, now: float
    ) -> bool:
        """The same end for all who are left; whether it came to that, for all of them."""
        delays = Delays(max(request.activated - request.envelope.arrival, 0.0), max(now - request.activated, 0.0))
        left: list[Recipient] = [each for each in request.recipients if id(each) not in self._decided]
        rest = [Outcome(recipient, disposition, status, reason, delays=delays) for recipient in left]
        settled = await self.settle(request, rest) if rest else ()
        return len(settled) == len(left) and all(outcome.disposition is disposition for outcome in settled)

    def is_done(self, request: DeliveryRequest) -> bool:
        """Whether the queue manager can forget all recipients."""
        over = [outcome for outcome in self.settled if _is_over(request, outcome)]
        return len(over) == len(request.recipients)


def _is_over(request: DeliveryRequest, outcome: Outcome) -> bool:
    """Whether a recipient need not be tried again; a probe is not, whatever the answer was."""
    return outcome.disposition is not Disposition.DEFERRED or request.envelope.is_probe


def _backlog(flags: Flags) -> int:
    """
    How many sessions are worth keeping for the destination.

    The queue manager says whether more mail waits, and not how much. So every session is kept, as in Postfix, for the
    short time that a session is kept at all; there are no more than there were deliveries at once.
    """
    return _MANY if flags & Flags.KEEP else 0


class Deliveries:
    """
    Deals with requests.

    :param transport: ``smtp`` or ``lmtp``.
    """

    _log = Logger()

    def __init__(
        self,
        delivery: Delivery,
        files: Files,
        folders: Folders,
        clock: IReactorTime,
        maillog: MailLog,
        transport: str,
    ) -> None:
        self._delivery = delivery
        self._files = files
        self._folders = folders
        self._clock = clock
        self._maillog = maillog
        self._transport = transport

    async def answer(self, request: Request) -> bytes:
        """Deliver; what the queue manager is to be told."""
        queue_id = request.envelope.queue_id
        try:
            with QueueMessage(self._files, self._folders, request.queue, queue_id) as message:
                return await self._deliver(request, message)
        except Unavailable as why:
            self._maillog.warning(self._transport, f"{why}; the message is left as it is", queue_id)
        except Exception:
            self._log.failure("{queue_id}: a request came to no end", queue_id=queue_id)
        return NOT_DONE

    async def _deliver(self, asked: Request, message: QueueMessage) -> bytes:
        """Deliver, and settle what a delivery that came to no end has left."""
        envelope = asked.envelope
        request = DeliveryRequest(
            envelope,
            asked.recipients,
            self._transport,
            asked.next_hop,
            self._delivery.spool.content(envelope, asked.queue),
            asked.activated,
            partial(_backlog, asked.flags),
        )
        account = _Account(self._delivery.settlement)
        site_failure: SiteFailure | None = None
        try:
            result = await self._delivery.deliver(request, account.settle)
        except CorruptQueueFile as why:
            await self._damaged(request, account, message, why)
            return NOT_DONE
        except CancelledError:
            await self._defer_rest(request, account, "4.4.2", _TOO_LONG)
        except Exception as why:
            self._log.failure("{queue_id}: delivery failed", queue_id=envelope.queue_id)
            words = (
                f"mail system error: {type(why).__name__}: {why}" if isinstance(why, OSError) else "mail system error"
            )
            await self._defer_rest(request, account, "4.3.0", words)
        else:
            site_failure = result.site_failure
        return encode_answer(account.is_done(request), site_failure)

    async def _damaged(
        self, request: DeliveryRequest, account: _Account, message: QueueMessage, why: CorruptQueueFile
    ) -> None:
        """The message cannot be read, and never will: its sender hears of it, and the file is kept for the operator."""
        self._maillog.warning(self._transport, str(why), request.envelope.queue_id)
        words = "unreadable mail queue entry"
        if await account.settle_rest(request, Disposition.BOUNCED, "5.3.0", words, self._clock.seconds()):
            try:
                message.mark_damaged()
            except OSError as error:
                self._maillog.warning(self._transport, f"cannot mark it as damaged: {error}", request.envelope.queue_id)

    async def _defer_rest(self, request: DeliveryRequest, account: _Account, status: str, reason: str) -> None:
        await account.settle_rest(request, Disposition.DEFERRED, status, reason, self._clock.seconds())
