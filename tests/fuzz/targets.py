"""
What is fuzzed: everything that reads bytes which somebody else has chosen.

A target takes bytes and raises nothing but what its reader promises to raise.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from smtpclient.command.direct import at_once
from smtpclient.config import maincf
from smtpclient.config.parameters import ConfigurationError
from smtpclient.config.tables import Tables
from smtpclient.dns import message
from smtpclient.mail.envelope import NewMessage, Notify, Recipient, TraceFlags
from smtpclient.postfix.attributes import WireError
from smtpclient.postfix.request import RequestReader
from smtpclient.queue import queuefile
from smtpclient.queue.content import SpoolContent
from smtpclient.queue.queuefile import CorruptQueueFile
from smtpclient.smtp import capability
from smtpclient.smtp.content import WireEncoder
from smtpclient.smtp.content_changes import ContentChanges, MessageFilter, Unsendable
from smtpclient.smtp.generic import GenericMaps
from smtpclient.smtp.reply import ReplyParser, ReplyTooLong
from tests.postfix.queue_manager import request
from tests.queue.disk import DirectFiles


@dataclass(frozen=True)
class Target:
    """
    One reader.

    :param modules: whose lines count.
    """

    name: str
    modules: Sequence[str]
    seeds: Sequence[bytes]
    read: Callable[[bytes], object]


def _replies(data: bytes) -> None:
    parser = ReplyParser()
    try:
        for start in range(0, len(data), 7):
            for reply in parser.feed(data[start : start + 7])[0]:
                assert 0 <= reply.code <= 999 and reply.one_line is not None
                capability.from_ehlo(reply).size_limit.bit_length()
                assert reply.enhanced == "" or reply.enhanced[0] == str(reply.code)[0]
    except ReplyTooLong:
        return


def _queue_file(data: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        files = DirectFiles()
        try:
            found = queuefile.read_message(files, file.fileno(), file.name, "ID")
            reader = SpoolContent(files, file.name, found.envelope.content_offset).open()
        except CorruptQueueFile:
            return
        try:
            block = b"-"
            while block:
                block = at_once(reader.next_block())
        except CorruptQueueFile:
            return
        finally:
            reader.close()


def _names(data: bytes) -> None:
    try:
        message.read_reply(data)
    except message.MalformedReply:
        return


def _main_cf(data: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        try:
            maincf.load(file.name)
        except ConfigurationError as error:
            assert error.problems


def _content(data: bytes) -> None:
    encoder = WireEncoder(60)
    pieces = [encoder.feed(data[start : start + 11]) for start in range(0, len(data), 11)]
    wire = b"".join(pieces) + encoder.finish()
    body = b"\r\n" + wire.removesuffix(b".\r\n")
    assert wire.endswith(b".\r\n") and b"\r\n.\r\n" not in body


_CHANGES = ContentChanges(generic=GenericMaps(Tables("inline:{a@b=c@d}"), "here.test", lambda domain: False, "+"))


def _changes(data: bytes) -> None:
    def sent(size: int) -> bytes:
        stage = MessageFilter(_CHANGES, "ID", convert=True)
        return b"".join([stage.feed(data[at : at + size]) for at in range(0, len(data), size)]) + stage.finish()

    try:
        whole = sent(len(data) or 1)
    except Unsendable:
        return
    assert sent(13) == whole


def _queue_files() -> list[bytes]:
    content = b"Subject: x\n\n" + b"line\n" * 20 + b"x" * 5000 + b"\nend"
    plain = NewMessage("a@b.test", [Recipient("c@d.test")], content)
    rich = NewMessage(
        "",
        [Recipient("c@d.test", "old@d.test", orcpt="rfc822;c@d.test", notify=Notify.SUCCESS), Recipient("e@f.test")],
        content,
        encoding="8bit",
        envelope_id="id",
        full_name="A Name",
        attributes={"log_message_origin": "local"},
    )
    return [b"".join(queuefile.build(each, 1_800_000_000.0, 1.0).blocks()) for each in (plain, rich)]


def _delivery_requests(data: bytes) -> None:
    reader = RequestReader()
    try:
        for start in range(0, len(data), 11):
            found = reader.feed(data[start : start + 11])
            if found is not None:
                assert found.recipients and found.envelope.size >= 0
                assert found.envelope.trace_flags in TraceFlags(0x2700)
    except WireError:
        return


_ANSWER = bytes.fromhex(
    "123481800001000200000000036162630474657374 00000f0001".replace(" ", "")
    + "c00c000f00010000012c0009000a046d783031c00c"
    + "c00c000f00010000012c00040014c00c"
)

TARGETS = (
    Target(
        "replies",
        ("smtpclient.smtp.reply", "smtpclient.smtp.capability"),
        (
            b"250-mx.test\r\n250-SIZE 1000\r\n250 PIPELINING\r\n",
            b"550 5.1.1 no\r\n220 hi\r\n",
            b"what?\r\n421 4.3.2 x\n",
        ),
        _replies,
    ),
    Target("queue files", ("smtpclient.queue",), _queue_files(), _queue_file),
    Target("dns answers", ("smtpclient.dns.message", "smtpclient.dns.name"), (_ANSWER,), _names),
    Target(
        "main.cf",
        ("smtpclient.config",),
        (
            b"# x\nmyhostname = a.b\nrelayhost = [${myhostname}]:25\nsmtp_helo_timeout = 5m\n",
            b"x = ${y?{a}:{b}}\ny = ${{1} == {2} ? {q} : {$x}}\n  more\ndebug_peer_list = 127.0.0.0/8\n",
            b"transport_maps = inline:{ {a = smtp:[b]:25}, c=discard: }, static:x\nmessage_size_limit = $nothing",
        ),
        _main_cf,
    ),
    Target(
        "changes",
        tuple(
            f"smtpclient.smtp.{name}"
            for name in ("mime", "mime_field", "quoted_printable", "address_list", "generic", "content_changes")
        ),
        (
            b'To: A <a@b>, g: "x y"@z (c);\nContent-Type: multipart/digest; boundary="x"\n'
            b"\n--x\n\nX: 1\n\n\xff\n--x--\n",
            b"Content-Transfer-Encoding: 8bit\nContent-Type: message/rfc822\n"
            b"\nContent-Transfer-Encoding: binary\n\n\xc3\xa4= \n",
        ),
        _changes,
    ),
    Target(
        "delivery requests",
        tuple(f"smtpclient.postfix.{name}" for name in ("attributes", "groups", "request")),
        (request(Recipient("a@b", "c@b", 500, "rfc822;c@b", Notify.SUCCESS), Recipient("d@b"), flags=0x7303),),
        _delivery_requests,
    ),
    Target("content", ("smtpclient.smtp.content",), (b".x\n..\n" + b"y" * 100 + b"\n.\n", b"\r\n.\r\n"), _content),
)
