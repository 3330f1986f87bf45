"""
MTA-STS as a source of policies: what the policy of a next hop means for one of its servers.

The policy domain is the next hop's, a smarthost's too (RFC 8461 section 3.4); an address literal has none. MTA-STS is
asked where the operator leaves the decision to the domain: at the levels ``may``, ``encrypt`` and ``dane`` of
``smtp_tls_security_level``, and for entries of ``smtp_tls_policy_maps`` with the level ``dane``. DANE is asked first;
where it has a policy for a server, MTA-STS has none (RFC 8461 section 2).

=========================  ==========================================  ============================================
server                     ``smtp_mta_sts = enforce``, mode enforce    ``smtp_mta_sts = testing``, or mode testing
=========================  ==========================================  ============================================
not named by the policy    not contacted: the next one is tried        as if there were no policy; reported
named by the policy        its certificate must be valid for the name  as if there were no policy; reported
                           in the MX record; the mail waits where it
                           is not
=========================  ==========================================  ============================================

Promises: mail waits and is tried again, and is never returned at once, where a policy is not met; the record is looked
at again with each attempt (RFC 8461 section 5).
"""

from collections.abc import Callable
from dataclasses import replace

from smtpclient.dns.exchangers import Exchanger, Exchangers
from smtpclient.dns.name import to_ascii
from smtpclient.tls.level import Level
from smtpclient.tls.mta_sts import MtaSts
from smtpclient.tls.policy import FROM_LEVEL, PolicyProblem, Requirement, TlsPolicy
from smtpclient.tls.result_type import ResultType
from smtpclient.tls.session_watch import NOT_NAMED
from smtpclient.tls.settings import TlsSettings
from smtpclient.tls.sts_policy import Mode

FROM_STS = "MTA-STS"


def applies(requirement: Requirement) -> bool:
    """Whether the operator leaves room for a policy of the domain's own."""
    if requirement.source == FROM_LEVEL:
        return requirement.level in (Level.MAY, Level.ENCRYPT, Level.DANE)
    return requirement.level is Level.DANE


def policy_domain(hosts: Exchangers) -> str:
    """The domain whose policy counts; empty when there is none."""
    if hosts.destination.literal or hosts.destination.path:
        return ""
    try:
        return to_ascii(hosts.destination.host)
    except ValueError:
        return ""


class StsSource:
    """
    Policies from MTA-STS.

    :param enforce: ``smtp_mta_sts = enforce``; else failures are only reported.
    :param warn: takes a sentence for the operator.
    """

    def __init__(self, sts: MtaSts, settings: TlsSettings, warn: Callable[[str], None], *, enforce: bool) -> None:
        self._sts = sts
        self._settings = settings
        self._warn = warn
        self._enforce = enforce

    async def policy(self, requirement: Requirement, hosts: Exchangers, exchanger: Exchanger) -> TlsPolicy | None:
        """
        What MTA-STS says about one server; None when it says nothing, or nothing that counts.

        :raises PolicyProblem: when the server must not be contacted.
        """
        domain = policy_domain(hosts)
        if not domain or not applies(requirement):
            return None
        policy = await self._sts.find(domain)
        if policy is None:
            return None
        if not policy.allows(exchanger.host):
            words = f"host {exchanger.host} is not named by the MTA-STS policy of {domain}"
            if policy.mode is Mode.ENFORCE and self._enforce:
                raise PolicyProblem(words, result=ResultType.VALIDATION_FAILURE, code=NOT_NAMED)
            self._warn(f"{words}, which is only tested")
            return None
        if policy.mode is not Mode.ENFORCE or not self._enforce:
            return None
        verify = requirement._replace(match=(exchanger.host,), servername="hostname", anchor_files=())
        made = self._settings.policy(verify, Level.VERIFY, domain, exchanger.host)
        return replace(made, source=FROM_STS, anchors=())
