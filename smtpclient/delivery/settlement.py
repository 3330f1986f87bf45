"""
Settlement: what is done with an outcome. Record first, then mark, then tell.

For each outcome, in this order:

1. record: a failure with the bounce service, a deferral with the defer service, a success with the trace service where
   the sender asked for it. A failure that cannot be recorded becomes a deferral (4.3.0): the sender would never
   hear of it. A deferral or success that cannot be recorded is only logged;
2. log, one line in Postfix's grammar;
3. mark the recipients that are sent or bounced as done in the queue file, or, where whoever keeps the queue knows that
   nothing else is left of the message, have it conclude the message at once;
4. tell subscribers.

What needs no record goes first, so that nothing stands between a server's yes and its mark.

A probe (``sendmail -bv``, verify(8)) asks only whether a recipient is accepted: whatever the answer, it is recorded,
and the recipient is done.

So at any crash every recipient is delivered, or still queued, or recorded for a report. ``soft_bounce`` turns
failures into deferrals before anything else.

Promises: settling ends. A service, a queue file or a subscriber that fails costs a warning, for what a server has
accepted is delivered whatever goes wrong here; a cancellation while a service is asked counts as its failure.
"""

from collections.abc import Callable, Sequence
from itertools import filterfalse

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from smtpclient.interfaces import IBounceService, IDeferService, ITraceService
from smtpclient.mail.address import external
from smtpclient.mail.envelope import Envelope, Notify
from smtpclient.mail.outcome import Disposition, Outcome
from smtpclient.mail.request import DeliveryRequest
from smtpclient.observe.maillog import MailLog
from smtpclient.observe.outcomes import Outcomes

Mark = Callable[[str, Sequence[int]], None]
Conclude = Callable[[str, int], bool]


def _never(_queue_id: str, _delivered: int) -> bool:
    return False


