"""
What domains themselves say about TLS with them, put together from the parameters: MTA-STS (RFC 8461), TLS reporting
(RFC 8460).

:class:`DomainTls` is one for each process that delivers. Work for one process of a service only, keeping policies up to
date and sending reports, is in :meth:`DomainTls.chores`.

Promises: with ``smtp_mta_sts = none`` and ``smtp_tls_reporting = no`` nothing is looked up, counted or written; before
:meth:`DomainTls.start` nothing is counted or written either, so that who only asks leaves no traces.
"""

from collections.abc import Sequence
from random import Random
from typing import Any

from OpenSSL import crypto
from twisted.application.service import IService, MultiService

from smtpclient.config.parameters import Parameters
from smtpclient.interfaces import IResolver
from smtpclient.observe.maillog import MailLog
from smtpclient.queue.files import Files
from smtpclient.tls.chores import Chore
from smtpclient.tls.credentials import Credentials
from smtpclient.tls.https_client import HttpsClient
from smtpclient.tls.mta_sts import MtaSts
from smtpclient.tls.policies import PolicySource
from smtpclient.tls.report_counts import STS, ReportedPolicy, SessionFailure
from smtpclient.tls.report_sender import ReportSender, Submit
from smtpclient.tls.report_settings import ReportingSettings
from smtpclient.tls.result_type import ResultType
from smtpclient.tls.session_tally import FOLDER, TICK, SessionTally
from smtpclient.tls.session_watch import SessionWatch
from smtpclient.tls.settings import TlsSettings
from smtpclient.tls.state_file import StateFolder
from smtpclient.tls.sts_cache import StsCache
from smtpclient.tls.sts_fetch import HTTPS_PORT, PolicyFetch
from smtpclient.tls.sts_policy import StsPolicy
from smtpclient.tls.sts_source import StsSource
from smtpclient.tls.tls_report import TlsReporting

REFRESH = 1800.0
"""Seconds between two looks for policies that have to be fetched anew."""


class DomainTls:
    """
    What domains ask for.

    :param reactor: connections, time.
    :param https_port: where policies are fetched.
    :ivar watch: is told how sessions end; None: nobody wants to know.
    """

    def __init__(
        self,
        parameters: Parameters,
        resolver: IResolver,
        files: Files,
        reactor: Any,
        random: Random,
        maillog: MailLog,
        https_port: int = HTTPS_PORT,
    ) -> None:
        self._parameters = parameters
        self._resolver = resolver
        self._reactor = reactor
        self._random = random
        self._maillog = maillog
        self._credentials: Credentials | None = None
        directory = parameters.text("queue_directory")
        self._client = HttpsClient(
            reactor,
            reactor,
            resolver,
            self._authorities,
            parameters.text("smtp_bind_address"),
            parameters.text("smtp_bind_address6"),
            bind_enforce=parameters.boolean("smtp_bind_address_enforce"),
        )
        self._counts = StateFolder(files, f"{directory}/{FOLDER}")
        self._tally: SessionTally | None = None
        self.watch: SessionWatch | None = None
        if parameters.boolean("smtp_tls_reporting"):
            self._tally = SessionTally(resolver, self._counts, reactor, self._warn)
            self.watch = SessionWatch(self._tally.note, self._known)
        self._sts: MtaSts | None = None
        self._cache = StsCache(files, directory, self._warn)
        self._cache.is_writable = False
        if parameters.text("smtp_mta_sts") != "none":
            fetch = PolicyFetch(self._client, https_port)
            self._sts = MtaSts(resolver, fetch, self._cache, reactor, maillog, self._not_fetched)

    def sources(self, settings: TlsSettings, credentials: Credentials) -> Sequence[PolicySource]:
        """The sources of policies behind DANE; authorities are taken from the credentials from now on."""
        self._credentials = credentials
        if self._sts is None and self._tally is None:
            return ()
        if not credentials.current().authorities:
            name = "smtp_mta_sts" if self._sts is not None else "smtp_tls_reporting"
            self._warn(
                f"{name} needs authorities that are trusted; there are none: set smtp_tls_CAfile or smtp_tls_CApath"
            )
        if self._sts is None:
            return ()
        enforce = self._parameters.text("smtp_mta_sts") == "enforce"
        return (StsSource(self._sts, settings, self._warn, enforce=enforce),)

    def start(self) -> None:
        """Deliveries begin: count, and keep on disk what is learnt."""
        self._cache.is_writable = True
        if self._tally is not None:
            self._tally.start()

    async def close(self) -> None:
        """End what is under way, and write what was counted."""
        if self._sts is not None:
            self._sts.close()
        if self._tally is not None:
            await self._tally.close()

    def chores(self, submit: Submit) -> IService:
        """
        The work that only one process of a service does.

        :param submit: queues a report that goes by mail: sender, recipients, content.
        """
        chores = MultiService()
        if self._sts is not None:
            Chore(self._sts.refresh, REFRESH, self._reactor, self._cache.sweep).setServiceParent(chores)
        if self._tally is not None:
            reporting = TlsReporting(
                ReportingSettings.from_parameters(self._parameters),
                self._resolver,
                ReportSender(self._client, submit, self._reactor.seconds, self._maillog),
                self._counts,
                self._reactor,
                self._random,
                self._maillog,
            )
            Chore(reporting.work, TICK, self._reactor, reporting.sweep).setServiceParent(chores)
        return chores

    def _warn(self, sentence: str) -> None:
        self._maillog.warning("smtp", sentence)

    def _authorities(self) -> Sequence[crypto.X509]:
        return self._credentials.current().authorities if self._credentials is not None else ()

    def _known(self, domain: str) -> StsPolicy | None:
        return self._sts.known(domain) if self._sts is not None else None

    def _not_fetched(self, domain: str, result: ResultType, words: str) -> None:
        """A domain's policy could not be had: that is a failure to report, though no session failed."""
        if self._tally is not None:
            self._tally.note(domain, ReportedPolicy(STS), SessionFailure(result, information=words))
