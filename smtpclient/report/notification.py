"""
Who is told of failed, delayed and delivered recipients; the reports are made and queued here.

What decides is the sender of the message that is reported on:

ordinary
    The sender gets a report, from the null sender. ``bounce`` in ``notify_classes`` adds a copy of the header to
    ``bounce_notice_recipient``; for a delay, ``delay`` one to ``delay_notice_recipient``.
null, or none that mail could be sent to
    A failure goes to ``2bounce_notice_recipient`` if ``notify_classes`` has ``2bounce`` or ``bounce``, else to nobody;
    a delay to ``delay_notice_recipient`` if it has ``delay``, else to nobody.
the double-bounce address
    Nobody; of a failure the log says so.

Mail to the postmaster has the sender ``double_bounce_sender``, reports have the null sender: no report is ever made
about a report, and none about that, so mail cannot go round (RFC 5321 section 6.1, RFC 3464 section 2).

Promises: when a method returns, the report is queued durably, so that its record may be forgotten; what the sender
asked for with NOTIFY and RET (RFC 3461) is honoured; a copy for the postmaster that cannot be queued is logged and
costs nothing else, since trying again would tell the sender twice; a message that cannot be read is reported on
without being returned, unless it is only memory or file descriptors that are short.

Does not: keep the record (``smtpclient.report.journal``).
"""

import errno
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from smtpclient.interfaces import IMessageContent
from smtpclient.mail import address as addresses
from smtpclient.mail.envelope import Envelope, NewMessage, Notify, Return
from smtpclient.observe.maillog import MailLog
from smtpclient.report.delivery_status import Report, assemble, status_blocks, text_blocks
from smtpclient.report.entry import Entry
from smtpclient.report.original import Original, read_original
from smtpclient.report.report_text import LOGGED, Kind
from smtpclient.report.settings import ReportSettings

Submit = Callable[[NewMessage], Awaitable[str]]
"""Queues a message; returns its queue id once it is on disk."""

PROCESS = "bounce"
"""In whose name reports are logged, as Postfix does it."""

IN_ONE_GO = 100
"""Recipients that are written into a report before others get their turn: a few milliseconds."""

_PASSING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN})
"""Errors that say nothing about the file: the report can wait until they are over."""

_ANYTHING = Notify.SUCCESS | Notify.FAILURE | Notify.DELAY
_ASKED_WITH = {
    Kind.FAILURE: Notify.FAILURE,
    Kind.DELAY: Notify.DELAY,
    Kind.SUCCESS: Notify.SUCCESS,
    Kind.PROBE: _ANYTHING,
}


def _can_be_told(sender: str) -> bool:
    """Whether there is a sender, and one that mail can be sent to: a line break in it would be refused each time."""
    return bool(sender) and addresses.is_safe(sender)


@dataclass(frozen=True, slots=True)
class _Occasion:
    """What there is to report."""

    kind: Kind
    envelope: Envelope
    entries: Sequence[Entry]
    content: IMessageContent


