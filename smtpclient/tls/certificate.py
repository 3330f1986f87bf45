"""
What a server has shown in the handshake, and whether that is what its policy asks for.

=============  ===============================================================================================
trust          meaning; the words are those of the log
=============  ===============================================================================================
Anonymous      it showed no certificate
Untrusted      a certificate, and no trusted authority has signed it; or not what the policy asks for
Trusted        a trusted authority has signed it; nobody asked for its name
Verified       it is the one that the policy asks for
=============  ===============================================================================================

:func:`judge` is a pure function: what was presented and a policy in, a :class:`Judgement` out. Its complaint names the
check that failed and the certificate.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509

from smtpclient.tls import chain, fingerprint, names, tlsa
from smtpclient.tls.level import Level
from smtpclient.tls.policy import TlsPolicy
from smtpclient.tls.tlsa import END_ENTITY, TRUST_ANCHOR

_MOST_NAMES = 10


class Trust(enum.Enum):
    """How far a server has shown who it is."""

    ANONYMOUS = "Anonymous"
    UNTRUSTED = "Untrusted"
    TRUSTED = "Trusted"
    VERIFIED = "Verified"


@dataclass(frozen=True, slots=True)
class Presented:
    """
    What came in the handshake.

    :param certificates: the server's own first; empty when there was none.
    :param fault: why no authority of ours vouches for the first one; empty when one does.
    """

    certificates: tuple[x509.Certificate, ...] = ()
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """
    Whether a server may have the mail.

    :param complaint: why not, naming the check and the certificate; empty when it may.
    """

    trust: Trust
    complaint: str = ""

    @property
    def accepted(self) -> bool:
        """Whether the policy is met."""
        return not self.complaint


def judge(presented: Presented, policy: TlsPolicy) -> Judgement:
    """Compare what was presented with what the policy asks for."""
    if not presented.certificates:
        complaint = "no certificate was presented that can be read" if policy.level.authenticates else ""
        return Judgement(Trust.ANONYMOUS, complaint)
    if not policy.level.authenticates:
        return Judgement(Trust.UNTRUSTED if presented.fault else Trust.TRUSTED)
    try:
        complaint = _complaint(presented, policy)
    except Exception as why:
        # There is no end to what can stand in a certificate. One that cannot be read is not the right one.
        return Judgement(Trust.UNTRUSTED, f"the certificate cannot be read: {why}")
    if complaint:
        return Judgement(Trust.UNTRUSTED, f"{complaint}: {describe(presented.certificates[0])}")
    return Judgement(Trust.TRUSTED if policy.half else Trust.VERIFIED)


def _complaint(presented: Presented, policy: TlsPolicy) -> str:
    certificates = presented.certificates
    if policy.level is Level.FINGERPRINT:
        if fingerprint.matches(certificates[0], policy.fingerprints, policy.digest):
            return ""
        whole, key = fingerprint.of(certificates[0], policy.digest)
        return f"no fingerprint matches ({policy.digest} certificate {whole}, key {key})"
    if policy.level.is_dane:
        return _dane_complaint(certificates, policy)
    fault = chain.fault_of(certificates, policy.anchors) if policy.anchors else presented.fault
    if fault:
        return f"untrusted: {fault}"
    return _name_complaint(certificates[0], policy.match)


def _dane_complaint(certificates: Sequence[x509.Certificate], policy: TlsPolicy) -> str:
    """RFC 7671 section 5: any record that matches will do; names and dates count for authorities only."""
    usable = tlsa.strongest(policy.tlsa)
    if any(record.usage == END_ENTITY and record.matches(certificates[0]) for record in usable):
        return ""
    anchors = [record for record in usable if record.usage == TRUST_ANCHOR]
    if not anchors:
        return "no matching DANE TLSA records"
    fault = chain.fault_of(certificates, anchors)
    if fault:
        return f"no matching DANE TLSA records: {fault}"
    return _name_complaint(certificates[0], policy.match)


def _name_complaint(certificate: x509.Certificate, patterns: Sequence[str]) -> str:
    if names.first_match(certificate, patterns):
        return ""
    return f"hostname mismatch, expected {' or '.join(patterns)}"


def describe(certificate: x509.Certificate) -> str:
    """A certificate for the operator: subject, names, issuer, dates."""
    try:
        borne = names.names_of(certificate)
        shown = ", ".join(borne[:_MOST_NAMES]) + (", ..." if len(borne) > _MOST_NAMES else "")
        subject = certificate.subject.rfc4514_string() or "nobody"
        issuer = certificate.issuer.rfc4514_string() or "nobody"
        dates = f"{certificate.not_valid_before_utc:%Y-%m-%d} to {certificate.not_valid_after_utc:%Y-%m-%d}"
    except Exception as why:
        return f"a certificate that cannot be read: {why}"
    return f"certificate of {subject} for {shown or 'no name'}, issued by {issuer}, {dates}"
