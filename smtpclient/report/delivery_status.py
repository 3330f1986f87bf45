"""
Delivery status notifications: RFC 3464 in a multipart/report of RFC 6522, internationalised by RFC 6533.

A report has three parts: text for people, ``message/delivery-status`` for programs, and the message or its header.
It is made in blocks: :func:`text_blocks` and :func:`status_blocks` yield one per recipient, so that a report on fifty
thousand of them can be made without stopping everything else; :func:`assemble` puts the parts together.

Promises: nothing that a server, a sender or a recipient's name contains can add a header field, a line of a status, or
a MIME part; the boundary does not occur in what it separates; the report goes to nobody but the recipient given here.

Does not: decide who gets a report (``smtpclient.report.notification``), queue it.

Known limits: where a message did not ask for SMTPUTF8, what is not ASCII in the part for programs becomes ``?``, apart
from addresses, which have a form for that case.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random

from smtpclient.mail import address as addresses
from smtpclient.mail.envelope import Envelope, NewMessage, Recipient, TlsWish, Utf8
from smtpclient.report.entry import Entry
from smtpclient.report.fields import date, field, original_recipient, typed_address, wrapped
from smtpclient.report.original import Original
from smtpclient.report.report_text import Kind, introduction, subject
from smtpclient.report.settings import ReportSettings

_STATUS = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}")
_ENVELOPE_ID = re.compile(r"[!-~]{1,100}")

_FALLBACKS = {
    Kind.FAILURE: ("5.0.0", "failed"),
    Kind.DELAY: ("4.0.0", "delayed"),
    Kind.SUCCESS: ("2.0.0", "relayed"),
    Kind.PROBE: ("4.0.0", "undeliverable"),
}
"""Status and action where the recorded ones are not what RFC 3464 allows there."""

_DELIVERED = frozenset({"delayed", "delivered", "relayed", "expanded"})
# Whatever was recorded while there was hope: a report of failure is the end of it. The answers to a probe are Postfix's
# own, for RFC 3464 has none.
_ACTIONS = {
    Kind.FAILURE: frozenset[str](),
    Kind.DELAY: _DELIVERED,
    Kind.SUCCESS: _DELIVERED,
    Kind.PROBE: frozenset({"deliverable", "undeliverable"}),
}

DIAGNOSTIC = "X-Postfix"
"""The diagnostic type of reasons that are no server's reply: they are worded as Postfix words them."""


@dataclass(frozen=True, slots=True)
class Report:
    """
    What one report says.

    :param envelope: of the message that it is about.
    :param entries: the recipients to be named; at least one.
    :param recipient: who gets it, internal form.
    :param to_postmaster: it goes to the postmaster: without introduction, and not as an answer to the sender.
    :param original: what is returned of the message; None: it could not be read.
    :param now: seconds since the epoch.
    """

    kind: Kind
    settings: ReportSettings
    envelope: Envelope
    entries: Sequence[Entry]
    recipient: str
    to_postmaster: bool
    original: Original | None
    now: float

    @property
    def utf8(self) -> bool:
        """Whether every part may hold UTF-8: the message asked for it, so its sender can read it."""
        return Utf8.REQUESTED in self.envelope.utf8


def text_blocks(report: Report) -> Iterator[bytes]:
    """The part for people: the introduction, then a paragraph per recipient."""
    if not report.to_postmaster:
        attached = "" if report.original is None else "message" if report.original.whole else "header"
        created = report.envelope.created
        until = report.settings.retry_until(report.envelope.sender, created)
        text = introduction(report.kind, report.settings.hostname, attached, report.now - created, until - created)
        yield text.encode()
    for entry in report.entries:
        recipient = entry.recipient
        original = recipient.original if recipient.original.lower() != recipient.address.lower() else ""
        expanded = f" (expanded from <{addresses.external(original)}>)" if original else ""
        yield b"\n" + wrapped(f"<{addresses.external(recipient.address)}>{expanded}: {entry.reason}")


def status_blocks(report: Report) -> Iterator[bytes]:
    """The part for programs: the fields of the message, then a group of fields per recipient."""
    envelope, utf8 = report.envelope, report.utf8
    fields = [("Reporting-MTA", f"dns; {report.settings.hostname}")]
    if _ENVELOPE_ID.fullmatch(envelope.envelope_id):
        fields.append(("Original-Envelope-Id", envelope.envelope_id))
    fields.append((f"{report.settings.field_prefix}-Queue-ID", envelope.queue_id))
    if envelope.sender:
        sender = typed_address(addresses.external(envelope.sender), utf8)
        fields.append((f"{report.settings.field_prefix}-Sender", sender))
    fields.append(("Arrival-Date", date(envelope.arrival)))
    yield b"".join(field(name, value, utf8) for name, value in fields)
    for entry in report.entries:
        yield b"\n" + b"".join(field(name, value, utf8) for name, value in _recipient_fields(report, entry))


