"""
Where mail for an address would go and how, as frozen values; and as text and JSON.

What is said here comes from the functions that deliver (``smtpclient.delivery.explainer``). A secret has no place in
it: of a login there is the name.
"""

import dataclasses
import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from smtpclient.mail.outcome import Disposition
from smtpclient.tls.level import Level
from smtpclient.tls.policy import TlsPolicy


class Fate(enum.Enum):
    """What would become of mail; the values are JSON's words."""

    SENT = "sent"
    DEFERRED = "deferred"
    BOUNCED = "bounced"


@dataclass(frozen=True, slots=True)
class TlsExplanation:
    """
    What a connection must live up to.

    :param source: which parameter, table or DNS record decided.
    :param match: names, digests or TLSA records of which the certificate must fit one.
    :param problem: why the server would not be contacted; then the other fields say nothing.
    """

    level: str
    source: str = ""
    sentence: str = ""
    match: tuple[str, ...] = ()
    sni: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class LoginExplanation:
    """
    As whom the client would log in.

    :param key: what was found in ``smtp_sasl_password_maps``.
    :param token: with an access token, not with a password.
    """

    username: str
    key: str
    token: bool = False


@dataclass(frozen=True, slots=True)
class Probe:
    """
    What a connection has shown.

    :param fate: what would become of mail as far as a session without a message can tell.
    :param reason: why not, in the words that the log would have; empty where there was nothing against it.
    :param tls: protocol and cipher; empty in clear text.
    :param extensions: what the server offers, as it would be used.
    :param login: the mechanism that would be used, or why none would; empty where nobody would log in.
    :param dialogue: what was said.
    """

    fate: Fate
    reason: str = ""
    tls: str = ""
    extensions: tuple[str, ...] = ()
    login: str = ""
    dialogue: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HostExplanation:
    """One address to try."""

    host: str
    address: str
    port: int
    preference: int
    secure: bool
    tls: TlsExplanation
    login: LoginExplanation | None = None
    probe: Probe | None = None


@dataclass(frozen=True, slots=True)
class SiteExplanation:
    """
    One next hop: what was looked for, and what was found.

    :param mx: the hosts are mail exchangers of the next hop.
    :param secure: the list of hosts was validated by DNSSEC.
    :param hosts: in the order in which they would be tried now; what is equal is shuffled every time.
    :param skipped: what was left out, and why.
    :param failure: why there is no host; with its fate.
    """

    next_hop: str
    fallback: bool = False
    mx: bool = False
    secure: bool = False
    hosts: tuple[HostExplanation, ...] = ()
    skipped: tuple[str, ...] = ()
    failure: str = ""
    failure_fate: Fate = Fate.SENT


@dataclass(frozen=True, slots=True)
class QueueExplanation:
    """
    Mail for the same destination that waits.

    :param messages: how many there are; ``complete`` says whether all were looked at.
    :param next_attempt: the earliest, seconds since the epoch; 0: now, or as soon as there is room.
    :param held: how many of them are on hold.
    """

    messages: int = 0
    recipients: int = 0
    held: int = 0
    next_attempt: float = 0.0
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Explanation:
    """
    Everything about one address.

    :param refusal: for a transport that contacts nobody: what it does with mail.
    :param sessions: after so many sessions an attempt ends; 0: no limit.
    :param queue: None: the queue directory cannot be seen.
    :param destination: the service's own state of the destination, as its admin page has it; None: nothing is known.
    """

    recipient: str
    sender: str
    transport: str
    transport_from: str
    next_hop: str
    next_hop_from: str
    fate: Fate
    refusal: str = ""
    sites: tuple[SiteExplanation, ...] = ()
    sessions: int = 1
    queue: QueueExplanation | None = None
    destination: dict[str, Any] | None = None


def fate_of(disposition: Disposition) -> Fate:
    """The fate that a disposition is."""
    return Fate(disposition.value)


def worst(fates: Iterator[Fate]) -> Fate:
    """Of several fates the one that an operator must know of."""
    order = (Fate.SENT, Fate.DEFERRED, Fate.BOUNCED)
    return max(fates, key=order.index, default=Fate.SENT)


def fate_of_sites(sites: tuple[SiteExplanation, ...], found_self: bool = False) -> Fate:
    """What would become of mail, as far as can be told: the first server that would take it decides."""
    last = Fate.DEFERRED
    for site in sites:
        if site.failure:
            last = site.failure_fate
        for host in site.hosts:
            if host.tls.problem:
                last = Fate.DEFERRED
            elif host.probe is None or host.probe.fate is not Fate.DEFERRED:
                return Fate.SENT if host.probe is None else host.probe.fate
            else:
                last = Fate.DEFERRED
    return last


def tls_explanation(policy: TlsPolicy) -> TlsExplanation:
    """What a policy asks for, in words."""
    match: tuple[str, ...] = policy.match
    if policy.level is Level.FINGERPRINT:
        match = policy.fingerprints
    elif policy.level.is_dane:
        match = tuple(map(str, policy.tlsa))
    return TlsExplanation(policy.level.word, policy.source, _SENTENCES[policy.level], match, policy.sni, policy.problem)


_SENTENCES = {
    Level.NONE: "clear text",
    Level.MAY: "encrypted where the server offers it; its certificate is not looked at",
    Level.ENCRYPT: "encrypted or not at all; the server's certificate is not looked at",
    Level.FINGERPRINT: "the certificate or its key must have one of these digests",
    Level.DANE: "the certificate must fit one of these TLSA records",
    Level.DANE_ONLY: "the certificate must fit one of these TLSA records",
    Level.VERIFY: "a trusted certificate for one of these names",
    Level.SECURE: "a trusted certificate for one of these names",
}


def as_json(explanation: Explanation) -> dict[str, Any]:
    """Members of plain types, named like the fields."""
    return dataclasses.asdict(explanation, dict_factory=_plain)


def _plain(members: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value.value if isinstance(value, enum.Enum) else value for name, value in members}
