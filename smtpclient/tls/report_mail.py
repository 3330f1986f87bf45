"""
A TLS report as mail (RFC 8460 section 5.3): ``multipart/report`` with a text for people and the report itself.

``TLS-Required: No`` (RFC 8689) lets it through also where what it reports is broken.

Known limits: the signature by DKIM that section 3 asks for is whoever's who relays our mail; there is none here.
"""

import base64
from email.utils import formatdate

from smtpclient.tls.report_json import MEDIA_TYPE, Report


def message(report: Report, address: str, now: float, message_id: str) -> bytes:
    """
    The whole message, with LF line ends.

    :param address: whom it goes to; ASCII, without control characters.
    :param now: seconds since the epoch.
    :param message_id: without angle brackets.
    """
    boundary = f"tlsrpt-{report.begin}-{hash_of(report.report_id):x}"
    header = (
        f"Date: {formatdate(now)}",
        f"From: {report.contact}",
        f"To: {address}",
        f"Subject: Report Domain: {report.domain}",
        f"\tSubmitter: {report.submitter}",
        f"\tReport-ID: <{report.report_id}>",
        f"Message-ID: <{message_id}>",
        f"TLS-Report-Domain: {report.domain}",
        f"TLS-Report-Submitter: {report.submitter}",
        "TLS-Required: No",
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
        'Content-Type: multipart/report; report-type="tlsrpt";',
        f'\tboundary="{boundary}"',
    )
    part = (
        f"Content-Type: {MEDIA_TYPE}",
        "Content-Transfer-Encoding: base64",
        "Content-Disposition: attachment;",
        f'\tfilename="{report.filename}"',
    )
    data = base64.encodebytes(report.encode()).decode("ascii").rstrip("\n")
    text = (
        *header,
        "",
        f"--{boundary}",
        'Content-Type: text/plain; charset="us-ascii"',
        "",
        _words(report),
        "",
        f"--{boundary}",
        *part,
        "",
        data,
        f"--{boundary}--",
        "",
    )
    return "\n".join(text).encode("ascii", "replace")


def hash_of(text: str) -> int:
    """A number for a text, the same each time."""
    return int.from_bytes(text.encode("utf-8", "surrogateescape")[-12:], "big")


def _words(report: Report) -> str:
    good, failed = report.sessions
    return (
        f"This is an aggregate TLS report from {report.submitter} for {report.domain}.\n"
        f"Sessions that went well: {good}. Sessions that failed: {failed}.\n"
        "The details are in the attachment, in the form of RFC 8460."
    )
