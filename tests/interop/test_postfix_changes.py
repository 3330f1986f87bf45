"""
What we change of a message on its way out is what Postfix changes: conversion, checks, addresses.

Postfix's smtpd(8) and cleanup(8) write the queue files, we read them; then Postfix's own smtp(8) delivers them to a
server without 8BITMIME that keeps every byte. The recipient's domain says which settings are in force.
"""

import functools
import random
import smtplib
from collections.abc import Mapping

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from smtpclient.config.parameters import Parameters
from smtpclient.observe.maillog import MailLog
from smtpclient.queue.spool import Spool
from smtpclient.smtp import command
from smtpclient.smtp.capability import Capabilities
from smtpclient.smtp.content import WireEncoder
from smtpclient.smtp.content_changes import ContentChanges
from tests.interop.private_postfix import ACCEPTING, DELIVERING, LOOPBACK, PrivatePostfix, missing
from tests.interop.recording_sink import RecordingSink, Transaction
from tests.ports import free_port
from tests.queue.disk import DirectFiles, run

COUNT = 600
CAPABILITIES = Capabilities(True, {"PIPELINING": "", "SIZE": "", "ENHANCEDSTATUSCODES": ""})
EHLO = b"250-sink.test\r\n250-PIPELINING\r\n250-SIZE\r\n250 ENHANCEDSTATUSCODES\r\n"

_CHECKS = """\
/^Subject: .*hush/ IGNORE
/^Subject: .*shout/ REPLACE Subject: QUIET
/^X-Number: (.*)$/ PREPEND X-Before: $1
/^X-Drop/ STRIP away with it
/^X-Bad/ REPLACE no field at all
/^X-Late/ REJECT too late
/^X-Fold(.*)/ REPLACE X-Unfold$1
/^From: .*one/ REPLACE From: another@generic.test
/^Content-Type: text.html/ REPLACE Content-Type: text/plain
/^Content-Transfer-Encoding: (q)/ INFO it is $1
"""
_MIME_CHECKS = """\
/^Content-Description:/ IGNORE
/^Content-Type: image.(.*)/ PREPEND X-Image: $1
/^MIME-Version/ WARN who needs that
"""
_NESTED_CHECKS = """\
/^Subject:(.*)/ REPLACE Subject: inner$1
/^To:/ PREPEND X-Inner: yes
"""
_BODY_CHECKS = """\
/^secret/ IGNORE
/^(--.*)/ INFO boundary
/=C3/ PREPEND here is an umlaut
/replace (me)/ REPLACE replaced $1
/^$/ REPLACE never
/dunno/ DUNNO
"""
_GENERIC = """\
one@generic.test another@example.com
@moved.generic.test @example.org
user@ext.generic.test plain@example.net
user+known@ext.generic.test known@example.net
"quoted one"@generic.test "still quoted"@example.com
local here@example.com
noone@generic.test bare
"""
_GENERIC_PATTERNS = """\
/^(.*)@pattern\\.generic\\.test$/ $1.seen@example.com
"""

_TABLES = {
    "checks": _CHECKS,
    "mime": _MIME_CHECKS,
    "nested": _NESTED_CHECKS,
    "body": _BODY_CHECKS,
    "patterns": _GENERIC_PATTERNS,
    "generic": _GENERIC,
}
_COMMON = {"recipient_delimiter": "+", "myorigin": "here.generic.test", "mydestination": "local.generic.test"}


def _settings(folder: str) -> dict[str, dict[str, str]]:
    """The parameters of the SMTP client by recipient domain."""
    checks = {
        "smtp_header_checks": f"regexp:{folder}/checks",
        "smtp_mime_header_checks": f"regexp:{folder}/mime",
        "smtp_nested_header_checks": f"regexp:{folder}/nested",
        "smtp_body_checks": f"regexp:{folder}/body",
    }
    generic = {"smtp_generic_maps": f"texthash:{folder}/generic, regexp:{folder}/patterns"}
    return {
        "convert.test": {},
        "checks.test": checks,
        "generic.test": generic,
        "extended.test": {**generic, "propagate_unmatched_extensions": "generic"},
        "all.test": {**checks, **generic},
        "none.test": {"disable_mime_output_conversion": "yes"},
    }


# -- messages -----------------------------------------------------------------------------------------------------

