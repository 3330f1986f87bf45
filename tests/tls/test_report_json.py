"""Tests for :mod:`smtpclient.tls.report_json` and :mod:`smtpclient.tls.report_mail`: RFC 8460 and its example."""

import gzip
import json
from email import policy as email_policy
from email.parser import BytesParser

from twisted.trial.unittest import SynchronousTestCase

from smtpclient.tls.report_counts import PolicyCount, ReportedPolicy, SessionFailure
from smtpclient.tls.report_json import Report
from smtpclient.tls.report_mail import message
from smtpclient.tls.result_type import ResultType

EXAMPLE = {
    "organization-name": "Company-X",
    "date-range": {"start-datetime": "2016-04-01T00:00:00Z", "end-datetime": "2016-04-01T23:59:59Z"},
    "contact-info": "sts-reporting@company-x.example",
    "report-id": "5065427c-23d3-47ca-b6e0-946ea0e8c4be",
    "policies": [
        {
            "policy": {
                "policy-type": "sts",
                "policy-string": [
                    "version: STSv1",
                    "mode: testing",
                    "mx: *.mail.company-y.example",
                    "max_age: 86400",
                ],
                "policy-domain": "company-y.example",
                "mx-host": ["*.mail.company-y.example"],
            },
            "summary": {"total-successful-session-count": 5326, "total-failure-session-count": 303},
            "failure-details": [
                {
                    "result-type": "certificate-expired",
                    "sending-mta-ip": "2001:db8:abcd:0012::1",
                    "receiving-mx-hostname": "mx1.mail.company-y.example",
                    "failed-session-count": 100,
                },
                {
                    "result-type": "starttls-not-supported",
                    "sending-mta-ip": "2001:db8:abcd:0013::1",
                    "receiving-mx-hostname": "mx2.mail.company-y.example",
                    "receiving-ip": "203.0.113.56",
                    "failed-session-count": 200,
                    "additional-information": "https://reports.company-x.example/report_info",
                },
                {
                    "result-type": "validation-failure",
                    "sending-mta-ip": "198.51.100.62",
                    "receiving-ip": "203.0.113.58",
                    "receiving-mx-hostname": "mx-backup.mail.company-y.example",
                    "failed-session-count": 3,
                    "failure-reason-code": "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED",
                },
            ],
        }
    ],
}
"""RFC 8460 appendix B."""

BACKUP = "mx-backup.mail.company-y.example"
COUNTS = {
    ReportedPolicy(
        "sts",
        ("version: STSv1", "mode: testing", "mx: *.mail.company-y.example", "max_age: 86400"),
        ("*.mail.company-y.example",),
    ): PolicyCount(
        5326,
        {
            SessionFailure(
                ResultType.CERTIFICATE_EXPIRED, "mx1.mail.company-y.example", "", "2001:db8:abcd:0012::1"
            ): 100,
            SessionFailure(
                ResultType.STARTTLS_NOT_SUPPORTED,
                "mx2.mail.company-y.example",
                "203.0.113.56",
                "2001:db8:abcd:0013::1",
                "https://reports.company-x.example/report_info",
            ): 200,
            SessionFailure(
                ResultType.VALIDATION_FAILURE,
                BACKUP,
                "203.0.113.58",
                "198.51.100.62",
                code="X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED",
            ): 3,
        },
    )
}
REPORT = Report(
    "Company-X",
    "sts-reporting@company-x.example",
    "mail.company-x.example",
    "5065427c-23d3-47ca-b6e0-946ea0e8c4be",
    "company-y.example",
    16892,
    COUNTS,
)


class Json(SynchronousTestCase):
    """The report itself."""

    maxDiff = None

    def test_example_of_the_rfc(self) -> None:
        """Its counts make its report."""
        self.assertEqual(json.loads(gzip.decompress(REPORT.encode())), EXAMPLE)

    def test_without_policy(self) -> None:
        """Nothing is said of a policy that there is not, nor of failures that were none."""
        counts = {ReportedPolicy("no-policy-found"): PolicyCount(1)}
        report = Report("Ü", "a@b.example", "c.example", "1@c.example", "d.example", 0, counts)
        self.assertEqual(
            report.fields()["policies"],
            [
                {
                    "policy": {"policy-type": "no-policy-found", "policy-domain": "d.example"},
                    "summary": {"total-successful-session-count": 1, "total-failure-session-count": 0},
                }
            ],
        )
        self.assertEqual(json.loads(gzip.decompress(report.encode()))["organization-name"], "Ü")

    def test_filename(self) -> None:
        """As in section 5.1, without anything that a file system would take amiss."""
        self.assertEqual(
            REPORT.filename,
            "mail.company-x.example!company-y.example!1459468800!1459555199!"
            "5065427c-23d3-47ca-b6e0-946ea0e8c4be.json.gz",
        )
        self.assertEqual(Report("", "", "s", "a/b@c", "d", 0, {}).filename, "s!d!0!86399!abc.json.gz")


class Mail(SynchronousTestCase):
    """The report in a message."""

    def setUp(self) -> None:
        self.data = message(REPORT, "tlsrpt@company-y.example", 1459562400.0, "7@mail.company-x.example")
        self.parsed = BytesParser(policy=email_policy.default).parsebytes(self.data)

    def test_header(self) -> None:
        """What section 5.3 asks for, so that reports can be told from other mail; and no security policy applies."""
        wanted = {
            "From": "sts-reporting@company-x.example",
            "To": "tlsrpt@company-y.example",
            "TLS-Report-Domain": "company-y.example",
            "TLS-Report-Submitter": "mail.company-x.example",
            "TLS-Required": "No",
            "Auto-Submitted": "auto-generated",
            "Message-ID": "<7@mail.company-x.example>",
            "Date": "Sat, 02 Apr 2016 02:00:00 -0000",
        }
        self.assertEqual({name: str(self.parsed[name]) for name in wanted}, wanted)
        self.assertEqual(
            " ".join(str(self.parsed["Subject"]).split()),
            "Report Domain: company-y.example Submitter: mail.company-x.example"
            " Report-ID: <5065427c-23d3-47ca-b6e0-946ea0e8c4be>",
        )
        self.assertEqual(self.parsed.get_content_type(), "multipart/report")
        self.assertEqual(self.parsed["Content-Type"].params["report-type"], "tlsrpt")

    def test_parts(self) -> None:
        """A text for people, and the report as it would be posted."""
        words, report = self.parsed.iter_parts()
        self.assertIn("Sessions that went well: 5326. Sessions that failed: 303.", words.get_content())
        self.assertEqual(report.get_content_type(), "application/tlsrpt+gzip")
        self.assertEqual(report.get_filename(), REPORT.filename)
        self.assertEqual(report.get_content(), REPORT.encode())

    def test_lines(self) -> None:
        """Plain ASCII in lines that every server takes."""
        self.assertTrue(self.data.isascii())
        self.assertLess(max(map(len, self.data.split(b"\n"))), 200)
