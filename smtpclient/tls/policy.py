"""
What a connection to one server must live up to, as a frozen value; and what an operator has asked for a destination.

A :class:`Requirement` belongs to a next hop: it comes from ``smtp_tls_policy_maps`` or from the ``smtp_tls_``
parameters. A :class:`TlsPolicy` belongs to one server of it: levels that depend on the DNS are decided there, names are
filled in, lists are read. Everything under one policy is interchangeable, so a policy is also the key of what may be
shared: OpenSSL contexts, TLS sessions.

Does not: decide (``smtpclient.tls.policies``).
"""

from dataclasses import dataclass
from typing import NamedTuple

from smtpclient.tls.level import Level
from smtpclient.tls.result_type import ResultType
from smtpclient.tls.tlsa import TlsaRecord

#: Where a policy may come from, as ``source`` names it.
FROM_LEVEL = "smtp_tls_security_level"
FROM_MAP = "smtp_tls_policy_maps"
FROM_DANE = "DANE"
FROM_FALLBACK = "fallback to clear text"
FROM_HEADER = "TLS-Required: No"
FROM_REQUIRETLS = "REQUIRETLS"


class PolicyProblem(Exception):
    """
    The policy of a destination, or of one of its servers, cannot be met: the server is not contacted.

    :ivar reason: the sentence of the deferral.
    :ivar detail: the sentence for the operator; empty when the reason says it all.
    :ivar status: enhanced status code of the deferral; of class 5 where waiting would not help.
    :ivar result: what reports to the domain call it; None where it is none of its business.
    :ivar code: the same for programs, more exactly.
    """

    def __init__(
        self,
        reason: str,
        detail: str = "",
        status: str = "4.7.5",
        *,
        result: ResultType | None = None,
        code: str = "",
    ) -> None:
        super().__init__(detail or reason)
        self.result = result
        self.code = code
        self.reason = reason
        self.detail = detail
        self.status = status


class Requirement(NamedTuple):
    """
    What is asked for one next hop. Where a field is empty, the parameters' default for the level holds.

    It is a part of what sessions are kept under, and so hashed some times for each message: a named tuple.

    :param source: ``FROM_LEVEL``, ``FROM_MAP``, or ``FROM_HEADER``: the message does without the domain's policies.
    :param match: names or fingerprints.
    :param protocols: a list as ``smtpclient.tls.versions`` reads it.
    :param ciphers: a grade.
    :param exclude: ciphers; None: not said.
    :param servername: the name to ask for; None: not said.
    :param anchor_files: files with the only authorities that count.
    :param reuse: a session may carry several messages; None: not said.
    :param verified: the message goes to nobody who has not shown who he is (REQUIRETLS).
    """

    level: Level
    source: str = FROM_LEVEL
    match: tuple[str, ...] = ()
    protocols: str = ""
    ciphers: str = ""
    exclude: tuple[str, ...] | None = None
    servername: str | None = None
    anchor_files: tuple[str, ...] = ()
    reuse: bool | None = None
    verified: bool = False


@dataclass(frozen=True, slots=True)
class TlsPolicy:
    """
    What a connection to one server must live up to.

    :param source: who decided: one of the ``FROM_`` words, or another source's own.
    :param match: the names of which the certificate must bear one; all are spelled out.
    :param fingerprints: digests of which one must be the certificate's or its key's.
    :param digest: the hash function of the fingerprints.
    :param versions: the protocol numbers that may be spoken.
    :param ciphers: OpenSSL's cipher string.
    :param sni: the name to ask for; empty: none.
    :param tlsa: records of which one must match (level ``dane``).
    :param anchors: the only authorities that count, as TLSA records of usage 2; empty: those of the CA files.
    :param half: DANE vouches for the server, but nobody for the list on which it stands.
    :param reuse: a session may carry several messages.
    :param problem: why TLS cannot be begun at all, in words for the operator.
    """

    level: Level
    source: str = FROM_LEVEL
    match: tuple[str, ...] = ()
    fingerprints: tuple[str, ...] = ()
    digest: str = ""
    versions: tuple[int, ...] = ()
    ciphers: str = ""
    sni: str = ""
    tlsa: tuple[TlsaRecord, ...] = ()
    anchors: tuple[TlsaRecord, ...] = ()
    half: bool = False
    reuse: bool = False
    problem: str = ""

    @property
    def uses_authorities(self) -> bool:
        """Whether a chain to a trusted authority is asked for."""
        return self.level in (Level.VERIFY, Level.SECURE)


#: No TLS at all.
CLEAR = TlsPolicy(Level.NONE)