_TEXTS = (
    "plain words\r\n",
    "Grüße aus Köln = süß\r\n",
    "trailing blank \r\n",
    "tab at the end\t\r\n",
    ".\r\n",
    "..dots\r\n",
    "--\r\n",
    "--not a boundary\r\n",
    "\r\n",
    "secret\r\n",
    "please replace me here\r\n",
    "x" * 72 + "ä\r\n",
    "x" * 73 + "\r\n",
    "x" * 74 + " \r\n",
    "日本語のテキスト" * 20 + "\r\n",
    "long " * 300 + "\r\n",
    "ö" * 1500 + "\r\n",
    "a" * 2047 + "\r\n",
    "a" * 2048 + "\r\n",
    "a" * 2049 + "\r\n",
    "From here\r\n",
    "Subject: not a header\r\n",
)
_ADDRESSES = (
    "one@generic.test",
    "One@Generic.Test",
    "other@generic.test",
    "any.body@moved.generic.test",
    "user+known@ext.generic.test",
    "user+more@ext.generic.test",
    "user@ext.generic.test",
    '"quoted one"@generic.test',
    '"quoted two"@moved.generic.test',
    "local@local.generic.test",
    "local@here.generic.test",
    "local",
    "x@pattern.generic.test",
    "noone@generic.test",
    "nobody@elsewhere.test",
    "user@[192.0.2.1]",
)
_NAMES = (
    "",
    "Some One",
    '"Doe, John"',
    "J. R. Doe",
    "=?utf-8?Q?J=C3=BCrgen?=",
    "Jürgen",
    "(comment) Name",
    '"a \\" b"',
)


def _text(chance: random.Random) -> bytes:
    return "".join(chance.choice(_TEXTS) for _ in range(chance.choice([0, 1, 2, 5, 20]))).encode()


def _mailbox(chance: random.Random) -> str:
    mailbox = chance.choice(_ADDRESSES)
    if chance.random() < 0.3:
        return mailbox
    if chance.random() < 0.2:
        return f"{mailbox} ({chance.choice(['a comment', 'nested (one)', 'x'])})"
    return f"{chance.choice(_NAMES)} <{mailbox}>"


def _address_list(chance: random.Random) -> str:
    boxes = [_mailbox(chance) for _ in range(chance.choice([1, 1, 2, 3, 8]))]
    if chance.random() < 0.1:
        boxes.append("A group: " + ", ".join(_mailbox(chance) for _ in range(chance.choice([0, 1, 3]))) + ";")
    if chance.random() < 0.05:
        boxes.append(
            chance.choice(
                [
                    "",
                    "one@generic.test two@generic.test",
                    "<>",
                    "<one@generic.test",
                    "@",
                    '"open',
                    "x" * 260 + " <one@generic.test>",
                ]
            )
        )
    return chance.choice([", ", ",\r\n\t", ",", " ,  "]).join(boxes)


def _fields(chance: random.Random, number: int) -> bytes:
    """A header without MIME fields."""
    fields = [
        f"X-Number: {number}",
        "Subject: " + chance.choice(["words", "hush", "shout", "Größe", "folded\r\n and more", ""]),
        "From: " + _mailbox(chance),
        chance.choice(["To", "Cc", "Reply-To", "Sender", "resent-to", "Errors-To", "Return-Receipt-To"])
        + chance.choice([": ", ":", " : "])
        + _address_list(chance),
        "To: " + _address_list(chance),
        chance.choice(
            ["X-Drop: a", "X-Bad: b", "X-Late: c", "X-Fold: first\r\n\tsecond", "X-Other : d", "X-To: one@generic.test"]
        ),
    ]
    chance.shuffle(fields)
    return "".join(field + "\r\n" for field in fields[: chance.choice([2, 3, 6])]).encode()


def _encoding(chance: random.Random) -> str:
    return chance.choice(
        [
            "8bit",
            "8bit",
            "8bit",
            "8BIT",
            "7bit",
            "binary",
            "base64",
            "quoted-printable",
            "x-odd",
            '"8bit"',
            "(c) 8bit",
            "8bit; x",
            "",
        ]
    )


