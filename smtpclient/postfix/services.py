"""
What Postfix's own daemons do for us: bounce(8), under its three names, keeps and sends reports; verify(8) keeps what
probes found out, and flush(8) which mail waits for a domain.

===================  =================================================================================================
``private/bounce``   records failed recipients; sends the report of a message
``private/defer``    records deferred recipients; sends the delay warning, and the report when a message is given up
``private/trace``    records delivered and probed recipients; sends the report of a message
``private/verify``   records whether an address takes mail
``public/flush``     records that a message waits for a domain, so that the domain can ask for it (ETRN, RFC 1985)
===================  =================================================================================================

Promises: when a method returns, the daemon has said that it has done what it was asked; bounce(8) has it on disk then.
Does not: decide which service hears of what (``smtpclient.postfix.reports``).

Known limits: 3.10 has renamed an attribute of the requests for reports. Which name this Postfix wants is found out with
the first report; a Postfix that wants the older name warns then of a malformed request.
"""

import enum
from collections.abc import Collection

from smtpclient.mail.envelope import Envelope, TraceFlags
from smtpclient.postfix.attributes import Pair, WireError, encode
from smtpclient.postfix.call import Caller, Unanswered
from smtpclient.postfix.groups import from_entry, recipient_pairs, status_pairs
from smtpclient.report.entry import Entry, one_line

_REPORTING = "delivery_status_protocol"
_VERIFYING = "address_verification_prrotocol"  # this is how it is spelled on the wire

_FLUSHING = "queue_flush_protocol"
_NOT_ELIGIBLE = 4  # not one of the fast_flush_domains

_WISHES = ("sendopts", "smtputf8")
"""What a message asks of its way: the name since Postfix 3.10, with the wishes for TLS, and the one before."""


class Report(enum.IntEnum):
    """What bounce(8) can be asked for, with its numbers."""

    RECORD = 0
    SEND = 1  # of failed recipients; forgets them
    WARN = 2  # of delayed recipients; keeps them
    TRACE = 5  # of delivered and probed recipients; forgets them


class Verdict(enum.IntEnum):
    """What a probe has found out, with the numbers of verify(8)."""

    DELIVERABLE = 0
    DEFERRED = 1
    UNDELIVERABLE = 2


class Services:
    """
    The daemons of one Postfix instance.

    :param caller: reaches their sockets.
    """

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._wishes: tuple[str, ...] = _WISHES

    async def record(self, service: str, queue_id: str, entry: Entry, flags: TraceFlags) -> None:
        """
        Have one recipient recorded.

        :param service: ``bounce``, ``defer`` or ``trace``.
        :raises Unanswered: when it was not, or nobody knows.
        :raises ValueError: when it cannot be said, as of an address that never was bytes.
        """
        pairs: list[Pair] = [("nrequest", Report.RECORD), ("flags", flags), ("queue_id", queue_id)]
        pairs += recipient_pairs(entry.recipient) + status_pairs(from_entry(entry))
        await self._ask(f"private/{service}", _REPORTING, pairs)

    async def report(self, service: str, report: Report, envelope: Envelope, flags: TraceFlags) -> None:
        """
        Have the sender of an active message told of the recipients recorded.

        :param service: ``bounce``, ``defer`` or ``trace``.
        :raises Unanswered: when it could not be done; what is recorded is kept.
        :raises ValueError: when it cannot be said.
        """
        *further, last = self._wishes
        for name in further:
            try:
                await self._report(service, report, envelope, flags, name)
            except Unanswered:  # in so many words a daemon does not say what it has not understood
                continue
            self._wishes = (name,)
            return
        await self._report(service, report, envelope, flags, last)
        self._wishes = (last,)

    async def verified(self, address: str, verdict: Verdict, reason: str) -> None:
        """
        Tell what a probe has found out about an address.

        :raises Unanswered: when it was not taken.
        :raises ValueError: when it cannot be said.
        """
        pairs: list[Pair] = [
            ("request", "update"),
            ("address", one_line(address)),
            ("recipient_status", verdict),
            ("reason", one_line(reason)),
        ]
        await self._ask("private/verify", _VERIFYING, pairs)

    async def waits(self, domain: str, queue_id: str) -> None:
        """
        Tell that a message waits for a domain; flush(8) keeps that if it does so for this domain.

        :raises Unanswered: when it was not taken.
        :raises ValueError: when it cannot be said.
        """
        pairs: list[Pair] = [("request", "add"), ("site", one_line(domain)), ("queue_id", queue_id)]
        await self._ask("public/flush", _FLUSHING, pairs, (0, _NOT_ELIGIBLE))

    async def _report(self, service: str, report: Report, envelope: Envelope, flags: TraceFlags, name: str) -> None:
        wishes = int(envelope.utf8) | (int(envelope.tls) if name == "sendopts" else 0)
        pairs: list[Pair] = [
            ("nrequest", report),
            ("flags", flags),
            ("queue_name", "active"),
            ("queue_id", envelope.queue_id),
            ("encoding", envelope.encoding),
            (name, wishes),
            ("sender", one_line(envelope.sender)),
            ("envelope_id", one_line(envelope.envelope_id)),
            ("ret_flags", envelope.ret),
        ]
        await self._ask(f"private/{service}", _REPORTING, pairs)

    async def _ask(self, path: str, protocol: str, pairs: list[Pair], good: Collection[int] = (0,)) -> None:
        """Ask; a status that is not good is a no."""
        fields = await self._caller.ask(path, protocol, encode(pairs))
        try:
            status = fields.integer("status")
            fields.end()
        except WireError as why:
            raise Unanswered(f"{path}: {why}") from None
        if status not in good:
            raise Unanswered(f"{path}: it was not done (status {status}); Postfix's log has the reason")
