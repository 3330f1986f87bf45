"""
What the arguments of MAIL and RCPT mean: RFC 5321, with the parameters of RFC 1870 (SIZE), RFC 6152 (BODY), RFC 6531
(SMTPUTF8) and RFC 3461 (RET, ENVID, NOTIFY, ORCPT).

Promises: every value is either understood or refused with the reply that says what is wrong; nothing with a control
character in it passes.

Lenient as Postfix is: the angle brackets may be missing, blanks may stand behind the colon.
"""

import re
from dataclasses import dataclass

from smtpclient.mail import address
from smtpclient.mail.envelope import Notify, Recipient, Return, Utf8
from smtpclient.queue.intake import IntakeError, checked_address
from smtpclient.queue.recipients import AddressListError, single_address
from smtpclient.submission.acceptance import Refused

_PATH = re.compile(r"""\s*(?:<(?P<path>(?:[^<>"\\]|\\.|"(?:[^"\\]|\\.)*")*)>|(?P<bare>[^\s<>]+))(?:\s+(?P<rest>.*))?""")
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
_CODED = re.compile(r"\+([0-9A-F]{2})")
_UNITEXT = re.compile(r"\\x\{([0-9A-F]{2,6})\}")
_BODY = {"7BIT": "7bit", "8BITMIME": "8bit"}
_RETURN = {"FULL": Return.FULL, "HDRS": Return.HEADERS}
_LONGEST_ORCPT = 500  # RFC 3461 section 4.2
_LONGEST_ENVID = 100  # RFC 3461 section 4.4


@dataclass(frozen=True, slots=True)
class Mail:
    """
    A MAIL command.

    :param sender: internal form; empty is the null sender.
    :param require_tls: it asks for REQUIRETLS (RFC 8689).
    :param size: what the client says that the content will have, bytes; 0: it did not say.
    """

    sender: str
    size: int = 0
    encoding: str = ""
    utf8: Utf8 = Utf8(0)
    ret: Return = Return.UNSPECIFIED
    envelope_id: str = ""
    require_tls: bool = False


def parse_mail(argument: bytes, origin: str, *, private: bool = False) -> Mail:
    """
    Read what stands behind ``MAIL``.

    :param origin: the domain of a sender that has none.
    :param private: it came inside TLS, where REQUIRETLS may be asked for.
    :raises Refused: with the reply.
    """
    path, words = _path(argument, "FROM:", "MAIL FROM:<address>")
    known = {"SIZE", "BODY", "SMTPUTF8", "RET", "ENVID"}
    parameters = _parameters(words, known | {"REQUIRETLS"} if private else known)
    sender = _address(path, origin, "5.1.7", "sender") if path else ""
    size, body, ret = (parameters.get(name, "") for name in ("SIZE", "BODY", "RET"))
    if size and not re.fullmatch(r"\d{1,20}", size, re.A):
        raise Refused(501, "5.5.4 Bad message size syntax")
    if body.upper() not in {"", *_BODY}:
        raise Refused(501, f"5.5.4 Unsupported BODY type: {body}")
    if ret.upper() not in {"", *_RETURN}:
        raise Refused(501, "5.5.4 Bad RET parameter syntax")
    for name in ("SMTPUTF8", "REQUIRETLS"):
        if parameters.get(name):
            raise Refused(501, f"5.5.4 {name} takes no value")
    return Mail(
        sender,
        int(size or 0),
        _BODY.get(body.upper(), ""),
        Utf8.REQUESTED if "SMTPUTF8" in parameters else Utf8(0),
        _RETURN.get(ret.upper(), Return.UNSPECIFIED),
        _xtext(parameters.get("ENVID", ""), "ENVID", _LONGEST_ENVID),
        "REQUIRETLS" in parameters,
    )


