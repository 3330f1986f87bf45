"""
The seams: what may be replaced without touching the rest.

An interface stands here only where two real implementations meet. Services are found by name through
``twisted.plugin`` (see ``smtpclient.report.providers``) or passed to ``Outbound``.

The rule of all report services: **record first, then mark, then notify**. ``append`` returns when the record is
on disk; only then is a recipient marked done. A service that raises costs nothing: the recipient stays queued.
"""

from collections.abc import Callable, Collection

from zope.interface import Attribute, Interface

from smtpclient.dns.answer import Answer
from smtpclient.mail.envelope import Envelope
from smtpclient.mail.lines import Lines
from smtpclient.mail.outcome import Outcome


class IContentReader(Interface):
    """One reading of a message's content, front to back."""

    async def next_block() -> bytes:
        """
        The next bytes of the content, or nothing at its end.

        Lines end in LF; a block may end anywhere; the last line has its LF even where the sender left it out.

        :raises CorruptQueueFile: when the records cannot be read.
        :raises OSError: when the file cannot be read.
        """

    def close() -> None:
        """Give back the file; more calls do no harm."""


class ILineReader(IContentReader):
    """A reading that can also give whole lines as they stand on the wire; either way may be used, not both."""

    at_end = Attribute("Nothing will come any more; where that is not known yet, false.")

    async def next_lines() -> Lines | bytes:
        """
        The next lines, or nothing at the end; as text, as :meth:`next_block` would give it, where the content is not
        so simple.

        :raises CorruptQueueFile: when the records cannot be read.
        :raises OSError: when the file cannot be read.
        """


class IMessageContent(Interface):
    """The content of a queued message; may be read several times, and by several readers at once."""

    def open() -> IContentReader:
        """
        Start reading at the first line of the header.

        :raises OSError: when the file cannot be opened.
        """


class IBounceService(Interface):
    """Failed recipients: what is recorded of them, and the report that the sender gets."""

    async def append(envelope: Envelope, outcome: Outcome) -> None:
        """
        Record one failed recipient durably.

        :param outcome: one whose disposition is ``BOUNCED``.
        :raises Exception: any; the recipient is then deferred.
        """

    async def flush(envelope: Envelope, content: IMessageContent) -> None:
        """
        Every recipient has been tried: send the report of those recorded, if any, and forget the record.

        :param content: the message's content, to be returned with the report.
        :raises Exception: any; the message is then kept and this is called again after the next attempt.
        """


class IDeferService(Interface):
    """Deferred recipients: why they wait, the delay warning, and the report when the message expires."""

    async def append(envelope: Envelope, outcome: Outcome) -> None:
        """Record why one recipient has to wait; for the operator, so a failure is only logged."""

    async def warn(envelope: Envelope, content: IMessageContent) -> None:
        """Tell the sender that the recorded recipients are delayed; keep the record."""

    async def flush(envelope: Envelope, content: IMessageContent) -> None:
        """The message has expired: report the recorded recipients as failed and forget the record."""

    async def forget(queue_id: str) -> None:
        """A new attempt begins: earlier reasons no longer hold."""


class ITraceService(Interface):
    """Success reports: what is recorded of recipients whose sender asked for them (NOTIFY=SUCCESS)."""

    async def append(envelope: Envelope, outcome: Outcome) -> None:
        """Record one delivered recipient."""

    async def flush(envelope: Envelope, content: IMessageContent) -> None:
        """Send the report of those recorded, if any, and forget the record."""


class IRetractingService(Interface):
    """
    A bounce or trace service that can take back what it has recorded; one that cannot need not provide this.

    Where a process dies between a record and the mark in the queue file, the recipient is tried again, and may meet
    another fate. What was recorded first must not be reported then.
    """

    async def retract(queue_id: str, waiting: Callable[[], Collection[int]]) -> None:
        """
        A new attempt begins: forget what is on record of recipients that are still to be delivered.

        :param waiting: tells where their records stand in the queue file; asked only where something is on record.
        :raises Exception: any; it is only logged.
        """


class IReportServiceMaker(Interface):
    """
    A plugin: makes one kind of report service.

    Provide it together with :class:`twisted.plugin.IPlugin` from a module in ``twisted/plugins/``.
    """

    kind = Attribute("``bounce``, ``defer`` or ``trace``.")
    name = Attribute("The word that the option and :class:`Outbound` take.")

    def make(arguments: str, surroundings: object) -> object:
        """
        Make the service.

        :param arguments: what stood behind ``NAME:`` in the option, or nothing.
        :param surroundings: a :class:`smtpclient.report.providers.Surroundings`.
        :raises ValueError: when the arguments make no sense; the text is shown to the operator.
        """


class IResolver(Interface):
    """
    Typed DNS lookups. Real: ``smtpclient.dns.resolver.Resolver``; simulated worlds bring their own.

    Every answer is an :class:`smtpclient.dns.answer.Answer`; failures are values there, not exceptions.
    """

    async def lookup(name: str, record_type: int) -> Answer:
        """
        Look up one name, following CNAMEs.

        :param name: a domain name, without trailing dot, any case, U-labels or A-labels.
        :param record_type: a type number of RFC 1035 and its successors.
        """
