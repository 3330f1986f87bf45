"""
How the sessions of a day went, per domain and policy: what TLS reports (RFC 8460) are made of.

Promises: a domain, its policies and their failures are limited in number, whatever servers do; what is beyond is still
counted, without its details. What :meth:`DayCounts.encode` gives, :func:`decode` takes.

Does not: know which domains want reports, or what time it is.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from smtpclient.tls.result_type import ResultType

MOST_DOMAINS = 20_000
MOST_POLICIES = 8
MOST_FAILURES = 50

STS, TLSA, NO_POLICY = "sts", "tlsa", "no-policy-found"


@dataclass(frozen=True, slots=True)
class ReportedPolicy:
    """
    The policy under which sessions took place.

    :param kind: ``sts``, ``tlsa`` or ``no-policy-found``.
    :param strings: the policy, line by line or record by record.
    :param mx: the patterns of an MTA-STS policy.
    """

    kind: str
    strings: tuple[str, ...] = ()
    mx: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SessionFailure:
    """
    One way in which sessions failed.

    :param mx_host: the server's name in the MX record.
    :param information: for people.
    :param code: for programs: what exactly it was.
    """

    result: ResultType
    mx_host: str = ""
    receiving_ip: str = ""
    sending_ip: str = ""
    information: str = ""
    code: str = ""


@dataclass(slots=True)
class PolicyCount:
    """How the sessions under one policy went."""

    successes: int = 0
    failures: dict[SessionFailure, int] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        """How many sessions failed."""
        return sum(self.failures.values())


@dataclass(slots=True)
class DayCounts:
    """
    One day.

    :param day: days since the epoch, in UTC.
    """

    day: int
    _domains: dict[str, dict[ReportedPolicy, PolicyCount]] = field(default_factory=dict)

    def __contains__(self, domain: object) -> bool:
        return domain in self._domains

    def __len__(self) -> int:
        return len(self._domains)

    def domains(self) -> Iterator[str]:
        """Those that have had sessions; may change meanwhile."""
        return iter(tuple(self._domains))

    def of(self, domain: str) -> dict[ReportedPolicy, PolicyCount]:
        """What a domain has had."""
        return self._domains.get(domain, {})

    def note(self, domain: str, policy: ReportedPolicy, failure: SessionFailure | None) -> None:
        """
        Count one session.

        :param failure: None when it went well.
        """
        if domain not in self._domains and len(self._domains) >= MOST_DOMAINS:
            return
        self._add(domain, policy, failure, 1)

    def merge(self, other: "DayCounts") -> None:
        """Add what somebody else has counted of the same day."""
        for domain in other.domains():
            for policy, count in other.of(domain).items():
                if count.successes:
                    self._add(domain, policy, None, count.successes)
                for failure, times in count.failures.items():
                    self._add(domain, policy, failure, times)

    def _add(self, domain: str, policy: ReportedPolicy, failure: SessionFailure | None, times: int) -> None:
        policies = self._domains.setdefault(domain, {})
        if policy not in policies and len(policies) >= MOST_POLICIES:
            policy = next(reversed(policies))
        count = policies.setdefault(policy, PolicyCount())
        if failure is None:
            count.successes += times
            return
        if failure not in count.failures and len(count.failures) >= MOST_FAILURES:
            failure = SessionFailure(failure.result)
        count.failures[failure] = count.failures.get(failure, 0) + times

    def forget(self, domain: str) -> None:
        """What a domain has had is reported, or of no interest."""
        self._domains.pop(domain, None)

    def encode(self) -> bytes:
        """As it is kept on disk."""
        return json.dumps(
            {"day": self.day, "domains": {name: _rows(self._domains[name]) for name in self._domains}}
        ).encode()


def _rows(policies: dict[ReportedPolicy, PolicyCount]) -> list[Any]:
    return [
        [
            policy.kind,
            policy.strings,
            policy.mx,
            count.successes,
            [_failure_row(*item) for item in count.failures.items()],
        ]
        for policy, count in policies.items()
    ]


def _failure_row(failure: SessionFailure, times: int) -> list[Any]:
    return [
        failure.result.value,
        failure.mx_host,
        failure.receiving_ip,
        failure.sending_ip,
        failure.information,
        failure.code,
        times,
    ]


def decode(data: bytes) -> DayCounts:
    """
    What was kept on disk.

    :raises ValueError: when it was not kept by us.
    """
    try:
        fields = json.loads(data)
        counts = DayCounts(int(fields["day"]))
        for domain, rows in fields["domains"].items():
            counts._domains[str(domain)] = dict(_policy(*row) for row in rows)
    except (KeyError, TypeError, AttributeError, RecursionError, OverflowError) as why:
        raise ValueError(f"no counts of TLS sessions: {why}") from None
    return counts


def _policy(
    kind: str, strings: list[str], mx: list[str], successes: int, failures: list[Any]
) -> tuple[ReportedPolicy, PolicyCount]:
    policy = ReportedPolicy(str(kind), tuple(map(str, strings)), tuple(map(str, mx)))
    count = PolicyCount(int(successes))
    for result, *words, times in failures:
        failure = SessionFailure(ResultType(result), *map(str, words))
        count.failures[failure] = int(times)
    return policy, count
