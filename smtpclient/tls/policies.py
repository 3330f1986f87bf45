"""
Which policy a server gets, and which source won.

First what is asked for the next hop (:meth:`Policies.requirement`): an entry of ``smtp_tls_policy_maps``, else the
parameters. Then, for each server, sources are asked in order, DANE first; the first that has a policy for it wins.
Where none has, the level decides as it stands, and ``dane`` is ``may``.

A further source (MTA-STS) goes behind DANE in the list: DANE wins over it (RFC 8461 section 2).

What a message itself asks (RFC 8689) changes that: ``TLS-Required: No`` leaves the domain's own policies out, DANE and
MTA-STS, and what the operator asks for stays; REQUIRETLS adds that every server must show who it is, and that somebody
vouches for the list on which it stands: DNSSEC, MTA-STS, or the operator.

Promises: the same functions serve delivery and whoever wants to know beforehand what delivery will do; nothing is
remembered here.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from smtpclient.dns.exchangers import Exchanger, Exchangers
from smtpclient.interfaces import IResolver
from smtpclient.mail.envelope import TlsWish
from smtpclient.tls import policy_map
from smtpclient.tls.credentials import Credentials
from smtpclient.tls.dane import DaneSource
from smtpclient.tls.level import Level
from smtpclient.tls.policy import FROM_HEADER, FROM_LEVEL, FROM_REQUIRETLS, PolicyProblem, Requirement, TlsPolicy
from smtpclient.tls.settings import TlsSettings

WRAPPER_NEEDS_TLS = 'smtp_tls_wrappermode requires "smtp_tls_security_level = encrypt" (or stronger)'


NO_WISH = TlsWish(0)


class PolicySource(Protocol):
    """Whoever may have a policy for a server."""

    async def policy(self, requirement: Requirement, hosts: Exchangers, exchanger: Exchanger) -> TlsPolicy | None:
        """
        What this source says about one server; None when it says nothing.

        :raises PolicyProblem: when the server must not be contacted now.
        """


class Policies:
    """
    Decides.

    :param sources: in the order in which they win.
    :param warn: takes a sentence for the operator.
    """

    def __init__(
        self,
        settings: TlsSettings,
        credentials: Credentials,
        sources: Sequence[PolicySource],
        warn: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._credentials = credentials
        self._sources = tuple(sources)
        self._warn = warn
        self._usual = Requirement(settings.level, FROM_LEVEL)  # it is asked for with every message

    @classmethod
    def from_settings(
        cls,
        settings: TlsSettings,
        credentials: Credentials,
        resolver: IResolver,
        warn: Callable[[str], None],
        further: Sequence[PolicySource] = (),
    ) -> "Policies":
        """
        What the parameters ask for.

        :param further: sources behind DANE.
        """
        return cls(settings, credentials, (DaneSource(resolver, settings, warn), *further), warn)

    def requirement(self, next_hop: str, wish: TlsWish = NO_WISH) -> Requirement:
        """
        What is asked for a next hop, as it is written.

        :param wish: what the message asks.
        :raises PolicyProblem: when its entry in the policy maps cannot be read.
        """
        tables = self._settings.policy_maps
        found = policy_map.find(tables, next_hop, self._warn) if tables else None
        requirement = found if found is not None else self._usual
        return _with_wish(requirement, wish) if wish else requirement

    async def policy(self, requirement: Requirement, hosts: Exchangers, exchanger: Exchanger) -> TlsPolicy:
        """
        The policy of one server.

        :raises PolicyProblem: when it must not be contacted now.
        """
        policy = await self._from_sources(requirement, hosts, exchanger)
        if policy is None:
            level = Level.MAY if requirement.level.is_dane else requirement.level
            host = hosts.destination.host
            policy = self._settings.policy(requirement, level, host, exchanger.host, self._credentials.anchors)
        if requirement.verified:
            policy = self._verified(requirement, policy, hosts, exchanger)
        if self._settings.wrapper and not policy.level.required:
            raise PolicyProblem("server unavailable or unable to receive mail", WRAPPER_NEEDS_TLS, "4.3.0")
        return policy

    def _verified(
        self, requirement: Requirement, policy: TlsPolicy, hosts: Exchangers, exchanger: Exchanger
    ) -> TlsPolicy:
        """
        A policy under which REQUIRETLS is met (RFC 8689 section 4.2.1).

        :raises PolicyProblem: when there can be none.
        """
        if policy.level.authenticates and not policy.half:
            return policy
        name = hosts.destination.host
        if policy.level is Level.NONE:
            raise PolicyProblem(f"REQUIRETLS is required, and TLS is not used for {name}", "", "5.7.10")
        if hosts.from_mx and not hosts.secure:
            words = f"REQUIRETLS is required, and nobody vouches for the mail exchangers of {name}"
            raise PolicyProblem(words, "", "5.7.10")
        verify = requirement._replace(match=(exchanger.host,))
        made = self._settings.policy(verify, Level.VERIFY, name, exchanger.host, self._credentials.anchors)
        return replace(made, source=FROM_REQUIRETLS)

    async def _from_sources(
        self, requirement: Requirement, hosts: Exchangers, exchanger: Exchanger
    ) -> TlsPolicy | None:
        if requirement.source == FROM_HEADER:
            return None
        for source in self._sources:
            policy = await source.policy(requirement, hosts, exchanger)
            if policy is not None:
                return policy
        return None

    def default_policies(self) -> tuple[TlsPolicy, ...]:
        """The policies whose contexts most servers will need, for loading them early."""
        found = []
        for level in {self._settings.level, Level.MAY, Level.ENCRYPT}:
            try:
                found.append(self._settings.policy(Requirement(level), level, "", "", self._credentials.anchors))
            except PolicyProblem:
                continue
        return tuple(found)


def _with_wish(requirement: Requirement, wish: TlsWish) -> Requirement:
    """What is asked for a next hop and by a message."""
    if wish & TlsWish.REQUIRED:
        return requirement._replace(verified=True)
    level = Level.MAY if requirement.level.is_dane else requirement.level
    return requirement._replace(level=level, source=FROM_HEADER)
