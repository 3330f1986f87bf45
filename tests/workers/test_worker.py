"""The worker's side, inside this process: what it is asked, what it does, what it says."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from twisted.internet import reactor
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from smtpclient.mail.envelope import NewMessage, QueuedMessage, Recipient
from smtpclient.mail.outcome import Disposition
from smtpclient.observe.maillog import MailLog
from smtpclient.queue.files import Files
from smtpclient.queue.spool import Spool
from smtpclient.workers import turns
from smtpclient.workers.message import (
    Begin,
    Broken,
    Cancel,
    Deliver,
    Done,
    Logged,
    Message,
    Queued,
    Ready,
    Refused,
    Removed,
    Reopen,
    Stop,
)
from smtpclient.workers.turns import MOST
from smtpclient.workers.wire import Reader, encode
from smtpclient.workers.worker import Worker

CLOCK: Any = reactor


class Server(Protocol):
    """Takes every message, or none of them, or says nothing at all."""

    greeting = b"220 sink.example ESMTP\r\n"
    hello = b"250 ok"
    refusal = b""
    together = 0

    def connectionMade(self) -> None:
        self.buffer, self.in_content = b"", False
        assert self.transport is not None
        self.transport.write(self.greeting)

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.buffer += data
        Server.together += b"\r\n.\r\nMAIL" in data
        while True:
            end, reply = (b"\r\n.\r\n", b"250 2.0.0 ok") if self.in_content else (b"\r\n", b"250 ok")
            line, found, rest = self.buffer.partition(end)
            if not found:
                return
            self.buffer = rest
            if self.in_content:
                self.in_content = False
            elif line == b"DATA":
                self.in_content, reply = True, b"354 go"
            elif line.startswith(b"EHLO"):
                reply = self.hello
            elif line == b"QUIT":
                self.transport.loseConnection()
                return
            elif line.startswith(b"RCPT") and self.refusal:
                reply = self.refusal
            self.transport.write(reply + b"\r\n")


class Pensive(Server):
    """Takes its time with the end of a message, until it is asked for it."""

    hello = b"250-sink\r\n250 PIPELINING"
    thoughts: ClassVar[list[Callable[[], None]]]

    def dataReceived(self, data: bytes) -> None:
        answer = partial(super().dataReceived, data)
        if b"\r\n.\r\n" in data:
            self.thoughts.append(answer)
        else:
            answer()


class WorkerTests(TestCase):
    """One worker on a queue directory of its own."""

    def setUp(self) -> None:
        self.base = Path(self.mktemp()).absolute()
        self.base.mkdir(parents=True)
        self.spool = Spool(str(self.base / "spool"), Files(CLOCK), CLOCK, MailLog(CLOCK.seconds))
        (self.base / "spool").mkdir()
        self.spool.prepare()
        self.addCleanup(self.spool.close)
        self.server: type[Server] = Server
        self.visits = 0
        port = CLOCK.listenTCP(0, Factory.forProtocol(self.serve), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.settings = {
            "queue_directory": str(self.base / "spool"),
            "myhostname": "client.example",
            "maillog_file": str(self.base / "log"),
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "smtp_tls_security_level": "none",
        }
        self.next_hop = f"[127.0.0.1]:{port.getHost().port}"
        self.left: list[int] = []
        self.worker = Worker(CLOCK, self.left.append)
        self.transport = StringTransport()
        self.worker.makeConnection(self.transport)
        self.reader = Reader()
        self.heard: list[Message] = []
        self.addCleanup(self.end)

    def serve(self) -> Server:
        """A server of the kind that the test wants."""
        self.visits += 1
        return self.server()

    async def end(self) -> None:
        """Stop the worker, if that has not been done."""
        delivery = self.worker._delivery
        if delivery is not None and not self.left:
            self.say(Stop())
            await self.until(lambda: bool(self.left))

    def say(self, *messages: Message) -> None:
        """What the service says."""
        self.worker.dataReceived(b"".join(encode(message) for message in messages))

    def hear(self) -> list[Message]:
        """What the worker has said."""
        self.heard += self.reader.feed(self.transport.value())
        self.transport.clear()
        return self.heard

    async def until(self, true: Any) -> None:
        """Wait for something that will come."""
        end = CLOCK.seconds() + 100
        while not true():
            if CLOCK.seconds() > end:
                self.fail(f"it did not come; heard: {self.hear()}")
            await deferLater(CLOCK, 0.01)

    async def begin(self, **more: Any) -> None:
        """Begin, and hear that it is ready."""
        self.say(Begin(self.settings, {}, **more))
        self.assertEqual([Ready()], self.hear())

    async def message(self, *recipients: str, sender: str = "me@client.example") -> QueuedMessage:
        """A message in active/."""
        new = NewMessage(
            sender, [Recipient(each) for each in recipients or ("you@there.example",)], b"Subject: x\n\nx\n"
        )
        queue_id = await self.spool.create(new)
        self.spool.take(queue_id, "incoming")
        return self.spool.read(queue_id)

    def request(
        self, message: QueuedMessage, number: int = 1, *, sole: bool = False, backlog: int = 0, **more: Any
    ) -> Deliver:
        """A request to deliver all of a message."""
        now = CLOCK.seconds()
        return Deliver(number, "smtp", self.next_hop, now, backlog, sole, message.envelope, message.recipients, **more)

    async def answer(self, *messages: Message) -> Any:
        """The last thing that it says after these, which is about a request."""
        self.say(*messages)
        await self.until(lambda: any(isinstance(message, (Done, Broken)) for message in self.hear()))
        return self.heard[-1]

    async def test_a_delivered_message_is_logged_and_marked(self) -> None:
        """The file has its mark and the log its line when the outcome is told."""
        await self.begin()
        message = await self.message()
        done = await self.answer(self.request(message))
        self.assertEqual([Disposition.SENT], [outcome.disposition for outcome in done.outcomes])
        self.assertEqual((0, Disposition.SENT), done.outcomes[0][:2])
        self.assertFalse(done.removed)
        self.assertEqual((), self.spool.read(message.envelope.queue_id).recipients)
        self.assertIn(f"{message.envelope.queue_id}: to=<you@there.example>", (self.base / "log").read_text())

    async def test_the_last_recipients_are_not_marked_but_the_file_is_removed(self) -> None:
        """Where the service says that there is nothing else, the file goes at once, and the service hears of it."""
        await self.begin()
        message = await self.message("a@there.example", "b@there.example")
        done = await self.answer(self.request(message, sole=True))
        self.assertTrue(done.removed)
        self.assertIsNone(self.spool.find(message.envelope.queue_id))

    async def test_a_failure_is_recorded(self) -> None:
        """A refused recipient is in the bounce journal and marked; the file stays, for the report."""
        self.server = type("Refusing", (Server,), {"refusal": b"550 5.1.1 no such user"})
        await self.begin()
        message = await self.message()
        done = await self.answer(self.request(message, sole=True))
        self.assertEqual([Disposition.BOUNCED], [outcome.disposition for outcome in done.outcomes])
        self.assertFalse(done.removed)
        self.assertIn("no such user", Path(self.spool.journal_path("bounce", message.envelope.queue_id)).read_text())
        self.assertEqual((), self.spool.read(message.envelope.queue_id).recipients)

    async def test_sessions_wait_for_more(self) -> None:
        """With a backlog the second message goes over the session of the first one."""
        await self.begin()
        first, second = await self.message(), await self.message()
        await self.answer(self.request(first, backlog=1))
        self.heard.clear()
        done = await self.answer(self.request(second, 2))
        self.assertEqual(2, done.outcomes[0].session_uses)

    async def test_what_has_not_begun_is_mail_to_come(self) -> None:
        """Of more requests than begin at once, those that wait find sessions, though the service knew of no more."""
        self.patch(turns, "MOST", 1)
        await self.begin()
        messages = [await self.message() for _ in range(20)]
        self.say(*[self.request(message, number) for number, message in enumerate(messages)])
        await self.until(lambda: sum(isinstance(message, Done) for message in self.hear()) == len(messages))
        uses = [message.outcomes[0].session_uses for message in self.heard if isinstance(message, Done)]
        self.assertLess(1, max(uses))
        self.assertEqual({}, self.worker._destinations)

    async def test_a_delivery_that_has_not_begun_can_be_broken_off(self) -> None:
        """It is never made, and the others are."""
        await self.begin()
        messages = [await self.message() for _ in range(MOST + 1)]
        self.say(*[self.request(message, number) for number, message in enumerate(messages)], Cancel(MOST))
        self.assertEqual([Ready(), Broken(MOST, "cancelled", cancelled=True)], self.hear())
        await self.until(lambda: sum(isinstance(message, Done) for message in self.hear()) == MOST)
        self.assertEqual(messages[MOST].recipients, self.spool.read(messages[MOST].envelope.queue_id).recipients)

    async def test_what_is_sent_ahead_begins_when_another_one_is_over(self) -> None:
        """Not before; in its session; where that one is over already, at once."""
        await self.begin()
        messages = [await self.message() for _ in range(4)]
        self.say(*[self.request(message, number, behind=number - 1) for number, message in enumerate(messages[:3], 1)])
        self.assertEqual([True, False, False], [task.running is not None for task in self.worker._tasks.values()])
        await self.done(3)
        self.say(self.request(messages[3], 4, behind=3))
        await self.done(4)
        self.assertEqual(
            [(1, 1), (2, 2), (3, 3)], [(each.number, each.outcomes[0].session_uses) for each in self.told()[:3]]
        )
        self.assertEqual(({}, {}), (self.worker._destinations, self.worker._tasks))

    async def test_what_is_sent_ahead_follows(self) -> None:
        """Its envelope goes out with the end of the message in front, where the server can take that."""
        self.server = type("Pipelining", (Server,), {"hello": b"250-sink\r\n250 PIPELINING"})
        self.settings["smtp_pipeline_messages"] = "yes"
        Server.together = 0
        await self.begin()
        messages = [await self.message() for _ in range(6)]
        self.say(*[self.request(message, number, behind=number - 1) for number, message in enumerate(messages, 1)])
        await self.done(6)
        self.assertEqual([1, 2, 3, 4, 5, 6], [each.outcomes[0].session_uses for each in self.told()])
        self.assertLess(2, Server.together)
        self.assertEqual(({}, {}), (self.worker._destinations, self.worker._tasks))

    async def test_what_is_sent_ahead_can_be_broken_off(self) -> None:
        """By itself, or because all is to end; what is under way goes on."""
        await self.begin()
        messages = [await self.message() for _ in range(3)]
        self.say(*[self.request(message, number, behind=number - 1) for number, message in enumerate(messages, 1)])
        self.say(Cancel(2))
        self.assertEqual([Ready(), Broken(2, "cancelled", cancelled=True)], self.hear())
        self.say(Stop())
        await self.until(lambda: bool(self.left))
        self.assertEqual(Broken(3, "cancelled", cancelled=True), self.hear()[2])
        self.assertEqual([1], [each.number for each in self.told()])
        self.assertEqual(messages[2].recipients, self.spool.read(messages[2].envelope.queue_id).recipients)

    async def test_what_stands_behind_another_one_can_be_broken_off(self) -> None:
        """Its envelope has gone out, and nothing more does; the one in front is not disturbed."""
        Pensive.thoughts, self.server = [], Pensive
        self.settings["smtp_pipeline_messages"] = "yes"
        await self.begin()
        messages = [await self.message() for _ in range(2)]
        self.say(*[self.request(message, number, behind=number - 1) for number, message in enumerate(messages, 1)])
        await self.until(lambda: bool(Pensive.thoughts))
        self.say(Cancel(2))
        Pensive.thoughts.pop()()
        await self.until(lambda: Broken(2, "cancelled", cancelled=True) in self.hear())
        self.assertEqual([1], [each.number for each in self.told()])
        self.assertEqual(messages[1].recipients, self.spool.read(messages[1].envelope.queue_id).recipients)
        self.assertEqual(({}, {}), (self.worker._destinations, self.worker._tasks))

    async def test_the_next_one_begins_where_the_one_in_front_was_broken_off(self) -> None:
        """Its place is free."""
        self.server = type("Silent", (Server,), {"greeting": b""})
        await self.begin()
        first, second = await self.message(), await self.message()
        self.say(self.request(first), self.request(second, 2, behind=1))
        await deferLater(CLOCK, 0.1)
        self.server = Server
        self.say(Cancel(1))
        await self.done(1)
        self.assertEqual([2], [each.number for each in self.told()])

    async def test_what_nobody_wants_to_hear_is_not_told(self) -> None:
        """That the file is gone says enough; what is not simply delivered is told all the same."""
        await self.begin()
        message, other = await self.message(), await self.message()
        self.say(self.request(message, sole=True, told=False), self.request(other, 2, told=False))
        await self.done(1)
        await self.until(lambda: Removed(1) in self.hear())
        self.assertIsNone(self.spool.find(message.envelope.queue_id))
        self.assertEqual([2], [each.number for each in self.told()])

    def told(self) -> list[Done]:
        """What it has told of outcomes."""
        return [message for message in self.hear() if isinstance(message, Done)]

    async def done(self, count: int) -> None:
        """Wait until so much is told."""
        await self.until(lambda: len(self.told()) == count)

    async def test_lines_go_over_the_socket_where_there_is_no_file(self) -> None:
        """Without a log file, and where it cannot be opened, the service gets the lines."""
        self.settings["maillog_file"] = str(self.base / "missing" / "log")
        await self.begin()
        message = await self.message()
        await self.answer(self.request(message))
        (line,) = (each for each in self.heard if isinstance(each, Logged))
        self.assertEqual(("info", "smtp", message.envelope.queue_id), (line.level, line.process, line.queue_id))
        self.assertIn("status=sent", line.text)

    async def test_a_warning_says_once_that_it_is_one(self) -> None:
        """What the level puts in front of a line is left to the service."""
        await self.begin(writes_log=False)
        self.worker._maillog.warning("smtp", "hm")
        self.assertIn(Logged("warn", "smtp", "", "hm"), self.hear())

    async def test_the_log_file_is_opened_anew(self) -> None:
        """Lines go to a new file after the old one was moved away; one that cannot be opened changes nothing."""
        await self.begin()
        (self.base / "log").rename(self.base / "log.1")
        self.say(Reopen())
        self.assertTrue((self.base / "log").exists())
        refusing = self.patch(os, "open", self._refuse)
        self.say(Reopen())
        refusing.restore()
        self.assertIn("stays with the old log file", (self.base / "log").read_text())

    def _refuse(self, *_: object) -> int:
        raise PermissionError(13, "Permission denied")

    async def test_a_delivery_can_be_broken_off(self) -> None:
        """One that waits for a server ends when the service says so, and the worker says that it has."""
        self.server = type("Silent", (Server,), {"greeting": b""})
        await self.begin()
        message = await self.message()
        self.say(self.request(message))
        await self.until(lambda: self.visits == 1)
        broken = await self.answer(Cancel(1), Cancel(7))
        self.assertTrue(broken.cancelled)
        self.assertEqual(message.recipients, self.spool.read(message.envelope.queue_id).recipients)

    async def test_a_damaged_file_is_told(self) -> None:
        """A queue file that cannot be read is named, with the place where it makes no sense."""
        await self.begin()
        message = await self.message()
        path = self.base / "spool" / "active" / message.envelope.queue_id
        data = bytearray(path.read_bytes())
        data[message.envelope.content_offset] = 0
        path.write_bytes(data)
        broken = await self.answer(self.request(message))
        self.assertEqual((str(path), message.envelope.content_offset), (broken.corrupt_path, broken.corrupt_offset))

    async def test_what_nobody_foresaw_is_told_in_words(self) -> None:
        """A delivery that raises costs the worker nothing: the service hears of it, and the next one is made."""
        await self.begin()
        assert self.worker._delivery is not None
        raising = self.patch(self.worker._delivery.agent, "deliver", self._raise)
        message = await self.message()
        broken = await self.answer(self.request(message))
        self.assertEqual(("boom", "", False), (broken.why, broken.corrupt_path, broken.cancelled))
        self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))
        raising.restore()
        self.heard.clear()
        self.assertIsInstance(await self.answer(self.request(message, 2)), Done)

    async def _raise(self, *_: object) -> None:
        raise RuntimeError("boom")

    async def test_a_report_is_queued_and_told(self) -> None:
        """A notice for the postmaster lies in incoming/ when the service hears of it."""
        await self.begin()
        queue_id = await self.worker._submit(
            NewMessage("", [Recipient("postmaster@client.example")], b"Subject: x\n\nx\n")
        )
        self.assertEqual("incoming", self.spool.find(queue_id))
        self.assertIn(Queued(queue_id), self.hear())

    async def test_parameters_that_make_no_sense_are_refused(self) -> None:
        """The words are for the operator; nothing else is done."""
        self.say(Begin({"smtp_connect_timeout": "soon"}, {"smtp_connect_timeout": "main.cf:7"}))
        (refused,) = self.hear()
        assert isinstance(refused, Refused)
        self.assertIn("main.cf:7", refused.why)
        self.say(Stop())
        await self.until(lambda: self.left == [os.EX_OK])

    async def test_it_ends_when_all_is_done(self) -> None:
        """To be told to stop ends it, but only after what is under way."""
        await self.begin()
        message = await self.message()
        self.say(self.request(message), Stop())
        self.assertEqual([], self.left)
        await self.until(lambda: bool(self.left))
        self.assertEqual([os.EX_OK], self.left)
        self.assertIsInstance(self.hear()[-1], Done)

    async def test_it_ends_at_once_when_the_service_is_gone(self) -> None:
        """Whatever is under way belongs to the next service."""
        self.server = type("Silent", (Server,), {"greeting": b""})
        await self.begin()
        self.say(self.request(await self.message()))
        self.worker.connectionLost(Failure(ConnectionDone()))
        self.assertEqual([os.EX_TEMPFAIL], self.left)
        self.say(Cancel(1), Stop())
        await self.until(lambda: len(self.left) == 2)

    async def test_who_makes_no_sense_is_not_the_service(self) -> None:
        """Bytes that are no message, a message for a service, a delivery before the parameters: it ends."""
        for nonsense in (b"\xff\xff\xff\xff", encode(Ready())):
            left: list[int] = []
            Worker(CLOCK, left.append).dataReceived(nonsense)
            self.assertEqual([os.EX_PROTOCOL], left)
        self.say(self.request(await self.message()))
        self.assertEqual([os.EX_PROTOCOL], self.left)
        with self.assertRaises(ValueError):
            await self.worker._submit(NewMessage("", [Recipient("x@y")], b""))
        self.flushLoggedErrors(ValueError)