class Settlement:
    """
    Settles the outcomes of one service.

    :param mark: marks the recipients at these offsets of a queue file as done.
    :param process: the name that the log lines carry.
    :param conclude: removes a message, if that many recipients, delivered and not to be reported, were the last that
        it was kept for; whether it did.
    """

    _log = Logger()

    def __init__(
        self,
        mark: Mark,
        bounce: IBounceService,
        defer: IDeferService,
        trace: ITraceService,
        maillog: MailLog,
        subscribers: Outcomes,
        *,
        soft_bounce: bool = False,
        process: str = "smtp",
        conclude: Conclude = _never,
    ) -> None:
        self._mark = mark
        self._conclude = conclude
        self._bounce = bounce
        self._defer = defer
        self._trace = trace
        self._maillog = maillog
        self._subscribers = subscribers
        self._soft_bounce = soft_bounce
        self._process = process

    async def settle(self, request: DeliveryRequest, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
        """
        Record, log, mark and tell; give back what the outcomes have become, not always in the same order.

        A deferral that could not be recorded is not among them: its recipient is still queued, but its message must not
        expire now, for the report would not name it.
        """
        envelope = request.envelope
        wants_record = _always if envelope.is_traced else _wants_record
        to_record = [*filter(wants_record, outcomes)]
        if not to_record:
            self._finish(envelope, outcomes, recorded=False)
            return outcomes
        # A crash while others are recorded must not send again what has been sent.
        settled = [*filterfalse(wants_record, outcomes)]
        self._finish(envelope, settled, recorded=False)
        # All at once: records that arrive while the disk is busy share one trip to it.
        under_way = [Deferred.fromCoroutine(self._record(envelope, outcome)) for outcome in to_record]
        recorded = [await record for record in under_way]
        if envelope.is_probe:
            return self._finish_probe(envelope, recorded)
        self._finish(envelope, [outcome for outcome, _ in recorded], recorded=True)
        return settled + [outcome for outcome, is_recorded in recorded if is_recorded]

    def _finish(self, envelope: Envelope, settled: Sequence[Outcome], *, recorded: bool) -> None:
        """Log, mark and tell what needs no record, or has it."""
        queue_id = envelope.queue_id
        done = []
        for outcome in settled:
            self._maillog.info(self._process, line(outcome), queue_id)
            offset = outcome.recipient.offset
            if offset >= 0 and outcome.disposition is not Disposition.DEFERRED:
                done.append(offset)
        # What is on record is still to be reported, with the content that the queue file holds.
        if done and (recorded or not self._conclude(queue_id, len(done))):
            self._mark_done(envelope, done)
        for outcome in settled:
            self._subscribers.publish(envelope, outcome)

    def _finish_probe(self, envelope: Envelope, recorded: Sequence[tuple[Outcome, bool]]) -> Sequence[Outcome]:
        """Log, mark and tell of who has an answer: a probe is not tried again, so that one is enough."""
        for outcome, _ in recorded:
            word = "deliverable" if outcome.disposition is Disposition.SENT else "undeliverable"
            self._maillog.info(self._process, line(outcome, word), envelope.queue_id)
        answered = [outcome for outcome, is_recorded in recorded if is_recorded]
        offsets = [outcome.recipient.offset for outcome in answered if outcome.recipient.offset >= 0]
        if offsets:
            self._mark_done(envelope, offsets)
        for outcome in answered:
            self._subscribers.publish(envelope, outcome)
        return answered

    async def _record(self, envelope: Envelope, outcome: Outcome) -> tuple[Outcome, bool]:
        """Record one outcome with the service that it is for: what it has become, and whether that is on record."""
        if outcome.disposition is Disposition.SENT:
            is_recorded = await self._try("trace", self._trace, envelope, outcome)
            return outcome, is_recorded or not envelope.is_probe
        if outcome.disposition is Disposition.BOUNCED:
            if self._soft_bounce and not envelope.is_probe:
                outcome = _deferred(outcome, "4" + outcome.status[1:], outcome.reason)
            elif await self._try("bounce", self._bounce, envelope, outcome):
                return outcome, True
            else:
                outcome = _deferred(outcome, "4.3.0", f"bounce service failure; {outcome.reason}")
        return outcome, await self._try("defer", self._defer, envelope, outcome)

    async def _try(
        self,
        name: str,
        service: IBounceService | IDeferService | ITraceService,
        envelope: Envelope,
        outcome: Outcome,
    ) -> bool:
        """Record an outcome; a service that fails costs nothing but a warning."""
        try:
            await service.append(envelope, outcome)
        except Exception as why:
            self._maillog.warning(name, f"cannot record <{outcome.recipient.address}>: {why}", envelope.queue_id)
            if not isinstance(why, OSError):
                self._log.failure("{queue_id}: the {name} service failed", queue_id=envelope.queue_id, name=name)
            return False
        return True

    def _mark_done(self, envelope: Envelope, offsets: Sequence[int]) -> None:
        try:
            self._mark(envelope.queue_id, offsets)
        except FileNotFoundError:
            self._maillog.warning(self._process, "the queue file has vanished before it was marked", envelope.queue_id)
        except Exception as why:
            words = f"cannot mark {len(offsets)} recipients as done: {why}; they may be sent again"
            self._maillog.warning(self._process, words, envelope.queue_id)
            if not isinstance(why, OSError):
                self._log.failure("{queue_id}: marking failed", queue_id=envelope.queue_id)


def _always(_outcome: Outcome) -> bool:
    return True


def _wants_record(outcome: Outcome) -> bool:
    """All but a success that nobody wants to hear of, or that the next server reports (RFC 3461 section 5.2.2)."""
    if outcome.disposition is not Disposition.SENT:
        return True
    # Most recipients have no wish at all, and the flags of an enum are slow to tell.
    wishes = outcome.recipient.notify
    return bool(wishes) and Notify.SUCCESS in wishes and not outcome.relayed_dsn


def _deferred(outcome: Outcome, status: str, reason: str) -> Outcome:
    return outcome._replace(disposition=Disposition.DEFERRED, status=status, reason=reason)


def line(outcome: Outcome, status: str = "") -> str:
    """
    The log line of one recipient, without its queue id.

    :param status: what has become of it; empty: the disposition says.
    """
    recipient, delays, uses = outcome.recipient, outcome.delays, outcome.session_uses
    address, given = recipient.address, recipient.original
    before, queued, connecting, sending = delays
    is_other = given and given != address and given.lower() != address.lower()
    original = f"orig_to=<{external(given)}>, " if is_other else ""
    used = f"conn_use={uses}, " if uses > 1 else ""
    return (
        f"to=<{external(address)}>, {original}relay={outcome.relay}, {used}delay={_seconds(sum(delays))}, "
        f"delays={_seconds(before)}/{_seconds(queued)}/{_seconds(connecting)}/{_seconds(sending)}, "
        f"dsn={outcome.status}, status={status or outcome.disposition} ({outcome.reason})"
    )


# Five numbers a line, and nearly all of them are among these: looked up, they cost less than half.
_HUNDREDTHS = tuple(f"{number / 100:g}" for number in range(100))
_TENTHS = tuple(f"{number / 10:g}" for number in range(100))


def _seconds(value: float) -> str:
    """Two significant digits, down to a hundredth (``delay_logging_resolution_limit = 2``); a half goes up."""
    if value < 0.005:
        return "0"
    if value < 0.995:
        return _HUNDREDTHS[int(value * 100 + 0.5)]
    if value < 9.95:
        return _TENTHS[int(value * 10 + 0.5)]
    return f"{value:.0f}"