def _leaf(chance: random.Random) -> tuple[bytes, bytes]:
    """The MIME fields of a body without structure, and the body."""
    fields = []
    if chance.random() < 0.8:
        fields.append(
            "Content-Type: "
            + chance.choice(
                ["text/plain", "text/html; charset=utf-8", "image/png", "TEXT/X", "", ";", "application/x(y)"]
            )
        )
    if chance.random() < 0.8:
        fields.append("Content-Transfer-Encoding: " + _encoding(chance))
    if chance.random() < 0.1:
        fields.append("Content-Transfer-Encoding: " + _encoding(chance))
    if chance.random() < 0.2:
        fields.append("Content-Description: a part")
    chance.shuffle(fields)
    return "".join(field + "\r\n" for field in fields).encode(), _text(chance)


def _entity(chance: random.Random, depth: int) -> tuple[bytes, bytes]:
    """The MIME fields of a body, and the body."""
    kind = chance.random()
    if depth > 3 or kind < 0.4:
        return _leaf(chance)
    encoding = f"Content-Transfer-Encoding: {chance.choice(['8bit', '8bit', '7bit', 'binary'])}\r\n".encode()
    if chance.random() < 0.3:
        encoding = b""
    if kind < 0.55:
        fields, body = _entity(chance, depth + 1)
        subtype = chance.choice([b"rfc822", b"RFC822", b"global"])
        content = _fields(chance, 0) + fields + b"\r\n" + body
        return b"Content-Type: message/" + subtype + b"\r\n" + encoding, content
    boundary = chance.choice(["b", f"b{depth}", f"=_{depth}_x", f"long{depth}" * 20])
    quoted = chance.choice([f'"{boundary}"', boundary if "=" not in boundary else f'"{boundary}"', f'"\\{boundary}"'])
    type_field = chance.choice(
        [
            f"Content-Type: multipart/mixed; boundary={quoted}\r\n",
            f"content-type: Multipart/Alternative;\r\n\tcharset=x; BOUNDARY = {quoted} ; x=y\r\n",
            f"Content-Type: multipart/signed; (a comment; boundary=no) boundary={quoted}\r\n",
            f"Content-Type: multipart/digest; boundary={quoted}\r\n",
        ]
    )
    lines = [_text(chance)]
    for _ in range(chance.choice([0, 1, 2, 3])):
        fields, body = _entity(chance, depth + 1)
        if "digest" in type_field:
            fields, body = b"", _fields(chance, 0) + fields + b"\r\n" + body
        # Where a part of a digest says what it is, Postfix takes it for a message all the same; we do not.
        empty_line = b"\r\n" if chance.random() < 0.95 or "digest" in type_field else b""
        trailer = chance.choice([b"", b"", b" ", b" odd"])
        lines.append(b"--" + boundary.encode() + trailer + b"\r\n" + fields + empty_line + body)
    if chance.random() < 0.85:
        lines.append(b"--" + boundary.encode() + b"--\r\n" + _text(chance))
    return type_field.encode() + encoding, b"".join(lines)


def _message(number: int) -> bytes:
    chance = random.Random(number)
    fields, body = _entity(chance, 0)
    header = _fields(chance, number) + b"MIME-Version: 1.0\r\n" + fields
    if chance.random() < 0.05:
        return header + body  # whatever is no field ends the header
    return header + b"\r\n" + body


# -- the run ------------------------------------------------------------------------------------------------------


