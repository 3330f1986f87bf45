"""
``log``: each event is a line in the mail log, and that is all.

For a machine whose mail is of interest to its operator only: nobody gets a report.
"""

from smtpclient.mail import address as addresses
from smtpclient.observe.maillog import MailLog
from smtpclient.report.event import Event

PROCESS = "bounce"


class LogListener:
    """Writes ``QUEUEID: recipient <user@example.com> bounced: 5.1.1 (reason)``."""

    def __init__(self, maillog: MailLog) -> None:
        self._maillog = maillog

    async def tell(self, event: Event) -> None:
        """Log one event."""
        entry = event.entry
        recipient = addresses.external(entry.recipient.address)
        text = f"recipient <{recipient}> {event.name}: {entry.status} ({entry.reason})"
        self._maillog.info(PROCESS, text, event.envelope.queue_id)

    async def close(self) -> None:
        """Nothing is held open."""
