"""
One recipient in a message's bounce, defer or trace file, in the format that Postfix writes and reads.

An entry is a blank line, ``name=value`` lines, and a blank line::

    <nobody@example.com>: host mx.example.com[192.0.2.1] said: 550 5.1.1 unknown (in reply to RCPT TO command)
    recipient=nobody@example.com
    offset=512
    dsn_orig_rcpt=rfc822;nobody@example.com
    status=5.1.1
    action=failed
    diag_type=smtp
    diag_text=550 5.1.1 unknown
    mta_type=dns
    mta_mname=mx.example.com
    reason=host mx.example.com[192.0.2.1] said: 550 5.1.1 unknown (in reply to RCPT TO command)

The first line is an older form of the same, for old readers; it may be missing. Addresses are in their external form.
The format is described in no standard; what Postfix's bounce(8), defer(8) and showq(8) do is the reference.

Promises: whatever a server or a sender wrote, :func:`encode` makes one entry; an entry counts only when its last line
is there and the blank line behind it, so that one torn by a crash is not taken for a record.

Does not: touch files (``smtpclient.report.journal``).
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from smtpclient.mail import address as addresses
from smtpclient.mail.envelope import Notify, Recipient
from smtpclient.mail.outcome import Outcome

_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_NUMBER = re.compile(rb"\d{1,15}")

DEFAULTS = {"bounce": ("5.0.0", "failed"), "defer": ("4.0.0", "delayed"), "trace": ("2.0.0", "relayed")}
"""Status and action of an entry that does not say, by the kind of file it stands in."""

NO_REASON = "(no reason was recorded)"


@dataclass(frozen=True, slots=True)
class Entry:
    """
    What is recorded of one recipient.

    :param status: enhanced status code, RFC 3463.
    :param action: ``failed``, ``delayed``, ``delivered`` or ``relayed``, RFC 3464 section 2.3.3.
    :param reason: one sentence for people.
    :param diagnostic_type: ``smtp`` when a server's reply decided, else empty.
    :param diagnostic: that reply.
    :param mta_type: ``dns`` when a server's reply decided, else empty.
    :param mta: that server's name.
    """

    recipient: Recipient
    status: str
    action: str
    reason: str
    diagnostic_type: str = ""
    diagnostic: str = ""
    mta_type: str = ""
    mta: str = ""

    def wanted(self, occasion: Notify) -> bool:
        """Whether the sender asked to hear of this recipient, or did not say (RFC 3461 section 4.1)."""
        return not self.recipient.notify or bool(self.recipient.notify & occasion)


def from_outcome(outcome: Outcome, action: str, prefix: str = "") -> Entry:
    """
    What is to be recorded of an outcome.

    The server is named only when its reply decided, as RFC 3464 section 2.3.5 has it.

    :param prefix: stands before the reason.
    """
    replied = outcome.reply and outcome.peer
    return Entry(
        recipient=outcome.recipient,
        status=outcome.status,
        action=action,
        reason=prefix + outcome.reason,
        diagnostic_type="smtp" if outcome.reply else "",
        diagnostic=outcome.reply,
        mta_type="dns" if replied else "",
        mta=outcome.peer.host if outcome.peer and replied else "",
    )


def via(outcome: Outcome) -> str:
    """What stands before the reason where it tells of a success: the server, if one had a say."""
    return f"delivery via {outcome.relay}: " if outcome.peer else ""


def encode(entry: Entry) -> bytes:
    """An entry as it is appended to a file, with the blank lines around it."""
    recipient = entry.recipient
    address = addresses.external(recipient.address)
    original = addresses.external(recipient.original)
    reason = entry.reason.strip(" ") or NO_REASON
    pairs = [
        ("recipient", address or "<>"),
        ("original_recipient", original if original.lower() != address.lower() else ""),
        ("offset", str(recipient.offset) if recipient.offset > 0 else ""),
        ("dsn_orig_rcpt", recipient.orcpt),
        ("notify_flags", str(int(recipient.notify)) if recipient.notify else ""),
        ("status", entry.status),
        ("action", entry.action),
        *((("diag_type", entry.diagnostic_type), ("diag_text", entry.diagnostic)) if entry.diagnostic else ()),
        *((("mta_type", entry.mta_type), ("mta_mname", entry.mta)) if entry.mta else ()),
        ("reason", reason),
    ]
    lines = [b"", b"<%b>: %b" % (one_line(address), one_line(reason))]
    lines += [b"%b=%b" % (name.encode(), one_line(value)) for name, value in pairs if value]
    return b"\n".join(lines) + b"\n\n"


def one_line(text: str) -> bytes:
    """
    Text that stays within its line; bytes that are not UTF-8 are kept, for an address is what it is.

    :raises UnicodeEncodeError: for text that is not safe and never was bytes.
    """
    return _CONTROL.sub(b"?", addresses.to_bytes(text))


class EntryParser:
    """
    Entries out of a file that is read in blocks of any size.

    Lines that are no part of the format are passed over, as Postfix does.

    :param kind: ``bounce``, ``defer`` or ``trace``.
    """

    def __init__(self, kind: str) -> None:
        self._defaults = DEFAULTS[kind]
        self._rest = b""
        self._values: dict[bytes, bytes] = {}

    def feed(self, data: bytes) -> Iterator[Entry]:
        """Every entry that is complete with these bytes."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line:
                self._take(line)
            else:
                values, self._values = self._values, {}
                if b"recipient" in values and b"reason" in values:
                    yield self._entry(values)

    def _take(self, line: bytes) -> None:
        name, equals, value = line.partition(b"=")
        name = name.strip(b" ")
        if line.startswith(b"<") or name == b"recipient":
            # What came before was torn by a crash, and its writer's successor went on behind it.
            self._values = {}
        elif b"recipient" not in self._values:
            return
        if equals:
            self._values[name] = value.strip(b" ")

    def _entry(self, values: dict[bytes, bytes]) -> Entry:
        def text(name: bytes, default: str = "") -> str:
            return addresses.from_bytes(values.get(name, b"")) or default

        return Entry(
            recipient=Recipient(
                address=_address(text(b"recipient")),
                original=_address(text(b"original_recipient")),
                offset=_number(values.get(b"offset", b""), -1),
                orcpt=text(b"dsn_orig_rcpt"),
                notify=Notify(_number(values.get(b"notify_flags", b""), 0) & 15),
            ),
            status=text(b"status", self._defaults[0]),
            action=text(b"action", self._defaults[1]),
            reason=text(b"reason", NO_REASON),
            diagnostic_type=text(b"diag_type"),
            diagnostic=text(b"diag_text"),
            mta_type=text(b"mta_type"),
            mta=text(b"mta_mname"),
        )


def _address(external: str) -> str:
    return "" if external == "<>" else addresses.internal(external)


def _number(data: bytes, default: int) -> int:
    return int(data) if _NUMBER.fullmatch(data) else default


def newest(entries: Iterable[Entry]) -> list[Entry]:
    """
    One entry per recipient: the last that was written, in the order of the first.

    A recipient is recorded twice when the service stopped between recording it and marking it done.
    """
    found: dict[tuple[str, int], Entry] = {}
    for entry in entries:
        found[entry.recipient.address, entry.recipient.offset] = entry
    return list(found.values())
