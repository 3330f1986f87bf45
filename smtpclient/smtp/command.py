"""
Command lines, as bytes ready to send.

This is the only place where text from a message becomes a command. Everything passes :func:`line`, which refuses
control characters: an address with a line break in it must never become a second command, nor one with a ``>`` in
its domain a parameter.

Parameters follow RFC 1870 (SIZE), RFC 6152 (BODY), RFC 6531 (SMTPUTF8) and RFC 3461 (RET, ENVID, NOTIFY, ORCPT; RFC
6533 for addresses in UTF-8).
"""

import re
from collections.abc import Iterable

from smtpclient.mail import address
from smtpclient.mail.envelope import Envelope, Notify, Recipient, Return, TlsWish, Utf8
from smtpclient.smtp.capability import Capabilities

_XTEXT = re.compile(r"[^!-*,-<>-~]")
_UXTEXT = re.compile(r"[^!-*,-<>-\[\]-~]")
_TYPED_ADDRESS = re.compile(r"([A-Za-z0-9-]+);(.*)", re.S)
# What most addresses are like: nothing in them is quoted, nothing can end a command, and xtext leaves them as they are.
_PLAIN = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*@[A-Za-z0-9.-]+")
# In a domain, these would end the address and begin a parameter.
_NOT_IN_DOMAIN = re.compile(r"[ <>]")
_PRINTABLE = bytes(range(0x20, 0x7F))
_BODY = {"8bit": " BODY=8BITMIME", "7bit": " BODY=7BIT"}

DATA = b"DATA\r\n"
RSET = b"RSET\r\n"
STARTTLS = b"STARTTLS\r\n"
QUIT = b"QUIT\r\n"


class UnsafeArgument(ValueError):
    """An argument would not stay one; the command is not sent."""


def line(text: str) -> bytes:
    """
    One command line.

    :raises UnsafeArgument: when the text holds CR, LF, NUL or another control character.
    """
    if text.isascii():
        plain = text.encode("ascii")
        if not plain.translate(None, _PRINTABLE):  # is safe, and soon told
            return plain + b"\r\n"
    if not address.is_safe(text):
        raise UnsafeArgument(text)
    return address.to_bytes(text) + b"\r\n"


def xtext(text: str) -> str:
    """Encode a parameter value as RFC 3461 section 4 asks: ``+`` and two hexadecimal digits for what is not plain."""
    return _XTEXT.sub(_escaped, text)


def uxtext(text: str) -> str:
    """Encode an address of the type ``utf-8`` as RFC 6533 section 3 asks: ``\\x{FC}`` for what is not plain."""
    return _UXTEXT.sub(lambda found: f"\\x{{{ord(found[0]):02X}}}", text)


def bdat(size: int, *, last: bool) -> bytes:
    """BDAT with the size of the chunk that follows, in bytes (RFC 3030)."""
    return b"BDAT %d LAST\r\n" % size if last else b"BDAT %d\r\n" % size


def ehlo(name: str) -> bytes:
    """EHLO with our name."""
    return line("EHLO " + name)


def helo(name: str) -> bytes:
    """HELO with our name."""
    return line("HELO " + name)


def lhlo(name: str) -> bytes:
    """LHLO with our name (RFC 2033 section 4.1)."""
    return line("LHLO " + name)


def needs_smtputf8(envelope: Envelope, recipients: Iterable[Recipient] = ()) -> bool:
    """
    Whether the message asks for SMTPUTF8 and has something in it that needs it.

    :param recipients: those of this transaction; queue files say nothing about them.
    """
    # Most messages have no flag at all, and the flags of an enum are slow to tell.
    if not envelope.utf8 or not envelope.utf8 & Utf8.REQUESTED:
        return False
    return bool(envelope.utf8 & ~Utf8.REQUESTED) or any(not one.address.isascii() for one in recipients)