def _recipient_fields(report: Report, entry: Entry) -> Iterator[tuple[str, str]]:
    """RFC 3464 section 2.3, in its order."""
    recipient, utf8 = entry.recipient, report.utf8
    status, action = _FALLBACKS[report.kind]
    yield "Final-Recipient", typed_address(addresses.external(recipient.address), utf8)
    if original := original_recipient(recipient.orcpt, recipient.original, utf8):
        yield "Original-Recipient", original
    yield "Action", entry.action if entry.action in _ACTIONS[report.kind] else action
    yield "Status", entry.status if _STATUS.fullmatch(entry.status) else status
    if entry.mta:
        yield "Remote-MTA", f"{entry.mta_type or 'dns'}; {entry.mta}"
    if entry.diagnostic:
        yield "Diagnostic-Code", f"{entry.diagnostic_type or 'smtp'}; {entry.diagnostic}"
    else:
        yield "Diagnostic-Code", f"{DIAGNOSTIC}; {entry.reason}"
    if report.kind is Kind.DELAY:
        envelope = report.envelope
        yield "Will-Retry-Until", date(report.settings.retry_until(envelope.sender, envelope.created))


def assemble(report: Report, text: Sequence[bytes], status: Sequence[bytes], random: Random) -> NewMessage:
    """
    The report as a message to be queued.

    :param text: what :func:`text_blocks` yielded.
    :param status: what :func:`status_blocks` yielded.
    :param random: for the boundary and the message id.
    """
    parts = [_part("Notification", f"text/plain; charset={_charset(text)}", text)]
    parts.append(_part("Delivery report", f"message/{'global-' if report.utf8 else ''}delivery-status", status))
    if report.original:
        parts.append(_returned_part(report, report.original))
    boundary = _boundary(random, parts)
    eight_bit = not (report.recipient.isascii() and all(block.isascii() for part in parts for block in part))
    header = _header(report, boundary, f"{random.getrandbits(64):016x}", eight_bit)
    content = [header, b"This is a MIME-encapsulated message.\n"]
    for part in parts:
        content += [b"\n--%b\n" % boundary.encode(), *part]
    content.append(b"\n--%b--\n" % boundary.encode())
    return NewMessage(
        sender=report.settings.double_bounce_sender if report.to_postmaster else "",
        recipients=[Recipient(report.recipient)],
        content=content,
        encoding="8bit" if eight_bit else "7bit",
        utf8=_utf8_flags(report, header),
        attributes={"log_message_origin": "local"},
        # What must not be seen on its way must not be seen on its way back (RFC 8689 section 5).
        tls=TlsWish(0) if report.to_postmaster else report.envelope.tls & TlsWish.REQUIRED,
    )


def _charset(blocks: Sequence[bytes]) -> str:
    return "us-ascii" if all(block.isascii() for block in blocks) else "utf-8"


def _part(description: str, content_type: str, blocks: Sequence[bytes]) -> list[bytes]:
    """One part: its header, a blank line, its body."""
    header = field("Content-Description", description) + field("Content-Type", content_type)
    if not all(block.isascii() for block in blocks):
        header += field("Content-Transfer-Encoding", "8bit")
    return [header + b"\n", *blocks]


def _returned_part(report: Report, original: Original) -> list[bytes]:
    """The message or its header, as it was (RFC 6522 section 4, RFC 6533 section 5)."""
    description = "Message" if original.whole else "Message Headers"
    if report.kind in (Kind.FAILURE, Kind.DELAY):
        description = "Undelivered " + description
    if report.utf8:
        content_type = "message/global" if original.whole else "message/global-headers"
    else:
        content_type = "message/rfc822" if original.whole else "text/rfc822-headers"
    return _part(description, content_type, [original.data])


def _boundary(random: Random, parts: Sequence[Sequence[bytes]]) -> str:
    """A line that occurs nowhere in the parts; nobody who wrote one of them could guess it."""
    while True:
        boundary = f"{random.getrandbits(128):032x}=_report"
        if not any(boundary.encode() in block for part in parts for block in part):
            return boundary


def _header(report: Report, boundary: str, unique: str, eight_bit: bool) -> bytes:
    """The report's own header."""
    settings, original = report.settings, report.original
    stamp = datetime.fromtimestamp(report.now, tz=UTC).strftime("%Y%m%d%H%M%S")
    fields = [
        ("From", f"{settings.daemon_address} (Mail Delivery System)"),
        ("Subject", subject(report.kind, report.to_postmaster)),
        ("To", addresses.external(report.recipient)),
        ("Date", date(report.now)),
        ("Message-ID", f"<{stamp}.{unique}@{settings.hostname}>"),
    ]
    if original and original.message_id and settings.threaded:
        fields.append(("In-Reply-To", original.message_id))
        fields.append(("References", " ".join([*original.references, original.message_id])))
    fields += [
        ("Auto-Submitted", "auto-generated" if report.to_postmaster else "auto-replied"),
        ("MIME-Version", "1.0"),
        (
            "Content-Type",
            f'multipart/report; report-type={"global-" if report.utf8 else ""}delivery-status; boundary="{boundary}"',
        ),
        ("Content-Transfer-Encoding", "8bit" if eight_bit else "7bit"),
    ]
    return b"".join(field(name, value) for name, value in fields) + b"\n"


def _utf8_flags(report: Report, header: bytes) -> Utf8:
    """What the report needs of the servers on its way: no more than it has in it."""
    if not report.utf8:
        return Utf8(0)
    flags = Utf8.REQUESTED
    if not header.isascii():
        flags |= Utf8.HEADER
    if not report.recipient.isascii():
        flags |= Utf8.RECIPIENT
    return flags
