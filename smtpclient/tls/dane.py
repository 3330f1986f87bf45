"""
DANE for SMTP (RFC 7672): which TLSA records are a server's, and what they mean for its policy.

What the DNS says about a server, and what becomes of it, by level:

==============================================  ===============================  ================================
what is found                                   dane                             dane-only
==============================================  ===============================  ================================
lookups without DNSSEC                          no DANE                          no contact
list of exchangers not vouched for              ``insecure_mx`` decides          no contact
addresses not vouched for, no alias that is     no DANE                          no contact
TLSA lookup fails, or is bogus                  no contact: try later            no contact: try later
no TLSA records, and the DNS is sure of it      no DANE                          no contact
records of usages 0 and 1 only                  TLS required, nothing checked    no contact
records that cannot be compared with            the same                         no certificate will do
others                                          one must match                   one must match
==============================================  ===============================  ================================

"No DANE" leaves the server to the next source of policies, or to the level ``may``.

TLSA records are looked up under the host's name behind its aliases first, then, where the alias itself is vouched for,
under the name in the MX record (RFC 7672 section 2.2.2). That name is the one to ask for in the handshake, too.

Promises: an answer that a resolver on the way could have changed counts for nothing: AD is believed from a resolver on
this machine only, or where ``trust-ad`` in resolv.conf says so.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from smtpclient.dns.answer import Answer, Opaque, Status
from smtpclient.dns.exchangers import Exchanger, Exchangers
from smtpclient.dns.resolver import CNAME, TLSA
from smtpclient.interfaces import IResolver
from smtpclient.tls import names, tlsa
from smtpclient.tls.level import Level
from smtpclient.tls.policy import FROM_DANE, PolicyProblem, Requirement, TlsPolicy
from smtpclient.tls.policy_map import MISCONFIGURED
from smtpclient.tls.result_type import ResultType
from smtpclient.tls.settings import TlsSettings
from smtpclient.tls.tlsa import TlsaRecord


@dataclass(frozen=True, slots=True)
class TlsaFound:
    """
    The TLSA records of a server.

    :param base: the name that they stand under, and that the server has to show.
    :param records: of any usage.
    """

    base: str
    records: tuple[TlsaRecord, ...]


class DaneSource:
    """
    Policies from TLSA records.

    :param warn: takes a sentence for the operator.
    """

    def __init__(self, resolver: IResolver, settings: TlsSettings, warn: Callable[[str], None]) -> None:
        self._resolver = resolver
        self._settings = settings
        self._warn = warn

    async def policy(self, requirement: Requirement, hosts: Exchangers, exchanger: Exchanger) -> TlsPolicy | None:
        """
        What DANE says about one server; None when it says nothing.

        :raises PolicyProblem: when the server must not be contacted now.
        """
        if not requirement.level.is_dane:
            return None
        only = requirement.level is Level.DANE_ONLY
        insecure_mx = hosts.from_mx and not hosts.secure
        problem = self._misfit()
        if problem:
            self._warn(problem)
            return self._without(only, MISCONFIGURED)
        if insecure_mx and (only or self._settings.insecure_mx <= Level.MAY):
            return self._without(only, "non DNSSEC destination")
        found = await self._find(exchanger)
        if found is None or not found.records:
            return self._without(only, "no TLSA records found")
        supported = tuple(record for record in found.records if record.is_supported)
        for record in found.records:
            if not record.is_usable:
                self._warn(f"_{exchanger.port}._tcp.{found.base}: unusable TLSA record: {record}")
        if not supported:
            if only:
                raise PolicyProblem("TLSA records unusable", result=ResultType.TLSA_INVALID)
            return self._at(Level.ENCRYPT, requirement, hosts, exchanger)
        if insecure_mx and self._settings.insecure_mx is Level.ENCRYPT:
            return self._at(Level.ENCRYPT, requirement, hosts, exchanger)
        usable = tlsa.strongest(supported)
        level = requirement.level if usable or only else Level.ENCRYPT
        policy = self._at(level, requirement, hosts, exchanger)
        match = names.expand((found.base, *_domain_names(hosts)), "", "")
        return replace(policy, sni=found.base, tlsa=usable, match=match, half=insecure_mx)

    @staticmethod
    def _without(only: bool, reason: str) -> TlsPolicy | None:
        """There is no DANE for this server."""
        if only:
            raise PolicyProblem(reason, result=ResultType.DANE_REQUIRED)
        return None

    def _misfit(self) -> str:
        """Why DANE cannot work with these settings."""
        if not self._settings.has_dnssec:
            return "DANE needs smtp_dns_support_level = dnssec; mail is sent as if no server had TLSA records"
        if self._settings.mx_errors_ignored:
            return "DANE cannot be used with ignore_mx_lookup_error = yes"
        return ""

    def _at(self, level: Level, requirement: Requirement, hosts: Exchangers, exchanger: Exchanger) -> TlsPolicy:
        policy = self._settings.policy(requirement, level, hosts.destination.host, exchanger.host)
        return replace(policy, source=FROM_DANE)

    async def _find(self, exchanger: Exchanger) -> TlsaFound | None:
        """
        The records of a server, under whichever of its names has some; None when none may be asked for.

        :raises PolicyProblem: when nobody can tell.
        """
        target = exchanger.canonical or exchanger.host
        found = None
        if exchanger.secure or self._settings.force_tlsa:
            found = await self._look_up(target, exchanger)
            if found.records or target == exchanger.host:
                return found
        if target != exchanger.host:
            alias = await self._resolver.lookup(exchanger.host, CNAME)
            if alias.status is Status.RETRY:
                # Whoever can keep this answer back must not be able to switch DANE off with it.
                raise PolicyProblem(f"TLSA lookup error for {exchanger.host}:{exchanger.port}")
            if alias.secure and alias.status is Status.FOUND:
                return await self._look_up(exchanger.host, exchanger)
        return found

    async def _look_up(self, host: str, exchanger: Exchanger) -> TlsaFound:
        name = f"_{exchanger.port}._tcp.{host}"
        answer = await self._resolver.lookup(name, TLSA)
        if answer.status in (Status.RETRY, Status.MALFORMED):
            self._warn(f"DANE TLSA lookup problem: {name}: {answer.detail or answer.status.value}")
            words = f"TLSA lookup error for {exchanger.host}:{exchanger.port}"
            raise PolicyProblem(words, result=ResultType.DNSSEC_INVALID)
        return TlsaFound(host, _records(answer) if answer.secure else ())


def _domain_names(hosts: Exchangers) -> tuple[str, ...]:
    """The names of the destination that a certificate may bear in place of the server's (RFC 7672 section 3.2.2)."""
    if not hosts.from_mx:
        return ()
    alias_is_sure = hosts.secure and hosts.canonical
    return (hosts.canonical, hosts.destination.host) if alias_is_sure else (hosts.destination.host,)


def _records(answer: Answer) -> tuple[TlsaRecord, ...]:
    read = (tlsa.read(record.data) for record in answer.records if isinstance(record, Opaque))
    return tuple(record for record in read if record is not None)