class Comparison:
    """
    One run: what we would send, and what Postfix sends, by number.

    :ivar failure: why there is nothing to compare, or nothing.
    """

    def __init__(self) -> None:
        self.ours: dict[int, Transaction] = {}
        self.theirs: dict[int, Transaction] = {}
        self.failure = ""
        try:
            self._run()
        except RuntimeError as error:
            self.failure = str(error)

    def _run(self) -> None:
        sink = RecordingSink(ehlo=EHLO)
        postfix = PrivatePostfix({**_COMMON, "local_header_rewrite_clients": "", "enable_original_recipient": "no"})
        try:
            settings = _settings(postfix.etc)
            for name, text in _TABLES.items():
                with open(f"{postfix.etc}/{name}", "w") as file:
                    file.write(text)
            with open(f"{postfix.etc}/transport", "w") as file:
                file.writelines(
                    f"{domain} {domain.partition('.')[0]}:[{LOOPBACK}]:{sink.port}\n" for domain in settings
                )
            with open(f"{postfix.etc}/main.cf", "a") as file:
                file.write(f"transport_maps = texthash:{postfix.etc}/transport\n")
            self._write(postfix)
            self._read(postfix, settings)
            postfix.start(ACCEPTING + DELIVERING + _services(settings))
            if not sink.wait(COUNT, 300):
                raise RuntimeError(f"{len(sink.transactions)} of {COUNT} delivered: {postfix.log()[-3000:]}")
        finally:
            postfix.remove()
            sink.stop()
        for one in sink.transactions:
            self.theirs[_number(one.wire)] = one

    def _write(self, postfix: PrivatePostfix) -> None:
        port = free_port()
        postfix.start(ACCEPTING + f"{LOOPBACK}:{port} inet n - n - - smtpd\n", [port])
        domains = list(_settings(""))
        with smtplib.SMTP(LOOPBACK, port, timeout=300) as client:
            client.ehlo("client.test")
            for number in range(COUNT):
                chance = random.Random(-number)
                sender = chance.choice(["one@generic.test", "user+x@ext.generic.test", "s@elsewhere.test", ""])
                local = chance.choice(["one", "user+x", '"quoted one"'])
                body = chance.choice([["BODY=8BITMIME"], []])
                replies = [client.mail(sender, body), client.rcpt(f"{local}@{domains[number % len(domains)]}")]
                client.putcmd("DATA")
                client.getreply()
                content = b"X-Mark: %d\r\n" % number + _message(number)
                client.send(content.replace(b"\r\n.", b"\r\n..") + b".\r\n")
                replies.append(client.getreply())
                if any(reply[0] != 250 for reply in replies):
                    raise RuntimeError(f"{number}: {replies}")
        postfix.stop()

    def _read(self, postfix: PrivatePostfix, settings: Mapping[str, Mapping[str, str]]) -> None:
        maillog = MailLog()
        spool = Spool(postfix.queue, DirectFiles(), Clock(), maillog)
        changes = {
            domain: ContentChanges.from_parameters(
                Parameters.from_values({**_COMMON, "myhostname": "mx.postfix.test", **own}), maillog
            )
            for domain, own in settings.items()
        }
        for entry in spool.scan("incoming"):
            message = spool.read(entry.queue_id, "incoming")
            envelope, recipient = message.envelope, message.recipients[0]
            change = changes[recipient.domain]
            stage = change.content_filter(envelope, CAPABILITIES)
            reader = spool.content(envelope, "incoming").open()
            encoder = WireEncoder()
            wire = []
            while block := run(reader.next_block()):
                wire.append(encoder.feed(stage.feed(block) if stage is not None else block))
            reader.close()
            wire.append(encoder.feed(stage.finish() if stage is not None else b"") + encoder.finish())
            mail = command.mail_from(change.announced(envelope, CAPABILITIES), CAPABILITIES).decode()
            rcpt = command.rcpt_to(change.addressed([recipient])[0], CAPABILITIES).decode()
            one = Transaction(mail[5:].rstrip(), [rcpt[5:].rstrip()], b"".join(wire))
            self.ours[_number(one.wire)] = one


def _services(settings: Mapping[str, Mapping[str, str]]) -> str:
    """The clients, one for each domain."""
    lines = []
    for domain, own in settings.items():
        lines.append(f"{domain.partition('.')[0]} unix - - n - 10 smtp")
        lines += [f"    -o {{ {name} = {value} }}" for name, value in own.items()]
    return "\n".join(lines) + "\n"


def _number(wire: bytes) -> int:
    return int(wire.partition(b"X-Mark: ")[2].partition(b"\r\n")[0])


_compare = functools.cache(Comparison)


class PostfixChangesTests(SynchronousTestCase):
    """One run for all claims."""

    skip = missing() or None

    def setUp(self) -> None:
        self.made = _compare()
        self.assertEqual(self.made.failure, "")

    def test_all(self) -> None:
        """Every message was delivered, by both."""
        self.assertEqual((len(self.made.ours), len(self.made.theirs)), (COUNT, COUNT))

    def test_content(self) -> None:
        """What we would send is what Postfix sends, byte for byte."""
        different = {
            number: (self.made.ours[number].wire, one.wire)
            for number, one in self.made.theirs.items()
            if self.made.ours[number].wire != one.wire
        }
        self.assertEqual(different, {})

    def test_commands(self) -> None:
        """So are MAIL and RCPT, with the addresses that replace others, and SIZE only where it is known."""
        different = {
            number: (ours, theirs)
            for number, theirs in self.made.theirs.items()
            if ((ours := self.made.ours[number]).mail, ours.recipients) != (theirs.mail, theirs.recipients)
        }
        self.assertEqual(different, {})