def mail_from(
    envelope: Envelope,
    capabilities: Capabilities,
    recipients: Iterable[Recipient] = (),
    *,
    quote: bool = True,
    dummy_auth: bool = False,
) -> bytes:
    """
    MAIL with the parameters that the server offered and the message has use for.

    :param recipients: those of this transaction: one of them may need SMTPUTF8.
    :param quote: quote the local part as RFC 5321 asks (``smtp_quote_rfc821_envelope``).
    :param dummy_auth: say ``AUTH=<>`` where we have logged in: it is we who did, not the sender (RFC 4954 section 5).
    :raises UnsafeArgument: when the sender cannot be put in a command.
    """
    text = f"MAIL FROM:<{_form(envelope.sender, quote)}>"
    offered = capabilities.keywords
    if envelope.size and "SIZE" in offered:
        text += f" SIZE={envelope.size}"
    if envelope.encoding and "8BITMIME" in offered:
        text += _BODY.get(envelope.encoding, "")
    if envelope.utf8 and "SMTPUTF8" in offered and needs_smtputf8(envelope, recipients):
        text += " SMTPUTF8"
    if envelope.tls and envelope.tls & TlsWish.REQUIRED and "REQUIRETLS" in offered:
        text += " REQUIRETLS"
    if envelope.envelope_id and "DSN" in offered:
        text += " ENVID=" + xtext(envelope.envelope_id)
    if envelope.ret and "DSN" in offered:
        text += " RET=FULL" if envelope.ret is Return.FULL else " RET=HDRS"
    if dummy_auth and "AUTH" in offered:
        text += " AUTH=<>"
    return line(text)


def rcpt_to(
    recipient: Recipient, capabilities: Capabilities, *, quote: bool = True, original: str = "", utf8: bool = False
) -> bytes:
    """
    RCPT, with the recipient's wishes for delivery status notifications where the server can serve them.

    A server with DSN is told the original recipient, whether the sender did so or not, so that its report can name it
    (RFC 3461 section 5.2.1).

    :param original: the recipient as it was before anything was rewritten; empty: as it is known to itself.
    :param utf8: the message asked for SMTPUTF8, so that an address may be told as such.
    :raises UnsafeArgument: when the recipient cannot be put in a command.
    """
    text = f"RCPT TO:<{_form(recipient.address, quote)}>"
    if "DSN" in capabilities.keywords:
        text += _original(recipient.orcpt, original or recipient.original or recipient.address, utf8=utf8)
        if recipient.notify:
            text += _notify(recipient.notify)
    return line(text)


def _original(told: str, original: str, *, utf8: bool) -> str:
    """
    The original recipient.

    :param told: what the sender has said about it.
    """
    if not told and _PLAIN.fullmatch(original):
        return " ORCPT=rfc822;" + original
    # Without its type an ORCPT would be a syntax error, and cost the recipient.
    typed = _TYPED_ADDRESS.fullmatch(told)
    if typed is not None:
        kind, orcpt = typed.groups()
    else:
        orcpt = address.external(original)
        kind = "utf-8" if utf8 and not orcpt.isascii() else "rfc822"
    if kind.lower() != "utf-8":
        return f" ORCPT={kind};{xtext(orcpt)}"
    return f" ORCPT={kind};{uxtext(orcpt)}" if address.is_utf8(orcpt) else ""


def _notify(wishes: Notify) -> str:
    if Notify.NEVER in wishes:
        return " NOTIFY=NEVER"
    wanted = [flag for flag in (Notify.SUCCESS, Notify.FAILURE, Notify.DELAY) if flag in wishes]
    return " NOTIFY=" + ",".join(str(flag.name) for flag in wanted)


def _escaped(found: re.Match[str]) -> str:
    # What has no bytes spoils a parameter, not the message.
    character = found[0] if address.is_safe(found[0]) or found[0].isascii() else "?"
    return "".join(f"+{byte:02X}" for byte in address.to_bytes(character))


def _form(internal: str, quote: bool) -> str:
    if _PLAIN.fullmatch(internal):
        return internal
    _, at, domain = internal.rpartition("@")
    if at and _NOT_IN_DOMAIN.search(domain):
        raise UnsafeArgument(internal)
    return address.external(internal) if quote else internal
