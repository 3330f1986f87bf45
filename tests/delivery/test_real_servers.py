"""Deliveries to servers that were written elsewhere: aiosmtpd, and Postfix's smtp-sink."""

import os
import pwd
import shutil
import socket
import subprocess
import time
from typing import Any

from aiosmtpd.controller import Controller
from twisted.trial.unittest import SkipTest, TestCase

from smtpclient.mail.envelope import Utf8
from tests.delivery.memory_network import short
from tests.delivery.socket_world import SocketWorld
from tests.delivery.test_sockets import LargeContent
from tests.mail.messages import MemoryContent
from tests.ports import free_port

HEADER = b"From: <sender@example.org>\nSubject: test\n\n"
BODY = b".\n..\n.leading dot\n\n\ttab \n" + b"x" * 998 + b"\ncaf\xc3\xa9 \xff\n.\nlast"


class Sink:
    """
    Postfix's smtp-sink.

    :param options: its own.
    """

    def __init__(self, *options: str) -> None:
        program = shutil.which("smtp-sink") or shutil.which("smtp-sink", path="/usr/sbin:/usr/lib/postfix/sbin")
        if program is None:
            raise SkipTest("smtp-sink, which belongs to Postfix, is not installed")
        self.port = free_port()
        user = [] if os.getuid() else ["-u", pwd.getpwuid(65534).pw_name]
        command = [program, *user, *options, f"127.0.0.1:{self.port}", "100"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._wait()

    def _wait(self) -> None:
        end = time.monotonic() + 50
        while time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self._process.poll() is not None:
                raise SkipTest(f"smtp-sink does not run here: exit code {self._process.returncode}")
            time.sleep(0.01)
        raise AssertionError("smtp-sink does not listen")

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()


class AgainstSink(TestCase):
    """smtp-sink, told to misbehave."""

    timeout = 120

    async def deliver(self, *options: str, **changes: Any) -> tuple[list[str], list[str]]:
        """One delivery of two recipients to a server with these options: what became of them, and the reasons."""
        sink = Sink(*options)
        self.addCleanup(sink.close)
        world = SocketWorld({"a": sink.port})
        try:
            result = await world.deliver("u1@example.org", "u2@example.org", **changes)
        finally:
            await world.close()
        return short(result), [outcome.reason for outcome in result.outcomes]

    async def test_accepts(self) -> None:
        """It takes the message with PIPELINING, without, and without ESMTP."""
        for options in ((), ("-p",), ("-e",), ("-8",), ("-E",)):
            self.assertEqual((await self.deliver(*options))[0], ["sent 2.0.0", "sent 2.0.0"])

    async def test_refuses(self) -> None:
        """A refusal at each stage, hard and soft, is what the sink says."""
        wanted = {"-f": "bounced 5.3.0", "-r": "deferred 4.3.0"}
        for option, outcome in wanted.items():
            for stage in ("CONNECT", "EHLO,HELO", "MAIL", "RCPT", "DATA", "."):
                found, reasons = await self.deliver(option, stage)
                self.assertEqual(found, [outcome] * 2, (option, stage, reasons))

    async def test_refuses_ehlo_alone(self) -> None:
        """Where EHLO is refused, HELO will do."""
        self.assertEqual((await self.deliver("-f", "EHLO"))[0], ["sent 2.0.0"] * 2)

    async def test_refuses_reset_and_quit(self) -> None:
        """A refused RSET or QUIT costs no mail."""
        self.assertEqual((await self.deliver("-f", "RCPT,RSET,QUIT"))[0], ["bounced 5.3.0"] * 2)
        self.assertEqual((await self.deliver("-f", "QUIT"))[0], ["sent 2.0.0"] * 2)

    async def test_disconnects(self) -> None:
        """A connection that ends at each stage defers, with the stage's words."""
        doing = {
            "CONNECT": "receiving the initial server greeting",
            "EHLO": "performing the EHLO handshake",
            "MAIL": "sending MAIL FROM",
            "RCPT": "sending RCPT TO",
            "DATA": "sending DATA command",
            ".": "sending end of data -- message may be sent more than once",
        }
        for stage, words in doing.items():
            found, reasons = await self.deliver("-q", stage)
            self.assertEqual(found, ["deferred 4.4.2"] * 2, stage)
            self.assertEqual(set(reasons), {f"lost connection with mx-a.example[127.0.0.1] while {words}"})

    async def test_says_goodbye(self) -> None:
        """A 421 at each stage defers, in its own words where it got through."""
        for stage in ("CONNECT", "EHLO", "MAIL", "DATA", "."):
            found, reasons = await self.deliver("-Q", stage)
            self.assertEqual({outcome[:10] for outcome in found}, {"deferred 4"}, (stage, reasons))

    async def test_answers_before_the_end(self) -> None:
        """A 550 in the middle of the content is heard, although the server reads no further."""
        for delay in ("0", "1"):
            found, reasons = await self.deliver("-A", delay, content=LargeContent())
            self.assertEqual(found, ["bounced 5.0.0"] * 2)
            words = "host mx-a.example[127.0.0.1] said: 550 This violates SMTP (in reply to end of DATA command)"
            self.assertEqual(set(reasons), {words})

    async def test_large_message(self) -> None:
        """Twenty megabytes get through."""
        self.assertEqual((await self.deliver(content=LargeContent()))[0], ["sent 2.0.0"] * 2)

    async def test_reuse(self) -> None:
        """A hundred messages over one connection."""
        sink = Sink()
        self.addCleanup(sink.close)
        world = SocketWorld({"a": sink.port})
        uses = [(await world.deliver(backlog=lambda: True)).outcomes[0].session_uses for _ in range(100)]
        await world.close()
        self.assertEqual(uses, list(range(1, 101)))


class Keeper:
    """Takes messages, as aiosmtpd hands them over."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        """Refuse some."""
        if address.startswith("unknown"):
            return "550 5.1.1 unknown user"
        if address.startswith("busy"):
            return "450 4.2.1 mailbox busy"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """Keep the message."""
        self.messages.append(envelope)
        return "250 2.6.0 kept"


class AgainstAiosmtpd(TestCase):
    """aiosmtpd, in a thread of its own."""

    timeout = 120

    def setUp(self) -> None:
        self.keeper = Keeper()

    async def deliver(self, *addresses: str, content: Any = None, limit: int = 1000000, **mail: Any) -> list[str]:
        """One delivery; what was kept is in ``self.keeper``."""
        controller = Controller(
            self.keeper,
            hostname="127.0.0.1",
            port=free_port(),
            decode_data=False,
            enable_SMTPUTF8=True,
            data_size_limit=limit,
            ready_timeout=60,
        )
        controller.start()
        self.addCleanup(controller.stop)
        world = SocketWorld({"a": controller.port})
        try:
            return short(await world.deliver(*addresses, content=content, **mail))
        finally:
            await world.close()

    async def test_content(self) -> None:
        """Dots, blank lines, long lines, bytes of every kind arrive as they are, with the missing line end."""
        content = MemoryContent(*(bytes([byte]) for byte in HEADER + BODY))
        self.assertEqual(await self.deliver("a@x.example", content=content), ["sent 2.6.0"])
        [kept] = self.keeper.messages
        self.assertEqual(kept.content, (HEADER + BODY + b"\n").replace(b"\n", b"\r\n"))

    async def test_envelope(self) -> None:
        """Sender, recipients and refusals."""
        found = await self.deliver("a@x.example", "unknown@x.example", "busy@x.example", "d e@x.example", sender="")
        self.assertEqual(found, ["sent 2.6.0", "bounced 5.1.1", "deferred 4.2.1", "sent 2.6.0"])
        [kept] = self.keeper.messages
        self.assertEqual((kept.mail_from, kept.rcpt_tos), ("<>", ["a@x.example", '"d e"@x.example']))

    async def test_extensions(self) -> None:
        """SIZE, 8BITMIME and SMTPUTF8 are understood as they are meant."""
        found = await self.deliver("jürgen@x.example", size=1234, encoding="8bit", utf8=Utf8.REQUESTED | Utf8.RECIPIENT)
        self.assertEqual(found, ["sent 2.6.0"])
        [kept] = self.keeper.messages
        self.assertEqual(kept.rcpt_tos, ["jürgen@x.example"])
        self.assertEqual(set(kept.mail_options), {"SIZE=1234", "BODY=8BITMIME", "SMTPUTF8"})

    async def test_too_big(self) -> None:
        """What is over its limit is not tried; what lies about its size is refused by it."""
        self.assertEqual(await self.deliver("a@x.example", limit=1000, size=1001), ["bounced 5.3.4"])
        lying = MemoryContent(HEADER, b"x" * 500 + b"\n", *[b"x" * 500 + b"\n"] * 3)
        [found] = await self.deliver("a@x.example", limit=1000, size=10, content=lying)
        self.assertEqual(found[:9], "bounced 5")
        self.assertEqual(self.keeper.messages, [])
