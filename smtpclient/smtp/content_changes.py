"""
What is changed of a message on its way out, and of the commands that announce it.

:class:`ContentChanges` is what the configuration asks for; :meth:`ContentChanges.content_filter` gives for one message
and one server the filter that its content goes through, between queue file and wire, or none. In this order, field by
field and line by line:

1. **conversion**: what is declared as 8-bit is turned to quoted-printable when the server lacks 8BITMIME (RFC 6152
   section 3), unless ``disable_mime_output_conversion`` forbids it. Headers are not touched, but for
   ``Content-Transfer-Encoding``, whose place is then the header's end;
2. **checks**: ``smtp_header_checks``, ``smtp_mime_header_checks``, ``smtp_nested_header_checks``, ``smtp_body_checks``;
3. **addresses**: ``smtp_generic_maps`` in the message's own header.

The message is read once for all of them, and not at all where nothing is to be done.

Promises: memory is bounded, whatever the size of the message; what is sent does not depend on the cut of the blocks.

Does not: convert what declares nothing. 8-bit text in headers, or in a body whose header says 7bit or nothing, passes
as it is, as with Postfix.

Known limits: the conversion breaks signatures over what it converts; who signs sends 7-bit text (RFC 1847 section 2.1).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from zope.interface import implementer

from smtpclient.config.parameters import Parameters
from smtpclient.interfaces import IContentReader
from smtpclient.mail.envelope import Envelope, Recipient
from smtpclient.observe.maillog import MailLog
from smtpclient.smtp.capability import Capabilities
from smtpclient.smtp.content_checks import ContentChecks, MessageChecks
from smtpclient.smtp.generic import ADDRESS_FIELDS, GenericMaps, NoAddress
from smtpclient.smtp.mime import Entity, MimeReader, NestingTooDeep, Place
from smtpclient.smtp.quoted_printable import QuotedPrintableEncoder

_CHECKS = ("smtp_header_checks", "smtp_mime_header_checks", "smtp_nested_header_checks", "smtp_body_checks")
_SLICE = 65536  # bytes


class Unsendable(Exception):
    """
    A message that cannot be sent as the configuration asks.

    :ivar status: the enhanced status code: of class 5 where it never will be, else of class 4.
    """

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class ContentFilter(Protocol):
    """Content passes through it, block by block; lines end in LF on both sides."""

    def feed(self, text: bytes) -> bytes:
        """
        What is sent of a block, as far as that can be said yet.

        :raises Unsendable: when nothing more must be sent.
        """

    def finish(self) -> bytes:
        """
        What is left to be sent.

        :raises Unsendable: see :meth:`feed`.
        """


@dataclass(frozen=True, slots=True)
class ContentChanges:
    """
    What the configuration asks for. The defaults are those of the parameter table.

    :param convert: turn 8-bit content to quoted-printable for servers without 8BITMIME.
    :param header_limit: the most that is kept of one field, in bytes.
    """

    convert: bool = True
    checks: ContentChecks | None = None
    generic: GenericMaps | None = None
    header_limit: int = 102400

    @classmethod
    def from_parameters(cls, parameters: Parameters, maillog: MailLog) -> "ContentChanges":
        """Take the settings from the parameters; what the tables do is told in the mail log."""
        tables = {name: opened for name in _CHECKS if (opened := parameters.tables(name))}
        return cls(
            convert=not parameters.boolean("disable_mime_output_conversion"),
            checks=ContentChecks(tables, maillog) if tables else None,
            generic=_generic_maps(parameters),
            header_limit=parameters.size("header_size_limit"),
        )

    def leaves_alone(self, capabilities: Capabilities) -> bool:
        """Whether no message is changed for this server: so it is with most, and then nothing else need be asked."""
        if self.checks is not None or self.generic is not None:
            return False
        return "8BITMIME" in capabilities.keywords or not self.convert

    def converts(self, envelope: Envelope, capabilities: Capabilities) -> bool:
        """Whether 8-bit content of this message would be converted for this server."""
        # Most servers offer it, which is the end of the question.
        return "8BITMIME" not in capabilities.keywords and self.convert and envelope.encoding != "7bit"

    def announced(self, envelope: Envelope, capabilities: Capabilities) -> Envelope:
        """
        The envelope as MAIL shall tell it: without a size where conversion would change it, and with another sender.

        :raises Unsendable: when a table has no sense.
        """
        if self.converts(envelope, capabilities):
            envelope = envelope._replace(size=0)
        if self.generic is not None:
            envelope = envelope._replace(sender=_mapped(self.generic, envelope.sender))
        return envelope

    def addressed(self, recipients: Sequence[Recipient]) -> Sequence[Recipient]:
        """
        The recipients as RCPT shall name them.

        :raises Unsendable: when a table has no sense.
        """
        if self.generic is None:
            return recipients
        return [one._replace(address=_mapped(self.generic, one.address)) for one in recipients]

    def content_filter(self, envelope: Envelope, capabilities: Capabilities) -> ContentFilter | None:
        """What the content has to go through; None: nothing."""
        convert = self.converts(envelope, capabilities)
        if not convert and self.checks is None and self.generic is None:
            return None
        return MessageFilter(self, envelope.queue_id, convert=convert)


@implementer(IContentReader)
class ChangingReader:
    """
    A reading of content as it is sent.

    Blocks that take long to change are changed in slices, so that the reactor gets its turn while each is sent.
    """

    def __init__(self, reader: IContentReader, changes: ContentFilter) -> None:
        self._reader = reader
        self._changes = changes
        self._block = b""
        self._at = 0
        self._ended = False

    async def next_block(self) -> bytes:
        """
        The next changed bytes, or nothing at the end.

        :raises Unsendable: when nothing more must be sent.
        :raises Exception: what the reader raises that is read.
        """
        while not self._ended:
            if self._at >= len(self._block):
                self._block, self._at = await self._reader.next_block(), 0
            if not self._block:
                self._ended = True
                return self._changes.finish()
            piece = self._block[self._at : self._at + _SLICE]
            self._at += _SLICE
            changed = self._changes.feed(piece)
            if changed:
                return changed
        return b""

    def close(self) -> None:
        """Give back the file; more calls do no harm."""
        self._reader.close()


class MessageFilter:
    """
    The changes to one message.

    :param queue_id: for the log.
    :param convert: turn 8-bit content to quoted-printable.
    """

    def __init__(self, changes: ContentChanges, queue_id: str, *, convert: bool) -> None:
        self._convert = convert
        self._generic = changes.generic
        checks = changes.checks
        looks = MessageChecks(checks, queue_id) if checks is not None else None
        self._field_checks = looks if checks is not None and checks.has_header else None
        self._body_checks = looks if checks is not None and checks.has_body else None
        self._encoder = QuotedPrintableEncoder()
        self._out: list[bytes] = []
        # With nothing but addresses to replace, only the message's own header matters.
        structured = convert or checks is not None
        self._reader = MimeReader(self, structured=structured, encoding=convert, header_limit=changes.header_limit)

    def feed(self, text: bytes) -> bytes:
        """
        Take a block.

        :raises Unsendable: when the message cannot be sent as it should be.
        """
        try:
            self._reader.feed(text)
        except NestingTooDeep:
            raise _too_deep() from None
        return self._drained()

    def finish(self) -> bytes:
        """
        What is left.

        :raises Unsendable: see :meth:`feed`.
        """
        try:
            self._reader.finish()
        except NestingTooDeep:
            raise _too_deep() from None
        self._body(self._encoder.finish())
        if self._body_checks is not None:
            self._out.append(self._body_checks.finish())
        return self._drained()

    def _drained(self) -> bytes:
        out = b"".join(self._out)
        self._out.clear()
        return out

    # -- what the reader calls ------------------------------------------------------------------------------------

    def field(self, place: Place, name: bytes, text: bytes, entity: Entity) -> None:
        """Pass a field on, unless it says what will no longer be true."""
        if not (self._convert and entity.eight_bit and name == b"content-transfer-encoding"):
            self._field(place, name, text)

    def end_of_header(self, place: Place, entity: Entity, *, composite: bool) -> None:
        """Say what the body will be encoded in."""
        if self._convert and entity.eight_bit:
            encoding = b"7bit" if composite else b"quoted-printable"
            self._field(place, b"", b"Content-Transfer-Encoding: " + encoding)

    def body(self, text: bytes, entity: Entity) -> None:
        """Pass body text on, encoded where that is due."""
        self._body(self._encoder.feed(text) if self._convert and entity.eight_bit else text)

    # -- the steps behind the conversion --------------------------------------------------------------------------

    def _field(self, place: Place, name: bytes, text: bytes) -> None:
        if self._field_checks is not None:
            checked = self._field_checks.field(place, name, text)
            self._out.append(checked.before)
            if checked.text is None:
                return
            if checked.text is not text:
                text = checked.text
                name = text.partition(b":")[0].rstrip(b" \t").lower()
        if self._generic is not None and place is Place.MESSAGE and name in ADDRESS_FIELDS:
            try:
                text = self._generic.field(text)
            except NoAddress as why:
                raise Unsendable("4.3.5", str(why)) from None
        self._out.append(text + b"\n")

    def _body(self, text: bytes) -> None:
        self._out.append(text if self._body_checks is None else self._body_checks.body(text))


def _too_deep() -> Unsendable:
    return Unsendable("5.6.0", "MIME nesting exceeds safety limit")


def _mapped(generic: GenericMaps, internal: str) -> str:
    try:
        return generic.envelope_address(internal)
    except NoAddress as why:
        raise Unsendable("4.3.5", str(why)) from None


def _generic_maps(parameters: Parameters) -> GenericMaps | None:
    tables = parameters.tables("smtp_generic_maps")
    if not tables:
        return None
    # The first pattern that fits decides, and "!" before it means no.
    local = {word.lstrip("!").lower(): not word.startswith("!") for word in parameters.words("mydestination")[::-1]}
    return GenericMaps(
        tables,
        parameters.text("myorigin"),
        lambda domain: local.get(domain, False),
        parameters.text("recipient_delimiter"),
        propagate="generic" in parameters.words("propagate_unmatched_extensions"),
    )
