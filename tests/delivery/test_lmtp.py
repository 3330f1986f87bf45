"""LMTP: the dialogue against a scripted server, and deliveries to servers that were written elsewhere."""

import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import replace
from typing import Any

from aiosmtpd.controller import UnixSocketController
from aiosmtpd.lmtp import LMTP
from twisted.internet import reactor
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

from smtpclient.config.parameters import Parameters
from smtpclient.delivery.attempt import Attempt
from smtpclient.delivery.connector import Connector, ConnectorSettings
from smtpclient.delivery.means import Means, WalkSettings
from smtpclient.mail.outcome import Outcome, Peer
from smtpclient.mail.request import DeliveryRequest, DeliveryResult
from smtpclient.outbound import Outbound
from smtpclient.smtp.settings import DialogueSettings
from tests.delivery.memory_network import World, short
from tests.delivery.socket_world import SocketWorld
from tests.delivery.test_real_servers import Sink
from tests.mail.messages import MemoryContent, envelope, recipients
from tests.smtp.scripted_server import PIPELINING, Script

LMTP_WALK = WalkSettings(24, lmtp=True, own_name="me.example", session_limit=2)
LMTP_DIALOGUE = DialogueSettings("me.example", "me.example").as_lmtp()
WHOM = ("u1@example.org", "u2@example.org", "u3@example.org")
HOST = "mx-a.example[192.0.2.1]"


class Dialogue(SynchronousTestCase):
    """What is said, and what it means for each recipient."""

    def deliver(self, keywords: tuple[str, ...] = PIPELINING, **on: Any) -> tuple[World, list[Outcome]]:
        """One message for three recipients to a server that does this."""
        world = World({"a": Script(on, keywords)}, walk=LMTP_WALK, dialogue=LMTP_DIALOGUE)
        result = world.deliver(*WHOM, transport="lmtp")
        return world, sorted(result.outcomes, key=lambda outcome: outcome.recipient.offset)

    def outcomes(self, **on: Any) -> list[str]:
        """What became of the recipients; the same with and without PIPELINING."""
        found = [
            [f"{outcome.disposition.value} {outcome.status} {outcome.reason}" for outcome in self.deliver(way, **on)[1]]
            for way in (PIPELINING, ())
        ]
        self.assertEqual(found[0], found[1])
        return found[0]

    def test_one_reply_each(self) -> None:
        """LHLO greets, and each recipient gets its own reply after the dot."""
        replies = ["250 2.1.5 first", "452 4.2.2 over quota", "550 5.2.1 disabled"]
        said = f"host {HOST} said:"
        self.assertEqual(
            self.outcomes(eod=replies),
            [
                "sent 2.1.5 250 2.1.5 first",
                f"deferred 4.2.2 {said} 452 4.2.2 over quota (in reply to end of DATA command)",
                f"bounced 5.2.1 {said} 550 5.2.1 disabled (in reply to end of DATA command)",
            ],
        )
        world, _ = self.deliver()
        self.assertEqual(world.verbs("a"), "LHLO MAIL RCPT RCPT RCPT DATA . QUIT")

    def test_only_for_those_accepted(self) -> None:
        """A recipient that was refused has no reply to wait for."""
        rcpt = {"u2@": "550 5.1.1 unknown", "*": "!default"}
        found = self.outcomes(rcpt=rcpt, eod=["250 2.1.5 first", "450 4.2.0 third"])
        self.assertEqual([line[:14] for line in found], ["sent 2.1.5 250", "bounced 5.1.1 ", "deferred 4.2.0"])

    def test_connection_lost_between_replies(self) -> None:
        """Who has had a reply has it; the others may have got the message."""
        words = "while sending end of data -- message may be sent more than once"
        lost = f"deferred 4.4.2 lost connection with {HOST} {words}"
        self.assertEqual(self.outcomes(eod=["250 2.1.5 first", "!close"]), ["sent 2.1.5 250 2.1.5 first", lost, lost])
        _, outcomes = self.deliver(eod=["250 2.1.5 first", "!close"])
        self.assertEqual([outcome.in_doubt for outcome in outcomes], [False, True, True])

    def test_nobody_accepted(self) -> None:
        """Where a pipelined DATA is let through for nobody, no reply to the dot is waited for."""
        world, outcomes = self.deliver(rcpt="550 5.1.1 unknown", data="354 go", eod=[])
        self.assertEqual({outcome.status for outcome in outcomes}, {"5.1.1"})
        self.assertEqual(world.verbs("a"), "LHLO MAIL RCPT RCPT RCPT DATA . RSET QUIT")

    def test_no_fallback(self) -> None:
        """Who does not know LHLO is no LMTP server: HELO is not tried."""
        world, outcomes = self.deliver(lhlo="500 5.5.1 what")
        self.assertEqual(
            {outcome.reason for outcome in outcomes}, {f"host {HOST} refused to talk to me: 500 5.5.1 what"}
        )
        self.assertEqual(world.verbs("a"), "LHLO QUIT")
        self.assertEqual(self.outcomes(lhlo="!close")[0][-35:], "while performing the LHLO handshake")

    def test_own_name(self) -> None:
        """A server of our own name is another program of this machine, and no loop."""
        world = World({"a": Script(host="me.example")}, walk=LMTP_WALK, dialogue=LMTP_DIALOGUE)
        self.assertEqual(short(world.deliver(transport="lmtp")), ["sent 2.0.0"])

    def test_reuse(self) -> None:
        """A session carries the next message, too."""
        world = World({"a": Script()}, walk=LMTP_WALK, dialogue=LMTP_DIALOGUE)
        for _ in range(2):
            world.deliver(*WHOM, transport="lmtp", backlog=lambda: True)
        self.assertEqual((world.attempts, len(world.sessions("a")[0].contents)), ("a", 2))

    def test_final(self) -> None:
        """Where a server without DSN is taken for the last one, reports say so; with DSN it reports itself."""
        found = {}
        for keywords in ((), ("DSN",)):
            for assume in (False, True):
                dialogue = replace(LMTP_DIALOGUE, assume_final=assume)
                world = World({"a": Script(ehlo=keywords)}, walk=LMTP_WALK, dialogue=dialogue)
                [outcome] = world.deliver(transport="lmtp").outcomes
                found[keywords, assume] = (outcome.final, outcome.relayed_dsn)
        yes, no = (True, False), (False, False)
        dsn = (False, True)
        self.assertEqual(found, {((), False): no, ((), True): yes, (("DSN",), False): dsn, (("DSN",), True): dsn})


