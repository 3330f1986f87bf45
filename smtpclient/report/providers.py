"""
Report services by name: built in, or from somebody's package.

``--bounce-service``, ``--defer-service`` and ``--trace-service`` take ``NAME`` or ``NAME:ARGUMENTS``:

=================== ============================================================================================
``queue``           the queue's own: recorded in the spool, reported to the sender
``log``             a line in the mail log, no reports
``command:PROGRAM`` a program is run for each event, with JSON on its standard input
``url:URL``         JSON is posted to a URL for each event
``postfix``         Postfix's bounce(8), defer(8) and trace(8), running on the same queue directory
=================== ============================================================================================

Another name is looked for among the plugins: objects in the modules of ``twisted/plugins/`` that provide
:class:`~smtpclient.interfaces.IReportServiceMaker`. ``doc/reports.rst`` shows one.

Promises: an unknown name is refused with the names that there are; what a plugin makes is checked against its
interface before mail depends on it; a plugin cannot take a built-in name.

Does not: know every service there is; who composes may pass further makers.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, cast

from twisted.internet.interfaces import IReactorTime
from twisted.plugin import IPlugin, getPlugins
from zope.interface import Interface, implementer
from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyObject

from smtpclient.config.parameters import Parameters
from smtpclient.interfaces import IBounceService, IDeferService, IReportServiceMaker, ITraceService
from smtpclient.observe.maillog import MailLog
from smtpclient.queue.files import Files
from smtpclient.queue.spool import Spool
from smtpclient.report.bounce import QueueBounces
from smtpclient.report.defer import QueueDeferrals
from smtpclient.report.journal import Journal
from smtpclient.report.log import LogListener
from smtpclient.report.notification import Notification, Submit
from smtpclient.report.outside import Listener, OutsideBounces, OutsideDeferrals, OutsideDeliveries
from smtpclient.report.settings import ReportSettings
from smtpclient.report.trace import QueueTraces

KINDS: dict[str, type[Interface]] = {"bounce": IBounceService, "defer": IDeferService, "trace": ITraceService}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """
    What a report service may use.

    :param submit: queues a message; returns its queue id once it is on disk.
    :param reactor: connections, processes, threads.
    """

    parameters: Parameters
    spool: Spool
    files: Files
    clock: IReactorTime
    maillog: MailLog
    submit: Submit
    reactor: Any
    random: Random


@implementer(IPlugin, IReportServiceMaker)
@dataclass(frozen=True, slots=True)
class BuiltIn:
    """
    A maker that needs no plugin file.

    :param build: takes the arguments and the surroundings.
    """

    kind: str
    name: str
    build: Callable[[str, Surroundings], object]

    def make(self, arguments: str, surroundings: object) -> object:
        """
        Make the service.

        :raises ValueError: when the arguments make no sense.
        """
        return self.build(arguments, cast(Surroundings, surroundings))


_QUEUE_SERVICES = {"bounce": QueueBounces, "defer": QueueDeferrals, "trace": QueueTraces}


def _queue(kind: str) -> Callable[[str, Surroundings], object]:
    def build(arguments: str, surroundings: Surroundings) -> object:
        if arguments:
            raise ValueError(f"queue:{arguments}: the service queue takes no arguments; write queue")
        journal = Journal(surroundings.spool, surroundings.files, surroundings.clock)
        notification = Notification(
            ReportSettings.from_parameters(surroundings.parameters),
            surroundings.submit,
            surroundings.maillog,
            surroundings.clock,
            surroundings.random,
        )
        return _QUEUE_SERVICES[kind](journal, notification)

    return build


def _log(arguments: str, surroundings: Surroundings) -> Listener:
    if arguments:
        raise ValueError(f"log:{arguments}: the service log takes no arguments; write log")
    return LogListener(surroundings.maillog)


def _command(arguments: str, surroundings: Surroundings) -> Listener:
    # What it takes to run programs, only for those who want it.
    from smtpclient.report.command import CommandListener  # noqa: PLC0415

    return CommandListener(arguments, surroundings.reactor, surroundings.clock)


def _url(arguments: str, surroundings: Surroundings) -> Listener:
    # The web client, and all that it imports, only for those who want it.
    from smtpclient.report.url import UrlListener  # noqa: PLC0415

    return UrlListener(arguments, surroundings.reactor, surroundings.clock)


def _postfix(kind: str) -> Callable[[str, Surroundings], object]:
    def build(arguments: str, surroundings: Surroundings) -> object:
        # What it takes to speak with Postfix's daemons, only for those who have them.
        from smtpclient.postfix.reports import at_a_queue  # noqa: PLC0415

        if arguments:
            raise ValueError(f"postfix:{arguments}: the service postfix takes no arguments; write postfix")
        spool, clock = surroundings.spool, surroundings.clock
        fast_flush = bool(surroundings.parameters.text("fast_flush_domains"))
        journal = Journal(spool, surroundings.files, clock)
        return at_a_queue(kind, surroundings.reactor, clock, spool.directory, journal, fast_flush)

    return build


def _outside(kind: str, listener: Callable[[str, Surroundings], Listener]) -> Callable[[str, Surroundings], object]:
    def build(arguments: str, surroundings: Surroundings) -> object:
        listening, clock = listener(arguments, surroundings), surroundings.clock
        if kind == "bounce":
            return OutsideBounces(listening, clock)
        if kind == "trace":
            return OutsideDeliveries(listening, clock)
        return OutsideDeferrals(listening, clock, Journal(surroundings.spool, surroundings.files, clock))

    return build


BUILT_IN: tuple[BuiltIn, ...] = tuple(
    maker
    for kind in KINDS
    for maker in (
        BuiltIn(kind, "queue", _queue(kind)),
        BuiltIn(kind, "log", _outside(kind, _log)),
        BuiltIn(kind, "command", _outside(kind, _command)),
        BuiltIn(kind, "url", _outside(kind, _url)),
        BuiltIn(kind, "postfix", _postfix(kind)),
    )
)


def makers(kind: str, further: Sequence[IReportServiceMaker] = ()) -> dict[str, IReportServiceMaker]:
    """
    The makers of one kind of service, by name: built in, given, and found as plugins, in this order of precedence.

    :param kind: ``bounce``, ``defer`` or ``trace``.
    """
    found: dict[str, IReportServiceMaker] = {}
    for maker in _all_makers(further):
        if maker.kind == kind:
            found.setdefault(maker.name, maker)
    return found


def _all_makers(further: Sequence[IReportServiceMaker]) -> Iterator[IReportServiceMaker]:
    yield from BUILT_IN
    yield from further
    # Looking for plugins takes a tenth of the time of a start: not for what stands above.
    yield from getPlugins(IReportServiceMaker)


def provider(kind: str, name: str, surroundings: Surroundings, further: Sequence[IReportServiceMaker] = ()) -> Any:
    """
    Make the service that an option names.

    :param kind: ``bounce``, ``defer`` or ``trace``.
    :param name: ``NAME`` or ``NAME:ARGUMENTS``.
    :param further: makers that are neither built in nor plugins.
    :return: a provider of :class:`IBounceService`, :class:`IDeferService` or :class:`ITraceService`.
    :raises ValueError: when there is no such service, its arguments make no sense, or what its maker made is none; the
        text is for the operator.
    """
    word, _, arguments = name.partition(":")
    maker = next((maker for maker in _all_makers(further) if (maker.kind, maker.name) == (kind, word)), None)
    if maker is None:
        known = ", ".join(sorted(makers(kind, further)))
        raise ValueError(f"there is no {kind} service {word!r}; there are {known}")
    service = maker.make(arguments, surroundings)
    try:
        verifyObject(KINDS[kind], service)
    except Invalid as problem:
        raise ValueError(f"what the plugin {word!r} has made is no {kind} service: {problem}") from None
    return service


async def close(service: object) -> None:
    """Give back what a service holds open, if it has a ``close``; for when the system stops."""
    closing = getattr(service, "close", None)
    if closing is not None:
        await closing()
