"""
Transport security as an attempt sees it: what is asked of a next hop, what of a server, and when clear text will do.

When TLS gets in the way at the level ``may``, the same address is tried again without it, once, in the same attempt:
when the handshake fails, and when the connection is lost inside TLS. That is done only for messages that had waited
for ``minimal_backoff_time`` when they became active, as the trouble may pass. At every other level mail waits.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from smtpclient.config.parameters import Parameters
from smtpclient.dns.exchangers import Exchanger, Exchangers
from smtpclient.interfaces import IResolver
from smtpclient.mail.envelope import TlsWish
from smtpclient.mail.outcome import Disposition, Peer
from smtpclient.mail.request import DeliveryRequest
from smtpclient.observe.maillog import MailLog
from smtpclient.smtp import verdict
from smtpclient.smtp.verdict import Verdict
from smtpclient.tls.context import Contexts
from smtpclient.tls.credentials import CredentialFiles, Credentials
from smtpclient.tls.handshake import Securing, TlsMeans
from smtpclient.tls.level import Level
from smtpclient.tls.policies import NO_WISH, Policies
from smtpclient.tls.policy import CLEAR, FROM_FALLBACK, PolicyProblem, Requirement, TlsPolicy
from smtpclient.tls.session_cache import SessionCache
from smtpclient.tls.settings import TlsSettings

if TYPE_CHECKING:
    from smtpclient.delivery.domain_tls import DomainTls

IN_CLEAR = replace(CLEAR, source=FROM_FALLBACK)


class Barred(Exception):
    """A server, or a whole next hop, that must not be contacted now."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.reason)
        self.verdict = verdict


class Security:
    """
    The policies, and the means to meet them.

    :param patience: how old a message must have been when it became active to go in clear text, seconds.
    """

    def __init__(self, policies: Policies, means: TlsMeans, maillog: MailLog, patience: float) -> None:
        self._policies = policies
        self._means = means
        self._maillog = maillog
        self._patience = patience

    @classmethod
    def from_parameters(
        cls,
        parameters: Parameters,
        resolver: IResolver,
        seconds: Callable[[], float],
        maillog: MailLog,
        domains: "DomainTls | None" = None,
    ) -> "Security":
        """
        What the parameters ask for. All files are read now.

        :param domains: what domains ask for; None: only DANE.
        """

        def warn(sentence: str) -> None:
            maillog.warning("smtp", sentence)

        settings = TlsSettings.from_parameters(parameters)
        for problem in settings.problems:
            warn(f"{problem}; mail that needs TLS waits until this is repaired")
        credentials = Credentials(CredentialFiles.from_parameters(parameters), seconds, warn)
        further = domains.sources(settings, credentials) if domains is not None else ()
        policies = Policies.from_settings(settings, credentials, resolver, warn, further)
        contexts = Contexts(credentials, parameters.integer("smtp_tls_scert_verifydepth"))
        for policy in policies.default_policies():
            contexts.prepare(policy)
        has_cache = bool(parameters.text("smtp_tls_session_cache_database"))
        lifetime = parameters.seconds("smtp_tls_session_cache_timeout") if has_cache else 0.0
        means = TlsMeans(
            contexts,
            SessionCache(seconds, lifetime),
            maillog,
            settings.timeout,
            settings.wrapper,
            settings.note_offer,
            settings.loglevel,
            domains.watch if domains is not None else None,
        )
        return cls(policies, means, maillog, parameters.seconds("minimal_backoff_time"))

    def requirement(self, next_hop: str, wish: TlsWish = NO_WISH) -> Requirement:
        """
        What is asked for a next hop, as it is written.

        :param wish: what the message asks.
        :raises Barred: when nobody can tell.
        """
        try:
            return self._policies.requirement(next_hop, wish)
        except PolicyProblem as problem:
            raise self._barred(problem, next_hop) from None

    async def policy(
        self, requirement: Requirement, next_hop: str, hosts: Exchangers, exchanger: Exchanger
    ) -> TlsPolicy:
        """
        The policy of one server.

        :raises Barred: when it must not be contacted now.
        """
        try:
            return await self._policies.policy(requirement, hosts, exchanger)
        except PolicyProblem as problem:
            if self._means.watch is not None:
                self._means.watch.barred(hosts.destination.host, requirement, exchanger.host, problem)
            raise self._barred(problem, f"{next_hop}/{exchanger.host}") from None

    def _barred(self, problem: PolicyProblem, whose: str) -> Barred:
        if problem.detail:
            self._maillog.warning("smtp", problem.detail)
        self._maillog.warning("smtp", f"TLS policy lookup for {whose}: {problem.reason}")
        if problem.status.startswith("5"):
            return Barred(Verdict(Disposition.BOUNCED, problem.status, problem.reason))
        return Barred(verdict.tls_policy(problem.reason, problem.status))

    def securing(self, policy: TlsPolicy, peer: Peer, queue_id: str, next_hop: str = "") -> Securing:
        """
        TLS with one server, under its policy.

        :param next_hop: the name of the destination that it is a server of; empty: not to be counted.
        """
        return Securing(self._means, policy, peer, queue_id, next_hop)

    def may_go_clear(self, policy: TlsPolicy, request: DeliveryRequest) -> bool:
        """Whether the message may go in clear text when TLS gets in the way."""
        waited = request.activated - request.envelope.arrival
        return policy.level is Level.MAY and waited >= self._patience