class Mailboxes:
    """A handler for aiosmtpd that has room for some."""

    def __init__(self) -> None:
        self.contents: list[bytes] = []

    async def handle_DATA(self, server: Any, session: Any, message: Any) -> str:
        """One status for each recipient, as aiosmtpd's LMTP wants it."""
        self.contents.append(message.content)
        said = {"u1": "250 2.1.5 delivered", "u2": "452 4.2.2 over quota"}
        return "\r\n".join(said.get(rcpt.split("@")[0], "550 5.2.1 disabled") for rcpt in message.rcpt_tos)


class _Lmtp(LMTP):  # type: ignore[misc]
    """aiosmtpd's LMTP server."""


class RealServers(TestCase):
    """aiosmtpd's LMTP and smtp-sink -L."""

    timeout = 120

    async def deliver(self, next_hop: str, directory: str = "") -> DeliveryResult:
        """One message for three recipients."""
        world = SocketWorld({})
        means: Means = replace(
            world.means,
            settings=LMTP_WALK,
            dialogue=LMTP_DIALOGUE,
            connector=Connector(reactor, reactor, ConnectorSettings(5.0, directory=directory)),  # type: ignore[arg-type]
        )
        now = time.time()
        message = envelope(arrival=now, created=now)
        request = DeliveryRequest(message, recipients(*WHOM), "lmtp", next_hop, MemoryContent(), now)

        async def settle(_: DeliveryRequest, outcomes: Any) -> Any:
            return outcomes

        result = await Attempt(means, request, settle).run()
        await world.close()
        return result

    async def test_aiosmtpd_by_path(self) -> None:
        """Over a UNIX socket, by an absolute path and by one in the queue directory; each recipient has its outcome."""
        directory = tempfile.mkdtemp(prefix="lmtp-")
        self.addCleanup(shutil.rmtree, directory)
        mailboxes = Mailboxes()

        class Unix(UnixSocketController):  # type: ignore[misc]
            def factory(self) -> Any:
                return _Lmtp(self.handler)

        server = Unix(mailboxes, unix_socket=directory + "/Lmtp")
        server.start()
        self.addCleanup(server.stop)
        wanted = ["sent 2.1.5", "deferred 4.2.2", "bounced 5.2.1"]
        for next_hop in (f"unix:{directory}/Lmtp", "unix:Lmtp"):
            result = await self.deliver(next_hop, directory)
            self.assertEqual(short(result), wanted, [outcome.reason for outcome in result.outcomes])
            self.assertEqual(result.outcomes[0].relay, f"me.example[{next_hop.removeprefix('unix:')}]")
        self.assertEqual(len(mailboxes.contents), 2)

    async def test_missing_socket(self) -> None:
        """A socket that is not there, or is none, is told in the system's words; the server is named by its path."""
        result = await self.deliver("unix:/no/such/Socket")
        self.assertEqual(
            {outcome.reason for outcome in result.outcomes},
            {"connect to me.example[/no/such/Socket]: No such file or directory"},
        )
        self.assertIsNotNone(result.site_failure)
        result = await self.deliver("unix:" + __file__)
        self.assertIn(": Connection refused", result.outcomes[0].reason)
        result = await self.deliver("unix:/" + "x" * 200)
        self.assertIn(": File name too long", result.outcomes[0].reason)

    async def test_sink(self) -> None:
        """smtp-sink -L, over a UNIX socket."""
        program = shutil.which("smtp-sink") or shutil.which("smtp-sink", path="/usr/sbin:/usr/lib/postfix/sbin")
        if program is None:
            raise SkipTest("smtp-sink, which belongs to Postfix, is not installed")
        directory = tempfile.mkdtemp(prefix="lmtp-")
        self.addCleanup(shutil.rmtree, directory)
        os.chmod(directory, 0o777)
        user = [] if os.getuid() else ["-u", "nobody"]
        sink = subprocess.Popen([program, *user, "-L", f"unix:{directory}/sink", "10"], stderr=subprocess.DEVNULL)
        self.addCleanup(sink.wait)
        self.addCleanup(sink.terminate)
        for _ in range(500):
            if os.path.exists(directory + "/sink"):
                break
            time.sleep(0.01)
        result = await self.deliver(f"unix:{directory}/sink")
        self.assertEqual(short(result), ["sent 2.2.0"] * 3, [outcome.reason for outcome in result.outcomes])


