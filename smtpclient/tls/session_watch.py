"""
What became of each session's TLS, in the words of TLS reports (RFC 8460 section 4).

Sessions are counted under the policy that they were made for: DANE's, else the MTA-STS policy that is known for the
domain, else none. An MTA-STS policy that is only tested is judged here as if it were enforced: that is what testing is
for. Sessions of messages that do without policies (``TLS-Required: No``) are not counted; reports are such messages.

Known limits: a session that is resumed is not judged again, and counts as the first one did under its level. A
connection that does not come about counts as a failure of kind ``validation-failure``; the registry has no better one.
"""

from collections.abc import Callable

from smtpclient.dns.name import to_address, to_ascii
from smtpclient.mail.outcome import Peer
from smtpclient.tls import names
from smtpclient.tls.certificate import Presented
from smtpclient.tls.level import Level
from smtpclient.tls.policy import FROM_DANE, FROM_HEADER, PolicyProblem, Requirement, TlsPolicy
from smtpclient.tls.report_counts import NO_POLICY, STS, TLSA, ReportedPolicy, SessionFailure
from smtpclient.tls.result_type import ResultType
from smtpclient.tls.session_end import SessionEnd
from smtpclient.tls.sts_policy import StsPolicy

Note = Callable[[str, ReportedPolicy, SessionFailure | None], None]
NOT_NAMED = "mx-not-named-by-policy"


class SessionWatch:
    """
    Says what is to be counted.

    :param note: counts.
    :param known: the MTA-STS policy that is in force for a domain.
    """

    def __init__(self, note: Note, known: Callable[[str], StsPolicy | None] = lambda domain: None) -> None:
        self._note = note
        self._known = known

    def barred(self, next_hop: str, requirement: Requirement, host: str, problem: PolicyProblem) -> None:
        """
        A server was not contacted because of the domain's policy.

        :param next_hop: its name, without brackets and port.
        """
        domain = _domain(next_hop)
        if not domain or requirement.source == FROM_HEADER or problem.result is None:
            return
        sts = self._known(domain) if problem.code == NOT_NAMED else None
        policy = _sts(sts) if sts is not None else ReportedPolicy(TLSA)
        failure = SessionFailure(problem.result, host, information=problem.reason, code=problem.code)
        self._note(domain, policy, failure)

    def ended(self, next_hop: str, policy: TlsPolicy, peer: Peer, end: SessionEnd) -> None:
        """
        A session has its TLS, or will not get it.

        :param next_hop: its name, without brackets and port.
        """
        domain = _domain(next_hop)
        if not domain or policy.level is Level.NONE or policy.source == FROM_HEADER:
            return
        sts = None if policy.source == FROM_DANE else self._known(domain)
        found = _failure(sts, peer.host, end)
        failure = None
        if found is not None:
            result, words, code = found
            failure = SessionFailure(result, peer.host, peer.address, end.local, words, code)
        self._note(domain, reported(policy, sts), failure)


def reported(policy: TlsPolicy, sts: StsPolicy | None) -> ReportedPolicy:
    """A policy as reports have it."""
    if policy.source == FROM_DANE:
        strings = (f"{one.usage} {one.selector} {one.matching} {one.data.hex()}" for one in policy.tlsa)
        return ReportedPolicy(TLSA, tuple(strings))
    return _sts(sts) if sts is not None else ReportedPolicy(NO_POLICY)


def _sts(sts: StsPolicy) -> ReportedPolicy:
    return ReportedPolicy(STS, sts.lines, sts.mx)


def _domain(next_hop: str) -> str:
    """The domain that a next hop stands for; empty when it is none."""
    if to_address(next_hop):
        return ""
    try:
        return to_ascii(next_hop)
    except ValueError:
        return ""


def _failure(sts: StsPolicy | None, host: str, end: SessionEnd) -> tuple[ResultType, str, str] | None:
    """What went wrong: kind, words for people, word for programs."""
    if sts is not None and not sts.allows(host):
        return ResultType.VALIDATION_FAILURE, f"{host} is not named by the policy", NOT_NAMED
    if end.result is not None:
        return end.result, end.words, end.code
    if end.complaint:
        return kind_of(end.complaint), end.complaint, ""
    return None if sts is None or end.presented is None else _fault(end.presented, host)


def _fault(presented: Presented, host: str) -> tuple[ResultType, str, str] | None:
    """What an MTA-STS policy has against what a server has shown (RFC 8461 section 4.2)."""
    if not presented.certificates:
        return ResultType.CERTIFICATE_NOT_TRUSTED, "no certificate was presented", ""
    if presented.fault:
        return kind_of(f"untrusted: {presented.fault}"), presented.fault, ""
    certificate = presented.certificates[0]
    if not names.first_match(certificate, names.expand((host,), "", "")):
        words = f"certificate for {', '.join(names.names_of(certificate)[:5]) or 'no name'}"
        return ResultType.CERTIFICATE_HOST_MISMATCH, words, ""
    return None


def kind_of(complaint: str) -> ResultType:
    """What reports call a complaint of ours about a certificate."""
    if "has expired" in complaint:
        return ResultType.CERTIFICATE_EXPIRED
    if complaint.startswith("hostname mismatch") or ": hostname mismatch" in complaint:
        return ResultType.CERTIFICATE_HOST_MISMATCH
    if complaint.startswith(("untrusted: ", "no certificate was presented")):
        return ResultType.CERTIFICATE_NOT_TRUSTED
    return ResultType.VALIDATION_FAILURE
