"""
Probes, the queue's own way: what would have become of the mail is recorded for the one report that is sent.

``sendmail -bv`` asks for it (``TraceFlags.PROBE``). Whether a recipient would have been accepted, refused or deferred,
the answer goes to the same file, that of the trace service, which sends the report when all have been tried.

Promises: an answer is on disk before :meth:`Probes.answered` returns.

Does not: tell anybody of a probe that Postfix's verify(8) has sent; nobody here has asked for it.
"""

from smtpclient.mail.envelope import Envelope, TraceFlags
from smtpclient.mail.outcome import Disposition, Outcome
from smtpclient.report.entry import Entry, from_outcome, via
from smtpclient.report.journal import Journal

KIND = "trace"


class Probes:
    """What the three services do alike."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def answered(self, envelope: Envelope, outcome: Outcome) -> bool:
        """
        Record one recipient's answer durably, if the message is a probe; whether it is.

        :raises OSError: when it could not be recorded; nothing of it remains.
        """
        if entry := answer(envelope, outcome):
            await self._journal.append(KIND, envelope.queue_id, entry)
        return envelope.is_probe


def answer(envelope: Envelope, outcome: Outcome) -> Entry | None:
    """What is to be told of a recipient to who asked; None where nobody has."""
    if not envelope.trace_flags & TraceFlags.PROBE:
        return None
    action = "deliverable" if outcome.disposition is Disposition.SENT else "undeliverable"
    return from_outcome(outcome, action, via(outcome))
