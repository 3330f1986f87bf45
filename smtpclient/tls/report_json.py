"""
A TLS report as RFC 8460 section 4 has it: JSON, compressed.
"""

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from smtpclient.tls.report_counts import PolicyCount, ReportedPolicy, SessionFailure

DAY = 86_400
MEDIA_TYPE = "application/tlsrpt+gzip"


@dataclass(frozen=True, slots=True)
class Report:
    """
    One report.

    :param organization: who has counted.
    :param contact: an address for questions.
    :param submitter: the host name of who sends it.
    :param domain: whose policies it is about.
    :param day: days since the epoch, in UTC.
    """

    organization: str
    contact: str
    submitter: str
    report_id: str
    domain: str
    day: int
    counts: Mapping[ReportedPolicy, PolicyCount]

    @property
    def begin(self) -> int:
        """Its first second, since the epoch."""
        return self.day * DAY

    @property
    def end(self) -> int:
        """Its last second, since the epoch."""
        return self.begin + DAY - 1

    @property
    def filename(self) -> str:
        """As section 5.1 has it; the id's characters that mean something to file systems are left out."""
        unique = "".join(letter for letter in self.report_id if letter.isalnum() or letter in "-_.")
        return f"{self.submitter}!{self.domain}!{self.begin}!{self.end}!{unique}.json.gz"

    def fields(self) -> dict[str, Any]:
        """The report as a tree."""
        return {
            "organization-name": self.organization,
            "date-range": {"start-datetime": _iso(self.begin), "end-datetime": _iso(self.end)},
            "contact-info": self.contact,
            "report-id": self.report_id,
            "policies": [_policy(policy, self.domain, count) for policy, count in self.counts.items()],
        }

    def encode(self) -> bytes:
        """The report as it is sent; the same each time."""
        return gzip.compress(json.dumps(self.fields(), ensure_ascii=True, indent=1).encode("ascii"), mtime=0)

    @property
    def sessions(self) -> tuple[int, int]:
        """How many went well, and how many failed."""
        return sum(count.successes for count in self.counts.values()), sum(
            count.failed for count in self.counts.values()
        )


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _policy(policy: ReportedPolicy, domain: str, count: PolicyCount) -> dict[str, Any]:
    described: dict[str, Any] = {"policy-type": policy.kind}
    if policy.strings:
        described["policy-string"] = list(policy.strings)
    described["policy-domain"] = domain
    if policy.mx:
        described["mx-host"] = list(policy.mx)
    fields: dict[str, Any] = {
        "policy": described,
        "summary": {"total-successful-session-count": count.successes, "total-failure-session-count": count.failed},
    }
    if count.failures:
        fields["failure-details"] = [_failure(failure, times) for failure, times in count.failures.items()]
    return fields


def _failure(failure: SessionFailure, times: int) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "result-type": failure.result.value,
        "sending-mta-ip": failure.sending_ip,
        "receiving-ip": failure.receiving_ip,
        "receiving-mx-hostname": failure.mx_host,
        "failed-session-count": times,
        "additional-information": failure.information,
        "failure-reason-code": failure.code,
    }
    return {name: value for name, value in fields.items() if value != ""}
