"""
A thousand queue files that Postfix wrote: what we read of them is what Postfix sends of them.

Postfix's sendmail(1), smtpd(8) and cleanup(8), with and without a Milter that edits, write the files; we read them;
then Postfix's own qmgr(8) and smtp(8) deliver them to a server that keeps every byte. The sender's address says which
is which.
"""

import functools
import os
import random
import re
import smtplib
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import provider

from smtpclient.mail.address import external
from smtpclient.mail.envelope import Envelope, Notify, QueuedMessage, Recipient, Return, Utf8
from smtpclient.observe.maillog import MailLog
from smtpclient.queue.spool import Spool
from smtpclient.smtp.content import WireEncoder
from tests.interop.editing_milter import (
    Edit,
    EditingMilter,
    add_header,
    add_recipient,
    change_header,
    delete_recipient,
    insert_header,
    replace_body,
)
from tests.interop.private_postfix import ACCEPTING, DELIVERING, LOOPBACK, PrivatePostfix, missing
from tests.interop.recording_sink import RecordingSink, Transaction, address_of
from tests.ports import free_port
from tests.queue.disk import DirectFiles, run

COUNT = 1000
BY_SENDMAIL = 150
BY_MILTER = 200


@dataclass
class Submission:
    """What is handed to Postfix."""

    sender: str
    recipients: list[str]
    content: bytes
    mail_options: list[str] = field(default_factory=list)
    recipient_options: list[str] = field(default_factory=list)


