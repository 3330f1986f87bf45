"""
Mail to the postmaster about sessions that went wrong, with what was said in them.

``notify_classes`` says which classes of errors are wanted; the mail goes to ``error_notice_recipient``. It has the
subject ``$mail_name SMTP client: errors from host[address]:port``, and a transcript in which ``In:`` stands before what
the server said and ``Out:`` before what was said to it.

Promises: the caller's delivery does not suffer: nothing is ever raised, a notice that cannot be queued is a line in
the log; no notice is sent about the delivery of a notice or a report, so mail cannot go round; whatever a server said
stays text.

Does not: limit how often. A server that breaks every session causes a notice for each, as with Postfix; take the class
``protocol`` out of ``notify_classes`` then.

Known limits: a transcript is passed on as it is given; whoever records it leaves out what is secret.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from random import Random

from twisted.internet.interfaces import IReactorTime

from smtpclient.mail import address as addresses
from smtpclient.mail.envelope import NewMessage, Recipient
from smtpclient.mail.outcome import Peer
from smtpclient.observe.maillog import MailLog, printable
from smtpclient.report.fields import date, field, wrapped
from smtpclient.report.notification import Submit
from smtpclient.report.settings import ReportSettings

CLASSES = ("protocol", "resource", "software", "policy", "data")

TRANSCRIPT_LIMIT = 500
"""Lines of a transcript that are sent; a server decides how long it is."""

WIDTH = 78
INDENT = 6


class PostmasterNotices:
    """
    Tells the postmaster of sessions that went wrong.

    :param submit: queues a message durably.
    :param clock: what time it is.
    :param random: for message ids.
    """

    def __init__(
        self, settings: ReportSettings, submit: Submit, maillog: MailLog, clock: IReactorTime, random: Random
    ) -> None:
        self._settings = settings
        self._submit = submit
        self._maillog = maillog
        self._clock = clock
        self._random = random

    def wants(self, error_class: str, sender: str) -> bool:
        """
        Whether a notice would be sent, so that a transcript is worth keeping.

        :param error_class: one of :data:`CLASSES`.
        :param sender: of the message that is being delivered.
        """
        # Trouble with delivering a notice makes no further notice: they would breed.
        return (
            error_class in self._settings.notify_classes
            and bool(sender)
            and not self._settings.is_double_bounce(sender)
        )

    async def protocol_error(
        self, transcript: Sequence[str], peer: Peer, queue_id: str, reason: str, sender: str
    ) -> None:
        """The server's answers were against the protocol; see :meth:`error`."""
        await self.error("protocol", transcript, peer, queue_id, reason, sender)

    async def error(
        self, error_class: str, transcript: Sequence[str], peer: Peer | None, queue_id: str, reason: str, sender: str
    ) -> None:
        """
        Send a notice, if the postmaster wants to hear of this class.

        :param error_class: one of :data:`CLASSES`.
        :param transcript: what was said, line by line, each beginning with ``In: `` or ``Out: ``.
        :param peer: whom it was said to; None: it did not come to a session.
        :param queue_id: the message that was being delivered.
        :param reason: one sentence about what went wrong.
        :param sender: of the message that was being delivered.
        """
        if not self.wants(error_class, sender):
            return
        try:
            notice_id = await self._submit(self._notice(error_class, transcript, peer, queue_id, reason))
        except Exception as failure:
            what = f"postmaster {error_class} error notification was not queued: {failure}"
            self._maillog.warning("smtp", what, queue_id)
        else:
            self._maillog.info("smtp", f"postmaster {error_class} error notification: {notice_id}", queue_id)

    def _notice(
        self, error_class: str, transcript: Sequence[str], peer: Peer | None, queue_id: str, reason: str
    ) -> NewMessage:
        settings, now = self._settings, self._clock.seconds()
        what = f"A session with {peer}" if peer else "A delivery"
        body = b"".join(
            [
                wrapped(f"{what} had a {error_class} error", WIDTH, 0),
                wrapped(f"while it delivered the message {queue_id}: {reason}", WIDTH, 0),
                *([b"\nThis is what was said in it:\n\n", *_transcript_lines(transcript)] if transcript else ()),
                b"\nThe mail log has the rest.\n",
            ]
        )
        eight_bit = "7bit" if body.isascii() else "8bit"
        stamp = datetime.fromtimestamp(now, tz=UTC).strftime("%Y%m%d%H%M%S")
        fields = [
            ("From", f"{settings.daemon_address} (Mail Delivery System)"),
            ("To", addresses.external(settings.error_notice_recipient)),
            ("Subject", f"{settings.mail_name} SMTP client: errors from {peer or settings.hostname}"),
            ("Date", date(now)),
            ("Message-ID", f"<{stamp}.{self._random.getrandbits(64):016x}@{settings.hostname}>"),
            ("Auto-Submitted", "auto-generated"),
            ("MIME-Version", "1.0"),
            ("Content-Type", f"text/plain; charset={'us-ascii' if body.isascii() else 'utf-8'}"),
            ("Content-Transfer-Encoding", eight_bit),
        ]
        return NewMessage(
            sender=settings.double_bounce_sender,
            recipients=[Recipient(settings.error_notice_recipient)],
            content=[b"".join(field(name, value) for name, value in fields) + b"\n", body],
            encoding=eight_bit,
            attributes={"log_message_origin": "local"},
        )


def _transcript_lines(transcript: Sequence[str]) -> list[bytes]:
    """The transcript, a blank in front of each line; a long line goes on further to the right."""
    lines = []
    for line in transcript[:TRANSCRIPT_LIMIT]:
        mark, _, said = printable(line).partition(":")
        if mark not in ("In", "Out"):
            mark, said = "", line
        # The mark stays on the line of what follows it, however long that is.
        lines.append(f" {mark + ':' if mark else '':<5}".encode() + wrapped(said, WIDTH - INDENT, INDENT))
    if len(transcript) > TRANSCRIPT_LIMIT:
        lines.append(b" ... and %d more lines\n" % (len(transcript) - TRANSCRIPT_LIMIT))
    return lines
