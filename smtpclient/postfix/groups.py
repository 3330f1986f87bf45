"""
Attributes that stand together in several conversations: one recipient, what became of it, and what is to be traced.

They have no end of their own; other attributes may follow in the same list.

Promises: no control character of an address or of a server's words gets into what Postfix's daemons keep, where it
could pass for another line; a number that has unknown bits is read without them.

Does not: decide anything.
"""

from typing import NamedTuple

from smtpclient.mail.envelope import Notify, Recipient
from smtpclient.postfix.attributes import Fields, Long, Pair
from smtpclient.report.entry import NO_REASON, Entry, one_line


class DeliveryStatus(NamedTuple):
    """
    What became of a recipient, or of a whole destination; all empty: nothing to say.

    :param status: enhanced status code, RFC 3463.
    :param diagnostic_type: ``smtp`` where there is a server's reply.
    :param diagnostic: that reply.
    :param mta_type: ``dns`` where there is a server's name.
    :param mta: that name.
    :param action: ``failed``, ``delayed``, ``delivered``, ``relayed``, ``deliverable`` or ``undeliverable``.
    :param reason: one sentence for people; never empty where there is a status.
    """

    status: str = ""
    diagnostic_type: str = ""
    diagnostic: str = ""
    mta_type: str = ""
    mta: str = ""
    action: str = ""
    reason: str = ""


def recipient_pairs(recipient: Recipient) -> list[Pair]:
    """
    A recipient, as it is sent.

    :raises UnicodeEncodeError: for an address that is not safe and never was bytes.
    """
    return [
        ("original_recipient", one_line(recipient.original)),
        ("recipient", one_line(recipient.address)),
        ("offset", Long(recipient.offset)),
        ("dsn_orig_rcpt", one_line(recipient.orcpt)),
        ("notify_flags", int(recipient.notify)),
    ]


def take_recipient(fields: Fields) -> Recipient:
    """
    A recipient that came.

    :raises WireError: when it is none.
    """
    original, address = fields.text("original_recipient"), fields.text("recipient")
    offset, orcpt = fields.long("offset"), fields.text("dsn_orig_rcpt")
    return Recipient(address, original, offset, orcpt, Notify(fields.integer("notify_flags") & 15))


def status_pairs(status: DeliveryStatus) -> list[Pair]:
    """What became of it, as it is sent; half of what belongs together is left out."""
    typed = status.diagnostic_type and status.diagnostic
    named = status.mta_type and status.mta
    return [
        ("status", status.status),
        ("diag_type", status.diagnostic_type if typed else ""),
        ("diag_text", one_line(status.diagnostic) if typed else ""),
        ("mta_type", status.mta_type if named else ""),
        ("mta_mname", one_line(status.mta) if named else ""),
        ("action", status.action),
        ("reason", one_line(status.reason.strip(" ") or (status.status and NO_REASON))),
    ]


def from_entry(entry: Entry) -> DeliveryStatus:
    """What is to be recorded of a recipient."""
    return DeliveryStatus(
        entry.status,
        entry.diagnostic_type,
        entry.diagnostic,
        entry.mta_type,
        entry.mta,
        entry.action,
        entry.reason,
    )