def _lines(chance: random.Random) -> list[bytes]:
    """A body: what lines can be made of, with a liking for borders."""
    alphabets = [
        b"abc defg.",
        b"\xc3\xa4\xc3\xb6\xe2\x82\xac ",
        bytes(range(1, 256)).replace(b"\n", b"").replace(b"\r", b""),
    ]
    lines = []
    for _ in range(chance.choice([0, 1, 3, 20, 100])):
        alphabet = chance.choice(alphabets)
        width = chance.choice(
            [0, 1, 10, 70, 126, 127, 128, 129, 500, 990, 997, 998, 999, 1000, 1996, 2047, 2048, 2049, 5000]
        )
        if chance.random() < 0.7:
            width = min(width, 129)
        line = bytes(chance.choice(alphabet) for _ in range(min(width, 60)))
        line = (line * (width // max(len(line), 1) + 1))[:width]
        if chance.random() < 0.15:
            line = chance.choice([b".", b"..", b". ", b".x", b"From x", b"\r", b"a\rb", b"\rN\x03"]) + line
        lines.append(line)
    return lines


def _headers(chance: random.Random, number: int) -> list[bytes]:
    """A header section, or none."""
    if chance.random() < 0.05:
        return []
    headers = [b"Subject: message %d" % number, b"X-Number: %d" % number]
    if chance.random() < 0.3:
        headers += [b"From: Some One <one@sender.test>", b"To: two@dest.test,", b"\tthree@dest.test"]
    if chance.random() < 0.1:
        headers.append(b"X-Long: " + b"word " * chance.choice([100, 500, 3000]))
    if chance.random() < 0.1:
        headers.append(b"X-Solid: " + b"x" * chance.choice([990, 998, 2048, 9000]))
    if chance.random() < 0.1:
        headers += [b"X-Many-%d: value" % index for index in range(300)]
    if chance.random() < 0.1:
        headers.append("X-Utf8: Grüße aus Köln".encode())
    return headers


def _submission(number: int) -> Submission:
    chance = random.Random(number)
    content = b"\r\n".join([*_headers(chance, number), b"", *_lines(chance)]) + b"\r\n"
    made = Submission(f"s{number}@sender.test", [f"r{number}@dest.test"], content)
    if chance.random() < 0.2:
        made.recipients += [f"r{number}.{index}@dest.test" for index in range(chance.choice([1, 5, 60]))]
    if chance.random() < 0.2:
        made.recipients.append(f'"quoted user {number}"@dest.test')
    if chance.random() < 0.2:
        made.mail_options.append("BODY=8BITMIME")
    if chance.random() < 0.1:
        made.mail_options += ["SMTPUTF8"]
        made.recipients.append(f"jürgen{number}@dest.test")
    if chance.random() < 0.3:
        made.mail_options += [f"ENVID=env+2B{number}", chance.choice(["RET=FULL", "RET=HDRS"])]
        made.recipient_options += [chance.choice(["NOTIFY=NEVER", "NOTIFY=SUCCESS,DELAY"]), f"ORCPT=rfc822;o{number}@x"]
    return made


def _edits(sender: str) -> list[Edit]:
    """What the Milter does to a message."""
    number = int(sender[1:].partition("@")[0])
    chance = random.Random(-number)
    possible = [
        [add_header(b"X-Added", b"by the Milter %d" % number)],
        [insert_header(0, b"X-First", b"a"), insert_header(1, b"X-Second", b"folded\n\tvalue")],
        [change_header(1, b"Subject", b"changed " + b"x" * chance.choice([0, 3, 200]))],
        [change_header(1, b"X-Number", b"")],
        [add_recipient(b"added%d@dest.test" % number), add_recipient(b"another%d@dest.test" % number)],
        [delete_recipient(b"r%d.0@dest.test" % number)],
        [replace_body(b"short\r\n")],
        [replace_body(b"a new line\r\n" * 3000), replace_body(b".dot\r\n" + b"z" * 3000)],
    ]
    return [edit for edits in possible if chance.random() < 0.4 for edit in edits]


def _submit(port: int, submissions: list[Submission]) -> None:
    """Hand messages to smtpd(8), one session for all."""
    with smtplib.SMTP(LOOPBACK, port, timeout=300) as client:
        client.ehlo("client.test")
        for one in submissions:
            replies = [client.mail(one.sender, one.mail_options)]
            replies += [client.rcpt(recipient, one.recipient_options) for recipient in one.recipients]
            bad = [reply for reply in replies if reply[0] != 250]
            if bad:
                raise RuntimeError(f"{one.sender}: {bad}")
            client.putcmd("DATA")
            client.getreply()
            stuffed = one.content.replace(b"\r\n.", b"\r\n..")
            client.send((b"." if stuffed.startswith(b".") else b"") + stuffed + b".\r\n")
            code, words = client.getreply()
            if code != 250:
                raise RuntimeError(f"{one.sender}: {code} {words!r}")


def _sendmail(postfix: PrivatePostfix, one: Submission, number: int) -> None:
    """Hand a message to sendmail(1): recipients as arguments, in the header, or both; a last line without end."""
    content = one.content.replace(b"\r\n", b"\n")
    options = ["-i", "-f", one.sender, "-F", f"Number {number}"]
    recipients = one.recipients
    if number % 3:
        content = b"To: " + ",\n  ".join(recipients).encode() + b"\nBcc: hidden@dest.test\n" + content
        options.append("-t")
        recipients = ["extra@dest.test"] if number % 3 == 2 else []
    if number % 4 == 1:
        options += ["-N", "failure,delay", "-R", "hdrs", "-V", f"env{number}"]
    if number % 5 == 1:
        content += b"no end %d" % number
    postfix.run("sendmail", *options, "--", *recipients, data=content)


def _wire(spool: Spool, message: QueuedMessage) -> bytes:
    """What we would send for a message in the incoming queue."""
    reader = spool.content(message.envelope, "incoming").open()
    encoder = WireEncoder()
    wire = []
    while block := run(reader.next_block()):
        wire.append(encoder.feed(block))
    reader.close()
    return b"".join(wire) + encoder.finish()


class Comparison:
    """
    One run: what was read, and what Postfix delivered, by sender.

    :ivar remarks: what the log says of the reading.
    :ivar failure: why there is nothing to compare, or nothing.
    """

    def __init__(self) -> None:
        self.read: dict[str, QueuedMessage] = {}
        self.wire: dict[str, bytes] = {}
        self.raw: dict[str, bytes] = {}
        self.remarks: list[str] = []
        self.sent: dict[str, Transaction] = {}
        self.failure = ""
        try:
            self._run()
        except RuntimeError as error:
            self.failure = str(error)

    def _run(self) -> None:
        """Have the files written, read them, have them delivered."""
        sink = RecordingSink()
        milter = EditingMilter(_edits)
        postfix = PrivatePostfix(
            {
                "relayhost": f"[{LOOPBACK}]:{sink.port}",
                "cleanup_replace_stray_cr_lf": "no",
                "smtp_destination_concurrency_limit": "20",
                "smtp_destination_recipient_limit": "1000",
                "initial_destination_concurrency": "20",
            }
        )
        try:
            self._write(postfix, milter.port)
            self._read(postfix.queue)
            postfix.start(ACCEPTING + DELIVERING)
            if not sink.wait(COUNT, 300):
                raise RuntimeError(f"{len(sink.transactions)} of {COUNT} delivered: {postfix.log()[-3000:]}")
        finally:
            postfix.remove()
            sink.stop()
            milter.stop()
        self.sent.update({address_of(one.mail): one for one in sink.transactions})

    def _write(self, postfix: PrivatePostfix, milter: int) -> None:
        plain, edited = free_port(), free_port()
        smtpd = (
            f"{LOOPBACK}:{plain} inet n - n - - smtpd\n"
            f"{LOOPBACK}:{edited} inet n - n - - smtpd -o smtpd_milters=inet:{LOOPBACK}:{milter}\n"
        )
        postfix.start(ACCEPTING + smtpd, [plain, edited])
        submissions = [_submission(number) for number in range(COUNT)]
        behind = BY_SENDMAIL + BY_MILTER
        with ThreadPoolExecutor(4) as pool:
            jobs = [pool.submit(_sendmail, postfix, submissions[number], number) for number in range(BY_SENDMAIL)]
            jobs.append(pool.submit(_submit, edited, submissions[BY_SENDMAIL:behind]))
            jobs += [pool.submit(_submit, plain, submissions[behind + start :: 2]) for start in range(2)]
            for job in jobs:
                job.result()
        end = time.monotonic() + 120
        while os.listdir(postfix.queue + "/maildrop"):  # pickup(8) has a pace of its own
            if time.monotonic() > end:
                raise RuntimeError("pickup(8) has not taken everything: " + postfix.log()[-2000:])
            time.sleep(0.05)
        postfix.stop()

    def _read(self, directory: str) -> None:
        clock = Clock()
        maillog = MailLog(clock.seconds)

        @provider(ILogObserver)
        def observe(event: LogEvent) -> None:
            self.remarks.append(event["mail_line"])

        maillog.publisher.addObserver(observe)
        spool = Spool(directory, DirectFiles(), clock, maillog)
        for entry in spool.scan("incoming"):
            message = spool.read(entry.queue_id, "incoming")
            sender = message.envelope.sender
            self.read[sender] = message
            self.wire[sender] = _wire(spool, message)
            with open(f"{directory}/incoming/{entry.queue_id}", "rb") as file:
                self.raw[sender] = file.read()


_compare = functools.cache(Comparison)


def _xtext(text: str) -> str:
    """RFC 3461 section 4."""
    return "".join(
        [chr(byte) if 0x21 <= byte <= 0x7E and byte not in b"+=" else f"+{byte:02X}" for byte in text.encode()]
    )


def _utf8_xtext(text: str) -> str:
    """RFC 6533 section 3, for a server without need of it: all but ASCII is written as code points."""
    return "".join([_xtext(char) if char.isascii() else f"\\x{{{ord(char):X}}}" for char in text])


def _rcpt_words(recipient: Recipient) -> set[str]:
    """What Postfix sends behind RCPT, to servers that offer DSN."""
    original = recipient.orcpt or "rfc822;" + external(recipient.original or recipient.address)
    kind, _, address = original.partition(";")
    text = _utf8_xtext(address) if kind == "utf-8" else _xtext(address)
    words = {f"TO:<{external(recipient.address)}>", f"ORCPT={kind};{text}"}
    if recipient.notify:
        words.add("NOTIFY=" + ",".join([flag.name or "" for flag in Notify if flag in recipient.notify]))
    return words


def _mail_words(envelope: Envelope) -> set[str]:
    """What Postfix sends behind MAIL, to servers that offer everything."""
    words = {f"FROM:<{envelope.sender}>", f"SIZE={envelope.size}"}
    if envelope.encoding:
        words.add("BODY=" + {"8bit": "8BITMIME", "7bit": "7BIT"}[envelope.encoding])
    if envelope.utf8 & Utf8.REQUESTED:
        words.add("SMTPUTF8")
    if envelope.ret:
        words.add("RET=" + {Return.FULL: "FULL", Return.HEADERS: "HDRS"}[envelope.ret])
    if envelope.envelope_id:
        words.add("ENVID=" + _xtext(envelope.envelope_id))
    return words


def _words(argument: str) -> set[str]:
    """The address and the parameters of a command; an address may hold blanks."""
    address, _, parameters = argument.partition("> ")
    return {address.removesuffix(">") + ">", *parameters.split()}


class PostfixContentTests(SynchronousTestCase):
    """One run for all claims."""

    skip = missing() or None

    def setUp(self) -> None:
        self.made = _compare()
        self.assertEqual(self.made.failure, "")

    def test_all(self) -> None:
        """Every message was read, and without anything odd about it."""
        self.assertEqual((len(self.made.read), len(self.made.sent), self.made.remarks), (COUNT, COUNT, []))

    def test_wire(self) -> None:
        """What we would send is what Postfix sends, byte for byte."""
        self.maxDiff = 2000
        different = [sender for sender, one in self.made.sent.items() if self.made.wire[sender] != one.wire]
        self.assertEqual(different, [])

    def test_recipients(self) -> None:
        """So are the recipients, with their DSN parameters."""
        different = {}
        for sender, one in self.made.sent.items():
            ours = {frozenset(_rcpt_words(recipient)) for recipient in self.made.read[sender].recipients}
            theirs = {frozenset(_words(argument)) for argument in one.recipients}
            if ours != theirs:
                different[sender] = (ours, theirs)
        self.assertEqual(different, {})

    def test_mail_parameters(self) -> None:
        """So are size, encoding, SMTPUTF8, RET and ENVID."""
        different = {}
        for sender, one in self.made.sent.items():
            ours, theirs = _mail_words(self.made.read[sender].envelope), _words(one.mail)
            if ours != theirs:
                different[sender] = (ours, theirs)
        self.assertEqual(different, {})

    def test_variety(self) -> None:
        """The files hold what they are meant to: followed pointers, padding, cancelled recipients, long lines, ..."""
        pattern = {
            "pointer that leads somewhere": rb"p\x0f +[1-9][0-9]*",
            "padding": rb"w[\x01-\x40] *[a-zA-Z\0]",
            "cancelled recipient": rb"/.r[0-9]+\.0@dest",
            "part of a line": rb"L\x80\x10",
            "recipient behind the content": rb"X\0.*R.r[0-9]+@dest",
            "lone CR": rb"a\rb",
            "notify": rb"notify_flags=",
            "8-bit": rb"\xc3\xa4",
        }
        counts = {
            what: sum(bool(re.search(one, raw, re.S)) for raw in self.made.raw.values())
            for what, one in pattern.items()
        }
        self.assertEqual({what: count for what, count in counts.items() if count < 10}, {})
