"""
What the operator wants done with single lines on the way out: ``smtp_header_checks`` and its kin, header_checks(5).

A field or a line of a body is looked up in its table; the answer is an action:

==================  ============================================================================================
``DUNNO``, ``OK``   nothing
``IGNORE``          leave it out
``STRIP text``      leave it out, and log that
``INFO text``       log it
``WARN text``       log it as a warning
``PREPEND text``    send another line before it
``REPLACE text``    send another line in its place
==================  ============================================================================================

The actions that decide about the message as a whole (``REJECT``, ``DISCARD``, ``FILTER``, ``HOLD``, ``REDIRECT``,
``BCC``, ``PASS``) come too late here: each is logged as a fault of the table, and the line is sent.

Promises: a header stays a header, whatever a table says: what is no field is not sent as one, and a line end in it
continues it. Empty lines are never looked up.

Known limits: of a body's line, pieces of 2048 bytes are looked up one by one.
"""

import re
from dataclasses import dataclass

from smtpclient.config.tables import Tables
from smtpclient.mail import address
from smtpclient.observe.maillog import MailLog
from smtpclient.smtp.mime import MIME_FIELDS, PIECE, Place

_SHOWN = 60  # characters of what was looked up that the log shows
_FIELD = re.compile(r"[!-9;-~]+[ \t]*:")
_LINE_END = re.compile(r"\n(?![ \t])")

_PARAMETERS = {
    Place.MESSAGE: "smtp_header_checks",
    Place.PART: "smtp_mime_header_checks",
    Place.ATTACHED_MESSAGE: "smtp_nested_header_checks",
}
_BODY = "smtp_body_checks"

_CHANGES = ("REPLACE", "PREPEND")
_TOLD = {"STRIP": "strip", "INFO": "info", "WARN": "warning"}  # with the words of the log
_SILENT = ("DUNNO", "OK", "IGNORE")
_LEFT_OUT = ("STRIP", "IGNORE")


@dataclass(frozen=True, slots=True)
class ContentChecks:
    """
    The tables.

    :param tables: by the name of the parameter; a parameter without tables is not in it.
    :param maillog: where actions are told.
    """

    tables: dict[str, Tables]
    maillog: MailLog

    @property
    def has_header(self) -> bool:
        """Whether header fields are looked at."""
        return any(name in self.tables for name in _PARAMETERS.values())

    @property
    def has_body(self) -> bool:
        """Whether lines of bodies are looked at."""
        return _BODY in self.tables


@dataclass(frozen=True, slots=True)
class Checked:
    """
    What an action makes of a text.

    :param before: what is sent before it, a complete line; or nothing.
    :param text: what is sent in its place; None: nothing.
    """

    text: bytes | None
    before: bytes = b""


class MessageChecks:
    """
    Looks at one message.

    :param queue_id: for the log.
    """

    def __init__(self, checks: ContentChecks, queue_id: str) -> None:
        self._checks = checks
        self._queue_id = queue_id
        self._held = b""  # the beginning of a line of the body
        self._sent = False  # of the line that is being looked at in pieces, some have been sent

    def field(self, place: Place, name: bytes, text: bytes) -> Checked:
        """
        Look at a header field.

        :param name: in lower case; nothing for one that stands for no field of the message.
        :param text: without its last line end.
        """
        if name in MIME_FIELDS:
            place = Place.PART
        return self._look(_PARAMETERS[place], "header", text)

    def body(self, text: bytes) -> bytes:
        """Look at lines of the body, cut anywhere; what is sent of them."""
        text = self._held + text
        out = []
        at = 0
        while (end := text.find(b"\n", at, at + PIECE)) >= 0 or len(text) - at >= PIECE:
            has_end = end >= 0
            end = end if has_end else at + PIECE - 1
            out.append(self._piece(text[at:end], has_end=has_end))
            at = end + has_end
        self._held = text[at:]
        return b"".join(out)

    def finish(self) -> bytes:
        """What is sent of a last line without end."""
        held, self._held = self._held, b""
        return self._piece(held, has_end=False) if held else b""

    def _piece(self, piece: bytes, *, has_end: bool) -> bytes:
        checked = self._look(_BODY, "body", piece)
        # Of a line that was left out, the end is too, but not that of one of which a piece has been sent.
        is_sent = checked.text is not None
        line_end = b"\n" if has_end and (is_sent or self._sent) else b""
        self._sent = not has_end and (is_sent or self._sent)
        return checked.before + (checked.text or b"") + line_end

    def _look(self, parameter: str, where: str, text: bytes) -> Checked:
        tables = self._checks.tables.get(parameter)
        answer = tables.lookup(address.from_bytes(text)) if tables is not None and text else None
        if answer is None:
            return Checked(text)
        action, *words = answer.split(maxsplit=1)
        action, argument = action.upper(), words[0] if words else ""
        if action in _CHANGES:
            return self._change(action, parameter, where, text, argument)
        if action in _TOLD:
            self._tell(_TOLD[action], where, text, argument)
        elif action not in _SILENT:
            self._checks.maillog.warning("smtp", f"unsupported command in {parameter} map: {answer}")
        return Checked(None if action in _LEFT_OUT else text)

    def _change(self, change: str, parameter: str, where: str, text: bytes, argument: str) -> Checked:
        """Another line in the place of one, or before it."""
        fault = ""
        if not argument:
            fault = f"{change} action without text in {parameter} map"
        elif where == "header" and not _FIELD.match(argument):
            fault = f'bad {change} header text "{argument}" in {parameter} map -- need "headername: headervalue"'
        if fault:
            self._checks.maillog.warning("smtp", fault)
            return Checked(text)
        self._tell(change.lower(), where, text, argument)
        # What a pattern took from a folded field may end where its line did.
        line = address.to_bytes(_LINE_END.sub("\n\t", argument))
        return Checked(line) if change == "REPLACE" else Checked(text, line + b"\n")

    def _tell(self, action: str, where: str, text: bytes, words: str) -> None:
        shown = f"{action}: {where} {text[:_SHOWN].decode('utf-8', 'replace')}"
        self._checks.maillog.info("smtp", f"{shown}: {words}" if words else shown, self._queue_id)