class Notification:
    """
    Makes reports and queues them.

    :param submit: queues a message durably.
    :param clock: what time it is, and turns for others while a long report is made.
    :param random: for boundaries and message ids.
    """

    def __init__(
        self, settings: ReportSettings, submit: Submit, maillog: MailLog, clock: IReactorTime, random: Random
    ) -> None:
        self._settings = settings
        self._submit = submit
        self._maillog = maillog
        self._clock = clock
        self._random = random

    async def failed(self, envelope: Envelope, entries: Sequence[Entry], content: IMessageContent) -> None:
        """
        Nobody will try again to deliver to these recipients: tell whoever is to know.

        :param entries: may be empty; then nobody is told.
        :raises Exception: when the report could not be queued; nothing may be forgotten then.
        """
        settings, occasion = self._settings, _Occasion(Kind.FAILURE, envelope, entries, content)
        if not entries:
            return
        if settings.is_double_bounce(envelope.sender):
            self._maillog.warning(PROCESS, "undeliverable postmaster notification discarded", envelope.queue_id)
        elif _can_be_told(envelope.sender):
            await self._to_sender(occasion, whole=envelope.ret != Return.HEADERS)
            if "bounce" in settings.notify_classes:
                await self._copy(occasion, settings.bounce_notice_recipient)
        elif settings.notify_classes & {"2bounce", "bounce"}:
            await self._to_postmaster(occasion, settings.double_bounce_notice_recipient, whole=True)
        else:
            self._maillog.info(PROCESS, "undeliverable notification discarded", envelope.queue_id)

    async def delayed(self, envelope: Envelope, entries: Sequence[Entry], content: IMessageContent) -> None:
        """
        These recipients are still being tried: warn whoever is to know.

        :param entries: may be empty; then nobody is told.
        :raises Exception: when the warning could not be queued.
        """
        settings, occasion = self._settings, _Occasion(Kind.DELAY, envelope, entries, content)
        if settings.is_double_bounce(envelope.sender):
            return
        if _can_be_told(envelope.sender):
            await self._to_sender(occasion)
        if "delay" in settings.notify_classes:
            await self._copy(occasion, settings.delay_notice_recipient)

    async def delivered(self, envelope: Envelope, entries: Sequence[Entry], content: IMessageContent) -> None:
        """
        These recipients have it, and the sender asked to be told.

        :param entries: may be empty; then nobody is told.
        :raises Exception: when the report could not be queued.
        """
        await self._answer(_Occasion(Kind.SUCCESS, envelope, entries, content))

    async def probed(self, envelope: Envelope, entries: Sequence[Entry], content: IMessageContent) -> None:
        """
        The sender has asked what would become of mail to these recipients.

        :param entries: may be empty; then nobody is told.
        :raises Exception: when the report could not be queued.
        """
        await self._answer(_Occasion(Kind.PROBE, envelope, entries, content))

    async def _answer(self, occasion: _Occasion) -> None:
        """To the sender, who has asked, and to nobody else."""
        sender = occasion.envelope.sender
        if _can_be_told(sender) and not self._settings.is_double_bounce(sender):
            await self._to_sender(occasion)

    async def _to_sender(self, occasion: _Occasion, whole: bool = False) -> None:
        """Report those of whom the sender wants to hear; RET=FULL counts for failures only (RFC 3461, 4.3)."""
        wanted = [entry for entry in occasion.entries if entry.wanted(_ASKED_WITH[occasion.kind])]
        if wanted:
            report = await self._report(occasion, wanted, occasion.envelope.sender, False, whole)
            await self._queue(report, f"sender {LOGGED[occasion.kind]} notification")

    async def _to_postmaster(self, occasion: _Occasion, recipient: str, whole: bool = False) -> None:
        """Report all but those of whom, by the sender's wish, nobody is to hear."""
        wanted = [entry for entry in occasion.entries if entry.wanted(_ANYTHING)]
        if wanted:
            report = await self._report(occasion, wanted, recipient, True, whole)
            await self._queue(report, f"postmaster {LOGGED[occasion.kind]} notification")

    async def _copy(self, occasion: _Occasion, recipient: str) -> None:
        try:
            await self._to_postmaster(occasion, recipient)
        except Exception as failure:
            what = f"postmaster {LOGGED[occasion.kind]} notification to <{recipient}> was not queued: {failure}"
            self._maillog.warning(PROCESS, what, occasion.envelope.queue_id)

    async def _report(
        self, occasion: _Occasion, wanted: Sequence[Entry], recipient: str, to_postmaster: bool, whole: bool
    ) -> Report:
        return Report(
            kind=occasion.kind,
            settings=self._settings,
            envelope=occasion.envelope,
            entries=wanted,
            recipient=recipient,
            to_postmaster=to_postmaster,
            original=await self._original(occasion, whole),
            now=self._clock.seconds(),
        )

    async def _original(self, occasion: _Occasion, whole: bool) -> Original | None:
        try:
            return await read_original(occasion.content, whole, self._settings.bounce_size_limit)
        except Exception as failure:  # a file gone bad must not keep its sender from hearing of it
            if isinstance(failure, OSError) and failure.errno in _PASSING:
                raise
            what = f"the report goes without the message, which cannot be read: {failure}"
            self._maillog.warning(PROCESS, what, occasion.envelope.queue_id)
            return None

    async def _queue(self, report: Report, what: str) -> None:
        text = await self._collect(text_blocks(report))
        status = await self._collect(status_blocks(report))
        queue_id = await self._submit(assemble(report, text, status, self._random))
        self._maillog.info(PROCESS, f"{what}: {queue_id}", report.envelope.queue_id)

    async def _collect(self, blocks: Iterable[bytes]) -> list[bytes]:
        """All the blocks, made little by little: others get their turn in between."""
        collected: list[bytes] = []
        for block in blocks:
            collected.append(block)
            if len(collected) % IN_ONE_GO == 0:
                await deferLater(self._clock, 0)
        return collected
