"""
What delivers in one process, put together from the parameters: queue directory, report services, agent, settlement.

:class:`Delivery` is the part of the whole that takes delivery requests. The service has one; with ``--workers``
every worker has one of its own, made of the same parameters, so that a request is dealt with in the same way wherever
it goes.

Promises: files that are named by parameters (certificates, passwords) are read when it is made; :meth:`Delivery.close`
leaves no connection open.

Does not: take the queue directory over, schedule, or complete messages.
"""

import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Any

from twisted.application.service import IService, MultiService
from twisted.internet.defer import CancelledError
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from smtpclient import memory
from smtpclient.config.parameters import Parameters
from smtpclient.delivery.agent import Agent
from smtpclient.delivery.connector import Connector, ConnectorSettings
from smtpclient.delivery.ledger import Settle
from smtpclient.delivery.login import Logins
from smtpclient.delivery.means import Means, WalkSettings
from smtpclient.delivery.places import Places
from smtpclient.delivery.pool import Pool, PoolSettings
from smtpclient.delivery.reachability import Reachability
from smtpclient.delivery.security import Security
from smtpclient.delivery.settlement import Conclude, Settlement
from smtpclient.dns.exchangers import ExchangerLookup, ExchangerSettings
from smtpclient.dns.native import NativeLookup
from smtpclient.dns.own_addresses import OwnAddresses
from smtpclient.dns.resolver import Resolver
from smtpclient.interfaces import IBounceService, IDeferService, IResolver, ITraceService
from smtpclient.mail import shortage
from smtpclient.mail.envelope import Envelope
from smtpclient.mail.outcome import Peer
from smtpclient.mail.request import DeliveryRequest, DeliveryResult
from smtpclient.observe.maillog import MailLog
from smtpclient.observe.outcomes import Outcomes
from smtpclient.observe.peers import PeerPatterns
from smtpclient.queue.files import Files
from smtpclient.queue.record import CorruptQueueFile
from smtpclient.queue.small_files import ROOM
from smtpclient.queue.spool import Spool
from smtpclient.report import providers
from smtpclient.report.notification import Submit
from smtpclient.report.postmaster import PostmasterNotices
from smtpclient.report.providers import Surroundings
from smtpclient.report.settings import ReportSettings
from smtpclient.smtp.settings import DialogueSettings
from smtpclient.smtp.status_filter import StatusFilter

if TYPE_CHECKING:
    from smtpclient.delivery.domain_tls import DomainTls

_THREADS = 8


class NoDomainTls:
    """In place of ``DomainTls`` where nobody wants to know what domains say: there is nothing to do."""

    def start(self) -> None:
        """Deliveries begin."""

    async def close(self) -> None:
        """Nothing is under way."""

    def chores(self, submit: Callable[[str, Sequence[str], bytes], Awaitable[object]]) -> IService:
        """There are none."""
        return MultiService()


