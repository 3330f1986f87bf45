"""
What a new message goes through before it is queued: the work of Postfix's pickup(8) and cleanup(8).

:func:`prepare` takes an envelope and content as somebody hands them in and returns a
:class:`~smtpclient.mail.envelope.NewMessage` that ``Spool.create`` can store, or raises :class:`IntakeError` with an
enhanced status code and words for whoever handed it in.

* Line ends become LF, stray CRs blanks (``smtpclient.queue.header``).
* Fields of ``message_drop_headers`` go: Bcc and the like.
* A ``Received:`` field is put on top when the caller says where the message comes from. It has no queue id: the id is
  made with the file, when the content has been read. The Message-ID ties log and message together.
* Mail of our own users (``local``) gets the fields it lacks, behind its own: Message-ID, Date, From; in a message
  that was resent Resent-Message-ID and so on. No To: is made up. Addresses in its header that have no domain get
  ``myorigin``.
* Envelope addresses without a domain get ``myorigin``, what was given is kept as ``original``; a recipient that is
  given twice is kept once, upper and lower case being the same. ORCPT is set where the sender did not set it.
* ``hopcount_limit``, ``message_size_limit``, ``header_size_limit`` and impossible addresses are refused.
* 8-bit content is declared as such when the submitter did, or a ``Content-Transfer-Encoding: 8bit`` field says so;
  nobody looks for 8-bit bytes in the body.
* SMTPUTF8: what in sender and header is UTF-8 beyond ASCII is noted, as in Postfix's queue files; local mail then
  asks for SMTPUTF8 without having been told (``smtputf8_autodetect_classes``). Recipients are left to the delivery
  agent: one UTF-8 recipient must not cost the others a server without SMTPUTF8.

Promises: content given as an iterable of blocks is read lazily, while the message is stored: a large one is never in
memory. ``message_size_limit`` is then noticed while storing, as an :class:`IntakeError` out of the iteration.

Does not: rewrite addresses by tables, expand aliases, look into bodies, filter. What Postfix truncates (a field
larger than ``header_size_limit``) is refused here: a list of recipients must not lose its end silently.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from email.header import Header
from email.utils import formatdate
from itertools import chain
from random import Random
from time import gmtime, strftime

from smtpclient.config.parameters import Parameters
from smtpclient.mail import address
from smtpclient.mail.envelope import NewMessage, Notify, Recipient, Return, TlsWish, Utf8
from smtpclient.observe.maillog import MailLog, printable
from smtpclient.queue.header import Field, HeaderTooLarge, blocks_of, canonical, read_fields
from smtpclient.queue.recipients import ADDRESS_FIELDS, AddressListError, header_recipients, is_resent, qualify

LONGEST_ADDRESS = 512  # bytes; RFC 5321 section 4.5.3.1.3 asks for 256, and a command line ends at 512

_DOMAIN = re.compile(r'[^\s<>()@,;"\\]+')
_PLAIN_WORDS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")


class IntakeError(Exception):
    """
    A message that is not taken in.

    :param status: enhanced status code, RFC 3463.
    :param text: one sentence for whoever handed the message in.
    """

    def __init__(self, status: str, text: str) -> None:
        super().__init__(f"{status} {text}")
        self.status = status
        self.text = text


@dataclass(frozen=True, slots=True)
class Rules:
    """
    What the operator has set for new mail; each is the parameter of its name.

    :param message_size_limit: bytes; 0: no limit.
    :param header_size_limit: bytes of one field; the whole header may have ten times as many.
    :param message_drop_headers: in lower case.
    """

    myhostname: str
    myorigin: str
    message_size_limit: int = 10_240_000
    header_size_limit: int = 102_400
    hopcount_limit: int = 50
    message_drop_headers: frozenset[str] = frozenset({"bcc", "content-length", "resent-bcc", "return-path"})

    @classmethod
    def from_parameters(cls, parameters: Parameters) -> "Rules":
        """The rules as configured."""
        return cls(
            myhostname=parameters.text("myhostname"),
            myorigin=parameters.text("myorigin"),
            message_size_limit=parameters.size("message_size_limit"),
            header_size_limit=parameters.size("header_size_limit"),
            hopcount_limit=parameters.integer("hopcount_limit"),
            message_drop_headers=frozenset(name.lower() for name in parameters.words("message_drop_headers")),
        )


@dataclass(frozen=True, slots=True)
class Submission:
    """
    A message as somebody hands it in.

    :param sender: internal form; empty is the null sender.
    :param recipients: internal forms; without a domain they get ``myorigin``.
    :param content: header and body with LF or CRLF line ends. An iterable of blocks is read while the message is
        stored, and again where it can be iterated again.
    :param header_recipients: take the recipients that the header names, too, with these wishes for notification;
        None: only those of the envelope.
    :param local: one of our own users hands it in; it gets the fields that it lacks.
    :param trace: what the Received: field says before its date, for instance ``by host (smtpclient, from userid 7)``;
        empty: no such field.
    :param full_name: the sender's, for the From: field.
    :param encoding: ``7bit``, ``8bit`` or empty: what the submitter declared.
    :param utf8: ``REQUESTED`` when the submitter asked for SMTPUTF8.
    :param attributes: further records of the envelope, for instance ``log_message_origin``.
    :param require_tls: never let it pass but under TLS with servers that have shown who they are (RFC 8689).
    """

    sender: str
    recipients: Sequence[Recipient]
    content: bytes | Iterable[bytes]
    header_recipients: Notify | None = None
    local: bool = True
    trace: str = ""
    full_name: str = ""
    encoding: str = ""
    utf8: Utf8 = Utf8(0)
    envelope_id: str = ""
    ret: Return = Return.UNSPECIFIED
    attributes: Mapping[str, str] = field(default_factory=dict)
    require_tls: bool = False


class PreparedContent:
    """
    Canonical content: iterate it for its blocks.

    :ivar message_id: the text of its Message-ID field, or empty.
    """

    def __init__(
        self,
        head: bytes,
        message_id: str,
        source: bytes | Iterable[bytes],
        unread: Iterator[bytes],
        rules: Rules,
    ) -> None:
        self.message_id = message_id
        self._head = head
        self._source = source
        self._unread: Iterator[bytes] | None = unread
        self._rules = rules

    def __iter__(self) -> Iterator[bytes]:
        """
        The blocks, header first.

        :raises IntakeError: when the content turns out too large.
        :raises ValueError: when the source can be read once only, and has been.
        """
        unread, self._unread = self._unread, None
        if unread is None:
            if iter(self._source) is self._source:
                raise ValueError("this message's content has been read and cannot be read again")
            blocks = canonical(blocks_of(self._source))
            _, rest = read_fields(blocks, self._rules.header_size_limit)
            unread = chain([rest], blocks)
        size = 0
        for block in chain([self._head], unread):
            size += len(block)
            _check_size(size, self._rules)
            if block:
                yield block


def prepare(submission: Submission, rules: Rules, now: float, random: Random) -> NewMessage:
    """
    Make a message ready to be queued.

    :param now: seconds since the epoch.
    :param random: makes the Message-ID unique.
    :raises IntakeError: when the message is refused.
    :raises OSError: when the content cannot be read.
    """
    sender = submission.sender and checked_address(submission.sender, rules.myorigin, "5.1.7", "sender")
    if not address.is_safe(submission.envelope_id):
        raise IntakeError("5.5.4", "envelope id holds a control character")
    if isinstance(submission.content, Sequence):
        given = submission.content
        _check_size(len(given) if isinstance(given, bytes) else sum(map(len, given)), rules)
    blocks = canonical(blocks_of(submission.content))
    try:
        fields, rest = read_fields(blocks, rules.header_size_limit)
    except HeaderTooLarge as error:
        raise IntakeError("5.3.4", str(error)) from error
    recipients = _recipients(submission, fields, rules.myorigin)
    full_name = submission.full_name and _one_line(submission.full_name)
    if sender != submission.sender or full_name != submission.full_name:
        submission = replace(submission, sender=sender, full_name=full_name)
    fields = _new_header(submission, fields, rules, now, random)
    head = b"".join([one.to_bytes() for one in fields])
    first = _first_ones(fields)
    message_id = _body(first, "resent-message-id") or _body(first, "message-id")
    return NewMessage(
        sender=sender,
        recipients=recipients,
        content=PreparedContent(head, message_id, submission.content, chain([rest], blocks), rules),
        encoding=submission.encoding or _declared_encoding(first),
        utf8=_utf8(submission, sender, recipients, head),
        envelope_id=submission.envelope_id,
        ret=submission.ret,
        full_name=full_name,
        attributes=submission.attributes,
        tls=_tls_wish(submission, first),
    )


def checked_address(given: str, origin: str, status: str, role: str) -> str:
    """
    An envelope address with a domain.

    :param given: internal form; without a domain it gets the origin.
    :param status: the enhanced status code for one that is refused.
    :param role: ``sender`` or ``recipient``, for the text.
    :raises IntakeError: when it is none.
    """
    local, sign, domain = given.rpartition("@")
    if not sign:
        local, domain = given, origin
    why = ""
    if not address.is_safe(given):
        why = f"{role} address holds a control character: <%s>"
    elif not given.isascii() and any("\ud800" <= letter <= "\udfff" for letter in given):
        why = f"{role} address is not valid UTF-8: <%s>"
    elif len(address.to_bytes(given)) > LONGEST_ADDRESS:
        why = f"{role} address is longer than {LONGEST_ADDRESS} bytes: <%s...>"
    elif not local or not domain.strip(".") or not _DOMAIN.fullmatch(domain):
        why = f"bad {role} address syntax: <%s>"
    if why:
        raise IntakeError(status, why % printable(given[:100]))
    return f"{local}@{domain}"


def log_arrival(maillog: MailLog, queue_id: str, message: NewMessage) -> None:
    """Say which message a queue id stands for, as cleanup(8) does: ``QUEUEID: message-id=<...>``."""
    if isinstance(message.content, PreparedContent):
        maillog.info("cleanup", f"message-id={message.content.message_id}", queue_id)


def local_trace(rules: Rules, uid: int) -> str:
    """The trace of a message from a user of this machine."""
    return f"by {rules.myhostname} (smtpclient, from userid {uid})"


def _check_size(size: int, rules: Rules) -> None:
    if rules.message_size_limit and size > rules.message_size_limit:
        raise IntakeError("5.3.4", f"message is larger than {rules.message_size_limit} bytes (message_size_limit)")


def _recipients(submission: Submission, fields: list[Field], origin: str) -> tuple[Recipient, ...]:
    """
    The recipients as they are queued.

    :raises IntakeError: when there is none, or one is no address.
    """
    given = list(submission.recipients)
    if submission.header_recipients is not None:
        try:
            named = header_recipients(fields, origin)
        except AddressListError as error:
            raise IntakeError("5.1.3", str(error)) from error
        given += [Recipient(one, notify=submission.header_recipients) for one in named]
    kept: dict[tuple[str, str, int], Recipient] = {}
    for recipient in given:
        wanted = checked_address(recipient.address, origin, "5.1.3", "recipient")
        original = recipient.original or ("" if wanted == recipient.address else recipient.address)
        orcpt = recipient.orcpt or ("rfc822;" if wanted.isascii() else "utf-8;") + wanted
        ready = recipient._replace(address=wanted, original=original, orcpt=orcpt)
        kept.setdefault((wanted.lower(), orcpt.lower(), int(recipient.notify)), ready)
    if not kept:
        raise IntakeError("5.1.3", "no recipient addresses given")
    return tuple(kept.values())


def _new_header(submission: Submission, fields: list[Field], rules: Rules, now: float, random: Random) -> list[Field]:
    """
    The header as it is queued.

    :raises IntakeError: when the message has been through too many hosts.
    """
    made = [_field("Received", f"{submission.trace};\n\t{_date(now)}")] if submission.trace else []
    # As Postfix counts, the hop that is us is one of them.
    if len(made) + sum(one.key == "received" for one in fields) >= rules.hopcount_limit:
        raise IntakeError("5.4.0", "too many hops")
    for one in fields:
        if one.key in rules.message_drop_headers:
            continue
        if submission.local and one.key in ADDRESS_FIELDS:
            made.append(Field(one.name, qualify(one.text, rules.myorigin)))
        else:
            made.append(one)
    if submission.local:
        made += _missing_fields(submission, fields, rules, now, random)
    return made


def _missing_fields(
    submission: Submission, fields: list[Field], rules: Rules, now: float, random: Random
) -> Iterator[Field]:
    present = {one.key for one in fields}
    resent = "Resent-" if is_resent(fields) else ""
    key = resent.lower()
    if key + "message-id" not in present:
        stamp = strftime("%Y%m%d%H%M%S", gmtime(now))
        yield _field(f"{resent}Message-ID", f"<{stamp}.{random.getrandbits(80):020x}@{rules.myhostname}>")
    if key + "date" not in present:
        yield _field(f"{resent}Date", _date(now))
    if key + "from" not in present:
        yield _field(f"{resent}From", _from_text(submission, rules))


def _date(now: float) -> str:
    return formatdate(now, localtime=True)


def _field(name: str, text: str) -> Field:
    return Field(name.encode("ascii"), f" {text}\n".encode())


def _from_text(submission: Submission, rules: Rules) -> str:
    sender = address.external(submission.sender or f"MAILER-DAEMON@{rules.myorigin}")
    name = submission.full_name
    if not name:
        return sender
    if not name.isascii():
        name = Header(name, "utf-8", header_name="From").encode()
    elif not _PLAIN_WORDS.fullmatch(name):
        name = '"' + re.sub(r'(["\\])', r"\\\1", name) + '"'
    return f"{name} <{sender}>"


def _one_line(text: str) -> str:
    """A name that cannot end a field or a record."""
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _first_ones(fields: Iterable[Field]) -> dict[str, Field]:
    """The first field of each name."""
    found: dict[str, Field] = {}
    for one in fields:
        found.setdefault(one.key, one)
    return found


def _body(first: Mapping[str, Field], key: str) -> str:
    return first[key].body if key in first else ""


def _declared_encoding(first: Mapping[str, Field]) -> str:
    declared = _body(first, "content-transfer-encoding").partition("(")[0].strip().lower()
    return "8bit" if declared in ("8bit", "binary") else ""


def _tls_wish(submission: Submission, first: Mapping[str, Field]) -> TlsWish:
    """What is asked of TLS; REQUIRETLS makes the field count for nothing (RFC 8689 section 4.1)."""
    if submission.require_tls:
        return TlsWish.REQUIRED
    return TlsWish.OPTIONAL if _body(first, "tls-required").strip().lower() == "no" else TlsWish(0)


def _utf8(submission: Submission, sender: str, recipients: Iterable[Recipient], head: bytes) -> Utf8:
    """What needs SMTPUTF8 (RFC 6531), as Postfix's queue files have it."""
    found = Utf8(0) if sender.isascii() else Utf8.SENDER
    if not head.isascii() and _is_utf8(head):
        found |= Utf8.HEADER
    if submission.local and (found or not all(recipient.address.isascii() for recipient in recipients)):
        return found | Utf8.REQUESTED
    return found | submission.utf8 & Utf8.REQUESTED if submission.utf8 else found


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