class Whole(TestCase):
    """From the parameters to the mailbox."""

    timeout = 120

    async def test_transport_maps(self) -> None:
        """The service delivers by LMTP where the transport says so, with the LMTP client's parameters."""
        sink = Sink("-L")
        self.addCleanup(sink.close)
        parameters = Parameters.from_values(
            {
                "queue_directory": self.mktemp(),
                "myhostname": "me.example",
                "inet_protocols": "ipv4",
                "transport_maps": f"inline:{{{{example.org=lmtp:inet:[127.0.0.1]:{sink.port}}}}}",
                "lmtp_lhlo_name": "lhlo.example",
                "debug_peer_list": "127.0.0.1",
                "lmtp_connection_cache_on_demand": "no",
                "lmtp_skip_quit_response": "yes",
            }
        )
        os.mkdir(parameters.text("queue_directory"))
        outbound = Outbound(parameters, reactor=reactor, doors=False)
        lines: list[str] = []
        outbound.maillog.publisher.addObserver(lambda event: lines.append(event["mail_line"]))
        outbound.startService()
        receipt = await outbound.submit("me@example.com", WHOM, b"Subject: x\n\nhello\n")
        outcomes = await receipt.finished()
        await outbound.stopService()
        self.assertEqual({outcome.status for outcome in outcomes}, {"2.2.0"}, outcomes)
        self.assertIn(f"> 127.0.0.1[127.0.0.1]:{sink.port}: LHLO lhlo.example", lines)


class Peers(SynchronousTestCase):
    """How a server behind a socket is named."""

    def test_no_port(self) -> None:
        """A UNIX socket has a path and no port."""
        self.assertEqual(str(Peer("me.example", "private/lmtp", 0)), "me.example[private/lmtp]")