class Delivery:
    """
    Delivers the requests of one process.

    :param reactor: connections, datagrams, time, threads.
    :param submit: queues a report of our own; returns its queue id once it is on disk.
    :param outcomes: who is told of settled outcomes.
    :param conclude: see :class:`smtpclient.delivery.settlement.Settlement`.
    :param bounce: a service, or ``NAME[:ARGUMENTS]`` of one (see ``smtpclient.report.providers``).
    :param defer: the same for deferrals.
    :param trace: the same for successes.
    :param resolver: where names are looked up; None: the servers of ``dns_servers``.
    :param files: every file operation of the queue; None: the real ones, with threads of our own.
    :param random: shuffles exchangers, makes ids; None: the system's.
    :param room: see :class:`smtpclient.queue.spool.Spool`; where others send what is read here, there need be none.
    :raises ValueError: when a service that is named does not exist, or a parameter makes no sense here.
    """

    def __init__(
        self,
        parameters: Parameters,
        *,
        reactor: Any,
        maillog: MailLog,
        submit: Submit,
        outcomes: Outcomes,
        conclude: Conclude,
        bounce: IBounceService | str = "queue",
        defer: IDeferService | str = "queue",
        trace: ITraceService | str = "queue",
        resolver: IResolver | None = None,
        files: Files | None = None,
        random: Random | None = None,
        room: int = ROOM,
    ) -> None:
        self._parameters = parameters
        self._reactor = reactor
        self._maillog = maillog
        self.random = random or SystemRandom()
        self._threads = ThreadPool(0, _THREADS, "smtpclient")
        self._has_threads = files is None
        self.files = files or Files(reactor, self._threads)
        self.spool = self._new_spool(room, beside_postfix="postfix" in (bounce, defer, trace))
        self.reports = self._new_reports(bounce, defer, trace, submit)
        self._notices = PostmasterNotices(
            ReportSettings.from_parameters(parameters), submit, maillog, reactor, self.random
        )
        self.agent = self._new_agent(resolver)
        self.settlement = Settlement(
            self.spool.mark_done,
            *self.reports,
            maillog,
            outcomes,
            soft_bounce=parameters.boolean("soft_bounce"),
            conclude=conclude,
        )

    # -- what is made of the parameters ---------------------------------------------------------------------------

    def _new_spool(self, room: int, *, beside_postfix: bool) -> Spool:
        parameters = self._parameters
        return Spool(
            parameters.text("queue_directory"),
            self.files,
            self._reactor,
            self._maillog,
            hash_names=parameters.words("hash_queue_names"),
            hash_depth=parameters.integer("hash_queue_depth"),
            long_ids=parameters.boolean("enable_long_queue_ids"),
            minimum_free=parameters.size("queue_minfree"),
            warn_after=parameters.seconds("delay_warning_time"),
            room=room,
            beside_postfix=beside_postfix,
        )

    def _new_reports(
        self,
        bounce: IBounceService | str,
        defer: IDeferService | str,
        trace: ITraceService | str,
        submit: Submit,
    ) -> tuple[IBounceService, IDeferService, ITraceService]:
        surroundings = Surroundings(
            self._parameters,
            self.spool,
            self.files,
            self._reactor,
            self._maillog,
            submit,
            self._reactor,
            self.random,
        )

        def service(kind: str, wanted: Any) -> Any:
            return providers.provider(kind, wanted, surroundings) if isinstance(wanted, str) else wanted

        return service("bounce", bounce), service("defer", defer), service("trace", trace)

    def _new_agent(self, resolver: IResolver | None) -> Agent:
        parameters, reactor = self._parameters, self._reactor
        native = NativeLookup(reactor, self._threads)
        if resolver is None:
            resolver = Resolver.for_servers(
                reactor, self.random, parameters.words("dns_servers"), parameters.seconds("dns_timeout")
            )
        own = OwnAddresses(
            parameters.words("inet_interfaces"),
            parameters.words("proxy_interfaces"),
            reactor.seconds,
            native,
            warn=self._warn,
        )

        def lookup(settings: ExchangerSettings) -> ExchangerLookup:
            return ExchangerLookup(resolver, settings, self.random, native, own, self._warn)

        domains = self._new_domains(resolver)
        self.domains = domains or NoDomainTls()
        hosts = lookup(ExchangerSettings.from_parameters(parameters))
        means = self._new_means(parameters, resolver, hosts, domains)
        parameters = parameters.as_lmtp()
        # At an LMTP server's port our own address means no loop.
        hosts = lookup(ExchangerSettings.from_parameters(parameters, frozenset()))
        lmtp = self._new_means(parameters, resolver, hosts)
        sockets = dataclasses.replace(
            ConnectorSettings.from_parameters(parameters), directory=parameters.text("queue_directory")
        )
        lmtp = dataclasses.replace(
            lmtp,
            settings=dataclasses.replace(lmtp.settings, lmtp=True, own_name=parameters.text("myhostname")),
            dialogue=lmtp.dialogue.as_lmtp(assume_final=parameters.boolean("lmtp_assume_final")),
            connector=Connector(reactor, reactor, sockets, self._warn),
        )
        return Agent(dataclasses.replace(means, lmtp=lmtp))

    def _new_domains(self, resolver: IResolver) -> "DomainTls | None":
        """What domains say about TLS; None: nobody wants to know."""
        parameters = self._parameters
        if parameters.text("smtp_mta_sts") == "none" and not parameters.boolean("smtp_tls_reporting"):
            return None
        # It talks to web servers; what that takes is a quarter of all that would be imported.
        from smtpclient.delivery.domain_tls import DomainTls  # noqa: PLC0415

        return DomainTls(parameters, resolver, self.files, self._reactor, self.random, self._maillog)

    def _new_means(
        self,
        parameters: Parameters,
        resolver: IResolver,
        lookup: ExchangerLookup,
        domains: "DomainTls | None" = None,
    ) -> Means:
        reactor = self._reactor
        filters = parameters.tables("smtp_delivery_status_filter")
        return Means(
            WalkSettings.from_parameters(parameters),
            DialogueSettings.from_parameters(parameters, self._maillog),
            lookup,
            Connector(reactor, reactor, ConnectorSettings.from_parameters(parameters), self._warn),
            Pool(PoolSettings.from_parameters(parameters), reactor, Places.from_parameters(parameters)),
            reactor,
            self._maillog,
            PeerPatterns(parameters.words("debug_peer_list")),
            self._notify,
            # Files of TLS are read here: later there may be other rights, and another root.
            Security.from_parameters(parameters, resolver, reactor.seconds, self._maillog, domains),
            Logins.from_parameters(parameters, reactor, self._maillog, self.random, self._in_thread),
            parameters.integer("debug_peer_level"),
            transcripts=not {"protocol", "policy"}.isdisjoint(parameters.words("notify_classes")),
            status_filter=StatusFilter(filters, self._maillog) if filters else None,
            reachability=Reachability(parameters.seconds("smtp_slow_address_time_limit")),
            stagger=parameters.seconds("smtp_connect_stagger_time"),
        )

    def _warn(self, sentence: str) -> None:
        self._maillog.warning("smtp", sentence)

    async def _in_thread(self, respond: Callable[[bytes], bytes], challenge: bytes) -> bytes:
        """Compute what may take long where it holds up nobody."""
        response: bytes = await deferToThreadPool(self._reactor, self._threads, respond, challenge)
        return response

    # -- the way of a request -------------------------------------------------------------------------------------

    async def deliver(self, request: DeliveryRequest, settle: Settle | None = None) -> DeliveryResult:
        """
        Try to deliver; every recipient has its outcome settled when this returns.

        :param settle: settles outcomes in place of :attr:`settlement`, or beside it; None: that does.
        :raises Exception: what settling or reading the content raises; the postmaster is told, if he wants to be.
        """
        try:
            return await self.agent.deliver(request, settle or self.settlement.settle)
        except (CancelledError, CorruptQueueFile):
            raise
        except Exception as why:
            what = f"{type(why).__name__}: {why}"
            await self._notify("resource" if shortage.is_one(why) else "software", (), None, request.envelope, what)
            raise

    async def _notify(
        self, error_class: str, transcript: Sequence[str], peer: Peer | None, envelope: Envelope, reason: str
    ) -> None:
        """Tell the postmaster, if errors of this class are wanted."""
        await self._notices.error(error_class, transcript, peer, envelope.queue_id, reason, envelope.sender)

    # -- its life -------------------------------------------------------------------------------------------------

    def start_threads(self) -> None:
        """Begin to do in threads what blocks."""
        if self._has_threads:
            self._threads.start()

    def begin(self) -> None:
        """The queue directory is ours: deliveries are about to be made, and leave traces there."""
        memory.keep_what_is_freed()
        self.domains.start()

    async def close(self) -> None:
        """Say goodbye on all parked sessions, and give back what the report services hold open."""
        await self.agent.close()
        await self.domains.close()
        for service in self.reports:
            await providers.close(service)

    def stop_threads(self) -> None:
        """End the threads; what they are at is done when this returns."""
        if self._has_threads:
            self._threads.stop()