def parse_rcpt(argument: bytes, origin: str) -> Recipient:
    """
    Read what stands behind ``RCPT``.

    :param origin: the domain of a recipient that has none.
    :raises Refused: with the reply.
    """
    path, words = _path(argument, "TO:", "RCPT TO:<address>")
    parameters = _parameters(words, {"NOTIFY", "ORCPT"})
    wanted = _address(path, origin, "5.1.3", "recipient")
    return Recipient(
        wanted,
        "" if "@" in path else address.internal(path),
        orcpt=_orcpt(parameters.get("ORCPT", "")),
        notify=_notify(parameters.get("NOTIFY")),
    )


def _path(argument: bytes, keyword: str, syntax: str) -> tuple[str, list[str]]:
    """The address as it stands in the command, and the words behind it."""
    try:
        text = argument.decode()
    except UnicodeDecodeError as error:
        raise Refused(500, "5.5.2 Error: bad UTF-8 syntax") from error
    if not text.isprintable():
        raise Refused(501, "5.5.4 Error: control character in command")
    found = _PATH.fullmatch(text[len(keyword) :]) if text[: len(keyword)].upper() == keyword else None
    if found is None:
        raise Refused(501, f"5.5.4 Syntax: {syntax}")
    path = found["path"] if found["path"] is not None else found["bare"]
    return path, (found["rest"] or "").split()


def _parameters(words: list[str], known: set[str]) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for word in words:
        name, _, value = word.partition("=")
        name = name.upper()
        if name not in known:
            raise Refused(555, f"5.5.4 Unsupported option: {word}")
        if name in parameters:
            raise Refused(501, f"5.5.4 Error: {name} given twice")
        parameters[name] = value
    return parameters


def _address(path: str, origin: str, status: str, role: str) -> str:
    try:
        return checked_address(single_address(path).qualified(origin), origin, status, role)
    except AddressListError as error:
        raise Refused(501, f"{status} Bad {role} address syntax") from error
    except IntakeError as error:
        raise Refused(501, f"{status} {error.text}") from error


def _xtext(value: str, name: str, longest: int) -> str:
    """What an xtext value stands for (RFC 3461 section 4)."""
    if not _XTEXT.fullmatch(value) or len(value) > longest:
        raise Refused(501, f"5.5.4 Error: Bad {name} parameter syntax")
    # Bytes, so that UTF-8 coded byte by byte becomes one letter again.
    decoded = _CODED.sub(lambda found: chr(int(found[1], 16)), value).encode("latin-1")
    text = address.from_bytes(decoded)
    if not address.is_safe(text):
        raise Refused(501, f"5.5.4 Error: Bad {name} parameter syntax")
    return text


def _orcpt(value: str) -> str:
    """ORCPT as queue files hold it: the type, a semicolon, the address decoded (RFC 3461, RFC 6533)."""
    if not value:
        return ""
    kind, semicolon, coded = value.partition(";")
    kind = kind.lower()
    if not semicolon or not coded or not re.fullmatch(r"[a-z0-9-]+", kind):
        raise Refused(501, "5.5.4 Error: Bad ORCPT parameter syntax")
    if kind == "utf-8":
        coded = _UNITEXT.sub(lambda found: _letter(int(found[1], 16)), coded)
        if not coded.isprintable() or len(coded) > _LONGEST_ORCPT:
            raise Refused(501, "5.5.4 Error: Bad ORCPT parameter syntax")
        return f"{kind};{coded}"
    return f"{kind};{_xtext(coded, 'ORCPT', _LONGEST_ORCPT)}"


def _letter(number: int) -> str:
    """A code point that may stand in an address; others are refused with the control characters."""
    return chr(number) if number < 0xD800 or 0xDFFF < number <= 0x10FFFF else "\0"


def _notify(value: str | None) -> Notify:
    if value is None:
        return Notify(0)
    words = value.upper().split(",")
    if words == ["NEVER"]:
        return Notify.NEVER
    if len(set(words)) != len(words) or not set(words) <= {"SUCCESS", "FAILURE", "DELAY"}:
        raise Refused(501, "5.5.4 Error: Bad NOTIFY parameter syntax")
    notify = Notify(0)
    for word in words:
        notify |= Notify[word]
    return notify
