"""
Sending one TLS report to wherever a domain wants it: by mail, or by https.

Whoever can publish the record of a domain can name any URL; the server behind it has to show a valid certificate for
its name before it gets anything, which machines inside do not have.

Promises: a report counts as delivered when one of the addresses has taken it (RFC 8460 section 3); what goes by mail is
on disk then, and the queue sees to the rest.
"""

from collections.abc import Awaitable, Callable, Sequence

from twisted.internet.defer import CancelledError

from smtpclient.observe.maillog import MailLog
from smtpclient.tls import report_mail
from smtpclient.tls.https_client import HttpsClient, HttpsFailed
from smtpclient.tls.report_json import MEDIA_TYPE, Report
from smtpclient.tls.report_record import address_of

TIMEOUT = 60.0
_ANSWER_LIMIT = 65_536

Submit = Callable[[str, Sequence[str], bytes], Awaitable[object]]


class ReportSender:
    """
    Sends.

    :param submit: queues a message: sender, recipients, content; raises when it is not on disk.
    :param seconds: the clock's reading.
    """

    def __init__(self, client: HttpsClient, submit: Submit, seconds: Callable[[], float], maillog: MailLog) -> None:
        self._client = client
        self._submit = submit
        self._seconds = seconds
        self._maillog = maillog

    async def send(self, report: Report, endpoints: Sequence[str]) -> bool:
        """Send a report to all addresses; whether one has taken it."""
        taken = False
        for uri in endpoints:
            try:
                await self._send(report, uri)
            except CancelledError:
                raise
            except Exception as why:
                self._maillog.warning("smtp", f"TLS report for {report.domain} not taken by {uri}: {why}")
            else:
                self._maillog.info("smtp", f"TLS report for {report.domain} sent to {uri}")
                taken = True
        return taken

    async def _send(self, report: Report, uri: str) -> None:
        address = address_of(uri)
        if address:
            message_id = f"{report.report_id.partition('@')[0]}.tlsrpt@{report.submitter}"
            # Nobody wants to hear that a report did not arrive, least of all by another one.
            await self._submit("", [address], report_mail.message(report, address, self._seconds(), message_id))
            return
        answer = await self._client.post(uri, MEDIA_TYPE, report.encode(), limit=_ANSWER_LIMIT, timeout=TIMEOUT)
        if not 200 <= answer.code < 300:
            raise HttpsFailed(f"answered {answer.code}")
