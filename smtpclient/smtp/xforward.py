"""
XFORWARD: tell a server behind us where a message came from (``smtp_send_xforward_command``).

Content filters ask for it; see Postfix's XFORWARD_README. What is told comes from the envelope records that smtpd(8)
wrote. There are at most two commands, in the order and grouping that Postfix uses, before MAIL.

Promises: only attributes that the server named, and only what is known; values are xtext (RFC 3461 section 4), so that
nothing in them can become a second command.
"""

from smtpclient.mail.envelope import Envelope
from smtpclient.smtp.capability import Capabilities
from smtpclient.smtp.command import xtext

_GROUPS = (
    (("NAME", "log_client_name"), ("ADDR", "log_client_address"), ("PORT", "log_client_port")),
    (("PROTO", "log_protocol_name"), ("HELO", "log_helo_name"), ("IDENT", "log_ident"), ("SOURCE", "rewrite_context")),
)
_SOURCES = {"local": "LOCAL", "remote": "REMOTE"}


def commands(envelope: Envelope, capabilities: Capabilities) -> list[bytes]:
    """The commands to send before MAIL."""
    wanted = frozenset(capabilities.keywords.get("XFORWARD", "").upper().split())
    if not wanted:
        return []
    lines = []
    for group in _GROUPS:
        words = [
            f"{name}={xtext(value)}" for name, key in group if name in wanted and (value := _value(envelope, name, key))
        ]
        if words:
            lines.append(f"XFORWARD {' '.join(words)}\r\n".encode("ascii"))
    return lines


def _value(envelope: Envelope, name: str, key: str) -> str:
    if name == "IDENT":
        return envelope.attributes.get(key, "") or envelope.queue_id
    value = envelope.attributes.get(key, "")
    return _SOURCES.get(value, "") if name == "SOURCE" else value
